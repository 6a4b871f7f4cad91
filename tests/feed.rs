//! The feed of revocations: nothing is lost or told twice, nobody hears of an org that is not theirs, and
//! nothing is called current that is not known to be.

use crate::{
    house::{
        House, Tenant, TestApp, house,
        walk::{claims, text, tokens},
    },
    operations::inside,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use broker::{client::Standing, feed::Follower};
use model::{
    TokenDigest,
    revocation::{Action, Scope},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// A feed that is not known to be current says so: it is asked again, as it asks for.
async fn poll(house: &House, app: &TestApp, query: &str) -> (u16, Value) {
    for _ in 0..20 {
        let (status, said) = house.api_as_app("GET", app, &format!("/revocations?{query}"), None).await;
        if status != 503 {
            return (status, said);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("never current");
}

/// Everything after a cursor, and where it ends.
async fn all(house: &House, app: &TestApp, after: &str) -> (Vec<Value>, String) {
    let (mut found, mut cursor) = (Vec::new(), after.to_owned());
    loop {
        let (status, said) = poll(house, app, &format!("wait_secs=0&after={cursor}")).await;
        assert_eq!(status, 200, "{said}");
        found.extend(said["data"].as_array().unwrap().clone());
        cursor = text(&said, "cursor").to_owned();
        if said["more"] == false {
            return (found, cursor);
        }
    }
}

/// The first so many after a cursor: a revocation is placed in the feed a moment after its commit.
async fn first(house: &House, app: &TestApp, after: &str, so_many: usize) -> (Vec<Value>, String) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let (found, cursor) = all(house, app, after).await;
        if found.len() >= so_many {
            return (found, cursor);
        }
        assert!(Instant::now() < until, "only {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An app that serves these orgs alone.
async fn app_of(house: &House, orgs: &[&Tenant]) -> TestApp {
    let orgs: Vec<_> = orgs.iter().map(|tenant| tenant.org).collect();
    let asked = json!({"name": "of some", "redirect_uris": ["http://localhost:1/callback"], "orgs": orgs});
    let (status, made) = house.api("POST", &house.platform_key, "/apps", Some(asked)).await;
    assert_eq!(status, 201, "{made}");
    TestApp {
        id: text(&made, "client_id").parse().unwrap(),
        secret: text(&made, "client_secret").to_owned(),
        redirect_uri: "http://localhost:1/callback".to_owned(),
    }
}

async fn revoke_org(house: &House, tenant: &Tenant) {
    let path = format!("/orgs/{}/revoke", tenant.slug);
    let (status, said) = house.api("POST", &tenant.org_key, &path, None).await;
    assert!((200..300).contains(&status), "{status} {said}");
}

#[tokio::test]
async fn a_deactivation_reaches_whoever_waits_at_once_and_names_what_the_token_names() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let (app, elsewhere) = (app_of(house, &[&tenant]).await, app_of(house, &[&other]).await);
    let ada = json!({"userName": format!("ada@{}", tenant.domain)});
    assert_eq!(house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(ada)).await.0, 201);
    let given = claims(text(&tokens(house, &tenant).await, "access_token"));
    let (_, cursor) = all(house, &app, "").await;
    let (_, theirs) = all(house, &elsewhere, "").await;
    let waits = async {
        let (status, said) = poll(house, &app, &format!("wait_secs=20&after={cursor}")).await;
        (status, said, Instant::now())
    };
    let ends = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let path = format!("/scim/v2/Users/{}", text(&given, "sub"));
        let op = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                        "Operations": [{"op": "replace", "path": "active", "value": false}]});
        let (status, said) = house.scim("PATCH", &tenant.scim_token, &path, Some(op)).await;
        (status, said, began)
    };
    let ((status, said, heard), (patched, answer, began)) = tokio::join!(waits, ends);
    assert_eq!((status, patched), (200, 200), "{said} {answer}");
    let told = &said["data"][0];
    assert_eq!(told["org"], given["org_id"]);
    assert_eq!(told["scope"], format!("usr:{}", text(&given, "sub")));
    assert_eq!(told["action"], "terminate");
    assert!(told["seq"].as_i64() > given["rs"].as_i64(), "above the token's stamp: {told} {given}");
    assert!(heard.duration_since(began) < Duration::from_secs(3), "the poll did not sit its time out");
    let (of_other, _) = all(house, &elsewhere, &theirs).await;
    assert_eq!(of_other, Vec::<Value>::new(), "another org's app hears nothing");
}

