//! The table of `/api/v1`: each operation once, with the scope its door asks and the body it reads.
//! The routes are made from it, the doors ask it, and `GET /api/openapi.json` is written from it.
//! What a body must hold is not written down but tried out on the reader itself.

use super::{DoorKind, Entry, admin_apps, admin_connections, admin_keys, admin_orgs, admin_people, audit};
use actix_web::{HttpResponse, Route, http::Method, web};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
    const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// What a body may look like, and the reader that decides it.
#[derive(Clone, Copy)]
pub struct Body {
    pub examples: &'static [&'static str],
    reads: fn(&str) -> bool,
}

pub const fn body<T: DeserializeOwned>(examples: &'static [&'static str]) -> Body {
    Body { examples, reads: reads::<T> }
}

fn reads<T: DeserializeOwned>(text: &str) -> bool {
    serde_json::from_str::<T>(text).is_ok()
}

/// One operation of `/api/v1`.
#[derive(Clone, Copy)]
pub struct Operation {
    pub verb: Verb,
    pub path: &'static str,
    pub door: DoorKind,
    /// The scope an org key needs; none where only the platform's key or anybody passes.
    pub scope: &'static str,
    pub summary: &'static str,
    pub status: u16,
    pub body: Option<Body>,
    /// The query's fields: any other is refused.
    pub query: &'static [&'static str],
    route: fn() -> Route,
}

/// An operation on an org, by its key with this scope or by the platform's. A platform key alone
/// where `scope` is empty.
pub const fn operation(
    verb: Verb,
    path: &'static str,
    scope: &'static str,
    summary: &'static str,
    route: fn() -> Route,
) -> Operation {
    let door = if scope.is_empty() { DoorKind::Platform } else { DoorKind::Org };
    let status = match verb {
        Verb::Post => 201,
        Verb::Delete => 204,
        Verb::Get | Verb::Put | Verb::Patch => 200,
    };
    Operation { verb, path, door, scope, summary, status, body: None, query: &[], route }
}

impl Operation {
    #[must_use]
    pub const fn reading(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }
    #[must_use]
    pub const fn answering(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
    #[must_use]
    pub const fn asking(mut self, query: &'static [&'static str]) -> Self {
        self.query = query;
        self
    }
    #[must_use]
    pub const fn open(mut self) -> Self {
        self.door = DoorKind::Open;
        self
    }
}

/// What every list asks.
pub const PAGED: &[&str] = &["limit", "cursor"];

const OWN: &[Operation] =
    &[operation(Verb::Get, "/api/openapi.json", "", "This description", || web::to(document)).open()];

pub fn operations() -> impl Iterator<Item = &'static Operation> {
    [
        admin_orgs::OPERATIONS,
        admin_connections::OPERATIONS,
        admin_keys::OPERATIONS,
        admin_people::OPERATIONS,
        admin_apps::OPERATIONS,
        audit::OPERATIONS,
        OWN,
    ]
    .into_iter()
    .flatten()
}

/// The same as lines of the one route table.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        operations()
            .map(|o| Entry { method: o.verb.method(), path: o.path, door: o.door, route: o.route })
            .collect()
    });
    ENTRIES.iter()
}

async fn document() -> HttpResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| describe().to_string());
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

fn describe() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(verbs) = path.as_object_mut() {
            verbs.insert(operation.verb.as_str().to_ascii_lowercase(), describe_one(operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Vestibule administration", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer",
                "description": "A platform key, or an org key held to its org and scopes."}},
            "schemas": {
                "Problem": {"type": "object", "required": ["title", "status", "code", "detail", "request_id"],
                    "properties": {
                        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                        "code": {"type": "string"}, "detail": {"type": "string"}, "field": {"type": "string"},
                        "facts": {"type": "object", "additionalProperties": {"type": "string"}},
                        "request_id": {"type": "string"}}},
                "List": {"type": "object", "required": ["data", "next_cursor"], "properties": {
                    "data": {"type": "array"}, "next_cursor": {"type": ["string", "null"]}}}},
            "responses": {"Problem": {"description": "RFC 9457 problem details with a stable code", "content":
                {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}}
        }
    })
}

