//! An app without a secret: each request carries an assertion of its own, and what is no key is refused at once.

use crate::fake::{AUDIENCE, Asked, Gateway, until};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::KeySize,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use vestibule_verifier::{Action, Denied, Mode, StartError, Verifier};

fn pem(der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der)).into_bytes()
}

fn key() -> (Vec<u8>, Vec<u8>) {
    let pair = Ed25519KeyPair::generate().unwrap();
    (pem(pair.to_pkcs8().unwrap().as_ref()), pair.public_key().as_ref().to_vec())
}

#[tokio::test]
async fn the_feed_its_acknowledgements_and_questions_are_asked_by_assertions() {
    let gateway = Gateway::start().await;
    let (private, public) = key();
    gateway.set(|state| state.key = Some(public));
    let builder = Verifier::builder(&gateway.base, AUDIENCE).client_key(AUDIENCE, &private, Some("1"));
    assert!(!format!("{builder:?}").contains("PRIVATE"));
    let verifier = builder.mode(Mode::Strict).start().await.expect("it is known by its key");
    let token = gateway.token(json!({}));
    assert!(verifier.verify(&token).await.is_ok());
    gateway.revoke("org_1", 6, "usr:usr_1", "terminate");
    until(5, async || verifier.verify(&token).await == Err(Denied::Revoked(Action::Terminate))).await;
    until(5, async || !gateway.state.lock().unwrap().acks.is_empty()).await;
    gateway.set(|state| (state.feed, state.asked) = (false, Asked::Active));
    let other = gateway.token(json!({"sub": "usr_2", "sid": "ses_2", "jti": "evt_2"}));
    until(5, async || verifier.verify(&other).await.is_ok() && gateway.count("/oauth2/introspect") > 0).await;
    assert!(gateway.state.lock().unwrap().used.len() >= 4);
}

#[tokio::test]
async fn another_key_is_a_wrong_client_and_what_is_no_key_is_said_at_once() {
    let gateway = Gateway::start().await;
    gateway.set(|state| state.key = Some(key().1));
    let builder = |pem: &[u8]| Verifier::builder(&gateway.base, AUDIENCE).client_key(AUDIENCE, pem, None);
    assert_eq!(builder(&key().0).start().await.err(), Some(StartError::WrongClient));
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    for wrong in [Vec::new(), b"secret".to_vec(), pem(b"none"), pem(p384.to_pkcs8v1().unwrap().as_ref())] {
        assert!(matches!(builder(&wrong).build().err(), Some(StartError::ClientKey(_))));
    }
    let rsa: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    assert!(builder(&pem(rsa.as_ref())).build().is_ok());
}