#[tokio::test]
async fn of_many_at_once_every_one_is_told_once_and_in_its_orgs_order() {
    let house = house();
    let mut tenants = Vec::new();
    for _ in 0..3 {
        tenants.push(house.tenant().await);
    }
    let app = app_of(house, &tenants.iter().collect::<Vec<_>>()).await;
    let (_, cursor) = all(house, &app, "").await;
    let tenants = Arc::new(tenants);
    let each = (0..60).map(|n| {
        let tenants = tenants.clone();
        tokio::spawn(async move { revoke_org(house, &tenants[n % 3]).await })
    });
    let each: Vec<_> = each.collect();
    // A follower that reads while they come, and one that reads behind them.
    let (mut live, mut at) = (Vec::new(), cursor.clone());
    while live.len() < 60 {
        let (found, next) = all(house, &app, &at).await;
        live.extend(found);
        at = next;
    }
    for one in each {
        one.await.unwrap();
    }
    let (behind, _) = all(house, &app, &cursor).await;
    assert_eq!(live, behind);
    let mut by_org: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for told in &live {
        by_org.entry(text(told, "org").to_owned()).or_default().push(told["seq"].as_i64().unwrap());
    }
    assert_eq!(by_org.len(), 3);
    for seqs in by_org.values() {
        assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "dense and in order: {seqs:?}");
    }
}

/// What commits late comes late, and is not passed over by who has read on.
#[tokio::test]
async fn a_late_commit_is_told_after_what_was_committed_before_it() {
    let house = house();
    let (slow, quick) = (house.tenant().await, house.tenant().await);
    let app = app_of(house, &[&slow, &quick]).await;
    let (_, cursor) = all(house, &app, "").await;
    let scope = house.visitor(&slow).await;
    let mut tx = house
        .on(async move {
            let mut tx = house.gw.db.write(&scope, "test.late").await.unwrap();
            tx.revoke(Scope::Org, Action::Terminate, "administrator").await.unwrap();
            tx
        })
        .await;
    revoke_org(house, &quick).await;
    let (heard, at) = first(house, &app, &cursor, 1).await;
    assert_eq!(heard[0]["org"], json!(quick.org));
    house
        .on(async move {
            tx.touch_session(model::ids::SessionId::from_uuid(uuid::Uuid::nil())).await.unwrap();
            tx.commit_housekeeping().await.unwrap();
        })
        .await;
    let (status, said) = poll(house, &app, &format!("wait_secs=10&after={at}")).await;
    assert_eq!((status, &said["data"][0]["org"]), (200, &json!(slow.org)), "{said}");
}

/// Events of a stream, for so long.
async fn events(house: &House, app: &TestApp, after: Option<&str>, secs: u64) -> Vec<(String, Value)> {
    let mut request = house
        .http
        .get(house.url("/api/v1/revocations"))
        .basic_auth(app.id.to_string(), Some(&app.secret))
        .header("accept", "text/event-stream");
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    let mut sent = request.try_clone().unwrap().send().await.unwrap();
    while sent.status() == 503 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        sent = request.try_clone().unwrap().send().await.unwrap();
    }
    assert_eq!(sent.status(), 200);
    assert_eq!(sent.headers()["content-type"], "text/event-stream");
    let (mut text, until) = (String::new(), tokio::time::Instant::now() + Duration::from_secs(secs));
    while let Ok(Ok(Some(piece))) = tokio::time::timeout_at(until, sent.chunk()).await {
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    // A comment says that the feed is not known to be current: a slow machine's.
    let whole = text.split_inclusive("\n\n").filter(|e| e.ends_with("\n\n") && !e.starts_with(':'));
    whole
        .map(|event| {
            let field = |name: &str| event.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
            let data: Value = serde_json::from_str(field("data: ")).unwrap();
            assert_eq!(data["cursor"], field("id: "), "the id is where to go on: {event}");
            (field("event: ").to_owned(), data)
        })
        .collect()
}

