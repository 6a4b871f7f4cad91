use super::*;
use crate::provider::Transport;
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaKeyPair,
    },
};
use serde_json::json;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const AT: i64 = 1_800_000_000;
const ISSUER: &str = "https://idp.example";

enum Key {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed(Ed25519KeyPair),
}

struct Idp {
    key: Key,
    alg: &'static str,
}

impl Idp {
    fn ec() -> Self {
        Self { key: Key::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()), alg: "ES256" }
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match &self.key {
            Key::Ec(pair) => pair.sign(&rng, message).unwrap().as_ref().to_vec(),
            Key::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                if self.alg == "PS256" {
                    pair.sign(&RSA_PSS_SHA256, &rng, message, &mut out).unwrap();
                } else {
                    pair.sign(&RSA_PKCS1_SHA256, &rng, message, &mut out).unwrap();
                }
                out
            }
        }
    }
    fn jwk(&self) -> Value {
        match &self.key {
            Key::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty":"EC","crv":"P-256","x":encode(&point[1..33]),"y":encode(&point[33..]),"kid":"k1"})
            }
            Key::Ed(pair) => {
                json!({"kty":"OKP","crv":"Ed25519","x":encode(pair.public_key().as_ref()),"kid":"k1"})
            }
            Key::Rsa(pair) => {
                // RSAPublicKey of 2048 bits: the modulus stands behind nine bytes of DER.
                let der = pair.public_key().as_ref();
                json!({"kty":"RSA","n":encode(&der[9..265]),"e":"AQAB","kid":"k1"})
            }
        }
    }
    fn jwks(&self) -> Jwks {
        Jwks::parse(json!({ "keys": [self.jwk()] }).to_string().as_bytes()).unwrap()
    }
    fn token(&self, header: &Value, payload: &str) -> String {
        let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload.as_bytes()));
        format!("{input}.{}", encode(&self.sign(input.as_bytes())))
    }
    fn signed(&self, claims: &Value) -> String {
        self.token(&json!({"alg":self.alg,"typ":"JWT","kid":"k1"}), &claims.to_string())
    }
}

fn provider_of(issuer: &str) -> Provider {
    let document = json!({
        "issuer": issuer, "authorization_endpoint": "https://idp.example/a",
        "token_endpoint": "https://idp.example/t", "jwks_uri": "https://idp.example/k",
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA", "HS256", "none"],
    });
    Provider::parse(document.to_string().as_bytes(), issuer, Transport::HttpsOnly).unwrap()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "u-1", "aud": "client", "exp": AT + 300, "iat": AT, "nonce": "n1",
        "email": "ada@example.com", "email_verified": true, "name": "Ada", "groups": ["g1"], "acr": "mfa", "amr": ["otp"]})
}

fn with(name: &str, value: Value) -> Value {
    let mut changed = claims();
    changed[name] = value;
    changed
}

fn without(name: &str) -> Value {
    let mut changed = claims();
    changed.as_object_mut().unwrap().remove(name);
    changed
}

fn expectation() -> Expectation<'static> {
    Expectation {
        connection: ConnectionId::from_uuid(Uuid::from_u128(1)),
        client_id: "client",
        nonce: "n1",
        access_token: "at",
        begun_at: NOW,
        authenticated_since: None,
        trust_email: false,
        groups_claim: Some("groups"),
    }
}

fn judge(idp: &Idp, token: &str) -> Result<AcceptedIdentity, &'static str> {
    accept(token, &provider_of(ISSUER), &idp.jwks(), &expectation(), NOW).map_err(|refusal| refusal.code)
}

#[test]
fn a_good_token_of_each_algorithm_is_accepted() {
    let rsa = || Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let ed = Key::Ed(Ed25519KeyPair::generate().unwrap());
    for idp in [
        Idp::ec(),
        Idp { key: rsa(), alg: "RS256" },
        Idp { key: rsa(), alg: "PS256" },
        Idp { key: ed, alg: "EdDSA" },
    ] {
        let identity =
            judge(&idp, &idp.signed(&claims())).unwrap_or_else(|code| panic!("{} {code}", idp.alg));
        assert_eq!((identity.subject.as_str(), identity.email.as_deref()), ("u-1", Some("ada@example.com")));
        assert_eq!((identity.groups.len(), identity.auth_time, identity.until), (1, NOW, None));
        let whole = digest::digest(&digest::SHA256, b"n1");
        assert_eq!(identity.single_use_key, format!("oidc:{}", encode(whole.as_ref())));
        assert_eq!(identity.single_use_until, NOW.plus_secs(300 + SKEW_SECS));
    }
}

