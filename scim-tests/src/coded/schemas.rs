//! The Schemas document: exact shapes (RFC 7643 7), and that it tells the truth about resources.

use super::{Cast, Coded, config::resources};
use crate::{
    case::{Acting, Stop},
    look::{member, text},
    play::holds_error,
    server::{ENTERPRISE, GROUP, USER},
    stage::Stage,
    wire::{Credential, Request},
};
use serde_json::{Value, json};

const TYPES: [&str; 8] =
    ["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"];
const MUTABILITY: [&str; 4] = ["readOnly", "readWrite", "immutable", "writeOnly"];
const RETURNED: [&str; 4] = ["always", "never", "default", "request"];
const UNIQUENESS: [&str; 3] = ["none", "server", "global"];

pub(super) const ACTS: &[Coded] = &[
    ("schemas.list", listed, Cast::Alone),
    ("schemas.attributes", attributes, Cast::Alone),
    ("schemas.one", alone, Cast::Alone),
    ("schemas.user", of_users, Cast::Alone),
    ("schemas.group", of_groups, Cast::Alone),
    ("schemas.no-messages", no_messages, Cast::Alone),
    ("schemas.no-null", without_null, Cast::Alone),
    ("schemas.true", tells_truth, Cast::Alone),
];

fn listed(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let list = resources(stage, "/Schemas").await?;
        for one in &list {
            stage.hold(
                text(one, "id").starts_with("urn:"),
                "a URN as the id of each schema",
                text(one, "id"),
            )?;
            stage.wish(!text(one, "name").is_empty(), "a name of each schema", text(one, "id"));
            let attributes = member(one, "attributes").and_then(Value::as_array);
            stage.hold(attributes.is_some_and(|list| !list.is_empty()), "attributes", text(one, "id"))?;
        }
        let users = list.iter().any(|one| text(one, "id") == USER);
        stage.hold(users, &format!("{USER} among them"), "not there")
    })
}

fn attributes(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for schema in resources(stage, "/Schemas").await? {
            // The documents' own schemas may be published too; they are held to the same.
            let list = member(&schema, "attributes").and_then(Value::as_array).cloned().unwrap_or_default();
            for one in &list {
                characteristics(stage, text(&schema, "id"), one, false)?;
            }
        }
        Ok(())
    })
}

fn characteristics(stage: &Stage, place: &str, one: &Value, within: bool) -> Result<(), Stop> {
    let name = text(one, "name");
    let place = format!("{place}:{name}");
    let hold = |met: bool, what: &str| stage.hold(met, &format!("{place}: {what}"), &one.to_string());
    hold(!name.is_empty(), "a name")?;
    let kind = text(one, "type");
    hold(TYPES.contains(&kind), &format!("a type of {}", TYPES.join(", ")))?;
    // Left out, a characteristic has the default of RFC 7643 2.2; given, it must be a known value.
    for flag in ["multiValued", "required", "caseExact"] {
        hold(member(one, flag).is_none_or(Value::is_boolean), &format!("{flag}, a boolean"))?;
    }
    for (name, values) in
        [("mutability", &MUTABILITY[..]), ("returned", &RETURNED[..]), ("uniqueness", &UNIQUENESS[..])]
    {
        let known =
            member(one, name).is_none_or(|value| value.as_str().is_some_and(|text| values.contains(&text)));
        hold(known, &format!("{name} one of {}", values.join(", ")))?;
    }
    let subs = member(one, "subAttributes").and_then(Value::as_array);
    match (kind, within) {
        ("complex", true) => return hold(false, "no complex attribute within another (RFC 7643 2.3.8)"),
        ("complex", false) => hold(subs.is_some_and(|list| !list.is_empty()), "subAttributes")?,
        _ => {}
    }
    for sub in subs.into_iter().flatten() {
        characteristics(stage, &place, sub, true)?;
    }
    if kind == "reference" {
        let types = member(one, "referenceTypes").and_then(Value::as_array);
        hold(types.is_some(), "referenceTypes of a reference")?;
    }
    Ok(())
}

fn alone(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for one in resources(stage, "/Schemas").await? {
            let id = text(&one, "id").to_owned();
            let answer = stage.send(Request::new("GET", format!("/Schemas/{id}"))).await?;
            stage.hold(answer.status == 200, &format!("status 200 for {id}"), &answer.status.to_string())?;
            stage.hold(text(answer.body(), "id") == id, "the schema of the list", &answer.text)?;
        }
        let answer = stage.send(Request::new("GET", "/Schemas/urn:example:no:such:schema")).await?;
        stage.hold(answer.status == 404, "status 404 for one that is none", &answer.status.to_string())?;
        holds_error(stage, "any", &answer)
    })
}

/// The definition of one attribute, from the server's own document.
async fn definition(stage: &mut Stage, schema: &str, path: &str) -> Result<Value, Stop> {
    resources(stage, "/Schemas").await?;
    let found = stage.bench.server.attribute(schema, path).cloned();
    found.ok_or_else(|| stage.failed(&format!("{path} in {schema}"), "nothing"))
}

fn holds_all(stage: &Stage, one: &Value, wanted: &Value) -> Result<(), Stop> {
    stage.hold(crate::look::covers(one, wanted), &wanted.to_string(), &one.to_string())
}

fn of_users(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let name = definition(stage, USER, "userName").await?;
        let wanted =
            json!({"type": "string", "multiValued": false, "required": true, "uniqueness": "server"});
        holds_all(stage, &name, &wanted)?;
        let exact = member(&name, "caseExact").and_then(Value::as_bool).unwrap_or(false);
        stage.hold(!exact, "caseExact false", &name.to_string())
    })
}

fn of_groups(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        definition(stage, GROUP, "displayName").await?;
        let members = definition(stage, GROUP, "members").await?;
        holds_all(stage, &members, &json!({"type": "complex", "multiValued": true}))?;
        for sub in ["members.value", "members.$ref", "members.type"] {
            definition(stage, GROUP, sub).await?;
        }
        Ok(())
    })
}

fn no_messages(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let list = resources(stage, "/Schemas").await?;
        let message = list.iter().map(|one| text(one, "id")).find(|id| id.contains(":scim:api:"));
        stage.hold(message.is_none(), "no message schema", message.unwrap_or_default())
    })
}

fn without_null(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for path in ["/Schemas", "/ResourceTypes", "/ServiceProviderConfig"] {
            let answer = stage.send(Request::new("GET", path)).await?;
            stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
            stage.hold(!has_null(answer.body()), "no null anywhere", "null")?;
        }
        Ok(())
    })
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn tells_truth(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let known = resources(stage, "/Schemas").await?;
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let answer = stage.send(Request::new("GET", format!("/Users/{}", text(&user, "id")))).await?;
        stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
        let defined = |schema: &str| known.iter().any(|one| text(one, "id").eq_ignore_ascii_case(schema));
        for name in answer.body().as_object().into_iter().flat_map(|body| body.keys()) {
            let common =
                ["schemas", "id", "externalId", "meta"].iter().any(|one| one.eq_ignore_ascii_case(name));
            let extension = name.contains(':') && defined(name);
            let core = stage.bench.server.attribute(USER, name).is_some();
            let known = common || extension || core || name.eq_ignore_ascii_case(ENTERPRISE);
            stage.hold(known, &format!("{name} in the published schema"), "no such attribute")?;
        }
        Ok(())
    })
}
