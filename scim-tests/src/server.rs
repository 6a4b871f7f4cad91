//! What the server under test says of itself: ServiceProviderConfig, ResourceTypes, Schemas. Read
//! once, before the first case; optional features are judged by it. Whether the documents are right
//! is for the discovery cases.

use crate::{
    look::{member, text},
    wire::{Request, Wire},
};
use serde_json::Value;

pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Null when the document was not had.
    pub config: Value,
    pub types: Vec<Value>,
    pub schemas: Vec<Value>,
    pub has_other: bool,
    pub has_token: bool,
}

impl Server {
    /// Reads the three documents. A document that is missing is for the cases to blame; only a
    /// server that cannot be reached at all is an error here.
    pub async fn ask(wire: &Wire) -> Result<Self, String> {
        let config = wire.send(&Request::new("GET", "/ServiceProviderConfig")).await?;
        let types = wire.send(&Request::new("GET", "/ResourceTypes")).await?;
        let schemas = wire.send(&Request::new("GET", "/Schemas")).await?;
        let listed = |body: &Value| {
            let list = member(body, "Resources").or(Some(body)).and_then(Value::as_array);
            list.cloned().unwrap_or_default()
        };
        Ok(Self {
            config: if config.status == 200 { config.body().clone() } else { Value::Null },
            types: if types.status == 200 { listed(types.body()) } else { Vec::new() },
            schemas: if schemas.status == 200 { listed(schemas.body()) } else { Vec::new() },
            has_other: wire.settings().other_token.is_some() || wire.settings().other_base.is_some(),
            has_token: wire.settings().token.is_some(),
        })
    }

    fn supports(&self, feature: &str) -> bool {
        let said = member(&self.config, feature).and_then(|one| member(one, "supported"));
        said.and_then(Value::as_bool).unwrap_or(false)
    }

    /// An integer of ServiceProviderConfig: `number("bulk", "maxOperations")`.
    pub fn number(&self, feature: &str, name: &str) -> Option<u64> {
        member(&self.config, feature).and_then(|one| member(one, name)).and_then(Value::as_u64)
    }

    fn pages_by(&self, method: &str) -> Option<bool> {
        member(&self.config, "pagination").and_then(|one| member(one, method)).and_then(Value::as_bool)
    }

    fn resource_type(&self, schema: &str) -> Option<&Value> {
        self.types.iter().find(|one| text(one, "schema").eq_ignore_ascii_case(schema))
    }

    /// Where a resource type is served: `/Users`, or what ResourceTypes says.
    pub fn endpoint(&self, schema: &str) -> String {
        let usual = if schema == GROUP { "/Groups" } else { "/Users" };
        let said = self.resource_type(schema).map(|one| text(one, "endpoint")).unwrap_or_default();
        // An absolute URL is an endpoint too (RFC 7643 6), but leads to the same place.
        if said.is_empty() || said.contains("://") {
            return usual.to_owned();
        }
        format!("/{}", said.trim_matches('/'))
    }

    /// The path as this server has it: `/Users/1` under another endpoint.
    pub fn place(&self, path: &str) -> String {
        for (usual, schema) in [("/Users", USER), ("/Groups", GROUP)] {
            if let Some(rest) = path.strip_prefix(usual)
                && rest.chars().next().is_none_or(|next| "/?.".contains(next))
            {
                return format!("{}{rest}", self.endpoint(schema));
            }
        }
        path.to_owned()
    }

    pub fn schema(&self, id: &str) -> Option<&Value> {
        self.schemas.iter().find(|one| text(one, "id").eq_ignore_ascii_case(id))
    }

    /// An attribute's definition: `name.familyName` of a schema.
    pub fn attribute(&self, schema: &str, path: &str) -> Option<&Value> {
        let mut list = self.schema(schema).and_then(|one| member(one, "attributes"));
        let mut found = None;
        for name in path.split('.') {
            found = list?.as_array()?.iter().find(|one| text(one, "name").eq_ignore_ascii_case(name));
            list = found.and_then(|one| member(one, "subAttributes"));
        }
        found
    }

    /// Has the server said that it has this attribute? Where it publishes no schema, it is believed to.
    fn has(&self, schema: &str, path: &str) -> bool {
        self.schema(schema).is_none() || self.attribute(schema, path).is_some()
    }

