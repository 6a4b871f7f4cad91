//! The discovery documents (RFC 7644 4, RFC 7643 5 to 7), rendered from the tables the bodies are
//! read by, so that what is announced is what is done. They say nothing about an org and may be read
//! without a token.

use crate::{
    ENTERPRISE_URN, GROUP_URN, USER_URN,
    attributes::{Attribute, ENTERPRISE, Shape, USER, is_exact},
    list::{COUNT_MAX, list_response},
};
use serde_json::{Value, json};

/// Does the face above obey `If-Match` and `If-None-Match`? It says so where it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityTags {
    Obeyed,
    Ignored,
}

/// ServiceProviderConfig (RFC 7643 5). `base` is the absolute URL of the service, no slash at its end.
pub fn service_provider_config(base: &str, entity_tags: EntityTags) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": COUNT_MAX},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": entity_tags == EntityTags::Obeyed},
        "authenticationSchemes": [
            {"type": "oauthbearertoken", "name": "Bearer token", "primary": true,
             "description": "A token of the directory, in the Authorization header",
             "specUri": "https://www.rfc-editor.org/info/rfc6750"},
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig")},
    })
}

/// All resource types, as a ListResponse (RFC 7643 6).
pub fn resource_types(base: &str) -> Value {
    listed(["User", "Group"].into_iter().filter_map(|id| resource_type(base, id)).collect())
}

/// One resource type by id; `None` when there is none.
pub fn resource_type(base: &str, id: &str) -> Option<Value> {
    let (endpoint, schema, description) = match id {
        "User" => ("/Users", USER_URN, "A person's account"),
        "Group" => ("/Groups", GROUP_URN, "A group of users"),
        _ => return None,
    };
    let mut document = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": id, "name": id, "endpoint": endpoint, "schema": schema, "description": description,
        "meta": {"resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{id}")},
    });
    if let (true, Some(document)) = (id == "User", document.as_object_mut()) {
        document.insert("schemaExtensions".into(), json!([{"schema": ENTERPRISE_URN, "required": false}]));
    }
    Some(document)
}

/// All schemas, as a ListResponse (RFC 7643 7).
pub fn schemas(base: &str) -> Value {
    listed([USER_URN, GROUP_URN, ENTERPRISE_URN].into_iter().filter_map(|id| schema(base, id)).collect())
}

/// One schema by URN; `None` when there is none.
pub fn schema(base: &str, id: &str) -> Option<Value> {
    let (name, attributes) = match id {
        USER_URN => {
            let mut attributes = table(&USER);
            attributes.push(references("groups", "readOnly", &["Group"]));
            ("User", attributes)
        }
        GROUP_URN => {
            let display_name =
                Attribute { name: "displayName", shape: Shape::Text, many: false, required: true };
            ("Group", vec![attribute(&display_name), references("members", "readWrite", &["User"])])
        }
        ENTERPRISE_URN => ("EnterpriseUser", table(&ENTERPRISE)),
        _ => return None,
    };
    Some(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": id, "name": name, "description": name, "attributes": attributes,
        "meta": {"resourceType": "Schema", "location": format!("{base}/Schemas/{id}")},
    }))
}

fn listed(resources: Vec<Value>) -> Value {
    list_response(u64::try_from(resources.len()).unwrap_or(u64::MAX), 1, resources)
}

/// `externalId` is common to every resource and stands in no schema (RFC 7643 3.1).
fn table(attributes: &[Attribute]) -> Vec<Value> {
    attributes.iter().filter(|one| one.name != "externalId").map(attribute).collect()
}

fn attribute(one: &Attribute) -> Value {
    let (kind, subs) = match one.shape {
        Shape::Text => ("string", None),
        Shape::Boolean => ("boolean", None),
        Shape::Complex(subs) => ("complex", Some(subs)),
    };
    let mut document = json!({
        "name": one.name, "type": kind, "multiValued": one.many, "description": one.name,
        "required": one.required, "caseExact": is_exact(one.name), "mutability": "readWrite",
        "returned": "default", "uniqueness": if one.name == "userName" { "server" } else { "none" },
    });
    if let (Some(subs), Some(document)) = (subs, document.as_object_mut()) {
        document.insert("subAttributes".into(), subs.iter().map(attribute).collect());
    }
    document
}

fn references(name: &str, mutability: &str, kinds: &[&str]) -> Value {
    // Members are added and removed whole: what is inside an entry never changes.
    let inner = if mutability == "readOnly" { "readOnly" } else { "immutable" };
    let sub = |name: &str, kind: &str| {
        json!({"name": name, "type": kind, "multiValued": false, "description": name, "required": false,
               "caseExact": name == "$ref" || name == "value", "mutability": inner, "returned": "default",
               "uniqueness": "none"})
    };
    let mut reference = sub("$ref", "reference");
    if let Some(reference) = reference.as_object_mut() {
        reference.insert("referenceTypes".into(), json!(kinds));
    }
    json!({
        "name": name, "type": "complex", "multiValued": true, "description": name, "required": false,
        "caseExact": false, "mutability": mutability, "returned": "default", "uniqueness": "none",
        "subAttributes": [sub("value", "string"), reference, sub("display", "string"), sub("type", "string")],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_what_is_done() {
        let config = service_provider_config("https://x/scim/v2", EntityTags::Ignored);
        for (feature, supported) in [
            ("patch", true),
            ("bulk", false),
            ("filter", true),
            ("changePassword", false),
            ("sort", false),
            ("etag", false),
        ] {
            assert_eq!(config[feature]["supported"], supported, "{feature}");
        }
        assert_eq!(service_provider_config("", EntityTags::Obeyed)["etag"]["supported"], true);
        assert_eq!(config["filter"]["maxResults"], 200);
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
