//! What an attack found open, and what shut it: a credential that outlives its revocation, an org that
//! takes all connections, documents that fill the memory, a trust changed while it is enabled.

use crate::house::{
    House, Tenant, call, house, now,
    walk::{claims, tokens},
};
use model::revocation::{Action, Scope};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// A POST whose body has begun: its head and first bytes are with the server, and its door is open.
struct Begun {
    socket: TcpStream,
    rest: Vec<u8>,
}

impl Begun {
    async fn post(house: &House, path: &str, bearer: &str, body: &Value) -> Self {
        let address = house.base.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        let body = body.to_string().into_bytes();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {bearer}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&body[..5]).await.unwrap();
        // Long enough for the door's own look-up.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Self { socket, rest: body[5..].to_vec() }
    }

    /// Sends the rest and answers the status and the text.
    async fn end(mut self) -> (u16, String) {
        self.socket.write_all(&self.rest).await.unwrap();
        let mut said = String::new();
        self.socket.read_to_string(&mut said).await.unwrap();
        (said[9..12].parse().unwrap(), said)
    }
}

async fn ok(house: &House, method: &str, path: &str, body: Option<Value>) -> Value {
    let (status, said) = house.api(method, &house.platform_key, path, body).await;
    assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
    said
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn of(tenant: &Tenant) -> String {
    format!("/orgs/{}", tenant.slug)
}

async fn names(house: &House, tenant: &Tenant) -> Vec<String> {
    let users = ok(house, "GET", &format!("{}/users", of(tenant)), None).await;
    users["data"].as_array().unwrap().iter().map(|user| text(user, "user_name").to_owned()).collect()
}

#[tokio::test]
async fn a_directorys_token_is_good_for_nothing_once_it_is_revoked_however_slow_the_body() {
    let house = house();
    let tenant = house.tenant().await;
    let path = format!("{}/directories/{}/tokens", of(&tenant), tenant.directory);
    let token = ok(house, "POST", &path, Some(json!({}))).await;
    let (late, user) = (text(&token, "token"), json!({"userName": "after-revocation"}));
    let begun = Begun::post(house, "/scim/v2/Users", late, &user).await;
    ok(house, "DELETE", &format!("{path}/{}", text(&token, "id")), None).await;
    let (status, said) = begun.end().await;
    assert_eq!(status, 401, "{said}");
    assert!(said.contains("scim.unauthorized") && said.to_lowercase().contains("www-authenticate"));
    assert_eq!(names(house, &tenant).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_deleted_org_takes_nothing_from_whoever_was_inside() {
    let house = house();
    let tenant = house.tenant().await;
    let user = json!({"userName": "after-deletion"});
    let begun = Begun::post(house, "/scim/v2/Users", &tenant.scim_token, &user).await;
    let team = json!({"slug": "late", "name": "Late"});
    let path = format!("/api/v1{}/teams", of(&tenant));
    let by_key = Begun::post(house, &path, &tenant.org_key, &team).await;
    ok(house, "DELETE", &of(&tenant), None).await;
    assert_eq!(begun.end().await.0, 401);
    assert_eq!(by_key.end().await.0, 404);
    ok(house, "POST", &format!("{}/restore", of(&tenant)), None).await;
    assert_eq!(names(house, &tenant).await, Vec::<String>::new());
    let teams = ok(house, "GET", &format!("{}/teams", of(&tenant)), None).await;
    assert_eq!(teams["data"], json!([]));
}

#[tokio::test]
async fn an_orgs_key_is_good_for_nothing_once_it_is_revoked() {
    let house = house();
    let tenant = house.tenant().await;
    let keys = format!("{}/keys", of(&tenant));
    let key = ok(house, "POST", &keys, Some(json!({"name": "k", "scopes": ["*"]}))).await;
    let path = format!("/api/v1{}/teams", of(&tenant));
    let begun = Begun::post(house, &path, text(&key, "key"), &json!({"slug": "late", "name": "x"})).await;
    ok(house, "DELETE", &format!("{keys}/{}", text(&key, "id")), None).await;
    assert_eq!(begun.end().await.0, 401);
}

/// Revoking answers after whoever was inside has committed, and is not starved by a flood of them.
#[tokio::test]
async fn what_a_revoked_token_wrote_was_written_before_the_revocation_answered() {
    let house = house();
    let tenant = house.tenant().await;
    let path = format!("{}/directories/{}/tokens", of(&tenant), tenant.directory);
    let token = ok(house, "POST", &path, Some(json!({}))).await;
    let mut flood = JoinSet::new();
    for writer in 0..8 {
        let token = text(&token, "token").to_owned();
        flood.spawn(async move {
            for n in 0.. {
                let user = json!({"userName": format!("flood-{writer}-{n}")});
                let (status, said) = house.scim("POST", &token, "/scim/v2/Users", Some(user)).await;
                match status {
                    201 => {}
                    401 => return n,
                    other => panic!("{other} {said}"),
                }
            }
            0
        });
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let start = Instant::now();
    ok(house, "DELETE", &format!("{path}/{}", text(&token, "id")), None).await;
    assert!(start.elapsed() < Duration::from_secs(2), "starved for {:?}", start.elapsed());
    let count = "/scim/v2/Users?count=0";
    let (_, then) = house.scim("GET", &tenant.scim_token, count, None).await;
    let written: u64 = flood.join_all().await.into_iter().sum();
    let (_, later) = house.scim("GET", &tenant.scim_token, count, None).await;
    assert!(written > 0);
    assert_eq!(then["totalResults"], later["totalResults"], "nothing came after the answer");
}

/// One org's requests that all wait for one row leave the connections to everybody else; what waits too
/// long is told to come again, and never that something broke.
#[tokio::test]
async fn one_orgs_waiting_requests_hold_up_nobody_else() {
    let house = house();
    let (noisy, quiet) = (house.tenant().await, house.tenant().await);
    let user = json!({"userName": "waited-for"});
    let (_, made) = house.scim("POST", &noisy.scim_token, "/scim/v2/Users", Some(user)).await;
    let path = format!("/scim/v2/Users/{}", text(&made, "id"));
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let hold = format!(
        "BEGIN; SET LOCAL ROLE vst_owner; SET LOCAL search_path = vst; SET LOCAL app.reach = 'org';
         SET LOCAL app.org_id = '{}'; SELECT 1 FROM users FOR UPDATE",
        noisy.org.uuid()
    );
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut sql).await.unwrap();
    let mut waiting = JoinSet::new();
    for n in 0..40 {
        let (path, token) = (path.clone(), noisy.scim_token.clone());
        let patch = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "title", "value": format!("{n}")}],
        });
        waiting.spawn(async move {
            let request = house.http.patch(house.url(&path)).bearer_auth(token).body(patch.to_string());
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    for _ in 0..5 {
        let (status, said) = house.scim("GET", &quiet.scim_token, "/scim/v2/Users", None).await;
        assert_eq!(status, 200, "{said}");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "held up for {:?}", start.elapsed());
    tokio::time::sleep(Duration::from_secs(3)).await;
    sql.close().await.unwrap();
    let answers = waiting.join_all().await;
    assert!(answers.iter().all(|answer| matches!(answer, (200, false) | (503, true))), "{answers:?}");
    assert!(answers.contains(&(503, true)), "nobody waits for a lock without end");
    let (status, _) = house.scim("GET", &noisy.scim_token, &path, None).await;
    assert_eq!(status, 200);
}

fn large(name: &str, bytes: usize) -> Value {
    json!({"userName": name, "urn:example:2.0:User": {"text": "x".repeat(bytes)}})
}

fn patch(operations: Value) -> Option<Value> {
    Some(json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations}))
}

