//! The border between orgs, walked from the route table: every route without a credential, with
//! another org's, and with one of the wrong kind; then a seeded fuzz that puts another org's ids
//! wherever an id can stand, and wants the answer that an unknown id gets.

use crate::house::{House, Tenant, house, now, shape, walk::tokens};
use model::{
    Chance,
    ids::{
        AppId, ConnectionId, DirectoryId, DomainId, EventId, GroupId, KeyId, LoggedId, OrgId, SessionId,
        TeamId, UserId, WebhookId,
    },
};
use serde_json::{Value, json};
use vestibule::{
    http::{DoorKind, Entry, routes},
    seams::SystemChance,
};

/// A path of the table with its parameters filled.
fn filled(entry: &Entry, org: &str, fill: impl Fn(&str) -> String) -> String {
    entry
        .path
        .split('/')
        .map(|part| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some("org" | "slug") => org.to_owned(),
            Some(name) => fill(name.split(':').next().unwrap()),
            None => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// Nobody's id, of the kind a parameter of this name takes.
fn unknown(name: &str) -> String {
    let (at, chance) = (now(), &SystemChance as &dyn Chance);
    match name {
        "con" => ConnectionId::new(at, chance).to_string(),
        "dir" => DirectoryId::new(at, chance).to_string(),
        "dom" => DomainId::new(at, chance).to_string(),
        "usr" => UserId::new(at, chance).to_string(),
        "team" => TeamId::new(at, chance).to_string(),
        "ses" => SessionId::new(at, chance).to_string(),
        "key" => KeyId::new(at, chance).to_string(),
        "whk" => WebhookId::new(at, chance).to_string(),
        "app" => AppId::new(at, chance).to_string(),
        "grp" | "group" => GroupId::new(at, chance).to_string(),
        "evt" | "del" | "delivery" => EventId::new(at, chance).to_string(),
        "req" => LoggedId::new(at, chance).to_string(),
        "host" => "nobody.example".to_owned(),
        _ => UserId::new(at, chance).to_string(),
    }
}

async fn ask(house: &House, entry: &Entry, path: &str, credential: Option<&str>) -> (u16, Value) {
    let mut request = house.http.request(entry.method.as_str().parse().unwrap(), house.url(path));
    if let Some(credential) = credential {
        request = request.bearer_auth(credential);
    }
    let kind = match entry.door {
        DoorKind::Client => "application/x-www-form-urlencoded",
        DoorKind::Scim => "application/scim+json",
        _ => "application/json",
    };
    if entry.method != actix_web::http::Method::GET {
        request =
            request.header("content-type", kind).body(if entry.door == DoorKind::Client { "" } else { "{}" });
    }
    let sent = request.send().await.unwrap();
    let status = sent.status().as_u16();
    let kind =
        sent.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let text = sent.text().await.unwrap();
    shape::hold(entry.method.as_str(), path, (status, &kind, &text));
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn every_route_is_shut_without_with_anothers_and_with_the_wrong_credential() {
    let house = house();
    let (own, other) = (house.tenant().await, house.tenant().await);
    let mut seen = 0;
    for entry in routes() {
        let path = filled(entry, &own.slug, unknown);
        let (shut, wrong): (&[u16], Vec<&str>) = match entry.door {
            DoorKind::Open => continue,
            DoorKind::Client => (&[401, 400], vec![&other.scim_token]),
            DoorKind::Bearer => (&[401], vec![&other.scim_token, &own.org_key]),
            DoorKind::Scim => (&[401], vec![&own.org_key, &house.platform_key]),
            DoorKind::Org => (&[401], vec![&own.scim_token]),
            DoorKind::Platform => (&[401], vec![&own.org_key, &own.scim_token]),
        };
        seen += 1;
        for credential in std::iter::once(None).chain(wrong.into_iter().map(Some)) {
            let (status, said) = ask(house, entry, &path, credential).await;
            assert!(shut.contains(&status), "{} {path} with {credential:?}: {status} {said}", entry.method);
        }
        if entry.door == DoorKind::Org {
            let (status, said) = ask(house, entry, &path, Some(&other.org_key)).await;
            assert_eq!(status, 404, "{} {path} with another org's key: {said}", entry.method);
        }
        if entry.door == DoorKind::Scim && entry.path.contains("{slug}") {
            let (status, said) = ask(house, entry, &path, Some(&other.scim_token)).await;
            assert_eq!(status, 401, "{} {path} with another org's token: {said}", entry.method);
        }
    }
    assert!(seen > 30, "the table has {seen} guarded routes");
}

/// What must not differ between another org's id and nobody's: all but the ids and the reference.
fn masked(answer: &Value) -> String {
    let text = answer.to_string();
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-') {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_id = bare.split_once('_').is_some_and(|(_, rest)| rest.len() == 26);
        out.push_str(if is_id { "ID" } else { word });
    }
    out
}

/// Real ids of this tenant, by the parameter's name.
async fn ids_of(house: &'static House, tenant: &Tenant) -> Vec<(&'static str, String)> {
    let user = crate::house::walk::claims(tokens(house, tenant).await["access_token"].as_str().unwrap());
    let (_, group) = house
        .scim(
            "POST",
            &tenant.scim_token,
            "/scim/v2/Groups",
            Some(json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "staff",
            })),
        )
        .await;
    let (_, team) = house
        .api(
            "POST",
            &tenant.org_key,
            &format!("/orgs/{}/teams", tenant.slug),
            Some(json!({"slug": "t", "name": "T"})),
        )
        .await;
    let text = |v: &Value| v.as_str().unwrap_or_else(|| panic!("{v}")).to_owned();
    vec![
        ("con", tenant.connection.to_string()),
        ("dir", tenant.directory.to_string()),
        ("usr", text(&user["sub"])),
        ("id", text(&user["sub"])),
        ("ses", text(&user["sid"])),
        ("grp", text(&group["id"])),
        ("group", text(&group["id"])),
        ("team", text(&team["id"])),
    ]
}

