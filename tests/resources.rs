//! Resource indicators (RFC 8707): a token for another app of the same org, and for nothing else.

use crate::house::{
    House, Tenant, VERIFIER, authorize_url, house,
    walk::{claims, param, sent_back, text, to_the_acs},
};
use serde_json::{Value, json};

/// An app of this audience for these orgs: its id and secret.
async fn app(house: &House, audience: &str, orgs: Value) -> (String, String) {
    let new = json!({"name": "api", "redirect_uris": ["https://api.example/cb"], "orgs": orgs, "audience": audience});
    let (status, made) = house.api("POST", &house.platform_key, "/apps", Some(new)).await;
    assert_eq!(status, 201, "{made}");
    (text(&made, "client_id").to_owned(), text(&made, "client_secret").to_owned())
}

/// Lets the tenant's app ask for these besides its own.
async fn allow(house: &House, tenant: &Tenant, resources: &[&str]) {
    let (path, body) = (format!("/apps/{}", tenant.app.id), json!({"resources": resources}));
    let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(body)).await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(said["resources"].as_array().unwrap().len(), resources.len());
}

/// A code that was asked for with these.
async fn code(house: &House, tenant: &Tenant, more: &[(&str, &str)]) -> String {
    let mut door = to_the_acs(house, tenant).await;
    door.post().await;
    let asked = [&[("prompt", "none")], more].concat();
    param(&door.browser.get_once(&authorize_url(house, tenant, &asked)).await.unwrap(), "code")
}

async fn redeem(house: &House, tenant: &Tenant, code: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let own = [("grant_type", "authorization_code"), ("code", code), ("code_verifier", VERIFIER)];
    house.as_app(&tenant.app, "/oauth2/token", &[&own, more].concat()).await
}

async fn refresh(house: &House, tenant: &Tenant, token: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let own = [("grant_type", "refresh_token"), ("refresh_token", token)];
    house.as_app(&tenant.app, "/oauth2/token", &[&own, more].concat()).await
}

fn audience(given: &Value) -> Value {
    claims(text(given, "access_token"))["aud"].clone()
}

fn refused((status, said): (u16, Value)) {
    assert_eq!((status, &said["error"]), (400, &json!("invalid_target")), "{said}");
}

#[tokio::test]
async fn a_token_is_for_the_one_resource_that_was_authorized_and_widening_it_is_refused() {
    let house = house();
    let tenant = house.tenant().await;
    let (here, other) = (format!("https://api.{}", tenant.domain), format!("https://b.{}", tenant.domain));
    let (api, secret) = app(house, &here, json!([tenant.org])).await;
    app(house, &other, json!([tenant.org])).await;
    allow(house, &tenant, &[&here, &other]).await;
    let own = tenant.app.id.to_string();
    let resource = ("resource", here.as_str());
    let first = code(house, &tenant, &[resource]).await;
    for wider in [other.as_str(), own.as_str()] {
        refused(redeem(house, &tenant, &first, &[("resource", wider)]).await);
    }
    let (status, given) = redeem(house, &tenant, &first, &[resource]).await;
    assert_eq!((status, audience(&given)), (200, json!(here)), "one string: {given}");
    assert_eq!(claims(text(&given, "id_token"))["aud"], own, "the ID token is the app's");
    for wider in [other.as_str(), own.as_str(), ""] {
        refused(refresh(house, &tenant, text(&given, "refresh_token"), &[("resource", wider)]).await);
    }
    // What was refused has not been used up.
    let (status, given) = refresh(house, &tenant, text(&given, "refresh_token"), &[]).await;
    assert_eq!((status, audience(&given)), (200, json!(here)), "it is still for that one");
    let (status, given) = refresh(house, &tenant, text(&given, "refresh_token"), &[resource]).await;
    assert_eq!((status, audience(&given)), (200, json!(here)));
    // Those may ask about it whom it is for, and whom it was given to; nobody else, and not userinfo.
    let token = text(&given, "access_token");
    let api = crate::house::TestApp { id: api.parse().unwrap(), secret, redirect_uri: String::new() };
    let stranger = house.app(0).await;
    for (asks, active) in [(&api, true), (&tenant.app, true), (&stranger, false)] {
        let (_, said) = house.as_app(asks, "/oauth2/introspect", &[("token", token)]).await;
        assert_eq!(said["active"], active, "{said}");
    }
    let userinfo = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(token).send().await.unwrap();
    assert_eq!(userinfo.status(), 401);
    assert_eq!(userinfo.json::<Value>().await.unwrap()["error_description"], "token.audience");
    // The other app serves the org no more: nothing is minted for it.
    let path = format!("/apps/{}", api.id);
    let (status, _) = house.api("PATCH", &house.platform_key, &path, Some(json!({"orgs": []}))).await;
    assert_eq!(status, 200);
    refused(refresh(house, &tenant, text(&given, "refresh_token"), &[]).await);
    let (_, said) = house.as_app(&api, "/oauth2/introspect", &[("token", token)]).await;
    assert_eq!(said["active"], false);
}

