//! Every attribute that the server's own schemas say can be written: written, read, replaced, removed.
//! The values are made from the published characteristics, so a server is judged by what it announces.

use super::{Cast, Coded, config::resources};
use crate::{
    case::{Acting, Stop},
    look::{covers, member, text},
    server::{ENTERPRISE, GROUP, USER},
    stage::{Stage, message},
    wire::{Credential, Request},
};
use serde_json::{Map, Value, json};

/// Written in every case anyway, or not to be read again, or in need of a real certificate.
const LEFT_OUT: [&str; 4] = ["userName", "password", "groups", "x509Certificates"];

pub(super) const ACTS: &[Coded] = &[
    ("schemas.round-trip", |stage| written(stage, USER), Cast::Alone),
    ("schemas.round-trip-enterprise", |stage| written(stage, ENTERPRISE), Cast::Alone),
    ("patch.every.replace", |stage| replaced(stage, USER), Cast::Alone),
    ("patch.every.replace-enterprise", |stage| replaced(stage, ENTERPRISE), Cast::Alone),
    ("patch.every.remove", |stage| removed(stage, USER), Cast::Alone),
    ("patch.every.remove-enterprise", |stage| removed(stage, ENTERPRISE), Cast::Alone),
    ("schemas.members-true", members, Cast::Alone),
];

/// The attributes of a schema that can be written, with a value for each.
async fn samples(stage: &mut Stage, schema: &str) -> Result<Vec<(Value, Value)>, Stop> {
    let list = resources(stage, "/Schemas").await?;
    let found = list.iter().find(|one| text(one, "id").eq_ignore_ascii_case(schema));
    let attributes = found.and_then(|one| member(one, "attributes")).and_then(Value::as_array).cloned();
    let attributes = attributes.ok_or_else(|| stage.blocked(&format!("{schema} in /Schemas"), "nothing"))?;
    let mut samples = Vec::new();
    for one in attributes {
        if LEFT_OUT.contains(&text(&one, "name")) {
            continue;
        }
        let value = if text(&one, "name") == "manager" {
            let boss = stage.user("boss", &json!({}), Credential::Own).await?;
            Some(json!({"value": text(&boss, "id")}))
        } else {
            sample(stage, "", &one)
        };
        samples.extend(value.map(|value| (one, value)));
    }
    Ok(samples)
}

/// A value that fits an attribute; none where it is not the client's to write.
fn sample(stage: &Stage, within: &str, attribute: &Value) -> Option<Value> {
    let mutability = member(attribute, "mutability").and_then(Value::as_str).unwrap_or("readWrite");
    if mutability == "readOnly" || mutability == "writeOnly" || text(attribute, "returned") == "never" {
        return None;
    }
    let name = text(attribute, "name");
    let canonical =
        member(attribute, "canonicalValues").and_then(Value::as_array).and_then(|list| list.first());
    let external = member(attribute, "referenceTypes")
        .and_then(Value::as_array)
        .is_none_or(|list| list.iter().any(|one| ["external", "uri"].iter().any(|kind| one == kind)));
    let one = match (within, name, text(attribute, "type")) {
        (_, "primary", _) => json!(true),
        ("emails", "value", _) => json!(format!("{}-sample@{}", stage.tag, stage.bench.domain)),
        ("phoneNumbers", "value", _) => json!("tel:+1-201-555-0123"),
        ("addresses", "country", _) => json!("AT"),
        (_, "locale", _) => json!("en-US"),
        (_, "preferredLanguage", _) => json!("en"),
        (_, "timezone", _) => json!("Europe/Vienna"),
        (_, _, "boolean") => json!(true),
        (_, _, "integer") => json!(7),
        (_, _, "decimal") => json!(1.5),
        (_, _, "dateTime") => json!("2011-05-13T04:42:34Z"),
        (_, _, "binary") => json!("aGVsbG8="),
        (_, _, "reference") if external && name != "$ref" => json!(format!("https://sample.example/{name}")),
        (_, _, "reference") => return None,
        (_, _, "complex") => {
            let subs = member(attribute, "subAttributes").and_then(Value::as_array)?;
            let members: Map<String, Value> = subs
                .iter()
                .filter_map(|sub| Some((text(sub, "name").to_owned(), sample(stage, name, sub)?)))
                .collect();
            Value::Object(members)
        }
        (_, _, _) => canonical.cloned().unwrap_or_else(|| json!(format!("{name} of {}", stage.tag))),
    };
    let many = member(attribute, "multiValued").and_then(Value::as_bool).unwrap_or(false);
    Some(if many { json!([one]) } else { one })
}

/// The same, letter case aside where the schema does not mind it.
fn kept(found: Option<&Value>, sent: &Value) -> bool {
    let folded =
        |value: &Value| serde_json::from_str(&value.to_string().to_lowercase()).unwrap_or(Value::Null);
    found.is_some_and(|found| covers(found, sent) || covers(&folded(found), &folded(sent)))
}

