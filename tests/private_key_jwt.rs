//! Apps that prove themselves by a key of their own, wherever an app proves itself; and every assertion that
//! proves nothing. The judge's own cases stand beside it, in src/token.

use crate::house::{
    House, Tenant, TestApp, VERIFIER, authorize_url, house, now,
    walk::{param, text, to_the_acs, tokens},
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use idp_fixtures::Browser;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use token::client_assertion::TYPE;

static JTI: AtomicU32 = AtomicU32::new(0);

/// An app with a key, registered by API.
struct Signer {
    id: String,
    key: Ed25519KeyPair,
}

fn jwk(key: &Ed25519KeyPair) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(key.public_key().as_ref()), "kid": "1"})
}

impl Signer {
    async fn register(house: &House, tenant: &Tenant) -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        let app = json!({
            "name": "signer", "redirect_uris": [tenant.app.redirect_uri], "orgs": [tenant.org],
            "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [jwk(&key)]},
        });
        let (status, made) = house.api("POST", &house.platform_key, "/apps", Some(app)).await;
        assert_eq!(status, 201, "{made}");
        assert!(made.get("client_secret").is_none(), "{made}");
        Self { id: text(&made, "client_id").to_owned(), key }
    }

    fn claims(&self, house: &House) -> Value {
        let (at, jti) = (now().secs(), JTI.fetch_add(1, Ordering::Relaxed));
        json!({"iss": self.id, "sub": self.id, "aud": house.gw.links.issuer(), "iat": at, "exp": at + 60,
               "jti": format!("jti-{jti}")})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| B64.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        format!("{input}.{}", B64.encode(self.key.sign(input.as_bytes()).as_ref()))
    }

    fn assertion(&self, house: &House) -> String {
        self.sign(&json!({"alg": "EdDSA", "typ": "JWT", "kid": "1"}), &self.claims(house))
    }

    /// A form with a new assertion.
    async fn post(&self, house: &House, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        post(house, path, &self.assertion(house), form).await
    }
}

async fn send(house: &House, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request =
        house.http.post(house.url(path)).header("content-type", "application/x-www-form-urlencoded");
    let sent = request.body(body).send().await.unwrap();
    let status = sent.status().as_u16();
    (status, serde_json::from_str(&sent.text().await.unwrap()).unwrap_or_default())
}

async fn post(house: &House, path: &str, assertion: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let own = [("client_assertion_type", TYPE), ("client_assertion", assertion)];
    send(house, path, &[&own, form].concat()).await
}

/// What is said of an assertion where nothing else can be wrong.
async fn judged(house: &House, assertion: &str) -> (u16, String) {
    let (status, said) = post(house, "/oauth2/introspect", assertion, &[("token", "none")]).await;
    (status, said["error_description"].as_str().unwrap_or("accepted").to_owned())
}

const REFUSED: u16 = 401;

#[tokio::test]
async fn a_key_is_good_wherever_an_app_proves_itself() {
    let house = house();
    let tenant = house.tenant().await;
    let signer = Signer::register(house, &tenant).await;
    // A session, and a code of the app's own from it.
    let mut door = to_the_acs(house, &tenant).await;
    door.post().await;
    let start = authorize_url(house, &tenant, &[("prompt", "none"), ("client_id", &signer.id)]);
    let code = param(&door.browser.get_once(&start).await.unwrap(), "code");
    let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let (status, given) = signer.post(house, "/oauth2/token", &form).await;
    assert_eq!(status, 200, "{given}");
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&given, "refresh_token"))];
    let (status, given) = signer.post(house, "/oauth2/token", &form).await;
    assert_eq!(status, 200, "{given}");
    let access = [("token", text(&given, "access_token"))];
    let (status, said) = signer.post(house, "/oauth2/introspect", &access).await;
    assert_eq!((status, &said["active"]), (200, &json!(true)), "{said}");
    // The feed and its acknowledgement, as the bearer: a GET has no form.
    let url = house.url("/api/v1/revocations?wait_secs=0");
    let followed = house.http.get(&url).bearer_auth(signer.assertion(house)).send().await.unwrap();
    assert_eq!(followed.status(), 200);
    let cursor = text(&followed.json::<Value>().await.unwrap(), "cursor").to_owned();
    let ack = house.http.post(house.url("/api/v1/revocations/acks")).bearer_auth(signer.assertion(house));
    let ack = ack.header("content-type", "application/json").body(json!({"cursor": cursor}).to_string());
    assert_eq!(ack.send().await.unwrap().status(), 204);
    let form = [("token", text(&given, "refresh_token"))];
    let (status, _) = signer.post(house, "/oauth2/revoke", &form).await;
    assert_eq!(status, 200);
    let (_, said) = signer.post(house, "/oauth2/introspect", &access).await;
    assert_eq!(said["active"], false);
}

