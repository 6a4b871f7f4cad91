//! The discovery documents (RFC 7644 4, RFC 7643 5 to 7), rendered from the tables the bodies are
//! read by, so that what is announced is what is done. They say nothing about an org and may be read
//! without a token.

use crate::{
    ENTERPRISE_URN, Kind,
    attributes::{Attribute, ENTERPRISE, Mutability, Shape, core},
    bulk::OPERATIONS_MAX,
    dialect::BODY_BYTES_MAX,
    list::{COUNT_DEFAULT, COUNT_MAX, CURSOR_SECS, Told, list_response},
};
use serde_json::{Value, json};

/// Does the face above obey `If-Match` and `If-None-Match`? It says so where it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityTags {
    Obeyed,
    Ignored,
}

/// ServiceProviderConfig (RFC 7643 5, RFC 9865 4). `base` is the absolute URL of the service, no slash at
/// its end.
pub fn service_provider_config(base: &str, entity_tags: EntityTags) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": true, "maxOperations": OPERATIONS_MAX, "maxPayloadSize": BODY_BYTES_MAX},
        "filter": {"supported": true, "maxResults": COUNT_MAX},
        "changePassword": {"supported": false},
        "sort": {"supported": true},
        "etag": {"supported": entity_tags == EntityTags::Obeyed},
        "pagination": {
            "cursor": true, "index": true, "defaultPaginationMethod": "index",
            "defaultPageSize": COUNT_DEFAULT, "maxPageSize": COUNT_MAX, "cursorTimeout": CURSOR_SECS,
        },
        "authenticationSchemes": [
            {"type": "oauthbearertoken", "name": "Bearer token", "primary": true,
             "description": "A token of the directory, in the Authorization header",
             "specUri": "https://www.rfc-editor.org/info/rfc6750"},
            {"type": "oauth2", "name": "OAuth 2.0 client credentials", "primary": false,
             "description": "A token that the directory fetches with its client's secret",
             "specUri": "https://www.rfc-editor.org/info/rfc6749"},
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig")},
    })
}

/// All resource types, as a ListResponse (RFC 7643 6).
pub fn resource_types(base: &str) -> Value {
    listed(
        [Kind::User, Kind::Group].into_iter().filter_map(|kind| resource_type(base, kind.name())).collect(),
    )
}

/// One resource type by id; `None` when there is none.
pub fn resource_type(base: &str, id: &str) -> Option<Value> {
    let (kind, description, extensions) = match id {
        "User" => (Kind::User, "A person's account", json!([{"schema": ENTERPRISE_URN, "required": false}])),
        "Group" => (Kind::Group, "A group of users", json!([])),
        _ => return None,
    };
    Some(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": id, "name": id, "endpoint": kind.endpoint(), "description": description, "schema": kind.urn(),
        "schemaExtensions": extensions,
        "meta": {"resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{id}")},
    }))
}

/// All schemas, as a ListResponse (RFC 7643 7).
pub fn schemas(base: &str) -> Value {
    let all = [Kind::User.urn(), Kind::Group.urn(), ENTERPRISE_URN];
    listed(all.into_iter().filter_map(|id| schema(base, id)).collect())
}

/// One schema by URN, whose letter case does not count; `None` when there is none.
pub fn schema(base: &str, id: &str) -> Option<Value> {
    let is = |urn: &str| id.eq_ignore_ascii_case(urn);
    let (id, name, description, attributes) = match () {
        () if is(Kind::User.urn()) => (Kind::User.urn(), "User", "User account", core(Kind::User)),
        () if is(Kind::Group.urn()) => (Kind::Group.urn(), "Group", "Group", core(Kind::Group)),
        () if is(ENTERPRISE_URN) => {
            (ENTERPRISE_URN, "EnterpriseUser", "Enterprise user", ENTERPRISE.as_slice())
        }
        () => return None,
    };
    // `externalId` is common to every resource and stands in no schema (RFC 7643 3.1).
    let attributes = attributes.iter().filter(|one| one.name != "externalId").map(attribute);
    Some(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": id, "name": name, "description": description, "attributes": attributes.collect::<Vec<_>>(),
        "meta": {"resourceType": "Schema", "location": format!("{base}/Schemas/{id}")},
    }))
}

