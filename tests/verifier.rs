//! The apps' verifier against the house: what a directory says reaches a token that is out already,
//! and an app's own rows follow the token's org.

use crate::house::{
    House, Site, Tenant, authorize_url,
    line::Line,
    walk::{self, AtTheDoor, is_active, param, redeem, text},
};
use idp_fixtures::{Browser, Page};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{
    sync::{OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::time::sleep;
use vestibule_verifier::{Action, Denied, Mode, Verifier, Way, testing};

/// A house apart: a verifier acknowledges what it hears of every org that its app serves, and would stand
/// in the receipts of other tests.
fn house() -> &'static House {
    static APART: OnceLock<&'static House> = OnceLock::new();
    APART.get_or_init(|| Site::named("verifiers").open())
}

async fn verifier(issuer: &str, tenant: &Tenant, mode: Mode) -> Verifier {
    let id = tenant.app.id.to_string();
    let builder = Verifier::builder(issuer, &id).client(&id, &tenant.app.secret).mode(mode);
    builder.start().await.expect("the verifier starts")
}

/// Ada, as the directory makes her.
async fn ada(house: &House, tenant: &Tenant) -> String {
    let ada = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": format!("ada@{}", tenant.domain), "active": true,
    });
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(ada)).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

/// What a sign-in gives that begins at this address of the gateway.
async fn signed_in_at(url: &str, house: &House, tenant: &Tenant) -> Value {
    let mut browser = Browser::new().unwrap();
    let start = authorize_url(house, tenant, &[]).replace(&house.base, url);
    let login = format!("ada@{}", tenant.domain);
    let answered = |page: &Page| page.field("SAMLResponse").is_some();
    let page = browser.sign_in_until(&start, &login, "pw", answered).await.unwrap();
    let mut door = AtTheDoor {
        browser,
        acs: house.gw.links.saml_acs(tenant.connection),
        saml_response: page.field("SAMLResponse").unwrap(),
        relay_state: page.field("RelayState").unwrap(),
    };
    let (status, given) = redeem(house, tenant, &param(&door.post().await, "code")).await;
    assert_eq!(status, 200, "{given}");
    given
}

async fn set_active(house: &House, tenant: &Tenant, user: &str, active: bool) {
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": active}}],
    });
    let path = format!("/scim/v2/Users/{user}");
    let (status, said) = house.scim("PATCH", &tenant.scim_token, &path, Some(patch)).await;
    assert!(status == 200 || status == 204, "{status} {said}");
}

async fn set_roles(house: &House, tenant: &Tenant, user: &str, roles: Value) {
    let path = format!("/orgs/{}/users/{user}/roles", tenant.org);
    let (status, said) = house.api("PUT", &tenant.org_key, &path, Some(roles)).await;
    assert!((200..300).contains(&status), "{status} {said}");
}