#[tokio::test]
async fn a_stream_tells_where_it_stands_each_second_and_goes_on_where_it_broke_off() {
    let house = house();
    let tenant = house.tenant().await;
    let app = app_of(house, &[&tenant]).await;
    let later = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        revoke_org(house, &tenant).await;
    };
    let (first, ()) = tokio::join!(events(house, &app, None, 5), later);
    assert_eq!(first[0].0, "revocations");
    assert_eq!((&first[0].1["data"], &first[0].1["more"]), (&json!([]), &json!(false)), "nothing yet");
    let beats = first.iter().filter(|(kind, _)| kind == "heartbeat").count();
    assert!((1..=5).contains(&beats), "{first:?}");
    let told: Vec<_> = first.iter().filter(|(_, data)| data["data"][0].is_object()).collect();
    assert_eq!(told.len(), 1, "{first:?}");
    revoke_org(house, &tenant).await;
    let cursor = text(&first.last().unwrap().1, "cursor").to_owned();
    let second = events(house, &app, Some(&cursor), 4).await;
    let missed = second.iter().find(|(_, data)| data["data"][0].is_object()).unwrap();
    let seq = |data: &Value| data["data"][0]["seq"].as_i64().unwrap();
    assert_eq!(seq(&missed.1), seq(&told[0].1) + 1, "what came meanwhile comes first");
    assert!(second.iter().all(|(_, data)| data["gap"] != true));
}