#[tokio::test]
async fn a_jti_is_used_once_wherever_and_by_two_at_once() {
    let house = house();
    let tenant = house.tenant().await;
    let signer = Signer::register(house, &tenant).await;
    let replayed = (REFUSED, "oauth.assertion_replayed".to_owned());
    let used = signer.assertion(house);
    assert_eq!(judged(house, &used).await, (200, "accepted".to_owned()));
    assert_eq!(judged(house, &used).await, replayed);
    for path in ["/oauth2/token", "/oauth2/revoke"] {
        let form = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("token", "x")];
        let (status, said) = post(house, path, &used, &form).await;
        assert_eq!((status, &said["error_description"]), (401, &json!("oauth.assertion_replayed")), "{path}");
    }
    let url = house.url("/api/v1/revocations?wait_secs=0");
    let followed = house.http.get(&url).bearer_auth(&used).send().await.unwrap();
    assert_eq!(followed.status(), 401);
    assert_eq!(followed.json::<Value>().await.unwrap()["code"], "oauth.assertion_replayed");
    // In another signature over other claims the same `jti` is the same.
    let mut claims = signer.claims(house);
    claims["jti"] = json!("own");
    assert_eq!(judged(house, &signer.sign(&json!({"alg": "EdDSA"}), &claims)).await.0, 200);
    claims["exp"] = json!(now().secs() + 90);
    assert_eq!(judged(house, &signer.sign(&json!({"alg": "EdDSA"}), &claims)).await, replayed);
    // The curve's own name for the algorithm is as good (RFC 9864 2.2), and a `jti` no fresher for it.
    let named = json!({"alg": "Ed25519"});
    assert_eq!(judged(house, &signer.sign(&named, &signer.claims(house))).await.0, 200);
    assert_eq!(judged(house, &signer.sign(&named, &claims)).await, replayed);
    // Another app may have a `jti` of the same text.
    let other = Signer::register(house, &tenant).await;
    let mut claims = other.claims(house);
    claims["jti"] = json!("own");
    assert_eq!(judged(house, &other.sign(&json!({"alg": "EdDSA"}), &claims)).await.0, 200);
    // Twenty at once: one is first.
    let one = signer.assertion(house);
    let mut asked = Vec::new();
    for _ in 0..20 {
        let one = one.clone();
        asked.push(tokio::spawn(async move { judged(house, &one).await.0 }));
    }
    let mut first = 0;
    for each in asked {
        first += usize::from(each.await.unwrap() == 200);
    }
    assert_eq!(first, 1);
}

#[tokio::test]
async fn cve_2025_27370_an_audience_that_is_not_the_issuer_alone_is_refused_and_told() {
    let house = house();
    let tenant = house.tenant().await;
    let signer = Signer::register(house, &tenant).await;
    let issuer = house.gw.links.issuer();
    let token_url = house.gw.links.at("/oauth2/token");
    for bad in
        [json!([issuer]), json!([issuer, "https://evil.example"]), json!(token_url), json!("x"), json!(null)]
    {
        let mut claims = signer.claims(house);
        claims["aud"] = bad.clone();
        let said = judged(house, &signer.sign(&json!({"alg": "EdDSA"}), &claims)).await;
        assert_eq!(said, (REFUSED, "oauth.assertion_audience".to_owned()), "{bad}");
    }
}

