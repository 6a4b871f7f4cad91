//! Wrong types, attribute by attribute: a server may refuse them or read them kindly, but what it
//! serves afterwards has the type that RFC 7643 gives the attribute, and nothing makes it stumble.

use super::Brief;
use crate::{
    case::{Acting, Case, Level, Stop},
    look::{member, text},
    play::holds_error,
    server::ENTERPRISE,
    stage::{Stage, message},
    wire::{Credential, Request},
};
use serde_json::{Value, json};

const PART: &str = "Wrong types";

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

pub(super) fn cases() -> Vec<Case> {
    let created = |id, title, needs| Brief {
        id,
        title,
        rule: "RFC 7643 2.3",
        level: Level::Must,
        says: "Each attribute has one data type; a value that is not compatible with it is 400 invalidValue.",
        todo: "Check each value against the schema before anything is stored; never answer 5xx.",
        needs,
    };
    vec![
        created("types.user-name", "userName of every wrong type", &[])
            .plays(PART, |s| wrong(s, "userName", Kind::Text)),
        created("types.display-name", "displayName of every wrong type", &["user.displayName"])
            .plays(PART, |s| wrong(s, "displayName", Kind::Text)),
        created("types.external-id", "externalId of every wrong type", &[])
            .plays(PART, |s| wrong(s, "externalId", Kind::Text)),
        created("types.title", "title of every wrong type", &["user.title"])
            .plays(PART, |s| wrong(s, "title", Kind::Text)),
        created("types.active", "active of every wrong type", &["user.active"])
            .plays(PART, |s| wrong(s, "active", Kind::Flag)),
        created("types.name", "name of every wrong type", &["user.name"])
            .plays(PART, |s| wrong(s, "name", Kind::Complex)),
        created("types.emails", "emails of every wrong type", &["user.emails"])
            .plays(PART, |s| wrong(s, "emails", Kind::List)),
        created("types.phone-numbers", "phoneNumbers of every wrong type", &["user.phoneNumbers"])
            .plays(PART, |s| wrong(s, "phoneNumbers", Kind::List)),
        created("types.addresses", "addresses of every wrong type", &["user.addresses"])
            .plays(PART, |s| wrong(s, "addresses", Kind::List)),
        created("types.roles", "roles of every wrong type", &["user.roles"])
            .plays(PART, |s| wrong(s, "roles", Kind::List)),
        created("types.enterprise", "the enterprise extension of every wrong type", &["enterprise"])
            .plays(PART, |s| wrong(s, ENTERPRISE, Kind::Complex)),
        created("types.schemas", "schemas of every wrong type", &[]).plays(PART, schemas),
        created("types.members", "members of every wrong type", &["groups"]).plays(PART, members),
        created(
            "types.patch-text",
            "a PATCH of displayName to every wrong type",
            &["patch", "user.displayName"],
        )
        .plays(PART, |s| patched(s, "displayName", Kind::Text)),
        created("types.patch-list", "a PATCH of emails to every wrong type", &["patch", "user.emails"])
            .plays(PART, |s| patched(s, "emails", Kind::List)),
        created("types.patch-flag", "a PATCH of active to every wrong type", &["patch", "user.active"])
            .plays(PART, |s| patched(s, "active", Kind::Flag)),
        created("types.patch-complex", "a PATCH of name to every wrong type", &["patch", "user.name"])
            .plays(PART, |s| patched(s, "name", Kind::Complex)),
        created("types.patch-path", "a PATCH whose op or path is of every wrong type", &["patch"])
            .plays(PART, operations),
    ]
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