#[tokio::test]
async fn in_10_000_places_another_orgs_id_is_an_unknown_id() {
    let house = house();
    let (own, other) = (house.tenant().await, house.tenant().await);
    let foreign = ids_of(house, &other).await;
    let pick = |name: &str| foreign.iter().find(|(n, _)| *n == name).map(|(_, id)| id.clone());
    let entries: Vec<&Entry> = routes()
        .filter(|e| matches!(e.door, DoorKind::Org | DoorKind::Scim))
        .filter(|e| {
            e.path.matches('{').count() > usize::from(e.path.contains("{org}") || e.path.contains("{slug}"))
        })
        .filter(|e| foreign.iter().any(|(name, _)| e.path.contains(&format!("{{{name}}}"))))
        .collect();
    assert!(entries.len() >= 8, "{}", entries.len());
    let lists: Vec<&Entry> = routes()
        .filter(|e| e.door == DoorKind::Org && e.method == actix_web::http::Method::GET)
        .filter(|e| e.path.matches('{').count() == 1 && !e.path.ends_with("export"))
        .collect();
    let mut seed: u64 = 0x5eed;
    for _ in 0..5_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let choice = (seed >> 33) as usize;
        if choice.is_multiple_of(3) {
            let entry = lists[choice / 3 % lists.len()];
            let name = ["actor", "target", "cursor", "email", "q", "org_id"][choice / 7 % 6];
            let (_, id) = &foreign[choice / 11 % foreign.len()];
            let path = filled(entry, &own.slug, unknown);
            let theirs = ask(house, entry, &format!("{path}?{name}={id}"), Some(&own.org_key)).await;
            let nobodys =
                ask(house, entry, &format!("{path}?{name}={}", unknown("usr")), Some(&own.org_key)).await;
            assert_eq!((theirs.0, masked(&theirs.1)), (nobodys.0, masked(&nobodys.1)), "{path}?{name}={id}");
        } else {
            let entry = entries[choice / 3 % entries.len()];
            let credential = if entry.door == DoorKind::Scim { &own.scim_token } else { &own.org_key };
            let theirs = filled(entry, &own.slug, |name| pick(name).unwrap_or_else(|| unknown(name)));
            let nobodys = filled(entry, &own.slug, unknown);
            let (theirs, nobodys) = (
                ask(house, entry, &theirs, Some(credential)).await,
                ask(house, entry, &nobodys, Some(credential)).await,
            );
            let path = entry.path;
            assert_eq!(
                (theirs.0, masked(&theirs.1)),
                (nobodys.0, masked(&nobodys.1)),
                "{} {path}",
                entry.method
            );
        }
    }
    // Nothing of the other org changed: its person is still signed in where they were.
    let org = OrgId::to_string(&other.org);
    let (status, said) = house.api("GET", &other.org_key, &format!("/orgs/{org}/users"), None).await;
    assert_eq!((status, said["data"][0]["active"].as_bool()), (200, Some(true)), "{said}");
}
