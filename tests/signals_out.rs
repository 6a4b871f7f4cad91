//! Shared Signals out: an app's stream, and what it is told on it: verified as a receiver would, by our key set
//! alone.

use crate::house::{
    House, Tenant, TestApp, house,
    served::{Asked, Reply, Served},
    walk::{claims, param, redeem, text, to_the_acs, tokens},
};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{collections::BTreeSet, time::Duration};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const ENABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-enabled";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";
const PUSH: &str = "urn:ietf:rfc:8935";

async fn ask(house: &House, app: &TestApp, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let verb = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = house.http.request(verb, house.url(path));
    request = request.basic_auth(app.id.to_string(), Some(&app.secret));
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let sent = request.send().await.unwrap();
    let status = sent.status().as_u16();
    assert_eq!(sent.headers()["cache-control"], "no-store");
    let text = sent.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The app hears at this address from now on.
async fn stream(house: &House, app: &TestApp, url: &str) -> Value {
    let delivery = json!({"method": PUSH, "endpoint_url": url, "authorization_header": "Bearer canary-6b1f"});
    let (status, made) = ask(house, app, "POST", "/ssf/streams", Some(json!({"delivery": delivery}))).await;
    assert_eq!(status, 201, "{made}");
    made
}

/// What a receiver does with a push: header, signature and every claim. Answers the event's URI and the claims.
async fn heard(house: &House, app: &TestApp, asked: &Asked) -> (String, Value) {
    assert_eq!(asked.header("content-type"), "application/secevent+jwt");
    assert_eq!(asked.header("authorization"), "Bearer canary-6b1f");
    let jwt = String::from_utf8(asked.body.clone()).unwrap();
    let parts: Vec<&str> = jwt.split('.').collect();
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let header: Value = serde_json::from_slice(&decoded(parts[0])).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("secevent+jwt")));
    let document = house.http.get(house.url("/.well-known/ssf-configuration")).send().await.unwrap();
    let document: Value = document.json().await.unwrap();
    let keys = house.http.get(text(&document, "jwks_uri")).send().await.unwrap();
    let keys: Value = keys.json().await.unwrap();
    let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
    let (n, e) = (decoded(text(key, "n")), decoded(text(key, "e")));
    assert!(n.len() >= 256, "2048 bits");
    let message = format!("{}.{}", parts[0], parts[1]);
    RsaPublicKeyComponents { n: &n, e: &e }
        .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &decoded(parts[2]))
        .expect("our key set verifies it");
    let said = claims(&jwt);
    assert_eq!((&said["iss"], &said["aud"]), (&document["issuer"], &json!(app.id)));
    assert!(said.get("sub").is_none() && said.get("exp").is_none() && said["jti"].is_string());
    assert!(said["iat"].is_i64() && said["sub_id"]["format"].is_string());
    let events = said["events"].as_object().unwrap();
    assert_eq!(events.len(), 1);
    let uri = events.keys().next().unwrap().clone();
    if ![VERIFICATION, UPDATED].contains(&uri.as_str()) {
        assert!(
            !text(&events[&uri]["reason_admin"], "en").is_empty() && events[&uri]["event_timestamp"].is_i64()
        );
    }
    (uri, said)
}

async fn all_heard(house: &House, app: &TestApp, asked: &[Asked]) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for one in asked {
        all.push(heard(house, app, one).await);
    }
    all
}

fn uris(heard: &[(String, Value)]) -> BTreeSet<&str> {
    heard.iter().map(|(uri, _)| uri.as_str()).collect()
}

/// An app that serves this tenant alone.
async fn own_app(house: &'static House, tenant: &Tenant) {
    let body = json!({"orgs": [tenant.org]});
    let path = format!("/apps/{}", tenant.app.id);
    assert_eq!(house.api("PATCH", &house.platform_key, &path, Some(body)).await.0, 200);
}

async fn person(house: &House, tenant: &Tenant) -> String {
    let ada = json!({"userName": format!("ada@{}", tenant.domain)});
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(ada)).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