/// Until the verifier says this of the token; how long that took.
async fn until(verifier: &Verifier, token: &str, expected: &Denied) -> Duration {
    let start = Instant::now();
    loop {
        let said = verifier.verify(token).await.map(drop);
        if said.as_ref().err() == Some(expected) {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{said:?}, not {expected:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_deactivation_ends_the_token_at_the_app_within_a_second() {
    let house = house();
    let tenant = house.tenant().await;
    let verifier = verifier(&house.base, &tenant, Mode::Bounded).await;
    let (user, given) = (ada(house, &tenant).await, walk::tokens(house, &tenant).await);
    let token = text(&given, "access_token");
    let claims = verifier.verify(token).await.unwrap();
    let said = walk::claims(token);
    assert_eq!(
        json!([claims.sub(), claims.org_id(), claims.client_id()]),
        json!([user, said["org_id"], tenant.app.id])
    );
    assert_eq!(
        json!([claims.sid(), claims.con(), claims.rs()]),
        json!([said["sid"], said["con"], said["rs"]])
    );
    assert_eq!(json!([claims.exp(), claims.auth_time()]), json!([said["exp"], said["auth_time"]]));
    let id_token = verifier.verify(text(&given, "id_token")).await.unwrap_err();
    assert_eq!(id_token.code(), "token.header", "an ID token is no access token");

    set_active(house, &tenant, &user, false).await;
    let took = until(&verifier, token, &Denied::Revoked(Action::Terminate)).await;
    assert!(took < Duration::from_secs(1), "{took:?} after the answer to the directory");
    assert_eq!(verifier.check(&claims), Err(Denied::Revoked(Action::Terminate)));

    // The receipt says when the app knew.
    let path = format!("/orgs/{}/users/{user}/deprovisionings", tenant.slug);
    let start = Instant::now();
    loop {
        let (_, receipts) = house.api("GET", &tenant.org_key, &path, None).await;
        if receipts["data"][0]["apps"][0]["client_id"] == json!(tenant.app.id) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{receipts}");
        sleep(Duration::from_millis(200)).await;
    }

    // One that starts now knows as much; and coming back revives nothing.
    set_active(house, &tenant, &user, true).await;
    let restarted = self::verifier(&house.base, &tenant, Mode::Bounded).await;
    for each in [&verifier, &restarted] {
        assert_eq!(each.verify(token).await, Err(Denied::Revoked(Action::Terminate)));
    }
    let anew = walk::tokens(house, &tenant).await;
    assert!(verifier.verify(text(&anew, "access_token")).await.is_ok());
}

#[tokio::test]
async fn a_lost_role_asks_for_a_new_token_and_the_session_gives_one() {
    let house = house();
    let tenant = house.tenant().await;
    let verifier = verifier(&house.base, &tenant, Mode::Strict).await;
    let user = ada(house, &tenant).await;
    set_roles(house, &tenant, &user, json!(["viewer"])).await;
    let given = walk::tokens(house, &tenant).await;
    let token = text(&given, "access_token");
    assert!(verifier.verify(token).await.unwrap().has_role("viewer"));
    set_roles(house, &tenant, &user, json!([])).await;
    let took = until(&verifier, token, &Denied::Revoked(Action::Reassert)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let (status, anew) = walk::refresh(house, &tenant, text(&given, "refresh_token")).await;
    assert_eq!(status, 200, "{anew}");
    assert!(!verifier.verify(text(&anew, "access_token")).await.unwrap().has_role("viewer"));
}

#[tokio::test]
async fn a_verifier_that_is_cut_off_vouches_for_nobody_and_hears_the_rest_when_it_is_back() {
    let (port, ports) = tokio::sync::watch::channel(0);
    let line = Line::open(ports).await;
    let house = Site { public_url: Some(line.url.clone()), ..Site::named("verified") }.open();
    port.send_replace(house.base.rsplit(':').next().unwrap().parse().unwrap());
    let tenant = house.tenant().await;
    let verifier = verifier(&line.url, &tenant, Mode::Strict).await;
    let (user, given) = (ada(house, &tenant).await, signed_in_at(&line.url, house, &tenant).await);
    let token = text(&given, "access_token");
    assert!(verifier.verify(token).await.is_ok());
    for _ in 0..100 {
        sleep(Duration::from_millis(20)).await;
        if verifier.health().way == Way::Stream {
            break;
        }
    }
    assert_eq!(verifier.health().way, Way::Stream);

    line.cut.store(true, Ordering::Relaxed);
    let took = until(&verifier, token, &Denied::Unavailable).await;
    assert!(took < Duration::from_secs(4), "{took:?}: two seconds, and one question");
    assert!(is_active(house, &tenant, token).await, "nothing is wrong with the token itself");
    set_active(house, &tenant, &user, false).await;
    line.cut.store(false, Ordering::Relaxed);
    let took = until(&verifier, token, &Denied::Revoked(Action::Terminate)).await;
    assert!(took < Duration::from_secs(8), "{took:?}");
    sleep(Duration::from_millis(2_500)).await;
    assert!(!verifier.health().is_stale, "{:?}", verifier.health());
}

/// Row level security of the app's own, on its own connection: the org is the token's and nobody else's.
#[tokio::test]
async fn an_apps_own_rows_follow_the_tokens_org() {
    let mut sql = PgConnection::connect(&house().database_url).await.unwrap();
    let make = "CREATE TEMP TABLE invoices (org_id text NOT NULL, total_cents bigint NOT NULL);
        INSERT INTO invoices VALUES ('org_a', 1), ('org_a', 2), ('org_b', 3);
        ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
        ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
        CREATE POLICY org ON invoices
            USING (org_id = (SELECT NULLIF(current_setting('app.org_id', true), '')))
            WITH CHECK (org_id = (SELECT NULLIF(current_setting('app.org_id', true), '')))";
    sqlx::raw_sql(make).execute(&mut sql).await.unwrap();
    let count = "SELECT count(*) FROM invoices";
    for (org, rows) in [("org_a", 2_i64), ("org_b", 1), ("org_c", 0), ("org_a' OR '1'='1", 0)] {
        let claims = testing::claims(&json!({"org_id": org}).to_string()).unwrap();
        let mut tx = sql.begin().await.unwrap();
        vestibule_verifier::postgres::enter(&mut tx, &claims).await.unwrap();
        let seen: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(seen, rows, "{org}");
        let other = "INSERT INTO invoices VALUES ('org_other', 4)";
        assert!(sqlx::query(other).execute(&mut *tx).await.is_err(), "another org's row");
        tx.rollback().await.unwrap();
        let after: i64 = sqlx::query_scalar(count).fetch_one(&mut sql).await.unwrap();
        assert_eq!(after, 0, "with the transaction the org is gone");
    }
}
