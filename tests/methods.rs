//! A path that is served, by a method that it does not take: 405 with what it takes (RFC 9110 15.5.6), in
//! the caller's dialect; a path that is not served stays a 404.

use crate::{
    house::{House, Tenant, house},
    raw_http::{Dialect, Raw, Said, dialect, fault},
};
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
    if dialect(path) == Dialect::Scim {
        headers.push(("Authorization".to_owned(), format!("Bearer {}", tenant.scim_token)));
    }
    let raw = Raw { method: method.to_owned(), target: path.as_bytes().to_vec(), headers, body: None };
    raw.send(house).await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

#[tokio::test]
async fn another_method_is_405_with_what_is_allowed() {
    let house = house();
    let tenant = house.tenant().await;
    let mut table: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for entry in routes().filter(|entry| !entry.path.contains(":.*}")) {
        table.entry(entry.path).or_default().insert(entry.method.to_string());
    }
    assert!(table.len() > 60);
    for (pattern, methods) in &table {
        let path = filled(pattern, &tenant);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            if methods.contains(method) {
                continue;
            }
            let said = ask(house, &tenant, method, &path).await;
            assert_eq!(said.status, 405, "{method} {path}: {}", said.body);
            let allowed: BTreeSet<String> = said.header("Allow").split(", ").map(str::to_owned).collect();
            assert_eq!(&allowed, methods, "{method} {path}");
            assert_eq!(fault(pattern, &said), None, "{method} {path}");
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

/// Without a directory's token nothing of SCIM is told but that a token is needed.
#[tokio::test]
async fn scim_asks_for_the_token_first() {
    let house = house();
    let sent = house.http.delete(house.url("/scim/v2/Users")).send().await.unwrap();
    assert_eq!((sent.status().as_u16(), sent.headers().contains_key("allow")), (401, false));
}