async fn set_active(house: &House, tenant: &Tenant, user: &str, active: bool) {
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": active}]});
    let path = format!("/scim/v2/Users/{user}");
    let (status, said) = house.scim("PATCH", &tenant.scim_token, &path, Some(patch)).await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test]
async fn an_app_is_told_of_a_person_who_goes_and_comes_back_and_of_no_other_orgs() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    own_app(house, &tenant).await;
    let ears = Served::start({
        let mut asked = 0;
        // Not at once: it comes again, the same.
        move |_| {
            asked += 1;
            Reply::status([400, 500, 302].get(asked - 1).copied().unwrap_or(202))
        }
    })
    .await;
    stream(house, &tenant.app, &ears.url).await;
    let stranger = person(house, &other).await;
    set_active(house, &other, &stranger, false).await;
    let user = person(house, &tenant).await;
    set_active(house, &tenant, &user, false).await;
    let told = all_heard(house, &tenant.app, &ears.wait_for(5).await).await;
    assert_eq!(uris(&told), BTreeSet::from([CAEP, DISABLED]));
    let subject = json!({"format": "iss_sub", "iss": house.gw.links.issuer(), "sub": user});
    let names: BTreeSet<&str> = told.iter().map(|(_, said)| text(said, "jti")).collect();
    assert_eq!(names.len(), 2, "an attempt is the same event");
    assert!(told.iter().all(|(_, said)| said["sub_id"] == subject), "{told:?}");
    let revoked = told.iter().find(|(uri, _)| uri == CAEP).unwrap();
    assert_eq!(revoked.1["events"][CAEP]["reason_admin"]["en"], "scim_deactivated");
    let path = format!("/orgs/{}/users/{user}/deprovisionings", tenant.slug);
    let mut named = Value::Null;
    for _ in 0..50 {
        let (_, list) = house.api("GET", &tenant.org_key, &path, None).await;
        named = list["data"][0]["apps"][0].clone();
        if named["stream"]["acknowledged"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((&named["client_id"], &named["stream"]["acknowledged"]), (&json!(tenant.app.id), &json!(1)));
    set_active(house, &tenant, &user, true).await;
    let told = all_heard(house, &tenant.app, &ears.wait_for(6).await).await;
    assert_eq!((told[5].0.as_str(), &told[5].1["sub_id"]), (ENABLED, &subject));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ears.seen().len(), 6, "told once each");
    // It serves the org no more: nothing of it is told.
    let body = json!({"orgs": [other.org]});
    let path = format!("/apps/{}", tenant.app.id);
    assert_eq!(house.api("PATCH", &house.platform_key, &path, Some(body)).await.0, 200);
    let path = format!("/scim/v2/Users/{user}");
    assert_eq!(house.scim("DELETE", &tenant.scim_token, &path, None).await.0, 204);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ears.seen().len(), 6);
}

#[tokio::test]
async fn one_session_is_told_as_one_and_what_ends_many_as_each() {
    let house = house();
    let tenant = house.tenant().await;
    own_app(house, &tenant).await;
    let ears = Served::start(|_| Reply::status(202)).await;
    stream(house, &tenant.app, &ears.url).await;
    let id = |tokens: &Value, name: &str| text(&claims(text(tokens, "access_token")), name).to_owned();
    let first = tokens(house, &tenant).await;
    let path = format!("/orgs/{}/sessions/{}", tenant.slug, id(&first, "sid"));
    assert!(house.api("DELETE", &tenant.org_key, &path, None).await.0 < 300);
    let (uri, said) = heard(house, &tenant.app, &ears.wait_for(1).await[0]).await;
    let user = json!({"format": "iss_sub", "iss": house.gw.links.issuer(), "sub": id(&first, "sub")});
    let session = |sid: &str| json!({"format": "opaque", "id": sid});
    let whole = json!({"format": "complex", "user": user, "session": session(&id(&first, "sid"))});
    assert_eq!((uri.as_str(), &said["sub_id"]), (CAEP, &whole));
    // By the person, on their own seat.
    let mut door = to_the_acs(house, &tenant).await;
    let (_, left) = redeem(house, &tenant, &param(&door.post().await, "code")).await;
    assert_eq!(door.browser.post_once(&house.url("/logout"), &[]).await.unwrap().status, 200);
    let (_, said) = heard(house, &tenant.app, &ears.wait_for(2).await[1]).await;
    assert_eq!(said["sub_id"]["session"], session(&id(&left, "sid")));
    let (second, third) = (tokens(house, &tenant).await, tokens(house, &tenant).await);
    let path = format!("/orgs/{}/revoke", tenant.slug);
    assert!(house.api("POST", &tenant.org_key, &path, None).await.0 < 300);
    let told = all_heard(house, &tenant.app, &ears.wait_for(4).await[2..]).await;
    let ended: BTreeSet<String> =
        told.iter().map(|(_, said)| text(&said["sub_id"]["session"], "id").to_owned()).collect();
    assert_eq!(ended, BTreeSet::from([id(&second, "sid"), id(&third, "sid")]));
}