/// Where a schema's attributes stand in a resource.
fn container<'a>(resource: &'a Value, schema: &str) -> Option<&'a Value> {
    if schema == USER { Some(resource) } else { member(resource, schema) }
}

fn in_body(schema: &str, members: Map<String, Value>) -> Value {
    if schema == USER { Value::Object(members) } else { json!({ schema: members }) }
}

fn path_of(schema: &str, name: &str) -> String {
    if schema == USER { name.to_owned() } else { format!("{schema}:{name}") }
}

fn written<'a>(stage: &'a mut Stage, schema: &'static str) -> Acting<'a> {
    Box::pin(async move {
        let samples = samples(stage, schema).await?;
        let members =
            samples.iter().map(|(one, value)| (text(one, "name").to_owned(), value.clone())).collect();
        let user = stage.user("ada", &in_body(schema, members), Credential::Own).await?;
        let answer = stage.send(Request::new("GET", format!("/Users/{}", text(&user, "id")))).await?;
        stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
        for (one, value) in samples {
            let name = text(&one, "name");
            let found = container(answer.body(), schema).and_then(|place| member(place, name));
            let shown = found.map_or_else(|| "nothing".into(), Value::to_string);
            stage.hold(kept(found, &value), &format!("{name} as written: {value}"), &shown)?;
        }
        Ok(())
    })
}

async fn patch(stage: &mut Stage, id: &str, operation: Value) -> Result<bool, Stop> {
    let body = json!({"schemas": [message("PatchOp")], "Operations": [operation]});
    Ok(stage.send(Request::new("PATCH", format!("/Users/{id}")).json(&body)).await?.is_success())
}

async fn attribute_now(stage: &mut Stage, id: &str, schema: &str, name: &str) -> Result<Option<Value>, Stop> {
    let seen = stage.last.clone();
    let answer = stage.prepare(Request::new("GET", format!("/Users/{id}"))).await?;
    // The report shows the PATCH, not the reading of what it did.
    stage.last = seen;
    Ok(container(answer.body(), schema).and_then(|place| member(place, name)).cloned())
}

fn replaced<'a>(stage: &'a mut Stage, schema: &'static str) -> Acting<'a> {
    Box::pin(async move {
        let samples = samples(stage, schema).await?;
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let id = text(&user, "id").to_owned();
        for (one, value) in samples {
            let name = text(&one, "name");
            let done =
                patch(stage, &id, json!({"op": "replace", "path": path_of(schema, name), "value": value}))
                    .await?;
            stage.hold(done, &format!("{name} to be replaced by {value}"), "a refusal")?;
            let found = attribute_now(stage, &id, schema, name).await?;
            let shown = found.as_ref().map_or_else(|| "nothing".into(), Value::to_string);
            stage.hold(kept(found.as_ref(), &value), &format!("{name} as written: {value}"), &shown)?;
        }
        Ok(())
    })
}

fn removed<'a>(stage: &'a mut Stage, schema: &'static str) -> Acting<'a> {
    Box::pin(async move {
        let samples = samples(stage, schema).await?;
        let members =
            samples.iter().map(|(one, value)| (text(one, "name").to_owned(), value.clone())).collect();
        let user = stage.user("ada", &in_body(schema, members), Credential::Own).await?;
        let id = text(&user, "id").to_owned();
        for (one, _) in samples {
            let name = text(&one, "name");
            let required = member(&one, "required").and_then(Value::as_bool) == Some(true);
            if required || text(&one, "mutability") == "immutable" {
                continue;
            }
            let done = patch(stage, &id, json!({"op": "remove", "path": path_of(schema, name)})).await?;
            stage.hold(done, &format!("{name}, which is not required, to be removed"), "a refusal")?;
            let found = attribute_now(stage, &id, schema, name).await?;
            // A boolean may go back to a default.
            let gone = found
                .as_ref()
                .is_none_or(|value| value.is_null() || value.is_boolean() || *value == json!([]));
            let shown = found.map_or_else(String::new, |value| value.to_string());
            stage.hold(gone, &format!("{name} unassigned"), &shown)?;
        }
        Ok(())
    })
}

fn members(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let sent = json!({"value": text(&user, "id"), "display": format!("called {}", stage.tag)});
        let group = stage.group("team", &json!({"members": [sent]}), &[], Credential::Own).await?;
        let answer = stage.send(Request::new("GET", format!("/Groups/{}", text(&group, "id")))).await?;
        let said = stage.bench.server.attribute(GROUP, "members.display").map(|one| text(one, "mutability"));
        let read_only = said.is_none_or(|mutability| mutability == "readOnly");
        let list = member(answer.body(), "members").and_then(Value::as_array);
        let shown = list.and_then(|list| list.first()).and_then(|one| member(one, "display")).cloned();
        let true_to_it = read_only || shown.as_ref() == member(&sent, "display");
        let found = shown.map_or_else(|| "nothing".into(), |value| value.to_string());
        stage.hold(true_to_it, &format!("display as written ({}), or readOnly in the schema", sent), &found)
    })
}