#[test]
fn a_header_that_brings_a_key_or_another_algorithm_is_refused() {
    let idp = Idp::ec();
    let text = claims().to_string();
    for header in [
        json!({"alg":"none"}),
        json!({"alg":"HS256","kid":"k1"}),
        json!({"alg":"ES384","kid":"k1"}),
        json!({"kid":"k1"}),
        json!({"alg":"ES256","kid":"k1","crit":["exp"]}),
        json!({"alg":"ES256","kid":"k1","jwk":idp.jwk()}),
        json!({"alg":"ES256","kid":"k1","jku":"https://evil.example/k"}),
        json!({"alg":"ES256","kid":"k1","x5u":"https://evil.example/c"}),
        json!({"alg":"ES256","kid":"k1","x5c":["AAAA"]}),
        json!({"alg":"ES256","kid":"k1","typ":"at+jwt"}),
        json!({"alg":"ES256","kid":"k1","typ":"logout+jwt"}),
        json!({"alg":"ES256","kid":7}),
    ] {
        assert_eq!(judge(&idp, &idp.token(&header, &text)), Err("oidc.header"), "{header}");
    }
    assert!(judge(&idp, &idp.token(&json!({"alg":"ES256","x5t":"a"}), &text)).is_ok(), "no kid, one key");
}

#[test]
fn a_foreign_or_missing_signature_is_refused() {
    let (idp, other) = (Idp::ec(), Idp::ec());
    assert_eq!(judge(&idp, &other.signed(&claims())), Err("oidc.signature"));
    let token = idp.signed(&claims());
    let (input, _) = token.rsplit_once('.').unwrap();
    assert!(judge(&idp, &format!("{input}.")).is_err());
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), input.as_bytes());
    assert!(judge(&idp, &format!("{input}.{}", encode(mac.as_ref()))).is_err());
    let header = input.split('.').next().unwrap();
    let forged = encode(with("sub", json!("admin")).to_string().as_bytes());
    let signature = token.rsplit('.').next().unwrap();
    assert_eq!(judge(&idp, &format!("{header}.{forged}.{signature}")), Err("oidc.signature"));
    let unknown = idp.token(&json!({"alg":"ES256","kid":"k2"}), &claims().to_string());
    assert_eq!(judge(&idp, &unknown), Err("oidc.signature"));
    for bad in ["", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30"] {
        assert!(judge(&idp, bad).is_err(), "{bad}");
    }
    assert_eq!(judge(&idp, &"a".repeat(ID_TOKEN_BYTES_MAX + 1)), Err("oidc.id_token_malformed"));
    let twice = claims().to_string().replacen('{', r#"{"sub":"admin","#, 1);
    let twice = idp.token(&json!({"alg":"ES256","kid":"k1"}), &twice);
    assert_eq!(judge(&idp, &twice), Err("oidc.id_token_malformed"));
}

