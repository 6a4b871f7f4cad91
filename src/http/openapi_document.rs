//! `GET /api/openapi.json` (OpenAPI 3.1), written from the table of operations, from the types that the
//! handlers read and answer, and from what the doors and readers of `admin.rs` refuse.

use super::{
    DoorKind,
    openapi::{Body, FACES, Operation, Verb},
    openapi_parameters::parameter,
    problem::Details,
};
use schemars::{
    Schema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
    transform::RecursiveTransform,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const ABOUT: &str = "Administration of Vestibule: by the platform's operators with a platform key, and by \
    an org's own programs with an org key, which is held to its org and its scopes.\n\n\
    An answer carries `X-Request-Id`; a caller's own is kept when it is 8 to 64 of `[A-Za-z0-9._-]`. A list \
    goes on with `cursor`. A POST with an `Idempotency-Key` may be repeated for 24 hours: the same request \
    gets the same answer. Fields may be added to answers; what is here does not change in silence. Every \
    error is an RFC 9457 problem whose `code` is stable: docs/REFUSALS.md says what to do about each.";

/// Codes that every call of its kind has.
const QUERY: &[&str] = &["api.query_unknown", "api.query_malformed"];
/// What an app is turned away with.
const CLIENT: &[&str] = &[
    "oauth.invalid_client",
    "oauth.assertion_audience",
    "oauth.assertion_claim",
    "oauth.assertion_expired",
    "oauth.assertion_header",
    "oauth.assertion_malformed",
    "oauth.assertion_not_yet",
    "oauth.assertion_replayed",
    "oauth.assertion_subject",
    "oauth.assertion_too_long_lived",
];
const ARRIVES: &[&str] = &["api.body_late"];
const READS: &[&str] = &["api.body_malformed", "api.field_missing", "api.field_twice", "api.field_unknown"];

pub fn describe() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for (tag, operation) in FACES.iter().flat_map(|(tag, all)| all.iter().map(move |o| (*tag, o))) {
        let described = describe_one(tag, operation, &mut schemas);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(verbs) = path.as_object_mut() {
            verbs.insert(operation.verb.as_str().to_ascii_lowercase(), described);
        }
    }
    let tags: Vec<Value> = FACES.iter().map(|(tag, _)| json!({"name": tag})).collect();
    let (schemas, responses) = schemas.done();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Vestibule administration", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this description was read"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer",
                    "description": "A platform key, or an org key held to its org and scopes."},
                "client": {"type": "http", "scheme": "basic",
                    "description": "An app's client_id and client_secret, form-encoded (RFC 6749 2.3.1)."},
                "assertion": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "A new client assertion of an app with private_key_jwt (RFC 7523)."},
            },
            "headers": headers(),
            "schemas": schemas,
            "responses": responses,
        }
    })
}

fn headers() -> Value {
    let header = |about: &str, schema: Value| json!({"description": about, "schema": schema});
    let count = || json!({"type": "integer", "minimum": 0});
    json!({
        "X-Request-Id": header("Quote it when something is wrong", json!({"type": "string"})),
        "X-RateLimit-Limit": header("To an org's key: what it may ask a second", count()),
        "X-RateLimit-Remaining": header("To an org's key: what is left", count()),
        "X-RateLimit-Reset": header("To an org's key: seconds until nothing is used up", count()),
        "Retry-After": header("Seconds", count()),
        "WWW-Authenticate": header("RFC 9110 11.6.1", json!({"type": "string"})),
    })
}

/// The schemas, by what they describe: a field that may be left out of a request may stand in every
/// answer. One name has one shape: a type that is both and differs is described in place.
struct Schemas {
    answers: SchemaGenerator,
    requests: SchemaGenerator,
    responses: Map<String, Value>,
}

impl Schemas {
    fn new() -> Self {
        // Generators of clients take a field with a default for one that always stands.
        let no_default = |schema: &mut Schema| drop(schema.remove("default"));
        let generator = |contract| {
            let settings = SchemaSettings::draft2020_12().with(|s| {
                s.definitions_path = "/components/schemas".into();
                s.contract = contract;
            });
            settings.with_transform(RecursiveTransform(no_default)).into_generator()
        };
        Self {
            answers: generator(Contract::Serialize),
            requests: generator(Contract::Deserialize),
            responses: Map::new(),
        }
    }

    /// The response with one of these codes. One that has a single code has its name.
    fn refusal(&mut self, status: u16, codes: &BTreeSet<&'static str>) -> Value {
        let problem = self.answers.subschema_for::<Details>();
        let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
        let more = match status {
            401 => Some("WWW-Authenticate"),
            429 | 503 => Some("Retry-After"),
            _ => None,
        };
        if let (Some(name), Some(members)) = (more, headers.as_object_mut()) {
            members.insert(name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
        }
        let listed: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        let response = json!({
            "description": format!("{}: {}", said(status), listed.join(", ")),
            "headers": headers,
            "content": {"application/problem+json": {"schema": problem}},
            // No enum: a client that is made from this must not break over a code it does not know.
            "x-codes": codes,
        });
        match (codes.len(), codes.first()) {
            (1, Some(code)) => {
                self.responses.insert((*code).to_owned(), response);
                json!({"$ref": format!("#/components/responses/{code}")})
            }
            _ => response,
        }
    }

    fn done(mut self) -> (Map<String, Value>, Map<String, Value>) {
        let mut all = self.answers.take_definitions(true);
        all.extend(self.requests.take_definitions(true));
        (all, self.responses)
    }
}

const fn said(status: u16) -> &'static str {
    match status {
        400 => "The request is wrong",
        401 => "No valid key",
        403 => "The key may not",
        404 => "There is no such thing here",
        409 => "Something is in the way",
        413 => "The body is too large",
        422 => "Refused",
        429 => "Too many requests",
        503 => "Try again",
        _ => "Our fault",
    }
}