fn listed(resources: Vec<Value>) -> Value {
    let total = u64::try_from(resources.len()).unwrap_or(u64::MAX);
    list_response(&Told { total, start_index: Some(1), next_cursor: None }, resources)
}

fn attribute(one: &Attribute) -> Value {
    let mut document = json!({
        "name": one.name, "type": "string", "multiValued": one.many, "description": one.about,
        "required": one.required, "mutability": mutability(one.mutability), "returned": "default",
        "uniqueness": if one.unique { "server" } else { "none" },
    });
    let Some(fields) = document.as_object_mut() else { return document };
    let kind = match one.shape {
        Shape::Text => "string",
        Shape::Reference(_) => "reference",
        Shape::Binary => "binary",
        Shape::Boolean => "boolean",
        Shape::DateTime => "dateTime",
        Shape::Complex(_) => "complex",
    };
    fields.insert("type".into(), kind.into());
    if matches!(one.shape, Shape::Text | Shape::Reference(_) | Shape::Binary) {
        fields.insert("caseExact".into(), one.exact.into());
    }
    if let Shape::Reference(kinds) = one.shape {
        fields.insert("referenceTypes".into(), json!(kinds));
    }
    if !one.canonical.is_empty() {
        fields.insert("canonicalValues".into(), json!(one.canonical));
    }
    if let Shape::Complex(subs) = one.shape {
        fields.insert("subAttributes".into(), subs.iter().map(attribute).collect());
    }
    document
}

const fn mutability(mutability: Mutability) -> &'static str {
    match mutability {
        Mutability::ReadWrite => "readWrite",
        Mutability::ReadOnly => "readOnly",
        Mutability::Immutable => "immutable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GROUP_URN, USER_URN};

    #[test]
    fn what_is_announced_is_what_is_done() {
        let config = service_provider_config("https://x/scim/v2", EntityTags::Ignored);
        for (feature, supported) in [
            ("patch", true),
            ("bulk", true),
            ("filter", true),
            ("changePassword", false),
            ("sort", true),
            ("etag", false),
        ] {
            assert_eq!(config[feature]["supported"], supported, "{feature}");
        }
        assert_eq!(service_provider_config("", EntityTags::Obeyed)["etag"]["supported"], true);
        assert_eq!(config["filter"]["maxResults"], 200);
        assert_eq!(config["pagination"]["cursor"], true);
    }

    /// What is refused as `mutability`, and what is overwritten by our own, is announced so.
    #[test]
    fn schemas_say_what_is_not_the_clients() {
        let found = |urn: &str, pointer: &str| {
            let schema = schema("", urn).unwrap();
            let mut place = &schema;
            for name in pointer.split('.') {
                let list = place.get("attributes").or(place.get("subAttributes")).unwrap();
                place = list.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
            }
            place.clone()
        };
        assert_eq!(found(USER_URN, "active")["required"], true);
        for (path, mutability) in
            [("members.value", "immutable"), ("members.type", "immutable"), ("members.$ref", "immutable")]
        {
            assert_eq!(found(GROUP_URN, path)["mutability"], mutability, "{path}");
        }
    }

    #[test]
    fn schemas_are_lists_without_nulls_and_without_password() {
        let all = schemas("https://x/scim/v2");
        assert_eq!(all["totalResults"], 3);
        let text = all.to_string();
        assert!(!text.contains("null") && !text.contains("password"));
        assert!(
            text.contains("\"userName\"") && text.contains("\"costCenter\"") && text.contains("\"members\"")
        );
        assert_eq!(resource_types("b")["Resources"][0]["schemaExtensions"][0]["schema"], ENTERPRISE_URN);
        assert_eq!(schema("b", "urn:x"), None);
        assert_eq!(resource_type("b", "Device"), None);
    }
}