#[tokio::test]
async fn without_a_resource_a_token_is_the_apps_own_and_stays_it() {
    let house = house();
    let tenant = house.tenant().await;
    let here = format!("https://api.{}", tenant.domain);
    app(house, &here, json!([tenant.org])).await;
    allow(house, &tenant, &[&here]).await;
    let first = code(house, &tenant, &[]).await;
    refused(redeem(house, &tenant, &first, &[("resource", &here)]).await);
    let (status, given) = redeem(house, &tenant, &first, &[]).await;
    assert_eq!((status, audience(&given)), (200, json!(tenant.app.id)));
    refused(refresh(house, &tenant, text(&given, "refresh_token"), &[("resource", &here)]).await);
    let (status, given) = refresh(house, &tenant, text(&given, "refresh_token"), &[]).await;
    assert_eq!((status, audience(&given)), (200, json!(tenant.app.id)));
}

#[tokio::test]
async fn what_may_not_be_asked_for_goes_back_to_the_app_as_invalid_target() {
    let house = house();
    let (tenant, stranger) = (house.tenant().await, house.tenant().await);
    let elsewhere = format!("https://elsewhere.{}", stranger.domain);
    app(house, &elsewhere, json!([stranger.org])).await;
    allow(house, &tenant, &[&elsewhere, "https://nobody.example"]).await;
    let mut door = to_the_acs(house, &tenant).await;
    door.post().await;
    let fragment = format!("https://api.{}#x", tenant.domain);
    for bad in [elsewhere.as_str(), "https://nobody.example", "api", "/api", "//api.example", &fragment] {
        for more in [&[("prompt", "none")][..], &[]] {
            let asked = [&[("resource", bad)], more].concat();
            let page = door.browser.get_once(&authorize_url(house, &tenant, &asked)).await.unwrap();
            assert_eq!(param(&page, "error"), "invalid_target", "{bad}: {:?}", sent_back(&page));
        }
    }
    // Two are one too many.
    let url = format!(
        "{}&resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example",
        authorize_url(house, &tenant, &[])
    );
    let page = door.browser.get_once(&url).await.unwrap();
    assert_eq!(page.header("x-vestibule-code"), Some("oauth.invalid_request"));
}

#[tokio::test]
async fn an_app_asks_for_what_its_operator_lets_it_ask_for_and_only_while_it_does() {
    let house = house();
    let tenant = house.tenant().await;
    let here = format!("https://api.{}", tenant.domain);
    app(house, &here, json!([tenant.org])).await;
    let resource = ("resource", here.as_str());
    let mut door = to_the_acs(house, &tenant).await;
    door.post().await;
    let asked = authorize_url(house, &tenant, &[("prompt", "none"), resource]);
    let page = door.browser.get_once(&asked).await.unwrap();
    assert_eq!(
        param(&page, "error"),
        "invalid_target",
        "it serves the org, and nobody let the app ask for it"
    );
    let own = authorize_url(house, &tenant, &[("prompt", "none"), ("resource", &tenant.app.id.to_string())]);
    let page = door.browser.get_once(&own).await.unwrap();
    assert_eq!(param(&page, "error"), "invalid_target", "an id is no URI");
    allow(house, &tenant, &[&here]).await;
    let page = door.browser.get_once(&asked).await.unwrap();
    let (status, given) = redeem(house, &tenant, &param(&page, "code"), &[]).await;
    assert_eq!((status, audience(&given)), (200, json!(here)));
    let late = param(&door.browser.get_once(&asked).await.unwrap(), "code");
    allow(house, &tenant, &[]).await;
    refused(redeem(house, &tenant, &late, &[]).await);
    refused(refresh(house, &tenant, text(&given, "refresh_token"), &[]).await);
}