fn describe_one(tag: &str, operation: &Operation, schemas: &mut Schemas) -> Value {
    let named = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = named.map(|name| parameter("path", name, operation.name)).collect();
    parameters.extend(operation.query.iter().map(|name| parameter("query", name, operation.name)));
    if operation.verb == Verb::Post {
        parameters.push(parameter("header", "Idempotency-Key", operation.name));
    }
    let needs = match operation.door {
        DoorKind::Platform => "A platform key.".to_owned(),
        DoorKind::Org => format!("A platform key, or the org's key with scope `{}`.", operation.scope),
        DoorKind::Client => "An app's own credentials.".to_owned(),
        DoorKind::Open | DoorKind::Bearer | DoorKind::Scim => "No key.".to_owned(),
    };
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), answer(operation, schemas));
    for (status, codes) in refusals(operation) {
        responses.insert(status.to_string(), schemas.refusal(status, &codes));
    }
    let mut described = json!({
        "operationId": operation.name, "tags": [tag], "summary": operation.summary, "description": needs,
        "parameters": parameters, "responses": responses,
    });
    if let Some(members) = described.as_object_mut() {
        match operation.door {
            DoorKind::Open => None,
            DoorKind::Client => {
                members.insert("security".to_owned(), json!([{"client": []}, {"assertion": []}]))
            }
            _ => members.insert("security".to_owned(), json!([{"key": []}])),
        };
        if let Some(body) = operation.body {
            let (schema, examples) = ((body.schema)(&mut schemas.requests), examples(&body));
            let content = json!({"application/json": {"schema": schema, "examples": examples}});
            members.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
        }
    }
    described
}

fn examples(body: &Body) -> Map<String, Value> {
    let read = |text: &&str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let named = |(at, value): (usize, Value)| ((at + 1).to_string(), json!({"value": value}));
    body.examples.iter().map(read).enumerate().map(named).collect()
}

/// What the handler gives when all is well.
fn answer(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut wears = vec!["X-Request-Id"];
    if operation.door == DoorKind::Org {
        wears.extend(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]);
    }
    let header = |name: &str| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    let headers: Map<String, Value> = wears.into_iter().map(header).collect();
    let mut done = json!({"description": operation.summary, "headers": headers});
    let content = ((operation.served)().content)(&mut schemas.answers);
    if operation.status != 204
        && let Some(members) = done.as_object_mut()
    {
        members.insert("content".to_owned(), content.into());
    }
    done
}

/// Every status but the good one, with its codes: those of the door, of the readers, and its own.
fn refusals(operation: &Operation) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut told: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    if operation.door == DoorKind::Open {
        return told;
    }
    let mut add = |status: u16, codes: &[&'static str], when: bool| {
        if when && !codes.is_empty() {
            told.entry(status).or_default().extend(codes);
        }
    };
    let (post, reads) = (operation.verb == Verb::Post, operation.body.is_some());
    let writes = operation.verb != Verb::Get;
    let of_an_org = operation.door == DoorKind::Org;
    add(400, QUERY, true);
    add(400, &["api.query_twice"], !operation.query.is_empty());
    add(400, READS, reads);
    add(400, ARRIVES, reads || post);
    add(400, &["api.idempotency_key_malformed"], post);
    add(400, operation.misreads, true);
    let by_client = operation.door == DoorKind::Client;
    add(401, if by_client { CLIENT } else { &["api.unauthorized"] }, true);
    add(403, &["api.scope_missing"], of_an_org);
    add(404, &["not_found"], operation.path.contains('{'));
    add(409, &["api.idempotency_unanswered"], post);
    add(409, &["conflict"], writes);
    add(409, operation.conflicts, true);
    add(413, &["api.body_too_large"], reads || post);
    add(422, &["api.idempotency_key_reused"], post);
    operation.refuses.iter().for_each(|codes| add(422, codes, true));
    add(429, &["rate_limited"], of_an_org);
    add(500, &["internal"], true);
    add(503, &["busy"], true);
    add(503, &["in_doubt"], writes);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_shape() {
        let mut schemas = Schemas::new();
        for (tag, operation) in FACES.iter().flat_map(|(tag, all)| all.iter().map(move |o| (*tag, o))) {
            describe_one(tag, operation, &mut schemas);
        }
        let (read, answered) =
            (schemas.requests.take_definitions(true), schemas.answers.take_definitions(true));
        assert!(read.contains_key("AttributeNames") && answered.contains_key("AttributeNames"));
        for (name, schema) in read {
            assert!(answered.get(&name).is_none_or(|other| *other == schema), "{name}");
        }
    }
}
