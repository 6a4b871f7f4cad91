//! What a sign-in was asked for is what comes back: a recent sign-in, one answer to one question, of
//! sane size and time, at no stranger's expense, and without telling strangers which orgs there are.

use crate::house::{
    House, Tenant, authorize_url, house,
    openid::{at_an_openid_provider, callback_url, sign_in},
    served::{Reply, Served},
    walk::{AtTheDoor, claims, param, redeem, text, to_the_acs},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use idp_fixtures::{Browser, Page, Person, ResponseParams};
use model::Timestamp;
use serde_json::{Value, json};

fn code_of(page: &Page) -> &str {
    page.header("x-vestibule-code").unwrap_or_default()
}

async fn openid(house: &'static House, asked: (&str, &str), auth_time: Value) -> Page {
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    idp.set_claim("auth_time", auth_time);
    let mut browser = Browser::new().unwrap();
    let callback = callback_url(house, &tenant, &grace, &mut browser, &[asked]).await;
    browser.get_once(&callback).await.unwrap()
}

#[tokio::test]
async fn an_openid_provider_must_give_the_recent_sign_in_that_was_asked_for() {
    let house = house();
    let now = || crate::house::now().secs();
    for asked in [("max_age", "60"), ("max_age", "0"), ("prompt", "login"), ("prompt", "login consent")] {
        for bad in [json!(now() - 9_000), Value::Null] {
            let page = openid(house, asked, bad.clone()).await;
            assert_eq!(code_of(&page), "oidc.auth_time", "{asked:?} {bad}");
        }
        assert_eq!(openid(house, asked, json!(now())).await.status, 303, "{asked:?}");
    }
    assert_eq!(openid(house, ("max_age", "9100"), json!(now() - 9_000)).await.status, 303);
    assert_eq!(openid(house, ("prompt", "consent"), json!(now() - 9_000)).await.status, 303);
}

/// The door of a sign-in that was asked so, and the request that its answer answers.
async fn door_asked(house: &House, tenant: &Tenant, asked: (&str, &str)) -> (AtTheDoor, String) {
    let mut browser = Browser::new().unwrap();
    let start = authorize_url(house, tenant, &[asked]);
    let login = format!("ada@{}", tenant.domain);
    let page =
        browser.sign_in_until(&start, &login, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    let saml_response = page.field("SAMLResponse").unwrap();
    let xml = String::from_utf8(STANDARD.decode(&saml_response).unwrap()).unwrap();
    let request = xml.split("InResponseTo=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let acs = house.gw.links.saml_acs(tenant.connection);
    let relay_state = page.field("RelayState").unwrap();
    (AtTheDoor { browser, acs, saml_response, relay_state }, request)
}

fn answer(house: &House, tenant: &Tenant, request: &str, authenticated_at: Timestamp) -> String {
    let (acs, audience) =
        (house.gw.links.saml_acs(tenant.connection), house.gw.links.saml_entity_id(tenant.connection));
    let fresh = ResponseParams::new(&acs, &audience, Some(request), crate::house::now());
    // The fixture writes one instant as IssueInstant and AuthnInstant.
    let params = ResponseParams { issued_at: authenticated_at, ..fresh };
    tenant.idp.response_for(&format!("ada@{}", tenant.domain), &params).unwrap()
}

#[tokio::test]
async fn a_saml_provider_must_give_the_recent_sign_in_that_was_asked_for() {
    let house = house();
    let tenant = house.tenant().await;
    let long_ago = crate::house::now().minus_secs(9_000);
    for (asked, refused) in [
        (("max_age", "60"), true),
        (("max_age", "0"), true),
        (("prompt", "login"), true),
        (("max_age", "9100"), false),
        (("prompt", ""), false),
    ] {
        let (mut door, request) = door_asked(house, &tenant, asked).await;
        door.saml_response = answer(house, &tenant, &request, long_ago);
        let page = door.post().await;
        let code = if refused { "saml.authentication_too_old" } else { "" };
        assert_eq!(code_of(&page), code, "{asked:?}");
        door.saml_response = answer(house, &tenant, &request, crate::house::now());
        assert_eq!(
            door.post().await.status,
            if refused { 303 } else { 403 },
            "{asked:?}: a refusal burns nothing"
        );
    }
}

#[tokio::test]
async fn one_request_admits_once_though_the_provider_signs_two_answers() {
    let house = house();
    let tenant = house.tenant().await;
    let (mut door, request) = door_asked(house, &tenant, ("prompt", "")).await;
    door.saml_response = answer(house, &tenant, &request, crate::house::now());
    assert_eq!(door.post().await.status, 303);
    door.saml_response = answer(house, &tenant, &request, crate::house::now());
    let second = door.post().await;
    assert_eq!((second.status, code_of(&second)), (403, "login.replayed"));
}

#[tokio::test]
async fn an_id_token_beyond_its_bounds_is_refused_by_name() {
    let house = house();
    let now = crate::house::now().secs();
    for (claim, value, code) in [
        ("exp", json!((now + 300) * 1_000), "oidc.expires_too_late"),
        ("exp", json!(now + 2 * 86_400), "oidc.expires_too_late"),
        ("iat", json!(now - 7_200), "oidc.issued_too_early"),
        ("name", json!("x\0y"), "oidc.claim"),
        ("email", json!("a\0b@org.example"), "oidc.claim"),
        ("email", json!(format!("{}@org.example", "a".repeat(3_000))), "oidc.claim"),
        ("acr", json!("\0"), "oidc.claim"),
        ("amr", json!(["\0"]), "oidc.claim"),
        ("groups", json!(["\0"]), "oidc.claim"),
        ("given_name", json!("x".repeat(1_025)), "oidc.claim"),
    ] {
        let (tenant, idp, grace) = at_an_openid_provider(house).await;
        idp.set_claim(claim, value.clone());
        assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), code, "{claim}");
    }
}

#[tokio::test]
async fn a_saml_attribute_beyond_its_bounds_is_refused_by_name() {
    let house = house();
    let tenant = house.tenant().await;
    let person = Person::new(&format!("ada@{}", tenant.domain), "pw", &"x".repeat(1_025), "L");
    tenant.idp.put_person(person);
    let page = to_the_acs(house, &tenant).await.post().await;
    assert_eq!((page.status, code_of(&page)), (403, "saml.attribute_bounds"));
}

#[tokio::test]
async fn another_context_than_was_asked_for_is_told_to_the_app_and_is_no_sign_in() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    idp.set_claim("acr", json!("pwd"));
    let mut browser = Browser::new().unwrap();
    let callback = callback_url(house, &tenant, &grace, &mut browser, &[("acr_values", "phrh")]).await;
    let page = browser.get_once(&callback).await.unwrap();
    assert_eq!(param(&page, "error"), "unmet_authentication_requirements");
    // The real one is what the token says.
    let mut browser = Browser::new().unwrap();
    let callback = callback_url(house, &tenant, &grace, &mut browser, &[("acr_values", "phrh pwd")]).await;
    let page = browser.get_once(&callback).await.unwrap();
    let (_, tokens) = redeem(house, &tenant, &param(&page, "code")).await;
    assert_eq!(claims(text(&tokens, "access_token"))["acr"], "pwd");
}

