//! Wrong types, attribute by attribute: a server may refuse them or read them kindly, but what it
//! serves afterwards has the type that RFC 7643 gives the attribute, and nothing makes it stumble.

use super::{Cast, Coded};
use crate::{
    case::{Acting, Stop},
    look::{member, text},
    play::holds_error,
    server::ENTERPRISE,
    stage::{Stage, message},
    wire::{Credential, Request},
};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Flag,
    Complex,
    List,
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Complex => value.is_object(),
            Self::List => value.as_array().is_some_and(|list| list.iter().all(Value::is_object)),
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Flag => "a boolean",
            Self::Complex => "an object",
            Self::List => "a list of objects",
        }
    }
}

/// Values of every type, to be tried where they do not fit.
fn values() -> [Value; 9] {
    [
        json!(7),
        json!(1.5),
        json!(true),
        json!("text"),
        json!({"x": 1}),
        json!({}),
        json!(["text"]),
        json!([[1], null]),
        json!([{"value": {"deep": []}}]),
    ]
}

pub(super) const ACTS: &[Coded] = &[
    ("types.user-name", |s| wrong(s, "userName", Kind::Text), Cast::Alone),
    ("types.display-name", |s| wrong(s, "displayName", Kind::Text), Cast::Alone),
    ("types.external-id", |s| wrong(s, "externalId", Kind::Text), Cast::Alone),
    ("types.title", |s| wrong(s, "title", Kind::Text), Cast::Alone),
    ("types.active", |s| wrong(s, "active", Kind::Flag), Cast::Alone),
    ("types.name", |s| wrong(s, "name", Kind::Complex), Cast::Alone),
    ("types.emails", |s| wrong(s, "emails", Kind::List), Cast::Alone),
    ("types.phone-numbers", |s| wrong(s, "phoneNumbers", Kind::List), Cast::Alone),
    ("types.addresses", |s| wrong(s, "addresses", Kind::List), Cast::Alone),
    ("types.roles", |s| wrong(s, "roles", Kind::List), Cast::Alone),
    ("types.enterprise", |s| wrong(s, ENTERPRISE, Kind::Complex), Cast::Alone),
    ("types.schemas", schemas, Cast::Alone),
    ("types.members", members, Cast::Alone),
    ("types.patch-text", |s| patched(s, "displayName", Kind::Text), Cast::Alone),
    ("types.patch-list", |s| patched(s, "emails", Kind::List), Cast::Alone),
    ("types.patch-flag", |s| patched(s, "active", Kind::Flag), Cast::Alone),
    ("types.patch-complex", |s| patched(s, "name", Kind::Complex), Cast::Alone),
    ("types.patch-path", operations, Cast::Alone),
    ("patch.unknown-schema", unknown_schema, Cast::Alone),
];

fn unknown_schema(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let place = format!("/Users/{}", text(&user, "id"));
        let (urn, size) = ("urn:example:nothing:2.0:User", json!("42"));
        let operation = json!({"op": "replace", "path": format!("{urn}:size"), "value": size});
        let body = json!({"schemas": [message("PatchOp")], "Operations": [operation]});
        let answer = stage.send(Request::new("PATCH", place.clone()).json(&body)).await?;
        if !answer.is_success() {
            stage.hold(answer.status == 400, "status 400, or 200 or 204", &answer.status.to_string())?;
            return holds_error(stage, "any", &answer);
        }
        let answer = stage.send(Request::new("GET", place)).await?;
        let found = member(answer.body(), urn).and_then(|extension| member(extension, "size")).cloned();
        let shown = found.as_ref().map_or_else(|| "nothing".into(), Value::to_string);
        stage.hold(found == Some(size), "what the PATCH set, or 400 for it", &shown)
    })
}

