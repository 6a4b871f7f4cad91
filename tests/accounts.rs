//! Several orgs in one browser: a session each, who answers an app that names none of them, and the wishes that only
//! one session meets.

use crate::house::{
    House, Tenant, authorize_url, house,
    walk::{claims, param, redeem, sent_back, text},
};
use idp_fixtures::{Browser, Page};
use serde_json::Value;

/// Signs Ada of this tenant in, in a browser that may hold more.
async fn sign_in(house: &House, tenant: &Tenant, browser: &mut Browser) -> Value {
    let start = authorize_url(house, tenant, &[]);
    let login = format!("ada@{}", tenant.domain);
    let page =
        browser.sign_in_until(&start, &login, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    let (answer, state) = (page.field("SAMLResponse").unwrap(), page.field("RelayState").unwrap());
    let fields = [("SAMLResponse", answer.as_str()), ("RelayState", state.as_str())];
    let acs = house.gw.links.saml_acs(tenant.connection);
    let back = browser.post_once(&acs, &fields).await.unwrap();
    let (status, tokens) = redeem(house, tenant, &param(&back, "code")).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

/// The tenant's app asks, and names no org unless `more` does.
async fn ask(house: &House, tenant: &Tenant, browser: &mut Browser, more: &[(&str, &str)]) -> Page {
    let url = authorize_url(house, tenant, more);
    let named = more.iter().any(|(name, _)| *name == "organization");
    let url = if named { url } else { url.replace(&format!("organization={}&", tenant.slug), "") };
    browser.get_once(&url).await.unwrap()
}

fn error_of(page: &Page) -> String {
    sent_back(page).into_iter().find(|(name, _)| name == "error").map(|(_, value)| value).unwrap_or_default()
}

#[tokio::test]
async fn one_session_answers_for_its_org_and_several_are_offered() {
    let house = house();
    let (acme, globex) = (house.tenant().await, house.tenant().await);
    let mut browser = Browser::new().unwrap();
    let page = ask(house, &acme, &mut browser, &[("prompt", "none")]).await;
    assert_eq!(error_of(&page), "login_required");
    let first = sign_in(house, &acme, &mut browser).await;
    // The only one: it answers, also where nobody may be asked.
    let page = ask(house, &acme, &mut browser, &[("prompt", "none")]).await;
    let (_, again) = redeem(house, &acme, &param(&page, "code")).await;
    let told = claims(text(&again, "access_token"));
    assert_eq!(told["sid"], claims(text(&first, "access_token"))["sid"]);
    // The second org does not put the first out.
    let second = sign_in(house, &globex, &mut browser).await;
    let page = ask(house, &acme, &mut browser, &[("prompt", "none")]).await;
    assert_eq!(error_of(&page), "account_selection_required");
    let page = ask(house, &acme, &mut browser, &[]).await;
    assert_eq!(page.status, 200);
    for tenant in [&acme, &globex] {
        assert!(page.body.contains(&format!("ada@{}", tenant.domain)), "{}", page.body);
        let chosen = tenant.org.to_string();
        assert!(page.body.contains(&format!("value=\"{chosen}\"")));
        let page = ask(house, &acme, &mut browser, &[("organization", &chosen), ("prompt", "none")]).await;
        let (_, tokens) = redeem(house, &acme, &param(&page, "code")).await;
        assert_eq!(claims(text(&tokens, "access_token"))["org_id"], chosen.as_str());
    }
    // A session that has ended is not offered.
    let path =
        format!("/orgs/{}/sessions/{}", globex.org, text(&claims(text(&second, "access_token")), "sid"));
    assert_eq!(house.api("DELETE", &house.platform_key, &path, None).await.0, 204);
    let page = ask(house, &acme, &mut browser, &[("prompt", "select_account")]).await;
    assert!(page.status == 200 && page.body.contains(&acme.domain) && !page.body.contains(&globex.domain));
    assert!(page.body.contains("Use another account"));
}

#[tokio::test]
async fn a_hint_means_one_person_and_no_other_answers_for_them() {
    let house = house();
    let (acme, globex) = (house.tenant().await, house.tenant().await);
    let mut browser = Browser::new().unwrap();
    let tokens = sign_in(house, &acme, &mut browser).await;
    sign_in(house, &globex, &mut browser).await;
    let hint = text(&tokens, "id_token");
    let page = ask(house, &acme, &mut browser, &[("id_token_hint", hint), ("prompt", "none")]).await;
    let (_, again) = redeem(house, &acme, &param(&page, "code")).await;
    assert_eq!(claims(text(&again, "access_token"))["sub"], claims(hint)["sub"]);
    // Not ours, not this app's.
    let page = ask(house, &acme, &mut browser, &[("id_token_hint", "e30.e30.e30"), ("prompt", "none")]).await;
    assert_eq!(error_of(&page), "invalid_request");
    let page = ask(house, &globex, &mut browser, &[("id_token_hint", hint), ("prompt", "none")]).await;
    assert_eq!(error_of(&page), "invalid_request");
    // Somebody else than the hint means is signed in to the org that is named.
    let other = [("organization", globex.slug.as_str()), ("id_token_hint", hint), ("prompt", "none")];
    assert_eq!(error_of(&ask(house, &acme, &mut browser, &other).await), "login_required");
    // And where they sign in, they are not taken for the one who was meant.
    let named = [("organization", globex.slug.as_str()), ("id_token_hint", hint)];
    let start = authorize_url(house, &acme, &named);
    let login = format!("ada@{}", globex.domain);
    let mut anew = Browser::new().unwrap();
    let page = anew.sign_in_until(&start, &login, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    let (answer, state) = (page.field("SAMLResponse").unwrap(), page.field("RelayState").unwrap());
    let fields = [("SAMLResponse", answer.as_str()), ("RelayState", state.as_str())];
    let page = anew.post_once(&house.gw.links.saml_acs(globex.connection), &fields).await.unwrap();
    assert_eq!(error_of(&page), "login_required", "{}", page.body);
    assert!(!anew.cookies(&house.base).iter().any(|c| c.name.starts_with("vst_session_")));
}

#[tokio::test]
async fn a_context_that_is_asked_for_is_asked_upstream_and_held_to() {
    let house = house();
    let tenant = house.tenant().await;
    let mut browser = Browser::new().unwrap();
    let tokens = sign_in(house, &tenant, &mut browser).await;
    let had = claims(text(&tokens, "access_token"))["acr"].as_str().unwrap().to_owned();
    let named = ("organization", tenant.slug.as_str());
    let list = format!("urn:other {had}");
    let page = ask(house, &tenant, &mut browser, &[named, ("acr_values", &list), ("prompt", "none")]).await;
    assert_eq!(error_of(&page), "", "one of them is enough");
    let page =
        ask(house, &tenant, &mut browser, &[named, ("acr_values", "urn:other"), ("prompt", "none")]).await;
    assert_eq!(error_of(&page), "login_required", "the session is not that strong");
    // Upstream says what it always says.
    let mut door = to_the_acs_asking(house, &tenant, "urn:other").await;
    let page =
        door.0.post_once(&door.1, &[("SAMLResponse", &door.2), ("RelayState", &door.3)]).await.unwrap();
    assert_eq!(error_of(&page), "unmet_authentication_requirements", "{}", page.body);
    let page = ask(house, &tenant, &mut browser, &[named, ("prompt", "none login")]).await;
    assert_eq!(error_of(&page), "invalid_request");
}

async fn to_the_acs_asking(house: &House, tenant: &Tenant, acr: &str) -> (Browser, String, String, String) {
    let mut browser = Browser::new().unwrap();
    let start = authorize_url(house, tenant, &[("acr_values", acr)]);
    let login = format!("ada@{}", tenant.domain);
    let page =
        browser.sign_in_until(&start, &login, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    let field = |name: &str| page.field(name).unwrap();
    (browser, house.gw.links.saml_acs(tenant.connection), field("SAMLResponse"), field("RelayState"))
}
