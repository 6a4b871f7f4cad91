//! A browser signs in again in an org where it is signed in: no session is left behind that nobody has the handle
//! of, and what apps hold of a session that goes on lives on.

use crate::{
    chooser::second,
    house::{
        House, Tenant, TestApp, VERIFIER, authorize_url, house,
        walk::{claims, is_active, param, redeem, refresh, text, to_the_acs},
    },
};
use idp_fixtures::{Browser, Person};
use serde_json::{Value, json};
use std::time::Duration;

fn sid(tokens: &Value) -> Value {
    claims(text(tokens, "access_token"))["sid"].clone()
}

/// Signs in anew in this browser; answers the tokens.
async fn anew(
    house: &House,
    tenant: &Tenant,
    browser: &mut Browser,
    who: &str,
    more: &[(&str, &str)],
) -> Value {
    let start = authorize_url(house, tenant, &[&[("prompt", "login")], more].concat());
    let login = format!("{who}@{}", tenant.domain);
    let page =
        browser.sign_in_until(&start, &login, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    let (response, relay) = (page.field("SAMLResponse").unwrap(), page.field("RelayState").unwrap());
    let acs = page.forms()[0].action.clone();
    let fields = [("SAMLResponse", response.as_str()), ("RelayState", relay.as_str())];
    let page = browser.post_once(&acs, &fields).await.unwrap();
    let (status, tokens) = redeem(house, tenant, &param(&page, "code")).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

/// Tokens of another app, by the session that this browser has.
async fn of_another(house: &House, tenant: &Tenant, app: &TestApp, browser: &mut Browser) -> Value {
    let id = app.id.to_string();
    let silent = authorize_url(house, tenant, &[("prompt", "none"), ("client_id", &id)]);
    let code = param(&browser.get_once(&silent).await.unwrap(), "code");
    let form = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
    let (status, tokens) = house.as_app(app, "/oauth2/token", &form).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

fn handle(house: &House, tenant: &Tenant, browser: &Browser) -> String {
    let name = format!("vst_session_{}", tenant.org);
    let cookies = browser.cookies(&house.base);
    cookies.into_iter().find(|cookie| cookie.name == name).expect("it is signed in").value
}

async fn answers(house: &House, tenant: &Tenant, handle: &str) -> bool {
    let mut browser = Browser::new().unwrap();
    browser.set_cookie(&house.base, &format!("vst_session_{}={handle}; Path=/", tenant.org));
    let silent = authorize_url(house, tenant, &[("prompt", "none")]);
    let page = browser.get_once(&silent).await.unwrap();
    page.header("location").unwrap().contains("code=")
}

async fn listed(house: &House, tenant: &Tenant, tokens: &Value) -> usize {
    let user = claims(text(tokens, "access_token"))["sub"].clone();
    let path = format!("/orgs/{}/users/{}/sessions", tenant.org, user.as_str().unwrap());
    let (status, list) = house.api("GET", &tenant.org_key, &path, None).await;
    assert_eq!(status, 200, "{list}");
    list["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn who_signs_in_anew_keeps_the_session_by_another_handle_and_every_app_keeps_what_it_has() {
    let house = house();
    let tenant = house.tenant().await;
    let desk = house.app(0).await;
    let mut door = to_the_acs(house, &tenant).await;
    let code = param(&door.post().await, "code");
    let (_, first) = redeem(house, &tenant, &code).await;
    let at_desk = of_another(house, &tenant, &desk, &mut door.browser).await;
    let before = handle(house, &tenant, &door.browser);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let second = anew(house, &tenant, &mut door.browser, "ada", &[]).await;
    assert_eq!(sid(&second), sid(&first), "the same session");
    let auth_time = |tokens: &Value| claims(text(tokens, "id_token"))["auth_time"].as_i64().unwrap();
    assert!(auth_time(&second) > auth_time(&first), "and recent again");
    let after = handle(house, &tenant, &door.browser);
    assert!(
        after != before && !answers(house, &tenant, &before).await && answers(house, &tenant, &after).await
    );
    assert!(is_active(house, &tenant, text(&first, "access_token")).await);
    // What was asked for before it tells of its own sign-in: whoever has it has not signed in anew.
    let refreshed = refresh(house, &tenant, text(&first, "refresh_token")).await;
    assert_eq!((refreshed.0, auth_time(&refreshed.1)), (200, auth_time(&first)));
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&at_desk, "refresh_token"))];
    let refreshed = house.as_app(&desk, "/oauth2/token", &form).await;
    assert_eq!((refreshed.0, auth_time(&refreshed.1)), (200, auth_time(&at_desk)));
    let refreshed = refresh(house, &tenant, text(&second, "refresh_token")).await;
    assert_eq!((refreshed.0, auth_time(&refreshed.1)), (200, auth_time(&second)));
    assert_eq!(listed(house, &tenant, &second).await, 1, "none is left behind");
    // Its end is the end of all of it.
    let path = format!("/orgs/{}/sessions/{}", tenant.org, sid(&second).as_str().unwrap());
    assert_eq!(house.api("DELETE", &tenant.org_key, &path, None).await.0, 204);
    for tokens in [&first, &second] {
        assert!(!is_active(house, &tenant, text(tokens, "access_token")).await);
    }
    // What has ended is not raised: another one begins, and revives nothing.
    let third = anew(house, &tenant, &mut door.browser, "ada", &[]).await;
    assert_ne!(sid(&third), sid(&second));
    assert!(!is_active(house, &tenant, text(&second, "access_token")).await);
    assert_eq!(refresh(house, &tenant, text(&refreshed.1, "refresh_token")).await.0, 400);
}

#[tokio::test]
async fn somebody_else_in_the_same_browser_ends_the_session_of_whoever_was_there() {
    let house = house();
    let tenant = house.tenant().await;
    tenant.idp.put_person(Person::new(&format!("grace@{}", tenant.domain), "pw", "Grace", "Hopper"));
    let mut door = to_the_acs(house, &tenant).await;
    let code = param(&door.post().await, "code");
    let (_, ada) = redeem(house, &tenant, &code).await;
    // Ada's in another browser is no business of this one.
    let mut elsewhere = to_the_acs(house, &tenant).await;
    let code = param(&elsewhere.post().await, "code");
    let (_, apart) = redeem(house, &tenant, &code).await;
    let before = handle(house, &tenant, &door.browser);
    let grace = anew(house, &tenant, &mut door.browser, "grace", &[]).await;
    assert_ne!(sid(&grace), sid(&ada));
    assert!(!is_active(house, &tenant, text(&ada, "access_token")).await);
    assert_eq!(refresh(house, &tenant, text(&ada, "refresh_token")).await.0, 400);
    assert!(!answers(house, &tenant, &before).await);
    assert!(is_active(house, &tenant, text(&apart, "access_token")).await);
    assert!(is_active(house, &tenant, text(&grace, "access_token")).await);
    let path = format!("/orgs/{}/audit/events?action=session.ended", tenant.org);
    let (_, events) = house.api("GET", &tenant.org_key, &path, None).await;
    let ended = &events["data"][0];
    assert_eq!(
        (&ended["target"]["id"], &ended["values"]["why"]),
        (&sid(&ada), &json!("replaced")),
        "{events}"
    );
}

#[tokio::test]
async fn another_connection_makes_another_session_and_ends_the_former() {
    let house = house();
    let tenant = house.tenant().await;
    let (other, _idp) = second(house, &tenant, "Contractors").await;
    let start = authorize_url(house, &tenant, &[("connection", &tenant.connection.to_string())]);
    let mut browser = Browser::new().unwrap();
    let login = format!("ada@{}", tenant.domain);
    let page =
        browser.sign_in_until(&start, &login, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    let (response, relay) = (page.field("SAMLResponse").unwrap(), page.field("RelayState").unwrap());
    let fields = [("SAMLResponse", response.as_str()), ("RelayState", relay.as_str())];
    let page = browser.post_once(&house.gw.links.saml_acs(tenant.connection), &fields).await.unwrap();
    let (_, first) = redeem(house, &tenant, &param(&page, "code")).await;
    let by_other = anew(house, &tenant, &mut browser, "ada", &[("connection", &other)]).await;
    assert_ne!(sid(&by_other), sid(&first));
    assert_ne!(claims(text(&by_other, "access_token"))["con"], claims(text(&first, "access_token"))["con"]);
    assert!(!is_active(house, &tenant, text(&first, "access_token")).await);
    assert_eq!(refresh(house, &tenant, text(&first, "refresh_token")).await.0, 400);
    assert!(is_active(house, &tenant, text(&by_other, "access_token")).await);
}