fn describe_one(operation: &Operation) -> Value {
    let parameter = |place: &str, name: &str, required: bool| json!({"name": name, "in": place, "required": required, "schema": {"type": "string"}});
    let named = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = named.map(|name| parameter("path", name, true)).collect();
    parameters.extend(operation.query.iter().map(|name| parameter("query", name, false)));
    if operation.verb == Verb::Post {
        parameters.push(parameter("header", "Idempotency-Key", false));
    }
    let needs = match operation.door {
        DoorKind::Platform => "A platform key.".to_owned(),
        DoorKind::Org => format!("A platform key, or the org's key with scope `{}`.", operation.scope),
        DoorKind::Open | DoorKind::Client | DoorKind::Bearer | DoorKind::Scim => "No key.".to_owned(),
    };
    let mut answers = Map::new();
    let mut done = json!({"description": operation.summary});
    if operation.query.contains(&"cursor")
        && let Some(members) = done.as_object_mut()
    {
        let list = json!({"application/json": {"schema": {"$ref": "#/components/schemas/List"}}});
        members.insert("content".to_owned(), list);
    }
    answers.insert(operation.status.to_string(), done);
    answers.insert("default".to_owned(), json!({"$ref": "#/components/responses/Problem"}));
    let mut described = json!({
        "summary": operation.summary, "description": needs, "parameters": parameters, "responses": answers,
    });
    if let Some(members) = described.as_object_mut() {
        if operation.door != DoorKind::Open {
            members.insert("security".to_owned(), json!([{"key": []}]));
        }
        if let Some(body) = operation.body {
            members.insert("requestBody".to_owned(), describe_body(&body));
        }
    }
    described
}

fn describe_body(body: &Body) -> Value {
    let read = |text: &&str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let examples: Vec<Value> = body.examples.iter().map(read).collect();
    let mut schemas: Vec<Value> = examples.iter().map(|example| schema(example, body, true)).collect();
    // Any, not one: a body with only what the forms share fits several of them.
    let schema =
        if schemas.len() > 1 { json!({"anyOf": schemas}) } else { schemas.pop().unwrap_or_default() };
    let named = |(at, value): (usize, Value)| ((at + 1).to_string(), json!({"value": value}));
    let examples: Map<String, Value> = examples.into_iter().enumerate().map(named).collect();
    json!({"required": true, "content": {"application/json": {"schema": schema, "examples": examples}}})
}

/// A schema of an example's form. At the top, a field without which the reader refuses is required.
fn schema(example: &Value, body: &Body, top: bool) -> Value {
    match example {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean", "examples": [example]}),
        Value::Number(_) => json!({"type": "integer", "examples": [example]}),
        Value::String(_) => json!({"type": "string", "examples": [example]}),
        Value::Array(items) => {
            let item = items.first().map_or_else(|| json!({}), |item| schema(item, body, false));
            json!({"type": "array", "items": item})
        }
        Value::Object(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), schema(value, body, false))).collect();
            let mut described =
                json!({"type": "object", "additionalProperties": false, "properties": properties});
            if top && let Some(members) = described.as_object_mut() {
                members.insert("required".to_owned(), json!(required(fields, body)));
            }
            described
        }
    }
}

fn required(fields: &Map<String, Value>, body: &Body) -> Vec<String> {
    let without = |name: &String| {
        let rest: Map<String, Value> =
            fields.iter().filter(|(n, _)| *n != name).map(|(n, v)| (n.clone(), v.clone())).collect();
        Value::Object(rest).to_string()
    };
    fields.keys().filter(|name| !(body.reads)(&without(name))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_example_reads_and_an_unknown_field_does_not() {
        for operation in operations() {
            for example in operation.body.iter().flat_map(|b| b.examples) {
                let body = operation.body.unwrap();
                assert!((body.reads)(example), "{} {}", operation.path, example);
                if let Ok(Value::Object(mut fields)) = serde_json::from_str(example) {
                    fields.insert("surprise".to_owned(), json!(1));
                    let more = Value::Object(fields).to_string();
                    assert!(!(body.reads)(&more), "{} takes unknown fields", operation.path);
                }
            }
        }
    }

    #[test]
    fn every_scope_can_be_given_to_a_key_and_every_operation_stands_once() {
        let mut seen = BTreeSet::new();
        for operation in operations() {
            assert!(seen.insert((operation.path, operation.verb.as_str())), "{}", operation.path);
            let known = broker::administer::KEY_SCOPES.contains(&operation.scope);
            assert_eq!(operation.door == DoorKind::Org, known, "{} {}", operation.path, operation.scope);
            let on_an_org = operation.path.starts_with("/api/v1/orgs/{org}");
            assert!(operation.door != DoorKind::Org || on_an_org, "{}", operation.path);
        }
        for scope in broker::administer::KEY_SCOPES.iter().filter(|s| **s != "*") {
            assert!(operations().any(|o| o.scope == *scope), "{scope} opens nothing");
        }
    }

    #[test]
    fn the_description_names_what_the_reader_asks_for() {
        let document = describe();
        let body = |path: &str| {
            document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone()
        };
        assert_eq!(body("/api/v1/orgs")["required"], json!(["name", "slug"]));
        assert_eq!(body("/api/v1/orgs/{org}/connections")["anyOf"].as_array().unwrap().len(), 4);
        let create = &document["paths"]["/api/v1/orgs/{org}/teams"]["post"];
        assert_eq!(create["parameters"][0]["name"], "org");
        assert!(create["responses"]["201"].is_object());
    }
}