#[tokio::test]
async fn a_persons_document_is_bounded_and_one_that_is_too_large_can_still_be_deactivated() {
    let house = house();
    let tenant = house.tenant().await;
    let token = &tenant.scim_token;
    let (status, said) = house.scim("POST", token, "/scim/v2/Users", Some(large("a", 65_536))).await;
    assert_eq!(status, 413);
    assert!(text(&said, "detail").ends_with("[scim.document_too_large]"));
    let (status, made) = house.scim("POST", token, "/scim/v2/Users", Some(large("a", 65_000))).await;
    assert_eq!(status, 201);
    let path = format!("/scim/v2/Users/{}", text(&made, "id"));
    let grow = json!([{"op": "add", "path": "title", "value": "y".repeat(600)}]);
    let (status, said) = house.scim("PATCH", token, &path, patch(grow)).await;
    assert_eq!((status, said["title"].is_null()), (413, true));
    let (status, _) = house.scim("PUT", token, &path, Some(large("a", 65_536))).await;
    assert_eq!(status, 413);
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let grown = format!(
        "BEGIN; SET LOCAL ROLE vst_owner; SET LOCAL search_path = vst; SET LOCAL app.reach = 'org';
         SET LOCAL app.org_id = '{}';
         UPDATE users SET attributes = attributes || jsonb_build_object('title', repeat('z', 100000)); COMMIT",
        tenant.org.uuid()
    );
    sqlx::raw_sql(AssertSqlSafe(grown)).execute(&mut sql).await.unwrap();
    let leave = json!([{"op": "replace", "value": {"active": false}}]);
    let (status, said) = house.scim("PATCH", token, &path, patch(leave)).await;
    assert_eq!((status, &said["active"]), (200, &json!(false)));
}

