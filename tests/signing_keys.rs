//! Signing keys over their life, on two gateways of one database: published before they sign, good until what
//! they signed is over, and withdrawn everywhere within two seconds.

use crate::house::{
    House, Site, Tenant, house, now,
    served::{Reply, Served},
    walk::{claims, is_active, refresh, text, tokens},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use broker::signing_keys::{SigningKeys, change, tend};
use model::{KeyState, SigningAlg, Timestamp};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{
    collections::BTreeSet,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};
use store::{PlatformAct, PlatformActor};
use token::{
    key_life::{Haste, RETIRING_SECS, Wish},
    signing_key::SigningKey,
};
use tokio::{sync::Mutex, time::sleep};

/// A site apart, because its keys are withdrawn; a second node of its database; and one test at a time.
fn nodes() -> (&'static House, &'static House) {
    static APART: OnceLock<(&House, &House)> = OnceLock::new();
    *APART.get_or_init(|| {
        let first = Site::named("signing").open();
        (first, Site { public_url: Some(first.base.clone()), ..Site::named("signing") }.open())
    })
}
static TURN: Mutex<()> = Mutex::const_new(());

/// The bound of the docs, and a moment for the answer.
const BEAT: Duration = Duration::from_millis(2_300);

/// Exit code, stdout and stderr of `vestibule keys …` beside the servers.
fn keys(words: &[&str]) -> (Option<i32>, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .arg("keys")
        .args(words)
        .env("VESTIBULE_DATA_DIR", Site::named("signing").data)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (run.status.code(), text(&run.stdout), text(&run.stderr))
}

fn listed() -> Vec<Value> {
    let (code, told, said) = keys(&["signing", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&told).unwrap()
}

/// The names of the keys of an algorithm in a state, as they are listed.
fn kids(alg: &str, state: &str) -> Vec<String> {
    let is = |key: &&Value| key["alg"] == alg && key["state"] == state;
    listed().iter().filter(is).map(|key| text(key, "kid").to_owned()).collect()
}

async fn published(house: &House) -> BTreeSet<String> {
    let jwks: Value = house.http.get(house.url("/oauth2/jwks")).send().await.unwrap().json().await.unwrap();
    jwks["keys"].as_array().unwrap().iter().map(|key| text(key, "kid").to_owned()).collect()
}

fn header(jwt: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').next().unwrap()).unwrap()).unwrap()
}

async fn userinfo(house: &House, jwt: &str) -> u16 {
    house.http.get(house.url("/oauth2/userinfo")).bearer_auth(jwt).send().await.unwrap().status().as_u16()
}

async fn leave(house: &House, id_token: &str) -> u16 {
    let url = house.url(&format!("/oauth2/logout?id_token_hint={id_token}"));
    house.http.get(url).send().await.unwrap().status().as_u16()
}

async fn set(house: &House, tenant: &Tenant, change: Value) {
    let path = format!("/apps/{}", tenant.app.id);
    let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(change.clone())).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(said["id_token_signed_response_alg"], change["id_token_signed_response_alg"]);
}

#[tokio::test]
async fn a_rotation_is_published_first_and_what_was_signed_stays_good() {
    let _turn = TURN.lock().await;
    let (house, other) = nodes();
    let tenant = house.tenant().await;
    let before = tokens(house, &tenant).await;
    let old = header(text(&before, "access_token"))["kid"].as_str().unwrap().to_owned();
    let next = kids("ES256", "next").remove(0);
    assert_eq!(kids("ES256", "current"), [old.as_str()]);
    for node in [house, other] {
        let known = published(node).await;
        assert!(known.contains(&old) && known.contains(&next), "the next one is published before it signs");
    }
    let tag = house.http.get(house.url("/oauth2/jwks")).send().await.unwrap();
    assert_eq!(tag.headers()["cache-control"], "public, max-age=60");
    let tag = tag.headers()["etag"].clone();
    let conditional = |tag| house.http.get(house.url("/oauth2/jwks")).header("if-none-match", tag).send();
    assert_eq!(conditional(tag.clone()).await.unwrap().status(), 304);

    sqlx::query("UPDATE vst.signing_keys SET made_at = now() WHERE kid = $1")
        .bind(&next)
        .execute(&mut PgConnection::connect(&house.database_url).await.unwrap())
        .await
        .unwrap();
    let (code, _, said) = keys(&["rotate"]);
    assert!(code == Some(1) && said.contains("not in every JWKS") && said.contains("--force"), "{said}");
    let (code, _, said) = keys(&["rotate", "--force"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&format!("{next} signs.")) && said.contains(&format!("{old} signs no more")),
        "{said}"
    );
    sleep(BEAT).await;

    let (status, after) = refresh(house, &tenant, text(&before, "refresh_token")).await;
    assert_eq!(status, 200, "{after}");
    for name in ["access_token", "id_token"] {
        assert_eq!(header(text(&after, name))["kid"], next.as_str(), "{name}");
    }
    for node in [house, other] {
        for jwt in [text(&before, "access_token"), text(&after, "access_token")] {
            assert!(is_active(node, &tenant, jwt).await);
            assert_eq!(userinfo(node, jwt).await, 200);
        }
        let known = published(node).await;
        assert!(known.contains(&old) && known.contains(&next));
        assert!(known.contains(&kids("ES256", "next")[0]), "and the one after it");
    }
    assert_eq!(conditional(tag).await.unwrap().status(), 200, "another key set");
    assert_eq!(leave(house, text(&before, "id_token")).await, 200);

    let (_, page, _) = keys(&["signing"]);
    assert!(page.lines().any(|line| line.starts_with(&old) && line.contains("retiring")), "{page}");
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let (gone, acts): (bool, Vec<String>) = sqlx::query_as(
        "SELECT (SELECT sealed IS NULL FROM vst.signing_keys WHERE kid = $1),
                ARRAY(SELECT actor || ' ' || action FROM vst.platform_events WHERE target = $1 ORDER BY evt_id)",
    )
    .bind(&old)
    .fetch_one(&mut sql)
    .await
    .unwrap();
    assert!(gone, "a key that signs no more has no private half");
    assert_eq!(acts.last().map(String::as_str), Some("command_line signing_key.retired"));
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_at_every_door_of_every_node_within_the_beat() {
    let _turn = TURN.lock().await;
    let (house, other) = nodes();
    let tenant = house.tenant().await;
    let given = tokens(house, &tenant).await;
    let (access, id) = (text(&given, "access_token"), text(&given, "id_token"));
    let kid = header(access)["kid"].as_str().unwrap().to_owned();
    for node in [house, other] {
        assert!(is_active(node, &tenant, access).await);
    }
    let (code, _, said) = keys(&["withdraw", &kid]);
    assert!(code == Some(0) && said.contains(&format!("{kid} is withdrawn.")), "{said}");
    let withdrawn = Instant::now();
    sleep(BEAT).await;
    for node in [house, other] {
        // The JWKS first: it asks nobody, so that it is the job that has looked.
        assert!(!published(node).await.contains(&kid));
        assert!(!is_active(node, &tenant, access).await);
        assert_eq!(userinfo(node, access).await, 401);
        assert_eq!(leave(node, id).await, 400);
    }
    assert!(withdrawn.elapsed() < BEAT * 2);
    // Nobody has to sign in again: a refresh token is not signed by it.
    let (status, after) = refresh(house, &tenant, text(&given, "refresh_token")).await;
    assert_eq!(status, 200, "{after}");
    assert_ne!(header(text(&after, "access_token"))["kid"], kid.as_str());
    for node in [house, other] {
        assert!(is_active(node, &tenant, text(&after, "access_token")).await);
    }
    assert_eq!(kids("ES256", "withdrawn").iter().filter(|known| **known == kid).count(), 1);
    for nobodys in [kid.as_str(), "nobody"] {
        let (code, _, said) = keys(&["withdraw", nobodys]);
        assert!(code == Some(1) && said.contains("keys signing"), "{said}");
    }
}

#[tokio::test]
async fn an_apps_tokens_are_signed_by_its_algorithm_and_two_nodes_make_one_key() {
    let _turn = TURN.lock().await;
    let (house, other) = nodes();
    let tenant = house.tenant().await;
    let heard = Served::start(|_| Reply::status(200)).await;
    let path = format!("/apps/{}", tenant.app.id);
    let wrong = json!({"id_token_signed_response_alg": "HS256"});
    let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(wrong)).await;
    assert_eq!((status, text(&said, "code")), (400, "app.signing_alg"));
    for alg in ["RS256", "EdDSA"] {
        let both = json!({"id_token_signed_response_alg": alg, "backchannel_logout_uri": heard.url});
        let (own, beside) = (both.clone(), both);
        let elsewhere = other.tenant().await;
        tokio::join!(set(house, &tenant, own), set(other, &elsewhere, beside));
        assert_eq!(kids(alg, "current").len(), 1, "{alg}");
        assert_eq!(kids(alg, "next").len(), 1, "{alg}");
        let given = tokens(house, &tenant).await;
        let (access, id) = (text(&given, "access_token"), text(&given, "id_token"));
        for jwt in [access, id] {
            assert_eq!(header(jwt)["alg"], alg);
            assert_eq!(header(jwt)["kid"], kids(alg, "current")[0].as_str());
        }
        for node in [house, other] {
            assert!(is_active(node, &tenant, access).await, "what one node signs the others know");
        }
        let hash = if alg == "EdDSA" { &aws_lc_rs::digest::SHA512 } else { &aws_lc_rs::digest::SHA256 };
        let whole = aws_lc_rs::digest::digest(hash, access.as_bytes());
        let half = URL_SAFE_NO_PAD.encode(&whole.as_ref()[..whole.as_ref().len() / 2]);
        assert_eq!(claims(id)["at_hash"], half.as_str());
        // The apps' own verifier reads it, whichever of them it is.
        let app = tenant.app.id.to_string();
        let builder = vestibule_verifier::Verifier::builder(&house.base, &app);
        let verifier = builder.client(&app, &tenant.app.secret).start().await.unwrap();
        assert!(verifier.verify(access).await.is_ok(), "{alg}");
        let before = heard.seen().len();
        let session = format!("/orgs/{}/sessions/{}", tenant.slug, text(&claims(id), "sid"));
        let (status, said) = house.api("DELETE", &tenant.org_key, &session, None).await;
        assert!(status < 300, "{said}");
        let told = heard.wait_for(before + 1).await.pop().unwrap();
        let form: Vec<(String, String)> = form_urlencoded::parse(&told.body).into_owned().collect();
        assert_eq!((form[0].0.as_str(), &header(&form[0].1)["alg"]), ("logout_token", &json!(alg)));
    }
    let discovery = house.url("/.well-known/openid-configuration");
    let said: Value = house.http.get(discovery).send().await.unwrap().json().await.unwrap();
    assert_eq!(said["id_token_signing_alg_values_supported"], json!(["ES256", "EdDSA", "RS256"]));
}

/// A server that lost Postgres, or whose job has died, does not go on with what it held.
#[tokio::test]
async fn keys_that_were_not_asked_about_lately_are_asked_about_before_they_sign() {
    let _turn = TURN.lock().await;
    let (house, _) = nodes();
    let open = async { SigningKeys::open(&house.gw.db, act(now())).await.unwrap() };
    let held = house.on(open).await;
    let version = held.now().etag().to_owned();
    let rotated = house.on(async {
        let wish = Wish::Rotate { alg: SigningAlg::Es256, haste: Haste::Now };
        change(&house.gw.db, act(now()), wish).await.unwrap().unwrap()
    });
    assert_eq!(rotated.await.len(), 3);
    assert!(!held.is_stale());
    let ring = |held: SigningKeys| async move {
        let ring = held.ring(&house.gw.db).await.unwrap();
        (held, ring.etag().to_owned())
    };
    let (held, early) = house.on(ring(held)).await;
    assert_eq!(early, version, "nobody has asked yet");
    sleep(BEAT).await;
    assert!(held.is_stale());
    let (held, late) = house.on(ring(held)).await;
    assert_ne!(late, version);
    assert!(!held.is_stale());
}

fn act(at: Timestamp) -> PlatformAct<'static> {
    PlatformAct { by: PlatformActor::Schedule, request_id: "test-request", at }
}