#[tokio::test]
async fn a_cursor_of_another_life_or_of_other_orgs_begins_anew_and_says_so() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let app = app_of(house, &[&tenant]).await;
    revoke_org(house, &tenant).await;
    let (_, cursor) = first(house, &app, "", 1).await;
    let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
    bytes[3] ^= 1;
    let (_, said) = poll(house, &app, &format!("after={}", URL_SAFE_NO_PAD.encode(&bytes))).await;
    assert_eq!((&said["gap"], said["data"].as_array().unwrap().len()), (&json!(true), 1), "{said}");
    let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
    bytes[16] = 0x10;
    let (_, said) = poll(house, &app, &format!("after={}", URL_SAFE_NO_PAD.encode(&bytes))).await;
    assert_eq!(said["gap"], true, "a place that is not reached yet: {said}");
    for wrong in ["x", "AAAA", &cursor[1..]] {
        let (status, said) = poll(house, &app, &format!("after={wrong}")).await;
        assert_eq!((status, &said["code"]), (400, &json!("api.query_malformed")), "{said}");
    }
    let path = format!("/apps/{}", app.id);
    let orgs = json!({"orgs": [tenant.org, other.org]});
    let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(orgs)).await;
    assert_eq!(status, 200, "{said}");
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let (_, said) = poll(house, &app, &format!("wait_secs=0&after={cursor}")).await;
        if said["gap"] == true {
            assert_eq!(said["data"][0]["org"], json!(tenant.org), "{said}");
            break;
        }
        assert!(Instant::now() < until, "the new list of orgs is not taken up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn who_is_no_app_with_a_secret_follows_nothing() {
    let house = house();
    let tenant = house.tenant().await;
    let public = json!({"name": "public", "redirect_uris": ["http://localhost:1/callback"],
                        "token_endpoint_auth_method": "none", "orgs": "all"});
    let (status, made) = house.api("POST", &house.platform_key, "/apps", Some(public)).await;
    assert_eq!(status, 201, "{made}");
    let wrong = [
        (tenant.app.id.to_string(), Some("wrong".to_owned())),
        (text(&made, "client_id").to_owned(), None),
        (text(&made, "client_id").to_owned(), Some(String::new())),
        (tenant.directory.to_string(), Some(tenant.scim_token.clone())),
    ];
    for (id, secret) in wrong {
        let request = house.http.get(house.url("/api/v1/revocations")).basic_auth(id, secret);
        let sent = request.send().await.unwrap();
        assert_eq!(sent.status(), 401);
        assert!(sent.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
        let said: Value = sent.json().await.unwrap();
        assert_eq!(said["code"], "oauth.invalid_client");
    }
    let (status, said) = poll(house, &tenant.app, "wait_secs=31").await;
    assert_eq!((status, &said["code"]), (400, &json!("api.query_malformed")));
}

/// An app that is removed is let go, and one whose process does not know is told nothing.
#[tokio::test]
async fn what_is_not_known_to_be_current_is_not_told() {
    let house = house();
    let tenant = house.tenant().await;
    let gw = broker::Gateway { feed: Arc::default(), ..house.gw.clone() };
    let standing = Standing::Secret(TokenDigest::of(&tenant.app.secret));
    let app = Follower { app: tenant.app.id, standing };
    let blind = gw.clone();
    let said = house.on(async move { broker::feed::read(&blind, &app, None).await }).await;
    assert!(matches!(said, Err(broker::FlowError::Busy { .. })), "no tail has looked yet");
    let seeing = gw.clone();
    let said = house
        .on(async move {
            broker::feed::tail(&seeing).await.unwrap();
            broker::feed::read(&seeing, &app, None).await
        })
        .await;
    assert!(said.is_ok() && gw.feed.age_ms().is_some());
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert!(gw.feed.age_ms().is_none());
    let said = house.on(async move { broker::feed::read(&gw, &app, None).await }).await;
    assert!(matches!(said, Err(broker::FlowError::Busy { .. })), "its look is too long ago");

    let gone = app_of(house, &[&tenant]).await;
    let path = format!("/apps/{}", gone.id);
    let stream = events(house, &gone, None, 12);
    let removal = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let began = Instant::now();
        assert_eq!(house.api("DELETE", &house.platform_key, &path, None).await.0, 204);
        began
    };
    let (_, began) = tokio::join!(stream, removal);
    assert!(began.elapsed() < Duration::from_secs(9), "the stream ends soon after its app");
}

/// Whoever has a secret that ended hears no more by it, and whoever has the new one goes on.
#[tokio::test]
async fn a_stream_ends_soon_after_the_secret_that_opened_it() {
    let house = house();
    let app = app_of(house, &[&house.tenant().await]).await;
    let path = format!("/apps/{}/rotate-secret", app.id);
    let (status, made) = house.api("POST", &house.platform_key, &path, Some(json!({}))).await;
    assert_eq!(status, 200, "{made}");
    let secret = text(&made, "client_secret").to_owned();
    let new = TestApp { id: app.id, secret, redirect_uri: app.redirect_uri.clone() };
    let timed = async |app: &TestApp, secs: u64| {
        events(house, app, None, secs).await;
        Instant::now()
    };
    let retired = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let retire = Some(json!({"retire_old": true}));
        assert_eq!(house.api("POST", &house.platform_key, &path, retire).await.0, 200);
        Instant::now()
    };
    let waits = async {
        let answer = house.api_as_app("GET", &app, "/revocations?wait_secs=10&after=", None);
        let first = answer.await.1;
        let path = format!("/revocations?wait_secs=6&after={}", text(&first, "cursor"));
        house.api_as_app("GET", &app, &path, None).await
    };
    let (old, still, at, (status, said)) = tokio::join!(timed(&app, 20), timed(&new, 8), retired, waits);
    assert!(old - at < Duration::from_secs(6), "{:?}", old - at);
    assert!(still > old, "the new secret's goes on");
    assert_eq!((status, &said["code"]), (401, &json!("oauth.invalid_client")), "who waits is told so");
}

