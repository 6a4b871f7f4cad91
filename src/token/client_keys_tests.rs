use super::*;
use crate::signing_key::SigningKey;

fn read(jwks: &[Value]) -> Result<ClientKeys, NotAKeySet> {
    let keys: Vec<Map<String, Value>> = jwks.iter().map(|jwk| jwk.as_object().unwrap().clone()).collect();
    ClientKeys::read(&keys)
}

fn ec() -> Value {
    SigningKey::generate(model::SigningAlg::Es256).unwrap().public().jwk()
}

#[test]
fn what_is_kept_reads_back_and_strange_members_are_let_go() {
    let mut jwk = ec();
    jwk["x5c"] = json!(["AAAA"]);
    let keys = read(&[
        jwk.clone(),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
    ]);
    let kept = keys.unwrap().jwks();
    assert!(!kept[0].contains_key("x5c") && kept[0]["kid"] == jwk["kid"] && kept[1]["use"] == "sig");
    assert_eq!(ClientKeys::read(&kept).unwrap().jwks(), kept);
}

#[test]
fn private_symmetric_weak_and_unknown_keys_are_refused() {
    let with = |name: &str, value: Value| {
        let mut jwk = ec();
        jwk[name] = value;
        jwk
    };
    let rsa = |n: Vec<u8>, e: &[u8]| json!({"kty": "RSA", "n": encode(&n), "e": encode(e)});
    let modulus = |bytes: usize| {
        let mut n = vec![0xff; bytes];
        n[0] = 0x80;
        n
    };
    assert!(read(&[rsa(modulus(256), &[1, 0, 1])]).is_ok());
    assert!(read(&[rsa(modulus(512), &[3])]).is_ok());
    for bad in [
        with("d", json!("AAAA")),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "oct"}),
        with("crv", json!("P-384")),
        with("crv", json!("secp256k1")),
        with("x", json!("AAAA")),
        with("x", json!(encode(&[1; 32]))),
        with("y", json!(7)),
        with("use", json!("enc")),
        with("alg", json!("HS256")),
        with("alg", json!("none")),
        with("alg", json!("RS256")),
        with("kid", json!("")),
        with("kid", json!("a\u{0}")),
        with("kid", json!("x".repeat(257))),
        json!({"kty": "OKP", "crv": "X25519", "x": encode(&[9; 32])}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&[9; 31])}),
        json!({}),
        rsa(modulus(255), &[1, 0, 1]),
        rsa(modulus(513), &[1, 0, 1]),
        rsa([&[0][..], &modulus(256)].concat(), &[1, 0, 1]),
        rsa(modulus(256), &[1]),
        rsa(modulus(256), &[2]),
        rsa(modulus(256), &[1, 0, 0, 0, 1]),
        rsa(modulus(256), &[]),
        rsa(Vec::new(), &[1, 0, 1]),
    ] {
        assert!(read(std::slice::from_ref(&bad)).is_err(), "{bad}");
    }
}

#[test]
fn an_app_has_a_bounded_number_of_keys_each_with_its_own_name() {
    assert!(read(&[]).is_err());
    let many: Vec<Value> = (0..=KEYS_MAX).map(|_| ec()).collect();
    assert!(read(&many[1..]).is_ok());
    assert!(read(&many).is_err());
    let (mut a, mut b) = (ec(), ec());
    (a["kid"], b["kid"]) = (json!("1"), json!("1"));
    assert!(read(&[a, b]).is_err());
}
