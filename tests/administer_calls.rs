//! What every call of `/api/v1` keeps to: keys and their scopes, repeated keys, names it does not
//! know, lists and their cursors.

use crate::{
    administer::{an_org, operate},
    house::{House, house, walk::text},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vestibule::http::{DoorKind, openapi::operations};

async fn keyed(house: &House, key: &str, path: &str, body: &str) -> (u16, String) {
    let url = house.url(&format!("/api/v1{path}"));
    let sent = house.http.post(url).bearer_auth(&house.platform_key).header("Idempotency-Key", key);
    let sent = sent.body(body.to_owned()).send().await.unwrap();
    (sent.status().as_u16(), sent.text().await.unwrap())
}

#[tokio::test]
async fn a_repeated_key_gives_the_same_secret_and_another_body_is_refused() {
    let house = house();
    let org = an_org(house).await;
    let path = format!("/orgs/{org}/keys");
    let body = r#"{"name":"one","scopes":["users:read"]}"#;
    let first = keyed(house, "k-1", &path, body).await;
    assert_eq!(first.0, 201, "{}", first.1);
    assert!(first.1.contains("vst_org_"));
    assert_eq!(keyed(house, "k-1", &path, body).await, first);
    assert_ne!(keyed(house, "k-2", &path, body).await.1, first.1);
    let other = keyed(house, "k-1", &path, r#"{"name":"two","scopes":["users:read"]}"#).await;
    assert_eq!(other.0, 422);
    assert!(other.1.contains("api.idempotency_key_reused"));
    let refused = keyed(house, "k-3", &path, r#"{"name":"one","scopes":["root"]}"#).await;
    assert_eq!(refused.0, 400, "a refusal keeps no answer");
    assert_eq!(keyed(house, "k-3", &path, body).await.0, 201);
    let (_, listed) = operate(house, "GET", &path, None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains("vst_org_"), "shown once");
    let app = json!({"name": "a", "redirect_uris": ["https://a.example/cb"]}).to_string();
    let app_key = format!("app-{org}");
    let made = keyed(house, &app_key, "/apps", &app).await;
    assert_eq!((made.0, &keyed(house, &app_key, "/apps", &app).await), (201, &made));
}

#[tokio::test]
async fn fifty_at_once_with_one_key_are_one_act() {
    let house = house();
    let (org, other) = (an_org(house).await, an_org(house).await);
    let path = format!("/orgs/{org}/keys");
    let body = r#"{"name":"one","scopes":["users:read"]}"#;
    let asked = (0..50).map(|_| keyed(house, "k-1", &path, body));
    let answers = all_of(asked).await;
    let given: BTreeSet<&str> =
        answers.iter().filter(|(status, _)| *status == 201).map(|(_, text)| text.as_str()).collect();
    assert_eq!(given.len(), 1, "one answer, to whoever got one");
    let waits = answers.iter().filter(|(status, _)| *status == 409);
    let (mut told, all) = (0, answers.len());
    for (_, said) in waits {
        assert!(said.contains("api.idempotency_unanswered"), "{said}");
        told += 1;
    }
    assert_eq!(told + answers.iter().filter(|(status, _)| *status == 201).count(), all, "{answers:?}");
    let (_, listed) = operate(house, "GET", &path, None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "one effect");
    let (status, again) = keyed(house, "k-1", &path, body).await;
    assert_eq!((status, given.contains(again.as_str())), (201, true));
    let elsewhere = keyed(house, "k-1", &format!("/orgs/{other}/keys"), body).await;
    assert_eq!((elsewhere.0, given.contains(elsewhere.1.as_str())), (201, false), "another org's shelf");
    let own = json!({"name": "own", "scopes": ["*"]});
    let (_, born) = operate(house, "POST", &format!("/orgs/{other}/keys"), Some(own)).await;
    let url = house.url(&format!("/api/v1/orgs/{other}/keys"));
    let sent = house.http.post(url).bearer_auth(text(&born, "key")).header("Idempotency-Key", "k-1");
    let sent = sent.body(body).send().await.unwrap();
    assert_eq!(sent.status(), 201);
    assert_ne!(sent.text().await.unwrap(), elsewhere.1, "another caller's key is another key");
}

/// All at once; their answers in the order they were asked.
pub async fn all_of<T>(asked: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = asked.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (one, slot) in running.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(answer) = one.as_mut().poll(cx)
            {
                *slot = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn an_org_key_at_a_call_of_the_platform_is_told_whose_call_it_is() {
    let house = house();
    let tenant = house.tenant().await;
    let (status, said) = house.api("GET", &tenant.org_key, "/orgs", None).await;
    assert_eq!((status, text(&said, "code")), (401, "api.unauthorized"));
    assert!(text(&said, "detail").contains("a platform key"), "{said}");
}

#[tokio::test]
async fn an_org_key_does_what_its_scopes_say_in_its_own_org_until_it_is_revoked() {
    let house = house();
    let (own, other) = (an_org(house).await, an_org(house).await);
    let new = json!({"name": "k", "scopes": ["teams:read", "keys:write"]});
    let (_, born) = operate(house, "POST", &format!("/orgs/{own}/keys"), Some(new)).await;
    let key = text(&born, "key");
    assert_eq!(house.api("GET", key, &format!("/orgs/{own}/teams"), None).await.0, 200);
    let write = house.api("POST", key, &format!("/orgs/{own}/teams"), Some(json!({}))).await;
    assert_eq!((write.0, text(&write.1, "code")), (403, "api.scope_missing"));
    assert_eq!(house.api("GET", key, &format!("/orgs/{other}/teams"), None).await.0, 404);
    assert_eq!(house.api("GET", key, "/orgs", None).await.0, 401);
    let more = json!({"name": "k", "scopes": ["users:read"]});
    assert_eq!(house.api("POST", key, &format!("/orgs/{own}/keys"), Some(more)).await.0, 403);
    let gone = format!("/orgs/{own}/keys/{}", text(&born, "id"));
    assert_eq!(operate(house, "DELETE", &gone, None).await.0, 204);
    assert_eq!(operate(house, "DELETE", &gone, None).await.0, 404);
    assert_eq!(house.api("GET", key, &format!("/orgs/{own}/teams"), None).await.0, 401);
}

#[tokio::test]
async fn what_is_not_known_is_refused_by_name() {
    let house = house();
    let org = an_org(house).await;
    let teams = format!("/orgs/{org}/teams");
    let (status, said) =
        operate(house, "POST", &teams, Some(json!({"slug": "a", "name": "A", "colour": 1}))).await;
    assert_eq!((status, text(&said, "code"), text(&said, "field")), (400, "api.field_unknown", "colour"));
    let (status, said) = operate(house, "GET", &format!("{teams}?page=2"), None).await;
    assert_eq!((status, text(&said, "code"), text(&said, "field")), (400, "api.query_unknown", "page"));
    for limit in ["0", "201", "x"] {
        assert_eq!(operate(house, "GET", &format!("{teams}?limit={limit}"), None).await.0, 400);
    }
}

#[tokio::test]
async fn a_list_goes_on_by_its_cursor_and_a_cursor_opens_no_other_list() {
    let house = house();
    let (org, other) = (an_org(house).await, an_org(house).await);
    for n in 0..5 {
        let new = json!({"slug": format!("t{n}"), "name": "T"});
        assert_eq!(operate(house, "POST", &format!("/orgs/{org}/teams"), Some(new)).await.0, 201);
    }
    let mut seen = Vec::new();
    let mut path = format!("/orgs/{org}/teams?limit=2");
    let mut cursors = Vec::new();
    loop {
        let (status, page) = operate(house, "GET", &path, None).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["data"].as_array().unwrap().iter().map(|t| text(t, "slug").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursors.push(next.to_owned());
        path = format!("/orgs/{org}/teams?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["t0", "t1", "t2", "t3", "t4"]);
    let cursor = &cursors[0];
    for place in [format!("/orgs/{other}/teams"), format!("/orgs/{org}/users")] {
        let (status, said) = operate(house, "GET", &format!("{place}?cursor={cursor}"), None).await;
        assert_eq!((status, text(&said, "code")), (400, "api.query_malformed"));
    }
}

/// An object is an object: what its members are is said by name, not by their place in a list.
#[tokio::test]
async fn a_list_in_the_place_of_an_object_is_refused() {
    let house = house();
    let tenant = house.tenant().await;
    let of = |path: &str| format!("/orgs/{}{path}", tenant.slug);
    let saml = json!({"type": "saml", "name": "x", "metadata_xml": tenant.idp.metadata_xml(), "attribute_map": ["mail"]});
    for (method, path, body) in [
        ("PUT", of("/group-mappings"), json!([["00g1"]])),
        ("POST", of("/teams"), json!(["support", "Support"])),
        ("POST", of("/connections"), saml),
        ("POST", of("/connections"), json!(["saml", "x"])),
        ("PATCH", of(&format!("/connections/{}", tenant.connection)), json!({"attribute_map": ["mail"]})),
        ("PATCH", of(""), json!([null, null, true, null, null])),
        ("POST", of("/webhooks"), json!(["https://hooks.example/", ["*"]])),
    ] {
        let (status, said) = operate(house, method, &path, Some(body)).await;
        assert_eq!((status, text(&said, "code")), (400, "api.body_malformed"), "{method} {path}: {said}");
        assert!(text(&said, "detail").contains("expected an object"), "{said}");
    }
    let (_, org) = operate(house, "GET", &of(""), None).await;
    assert_eq!(org["scim_adopts"], json!(false), "and nothing was done");
}

/// Every order of some of these values.
fn orders(values: &[Value]) -> Vec<Vec<Value>> {
    let mut all = vec![vec![]];
    for (at, value) in values.iter().enumerate() {
        let rest: Vec<Value> =
            values.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, v)| v.clone()).collect();
        all.extend(orders(&rest).into_iter().map(|order| [vec![value.clone()], order].concat()));
    }
    all
}

/// The document with each of its objects as a list of its values, in every order that is tried.
fn by_position(document: &Value) -> Vec<Value> {
    match document {
        Value::Object(fields) => {
            let values: Vec<Value> = fields.values().cloned().collect();
            // More fields than these take too long to order: nulls stand for them.
            let own = if values.len() <= 4 {
                orders(&values)
            } else {
                (0..=values.len()).map(|count| vec![Value::Null; count]).collect()
            };
            let inner = fields.iter().flat_map(|(name, value)| {
                by_position(value).into_iter().map(move |other| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), other);
                    Value::Object(fields)
                })
            });
            own.into_iter().map(Value::Array).chain(inner).collect()
        }
        Value::Array(items) => {
            let each = items.iter().enumerate().flat_map(|(at, item)| {
                by_position(item).into_iter().map(move |other| {
                    let mut items = items.clone();
                    items[at] = other;
                    Value::Array(items)
                })
            });
            each.collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The same of every body that is described, and of each object in it.
#[tokio::test]
async fn no_object_of_any_body_is_read_from_a_list() {
    let house = house();
    let (org, app) = (an_org(house).await, house.app(0).await);
    let mut sent = 0;
    for operation in operations() {
        let nobody = |part: &str| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some("org") => org.clone(),
            Some(name) => format!("{name}_{}", "0".repeat(26)),
            None => part.to_owned(),
        };
        let path =
            operation.path.trim_start_matches("/api/v1").split('/').map(nobody).collect::<Vec<_>>().join("/");
        for example in operation.body.iter().flat_map(|body| body.examples) {
            for other in by_position(&serde_json::from_str(example).unwrap()) {
                let verb = operation.verb.as_str();
                let (status, said) = match operation.door {
                    DoorKind::Client => house.api_as_app(verb, &app, &path, Some(other.clone())).await,
                    _ => operate(house, verb, &path, Some(other.clone())).await,
                };
                // A guard is read by its own rule.
                let code = text(&said, "code");
                let is_refused = code == "api.body_malformed" || code == "directory.guard";
                assert!(status == 400 && is_refused, "{path} {other}: {said}");
                sent += 1;
            }
        }
    }
    assert!(sent > 300, "{sent}");
}