    /// Why a case that needs this does not apply, in words; `None` when it does.
    pub fn lacks(&self, need: &str) -> Option<String> {
        let announced = |feature: &str| {
            (!self.supports(feature)).then(|| format!("ServiceProviderConfig does not announce {feature}"))
        };
        let attribute = |schema: &str, path: &str| {
            (!self.has(schema, path)).then(|| format!("its schemas have no {path}"))
        };
        match need {
            "patch" | "bulk" | "filter" | "sort" | "etag" | "changePassword" => announced(need),
            "cursor" if self.pages_by("cursor") == Some(true) => None,
            "cursor" => Some("ServiceProviderConfig does not announce cursor pagination".into()),
            "index" if self.pages_by("index") == Some(false) => {
                Some("ServiceProviderConfig announces no index pagination".into())
            }
            "index" => None,
            "groups" => {
                let without = !self.types.is_empty() && self.resource_type(GROUP).is_none();
                without.then(|| "its ResourceTypes have no Group".into())
            }
            "enterprise" => {
                let user = self.resource_type(USER);
                let extensions =
                    user.and_then(|one| member(one, "schemaExtensions")).and_then(Value::as_array);
                let with = extensions.is_none_or(|list| {
                    list.iter().any(|one| text(one, "schema").eq_ignore_ascii_case(ENTERPRISE))
                });
                (self.types.is_empty() || !with)
                    .then(|| "its ResourceTypes do not have the enterprise extension".into())
            }
            "token" => (!self.has_token).then(|| "no --token was given".into()),
            "other" => (!self.has_other).then(|| "neither --other-token nor --other-base was given".into()),
            "minimal" => self.demands_more(),
            other => match other.split_once('.') {
                Some(("user", path)) => attribute(USER, path),
                Some(("group", path)) => attribute(GROUP, path),
                Some(("enterprise", path)) => {
                    self.lacks("enterprise").or_else(|| attribute(ENTERPRISE, path))
                }
                Some(("immutable", path)) => self.lacks("groups").or_else(|| {
                    let said = self.attribute(GROUP, path).map(|one| text(one, "mutability"));
                    (said != Some("immutable"))
                        .then(|| format!("its schema does not say that {path} is immutable"))
                }),
                Some((exactness @ ("exact" | "inexact"), path)) => self.differs(path, exactness == "exact"),
                _ => Some(format!("the case names an unknown need: {other}")),
            },
        }
    }

    /// The server demands more of a user than a userName.
    fn demands_more(&self) -> Option<String> {
        let attributes =
            self.schema(USER).and_then(|one| member(one, "attributes")).and_then(Value::as_array)?;
        let demanded = attributes.iter().find(|one| {
            text(one, "name") != "userName" && member(one, "required").and_then(Value::as_bool) == Some(true)
        })?;
        Some(format!("its schema requires {} too", text(demanded, "name")))
    }

    /// The attribute is missing, or announced with the other `caseExact`.
    fn differs(&self, path: &str, exact: bool) -> Option<String> {
        if !self.has(USER, path) {
            return Some(format!("its schemas have no {path}"));
        }
        let said =
            self.attribute(USER, path).and_then(|one| member(one, "caseExact")).and_then(Value::as_bool);
        // The default of RFC 7643 2.2 is false.
        (said.unwrap_or(false) != exact).then(|| format!("its schema says caseExact {} of {path}", !exact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn server() -> Server {
        Server {
            config: json!({"patch": {"supported": true}, "bulk": {"supported": false},
                "pagination": {"cursor": true, "index": false}}),
            types: vec![json!({"schema": USER, "endpoint": "/People/", "schemaExtensions": []})],
            schemas: vec![json!({"id": USER, "attributes": [
                {"name": "userName", "required": true}, {"name": "title", "caseExact": true, "required": true},
                {"name": "name", "subAttributes": [{"name": "familyName"}]}]})],
            has_other: false,
            has_token: true,
        }
    }

    #[test]
    fn what_is_not_announced_is_lacking_with_a_reason() {
        let server = server();
        for here in ["patch", "cursor", "user.name.familyName", "exact.title", "token"] {
            assert_eq!(server.lacks(here), None, "{here}");
        }
        for lacking in [
            "bulk",
            "etag",
            "index",
            "groups",
            "enterprise",
            "user.nickName",
            "inexact.title",
            "other",
            "minimal",
            "nonsense",
        ] {
            assert!(server.lacks(lacking).is_some(), "{lacking}");
        }
        assert_eq!(Server::default().lacks("user.title"), None, "a server without schemas is believed");
    }

    #[test]
    fn endpoints_are_where_resource_types_say() {
        let server = server();
        assert_eq!(server.place("/Users/1?x=/Users"), "/People/1?x=/Users");
        assert_eq!(server.place("/Users"), "/People");
        assert_eq!(server.place("/Users/.search"), "/People/.search");
        assert_eq!(server.place("/UsersX"), "/UsersX");
        assert_eq!(server.place("/Groups"), "/Groups");
    }
}
