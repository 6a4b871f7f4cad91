//! ServiceProviderConfig and ResourceTypes: exact shapes (RFC 7643 5 and 6, RFC 7644 4).

use super::{Cast, Coded};
use crate::{
    case::{Acting, Stop},
    look::{member, text},
    play::holds_error,
    server::{GROUP, USER},
    stage::{Stage, message},
    wire::Request,
};
use serde_json::Value;

const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";

pub(super) const ACTS: &[Coded] = &[
    ("config.served", is_served, Cast::Alone),
    ("config.shape", config_shape, Cast::Alone),
    ("types.list", types_list, Cast::Alone),
    ("types.shape", types_shape, Cast::Alone),
    ("types.one", types_one, Cast::Alone),
    ("types.schemas-known", types_schemas, Cast::Alone),
    ("config.no-filter", no_filter, Cast::Alone),
    ("config.no-paging", no_paging, Cast::Alone),
];

fn is_served(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let answer = stage.send(Request::new("GET", "/ServiceProviderConfig")).await?;
        stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
        let named = has_schema(answer.body(), CONFIG);
        stage.hold(named, &format!("schemas with {CONFIG}"), &answer.text)?;
        let kind = answer.header("content-type").unwrap_or_default();
        stage.wish(kind.starts_with("application/scim+json"), "Content-Type application/scim+json", kind);
        Ok(())
    })
}

fn has_schema(body: &Value, urn: &str) -> bool {
    let list = member(body, "schemas").and_then(Value::as_array);
    list.is_some_and(|list| list.iter().any(|one| one.as_str() == Some(urn)))
}

/// Every `(member, sub-member, is it so)` that the document must have.
fn config_shape(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let answer = stage.send(Request::new("GET", "/ServiceProviderConfig")).await?;
        stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
        let body = answer.body();
        for feature in ["patch", "bulk", "filter", "changePassword", "sort", "etag"] {
            let said = member(body, feature).and_then(|one| member(one, "supported"));
            let told = said.is_some_and(Value::is_boolean);
            stage.hold(told, &format!("{feature}.supported, a boolean"), &shown(said))?;
        }
        for (feature, limit) in
            [("bulk", "maxOperations"), ("bulk", "maxPayloadSize"), ("filter", "maxResults")]
        {
            let said = member(body, feature).and_then(|one| member(one, limit));
            let told = said.is_some_and(|number| number.is_u64() || number.is_i64());
            stage.hold(told, &format!("{feature}.{limit}, an integer"), &shown(said))?;
        }
        let schemes = member(body, "authenticationSchemes").and_then(Value::as_array);
        // A server that asks for no credential has none to announce.
        let open = !stage.bench.server.has_token;
        stage.hold(schemes.is_some() || open, "authenticationSchemes, a list", &answer.text)?;
        for scheme in schemes.into_iter().flatten() {
            for name in ["type", "name", "description"] {
                let told = !text(scheme, name).is_empty();
                stage.hold(told, &format!("{name} of each authentication scheme"), &scheme.to_string())?;
            }
            let known = ["oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"];
            let kind = text(scheme, "type");
            stage.wish(known.contains(&kind), &format!("a type of {}", known.join(", ")), kind);
        }
        Ok(())
    })
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".into(), Value::to_string)
}

/// The Resources of a discovery list, which must be one.
pub(super) async fn resources(stage: &mut Stage, path: &str) -> Result<Vec<Value>, Stop> {
    let answer = stage.send(Request::new("GET", path)).await?;
    stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
    stage.hold(has_schema(answer.body(), &message("ListResponse")), "a ListResponse", &answer.text)?;
    let list = member(answer.body(), "Resources").and_then(Value::as_array).cloned().unwrap_or_default();
    let total = member(answer.body(), "totalResults").and_then(Value::as_u64);
    let counted = total == u64::try_from(list.len()).ok();
    stage.hold(
        counted,
        &format!("totalResults {}", list.len()),
        &shown(member(answer.body(), "totalResults")),
    )?;
    stage.hold(!list.is_empty(), "at least one resource", "none")?;
    Ok(list)
}

