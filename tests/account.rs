//! `/account`: one's own sessions, and nobody else's.

use crate::house::{
    House, Tenant, house,
    walk::{claims, is_active, param, redeem, text, to_the_acs},
};
use idp_fixtures::{Browser, Page};
use serde_json::Value;

async fn signed_in(house: &House, tenant: &Tenant) -> (Browser, Value) {
    let mut door = to_the_acs(house, tenant).await;
    let (status, tokens) = redeem(house, tenant, &param(&door.post().await, "code")).await;
    assert_eq!(status, 200, "{tokens}");
    (door.browser, tokens)
}

fn access(tokens: &Value) -> &str {
    text(tokens, "access_token")
}

fn sid(tokens: &Value) -> String {
    text(&claims(access(tokens)), "sid").to_owned()
}

async fn page(house: &House, browser: &mut Browser) -> Page {
    browser.get_once(&house.url("/account")).await.unwrap()
}

#[tokio::test]
async fn a_person_sees_and_ends_their_own_sessions_and_nobody_elses() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let (mut browser, here) = signed_in(house, &tenant).await;
    let (_, phone) = signed_in(house, &tenant).await;
    let (_, third) = signed_in(house, &tenant).await;
    let (mut stranger, theirs) = signed_in(house, &other).await;
    let seen = page(house, &mut browser).await;
    assert_eq!((seen.status, seen.header("cache-control")), (200, Some("no-store")));
    for tokens in [&here, &phone, &third] {
        assert!(seen.body.contains(&sid(tokens)), "{}", seen.body);
    }
    assert!(seen.body.matches("class=\"tag\"").count() == 1 && !seen.body.contains(&sid(&theirs)));
    let org = tenant.org.to_string();
    let url = house.url("/account/end");
    // Somebody else's, by each way of naming it, and a stranger's wish for mine.
    for (is_stranger, org, session) in [
        (false, other.org.to_string(), sid(&theirs)),
        (true, other.org.to_string(), sid(&phone)),
        (true, org.clone(), sid(&phone)),
    ] {
        let by = if is_stranger { &mut stranger } else { &mut browser };
        let fields = [("org", org.as_str()), ("session", session.as_str())];
        assert_eq!(by.post_once(&url, &fields).await.unwrap().status, 303);
    }
    let mut nobody = Browser::new().unwrap();
    let fields = [("org", org.as_str()), ("session", &sid(&phone))];
    assert_eq!(nobody.post_once(&url, &fields).await.unwrap().status, 303);
    for tokens in [&here, &phone, &third] {
        assert!(is_active(house, &tenant, access(tokens)).await);
    }
    assert!(is_active(house, &other, access(&theirs)).await);
    // One's own.
    let back = browser.post_once(&url, &fields).await.unwrap();
    assert_eq!((back.status, back.header("location")), (303, Some("/account")));
    assert!(
        !is_active(house, &tenant, access(&phone)).await && is_active(house, &tenant, access(&third)).await
    );
    assert_eq!(browser.post_once(&url, &[("org", &org)]).await.unwrap().status, 303);
    assert!(!is_active(house, &tenant, access(&third)).await, "all others");
    assert!(is_active(house, &tenant, access(&here)).await, "but this one");
    // This one, too: then nothing is left, and the cookie goes.
    let fields = [("org", org.as_str()), ("session", &sid(&here))];
    browser.post_once(&url, &fields).await.unwrap();
    assert!(!is_active(house, &tenant, access(&here)).await);
    let seen = page(house, &mut browser).await;
    assert!(
        seen.body.contains("You are not signed in")
            && seen.header("set-cookie").unwrap().contains("Max-Age=0")
    );
    assert_eq!(browser.post_once(&url, &[("org", "x")]).await.unwrap().status, 403, "no id");
}

/// A page of a sibling host can post with our cookies along (`SameSite=Lax`); the browser says whence.
#[tokio::test]
async fn a_page_of_another_origin_ends_nothing() {
    let house = house();
    let tenant = house.tenant().await;
    let (browser, here) = signed_in(house, &tenant).await;
    let cookie =
        browser.cookies(&house.base).into_iter().find(|c| c.name.starts_with("vst_session_")).unwrap();
    let cookie = format!("{}={}", cookie.name, cookie.value);
    let (org, session) = (tenant.org.to_string(), sid(&here));
    let post = async |path: &str, body: String, from: &str| {
        let request =
            house.http.post(house.url(path)).header("cookie", &cookie).header("sec-fetch-site", from);
        let sent =
            request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await;
        sent.unwrap().status().as_u16()
    };
    for from in ["same-site", "cross-site"] {
        assert_eq!(post("/account/end", format!("org={org}&session={session}"), from).await, 303);
        assert_eq!(post("/logout", String::new(), from).await, 200);
        assert_eq!(post("/oauth2/logout", "confirmed=yes".to_owned(), from).await, 200);
        assert!(is_active(house, &tenant, access(&here)).await, "{from}");
    }
    assert_eq!(post("/logout", String::new(), "same-origin").await, 200);
    assert!(!is_active(house, &tenant, access(&here)).await);
}
