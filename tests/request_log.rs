//! The request log of a directory: every kind of request is there with why it was refused, whoever it names is
//! found by it, no secret is anywhere, nothing lies open, and it goes when its time is over.

use crate::{
    house::{House, Tenant, house, now, walk::text},
    operations::{DAY_SECS, inside, keep, rows, swept, swept_to},
    otlp::Served,
};
use model::ids::{DirectoryId, KeyId, LoggedId, UserId};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{sync::Arc, time::Duration};
use store::{KeptBody, LogBounds, NewLogged, RequestBodies, RequestHead};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;
use vestibule::{
    jobs::{requests, sweep::Retention},
    seams::SystemChance,
};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const KEPT: usize = 16 * 1_024;

fn place(tenant: &Tenant) -> String {
    format!("/orgs/{}/directories/{}/requests", tenant.slug, tenant.directory)
}

async fn page(house: &House, tenant: &Tenant, query: &str) -> Value {
    let (status, list) = house.api("GET", &tenant.org_key, &format!("{}?{query}", place(tenant)), None).await;
    assert_eq!(status, 200, "{list}");
    list
}

/// The log, newest first, as soon as it has so many entries.
async fn logged(house: &House, tenant: &Tenant, count: usize) -> Vec<Value> {
    let mut list = Value::Null;
    for _ in 0..150 {
        list = page(house, tenant, "limit=200").await;
        if list["data"].as_array().unwrap().len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let data = list["data"].as_array().unwrap().clone();
    assert_eq!(data.len(), count, "{list}");
    data
}

async fn whole(house: &House, tenant: &Tenant, entry: &Value) -> Value {
    let path = format!("{}/{}", place(tenant), text(entry, "id"));
    let (status, said) = house.api("GET", &tenant.org_key, &path, None).await;
    assert_eq!(status, 200, "{said}");
    said
}

/// A request as it is, with whatever headers and body.
async fn raw(
    house: &House,
    token: &str,
    (method, path): (&str, &str),
    more: (&str, &str),
    body: &str,
) -> u16 {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = house.http.request(method, house.url(path)).bearer_auth(token).header(more.0, more.1);
    request.body(body.to_owned()).send().await.unwrap().status().as_u16()
}

const PLAIN: (&str, &str) = ("content-type", "application/scim+json");

async fn person(house: &House, tenant: &Tenant, name: &str) -> String {
    let body = json!({"userName": format!("{name}@{}", tenant.domain)});
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

/// What is refused, by whom it was asked and whatever refused it, says why; what succeeded, what it found.
#[tokio::test]
async fn every_kind_of_request_is_there_with_why_it_was_refused() {
    let house = house();
    let tenant = house.tenant().await;
    let token = &tenant.scim_token;
    let ada = person(house, &tenant, "ada").await;
    let again = json!({"userName": format!("ADA@{}", tenant.domain)}).to_string();
    let users = "/scim/v2/Users";
    let one = format!("{users}/{ada}");
    assert_eq!(raw(house, token, ("POST", users), PLAIN, &again).await, 409);
    assert_eq!(raw(house, token, ("POST", users), PLAIN, "{\"userName\": ").await, 400);
    assert_eq!(raw(house, token, ("POST", users), PLAIN, &"x".repeat(1_048_577)).await, 413);
    assert_eq!(raw(house, token, ("POST", &one), PLAIN, "").await, 405);
    assert_eq!(raw(house, token, ("GET", "/scim/v2/Me"), PLAIN, "").await, 501);
    let filter = format!("{users}?filter=userName+eq+%22nobody%22");
    assert_eq!(raw(house, token, ("GET", &filter), ("user-agent", "Okta SCIM Client"), "").await, 200);
    let slug = format!("/orgs/{}{one}", tenant.slug);
    assert_eq!(raw(house, token, ("DELETE", &slug), ("prefer", "vestibule-dry-run"), "").await, 200);
    assert_eq!(raw(house, token, ("DELETE", &slug), PLAIN, "").await, 204);
    assert_eq!(raw(house, token, ("GET", &one), PLAIN, "").await, 404);
    // No directory's: nobody's log.
    assert_eq!(raw(house, &format!("{token}x"), ("GET", users), PLAIN, "").await, 401);
    assert_eq!(raw(house, &tenant.org_key, ("GET", users), PLAIN, "").await, 401);
    let log = logged(house, &tenant, 10).await;
    let told: Vec<_> = log
        .iter()
        .rev()
        .map(|e| (text(e, "method"), e["status"].as_u64().unwrap(), e["code"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        told,
        [
            ("POST", 201, ""),
            ("POST", 409, "scim.taken"),
            ("POST", 400, "scim.not_json"),
            ("POST", 413, "scim.body_too_large"),
            ("POST", 405, "scim.method_not_allowed"),
            ("GET", 501, "scim.not_served"),
            ("GET", 200, ""),
            ("DELETE", 200, ""),
            ("DELETE", 204, ""),
            ("GET", 404, "scim.missing"),
        ]
    );
    let [gone, deleted, dry, looked, .., long, broken, taken, made] = &log[..] else { panic!("{log:?}") };
    let detail = text(taken, "detail");
    assert!(detail.contains("userName is taken") && detail.ends_with("[scim.taken]"), "{detail}");
    assert_eq!(taken["scim_type"], "uniqueness");
    for of_ada in [gone, deleted, dry, made] {
        assert_eq!(of_ada["users"], json!([ada]), "{of_ada}");
    }
    assert_eq!((&dry["dry_run"], &deleted["dry_run"]), (&json!(true), &json!(false)));
    assert_eq!(text(dry, "path"), slug);
    assert_eq!((text(looked, "query"), &looked["found"]), ("filter=userName+eq+%22nobody%22", &json!(0)));
    assert_eq!(text(looked, "user_agent"), "Okta SCIM Client");
    let (_, tokens) =
        house.api("GET", &tenant.org_key, &place(&tenant).replace("requests", "tokens"), None).await;
    assert!(log.iter().all(|e| e["key_id"] == tokens["data"][0]["id"]), "{tokens}");

    let taken = whole(house, &tenant, taken).await;
    assert_eq!(taken["request_body"], json!({"text": again, "bytes": again.len(), "cut": false}));
    assert_eq!(
        serde_json::from_str::<Value>(text(&taken["answer_body"], "text")).unwrap()["detail"],
        taken["detail"]
    );
    let broken = whole(house, &tenant, broken).await;
    assert_eq!(broken["request_body"], json!({"text": "{\"userName\": ", "bytes": 13, "cut": true}));
    let long = whole(house, &tenant, long).await;
    assert!(long["request_body"]["bytes"].as_u64().unwrap() > 65_536, "{long}");
    let looked = whole(house, &tenant, looked).await;
    assert_eq!((&looked["request_body"], &looked["answer_body"]), (&Value::Null, &Value::Null));
    let dry = whole(house, &tenant, dry).await;
    assert!(text(&dry["answer_body"], "text").contains("user.deleted"), "{dry}");
}

/// The request id is that of the answer; discovery and a method that is never served are there too, where
/// nobody asked for a credential, if one was shown.
#[tokio::test]
async fn what_asks_for_no_credential_is_logged_when_one_is_shown() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let id = format!("own-{}", tenant.slug);
    let config = "/scim/v2/ServiceProviderConfig";
    assert_eq!(raw(house, &tenant.scim_token, ("GET", config), ("x-request-id", &id), "").await, 200);
    assert_eq!(raw(house, &tenant.scim_token, ("OPTIONS", "/scim/v2/Users"), PLAIN, "").await, 405);
    assert_eq!(raw(house, &format!("{}x", tenant.scim_token), ("GET", config), PLAIN, "").await, 200);
    let theirs = format!("/orgs/{}{config}", other.slug);
    assert_eq!(raw(house, &tenant.scim_token, ("GET", &theirs), PLAIN, "").await, 200);
    assert_eq!(house.http.get(house.url(config)).send().await.unwrap().status(), 200);
    person(house, &tenant, "last").await;
    let log = logged(house, &tenant, 3).await;
    let asked: Vec<_> = log.iter().map(|e| (text(e, "method"), text(e, "path"))).collect();
    assert_eq!(asked, [("POST", "/scim/v2/Users"), ("OPTIONS", "/scim/v2/Users"), ("GET", config)]);
    assert_eq!(text(&log[2], "request_id"), id);
    assert!(page(house, &other, "").await["data"].as_array().unwrap().is_empty());
}

/// A token that lives for an hour tells an administrator nothing: the secret that it was fetched with does.
#[tokio::test]
async fn a_fetched_token_is_logged_as_its_secret() {
    let house = house();
    let tenant = house.tenant().await;
    let (_, made) = crate::scim_clients::secret(house, &tenant, json!({"name": "Entra"})).await;
    let (id, secret) = (text(&made, "client_id"), text(&made, "client_secret"));
    let (status, fetched) = crate::scim_clients::fetch(house, id, secret, &[("scope", "scim")]).await;
    assert_eq!(status, 200, "{fetched}");
    assert_eq!(house.scim("GET", text(&fetched, "access_token"), "/scim/v2/Users", None).await.0, 200);
    assert_eq!(logged(house, &tenant, 1).await[0]["key_id"], made["id"]);
}

/// Throttled, held, and of a token that may do less.
#[tokio::test]
async fn what_a_guard_refused_says_so() {
    let house = house();
    let tenant = house.tenant().await;
    let people = [person(house, &tenant, "a").await, person(house, &tenant, "b").await];
    let directory = format!("/orgs/{}/directories/{}", tenant.slug, tenant.directory);
    let guard = json!({"blast_guard": {"percent": 1, "at_least": 1}});
    assert_eq!(house.api("PATCH", &tenant.org_key, &directory, Some(guard)).await.0, 200);
    let off = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": false}}]});
    for (id, status) in [(&people[0], 200), (&people[1], 429)] {
        let path = format!("/scim/v2/Users/{id}");
        assert_eq!(house.scim("PATCH", &tenant.scim_token, &path, Some(off.clone())).await.0, status);
    }
    let operations = json!([
        {"method": "POST", "path": "/Users", "bulkId": "c", "data": {"userName": "c", "password": "hunter2"}},
        {"method": "DELETE", "path": format!("/Users/{}", people[1])},
    ]);
    let body = json!({"Operations": operations});
    let (_, done) = house.scim("POST", &tenant.scim_token, "/scim/v2/Bulk", Some(body)).await;
    let made = text(&done["Operations"][0], "location").rsplit('/').next().unwrap();
    let tokens = format!("{directory}/tokens");
    let scopes = json!({"scopes": ["users:read"]});
    let (_, reader) = house.api("POST", &tenant.org_key, &tokens, Some(scopes)).await;
    let (status, _) = house.scim("POST", text(&reader, "token"), "/scim/v2/Users", Some(json!({}))).await;
    assert_eq!(status, 403);
    let log = logged(house, &tenant, 6).await;
    let [lacking, bulk, held, through, ..] = &log[..] else { panic!("{log:?}") };
    assert_eq!((&lacking["code"], &lacking["key_id"]), (&json!("scim.scope_missing"), &reader["id"]));
    assert_eq!((&held["code"], &held["held"]), (&json!("scim.held"), &json!(true)));
    assert_eq!(through["held"], false);
    assert_eq!((&bulk["held"], &bulk["status"]), (&json!(true), &json!(200)));
    assert_eq!((&bulk["bulk"]["operations"], &bulk["bulk"]["failed"]), (&json!(2), &json!(1)));
    let failure = &bulk["bulk"]["failures"][0];
    assert_eq!((&failure["index"], &failure["code"]), (&json!(1), &json!("scim.held")));
    assert_eq!(bulk["users"], json!([people[1], made]), "whom it names, and whom it made");
    let (_, of_b) =
        house.api("GET", &tenant.org_key, &format!("{}?user={}", place(&tenant), people[1]), None).await;
    assert_eq!(of_b["data"].as_array().unwrap().len(), 3, "made, held twice: {of_b}");
    // Answered 200, and yet an operation of it failed.
    assert_eq!(bulk["code"], "scim.held");
    for (query, wanted) in
        [("failed=true", vec![lacking, bulk, held]), ("failed=false", log[3..].iter().collect())]
    {
        let list = page(house, &tenant, query).await;
        assert_eq!(list["data"].as_array().unwrap().iter().collect::<Vec<_>>(), wanted, "{query}");
        let of_b = page(house, &tenant, &format!("{query}&user={}", people[1])).await;
        let has_bulk = of_b["data"].as_array().unwrap().iter().any(|one| one["id"] == bulk["id"]);
        assert_eq!(has_bulk, query == "failed=true");
    }
}

/// What the rate limit refuses is counted, all of it, on a row a second: whoever is refused most writes least.
#[tokio::test]
async fn throttled_requests_are_counted_on_one_row_a_second() {
    let node = crate::limits::strict();
    let tenant = node.tenant().await;
    let (mut asked, mut refused) = (0, 0);
    let began = std::time::Instant::now();
    for _ in 0..20 {
        let answers = crate::limits::flood(node, &tenant.scim_token, "/scim/v2/Users?count=0", 150).await;
        asked += answers.len();
        refused += crate::limits::refused(&answers);
        if refused > 20 {
            break;
        }
    }
    assert!(refused > 20, "of {asked}");
    // One after the other, they are refused by the node's own memory. The log is read at a node that is not loud.
    for _ in 0..150 {
        let answers = crate::limits::flood(node, &tenant.scim_token, "/scim/v2/Users?count=0", 1).await;
        refused += crate::limits::refused(&answers);
    }
    let mut told = Vec::new();
    for _ in 0..100 {
        told = page(house(), &tenant, "status=429&limit=200").await["data"].as_array().unwrap().clone();
        if counted(&told) >= refused as i64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rows_max = began.elapsed().as_secs() as usize + 2;
    assert!(counted(&told) == refused as i64 && told.len() <= rows_max, "{refused} refused: {told:?}");
    for entry in &told {
        assert_eq!((&entry["code"], &entry["found"]), (&json!("scim.throttled"), &Value::Null));
        assert_eq!((&entry["lost_before"], text(entry, "query")), (&json!(0), "count=0"));
    }
}

fn counted(entries: &[Value]) -> i64 {
    entries.iter().map(|entry| entry["times"].as_i64().unwrap()).sum()
}

/// A list is narrowed by each of its fields, and goes on where a page ended.
#[tokio::test]
async fn the_list_is_narrowed_and_paged() {
    let house = house();
    let tenant = house.tenant().await;
    let ada = person(house, &tenant, "ada").await;
    let path = format!("/scim/v2/Users/{ada}");
    let group = json!({"displayName": "G", "members": [{"value": ada}]});
    let (_, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(group)).await;
    let group = text(&made, "id").to_owned();
    assert_eq!(raw(house, &tenant.scim_token, ("GET", "/scim/v2/Users?filter=x"), PLAIN, "").await, 400);
    assert_eq!(raw(house, &tenant.scim_token, ("PATCH", &path), PLAIN, "[]").await, 400);
    let leave = json!({"schemas": [PATCH], "Operations": [
        {"op": "remove", "path": format!("members[value eq \"{ada}\"]")}]});
    let of_group = format!("/scim/v2/Groups/{group}");
    assert_eq!(house.scim("PATCH", &tenant.scim_token, &of_group, Some(leave)).await.0, 204);
    let log = logged(house, &tenant, 5).await;
    let ids: Vec<&str> = log.iter().map(|e| text(e, "id")).collect();
    assert_eq!((&log[0]["groups"], &log[0]["users"]), (&json!([group]), &json!([ada])));
    assert_eq!(log[3]["groups"], json!([group]), "the one it made");
    let (second, before) = (text(&log[1], "at"), text(&log[3], "at"));
    for (query, wanted) in [
        ("failed=true".to_owned(), vec![1, 2]),
        ("failed=false".to_owned(), vec![0, 3, 4]),
        ("status=400".to_owned(), vec![1, 2]),
        ("status=204&failed=true".to_owned(), vec![]),
        ("method=PATCH".to_owned(), vec![0, 1]),
        ("method=patch".to_owned(), vec![0, 1]),
        (format!("user={ada}"), vec![0, 1, 3, 4]),
        (format!("user={ada}&failed=true"), vec![1]),
        (format!("user={ada}&method=POST&to={second}"), vec![3, 4]),
        (format!("from={second}"), vec![0, 1]),
        (format!("to={second}"), vec![2, 3, 4]),
        (format!("from={before}&to={second}"), vec![2, 3]),
        ("user=usr_00000000000000000000000000".to_owned(), vec![]),
    ] {
        let list = page(house, &tenant, &query).await;
        let got: Vec<&str> = list["data"].as_array().unwrap().iter().map(|e| text(e, "id")).collect();
        assert_eq!(got, wanted.iter().map(|at: &usize| ids[*at]).collect::<Vec<_>>(), "{query}");
    }
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let list = page(house, &tenant, &format!("limit=2{cursor}")).await;
        walked.extend(list["data"].as_array().unwrap().iter().map(|e| text(e, "id").to_owned()));
        let Some(next) = list["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(walked, ids);
    for wrong in [
        "status=99",
        "status=600",
        "status=x",
        "failed=yes",
        "user=ada",
        "from=today",
        "limit=201",
        "method=FROB",
        "method=",
    ] {
        let path = format!("{}?{wrong}", place(&tenant));
        let (status, said) = house.api("GET", &tenant.org_key, &path, None).await;
        assert_eq!((status, &said["code"]), (400, &json!("api.query_malformed")), "{wrong}");
    }
}

/// A password is in no list, no body, no row and no line of the log; nor is what names a person in a row.
#[tokio::test]
async fn no_secret_is_kept_and_nothing_personal_lies_open() {
    let house = house();
    let lines = crate::observed::LINES.clone();
    let tenant = house.tenant().await;
    let secret = format!("hunter-{}", tenant.slug);
    let name = format!("canary-{}", tenant.slug);
    let (token, users) = (&tenant.scim_token, "/scim/v2/Users");
    let body =
        json!({"userName": name, "password": secret, "emails": [{"value": format!("{name}@x.example")}]});
    let (_, made) = house.scim("POST", token, users, Some(body)).await;
    let one = format!("{users}/{}", text(&made, "id"));
    let replace =
        json!({"schemas": [PATCH], "Operations": [{"value": secret, "op": "replace", "path": "password"}]});
    assert_eq!(house.scim("PATCH", token, &one, Some(replace)).await.0, 200);
    let broken = format!("{{\"userName\":\"{name}\",\"password\":\"{secret}\"");
    assert_eq!(raw(house, token, ("POST", users), PLAIN, &broken).await, 400);
    let filter = format!("{users}?filter=password+eq+%22{secret}%22");
    assert_eq!(raw(house, token, ("GET", &filter), PLAIN, "").await, 200);
    let search = json!({"filter": format!("password eq \"{secret}\"")});
    assert_eq!(house.scim("POST", token, "/scim/v2/Users/.search", Some(search)).await.0, 200);
    // Malformed, so that the refusal quotes what came.
    let filter = format!("{users}?filter=password+eq+{secret}");
    assert_eq!(raw(house, token, ("GET", &filter), PLAIN, "").await, 400);
    let search = json!({"filter": format!("password eq {secret}")});
    assert_eq!(house.scim("POST", token, "/scim/v2/Users/.search", Some(search)).await.0, 400);
    for operation in [
        json!({"op": "replace", "value": secret}),
        json!({"op": "replace", "path": ["password"], "value": secret}),
        json!({"op": "remove", "path": format!("emails[password eq {secret}]")}),
    ] {
        let body = json!({"schemas": [PATCH], "Operations": [operation]});
        assert_eq!(house.scim("PATCH", token, &one, Some(body.clone())).await.0, 400, "{body}");
        let bulk =
            json!({"Operations": [{"method": "PATCH", "path": one.replace("/scim/v2", ""), "data": body}]});
        assert_eq!(house.scim("POST", token, "/scim/v2/Bulk", Some(bulk)).await.0, 200);
    }
    let filter = format!("{users}?filter=userName+eq+%22{name}%22&access_token={token}");
    assert_eq!(raw(house, token, ("GET", &filter), PLAIN, "").await, 200);
    assert_eq!(raw(house, token, ("GET", &format!("{users}/{token}")), ("user-agent", token), "").await, 404);
    let log = logged(house, &tenant, 15).await;
    let mut shown = json!(log).to_string();
    for entry in &log {
        shown.push_str(&whole(house, &tenant, entry).await.to_string());
    }
    assert!(shown.contains(&name) && shown.contains("[redacted]"));
    assert!(!shown.contains(&secret) && !shown.contains(token.as_str()), "{shown}");
    let mut sql = inside(house, tenant.org).await;
    let stored: Vec<String> = sqlx::query_scalar(
        "SELECT r::text || encode(head, 'escape') || encode(bodies, 'escape') FROM scim_requests r",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert_eq!(stored.len(), 15);
    for canary in [&secret, &name, token, "userName"] {
        assert!(stored.iter().all(|row| !row.contains(canary)), "{canary} lies open");
    }
    let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!written.contains(&secret) && !written.contains(&name) && !written.contains(token.as_str()));
    // What is sealed opens at its own place alone.
    let moved =
        "UPDATE vst.scim_requests SET head = (SELECT head FROM vst.scim_requests ORDER BY req_id LIMIT 1)";
    let mut owner = owner(house, &tenant).await;
    sqlx::query(moved).execute(&mut owner).await.unwrap();
    let (status, _) = house.api("GET", &tenant.org_key, &place(&tenant), None).await;
    assert_eq!(status, 500);
}

/// As the tables' owner, in this org.
async fn owner(house: &House, tenant: &Tenant) -> PgConnection {
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    sqlx::query(
        "SELECT set_config('role', 'vst_owner', false), set_config('app.org_id', $1, false),
                set_config('app.reach', 'org', false)",
    )
    .bind(tenant.org.uuid().to_string())
    .execute(&mut sql)
    .await
    .unwrap();
    sql
}

#[tokio::test]
async fn a_body_is_kept_to_its_bound_and_one_more_is_cut() {
    let house = house();
    let tenant = house.tenant().await;
    let frame = r#"{"userName":""}"#.len();
    for bytes in [KEPT, KEPT + 1] {
        let body = format!(r#"{{"userName":"{}"}}"#, "x".repeat(bytes - frame));
        assert_eq!(raw(house, &tenant.scim_token, ("POST", "/scim/v2/Users"), PLAIN, &body).await, 400);
    }
    let log = logged(house, &tenant, 2).await;
    for (entry, bytes, cut) in [(&log[1], KEPT, false), (&log[0], KEPT + 1, true)] {
        let body = &whole(house, &tenant, entry).await["request_body"];
        assert_eq!((&body["bytes"], &body["cut"]), (&json!(bytes), &json!(cut)));
        assert_eq!(text(body, "text").len(), KEPT);
    }
}

/// Another org sees nothing of it, by its own path or by this one; nor does a key of another scope.
#[tokio::test]
async fn the_log_is_its_own_orgs() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    person(house, &tenant, "ada").await;
    let entry = logged(house, &tenant, 1).await.remove(0);
    let one = format!("{}/{}", place(&tenant), text(&entry, "id"));
    let own = format!("/orgs/{}/directories/{}/requests", other.slug, tenant.directory);
    let theirs = format!("{}/{}", place(&other), text(&entry, "id"));
    for path in [&place(&tenant), &one, &own, &format!("{own}/{}", text(&entry, "id")), &theirs] {
        let (status, said) = house.api("GET", &other.org_key, path, None).await;
        assert_eq!((status, &said["code"]), (404, &json!("not_found")), "{path}");
    }
    let keys = format!("/orgs/{}/keys", tenant.slug);
    for (scopes, status) in [
        (["users:read", "directories:write"], 403),
        (["directories:read", "audit:read"], 403),
        (["directories:read", "users:read"], 200),
    ] {
        let key = json!({"name": "k", "scopes": scopes});
        let (_, key) = house.api("POST", &tenant.org_key, &keys, Some(key)).await;
        for path in [&place(&tenant), &one] {
            assert_eq!(house.api("GET", text(&key, "key"), path, None).await.0, status, "{scopes:?} {path}");
        }
    }
    assert_eq!(house.api("GET", &house.platform_key, &one, None).await.0, 200);
}

/// A connection that broke before the answer: the entry has no status, and is found among those that failed.
#[tokio::test]
async fn who_is_gone_before_the_answer_is_logged_without_one() {
    let house = house();
    let tenant = house.tenant().await;
    let ada = person(house, &tenant, "ada").await;
    let mut held = owner(house, &tenant).await;
    let mut held = held.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM vst.users FOR UPDATE").execute(&mut *held).await.unwrap();
    let body = json!({"userName": format!("late@{}", tenant.domain)}).to_string();
    let request = format!(
        "PUT /scim/v2/Users/{ada} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        tenant.scim_token,
        body.len()
    );
    let mut socket = tokio::net::TcpStream::connect(house.base.trim_start_matches("http://")).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    socket.set_zero_linger().unwrap();
    drop(socket);
    let log = logged(house, &tenant, 2).await;
    held.rollback().await.unwrap();
    let (status, method, users) = (&log[0]["status"], &log[0]["method"], &log[0]["users"]);
    assert_eq!((status, method, users), (&Value::Null, &json!("PUT"), &json!([ada])));
    assert_eq!(text(&whole(house, &tenant, &log[0]).await["request_body"], "text"), body);
    assert_eq!(page(house, &tenant, "failed=true").await["data"].as_array().unwrap().len(), 1);
}

fn entry(directory: DirectoryId) -> NewLogged {
    let chance = &SystemChance;
    NewLogged {
        id: LoggedId::new(now(), chance),
        at: now(),
        directory,
        key: KeyId::new(now(), chance),
        method: "GET".to_owned(),
        status: Some(200),
        code: None,
        request_id: "test-request".to_owned(),
        duration_ms: 1,
        dry_run: false,
        held: false,
        lost_before: 0,
        times: 1,
        users: Vec::new(),
        head: RequestHead::default(),
        bodies: RequestBodies::default(),
    }
}

/// More than the log can keep is a gap that is told, not a silence; another org's entries are all there.
#[tokio::test]
async fn what_the_log_cannot_keep_is_a_gap_that_says_how_many() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let (org, directory, theirs) = (tenant.org, tenant.directory, (other.org, other.directory));
    let sent = broker::request_log::ORG_ROWS_MAX as i64 + 3_000;
    // As one that came back from a commit in doubt.
    let twice = entry(theirs.1);
    house.gw.requests.add(theirs.0, twice.clone());
    house.gw.requests.add(theirs.0, twice);
    (0..sent).for_each(|_| house.gw.requests.add(org, entry(directory)));
    let mut sql = inside(house, tenant.org).await;
    let sums = "SELECT count(*), COALESCE(sum(lost_before), 0)::bigint FROM scim_requests";
    let mut got = (0, 0);
    for _ in 0..100 {
        got = sqlx::query_as::<_, (i64, i64)>(sums).fetch_one(&mut sql).await.unwrap();
        if got.0 + got.1 == sent {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(got.0 + got.1 == sent && got.1 > 0, "{got:?} of {sent}");
    assert_eq!(logged(house, &other, 1).await[0]["lost_before"], 0);
}

/// While nobody can write its log a directory is served as ever; when it can be written, nothing is missing.
#[tokio::test]
async fn provisioning_does_not_wait_for_its_log() {
    let house = crate::house::Site::named("log-away").open();
    let tenant = house.tenant().await;
    let mut owner = owner(house, &tenant).await;
    let mut held = owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE vst.scim_requests IN EXCLUSIVE MODE").execute(&mut *held).await.unwrap();
    let failed =
        || broker::counted::JOB_FAILURES.read().iter().find(|(l, _)| *l == ["requests"]).map(|f| f.1);
    let before = failed();
    for n in 0..5 {
        person(house, &tenant, &format!("p{n}")).await;
    }
    for _ in 0..100 {
        if failed() > before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(failed() > before, "a round failed meanwhile");
    held.rollback().await.unwrap();
    let log = logged(house, &tenant, 5).await;
    assert!(log.iter().all(|entry| entry["lost_before"] == 0), "{log:?}");
}

/// Told to stop, the process writes down what was asked last.
#[tokio::test]
async fn a_process_that_stops_keeps_the_last_requests() {
    let house = house();
    let tenant = house.tenant().await;
    let keys = crate::house::Site::named("test").data.join("seal.keys").display().to_string();
    let stores = [("DATABASE_URL", house.database_url.as_str()), ("VESTIBULE_SEAL_KEY_FILE", keys.as_str())];
    let served = Served::start(&stores).await;
    for n in 0..3 {
        let url = served.url(&format!("/scim/v2/Users?count={n}"));
        assert_eq!(house.http.get(url).bearer_auth(&tenant.scim_token).send().await.unwrap().status(), 200);
    }
    let (_, said) = tokio::task::spawn_blocking(move || served.stopped()).await.unwrap();
    let list = page(house, &tenant, "").await;
    let asked: Vec<&str> = list["data"].as_array().unwrap().iter().map(|e| text(e, "query")).collect();
    assert_eq!(asked, ["count=2", "count=1", "count=0"], "{said}");
}

/// After its time an entry goes, with what names people in it; that of a directory which is gone at the org's
/// next turn, and only that.
#[tokio::test]
async fn the_log_goes_when_its_time_is_over_or_its_directory_is_gone() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let ada = person(house, &tenant, "ada").await;
    person(house, &other, "bob").await;
    logged(house, &tenant, 1).await;
    logged(house, &other, 1).await;
    let mut sql = inside(house, tenant.org).await;
    let mut left =
        async || (rows(&mut sql, "scim_requests").await, rows(&mut sql, "scim_request_people").await);
    let born = now();
    swept(house, &tenant, born.plus_secs(30 * DAY_SECS - 120)).await;
    assert_eq!(left().await, (1, 1));
    swept(house, &tenant, born.plus_secs(30 * DAY_SECS + 4_000)).await;
    assert_eq!(left().await, (0, 0));

    let directories = format!("/orgs/{}/directories", tenant.slug);
    let (_, second) = house.api("POST", &tenant.org_key, &directories, Some(json!({"name": "B"}))).await;
    let of_second = format!("{directories}/{}", text(&second, "id"));
    let (_, token) =
        house.api("POST", &tenant.org_key, &format!("{of_second}/tokens"), Some(json!({}))).await;
    let read = format!("/scim/v2/Users/{ada}");
    for _ in 0..450 {
        house.gw.requests.add(tenant.org, entry(text(&second, "id").parse().unwrap()));
    }
    assert_eq!(house.scim("GET", text(&token, "token"), &read, None).await.0, 200);
    assert_eq!(house.scim("GET", &tenant.scim_token, &read, None).await.0, 200);
    for _ in 0..100 {
        if left().await == (452, 2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left().await, (452, 2));
    assert_eq!(house.api("DELETE", &tenant.org_key, &of_second, None).await.0, 204);
    let log = format!("{of_second}/requests");
    assert_eq!(house.api("GET", &tenant.org_key, &log, None).await.0, 404, "at once");
    for _ in 0..150 {
        if left().await == (1, 1) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left().await, (1, 1), "the removal made it the org's turn");
    assert_eq!(text(&logged(house, &tenant, 1).await[0], "path"), read);
    // What was asked while it went is not kept.
    for directory in [text(&second, "id").parse().unwrap(), tenant.directory] {
        house.gw.requests.add(tenant.org, entry(directory));
    }
    logged(house, &tenant, 2).await;
    assert_eq!(left().await, (2, 1));
    assert_eq!(logged(house, &other, 1).await.len(), 1, "and nobody else's");
}

/// A gateway beside the house's, whose log nobody else writes.
fn quiet_log(house: &House) -> broker::Gateway {
    broker::Gateway { requests: Arc::default(), ..house.gw.clone() }
}

/// Writes so many entries as the job does, each with a body so long.
async fn written(
    house: &'static House,
    tenant: &Tenant,
    (count, body_bytes): (usize, usize),
    keep: &Retention,
) -> Vec<LoggedId> {
    let gw = quiet_log(house);
    let mut ids = Vec::new();
    for _ in 0..count {
        let mut one = entry(tenant.directory);
        one.bodies.request = Some(KeptBody { text: "x".repeat(body_bytes), bytes: 1, cut: false });
        one.users = vec![UserId::new(now(), &SystemChance)];
        ids.push(one.id);
        gw.requests.add(tenant.org, one);
    }
    let keep = keep.clone();
    house.on(async move { requests::round(gw, keep).await.unwrap() }).await;
    ids.sort();
    ids
}

async fn sums(sql: &mut PgConnection) -> (i64, i64) {
    let sums =
        "SELECT COALESCE(sum(rows), 0)::bigint, COALESCE(sum(bytes), 0)::bigint FROM scim_request_sums";
    sqlx::query_as(sums).fetch_one(sql).await.unwrap()
}

/// Of each directory so many rows and bytes are kept, and no more: the oldest go, whoever they name with them,
/// and no other directory's.
#[tokio::test]
async fn a_directorys_log_has_a_size_beyond_which_its_oldest_go() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let bounds =
        |rows_max, bytes_max| Retention { scim_requests: LogBounds { rows_max, bytes_max }, ..keep() };
    let (rows_bound, bytes_bound) = (bounds(1_000, 1 << 30), bounds(1_000, 100_000));
    let mut ids = written(house, &tenant, (700, 0), &rows_bound).await;
    ids.extend(written(house, &tenant, (750, 0), &rows_bound).await);
    written(house, &other, (3, 0), &rows_bound).await;
    let (mut sql, mut theirs) = (inside(house, tenant.org).await, inside(house, other.org).await);
    assert_eq!((sums(&mut sql).await.0, sums(&mut theirs).await.0), (1_450, 3));
    let soon = now().plus_secs(7_200);
    swept_to(house, &tenant, soon, rows_bound).await;
    assert_eq!(rows(&mut sql, "scim_requests").await, 1_000);
    assert_eq!(rows(&mut sql, "scim_request_people").await, 1_000);
    assert_eq!(sums(&mut sql).await.0, 1_000);
    let kept: Vec<Uuid> = sqlx::query_scalar("SELECT req_id FROM scim_requests ORDER BY req_id")
        .fetch_all(&mut sql)
        .await
        .unwrap();
    assert_eq!(kept.first(), Some(&ids[450].uuid()), "the newest are kept");

    // The same by bytes, to the row: one fewer would do, and one more would not.
    let (_, before) = sums(&mut sql).await;
    let each = before / 1_000;
    swept_to(house, &tenant, soon.plus_secs(7_200), bytes_bound).await;
    let (left, bytes) = sums(&mut sql).await;
    assert_eq!((left, bytes), (100_000 / each, left * each));
    assert_eq!(rows(&mut sql, "scim_requests").await, left);
    swept_to(house, &other, soon, bounds(1_000, 100_000)).await;
    assert_eq!((rows(&mut theirs, "scim_requests").await, sums(&mut theirs).await.0), (3, 3));

    // What goes by its age is taken off the sum too.
    swept(house, &tenant, now().plus_secs(31 * DAY_SECS)).await;
    assert_eq!((rows(&mut sql, "scim_requests").await, sums(&mut sql).await), (0, (0, 0)));
}

/// An org that was quiet has its turn in an hour: one whose log is too large has it now.
#[tokio::test]
async fn a_log_that_is_too_large_brings_the_orgs_turn_forward() {
    let house = house();
    let tenant = house.tenant().await;
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let later =
        "UPDATE vst.pending SET due_at = now() + interval '1 hour' WHERE kind = 'sweep' AND org_id = $1";
    let due =
        "SELECT due_at - now() < interval '11 minutes' FROM vst.pending WHERE kind = 'sweep' AND org_id = $1";
    sqlx::query(later).bind(tenant.org.uuid()).execute(&mut sql).await.unwrap();
    let bounds = LogBounds { rows_max: 10, bytes_max: 1 << 30 };
    let keep = Retention { sweep_every_secs: 600, scim_requests: bounds, ..keep() };
    for (more, is_soon) in [(10, false), (1, true)] {
        written(house, &tenant, (more, 0), &keep).await;
        let soon: bool = sqlx::query_scalar(due).bind(tenant.org.uuid()).fetch_one(&mut sql).await.unwrap();
        assert_eq!(soon, is_soon, "{more}");
    }
}
