use super::*;
use crate::{signing_key::SigningKey, text::encode};
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair},
};
use serde_json::json;
use uuid::Uuid;

const ISSUER: &str = "https://id.example";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn app() -> AppId {
    AppId::from_uuid(Uuid::from_u128(7))
}

fn set(jwks: &[Value]) -> ClientKeys {
    let keys: Vec<Map<String, Value>> = jwks.iter().map(|jwk| jwk.as_object().unwrap().clone()).collect();
    ClientKeys::read(&keys).unwrap()
}

fn right() -> Value {
    json!({"iss": app(), "sub": app(), "aud": ISSUER, "iat": NOW.secs(), "exp": NOW.secs() + 60, "jti": "1"})
}

fn input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

fn by(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let input = input(header, claims);
    let signature = key.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", encode(&signature))
}

fn code(jwt: &str, keys: &ClientKeys) -> &'static str {
    verify(jwt, keys, app(), ISSUER, NOW).map_or_else(|refusal| refusal.code, |_| "accepted")
}

/// What becomes of the right claims with this one changed; null takes it away.
fn with(name: &str, value: Value) -> &'static str {
    let key = SigningKey::generate(model::SigningAlg::Es256).unwrap();
    let mut claims = right();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    code(&by(&key, &json!({"alg": "ES256"}), &claims), &set(&[key.public().jwk()]))
}

