//! What nobody's client sends, sent to every route by a caller with the right credential: NUL bytes, bad
//! UTF-8, JSON a hundred thousand levels deep, ten megabytes, every field of the wrong type. Whatever it
//! is, the answer comes, is never our fault, and speaks the caller's dialect.

use crate::{
    bad_bodies::{bad_bodies, damaged, documents, forms, with_wrong_fields},
    house::{
        House, Site, Tenant, shape,
        walk::{text, tokens},
    },
    raw_http::{Dialect, Raw, Said, dialect, fault},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};
use vestibule::http::{DoorKind, Entry, openapi::operations, routes};

/// Requests under way at once.
const ABREAST: usize = 8;
const SEED: u64 = 0x0bad_1dea;
/// A failing run shows at most so many of its faults.
const SHOWN: usize = 40;

/// What every caller holds, and real ids for the paths.
struct Caller {
    tenant: Tenant,
    access: String,
    ids: Vec<(&'static str, String)>,
}

async fn caller(house: &'static House) -> Caller {
    let tenant = house.tenant().await;
    let access = text(&tokens(house, &tenant).await, "access_token").to_owned();
    let user = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "fuzz", "active": true});
    let (_, user) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(user)).await;
    let team = json!({"slug": "t", "name": "T"});
    let (_, team) =
        house.api("POST", &tenant.org_key, &format!("/orgs/{}/teams", tenant.org), Some(team)).await;
    let ids = vec![
        ("org", tenant.slug.clone()),
        ("slug", tenant.slug.clone()),
        ("con", tenant.connection.to_string()),
        ("dir", tenant.directory.to_string()),
        ("usr", text(&user, "id").to_owned()),
        ("id", text(&user, "id").to_owned()),
        ("team", text(&team, "id").to_owned()),
    ];
    Caller { tenant, access, ids }
}

impl Caller {
    /// The path with real ids; nobody's where something would be gone afterwards.
    fn path(&self, entry: &Entry) -> String {
        let gone = entry.method == actix_web::http::Method::DELETE;
        let real = |name: &str| self.ids.iter().find(|(n, _)| *n == name).map(|(_, id)| id.clone());
        let part = |part: &str| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some(name @ ("org" | "slug")) => real(name).unwrap(),
            Some("app") if entry.path.starts_with("/proxy/") => self.tenant.app.id.to_string(),
            Some(name) if !gone => real(name).unwrap_or_else(|| "nobody".to_owned()),
            Some(_) => "nobody".to_owned(),
            None => part.to_owned(),
        };
        entry.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }
    fn credential(&self, house: &House, entry: &Entry) -> Option<String> {
        match entry.door {
            DoorKind::Open => None,
            DoorKind::Client => {
                let app = &self.tenant.app;
                Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", app.id, app.secret))))
            }
            DoorKind::Bearer => Some(format!("Bearer {}", self.access)),
            DoorKind::Scim => Some(format!("Bearer {}", self.tenant.scim_token)),
            DoorKind::Org => Some(format!("Bearer {}", self.tenant.org_key)),
            DoorKind::Platform => Some(format!("Bearer {}", house.platform_key)),
        }
    }
    /// The request as it would be right, but for its body.
    fn plain(&self, house: &House, entry: &Entry) -> Raw {
        let credential = self.credential(house, entry).map(|value| ("Authorization".to_owned(), value));
        let has_body = entry.method != actix_web::http::Method::GET;
        let kind = has_body.then(|| ("Content-Type".to_owned(), kind(entry).to_owned()));
        Raw {
            method: entry.method.to_string(),
            target: self.path(entry).into_bytes(),
            headers: credential.into_iter().chain(kind).collect(),
            body: None,
        }
    }
}

fn kind(entry: &Entry) -> &'static str {
    match dialect(entry.path) {
        Dialect::Api => "application/json",
        Dialect::Scim => "application/scim+json",
        Dialect::Events => "application/secevent+jwt",
        Dialect::OAuth if ["/signals/", "/ssf/"].iter().any(|begin| entry.path.starts_with(begin)) => {
            "application/json"
        }
        Dialect::OAuth | Dialect::Browser => "application/x-www-form-urlencoded",
    }
}

