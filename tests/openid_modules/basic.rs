//! The happy flow and its tokens: ID token, userinfo, codes used twice, refresh, client authentication, PKCE.

use super::at::{Answer, At};
use crate::house::{
    VERIFIER,
    walk::{claims, text},
};
use idp_fixtures::Browser;
use serde_json::{Value, json};
use std::time::Duration;

pub async fn server(at: &At) {
    let mut browser = Browser::new().unwrap();
    // Beyond the suite: who asks without PKCE is told so, and gets no code (RFC 9700 2.1.1).
    let refused = at.at_once(&mut browser, &at.without("code_challenge")).await;
    assert_eq!(refused["error"], "invalid_request", "{refused:?}");
    let answer = at.through(&mut browser, &at.url(&[])).await;
    assert!(answer["code"].len() >= 43, "a code of 256 bits");
    let tokens = at.redeem(&answer).await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert!(tokens["expires_in"].as_i64().unwrap() > 0);
    let id = at.id_token(&tokens, Some("app-nonce")).await;
    for unasked in ["name", "given_name", "family_name", "email"] {
        assert!(id.get(unasked).is_none(), "{unasked} was not asked for");
    }
    let whole =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text(&tokens, "access_token").as_bytes());
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    assert_eq!(id["at_hash"], URL_SAFE_NO_PAD.encode(&whole.as_ref()[..16]));
}

/// RS256 for an app that is to be read by it alone; ES256 is what others get, and the suite's default is not ours.
pub async fn id_token_signature(at: &At) {
    at.set(json!({"id_token_signed_response_alg": "RS256"})).await;
    let signed_in = at.sign_in(&[]).await;
    let header = at.signed(text(&signed_in.tokens, "id_token")).await;
    assert_eq!(header["alg"], "RS256");
}

pub async fn userinfo(at: &At, method: &str) {
    let signed_in = at.sign_in(&[]).await;
    let request = at.house.http.request(method.parse().unwrap(), at.house.url("/oauth2/userinfo"));
    let (status, said) = at.userinfo(request.bearer_auth(text(&signed_in.tokens, "access_token"))).await;
    assert_eq!((status, &said["sub"]), (200, &signed_in.id["sub"]), "{said}");
}

pub async fn userinfo_by_body(at: &At) {
    let signed_in = at.sign_in(&[]).await;
    let token = text(&signed_in.tokens, "access_token");
    let url = at.house.url("/oauth2/userinfo");
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("access_token", token).finish();
    let post = |kind: &str| at.house.http.post(&url).header("content-type", kind).body(form.clone());
    let right = "application/x-www-form-urlencoded";
    let (status, said) = at.userinfo(post(right)).await;
    assert_eq!((status, &said["sub"]), (200, &signed_in.id["sub"]), "{said}");
    // Two tokens are one too many, another kind of body is none, and the query is never read (RFC 6750 2, 2.2, 2.3).
    let (status, said) = at.userinfo(post(right).bearer_auth(token)).await;
    assert_eq!((status, text(&said, "error")), (400, "invalid_request"));
    assert_eq!(at.userinfo(post("text/plain")).await.0, 401);
    assert_eq!(at.userinfo(at.house.http.get(format!("{url}?{form}"))).await.0, 401);
}

pub async fn scope(at: &At, scope: &str, told: &[&str]) {
    let signed_in = at.sign_in(&[("scope", scope)]).await;
    let (status, said) = at.tells(text(&signed_in.tokens, "access_token")).await;
    assert_eq!(status, 200, "{said}");
    for name in told {
        assert!(said[*name].is_string(), "{name} in {said}");
    }
    for other in ["email", "name", "given_name", "family_name"].iter().filter(|name| !told.contains(*name)) {
        assert!(said.get(*other).is_none(), "{other} was not asked for");
    }
}

