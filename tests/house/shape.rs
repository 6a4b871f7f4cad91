//! Every answer of `/api/v1` that a test gets is held to `GET /api/openapi.json`: its status, its kind, and
//! each of its fields. Stricter than JSON Schema: a field that is not described is a fault, and so is a
//! word of the description that is not understood here.

use regex_lite::Regex;
use serde_json::{Map, Value};
use std::{collections::BTreeSet, sync::LazyLock};

pub static DOCUMENT: LazyLock<Value> = LazyLock::new(vestibule::http::openapi_document::describe);

/// Words that say nothing a value can break.
const SAYINGS: [&str; 3] = ["description", "title", "default"];

/// The operation that this path, without its query, is a call of.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let fits = |template: &str| {
        let (mut asked, mut wanted) = (path.split('/'), template.split('/'));
        asked.by_ref().zip(wanted.by_ref()).all(|(a, w)| w.starts_with('{') || a == w)
            && path.split('/').count() == template.split('/').count()
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    // A template without a parameter is meant before one with.
    let mut found: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    found.sort_by_key(|(template, _)| template.matches('{').count());
    let verb = method.bytes().all(|b| b.is_ascii_uppercase()).then(|| method.to_ascii_lowercase())?;
    found.first()?.1.get(verb)
}

/// What is wrong with this answer, by the description of its operation.
pub fn fault(method: &str, path: &str, (status, kind, body): (u16, &str, &str)) -> Option<String> {
    let operation = operation(method, path.split('?').next().unwrap_or(path))?;
    let Some(described) = operation["responses"].get(status.to_string()) else {
        return Some(format!("status {status} is not described: {body}"));
    };
    let Some(content) = followed(described).get("content") else {
        return (!body.is_empty()).then(|| format!("a body that is not described: {body}"));
    };
    let media = kind.split(';').next().unwrap_or_default().trim();
    let Some(media) = content.get(media) else {
        return Some(format!("{kind:?} is not described, only {content}"));
    };
    let value = match serde_json::from_str(body) {
        Ok(value) if kind.contains("json") && !kind.contains("ndjson") => value,
        _ => Value::String(body.to_owned()),
    };
    let mut faults = faults(&media["schema"], &value);
    let codes = followed(described).get("x-codes").and_then(Value::as_array);
    faults.extend(
        codes.filter(|codes| !codes.contains(&value["code"])).map(|codes| format!("none of {codes:?}")),
    );
    (!faults.is_empty()).then(|| format!("{faults:?} in {body}"))
}

/// Panics when the answer is not as it is described.
pub fn hold(method: &str, path: &str, answer: (u16, &str, &str)) {
    if let Some(fault) = fault(method, path, answer) {
        panic!("{method} {path}: {fault}");
    }
}

/// What is wrong with this value by this schema of the document.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    judge(schema, value, "", &mut found);
    found
}

fn followed(at: &'static Value) -> &'static Value {
    match at.get("$ref").and_then(Value::as_str) {
        Some(place) => {
            DOCUMENT.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("no {place}"))
        }
        None => at,
    }
}

/// All that the schema says, then that it says something of each field.
fn judge(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    keep(schema, value, at, found);
    if let (Some(fields), Some(declared)) = (value.as_object(), declared(schema)) {
        found.extend(
            fields
                .keys()
                .filter(|name| !declared.contains(*name))
                .map(|name| format!("{at}/{name} is not described")),
        );
    }
}

/// The fields that it names; none when it lets in others.
fn declared(schema: &Value) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
        names.extend(declared(DOCUMENT.pointer(place.trim_start_matches('#')).unwrap())?);
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        names.extend(declared(part)?);
    }
    if schema.get("anyOf").or(schema.get("oneOf")).is_some()
        || schema.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false))
    {
        return None;
    }
    names.extend(
        schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone()),
    );
    Some(names)
}