#[tokio::test]
async fn a_stream_is_its_apps_own_and_its_header_is_never_shown() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    own_app(house, &tenant).await;
    own_app(house, &other).await;
    let (app, other) = (tenant.app, other.app);
    let ears = Served::start(|_| Reply::status(202)).await;
    assert_eq!(ask(house, &app, "GET", "/ssf/streams", None).await, (200, json!([])));
    let made = stream(house, &app, &ears.url).await;
    let id = text(&made, "stream_id").to_owned();
    assert_eq!(made["events_delivered"], json!([CAEP, DISABLED, ENABLED]));
    assert_eq!(
        (&made["aud"], &made["delivery"]),
        (&json!(app.id), &json!({"method": PUSH, "endpoint_url": ears.url}))
    );
    let again = json!({"delivery": {"method": PUSH, "endpoint_url": ears.url}});
    let (status, said) = ask(house, &app, "POST", "/ssf/streams", Some(again)).await;
    assert_eq!((status, &said["error_description"]), (409, &json!("streams.exists")));
    let one = format!("/ssf/streams?stream_id={id}");
    assert_eq!(ask(house, &app, "GET", &one, None).await, (200, made.clone()));
    // Another app: as of an unknown one.
    for (method, path, body) in [
        ("GET", one.clone(), None),
        ("DELETE", one.clone(), None),
        ("GET", format!("/ssf/status?stream_id={id}"), None),
        ("PATCH", "/ssf/streams".to_owned(), Some(json!({"stream_id": id, "description": "x"}))),
        ("PUT", "/ssf/streams".to_owned(), Some(json!({"stream_id": id, "delivery": made["delivery"]}))),
        ("POST", "/ssf/status".to_owned(), Some(json!({"stream_id": id, "status": "paused"}))),
        ("POST", "/ssf/verify".to_owned(), Some(json!({"stream_id": id}))),
    ] {
        let (status, said) = ask(house, &other, method, &path, body).await;
        assert_eq!((status, &said["error_description"]), (404, &json!("not_found")), "{method} {path}");
    }
    // Nor by a stream of its own.
    let own = stream(house, &other, &ears.url).await;
    for path in [one.clone(), format!("/ssf/status?stream_id={id}")] {
        assert_eq!(ask(house, &other, "GET", &path, None).await.0, 404, "{path}");
    }
    let gone = format!("/ssf/streams?stream_id={}", text(&own, "stream_id"));
    assert_eq!(ask(house, &other, "DELETE", &gone, None).await.0, 204);
    let patch = json!({"stream_id": id, "events_requested": [DISABLED, "https://x.example/other"], "description": "d"});
    let (status, said) = ask(house, &app, "PATCH", "/ssf/streams", Some(patch)).await;
    assert_eq!(
        (status, &said["events_delivered"], &said["description"]),
        (200, &json!([DISABLED]), &json!("d"))
    );
    let put = json!({"stream_id": id, "delivery": {"method": PUSH, "endpoint_url": ears.url, "authorization_header": "Bearer canary-6b1f"}});
    let (status, said) = ask(house, &app, "PUT", "/ssf/streams", Some(put)).await;
    assert_eq!((status, said), (200, made));
    for (wrong, code) in [
        (json!({}), "streams.invalid"),
        (json!({"delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": ears.url}}), "streams.invalid"),
        (json!({"delivery": {"method": PUSH, "endpoint_url": "https://10.0.0.1/x"}}), "api.url_refused"),
        (
            json!({"delivery": {"method": PUSH, "endpoint_url": ears.url, "authorization_header": "a\r\nb: c"}}),
            "streams.invalid",
        ),
        (json!({"delivery": [PUSH, ears.url]}), "streams.body"),
        (json!([]), "streams.body"),
    ] {
        let (status, said) = ask(house, &other, "POST", "/ssf/streams", Some(wrong.clone())).await;
        assert_eq!(status, 400, "{wrong} {code} {said}");
    }
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let stored: Vec<u8> = sqlx::query_scalar("SELECT auth_header FROM vst.streams WHERE app_id = $1")
        .bind(app.id.uuid())
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert!(!stored.windows(6).any(|six| six == b"canary"), "sealed");
    assert_eq!(ask(house, &app, "DELETE", &one, None).await.0, 204);
    assert_eq!(ask(house, &app, "GET", &one, None).await.0, 404);
    let none = house.http.get(house.url("/ssf/streams")).send().await.unwrap();
    assert_eq!(none.status().as_u16(), 401);
}