#[test]
fn a_claim_of_a_wrong_type_is_refused_never_absent() {
    let idp = Idp::ec();
    for name in ["exp", "iat", "auth_time", "nbf"] {
        for bad in [json!("1800000000"), json!(1.8e9), json!(-1), json!(null), json!([1]), json!({})] {
            assert_eq!(judge(&idp, &idp.signed(&with(name, bad.clone()))), Err("oidc.claim"), "{name} {bad}");
        }
    }
    for name in ["iss", "sub", "nonce", "azp", "acr", "email", "name", "given_name", "family_name", "at_hash"]
    {
        for bad in [json!(1), json!(null), json!(["x"])] {
            assert_eq!(judge(&idp, &idp.signed(&with(name, bad.clone()))), Err("oidc.claim"), "{name} {bad}");
        }
    }
    for name in ["aud", "amr", "groups"] {
        for bad in [json!(1), json!(null), json!([1]), json!({})] {
            assert_eq!(judge(&idp, &idp.signed(&with(name, bad.clone()))), Err("oidc.claim"), "{name} {bad}");
        }
    }
    assert_eq!(judge(&idp, &idp.signed(&with("email_verified", json!("false")))), Err("oidc.claim"));
    assert_eq!(
        judge(&idp, &idp.signed(&with("groups", json!(vec!["g"; GROUPS_MAX])))).map(|i| i.groups.len()),
        Ok(GROUPS_MAX)
    );
    assert_eq!(
        judge(&idp, &idp.signed(&with("groups", json!(vec!["g"; GROUPS_MAX + 1])))),
        Err("oidc.claim")
    );
    for name in ["iss", "sub", "exp", "iat"] {
        assert_eq!(judge(&idp, &idp.signed(&without(name))), Err("oidc.claim"), "{name}");
    }
}

#[test]
fn issuer_audience_and_nonce_are_held() {
    let idp = Idp::ec();
    let code = |claims: Value| judge(&idp, &idp.signed(&claims)).map(|_| ());
    assert_eq!(code(with("iss", json!("https://idp.example/"))), Err("oidc.issuer"));
    for (aud, azp, held) in [
        (json!("client"), None, true),
        (json!(["client"]), None, true),
        (json!(["client", "api"]), Some("client"), true),
        (json!(["client", "api"]), None, false),
        (json!(["client", "api"]), Some("api"), false),
        (json!("client"), Some("other"), false),
        (json!("other"), Some("client"), false),
        (json!([]), Some("client"), false),
    ] {
        let mut changed = with("aud", aud.clone());
        if let Some(azp) = azp {
            changed["azp"] = json!(azp);
        }
        assert_eq!(code(changed), if held { Ok(()) } else { Err("oidc.audience") }, "{aud} {azp:?}");
    }
    assert_eq!(code(without("aud")), Err("oidc.audience"));
    assert_eq!(code(with("nonce", json!("n2"))), Err("oidc.nonce"));
    assert_eq!(code(without("nonce")), Err("oidc.nonce"));
    for bad in
        ["".to_owned(), " ".to_owned(), "a ".to_owned(), "a".repeat(256), "ü".to_owned(), "a\nb".to_owned()]
    {
        assert_eq!(code(with("sub", json!(bad))), Err("oidc.subject"), "{bad}");
    }
    assert_eq!(code(with("sub", json!("a".repeat(255)))), Ok(()));
}

#[test]
fn times_hold_to_the_second_with_their_skew() {
    let idp = Idp::ec();
    let code = |name: &str, value: i64| judge(&idp, &idp.signed(&with(name, json!(value)))).map(|_| ());
    assert_eq!(code("exp", AT - SKEW_SECS + 1), Ok(()));
    assert_eq!(code("exp", AT - SKEW_SECS), Err("oidc.expired"));
    for name in ["iat", "nbf"] {
        assert_eq!(code(name, AT + SKEW_SECS), Ok(()));
        assert_eq!(code(name, AT + SKEW_SECS + 1), Err("oidc.issued_in_future"));
    }
    assert_eq!(code("auth_time", AT + SKEW_SECS + 1), Err("oidc.auth_time"));
    assert_eq!(code("session_expiry", AT + 1), Ok(()));
    for bad in
        [json!(AT), json!((AT + 300) * 1_000), json!("1800000300"), json!(1.8e9), json!(null), json!(-1)]
    {
        let token = idp.signed(&with("session_expiry", bad.clone()));
        assert_eq!(judge(&idp, &token), Err("oidc.session_expiry"), "{bad}");
    }
}