fn keep(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(words) = schema.as_object() else {
        return found.push(format!("{at} may be anything"));
    };
    for (word, said) in words {
        let kept = match word.as_str() {
            "$ref" => {
                keep(
                    DOCUMENT.pointer(said.as_str().unwrap().trim_start_matches('#')).unwrap(),
                    value,
                    at,
                    found,
                );
                true
            }
            "type" => said
                .as_array()
                .map_or_else(|| is_a(said, value), |any| any.iter().any(|one| is_a(one, value))),
            "enum" => said.as_array().unwrap().contains(value),
            "const" => said == value,
            "allOf" => {
                said.as_array().unwrap().iter().for_each(|part| keep(part, value, at, found));
                true
            }
            "anyOf" => fitting(said, value) >= 1,
            "oneOf" => fitting(said, value) == 1,
            "required" => value.as_object().is_none_or(|fields| {
                said.as_array().unwrap().iter().all(|name| fields.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = said.get(name) {
                        judge(schema, inner, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            // Whether it lets in others, `declared` asks; a schema of the others is kept here.
            "additionalProperties" => {
                let known = words.get("properties").and_then(Value::as_object);
                let others = |fields: &Map<String, Value>| {
                    fields
                        .clone()
                        .into_iter()
                        .filter(|(name, _)| !known.is_some_and(|known| known.contains_key(name)))
                };
                if said.is_object() {
                    for (name, inner) in value.as_object().into_iter().flat_map(others) {
                        judge(said, &inner, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    judge(said, item, &format!("{at}/{place}"), found);
                }
                true
            }
            word if SAYINGS.contains(&word) => true,
            word => bound(word, said, value).unwrap_or(false),
        };
        if !kept {
            found.push(format!("{at}: {value} breaks {word}: {said}"));
        }
    }
}

fn fitting(schemas: &Value, value: &Value) -> usize {
    schemas.as_array().unwrap().iter().filter(|schema| faults(schema, value).is_empty()).count()
}

fn is_a(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

/// Is this bound kept? One for another type says nothing. `None`: the word is not known.
fn bound(word: &str, said: &Value, value: &Value) -> Option<bool> {
    let (number, count) = (said.as_f64(), said.as_u64().map(|n| n as usize));
    let (text, items) = (value.as_str(), value.as_array().map(Vec::len));
    let chars = text.map(|text| text.chars().count());
    Some(match word {
        "pattern" => text.is_none_or(|text| Regex::new(said.as_str().unwrap()).unwrap().is_match(text)),
        "minLength" => chars.is_none_or(|chars| Some(chars) >= count),
        "maxLength" => chars.is_none_or(|chars| Some(chars) <= count),
        "minItems" => items.is_none_or(|items| Some(items) >= count),
        "maxItems" => items.is_none_or(|items| Some(items) <= count),
        "uniqueItems" => value
            .as_array()
            .is_none_or(|all| all.iter().enumerate().all(|(at, one)| !all[..at].contains(one))),
        "minimum" => value.as_f64().is_none_or(|value| Some(value) >= number),
        "maximum" => value.as_f64().is_none_or(|value| Some(value) <= number),
        "format" => match said.as_str()? {
            "date-time" => text.is_none_or(|text| model::Timestamp::parse_rfc3339(text).is_ok()),
            "date" => {
                text.is_none_or(|text| model::Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")).is_ok())
            }
            "uri" => text.is_none_or(|text| reqwest::Url::parse(text).is_ok()),
            "int32" => value.as_i64().is_none_or(|n| i32::try_from(n).is_ok()),
            "uint32" => value.as_i64().is_none_or(|n| u32::try_from(n).is_ok()),
            "uint16" => value.as_i64().is_none_or(|n| u16::try_from(n).is_ok()),
            "int64" | "double" => true,
            _ => return None,
        },
        _ => return None,
    })
}

#[test]
fn what_is_not_described_is_a_fault() {
    use serde_json::json;
    let team = json!({"$ref": "#/components/schemas/Team"});
    let right = json!({"id": "team_00000000000000000000000000", "slug": "a", "name": "A", "created_at": "2026-01-01T00:00:00Z"});
    assert_eq!(faults(&team, &right), [""; 0]);
    let mut wrong = Vec::new();
    for (field, value) in [
        ("more", json!(1)),
        ("id", json!("usr_00000000000000000000000000")),
        ("slug", Value::Null),
        ("created_at", json!("today")),
    ] {
        let mut changed = right.clone();
        changed[field] = value;
        wrong.push(changed);
    }
    let mut less = right.clone();
    less.as_object_mut().unwrap().remove("name");
    wrong.push(less);
    for wrong in wrong {
        assert_eq!(faults(&team, &wrong).len(), 1, "{wrong}");
    }
    for odd in [json!(true), json!({"propertyNames": {}}), json!({"format": "ipv4"})] {
        assert_eq!(faults(&odd, &json!("x")).len(), 1, "{odd}");
    }
    let path = "/api/v1/orgs/acme/teams";
    let said = |status: u16, kind: &str, body: &str| fault("POST", path, (status, kind, body)).is_some();
    let text = right.to_string();
    assert!(!said(201, "application/json", &text));
    assert!(
        said(200, "application/json", &text)
            && said(201, "text/plain", &text)
            && said(201, "application/json", "{}")
    );
    let problem = |code: &str| {
        json!({"type": "about:blank", "title": "t", "status": 409, "code": code, "detail": "d", "request_id": "r"}).to_string()
    };
    assert!(!said(409, "application/problem+json", &problem("team.slug_taken")));
    assert!(said(409, "application/problem+json", &problem("team.slug_malformed")), "a code of another call");
}