#[tokio::test]
async fn what_can_matter_to_no_living_token_is_forgotten() {
    let house = house();
    let tenant = house.tenant().await;
    let app = app_of(house, &[&tenant]).await;
    revoke_org(house, &tenant).await;
    first(house, &app, "", 1).await;
    let mut sql = inside(house, tenant.org).await;
    let keeps_secs = house.gw.lifetimes.access_token_secs + 3_600;
    for (older_secs, left) in [(-60, 1), (60, 0)] {
        sqlx::query("UPDATE revocation_feed SET at = now() - make_interval(secs => $2) WHERE org_id = $1")
            .bind(tenant.org.uuid())
            .bind(f64::from(i32::try_from(keeps_secs + older_secs).unwrap()))
            .execute(&mut sql)
            .await
            .unwrap();
        house.on(async { broker::feed::forget(&house.gw).await.unwrap() }).await;
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM revocation_feed WHERE org_id = $1")
            .bind(tenant.org.uuid())
            .fetch_one(&mut sql)
            .await
            .unwrap();
        assert_eq!(kept, left, "{older_secs} s beyond its time");
    }
}

/// What an app acknowledges is in the receipt of whom it was told of, and in no other org's.
#[tokio::test]
async fn the_receipt_says_when_an_apps_verifiers_knew() {
    let house = house();
    let tenant = house.tenant().await;
    let (app, other) = (app_of(house, &[&tenant]).await, app_of(house, &[&house.tenant().await]).await);
    let (_, cursor) = all(house, &app, "").await;
    let ada = json!({"userName": format!("ada@{}", tenant.domain)});
    let (_, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(ada)).await;
    let user = format!("/scim/v2/Users/{}", text(&made, "id"));
    assert_eq!(house.scim("DELETE", &tenant.scim_token, &user, None).await.0, 204);
    let (_, reached) = first(house, &app, &cursor, 1).await;
    let ack = async |app: &TestApp, body: Value| {
        house.api_as_app("POST", app, "/revocations/acks", Some(body)).await
    };
    // Another app's word, a cursor of before, and one of another life say nothing.
    assert_eq!(ack(&other, json!({"cursor": reached})).await.0, 204);
    assert_eq!(ack(&app, json!({"cursor": cursor})).await.0, 204);
    let mut bytes = URL_SAFE_NO_PAD.decode(&reached).unwrap();
    bytes[3] ^= 1;
    assert_eq!(ack(&app, json!({"cursor": URL_SAFE_NO_PAD.encode(&bytes)})).await.0, 204);
    let by = |verifier: &str| json!({"cursor": reached, "verifier": verifier});
    for wrong in [json!({"cursor": "x"}), by(&"v".repeat(65)), by(""), by("a\u{0}")] {
        let (status, said) = ack(&app, wrong).await;
        assert_eq!((status, &said["code"]), (400, &json!("feed.ack_malformed")));
    }
    let path = format!("/orgs/{}/users/{}/deprovisionings", tenant.slug, text(&made, "id"));
    let receipt = async || house.api("GET", &tenant.org_key, &path, None).await.1["data"][0].clone();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(receipt().await["apps"], json!([]));
    for verifier in ["one", "two", "one"] {
        assert_eq!(ack(&app, json!({"cursor": reached, "verifier": verifier})).await.0, 204);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let until = Instant::now() + Duration::from_secs(20);
    let told = loop {
        let apps = receipt().await["apps"].clone();
        // The first word may be written before the others come.
        if apps[0]["feed"]["first_acknowledged_at"] != apps[0]["feed"]["last_acknowledged_at"] {
            break apps;
        }
        assert!(Instant::now() < until, "never written");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let (one, feed) = (&told[0], &told[0]["feed"]);
    assert_eq!((told.as_array().unwrap().len(), &one["client_id"]), (1, &json!(app.id)), "{told}");
    let times = ["first_acknowledged_at", "last_acknowledged_at"].map(|name| text(feed, name).to_owned());
    assert!(times[0] < times[1], "{told}");
}
