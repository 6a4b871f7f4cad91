//! Signing in by OpenID Connect: the same admission, and what each tie refuses.

use crate::house::{
    house,
    openid::{at_an_openid_provider, callback_url, walk},
    walk::{claims, param, redeem, text, to_the_acs},
};
use idp_fixtures::{Browser, OidcFault};
use model::ids::ConnectionId;
use serde_json::json;

#[tokio::test]
async fn an_openid_sign_in_gives_the_same_tokens() {
    let house = house();
    let (tenant, _idp, grace) = at_an_openid_provider(house).await;
    let page = walk(house, &tenant, &grace, &mut Browser::new().unwrap()).await;
    let (status, tokens) = redeem(house, &tenant, &param(&page, "code")).await;
    assert_eq!(status, 200, "{tokens}");
    let access = claims(text(&tokens, "access_token"));
    assert_eq!(access["org_id"], json!(tenant.org.to_string()));
}

#[tokio::test]
async fn what_a_provider_gets_wrong_is_refused_by_name() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    for fault in OidcFault::ALL {
        idp.set_fault(Some(fault));
        let page = walk(house, &tenant, &grace, &mut Browser::new().unwrap()).await;
        let code = page.header("x-vestibule-code").unwrap_or_default().to_owned();
        assert!(page.status == 403 && code.starts_with("oidc."), "{fault:?}: {} {code}", page.status);
    }
}

/// A sign-in that failed leads back to the app that it was begun for: in the browser that began it, and to the
/// address that the app is registered with.
#[tokio::test]
async fn a_refused_sign_in_leads_back_to_its_app() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    idp.set_fault(Some(OidcFault::ALL[0]));
    let refused = walk(house, &tenant, &grace, &mut Browser::new().unwrap()).await;
    let at_okta = house.tenant().await;
    let mut door = to_the_acs(house, &at_okta).await;
    door.saml_response.truncate(40);
    let posted = door.post().await;
    for (page, slug) in [(&refused, &tenant.slug), (&posted, &at_okta.slug)] {
        let issuer: String = form_urlencoded::byte_serialize(house.base.as_bytes()).collect();
        let start =
            format!("href=\"http://localhost:1/start?iss={issuer}&amp;organization={slug}\">Back to ");
        assert!(page.status >= 400 && page.body.contains(&start), "{}", page.body);
    }
    door.browser = Browser::new().unwrap();
    let elsewhere = door.post().await;
    assert!(elsewhere.status >= 400 && !elsewhere.body.contains("/start"), "{}", elsewhere.body);
    assert!(elsewhere.body.contains("go back to the app"));
}

#[tokio::test]
async fn an_answer_is_for_the_browser_and_the_connection_that_asked() {
    let house = house();
    let (tenant, _idp, grace) = at_an_openid_provider(house).await;
    let (other, _other_idp, _) = at_an_openid_provider(house).await;
    let mut browser = Browser::new().unwrap();
    let callback = callback_url(house, &tenant, &grace, &mut browser, &[]).await;
    let thief = Browser::new().unwrap().get_once(&callback).await.unwrap();
    assert_eq!(thief.header("x-vestibule-code"), Some("login.attempt_unknown"));
    let elsewhere = callback.replace(
        &house.gw.links.oidc_callback(connection_of(&callback)),
        &house.gw.links.oidc_callback(other.connection),
    );
    let crossed = browser.get_once(&elsewhere).await.unwrap();
    assert_eq!(crossed.header("x-vestibule-code"), Some("login.attempt_other_connection"));
    assert_eq!(browser.get_once(&callback).await.unwrap().status, 303);
    let again = browser.get_once(&callback).await.unwrap();
    assert!(again.status >= 400, "a code works once");
}

fn connection_of(callback: &str) -> ConnectionId {
    callback.split("/oidc/").nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
}
