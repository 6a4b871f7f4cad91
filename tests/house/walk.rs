//! The walks that many tests begin with: a SAML sign-in up to the code, and its redemption.

use super::{House, Tenant, VERIFIER, authorize_url};
use idp_fixtures::{Browser, Page};
use serde_json::Value;

/// A browser that stands before the ACS, with the provider's answer in hand.
pub struct AtTheDoor {
    pub browser: Browser,
    pub acs: String,
    pub saml_response: String,
    pub relay_state: String,
}

pub async fn to_the_acs(house: &House, tenant: &Tenant) -> AtTheDoor {
    let mut browser = Browser::new().unwrap();
    let start = authorize_url(house, tenant, &[]);
    let login = format!("ada@{}", tenant.domain);
    let page =
        browser.sign_in_until(&start, &login, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    AtTheDoor {
        browser,
        acs: house.gw.links.saml_acs(tenant.connection),
        saml_response: page.field("SAMLResponse").expect("the provider answers"),
        relay_state: page.field("RelayState").expect("with the relay state"),
    }
}

impl AtTheDoor {
    pub async fn post(&mut self) -> Page {
        let fields =
            [("SAMLResponse", self.saml_response.as_str()), ("RelayState", self.relay_state.as_str())];
        self.browser.post_once(&self.acs, &fields).await.unwrap()
    }
}

/// The query of the redirect back to the app.
pub fn sent_back(page: &Page) -> Vec<(String, String)> {
    let location =
        page.header("location").unwrap_or_else(|| panic!("no redirect: {} {}", page.status, page.body));
    let query = location.split_once('?').map_or("", |(_, q)| q);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub fn param(page: &Page, name: &str) -> String {
    let sent = sent_back(page);
    sent.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name} in {sent:?}")).1.clone()
}

/// A code, fresh from a whole sign-in.
pub async fn code(house: &House, tenant: &Tenant) -> String {
    param(&to_the_acs(house, tenant).await.post().await, "code")
}

pub async fn redeem(house: &House, tenant: &Tenant, code: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", tenant.app.redirect_uri.as_str()),
        ("code_verifier", VERIFIER),
    ];
    house.as_app(&tenant.app, "/oauth2/token", &form).await
}

/// Tokens of a whole sign-in.
pub async fn tokens(house: &House, tenant: &Tenant) -> Value {
    let (status, tokens) = redeem(house, tenant, &code(house, tenant).await).await;
    assert_eq!(status, 200, "{tokens}");
    tokens
}

pub async fn refresh(house: &House, tenant: &Tenant, token: &str) -> (u16, Value) {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    house.as_app(&tenant.app, "/oauth2/token", &form).await
}

pub async fn is_active(house: &House, tenant: &Tenant, access_token: &str) -> bool {
    let (status, said) = house.as_app(&tenant.app, "/oauth2/introspect", &[("token", access_token)]).await;
    assert_eq!(status, 200, "{said}");
    said["active"].as_bool().unwrap()
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// The claims of a JWT, unverified.
pub fn claims(jwt: &str) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
