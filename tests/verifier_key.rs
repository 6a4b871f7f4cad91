//! The apps' verifier, proven by a private key instead of a secret, against the house: its assertions are what the
//! gateway takes, of every kind of key.

use crate::house::{
    House, Site,
    walk::{text, tokens},
};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64},
};
use serde_json::{Value, json};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};
use vestibule_verifier::{Action, Denied, Mode, Verifier};

/// A house apart, as for other verifiers.
fn house() -> &'static House {
    static APART: OnceLock<&'static House> = OnceLock::new();
    APART.get_or_init(|| Site::named("keyed-verifiers").open())
}

/// Every kind: PKCS #8, and the public key as it is registered.
fn keys() -> [(Vec<u8>, Value); 3] {
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = ec.public_key().as_ref();
    let ed = Ed25519KeyPair::generate().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_der: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    // RFC 8017 A.1.1, of 2048 bits: two headers and a leading zero, then n; e is 65537.
    let n = &rsa.public_key().as_ref()[9..265];
    [
        (
            ec.to_pkcs8v1().unwrap().as_ref().to_vec(),
            json!({"kty": "EC", "crv": "P-256", "x": B64.encode(&point[1..33]), "y": B64.encode(&point[33..])}),
        ),
        (
            ed.to_pkcs8().unwrap().as_ref().to_vec(),
            json!({"kty": "OKP", "crv": "Ed25519", "x": B64.encode(ed.public_key().as_ref())}),
        ),
        (rsa_der.as_ref().to_vec(), json!({"kty": "RSA", "n": B64.encode(n), "e": "AQAB"})),
    ]
}

#[tokio::test]
async fn a_verifier_with_a_key_follows_the_feed_and_acknowledges_it() {
    let house = house();
    let tenant = house.tenant().await;
    for (der, mut jwk) in keys() {
        jwk["kid"] = json!("1");
        let app = json!({
            "name": "keyed", "redirect_uris": ["https://a.example/cb"], "orgs": [tenant.org],
            "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [jwk]},
        });
        let (status, made) = house.api("POST", &house.platform_key, "/apps", Some(app)).await;
        assert_eq!(status, 201, "{made}");
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&der));
        // Tokens of the tenant's app, by a client of its own.
        let audience = tenant.app.id.to_string();
        let builder = Verifier::builder(&house.base, &audience).client_key(
            text(&made, "client_id"),
            pem.as_bytes(),
            Some("1"),
        );
        let verifier = builder.mode(Mode::Strict).start().await.expect("the gateway takes its assertions");
        let given = tokens(house, &tenant).await;
        let token = text(&given, "access_token");
        let claims = verifier.verify(token).await.unwrap();
        let path = format!("/orgs/{}/users/{}", tenant.org, claims.sub());
        let (status, _) = house.api("POST", &tenant.org_key, &format!("{path}/revoke"), None).await;
        assert!(status < 300);
        let start = Instant::now();
        while verifier.verify(token).await != Err(Denied::Revoked(Action::Terminate)) {
            assert!(start.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let receipts = format!("{path}/deprovisionings");
        let told = async || {
            let (_, said) = house.api("GET", &tenant.org_key, &receipts, None).await;
            let apps = said["data"][0]["apps"].as_array().cloned().unwrap_or_default();
            apps.iter().any(|app| app["client_id"] == made["client_id"] && app["feed"].is_object())
        };
        while !told().await {
            assert!(start.elapsed() < Duration::from_secs(10), "its acknowledgement arrives too");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