/// The answer to a wrong value: an error in its shape, or a resource whose attribute has its type.
fn settled(
    stage: &Stage,
    answer: &crate::wire::Answer,
    name: &str,
    kind: Kind,
    sent: &Value,
) -> Result<(), Stop> {
    let judged = (400..500).contains(&answer.status) || answer.is_success();
    let place = format!("{name}: {sent}");
    stage.hold(judged, &format!("400, or a resource, for {place}"), &answer.status.to_string())?;
    if !answer.is_success() {
        return holds_error(stage, "any", answer);
    }
    let kept = member(answer.body(), name).filter(|value| !value.is_null());
    let right = kept.is_none_or(|value| kind.fits(value));
    let found = kept.map_or_else(String::new, Value::to_string);
    stage.hold(right, &format!("{} served as {name} after {sent}", kind.name()), &found)
}

fn wrong<'a>(stage: &'a mut Stage, name: &'static str, kind: Kind) -> Acting<'a> {
    Box::pin(async move {
        for (number, value) in values().into_iter().enumerate().filter(|(_, value)| !kind.fits(value)) {
            let mut body = stage.user_body(&format!("u{number}"), &json!({}));
            if let Some(members) = body.as_object_mut() {
                members.insert(name.to_owned(), value.clone());
            }
            let answer = stage.send(Request::new("POST", "/Users").json(&body)).await?;
            settled(stage, &answer, name, kind, &value)?;
            if answer.is_success() {
                let id = text(answer.body(), "id").to_owned();
                let read = stage.send(Request::new("GET", format!("/Users/{id}"))).await?;
                settled(stage, &read, name, kind, &value)?;
            }
        }
        Ok(())
    })
}

fn schemas(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let lists_text =
            |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        for (number, value) in values().into_iter().enumerate().filter(|(_, value)| !lists_text(value)) {
            let body = stage.user_body(&format!("u{number}"), &json!({"schemas": value}));
            let answer = stage.send(Request::new("POST", "/Users").json(&body)).await?;
            let judged = (400..500).contains(&answer.status) || answer.is_success();
            stage.hold(
                judged,
                &format!("400, or a user, for schemas: {value}"),
                &answer.status.to_string(),
            )?;
            if answer.is_success() {
                let kept = member(answer.body(), "schemas").is_some_and(lists_text);
                stage.hold(kept, "schemas, a list of strings", &answer.text)?;
            }
        }
        Ok(())
    })
}

fn members(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for (number, value) in values().into_iter().enumerate().filter(|(_, value)| *value != json!({})) {
            let group = stage.group(&format!("g{number}"), &json!({}), &[], Credential::Own).await?;
            let body = json!({"schemas": [crate::server::GROUP], "displayName": text(&group, "displayName"), "members": value});
            let answer = stage
                .send(Request::new("PUT", format!("/Groups/{}", text(&group, "id"))).json(&body))
                .await?;
            settled(stage, &answer, "members", Kind::List, &value)?;
        }
        Ok(())
    })
}

fn patched<'a>(stage: &'a mut Stage, name: &'static str, kind: Kind) -> Acting<'a> {
    Box::pin(async move {
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let path = format!("/Users/{}", text(&user, "id"));
        for op in ["add", "replace"] {
            for value in values().into_iter().filter(|value| !kind.fits(value)) {
                let body = json!({"schemas": [message("PatchOp")], "Operations": [{"op": op, "path": name, "value": value}]});
                let answer = stage.send(Request::new("PATCH", path.clone()).json(&body)).await?;
                settled(stage, &answer, name, kind, &value)?;
                let read = stage.send(Request::new("GET", path.clone())).await?;
                stage.hold(read.status == 200, "status 200 afterwards", &read.status.to_string())?;
                settled(stage, &read, name, kind, &value)?;
            }
        }
        Ok(())
    })
}

fn operations(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let path = format!("/Users/{}", text(&user, "id"));
        for value in values().into_iter().filter(|value| !value.is_string()) {
            for operation in [
                json!({"op": value, "path": "displayName", "value": "x"}),
                json!({"op": "replace", "path": value, "value": "x"}),
            ] {
                let body = json!({"schemas": [message("PatchOp")], "Operations": [operation]});
                let answer = stage.send(Request::new("PATCH", path.clone()).json(&body)).await?;
                stage.hold(
                    answer.status == 400,
                    &format!("status 400 for {operation}"),
                    &answer.status.to_string(),
                )?;
                holds_error(stage, "any", &answer)?;
            }
        }
        Ok(())
    })
}