#[tokio::test]
async fn a_stream_is_verified_paused_by_its_app_and_goes_on() {
    let house = house();
    let tenant = house.tenant().await;
    own_app(house, &tenant).await;
    let ears = Served::start(|_| Reply::status(202)).await;
    let id = text(&stream(house, &tenant.app, &ears.url).await, "stream_id").to_owned();
    let verify = json!({"stream_id": id, "state": "a state"});
    assert_eq!(ask(house, &tenant.app, "POST", "/ssf/verify", Some(verify.clone())).await.0, 204);
    let (uri, said) = heard(house, &tenant.app, &ears.wait_for(1).await[0]).await;
    assert_eq!((uri.as_str(), &said["events"][VERIFICATION]["state"]), (VERIFICATION, &json!("a state")));
    assert_eq!(said["sub_id"], json!({"format": "opaque", "id": id}));
    assert_eq!(ask(house, &tenant.app, "POST", "/ssf/verify", Some(verify)).await.0, 429, "not so often");
    let status = |word: &str| json!({"stream_id": id, "status": word, "reason": "maintenance"});
    let (code, said) = ask(house, &tenant.app, "POST", "/ssf/status", Some(status("paused"))).await;
    assert_eq!((code, &said["status"], &said["reason"]), (200, &json!("paused"), &json!("maintenance")));
    let user = person(house, &tenant).await;
    set_active(house, &tenant, &user, false).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ears.seen().len(), 1, "nothing is sent");
    assert_eq!(ask(house, &tenant.app, "POST", "/ssf/status", Some(status("enabled"))).await.0, 200);
    let told = all_heard(house, &tenant.app, &ears.wait_for(3).await[1..]).await;
    assert_eq!(uris(&told), BTreeSet::from([CAEP, DISABLED]), "and nothing is lost");
    assert_eq!(ask(house, &tenant.app, "POST", "/ssf/status", Some(status("disabled"))).await.0, 200);
    set_active(house, &tenant, &user, true).await;
    assert_eq!(ask(house, &tenant.app, "POST", "/ssf/status", Some(status("enabled"))).await.0, 200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ears.seen().len(), 3, "what happened while it was disabled is gone");
    assert_eq!(ask(house, &tenant.app, "POST", "/ssf/status", Some(status("off"))).await.0, 400);
}