/// By the state and the name of each key, without those that were withdrawn.
async fn standing(house: &'static House) -> Vec<(KeyState, String)> {
    let rows = house.on(async { house.gw.db.signing_keys().await.unwrap().1 }).await;
    rows.into_iter().map(|row| (row.dates.state, row.dates.kid)).collect()
}

#[tokio::test]
async fn the_key_of_before_is_carried_over_rotates_by_schedule_and_goes() {
    let house = Site::named("signing-before").open();
    let key = SigningKey::generate(SigningAlg::Es256).unwrap();
    let (kid, private) = (key.kid().to_owned(), key.to_pkcs8().unwrap());
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let undo = "DELETE FROM vst.signing_keys; UPDATE vst.signing_keys_head SET version = 0";
    sqlx::raw_sql(undo).execute(&mut sql).await.unwrap();
    let day = |days: i64| now().plus_secs(days * 86_400);
    let reopened = |at| async move {
        let keys = house.on(async move { SigningKeys::open(&house.gw.db, act(at)).await.unwrap() }).await;
        keys.now().signer(SigningAlg::Es256).unwrap().kid().to_owned()
    };
    let stored = async move {
        house.gw.db.platform_secret("signing_key.current", now(), || private).await.unwrap();
    };
    house.on(stored).await;
    assert_eq!(reopened(now()).await, kid, "by its own name");
    assert_eq!(reopened(now()).await, kid, "and at the start after");
    let left: Vec<u8> = sqlx::query_scalar("SELECT sealed FROM vst.platform_secrets WHERE name = $1")
        .bind("signing_key.current")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert!(left.is_empty(), "its private half is in one place");

    let tended =
        |days| house.on(async move { tend(&house.gw.db, act(day(days)), 90 * 86_400).await.unwrap() });
    tended(0).await;
    let before = standing(house).await;
    assert_eq!(before.len(), 2, "{before:?}");
    let next = before.iter().find(|(state, _)| *state == KeyState::Next).unwrap().1.clone();
    tended(89).await;
    assert_eq!(standing(house).await, before, "not yet");
    tended(91).await;
    let after = standing(house).await;
    assert!(
        after.contains(&(KeyState::Current, next.clone()))
            && after.contains(&(KeyState::Retiring, kid.clone()))
    );
    assert_eq!(after.len(), 3);
    assert_eq!(reopened(day(91)).await, next);
    tended(91 + RETIRING_SECS / 86_400 - 1).await;
    assert_eq!(standing(house).await, after);
    tended(91 + RETIRING_SECS / 86_400 + 1).await;
    assert!(!standing(house).await.iter().any(|(_, name)| *name == kid), "gone");
}

#[tokio::test]
async fn readiness_names_the_keys_that_sign() {
    let house = house();
    let page = house.http.get(house.url("/readyz")).send().await.unwrap().text().await.unwrap();
    let ring = house.gw.keys.now();
    let kid = ring.signer(SigningAlg::Es256).unwrap().kid();
    assert!(page.contains(&format!("signing keys: ES256 {kid}")), "{page}");
}
