//! Bodies that no client sends: of the wrong kind, too deep, too large, with each field of a right one
//! wrong in every way, or with a few bytes of it damaged.

use crate::raw_http::Raw;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use vestibule::http::{Entry, openapi::operations};

const BIG_BYTES: usize = 10 * 1024 * 1024;
const DEEP: usize = 100_000;

/// Bodies that are none: of any kind, and as any kind.
pub fn bad_bodies(plain: &Raw, own: &str) -> Vec<Raw> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(DEEP), close.repeat(DEEP)).into_bytes();
    let mut big = b"{\"a\":\"".to_vec();
    big.resize(BIG_BYTES, b'x');
    let mut found: Vec<Vec<u8>> = vec![
        vec![],
        b"\0".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        b"{\"name\":\"\xff\"}".to_vec(),
        b"{\"name\":\"\\ud800\"}".to_vec(),
        b"{\"name\":\"\\u0000\"}".to_vec(),
        b"{\"name\":\"a\0b\"}".to_vec(),
        b"{\"name\":1e400}".to_vec(),
        b"{\"name\":1,\"name\":2}".to_vec(),
        b"{\"name\":".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"x\"".to_vec(),
        b"99999999999999999999999999".to_vec(),
        b"a=%00&b=%ff&a=1".to_vec(),
        b"grant_type=%00".to_vec(),
        b"token=%00".to_vec(),
        b"token=\xff\xff".to_vec(),
        b"SAMLResponse=%00&RelayState=%00".to_vec(),
        b"SAMLResponse=AAAA&RelayState=AAAA".to_vec(),
        b"=&=&=".to_vec(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        big,
    ];
    found.push([b"SAMLResponse=".as_slice(), STANDARD.encode("<a>".repeat(DEEP)).as_bytes()].concat());
    let mut all: Vec<Raw> = found.into_iter().map(|body| Raw { body: Some(body), ..plain.clone() }).collect();
    for kind in [
        "",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "\u{e9}",
        own,
    ] {
        let mut raw = Raw { body: Some(b"{}".to_vec()), ..plain.clone() };
        raw.headers.retain(|(name, _)| name != "Content-Type");
        raw.headers.extend((!kind.is_empty()).then(|| ("Content-Type".to_owned(), kind.to_owned())));
        all.push(raw);
    }
    all
}

/// Values that are right in some field somewhere, and wrong in all others.
fn wrong_values() -> Vec<String> {
    let mut values: Vec<String> = [
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "1e400",
        "18446744073709551616",
        "\"\"",
        "\"\\u0000\"",
        "\"a\\u0000b\"",
        "\"\\ud800\"",
        "[]",
        "[null]",
        "[[]]",
        "[\"\\u0000\"]",
        "[1]",
        "{}",
        "{\"a\":null}",
        "\"\\u202e\\ufeff\"",
        "\"https://[\"",
        "\"usr_zzzzzzzzzzzzzzzzzzzzzzzzzz\"",
    ]
    .map(str::to_owned)
    .into();
    values.push(format!("\"{}\"", "x".repeat(100_000)));
    values.push(format!("[{}\"x\"]", "\"x\",".repeat(2_000)));
    values
}

/// A document with each of its fields, at any depth, replaced by each wrong value. Text, because some of
/// these no reader would give back.
pub fn with_wrong_fields(document: &Value) -> Vec<Vec<u8>> {
    const HERE: &str = "@here@";
    fn places(value: &Value) -> Vec<Value> {
        let mut found = vec![json!(HERE)];
        match value {
            Value::Object(members) => {
                for (name, inner) in members {
                    found.extend(places(inner).into_iter().map(|changed| {
                        let mut members: Map<String, Value> = members.clone();
                        members.insert(name.clone(), changed);
                        Value::Object(members)
                    }));
                }
            }
            Value::Array(items) => {
                for at in 0..items.len() {
                    found.extend(places(&items[at]).into_iter().map(|changed| {
                        let mut items = items.clone();
                        items[at] = changed;
                        Value::Array(items)
                    }));
                }
            }
            _ => {}
        }
        found
    }
    let hole = json!(HERE).to_string();
    let texts = places(document).into_iter().map(|document| document.to_string());
    texts
        .flat_map(|text| {
            wrong_values().into_iter().map(move |value| text.replace(&json!(HERE).to_string(), &value))
        })
        .filter(|text| !text.contains(&hole))
        .map(String::into_bytes)
        .collect()
}