/// Paths: the end of it, and each id in it, replaced.
fn bad_paths(entry: &Entry, plain: &Raw) -> Vec<Raw> {
    let path = String::from_utf8(plain.target.clone()).unwrap();
    let long = "x".repeat(8_000);
    let bad: [&[u8]; 10] = [
        b"%00",
        b"\0",
        b"%ff%fe",
        b"\xff",
        b"a%00b",
        b"%",
        b"%zz",
        b"..%2f..",
        long.as_bytes(),
        b"%ed%a0%80",
    ];
    let mut found = Vec::new();
    for bad in bad {
        found.push([path.as_bytes(), bad].concat());
        for (at, _) in entry.path.split('/').enumerate().filter(|(_, part)| part.starts_with('{')) {
            let mut parts: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
            parts[at] = bad;
            found.push(parts.join(&b'/'));
        }
    }
    found.into_iter().map(|target| Raw { target, ..plain.clone() }).collect()
}

/// Queries: each parameter that the route knows, with values that it does not.
fn bad_queries(entry: &Entry, plain: &Raw) -> Vec<Raw> {
    let of_api = operations().find(|o| o.path == entry.path && o.verb.as_str() == entry.method.as_str());
    let names: &[&str] = match (of_api, dialect(entry.path), entry.method == actix_web::http::Method::GET) {
        (Some(operation), ..) => operation.query,
        (None, Dialect::Scim, true) => &[
            "filter",
            "count",
            "startIndex",
            "cursor",
            "attributes",
            "excludedAttributes",
            "sortBy",
            "sortOrder",
        ],
        (None, Dialect::Browser, true) => {
            &["client_id", "redirect_uri", "organization", "connection", "max_age", "state", "code", "iss"]
        }
        _ => &["a"],
    };
    let long = format!("={}", "x".repeat(20_000));
    let mut queries: Vec<Vec<u8>> =
        vec![b"%00=%00".to_vec(), b"\0".to_vec(), b"\xff=\xff".to_vec(), b"&&&===&".to_vec(), b"%".to_vec()];
    for name in names {
        for value in [
            "=%00",
            "=%ff",
            "=",
            "=-1",
            "=99999999999999999999",
            "=1e400",
            "[]=1",
            "=%ed%a0%80",
            "=((((((",
            &long,
        ] {
            queries.push(format!("{name}{value}").into_bytes());
        }
        queries.push(format!("{name}=1&{name}=1").into_bytes());
    }
    let target = |query: Vec<u8>| [plain.target.as_slice(), b"?", &query].concat();
    queries.into_iter().map(|query| Raw { target: target(query), ..plain.clone() }).collect()
}

fn bad_headers(plain: &Raw) -> Vec<Raw> {
    let long = "x".repeat(10_000);
    let headers = [
        ("Idempotency-Key", long.as_str()),
        ("Idempotency-Key", ""),
        ("Idempotency-Key", "\u{e9}"),
        ("If-Match", "\u{e9}"),
        ("If-None-Match", "W/\"99999999999999999999\""),
        ("Cookie", "vst_session_org_0=%00; vst_session_=\"; ="),
        ("X-Request-Id", "\u{e9}\u{e9}\u{e9}\u{e9}"),
        ("Accept", "*/*;q=nan"),
    ];
    let mut found: Vec<Raw> = Vec::new();
    for (name, value) in headers {
        let mut raw = plain.clone();
        raw.headers.push((name.to_owned(), value.to_owned()));
        found.push(raw);
    }
    for value in
        ["Bearer", "Bearer \u{e9}", "Basic AA==", "Basic \u{e9}", "Bearer vst_scim_", "Bearer a.b.c", &long]
    {
        let mut raw = plain.clone();
        raw.headers.retain(|(name, _)| name != "Authorization");
        raw.headers.push(("Authorization".to_owned(), value.to_owned()));
        found.push(raw);
    }
    found
}

fn bad_methods(plain: &Raw) -> Vec<Raw> {
    let known: BTreeSet<&str> = ["GET", "POST", "PUT", "PATCH", "DELETE"].into();
    let others = ["PROPFIND", "TRACE", "OPTIONS", "get", "X", "CONNECT"];
    let served: BTreeSet<String> = routes()
        .filter(|e| e.path == String::from_utf8_lossy(&plain.target))
        .map(|e| e.method.to_string())
        .collect();
    let methods = known.into_iter().filter(|m| !served.contains(*m) && *m != "DELETE").chain(others);
    methods.map(|method| Raw { method: method.to_owned(), ..plain.clone() }).collect()
}