#[test]
fn a_token_is_of_this_attempt_and_of_this_day() {
    let idp = Idp::ec();
    let code = |name: &str, value: i64| judge(&idp, &idp.signed(&with(name, json!(value)))).map(|_| ());
    assert_eq!(code("exp", AT + SKEW_SECS + LIFE_SECS_MAX), Ok(()));
    assert_eq!(code("exp", AT + SKEW_SECS + LIFE_SECS_MAX + 1), Err("oidc.expires_too_late"));
    for bad in [(AT + 300) * 1_000, 2 * AT] {
        assert_eq!(code("exp", bad), Err("oidc.expires_too_late"), "{bad}");
    }
    assert_eq!(code("iat", AT - SKEW_SECS), Ok(()));
    assert_eq!(code("iat", AT - SKEW_SECS - 1), Err("oidc.issued_too_early"));
}

#[test]
fn a_text_has_no_nul_and_an_end() {
    let idp = Idp::ec();
    let code = |name: &str, value: Value| judge(&idp, &idp.signed(&with(name, value))).map(|_| ());
    for name in ["name", "given_name", "family_name", "email", "acr", "sub", "iss", "nonce", "azp", "at_hash"]
    {
        assert_eq!(code(name, json!("x\0y")), Err("oidc.claim"), "{name}");
    }
    for name in ["amr", "groups", "aud"] {
        assert_eq!(code(name, json!(["x\0y"])), Err("oidc.claim"), "{name}");
    }
    for (name, max) in
        [("name", TEXT_BYTES_MAX), ("given_name", TEXT_BYTES_MAX), ("acr", METHOD_BYTES_MAX), ("email", 254)]
    {
        assert_eq!(code(name, json!("x".repeat(max))), Ok(()), "{name}");
        assert_eq!(code(name, json!("x".repeat(max + 1))), Err("oidc.claim"), "{name}");
    }
    for (name, max) in [("amr", METHOD_BYTES_MAX), ("groups", GROUP_BYTES_MAX)] {
        assert_eq!(code(name, json!(["x".repeat(max)])), Ok(()), "{name}");
        assert_eq!(code(name, json!(["x".repeat(max + 1)])), Err("oidc.claim"), "{name}");
    }
    assert_eq!(code("amr", json!(vec!["pwd"; AMR_MAX])), Ok(()));
    assert_eq!(code("amr", json!(vec!["pwd"; AMR_MAX + 1])), Err("oidc.claim"));
}

#[test]
fn a_recent_sign_in_that_was_asked_for_must_be_said() {
    let idp = Idp::ec();
    let asked = Expectation { authenticated_since: Some(NOW.minus_secs(100)), ..expectation() };
    let code = |claims: Value| {
        let judged = accept(&idp.signed(&claims), &provider_of(ISSUER), &idp.jwks(), &asked, NOW);
        judged.map(|_| ()).map_err(|refusal| refusal.code)
    };
    assert_eq!(code(claims()), Err("oidc.auth_time"));
    assert_eq!(code(with("auth_time", json!(AT - 100 - SKEW_SECS))), Ok(()));
    assert_eq!(code(with("auth_time", json!(AT - 101 - SKEW_SECS))), Err("oidc.auth_time"));
}

#[test]
fn at_hash_and_group_overage_are_held_and_doubtful_emails_dropped() {
    let idp = Idp::ec();
    let whole = digest::digest(&digest::SHA256, b"at");
    assert!(judge(&idp, &idp.signed(&with("at_hash", json!(encode(&whole.as_ref()[..16]))))).is_ok());
    assert_eq!(judge(&idp, &idp.signed(&with("at_hash", json!("AAAA")))), Err("oidc.at_hash"));
    let overage = with("_claim_names", json!({"groups":"src1"}));
    assert_eq!(judge(&idp, &idp.signed(&overage)), Err("oidc.groups_overage"));
    assert_eq!(judge(&idp, &idp.signed(&with("hasgroups", json!(true)))), Err("oidc.groups_overage"));
    let email = |claims: Value, trust_email: bool| {
        let expect = Expectation { trust_email, ..expectation() };
        let token = idp.signed(&claims);
        accept(&token, &provider_of(ISSUER), &idp.jwks(), &expect, NOW).unwrap().email
    };
    assert!(email(claims(), false).is_some());
    assert_eq!(email(with("email_verified", json!(false)), true), None);
    assert_eq!(email(without("email_verified"), false), None);
    assert!(email(without("email_verified"), true).is_some());
}