/// Documents that a route takes, in its own dialect.
pub fn documents(entry: &Entry) -> Vec<Value> {
    let read = |text: &&str| serde_json::from_str(text).unwrap();
    let of_api = operations()
        .find(|o| o.path == entry.path && o.verb.as_str() == entry.method.as_str())
        .and_then(|o| o.body)
        .map(|body| body.examples.iter().map(read).collect::<Vec<Value>>());
    if let Some(documents) = of_api {
        return documents;
    }
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "displayName", "value": "x"}, {"op": "add", "value": {"active": true}}],
    });
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "fuzz", "externalId": "x",
        "name": {"givenName": "A"}, "emails": [{"value": "a@b.example", "type": "work", "primary": true}], "active": true,
    });
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "g", "members": [{"value": "x"}],
    });
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "attributes": ["userName"],
        "filter": "userName sw \"f\" and not (emails[type eq \"work\"].value pr)", "sortBy": "name.givenName",
        "sortOrder": "descending", "startIndex": 1, "count": 10,
    });
    match (entry.method.as_str(), entry.path.rsplit_once("/v2/").map(|(_, rest)| rest)) {
        ("POST", Some(".search" | "Users/.search" | "Groups/.search")) => vec![search],
        ("POST", Some("Users")) | ("PUT", Some("Users/{id}")) => vec![user],
        ("POST", Some("Groups")) | ("PUT", Some("Groups/{id}")) => vec![group],
        ("PATCH", Some("Users/{id}" | "Groups/{id}")) => vec![patch],
        _ => vec![],
    }
}

/// Forms that a route takes: each field with each wrong value, the others as they would be right.
pub fn forms(entry: &Entry) -> Vec<Vec<u8>> {
    let right: &[(&str, &str)] = match entry.path {
        "/oauth2/token" => &[
            ("grant_type", "authorization_code"),
            ("code", "x"),
            ("code_verifier", "x"),
            ("redirect_uri", "x"),
            ("refresh_token", "x"),
            ("client_id", "x"),
            ("client_secret", "x"),
        ],
        "/oauth2/introspect" | "/oauth2/revoke" => &[("token", "x"), ("token_type_hint", "x")],
        "/oauth2/authorize" => {
            &[("client_id", "x"), ("redirect_uri", "x"), ("response_type", "code"), ("state", "x")]
        }
        "/saml/{con}/acs" => &[("SAMLResponse", "x"), ("RelayState", "x")],
        _ => &[],
    };
    let long = "x".repeat(200_000);
    let mut found = Vec::new();
    for (at, (name, _)) in right.iter().enumerate() {
        for bad in ["", "%00", "%ff", "%ed%a0%80", "a%00b", "%", long.as_str()] {
            let pair = |(n, (name, value)): (usize, &(&str, &str))| {
                format!("{name}={}", if n == at { bad } else { value })
            };
            found.push(right.iter().enumerate().map(pair).collect::<Vec<_>>().join("&").into_bytes());
        }
        found.push(format!("{name}=1&{name}=1").into_bytes());
    }
    found
}

/// Right documents with a few bytes of each put wrong, as the seed says.
pub fn damaged(documents: &[Value], seed: &mut u64) -> Vec<Vec<u8>> {
    let mut roll = |below: usize| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*seed >> 33).unwrap() % below
    };
    let mut found = Vec::new();
    for document in documents {
        for _ in 0..40 {
            let mut bytes = document.to_string().into_bytes();
            for _ in 0..=roll(3) {
                let at = roll(bytes.len());
                match roll(3) {
                    0 => bytes[at] = u8::try_from(roll(256)).unwrap(),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"\0\"{}[]:,\\-9e\xff\x7f"[roll(14)]),
                }
            }
            found.push(bytes);
        }
    }
    found
}