pub async fn code_reused(at: &At, after_secs: u64) {
    let mut browser = Browser::new().unwrap();
    let answer = at.through(&mut browser, &at.url(&[])).await;
    let tokens = at.redeem(&answer).await;
    let access = text(&tokens, "access_token");
    assert_eq!(at.tells(access).await.0, 200);
    tokio::time::sleep(Duration::from_secs(after_secs)).await;
    let (status, said) = at.house.as_app(&at.tenant.app, "/oauth2/token", &at.grant(&answer)).await;
    assert_eq!((status, text(&said, "error")), (400, "invalid_grant"));
    // What the first use gave is gone (RFC 6749 4.1.2).
    assert_eq!(at.tells(access).await.0, 401);
}

pub async fn client_secret_post(at: &At) {
    let made = json!({"name": "posts", "redirect_uris": [at.tenant.app.redirect_uri], "orgs": "all",
        "token_endpoint_auth_method": "client_secret_post"});
    let (status, app) = at.house.api("POST", &at.house.platform_key, "/apps", Some(made)).await;
    assert_eq!(status, 201, "{app}");
    let (client, secret) = (text(&app, "client_id"), text(&app, "client_secret"));
    let answer = at.through(&mut Browser::new().unwrap(), &at.url(&[("client_id", client)])).await;
    let post = async |secret: &str| {
        let fields = [&at.grant(&answer)[..], &[("client_id", client), ("client_secret", secret)]].concat();
        token(at, &fields).await
    };
    let (status, said) = post("another").await;
    assert_eq!((status, text(&said, "error")), (401, "invalid_client"));
    let (status, tokens) = post(secret).await;
    assert_eq!(status, 200, "{tokens}");
    at.signed(text(&tokens, "id_token")).await;
    assert_eq!(claims(text(&tokens, "id_token"))["aud"], client);
}

/// A token request with nothing but its form.
async fn token(at: &At, fields: &[(&str, &str)]) -> (u16, Value) {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = at.house.http.post(at.house.url("/oauth2/token")).body(body);
    let sent = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    (sent.status().as_u16(), sent.json().await.unwrap())
}

pub async fn refresh_token(at: &At) {
    let signed_in = at.sign_in(&[("scope", "openid offline_access"), ("prompt", "consent")]).await;
    let grant =
        |token: &str| [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
    let refresh = async |app, token: &str| {
        let form = grant(token);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        at.house.as_app(app, "/oauth2/token", &form).await
    };
    let first = text(&signed_in.tokens, "refresh_token");
    let (status, next) = refresh(&at.tenant.app, first).await;
    assert_eq!(status, 200, "{next}");
    assert_ne!(next["access_token"], signed_in.tokens["access_token"]);
    assert_eq!(at.tells(text(&next, "access_token")).await.0, 200);
    // An ID token from a refresh is of the same person and sign-in (Core 12.2).
    if let Some(jwt) = next["id_token"].as_str() {
        at.signed(jwt).await;
        let again = claims(jwt);
        for same in ["iss", "sub", "aud", "auth_time"] {
            assert_eq!(again[same], signed_in.id[same], "{same}");
        }
    }
    // Another app has no use for it.
    let other = at.house.app(0).await;
    let (status, said) = refresh(&other, text(&next, "refresh_token")).await;
    assert_eq!((status, text(&said, "error")), (400, "invalid_grant"));
}

pub async fn pkce(at: &At) {
    let answer: Answer = at.through(&mut Browser::new().unwrap(), &at.url(&[])).await;
    let mut wrong = at.grant(&answer);
    let other = VERIFIER.replace('a', "b");
    wrong[3].1 = &other;
    let (status, said) = at.house.as_app(&at.tenant.app, "/oauth2/token", &wrong).await;
    assert_eq!((status, text(&said, "error")), (400, "invalid_grant"));
    let answer = at.through(&mut Browser::new().unwrap(), &at.url(&[])).await;
    at.redeem(&answer).await;
}