#[tokio::test]
async fn case_15_to_20_an_assertion_that_proves_nothing_is_refused() {
    let house = house();
    let tenant = house.tenant().await;
    let (signer, other) = (Signer::register(house, &tenant).await, Signer::register(house, &tenant).await);
    let foreign = Signer { id: signer.id.clone(), key: Ed25519KeyPair::generate().unwrap() };
    let eddsa = json!({"alg": "EdDSA"});
    let changed = |name: &str, value: Value| {
        let mut claims = signer.claims(house);
        claims[name] = value;
        signer.sign(&eddsa, &claims)
    };
    let at = now().secs();
    let header = |header: Value| signer.sign(&header, &signer.claims(house));
    let unsigned =
        format!("{}.{}.", B64.encode(r#"{"alg":"none"}"#), B64.encode(signer.claims(house).to_string()));
    let access = text(&tokens(house, &tenant).await, "access_token").to_owned();
    for (assertion, code) in [
        (foreign.assertion(house), "oauth.invalid_client"),
        (unsigned, "oauth.assertion_header"),
        (header(json!({"alg": "HS256"})), "oauth.assertion_header"),
        (header(json!({"alg": "EdDSA", "jwk": jwk(&foreign.key)})), "oauth.assertion_header"),
        (header(json!({"alg": "EdDSA", "jku": "https://evil.example"})), "oauth.assertion_header"),
        (header(json!({"alg": "EdDSA", "crit": ["exp"]})), "oauth.assertion_header"),
        (header(json!({"alg": "EdDSA", "typ": "at+jwt"})), "oauth.assertion_header"),
        (header(json!({"alg": "EdDSA", "kid": "2"})), "oauth.invalid_client"),
        (changed("exp", json!(at - 1)), "oauth.assertion_expired"),
        (changed("exp", json!(at + 3_600)), "oauth.assertion_too_long_lived"),
        (changed("exp", json!(at * 1_000)), "oauth.assertion_too_long_lived"),
        (changed("exp", json!(at.to_string())), "oauth.assertion_claim"),
        (changed("iat", json!(at + 120)), "oauth.assertion_not_yet"),
        (changed("nbf", json!(at + 120)), "oauth.assertion_not_yet"),
        (changed("jti", json!("")), "oauth.assertion_claim"),
        (changed("iss", json!(other.id)), "oauth.assertion_subject"),
        // Another app by name: that app's keys are asked, and did not sign.
        (changed("sub", json!(other.id)), "oauth.invalid_client"),
        (changed("sub", json!(tenant.app.id)), "oauth.invalid_client"),
        (access, "oauth.invalid_client"),
        ("a.b.c".to_owned(), "oauth.invalid_client"),
    ] {
        assert_eq!(judged(house, &assertion).await, (REFUSED, code.to_owned()), "{assertion}");
    }
    assert_eq!(judged(house, &signer.assertion(house)).await.0, 200);
}

#[tokio::test]
async fn a_client_is_held_to_the_one_way_it_is_registered_with() {
    let house = house();
    let tenant = house.tenant().await;
    let signer = Signer::register(house, &tenant).await;
    let (path, token) = ("/oauth2/introspect", ("token", "none"));
    let code = |said: &Value| said["error"].as_str().unwrap_or_default().to_owned();
    // By a secret, or by nothing.
    let pretended =
        TestApp { id: signer.id.parse().unwrap(), secret: "x".into(), redirect_uri: String::new() };
    let (status, said) = house.as_app(&pretended, path, &[token]).await;
    assert_eq!((status, code(&said).as_str()), (401, "invalid_client"));
    let (status, said) = send(house, path, &[("client_id", &signer.id), ("client_secret", "x"), token]).await;
    assert_eq!((status, code(&said).as_str()), (401, "invalid_client"));
    let form = [("client_id", signer.id.as_str()), ("grant_type", "refresh_token"), ("refresh_token", "x")];
    let (status, said) = send(house, "/oauth2/token", &form).await;
    assert_eq!((status, code(&said).as_str()), (401, "invalid_client"));
    // One with a secret has no keys.
    let secretive = Signer { id: tenant.app.id.to_string(), key: Ed25519KeyPair::generate().unwrap() };
    assert_eq!(judged(house, &secretive.assertion(house)).await.1, "oauth.invalid_client");
    // Two ways at once.
    let assertion = signer.assertion(house);
    let (status, said) = post(house, path, &assertion, &[("client_secret", "x"), token]).await;
    assert_eq!((status, code(&said).as_str()), (400, "invalid_request"));
    let form = [("client_assertion_type", TYPE), ("client_assertion", assertion.as_str()), token];
    let (status, said) = house.as_app(&tenant.app, path, &form).await;
    assert_eq!((status, code(&said).as_str()), (400, "invalid_request"));
    // Another kind of assertion, none, or one for another client.
    for kind in ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"] {
        let form = [("client_assertion_type", kind), ("client_assertion", assertion.as_str()), token];
        let (status, said) = send(house, path, &form).await;
        assert_eq!((status, code(&said).as_str()), (400, "invalid_request"), "{kind}");
    }
    let (status, said) = send(house, path, &[("client_assertion_type", TYPE), token]).await;
    assert_eq!((status, code(&said).as_str()), (400, "invalid_request"));
    let other = tenant.app.id.to_string();
    let (status, said) = post(house, path, &assertion, &[("client_id", &other), token]).await;
    assert_eq!((status, code(&said).as_str()), (401, "invalid_client"));
    // None of this has used it up.
    let (status, said) = post(house, path, &assertion, &[("client_id", &signer.id), token]).await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test]
async fn keys_are_replaced_by_the_operator_and_a_private_one_is_never_taken() {
    let house = house();
    let tenant = house.tenant().await;
    let mut signer = Signer::register(house, &tenant).await;
    let (path, next) = (format!("/apps/{}", signer.id), Ed25519KeyPair::generate().unwrap());
    let set = |keys: Value| Some(json!({"jwks": {"keys": keys}}));
    let mut named = jwk(&next);
    named["kid"] = json!("2");
    let (status, said) =
        house.api("PATCH", &house.platform_key, &path, set(json!([jwk(&signer.key), named]))).await;
    assert_eq!((status, said["jwks"]["keys"].as_array().unwrap().len()), (200, 2), "{said}");
    assert_eq!(judged(house, &signer.assertion(house)).await.0, 200);
    let (status, _) = house.api("PATCH", &house.platform_key, &path, set(json!([jwk(&next)]))).await;
    assert_eq!(status, 200);
    assert_eq!(judged(house, &signer.assertion(house)).await.1, "oauth.invalid_client", "the old key");
    signer.key = next;
    assert_eq!(judged(house, &signer.assertion(house)).await.0, 200);
    let mut private = jwk(&signer.key);
    private["d"] = json!("AAAA");
    for keys in [json!([private]), json!([]), json!([{"kty": "oct", "k": "AAAA"}])] {
        let (status, said) = house.api("PATCH", &house.platform_key, &path, set(keys.clone())).await;
        assert_eq!((status, &said["code"]), (400, &json!("app.jwks")), "{keys}");
    }
    let other = format!("/apps/{}", tenant.app.id);
    let (status, said) =
        house.api("PATCH", &house.platform_key, &other, set(json!([jwk(&signer.key)]))).await;
    assert_eq!((status, &said["code"]), (400, &json!("app.jwks")), "it has a secret");
    let (status, said) =
        house.api("POST", &house.platform_key, &format!("{path}/rotate-secret"), Some(json!({}))).await;
    assert_eq!((status, &said["code"]), (409, &json!("app.no_secret")));
    let base = json!({"name": "a", "redirect_uris": ["https://a.example/cb"]});
    for (method, keys) in [("private_key_jwt", None), ("none", set(json!([jwk(&signer.key)])))] {
        let mut body = base.clone();
        body["token_endpoint_auth_method"] = json!(method);
        if let Some(keys) = keys {
            body["jwks"] = keys["jwks"].clone();
        }
        let (status, said) = house.api("POST", &house.platform_key, "/apps", Some(body)).await;
        assert_eq!((status, &said["code"]), (400, &json!("app.jwks")), "{method}");
    }
}

#[tokio::test]
async fn discovery_names_the_ways_and_algorithms() {
    let house = house();
    let mut browser = Browser::new().unwrap();
    let page = browser.get_once(&house.url("/.well-known/openid-configuration")).await.unwrap();
    let said: Value = serde_json::from_str(&page.body).unwrap();
    let ways = json!(["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]);
    assert_eq!(said["token_endpoint_auth_methods_supported"], ways);
    let algorithms = json!(["ES256", "EdDSA", "Ed25519", "RS256", "PS256"]);
    assert_eq!(said["token_endpoint_auth_signing_alg_values_supported"], algorithms);
    assert_eq!(said["introspection_endpoint_auth_signing_alg_values_supported"], algorithms);
}
