//! Coming from the company's portal, unasked: off by default, never a session, once, and from the
//! connection's own provider alone.

use crate::house::{House, Tenant, house};
use idp_fixtures::{Browser, OidcIdp, OidcIdpSettings, Page};
use serde_json::{Value, json};

async fn allow(house: &'static House, tenant: &Tenant, allowed: bool) {
    let path = format!("/orgs/{}/connections/{}", tenant.org, tenant.connection);
    let body = json!({"allow_idp_initiated": allowed});
    let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(body)).await;
    assert_eq!(status, 200, "{said}");
}

/// The tile on the provider's dashboard, up to the form for the ACS.
async fn from_the_portal(tenant: &Tenant) -> (Browser, Page) {
    let mut browser = Browser::new().unwrap();
    let start = format!("{}/start", tenant.idp.base_url());
    let login = format!("ada@{}", tenant.domain);
    let page = browser.sign_in_until(&start, &login, "pw", |p| p.field("SAMLResponse").is_some()).await;
    (browser, page.unwrap())
}

async fn post(house: &House, tenant: &Tenant, browser: &mut Browser, answer: &Page) -> Page {
    let response = answer.field("SAMLResponse").unwrap();
    let acs = house.gw.links.saml_acs(tenant.connection);
    browser.post_once(&acs, &[("SAMLResponse", response.as_str())]).await.unwrap()
}

async fn arrivals(house: &House, tenant: &Tenant) -> usize {
    let path = format!("/orgs/{}/audit/events?action=login.arrived", tenant.org);
    let (_, said) = house.api("GET", &tenant.org_key, &path, None).await;
    said["data"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn an_answer_nobody_asked_for_is_refused_unless_the_connection_says_otherwise() {
    let house = house();
    let tenant = house.tenant().await;
    let (mut browser, answer) = from_the_portal(&tenant).await;
    let refused = post(house, &tenant, &mut browser, &answer).await;
    assert_eq!((refused.status, refused.header("x-vestibule-code")), (400, Some("login.attempt_unknown")));
    allow(house, &tenant, true).await;
    let page = post(house, &tenant, &mut browser, &answer).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.header("set-cookie"), None, "nothing of an arrival is a session");
    assert!(page.body.contains("http://localhost:1/start?iss="), "{}", page.body);
    assert!(page.body.contains("login_hint=ada%40"), "{}", page.body);
    assert_eq!(arrivals(house, &tenant).await, 1);
    let again = post(house, &tenant, &mut browser, &answer).await;
    assert_eq!(again.header("x-vestibule-code"), Some("login.replayed"));
    assert_eq!(arrivals(house, &tenant).await, 1);
}

#[tokio::test]
async fn an_arrival_is_verified_like_any_answer() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    allow(house, &tenant, true).await;
    let (mut browser, foreign) = from_the_portal(&other).await;
    let refused = post(house, &tenant, &mut browser, &foreign).await;
    assert_eq!(refused.status, 403, "signed by another org's provider");
    assert_eq!(arrivals(house, &tenant).await, 0);
}

#[tokio::test]
async fn a_provider_of_open_id_may_send_people_along() {
    let house = house();
    let tenant = house.tenant().await;
    let path = format!("/orgs/{}/connections", tenant.org);
    let idp = OidcIdp::start(OidcIdpSettings::default()).await.unwrap();
    let body = json!({"type": "oidc", "name": "Entra", "issuer": idp.issuer(),
        "client_id": "c", "client_secret": "s"});
    let (status, made): (u16, Value) = house.api("POST", &house.platform_key, &path, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let con = made["id"].as_str().unwrap();
    let start = |query: &str| house.url(&format!("/oidc/{con}/initiate{query}"));
    let mut browser = Browser::new().unwrap();
    let draft = browser.get_once(&start("")).await.unwrap();
    assert_eq!(draft.header("x-vestibule-code"), Some("login.connection_disabled"));
    let enable = format!("{path}/{con}/enable");
    assert_eq!(house.api("POST", &house.platform_key, &enable, Some(json!({}))).await.0, 200);
    let foreign = browser.get_once(&start("?iss=https%3A%2F%2Felsewhere.example")).await.unwrap();
    assert_eq!(foreign.header("x-vestibule-code"), Some("oidc.initiate_issuer"));
    let query = format!("?iss={}&login_hint=grace%40acme.example", idp.issuer());
    let page = browser.get_once(&start(&query)).await.unwrap();
    assert!(page.body.contains("login_hint=grace%40acme.example"), "{}", page.body);
    assert_eq!(page.header("set-cookie"), None);
}
