use super::*;
use crate::provider::Transport;
use std::collections::BTreeMap;

struct Sevens;
impl Chance for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn provider(answers_with_iss: bool) -> Provider {
    let document = serde_json::json!({
        "issuer": "https://idp.example", "authorization_endpoint": "https://idp.example/authorize?tenant=1",
        "token_endpoint": "https://idp.example/token", "jwks_uri": "https://idp.example/keys",
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "authorization_response_iss_parameter_supported": answers_with_iss,
    });
    Provider::parse(document.to_string().as_bytes(), "https://idp.example", Transport::HttpsOnly).unwrap()
}

fn ask() -> Ask<'static> {
    Ask {
        client_id: "client 1",
        redirect_uri: "https://sp.example/oidc/con_1/callback",
        scopes: &["email", "profile"],
        ..Ask::default()
    }
}

fn accepted(query: &str, promised: bool) -> Result<String, &'static str> {
    let ties = Ties { state: Secret::new("s1".into()), ..Ties::new(&Sevens) };
    let answer = Answer::parse(query).map_err(|refusal| refusal.code)?;
    answer
        .accept(&provider(promised), &ties)
        .map(|code| code.reveal().clone())
        .map_err(|refusal| refusal.code)
}

#[test]
fn the_url_asks_with_state_nonce_and_s256_and_forwards_the_apps_wishes() {
    let ties = Ties { pkce_verifier: Secret::new("v".repeat(43)), ..Ties::new(&Sevens) };
    let acr = ["phr".to_owned(), "mfa".to_owned()];
    let asked = Ask {
        login_hint: Some("ada+1@example.com"),
        prompt: Some(Prompt::Login),
        max_age_secs: Some(60),
        acr_values: &acr,
        ui_locales: Some("de en"),
        ..ask()
    };
    let url = authorization_url(&provider(true), &asked, &ties).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let query: BTreeMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(pairs.len(), query.len(), "nothing twice");
    let challenge = encode(digest::digest(&digest::SHA256, ties.pkce_verifier.reveal().as_bytes()).as_ref());
    for (name, value) in [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", "client 1"),
        ("redirect_uri", ask().redirect_uri),
        ("scope", "openid email profile"),
        ("state", ties.state.reveal()),
        ("nonce", ties.nonce.reveal()),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("login_hint", "ada+1@example.com"),
        ("prompt", "login"),
        ("max_age", "60"),
        ("acr_values", "phr mfa"),
        ("ui_locales", "de en"),
    ] {
        assert_eq!(query.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!url.as_str().contains(ties.pkce_verifier.reveal().as_str()));
}

#[test]
fn an_answer_is_held_to_its_state_and_issuer() {
    let iss = "iss=https%3A%2F%2Fidp.example";
    assert_eq!(accepted(&format!("state=s1&code=c%2B1&{iss}"), true), Ok("c+1".into()));
    assert_eq!(accepted("state=s1&code=c", false), Ok("c".into()));
    assert_eq!(accepted("state=s1&code=c", true), Err("oidc.answer_iss"), "promised, but missing");
    for promised in [true, false] {
        let evil = "state=s1&code=c&iss=https%3A%2F%2Fevil.example";
        assert_eq!(accepted(evil, promised), Err("oidc.answer_iss"));
        assert_eq!(accepted(&format!("state=s2&code=c&{iss}"), promised), Err("oidc.state"));
        assert_eq!(
            accepted(&format!("state=s1&error=access_denied&{iss}"), promised),
            Err("oidc.provider_error")
        );
    }
    assert_eq!(accepted("state=s1&error=x", true), Err("oidc.answer_iss"), "on errors too");
}

#[test]
fn a_malformed_answer_is_refused() {
    for bad in [
        "",
        "code=c",
        "state=s1",
        "state=&code=c",
        "state=s1&code=",
        "state=s1&code=c&code=d",
        "state=s1&state=s1&code=c",
        "state=s1&code=c&iss=a&iss=a",
        "state=s1&code=c&error=e",
    ] {
        assert_eq!(accepted(bad, false), Err("oidc.answer_malformed"), "{bad}");
    }
    let stem = "state=s1&code=";
    let long = |more: usize| format!("{stem}{}", "c".repeat(ANSWER_BYTES_MAX - stem.len() + more));
    assert!(accepted(&long(0), false).is_ok());
    assert_eq!(accepted(&long(1), false), Err("oidc.answer_malformed"));
}

#[test]
fn the_token_request_proves_the_client_once_and_brings_the_verifier() {
    let (secret, code, ties) = (Secret::new("p:w d".into()), Secret::new("c&1".into()), Ties::new(&Sevens));
    let basic = token_request(&provider(true), &ask(), &ClientAuth::Basic(&secret), &code, &ties);
    assert_eq!(basic.url.as_str(), "https://idp.example/token");
    let expected = format!("Basic {}", STANDARD.encode("client+1:p%3Aw+d"));
    assert_eq!(basic.authorization.as_ref().unwrap().reveal(), &expected);
    assert!(!basic.body.reveal().contains("client_secret"));
    let post = token_request(&provider(true), &ask(), &ClientAuth::Post(&secret), &code, &ties);
    assert!(post.authorization.is_none());
    for part in ["grant_type=authorization_code", "code=c%261", "client_secret=p%3Aw+d"] {
        assert!(post.body.reveal().split('&').any(|have| have == part), "{part}");
    }
    assert!(post.body.reveal().contains(&format!("code_verifier={}", ties.pkce_verifier.reveal())));
    assert!(!format!("{post:?}{basic:?}").contains("p%3Aw"), "secrets do not print");
}

#[test]
fn a_token_response_needs_an_id_token_and_says_the_providers_error() {
    let good = br#"{"access_token":"a","token_type":"Bearer","id_token":"x.y.z","expires_in":5}"#;
    let answer = token_response(200, good).unwrap();
    assert_eq!((answer.id_token.reveal().as_str(), answer.access_token.reveal().as_str()), ("x.y.z", "a"));
    let refusal = token_response(400, br#"{"error":"invalid_grant"}"#).unwrap_err();
    assert_eq!((refusal.code, refusal.facts.len()), ("oidc.token_error", 2));
    assert_eq!(token_response(302, good).unwrap_err().code, "oidc.token_error");
    for bad in [
        r#"{"access_token":"a","token_type":"Bearer"}"#,
        r#"{"access_token":"a","token_type":"Bearer","id_token":7}"#,
        r#"{"token_type":"Bearer","id_token":"x"}"#,
        r#"{"access_token":"a","token_type":"Bearer","id_token":"x","id_token":"y"}"#,
        "",
        "<html>",
    ] {
        assert_eq!(token_response(200, bad.as_bytes()).unwrap_err().code, "oidc.token_response", "{bad}");
    }
    assert_eq!(
        token_response(200, &vec![b' '; TOKEN_RESPONSE_BYTES_MAX + 1]).unwrap_err().code,
        "oidc.token_response"
    );
}
