//! Userinfo tells what the token's scopes ask for, and nothing without `openid` (OIDC Core 5.3, 5.4).

use crate::house::{
    House, Tenant, authorize_url, house,
    walk::{param, redeem, text, to_the_acs},
};
use idp_fixtures::Browser;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn access(house: &House, tenant: &Tenant, browser: &mut Browser, scope: &str) -> String {
    let page = browser.get_once(&authorize_url(house, tenant, &[("scope", scope)])).await.unwrap();
    let (status, given) = redeem(house, tenant, &param(&page, "code")).await;
    assert_eq!(status, 200, "{given}");
    assert_eq!(text(&given, "scope"), scope);
    text(&given, "access_token").to_owned()
}

async fn ask(house: &House, method: &str, token: &str) -> (u16, String, Value) {
    let request = house.http.request(method.parse().unwrap(), house.url("/oauth2/userinfo"));
    let sent = request.bearer_auth(token).send().await.unwrap();
    let challenge = sent.headers().get("www-authenticate").map_or("", |v| v.to_str().unwrap()).to_owned();
    (sent.status().as_u16(), challenge, sent.json().await.unwrap())
}

#[tokio::test]
async fn userinfo_tells_what_the_scopes_ask_for() {
    let house = house();
    let tenant = house.tenant().await;
    let email = format!("ada@{}", tenant.domain);
    let person = json!({
        "userName": email, "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"value": email, "primary": true}],
    });
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(person)).await;
    assert_eq!(status, 201, "{made}");
    let mut door = to_the_acs(house, &tenant).await;
    door.post().await;
    let always = ["sub", "org_id", "team_ids", "roles"];
    for (scope, more) in [
        ("openid", &[][..]),
        ("openid email", &["email"]),
        ("openid profile", &["name", "given_name", "family_name"]),
        ("openid profile email", &["email", "name", "given_name", "family_name"]),
    ] {
        let token = access(house, &tenant, &mut door.browser, scope).await;
        for method in ["GET", "POST"] {
            let (status, _, said) = ask(house, method, &token).await;
            assert_eq!(status, 200, "{scope}: {said}");
            let wanted: BTreeSet<&str> = always.iter().chain(more).copied().collect();
            let told: BTreeSet<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(told, wanted, "{scope}");
            assert_eq!(said["sub"], made["id"]);
            for (name, value) in [("email", email.as_str()), ("name", "Ada Lovelace"), ("given_name", "Ada")]
            {
                assert!(!wanted.contains(name) || said[name] == value, "{scope}: {said}");
            }
        }
    }
    let token = access(house, &tenant, &mut door.browser, "profile email").await;
    for method in ["GET", "POST"] {
        let (status, challenge, said) = ask(house, method, &token).await;
        assert_eq!((status, text(&said, "error")), (403, "insufficient_scope"), "{said}");
        assert_eq!(text(&said, "error_description"), "token.scope");
        let wanted = r#"Bearer realm="vestibule", error="insufficient_scope", scope="openid""#;
        assert_eq!(challenge, wanted);
    }
}