#[tokio::test]
async fn strangers_buy_one_look_at_a_provider() {
    let house = house();
    let tenant = house.tenant().await;
    let provider = Served::start(|_| Reply::status(500)).await;
    let issuer = provider.url.clone();
    let document = json!({"issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"]});
    provider.answer(move |_| Reply::text("application/json", document.to_string()));
    let connections = format!("/orgs/{}/connections", tenant.org);
    let body =
        json!({"type": "oidc", "name": "Entra", "issuer": issuer, "client_id": "c", "client_secret": "s"});
    let (status, made) = house.api("POST", &house.platform_key, &connections, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let con = text(&made, "id");
    let enable = format!("{connections}/{con}/enable");
    assert_eq!(house.api("POST", &house.platform_key, &enable, Some(json!({}))).await.0, 200);
    let by_administrator = provider.seen().len();
    let asked = authorize_url(house, &tenant, &[("connection", con)]);
    let strangers = (0..20).map(|_| async {
        let page = Browser::new().unwrap().get_once(&asked).await.unwrap();
        assert!(page.header("location").unwrap().starts_with(&issuer));
    });
    crate::login::futures_join(strangers).await;
    assert_eq!(provider.seen().len() - by_administrator, 1);
}

#[tokio::test]
async fn a_stranger_is_not_told_which_orgs_there_are() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let app = json!({"name": "one org's", "redirect_uris": [tenant.app.redirect_uri], "orgs": [other.org]});
    let (status, app) = house.api("POST", &house.platform_key, "/apps", Some(app)).await;
    assert_eq!(status, 201, "{app}");
    let client = text(&app, "client_id").to_owned();
    let ask = async |named: (&str, &str)| {
        let url = authorize_url(house, &tenant, &[("client_id", &client), ("organization", ""), named]);
        let page = Browser::new().unwrap().get_once(&url).await.unwrap();
        let body = page.body.replace(named.1, "");
        (page.status, page.header("location").map(str::to_owned), body.contains("Work email"))
    };
    let unknown = ask(("organization", "no-such-org")).await;
    let unknown_domain = ask(("login_hint", "ada@no-such-domain.example")).await;
    assert_eq!(ask(("organization", &tenant.slug)).await, unknown, "an org that the app does not serve");
    assert_eq!(ask(("connection", &tenant.connection.to_string())).await, unknown);
    let hint = |tenant: &Tenant| format!("ada@{}", tenant.domain);
    assert_eq!(ask(("login_hint", &hint(&tenant))).await, unknown_domain);
    assert_ne!(ask(("organization", &other.slug)).await, unknown, "one that it does");
    let path = format!("/orgs/{}", other.org);
    let suspend = Some(json!({"state": "suspended"}));
    assert_eq!(house.api("PATCH", &house.platform_key, &path, suspend).await.0, 200);
    assert_eq!(ask(("organization", &other.slug)).await, unknown, "a suspended one");
    assert_eq!(ask(("login_hint", &hint(&other))).await, unknown_domain);
}