/// What `GET /api/openapi.json` does not say of this answer. One to no request at all has no kind.
fn undescribed(raw: &Raw, said: &Said) -> Option<String> {
    let answer = (said.status, said.header("Content-Type"), said.body.as_str());
    let path = String::from_utf8_lossy(&raw.target);
    if answer.1.is_empty() && said.status != 204 { None } else { shape::fault(&raw.method, &path, answer) }
}

/// Sends them all, some at once; answers what was wrong.
async fn faults(house: &'static House, path: &str, all: Vec<Raw>) -> Vec<(String, String)> {
    let all = Arc::new(std::sync::Mutex::new(all));
    let one = || {
        let (all, path) = (all.clone(), path.to_owned());
        tokio::spawn(async move {
            let mut found = Vec::new();
            loop {
                let Some(raw) = all.lock().unwrap().pop() else { return found };
                let wrong = match raw.send(house).await {
                    None => Some("no answer".to_owned()),
                    Some(said) => fault(&path, &said).or_else(|| undescribed(&raw, &said)),
                };
                found.extend(wrong.map(|wrong| (raw.shown(), wrong)));
            }
        })
    };
    let runners: Vec<_> = (0..ABREAST).map(|_| one()).collect();
    let mut found = Vec::new();
    for runner in runners {
        found.extend(runner.await.unwrap());
    }
    found
}

/// A gateway of its own: what it is sent here would slow down everybody else's.
fn own_house() -> &'static House {
    static HOUSE: OnceLock<&'static House> = OnceLock::new();
    HOUSE.get_or_init(|| Site::named("bad-input").open())
}

/// Runs `attacks` on every route; fails with what came back wrong.
async fn on_every_route(mut attacks: impl FnMut(&Entry, &Raw) -> Vec<Raw>) {
    let house = own_house();
    let (caller, doomed) = (caller(house).await, caller(house).await);
    let (mut found, mut sent) = (Vec::new(), 0);
    for entry in routes() {
        // What ends an org, or changes its state, is tried on an org that nothing else needs.
        let life = entry.path == "/api/v1/orgs/{org}" || entry.path.ends_with("/restore");
        let one = if life { &doomed } else { &caller };
        let all = attacks(entry, &one.plain(house, entry));
        sent += all.len();
        found.extend(faults(house, entry.path, all).await);
    }
    found.sort_by_key(|(_, wrong)| wrong.chars().take(40).collect::<String>());
    let shown: Vec<String> = found
        .iter()
        .step_by(found.len().div_ceil(SHOWN).max(1))
        .map(|(raw, wrong)| format!("{raw}\n  {wrong}"))
        .collect();
    assert!(found.is_empty(), "{} of {sent}, among them:\n{}", found.len(), shown.join("\n"));
    assert!(sent > 500, "{sent}");
    // Still at work.
    tokens(house, &house.tenant().await).await;
}

/// The same service stands at two paths; one of them is enough for what only its handlers see.
fn twin(entry: &Entry) -> bool {
    entry.path.starts_with("/orgs/{slug}/scim")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_query_header_or_method_is_our_fault() {
    let mut doors = BTreeSet::new();
    on_every_route(|entry, plain| {
        let mut all = bad_paths(entry, plain);
        all.extend(bad_methods(plain));
        if !twin(entry) {
            all.extend(bad_queries(entry, plain));
        }
        // Headers are read by the doors, and by what is common to a dialect and a verb.
        if doors.insert(format!("{:?} {:?} {}", entry.door, dialect(entry.path), entry.method)) {
            all.extend(bad_headers(plain));
        }
        all
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_is_our_fault() {
    on_every_route(|entry, plain| {
        let reads = entry.method != actix_web::http::Method::GET && !twin(entry);
        if reads { bad_bodies(plain, kind(entry)) } else { vec![] }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_field_of_the_wrong_type_is_our_fault() {
    let mut seed = SEED;
    on_every_route(|entry, plain| {
        if twin(entry) {
            return vec![];
        }
        let documents = documents(entry);
        let fields = documents.iter().flat_map(with_wrong_fields).chain(forms(entry));
        let bodies = fields.chain(damaged(&documents, &mut seed));
        bodies.map(|body| Raw { body: Some(body), ..plain.clone() }).collect()
    })
    .await;
}