#[test]
fn each_algorithm_is_verified_by_its_own_kind_of_key() {
    let (ec, random) = (SigningKey::generate(model::SigningAlg::Es256).unwrap(), SystemRandom::new());
    let ed = Ed25519KeyPair::generate().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // SEQUENCE and INTEGER of a 2048-bit key have headers of known length (RFC 8017 A.1.1).
    let (modulus, exponent) = (encode(&rsa.public_key().as_ref()[9..265]), encode(&[1, 0, 1]));
    let keys = set(&[
        ec.public().jwk(),
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode(ed.public_key().as_ref())}),
        json!({"kty": "RSA", "n": modulus, "e": exponent}),
    ]);
    assert_eq!(code(&by(&ec, &json!({"alg": "ES256", "typ": "JWT"}), &right()), &keys), "accepted");
    let eddsa = input(&json!({"alg": "EdDSA", "typ": "client-authentication+jwt"}), &right());
    let signature = encode(ed.sign(eddsa.as_bytes()).as_ref());
    assert_eq!(code(&format!("{eddsa}.{signature}"), &keys), "accepted");
    let mut made = vec![0; rsa.public_modulus_len()];
    let both: [(&str, &'static dyn RsaEncoding, &str); 2] =
        [("RS256", &RSA_PKCS1_SHA256, "PS256"), ("PS256", &RSA_PSS_SHA256, "RS256")];
    for (alg, encoding, other) in both {
        let text = input(&json!({"alg": alg}), &right());
        rsa.sign(encoding, &random, text.as_bytes(), &mut made).unwrap();
        let jwt = format!("{text}.{}", encode(&made));
        assert_eq!(code(&jwt, &keys), "accepted", "{alg}");
        // Held to one algorithm, a key takes the other no more.
        let held = json!({"kty": "RSA", "n": modulus, "e": exponent, "alg": alg});
        assert_eq!(code(&jwt, &set(std::slice::from_ref(&held))), "accepted", "{alg}");
        let held = json!({"kty": "RSA", "n": modulus, "e": exponent, "alg": other});
        assert_eq!(code(&jwt, &set(&[held])), "oauth.invalid_client", "{alg}");
    }
}

#[test]
fn case_15_none_hmac_and_header_members_that_bring_a_key_are_refused() {
    let (key, other) = (
        SigningKey::generate(model::SigningAlg::Es256).unwrap(),
        SigningKey::generate(model::SigningAlg::Es256).unwrap(),
    );
    let keys = set(&[key.public().jwk()]);
    let unsigned = format!("{}.", input(&json!({"alg": "none"}), &right()));
    assert_eq!(code(&unsigned, &keys), "oauth.assertion_header");
    let text = input(&json!({"alg": "HS256"}), &right());
    for secret in [key.public().jwk().to_string(), key.public().jwk()["x"].as_str().unwrap().to_owned()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
        assert_eq!(code(&format!("{text}.{}", encode(tag.as_ref())), &keys), "oauth.assertion_header");
    }
    for (name, value) in [
        ("jwk", other.public().jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/x5u")),
        ("x5c", json!(["AAAA"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("kid", json!(1)),
        ("typ", json!("at+jwt")),
        ("typ", json!("logout+jwt")),
        ("alg", json!("ES384")),
        ("alg", json!(null)),
    ] {
        let mut header = json!({"alg": "ES256"});
        header[name] = value;
        assert_eq!(code(&by(&key, &header, &right()), &keys), "oauth.assertion_header", "{header}");
        assert_ne!(code(&by(&other, &header, &right()), &keys), "accepted", "{header}");
    }
    assert_eq!(code(&by(&other, &json!({"alg": "ES256"}), &right()), &keys), "oauth.invalid_client");
}

#[test]
fn a_kid_picks_the_key_and_may_be_left_out_where_one_fits() {
    let (a, b) = (
        SigningKey::generate(model::SigningAlg::Es256).unwrap(),
        SigningKey::generate(model::SigningAlg::Es256).unwrap(),
    );
    let (one, two) = (set(&[a.public().jwk()]), set(&[a.public().jwk(), b.public().jwk()]));
    let named = |kid: &str| json!({"alg": "ES256", "kid": kid});
    assert_eq!(code(&by(&b, &named(b.kid()), &right()), &two), "accepted");
    assert_eq!(code(&by(&b, &named(a.kid()), &right()), &two), "oauth.invalid_client");
    assert_eq!(code(&by(&a, &named("other"), &right()), &two), "oauth.invalid_client");
    assert_eq!(code(&by(&a, &json!({"alg": "ES256"}), &right()), &two), "oauth.assertion_header");
    assert_eq!(code(&by(&a, &json!({"alg": "ES256"}), &right()), &one), "accepted");
}

#[test]
fn cve_2025_27370_the_audience_is_the_issuer_as_one_string() {
    assert_eq!(with("aud", json!(ISSUER)), "accepted");
    for bad in [
        json!([ISSUER]),
        json!([ISSUER, "https://other.example"]),
        json!("https://id.example/oauth2/token"),
        json!("https://id.example/"),
        json!("https://ID.example"),
        json!(""),
        json!({}),
        json!(null),
    ] {
        assert_eq!(with("aud", bad.clone()), "oauth.assertion_audience", "{bad}");
    }
}

#[test]
fn it_names_its_app_twice_and_no_other() {
    let other = AppId::from_uuid(Uuid::from_u128(8)).to_string();
    for name in ["iss", "sub"] {
        assert_eq!(with(name, json!(other)), "oauth.assertion_subject");
        assert_eq!(with(name, json!([app()])), "oauth.assertion_claim");
        assert_eq!(with(name, json!(null)), "oauth.assertion_claim");
    }
}

#[test]
fn case_16_it_lives_minutes_and_its_times_are_whole_seconds() {
    let now = NOW.secs();
    assert_eq!(with("exp", json!(now)), "oauth.assertion_expired", "at its very second");
    assert_eq!(with("exp", json!(now + 1)), "accepted");
    assert_eq!(with("exp", json!(now + LIFETIME_SECS_MAX)), "accepted");
    assert_eq!(with("exp", json!(now + LIFETIME_SECS_MAX + 1)), "oauth.assertion_too_long_lived");
    assert_eq!(with("exp", json!(now * 1_000)), "oauth.assertion_too_long_lived", "milliseconds");
    assert_eq!(with("exp", json!(i64::MAX)), "oauth.assertion_too_long_lived");
    assert_eq!(with("iat", json!(now - LIFETIME_SECS_MAX)), "oauth.assertion_too_long_lived");
    assert_eq!(with("iat", json!(now + 30)), "accepted");
    assert_eq!(with("iat", json!(now + 31)), "oauth.assertion_not_yet");
    assert_eq!(with("nbf", json!(now + 31)), "oauth.assertion_not_yet");
    assert_eq!(with("iat", json!(null)), "accepted", "it is optional");
    for name in ["exp", "iat", "nbf"] {
        for bad in [json!(now.to_string()), json!(now as f64 + 0.5), json!(-1), json!([now]), json!(true)] {
            assert_eq!(with(name, bad.clone()), "oauth.assertion_claim", "{name} {bad}");
        }
    }
    assert_eq!(with("exp", json!(null)), "oauth.assertion_claim", "never without an end");
    for bad in [json!(null), json!(""), json!(1), json!("x".repeat(257))] {
        assert_eq!(with("jti", bad.clone()), "oauth.assertion_claim", "{bad}");
    }
    assert_eq!(with("jti", json!("x".repeat(256))), "accepted");
}

#[test]
fn case_22_a_cut_or_changed_assertion_is_refused_and_names_nobody_in_vain() {
    let key = SigningKey::generate(model::SigningAlg::Es256).unwrap();
    let (keys, jwt) = (set(&[key.public().jwk()]), by(&key, &json!({"alg": "ES256"}), &right()));
    assert_eq!(named(&jwt), Some(app()));
    for cut in 0..jwt.len() {
        assert_ne!(code(&jwt[..cut], &keys), "accepted", "{cut}");
    }
    for bad in [format!("{jwt}="), format!("{jwt}A"), format!(" {jwt}"), "..".to_owned(), "x".repeat(9_999)] {
        assert_ne!(code(&bad, &keys), "accepted", "{bad}");
    }
    assert_eq!(named(".."), None);
}