fn types_list(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let list = resources(stage, "/ResourceTypes").await?;
        let has_users = list.iter().any(|one| text(one, "schema") == USER);
        stage.hold(has_users, "a resource type of the User schema", &Value::from(list).to_string())
    })
}

fn types_shape(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for one in resources(stage, "/ResourceTypes").await? {
            for name in ["name", "endpoint", "schema"] {
                stage.hold(
                    !text(&one, name).is_empty(),
                    &format!("{name} of each resource type"),
                    &one.to_string(),
                )?;
            }
            stage.hold(
                has_schema(&one, RESOURCE_TYPE),
                &format!("schemas with {RESOURCE_TYPE}"),
                &one.to_string(),
            )?;
            let endpoint = text(&one, "endpoint");
            let relative = endpoint.starts_with('/') || endpoint.contains("://");
            stage.hold(relative, "an endpoint such as /Users", endpoint)?;
            let extensions = member(&one, "schemaExtensions").and_then(Value::as_array);
            for extension in extensions.into_iter().flatten() {
                let whole = !text(extension, "schema").is_empty()
                    && member(extension, "required").is_some_and(Value::is_boolean);
                stage.hold(whole, "schema and required of each extension", &extension.to_string())?;
            }
            let kind =
                member(&one, "meta").map(|meta| text(meta, "resourceType").to_owned()).unwrap_or_default();
            stage.wish(kind == "ResourceType", "meta.resourceType is \"ResourceType\"", &one.to_string());
        }
        Ok(())
    })
}

fn types_one(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for one in resources(stage, "/ResourceTypes").await? {
            let id = if text(&one, "id").is_empty() { text(&one, "name") } else { text(&one, "id") };
            let answer = stage.send(Request::new("GET", format!("/ResourceTypes/{id}"))).await?;
            stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
            let same = text(answer.body(), "schema") == text(&one, "schema");
            stage.hold(same, "the resource type of the list", &answer.text)?;
        }
        let tag = stage.tag.clone();
        let answer = stage.send(Request::new("GET", format!("/ResourceTypes/{tag}"))).await?;
        stage.hold(answer.status == 404, "status 404 for one that is none", &answer.status.to_string())?;
        holds_error(stage, "any", &answer)
    })
}

fn types_schemas(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let schemas = resources(stage, "/Schemas").await?;
        for one in resources(stage, "/ResourceTypes").await? {
            let extensions = member(&one, "schemaExtensions").and_then(Value::as_array);
            let named = extensions.into_iter().flatten().map(|extension| text(extension, "schema"));
            for urn in named.chain([text(&one, "schema")]) {
                let known = schemas.iter().any(|schema| text(schema, "id").eq_ignore_ascii_case(urn));
                stage.hold(known, &format!("{urn} in /Schemas"), "no such schema")?;
            }
        }
        Ok(())
    })
}

fn no_filter(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for path in ["/Schemas", "/ResourceTypes"] {
            let answer = stage.send(Request::new("GET", format!("{path}?filter=id%20eq%20%22x%22"))).await?;
            stage.hold(answer.status == 403, "status 403", &answer.status.to_string())?;
            holds_error(stage, "any", &answer)?;
        }
        Ok(())
    })
}

fn no_paging(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let whole = resources(stage, "/Schemas").await?.len();
        let query = "startIndex=2&count=1&sortBy=id&sortOrder=descending";
        let paged = resources(stage, &format!("/Schemas?{query}")).await?.len();
        stage.hold(paged == whole, &format!("all {whole} schemas"), &paged.to_string())?;
        let types = resources(stage, &format!("/ResourceTypes?{query}")).await?;
        let groups = types.iter().any(|one| text(one, "schema") == GROUP);
        let known = stage.bench.server.lacks("groups").is_some() || groups;
        stage.hold(known, "all resource types", &Value::from(types).to_string())
    })
}
