//! What `/api/v1` takes in a path, a query or a header: what each name means, and within which bounds.

use super::{
    admin_requests::METHODS,
    audit::FORMATS,
    feed::{WAIT_SECS_MAX, WAIT_SECS_USUAL},
    paged::{LIMIT_MAX, LIMIT_USUAL},
};
use broker::idempotent::KEY_CHARS_MAX;
use model::ids;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
use store::HoldState;

/// A parameter as it is described. One that nobody described has no description, and a test finds it.
pub(super) fn parameter(place: &str, name: &str, operation: &str) -> Value {
    let (about, schema) = own_meaning(name, operation).or_else(|| meaning(name)).unwrap_or_default();
    json!({"name": name, "in": place, "required": place == "path", "description": about, "schema": schema})
}

fn id<K: ids::Kind>() -> Value {
    ids::Id::<K>::json_schema(&mut SchemaGenerator::default()).to_value()
}

fn one_of(words: &[&str], usual: Option<&str>) -> Value {
    let mut schema = json!({"type": "string", "enum": words});
    if let (Some(usual), Some(members)) = (usual, schema.as_object_mut()) {
        members.insert("default".to_owned(), json!(usual));
    }
    schema
}

/// What a name means to this operation alone.
fn own_meaning(name: &str, operation: &str) -> Option<(&'static str, Value)> {
    match (operation, name) {
        ("list_holds", "state") => {
            Some(("Only holds in this state", one_of(&HoldState::ALL.map(HoldState::as_str), None)))
        }
        _ => None,
    }
}

fn meaning(name: &str) -> Option<(&'static str, Value)> {
    let text = |max: usize| json!({"type": "string", "maxLength": max});
    let time = || json!({"type": "string", "format": "date-time"});
    Some(match name {
        "org" => {
            ("The org, by its id or its slug", json!({"type": "string", "minLength": 1, "maxLength": 63}))
        }
        "con" => ("The connection", id::<ids::Connection>()),
        "dir" => ("The directory", id::<ids::Directory>()),
        "dom" => ("The domain's claim", id::<ids::Domain>()),
        "usr" => ("The person", id::<ids::User>()),
        "team" => ("The team", id::<ids::Team>()),
        "svc" => ("The service account: its client_id", id::<ids::Service>()),
        "ses" => ("The session", id::<ids::Session>()),
        "hold" => ("What the blast guard held", id::<ids::Hold>()),
        "key" => ("The key or token: its id, not its text", id::<ids::Credential>()),
        "whk" => ("The webhook", id::<ids::Webhook>()),
        "evt" => ("The delivery", id::<ids::Event>()),
        "app" => ("The app: its client_id", id::<ids::App>()),
        "req" => ("The logged request", id::<ids::Logged>()),
        "plan" => ("The plan, by its name", text(63)),
        "host" => ("One of the org's own hosts", text(253)),
        "limit" => (
            "How many to show at most",
            json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_USUAL}),
        ),
        "cursor" => (
            "The `next_cursor` of the page before, of this very list",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
        ),
        "email" => ("Only people with this work email", json!({"type": "string"})),
        "active" => ("Only people who may sign in, or only those who may not", json!({"type": "boolean"})),
        "release" => (
            "Remove the directory though it owns active people: they stay active, and no directory's word \
             deactivates them",
            json!({"type": "boolean", "default": false}),
        ),
        "status" => (
            "Only requests answered with this status",
            json!({"type": "integer", "minimum": 100, "maximum": 599}),
        ),
        "method" => ("Only requests by this method; letter case does not count", one_of(&METHODS, None)),
        "user" => ("Only requests that name this person, or made them", id::<ids::User>()),
        "failed" => (
            "Only requests that were refused, or got no answer; or only those that were not",
            json!({"type": "boolean"}),
        ),
        "state" => ("Only deliveries in this state", one_of(&["waiting", "delivered", "dead"], None)),
        "actor" => {
            ("Only what this one did: the id of a person, key, app or directory", json!({"type": "string"}))
        }
        "action" => ("Only this action, such as `login.accepted`", json!({"type": "string"})),
        "target" => ("Only what was done to this one: an id", json!({"type": "string"})),
        "after" => (
            "The `cursor` of the answer before; left out, it begins with the oldest that is kept",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
        ),
        "wait_secs" => (
            "How long to wait when there is nothing new, in seconds",
            json!({"type": "integer", "minimum": 0, "maximum": WAIT_SECS_MAX, "default": WAIT_SECS_USUAL}),
        ),
        "from" => ("Only from this instant on", time()),
        "to" => ("Only before this instant", time()),
        "format" => ("How it is written", one_of(&FORMATS, Some("ndjson"))),
        "metric" => ("Only this metric, such as `auth.login`", json!({"type": "string"})),
        "bucket" => ("What is summed up", one_of(&["day"], Some("day"))),
        "Idempotency-Key" => (
            "Repeating the request with the same key gives the first answer, for 24 hours",
            json!({"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": "^[!-~]+$"}),
        ),
        _ => return None,
    })
}