/// What waits on a stream is not told on the one that its app makes after it, and not after it was disabled.
#[tokio::test]
async fn a_stream_is_told_nothing_of_the_time_before_it() {
    let house = house();
    let tenant = house.tenant().await;
    own_app(house, &tenant).await;
    let ears = Served::start(|_| Reply::status(202)).await;
    let user = person(house, &tenant).await;
    let status = async |id: &str, word: &str| {
        let body = json!({"stream_id": id, "status": word});
        assert_eq!(ask(house, &tenant.app, "POST", "/ssf/status", Some(body)).await.0, 200);
    };
    let first = text(&stream(house, &tenant.app, &ears.url).await, "stream_id").to_owned();
    status(&first, "paused").await;
    set_active(house, &tenant, &user, false).await;
    let path = format!("/ssf/streams?stream_id={first}");
    assert_eq!(ask(house, &tenant.app, "DELETE", &path, None).await.0, 204);
    let second = text(&stream(house, &tenant.app, &ears.url).await, "stream_id").to_owned();
    status(&second, "paused").await;
    set_active(house, &tenant, &user, true).await;
    status(&second, "disabled").await;
    status(&second, "enabled").await;
    set_active(house, &tenant, &user, false).await;
    let heard = ears.wait_for(2).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(ears.seen().len(), 2, "of one deactivation two events");
    assert_eq!(uris(&all_heard(house, &tenant.app, &heard).await), BTreeSet::from([CAEP, DISABLED]));
    let path = format!("/ssf/status?stream_id={second}");
    assert_eq!(ask(house, &tenant.app, "GET", &path, None).await.1["status"], "enabled");
}

#[tokio::test]
async fn a_stream_whose_receiver_acknowledges_nothing_is_paused_and_told_so() {
    let house = house();
    let tenant = house.tenant().await;
    own_app(house, &tenant).await;
    let ears = Served::start(|_| Reply::status(503)).await;
    let id = text(&stream(house, &tenant.app, &ears.url).await, "stream_id").to_owned();
    let user = person(house, &tenant).await;
    set_active(house, &tenant, &user, false).await;
    ears.wait_for(2).await;
    // As after half a day of attempts.
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let org = tenant.org.uuid();
    let late = format!(
        "BEGIN; SET LOCAL ROLE vst_app; SET LOCAL app.org_id = '{org}'; SET LOCAL app.reach = 'org';
         UPDATE vst.stream_events SET attempts = 10 WHERE state = 'waiting'; COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(late)).execute(&mut sql).await.unwrap();
    let path = format!("/ssf/status?stream_id={id}");
    let mut paused = json!(null);
    for _ in 0..100 {
        paused = ask(house, &tenant.app, "GET", &path, None).await.1;
        if paused["status"] == "paused" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((&paused["status"], paused["reason"].is_string()), (&json!("paused"), true), "{paused}");
    ears.answer(|_| Reply::status(202));
    for _ in 0..100 {
        let told = all_heard(house, &tenant.app, &ears.seen()).await;
        if let Some((_, said)) = told.iter().find(|(uri, _)| uri == UPDATED) {
            assert_eq!(said["events"][UPDATED]["status"], "paused");
            assert_eq!(said["sub_id"]["id"], json!(id));
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not told");
}

/// Threat 32: what was written while an app served an org is not sent when it serves it no more.
#[tokio::test]
async fn an_app_that_serves_an_org_no_more_is_not_told_what_waited() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    own_app(house, &tenant).await;
    let ears = Served::start(|_| Reply::status(503)).await;
    let id = text(&stream(house, &tenant.app, &ears.url).await, "stream_id").to_owned();
    let user = person(house, &tenant).await;
    set_active(house, &tenant, &user, false).await;
    ears.wait_for(2).await;
    let path = format!("/apps/{}", tenant.app.id);
    let orgs = json!({"orgs": [other.org]});
    assert_eq!(house.api("PATCH", &house.platform_key, &path, Some(orgs)).await.0, 200);
    // One may be on its way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sent = ears.seen().len();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(ears.seen().len(), sent);
    let status = format!("/ssf/status?stream_id={id}");
    assert_eq!(
        ask(house, &tenant.app, "GET", &status, None).await.1["status"],
        "enabled",
        "no fault of its own"
    );
}
