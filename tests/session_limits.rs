//! How long an org's sessions live is asked when they are used, not when they began: a limit that is
//! shortened ends the sessions that have outlived it, in every place that asks.

use crate::{
    administer::operate,
    house::{
        House, Tenant, authorize_url, house,
        walk::{AtTheDoor, claims, is_active, param, redeem, refresh, text, to_the_acs},
    },
    operations::inside,
};
use serde_json::{Value, json};

/// Two hours of a session's life, made up.
const AGE_SECS: i64 = 7_200;

struct Signed {
    door: AtTheDoor,
    /// A code that is not redeemed yet.
    code: String,
    access: String,
    refresh: String,
    user: String,
    session: String,
}

/// A person who signed in `AGE_SECS` ago.
async fn signed_in_before(house: &House, tenant: &Tenant) -> Signed {
    let mut door = to_the_acs(house, tenant).await;
    let (status, given) = redeem(house, tenant, &param(&door.post().await, "code")).await;
    assert_eq!(status, 200, "{given}");
    let said = claims(text(&given, "access_token"));
    let mut sql = inside(house, tenant.org).await;
    sqlx::query("UPDATE sessions SET created_at = created_at - make_interval(secs => $1)")
        .bind(AGE_SECS as f64)
        .execute(&mut sql)
        .await
        .unwrap();
    let silent = authorize_url(house, tenant, &[("prompt", "none")]);
    let code = param(&door.browser.get_once(&silent).await.unwrap(), "code");
    Signed {
        door,
        code,
        access: text(&given, "access_token").to_owned(),
        refresh: text(&given, "refresh_token").to_owned(),
        user: text(&said, "sub").to_owned(),
        session: text(&said, "sid").to_owned(),
    }
}

async fn limit(house: &House, tenant: &Tenant, change: Value) {
    let (status, said) = operate(house, "PATCH", &format!("/orgs/{}", tenant.slug), Some(change)).await;
    assert_eq!(status, 200, "{said}");
}

async fn listed(house: &House, tenant: &Tenant, user: &str) -> Vec<Value> {
    let path = format!("/orgs/{}/users/{user}/sessions", tenant.slug);
    operate(house, "GET", &path, None).await.1["data"].as_array().unwrap().clone()
}

async fn userinfo(house: &House, access: &str) -> u16 {
    house.http.get(house.url("/oauth2/userinfo")).bearer_auth(access).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_shortened_limit_ends_the_sessions_that_have_outlived_it() {
    let house = house();
    let tenant = house.tenant().await;
    let mut before = signed_in_before(house, &tenant).await;
    limit(house, &tenant, json!({"session_absolute_secs": AGE_SECS + 600, "session_idle_secs": 3_600})).await;
    let (status, second) = refresh(house, &tenant, &before.refresh).await;
    assert_eq!(status, 200, "ten minutes are left: {second}");
    let said = claims(text(&second, "id_token"));
    let left = said["session_expiry"].as_i64().unwrap() - said["iat"].as_i64().unwrap();
    assert!((540..=600).contains(&left), "and the app is told so: {left}");
    assert!(is_active(house, &tenant, &before.access).await);
    let [one] = &listed(house, &tenant, &before.user).await[..] else { panic!("one session") };
    assert_eq!(text(one, "id"), before.session);
    limit(house, &tenant, json!({"session_absolute_secs": AGE_SECS - 600, "session_idle_secs": 3_600})).await;
    let (status, said) = refresh(house, &tenant, text(&second, "refresh_token")).await;
    assert_eq!((status, text(&said, "error")), (400, "invalid_grant"), "no refresh");
    let (status, said) = redeem(house, &tenant, &before.code).await;
    assert_eq!((status, text(&said, "error")), (400, "invalid_grant"), "no code");
    assert!(!is_active(house, &tenant, &before.access).await, "no introspection");
    assert_eq!(userinfo(house, &before.access).await, 401, "no userinfo");
    assert!(listed(house, &tenant, &before.user).await.is_empty(), "not in the list");
    let silent = authorize_url(house, &tenant, &[("prompt", "none")]);
    let page = before.door.browser.get_once(&silent).await.unwrap();
    assert_eq!(param(&page, "error"), "login_required", "no word from the browser's session");
}

/// No token outlives the session, whatever was said at the session's birth.
#[tokio::test]
async fn a_token_minted_under_a_shortened_limit_ends_with_the_session() {
    let house = house();
    let tenant = house.tenant().await;
    let before = signed_in_before(house, &tenant).await;
    limit(house, &tenant, json!({"session_absolute_secs": AGE_SECS + 60, "session_idle_secs": 60})).await;
    let (status, given) = redeem(house, &tenant, &before.code).await;
    assert_eq!(status, 200, "{given}");
    let left = given["expires_in"].as_i64().unwrap();
    assert!((1..=60).contains(&left), "{left}");
    let mut sql = inside(house, tenant.org).await;
    let past = "SELECT count(*) FROM refresh_families f JOIN sessions s USING (org_id, ses_id)
                 WHERE f.expires_at > s.created_at + make_interval(secs => $1)";
    let past: i64 = sqlx::query_scalar(past).bind((AGE_SECS + 60) as f64).fetch_one(&mut sql).await.unwrap();
    assert_eq!(past, 1, "the family that was made before, and not the new one");
}

/// A longer limit lengthens nobody's: what was said at a session's birth stands.
#[tokio::test]
async fn a_longer_limit_lengthens_no_session() {
    let house = house();
    let tenant = house.tenant().await;
    limit(house, &tenant, json!({"session_absolute_secs": 600, "session_idle_secs": 60})).await;
    let mut door = to_the_acs(house, &tenant).await;
    let (_, given) = redeem(house, &tenant, &param(&door.post().await, "code")).await;
    limit(house, &tenant, json!({"session_absolute_secs": 86_400})).await;
    let (_, again) = refresh(house, &tenant, text(&given, "refresh_token")).await;
    let end = |tokens: &Value| claims(text(tokens, "id_token"))["session_expiry"].as_i64().unwrap();
    assert_eq!(end(&again), end(&given));
}