#[tokio::test]
async fn a_page_ends_by_bytes_and_what_is_not_asked_for_does_not_count() {
    let house = house();
    let tenant = house.tenant().await;
    let token = &tenant.scim_token;
    for n in 0..40 {
        let (status, said) =
            house.scim("POST", token, "/scim/v2/Users", Some(large(&format!("p{n}"), 60_000))).await;
        assert_eq!(status, 201, "{said}");
    }
    let (mut seen, mut pages) = (BTreeSet::new(), 0);
    while seen.len() < 40 {
        let path = format!("/scim/v2/Users?count=100&startIndex={}", seen.len() + 1);
        let (_, page) = house.scim("GET", token, &path, None).await;
        let people = page["Resources"].as_array().unwrap();
        assert_eq!((&page["totalResults"], &page["itemsPerPage"]), (&json!(40), &json!(people.len())));
        assert!(page.to_string().len() < 2_300_000 && !people.is_empty());
        seen.extend(people.iter().map(|one| text(one, "userName").to_owned()));
        pages += 1;
    }
    assert_eq!(pages, 2);
    let (_, names) = house.scim("GET", token, "/scim/v2/Users?count=100&attributes=userName", None).await;
    assert_eq!(names["itemsPerPage"], json!(40));
    assert_eq!(names["Resources"][0]["userName"], json!("p0"));
    assert!(names.to_string().len() < 10_000);
}

#[tokio::test]
async fn a_directory_leaves_a_sign_ins_seat_alone_unless_the_org_lets_it_take_one_over() {
    let house = house();
    let tenant = house.tenant().await;
    let token = &tenant.scim_token;
    let given = tokens(house, &tenant).await;
    let seat = claims(given["access_token"].as_str().unwrap())["sub"].as_str().unwrap().to_owned();
    let path = format!("/scim/v2/Users/{seat}");
    let rename = json!([{"op": "replace", "path": "userName", "value": "mallory@evil.example"}]);
    let whole = json!({"userName": "mallory@evil.example"});
    for (method, body) in [("PATCH", patch(rename.clone())), ("PUT", Some(whole)), ("DELETE", None)] {
        let (status, said) = house.scim(method, token, &path, body).await;
        assert_eq!(status, 403, "{method} {said}");
        assert!(text(&said, "detail").ends_with("[scim.not_adopted]"), "{said}");
    }
    assert_eq!(names(house, &tenant).await, [format!("ada@{}", tenant.domain)]);
    ok(house, "PATCH", &of(&tenant), Some(json!({"scim_adopts": true}))).await;
    // Consent is about people of the org's own domains.
    let proven = async |state: &str| {
        let mut sql = crate::operations::inside(house, tenant.org).await;
        sqlx::query("UPDATE domains SET state = $1").bind(state).execute(&mut sql).await.unwrap();
    };
    proven("pending").await;
    for (method, body) in [("PATCH", patch(rename.clone())), ("DELETE", None)] {
        let (status, said) = house.scim(method, token, &path, body).await;
        assert_eq!(status, 403, "{method} {said}");
    }
    let again = json!({"userName": format!("ada@{}", tenant.domain)});
    assert_eq!(house.scim("POST", token, "/scim/v2/Users", Some(again)).await.0, 409);
    proven("verified").await;
    let title = json!([{"op": "replace", "path": "title", "value": "Dr"}]);
    let (status, said) = house.scim("PATCH", token, &path, patch(title)).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(house.scim("DELETE", token, &path, None).await.0, 204);
}

