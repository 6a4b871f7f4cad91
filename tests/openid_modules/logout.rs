//! Discovery, RP-initiated logout and back-channel logout.

use super::at::{At, SignedIn};
use crate::house::{
    served::{Reply, Served},
    walk::{claims, text},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use idp_fixtures::Page;
use serde_json::{Value, json};

const LEFT: &str = "http://localhost:1/left";

pub async fn discovery(at: &At) {
    let sent = at.house.http.get(at.house.url("/.well-known/openid-configuration")).send().await.unwrap();
    assert_eq!(
        (sent.status().as_u16(), &sent.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let said: Value = sent.json().await.unwrap();
    assert_eq!(said["issuer"], at.house.base.as_str());
    let has = |name: &str, value: &str| {
        let list = said[name].as_array().unwrap_or_else(|| panic!("{name} is no list"));
        assert!(list.contains(&json!(value)), "{name} has no {value}");
    };
    for (name, value) in [
        ("response_types_supported", "code"),
        ("response_modes_supported", "query"),
        ("response_modes_supported", "form_post"),
        ("grant_types_supported", "authorization_code"),
        ("grant_types_supported", "refresh_token"),
        ("subject_types_supported", "public"),
        ("id_token_signing_alg_values_supported", "RS256"),
        ("scopes_supported", "openid"),
        ("claims_supported", "sub"),
        ("code_challenge_methods_supported", "S256"),
        ("token_endpoint_auth_methods_supported", "client_secret_basic"),
        ("token_endpoint_auth_methods_supported", "client_secret_post"),
    ] {
        has(name, value);
    }
    for endpoint in ["authorization", "token", "userinfo", "end_session"] {
        let url = text(&said, &format!("{endpoint}_endpoint"));
        assert!(url.starts_with(&at.house.base), "{url}");
    }
    for flag in ["backchannel_logout_supported", "backchannel_logout_session_supported"] {
        assert_eq!(said[flag], true, "{flag}");
    }
    // Absent, the second would be true (Discovery 3).
    for flag in
        ["request_parameter_supported", "request_uri_parameter_supported", "claims_parameter_supported"]
    {
        assert_eq!(said[flag], false, "{flag}");
    }
    assert!(said.get("registration_endpoint").is_none());
    let jwks: Value = at.house.http.get(text(&said, "jwks_uri")).send().await.unwrap().json().await.unwrap();
    for key in jwks["keys"].as_array().unwrap() {
        assert!(key["kid"].is_string() && key["alg"].is_string() && key["use"] == "sig", "{key}");
        assert!(["d", "p", "q", "k"].iter().all(|private| key.get(*private).is_none()), "{key}");
    }
}

/// A sign-in of an app that is told where its people go afterwards.
async fn signed_in(at: &At) -> SignedIn {
    at.set(json!({"post_logout_redirect_uris": [LEFT]})).await;
    at.sign_in(&[]).await
}

async fn leave(at: &At, person: &mut SignedIn, fields: &[(&str, &str)]) -> Page {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    person.browser.get_once(&at.house.url(&format!("/oauth2/logout?{query}"))).await.unwrap()
}

/// Whether a session still answers for the person.
async fn is_there(at: &At, person: &mut SignedIn) -> bool {
    let said = at.at_once(&mut person.browser, &at.url(&[("prompt", "none")])).await;
    match said.get("error") {
        Some(error) => assert_eq!(error, "login_required"),
        None => assert!(said.contains_key("code")),
    }
    said.contains_key("code")
}

/// The same token, signed by nobody.
fn unsigned(jwt: &str) -> String {
    let payload = jwt.split('.').nth(1).unwrap();
    format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#))
}

/// The same token by a key of somebody else's.
fn foreign(jwt: &str) -> String {
    let (input, signature) = jwt.rsplit_once('.').unwrap();
    let turned: Vec<u8> = URL_SAFE_NO_PAD.decode(signature).unwrap().into_iter().rev().collect();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(turned))
}

/// `kind` is what stands behind `oidcc-rp-initiated-logout`.
pub async fn leaves(at: &At, kind: &str) {
    let mut person = signed_in(at).await;
    let hint = text(&person.tokens, "id_token").to_owned();
    let (none, other) = (unsigned(&hint), foreign(&hint));
    let (to, state) = (("post_logout_redirect_uri", LEFT), ("state", "left-state"));
    let hinted = ("id_token_hint", hint.as_str());
    let added = format!("{LEFT}?foo=bar");
    let back = format!("{LEFT}?state=left-state");
    match kind {
        "" => goes_back(at, &mut person, &[hinted, to, state], &back).await,
        "-no-state" => goes_back(at, &mut person, &[hinted, to], LEFT).await,
        "-no-post-logout-redirect-uri" => {
            let page = leave(at, &mut person, &[hinted, state]).await;
            assert_eq!((page.status, page.header("location")), (200, None), "signed out, and told so");
            assert!(!is_there(at, &mut person).await);
        }
        "-no-params" => asks_first(at, &mut person, &[]).await,
        "-only-state" => asks_first(at, &mut person, &[state]).await,
        "-no-id-token-hint" => stays(at, &mut person, &[to, state], "logout.redirect_uri").await,
        "-bad-post-logout-redirect-uri" => {
            let bad = ("post_logout_redirect_uri", "http://localhost:1/elsewhere");
            stays(at, &mut person, &[hinted, bad, state], "logout.redirect_uri").await;
        }
        "-query-added-to-post-logout-redirect-uri" => {
            let added = ("post_logout_redirect_uri", added.as_str());
            stays(at, &mut person, &[hinted, added, state], "logout.redirect_uri").await;
        }
        "-modified-id-token-hint" => {
            stays(at, &mut person, &[("id_token_hint", &none), to, state], "logout.hint").await;
        }
        "-bad-id-token-hint" => {
            stays(at, &mut person, &[("id_token_hint", &other), to, state], "logout.hint").await;
        }
        _ => panic!("{kind} is run by nothing"),
    }
}

async fn goes_back(at: &At, person: &mut SignedIn, fields: &[(&str, &str)], to: &str) {
    assert!(is_there(at, person).await);
    let page = leave(at, person, fields).await;
    assert_eq!((page.status, page.header("location")), (303, Some(to)), "{}", page.body);
    assert!(!is_there(at, person).await);
}

/// Nobody says which session: the person does (RP-Initiated Logout 2), and is then signed out.
async fn asks_first(at: &At, person: &mut SignedIn, fields: &[(&str, &str)]) {
    let page = leave(at, person, fields).await;
    let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
    assert!(is_there(at, person).await, "not before the answer");
    let left = person.browser.submit(&page, &form, &[]).await.unwrap();
    assert_eq!(left.status, 200, "{}", left.body);
    assert!(!is_there(at, person).await);
}

/// A page that says what is wrong, no way back, and nothing ended.
async fn stays(at: &At, person: &mut SignedIn, fields: &[(&str, &str)], code: &str) {
    let page = leave(at, person, fields).await;
    assert_eq!((page.status, page.header("x-vestibule-code")), (400, Some(code)));
    assert_eq!(page.header("location"), None);
    assert!(is_there(at, person).await);
}

pub async fn back_channel(at: &At) {
    let ears = Served::start(|_| Reply::status(200)).await;
    at.set(json!({"backchannel_logout_uri": ears.url})).await;
    let mut person = signed_in(at).await;
    let hint = text(&person.tokens, "id_token").to_owned();
    let fields =
        [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", LEFT), ("state", "left-state")];
    goes_back(at, &mut person, &fields, &format!("{LEFT}?state=left-state")).await;
    let heard = ears.wait_for(1).await;
    assert_eq!(heard[0].header("content-type"), "application/x-www-form-urlencoded");
    let form: Vec<(String, String)> = form_urlencoded::parse(&heard[0].body).into_owned().collect();
    let [(name, jwt)] = form.as_slice() else { panic!("{form:?}") };
    assert_eq!(name, "logout_token");
    assert_eq!(at.signed(jwt).await["typ"], "logout+jwt");
    let (told, id) = (claims(jwt), &person.id);
    for same in ["iss", "aud", "sub", "sid"] {
        assert_eq!(told[same], id[same], "{same}");
    }
    assert!(told["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(
        told["jti"].is_string()
            && told["iat"].is_i64()
            && told["exp"].is_i64()
            && told.get("nonce").is_none()
    );
}
