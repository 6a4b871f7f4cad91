//! A path that is served, by a method that it does not take: 405 with what it takes (RFC 9110 15.5.6), in
//! the caller's dialect; a path that is not served stays a 404.

use crate::{
    house::{House, Tenant, house},
    raw_http::{Dialect, Raw, Said, dialect, fault},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use vestibule::http::routes;

fn filled(path: &str, tenant: &Tenant) -> String {
    let part = |part: &str| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
        Some("org" | "slug") => tenant.slug.clone(),
        Some(_) => "any-thing%20here".to_owned(),
        None => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn ask(house: &House, tenant: &Tenant, method: &str, path: &str) -> Said {
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let credential = match dialect(path) {
        Dialect::Scim => Some(&tenant.scim_token),
        Dialect::Api => Some(&tenant.org_key),
        Dialect::OAuth | Dialect::Events | Dialect::Browser => None,
    };
    headers.extend(credential.map(|text| ("Authorization".to_owned(), format!("Bearer {text}"))));
    let raw = Raw { method: method.to_owned(), target: path.as_bytes().to_vec(), headers, body: None };
    raw.send(house).await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

#[tokio::test]
async fn another_method_is_405_with_what_is_allowed() {
    let house = house();
    let tenant = house.tenant().await;
    let mut table: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for entry in routes().filter(|entry| !entry.path.contains(":.*}")) {
        let methods = table.entry(entry.path).or_default();
        methods.insert(entry.method.to_string());
        methods.extend((entry.method == "GET").then(|| "HEAD".to_owned()));
    }
    assert!(table.len() > 60);
    for (pattern, methods) in &table {
        let path = filled(pattern, &tenant);
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            if methods.contains(method) {
                continue;
            }
            let said = ask(house, &tenant, method, &path).await;
            assert_eq!(said.status, 405, "{method} {path}: {}", said.body);
            let allowed: BTreeSet<String> = said.header("Allow").split(", ").map(str::to_owned).collect();
            assert_eq!(&allowed, methods, "{method} {path}");
            if method != "HEAD" {
                assert_eq!(fault(pattern, &said), None, "{method} {path}");
            }
        }
    }
    for path in ["/api/v1/nothing", "/api/v1/orgs/a/b/c/d", "/scim/v2/Nothing", "/oauth2/nothing", "/nothing"]
    {
        for method in ["GET", "POST", "PROPFIND"] {
            let said = ask(house, &tenant, method, path).await;
            assert_eq!((said.status, said.header("Allow")), (404, ""), "{method} {path}");
            assert_eq!(fault(path, &said), None, "{method} {path}");
        }
    }
}

/// RFC 9110 9.3.2: HEAD answers as GET does, status and header fields alike, and sends no body.
#[tokio::test]
async fn head_is_get_without_the_body() {
    let house = house();
    let tenant = house.tenant().await;
    let body = json!({"userName": "ada@acme.example", "emails": [{"value": "ada@acme.example"}]});
    let made = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body)).await.1;
    let user = format!("/scim/v2/Users/{}", made["id"].as_str().unwrap());
    let filter = "/scim/v2/Users?filter=userName+eq+%22ada@acme.example%22".to_owned();
    let of_org = format!("/api/v1/orgs/{}/users?limit=1", tenant.slug);
    let table = routes().filter(|entry| entry.method == "GET" && !entry.path.contains(":.*}"));
    // Two requests of a sign-in never say the same; the metrics of a page are of one moment.
    let lasting = table.filter(|entry| entry.path != "/oauth2/authorize");
    let paths: Vec<String> = lasting.map(|entry| filled(entry.path, &tenant)).collect();
    assert!(paths.len() > 40);
    for path in paths.into_iter().chain([user, filter, of_org]) {
        let (get, head) = (ask(house, &tenant, "GET", &path).await, ask(house, &tenant, "HEAD", &path).await);
        assert_eq!(head.body, "", "{path}");
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(lasting_fields(&head), lasting_fields(&get), "{path}");
    }
}

/// What does not differ between two requests for the same: a stream's framing does, as it is not opened.
fn lasting_fields(said: &Said) -> BTreeSet<(String, String)> {
    let passing = ["date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset", "transfer-encoding"];
    let fields = said.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    fields.filter(|(name, _)| !passing.contains(&name.as_str())).collect()
}

/// HEAD passes the door that GET passes: a token that may not read is refused, one of nobody is unknown.
#[tokio::test]
async fn head_opens_no_other_door() {
    let house = house();
    let tenant = house.tenant().await;
    for path in ["/scim/v2/Users", "/scim/v2/Groups", "/scim/v2"] {
        let sent = house.http.head(house.url(path)).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 401, "{path}");
    }
    let path = format!("/orgs/{}/directories/{}/tokens", tenant.slug, tenant.directory);
    let (_, made) = house.api("POST", &tenant.org_key, &path, Some(json!({"scopes": ["groups:read"]}))).await;
    let held = made["token"].as_str().unwrap();
    for (path, status) in [("/scim/v2/Users", 403), ("/scim/v2/Groups", 200)] {
        let sent = house.http.head(house.url(path)).bearer_auth(held).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), status, "{path}");
    }
}

/// Without a directory's token nothing of SCIM is told but that a token is needed.
#[tokio::test]
async fn scim_asks_for_the_token_first() {
    let house = house();
    let sent = house.http.delete(house.url("/scim/v2/Users")).send().await.unwrap();
    assert_eq!((sent.status().as_u16(), sent.headers().contains_key("allow")), (401, false));
}