/// An org key's change that waits behind the operator's enabling is judged by what is enabled then.
#[tokio::test]
async fn what_an_enabled_connection_trusts_is_what_the_operator_enabled() {
    let house = house();
    let tenant = house.tenant().await;
    let path = format!("{}/connections/{}", of(&tenant), tenant.connection);
    ok(house, "POST", &format!("{path}/disable"), None).await;
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let hold = format!(
        "BEGIN; SET LOCAL ROLE vst_owner; SET LOCAL search_path = vst; SET LOCAL app.reach = 'org';
         SET LOCAL app.org_id = '{}'; SELECT 1 FROM connections FOR UPDATE",
        tenant.org.uuid()
    );
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut sql).await.unwrap();
    let (enabling, changing) = (format!("{path}/enable"), path.clone());
    let enabled = tokio::spawn(async move { ok(house, "POST", &enabling, None).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (key, trust) = (tenant.org_key.clone(), Some(json!({"allow_idp_initiated": true})));
    let changed = tokio::spawn(async move { house.api("PATCH", &key, &changing, trust).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    sql.close().await.unwrap();
    assert_eq!(enabled.await.unwrap()["config"]["allow_idp_initiated"], json!(false));
    let (status, said) = changed.await.unwrap();
    assert_eq!((status, &said["code"]), (422, &json!("connection.not_rehearsed")), "{said}");
    let after = ok(house, "GET", &path, None).await;
    assert_eq!(
        (&after["state"], &after["config"]["allow_idp_initiated"]),
        (&json!("enabled"), &json!(false))
    );
}

#[tokio::test]
async fn a_key_that_ends_makes_none_that_goes_on() {
    let house = house();
    let tenant = house.tenant().await;
    let keys = format!("{}/keys", of(&tenant));
    let (end, later) = ("2099-01-01T00:00:00Z", "2099-01-01T00:00:01Z");
    let maker = json!({"name": "short", "scopes": ["keys:write", "audit:read"], "expires_at": end});
    let maker = ok(house, "POST", &keys, Some(maker)).await;
    let by = text(&maker, "key");
    let child = |expires_at: Value| {
        Some(json!({"name": "child", "scopes": ["keys:write"], "expires_at": expires_at}))
    };
    let (status, said) = house.api("POST", by, &keys, child(json!(later))).await;
    assert_eq!((status, &said["code"]), (400, &json!("key.outlives_maker")), "{said}");
    let (status, said) = house.api("POST", by, &keys, child(Value::Null)).await;
    assert_eq!((status, text(&said, "expires_at")), (201, text(&maker, "expires_at")));
    let (_, events) = house.api("GET", by, &format!("{}/audit/events", of(&tenant)), None).await;
    let made = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["action"] == json!("key.created") && event["target"]["id"] == said["id"]);
    assert!(made.unwrap().to_string().contains(text(&maker, "id")), "{events}");
}

/// What waits for Redis is named one by one, and only what ends sessions waits.
#[tokio::test]
async fn a_revocation_waits_for_redis_alone_and_a_reassert_does_not_wait() {
    let house = house();
    let tenant = house.tenant().await;
    let org = tenant.org;
    let waiting = house.on(async move {
        let scope = house.gw.db.job("test", org, &call()).await.unwrap();
        let mut tx = house.gw.db.write(&scope, "test.revoke").await.unwrap();
        let first = tx.revoke(Scope::Org, Action::Terminate, "test").await.unwrap();
        tx.revoke(Scope::Org, Action::Reassert, "test").await.unwrap();
        let third = tx.revoke(Scope::Org, Action::Terminate, "test").await.unwrap();
        let waiting = tx.waiting_for_redis(now(), 10).await.unwrap();
        assert_eq!(waiting, [(first.item(), Some(first.seq)), (third.item(), Some(third.seq))]);
        assert_eq!(tx.terminations(&[third.seq]).await.unwrap(), [(third.seq, "org".to_owned())]);
        tx.settle_told(&[first.item()], now()).await.unwrap();
        tx.waiting_for_redis(now(), 10).await.unwrap().len()
    });
    assert_eq!(waiting.await, 1);
}

#[tokio::test]
async fn a_stranger_is_answered_before_the_body_is_read() {
    let house = house();
    let tenant = house.tenant().await;
    for path in
        ["/api/v1/orgs".to_owned(), format!("/api/v1{}/teams", of(&tenant)), "/scim/v2/Users".to_owned()]
    {
        let begun = Begun::post(house, &path, "vst_plat_nobody", &json!({"slug": "a", "name": "b"})).await;
        let mut begun = Begun { rest: Vec::new(), ..begun };
        let mut head = [0; 12];
        let answer = begun.socket.read_exact(&mut head);
        tokio::time::timeout(Duration::from_secs(5), answer).await.expect("waits for no body").unwrap();
        assert_eq!(&head, b"HTTP/1.1 401", "{path}");
    }
}
