//! Tokens, good ones and every kind of forged one: header and payload are texts, signed as they are.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RsaKeyPair, UnparsedPublicKey,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The assertion of a request: as its bearer, or in its form.
pub fn assertion<'a>(head: &'a str, body: &'a str) -> Option<&'a str> {
    let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
    let kind = "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let posted = body.split_once("&client_assertion=").filter(|(before, _)| before.ends_with(kind));
    match (bearer, posted) {
        (Some(jwt), None) | (None, Some((_, jwt))) => Some(jwt),
        _ => None,
    }
}

/// Holds one to its claims and its signature (Ed25519); answers its `jti`.
pub fn asserted(jwt: &str, key: &[u8], (client, issuer): (&str, &str)) -> Option<Value> {
    let (input, signature) = jwt.rsplit_once('.').expect("a JWT");
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, key).verify(input.as_bytes(), &signature).ok()?;
    let said = said(jwt);
    assert_eq!((&said["iss"], &said["sub"]), (&json!(client), &json!(client)));
    assert_eq!(said["aud"], json!(issuer), "the issuer, as one string");
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 60);
    assert_eq!(said["jti"].as_str().unwrap().len(), 22);
    Some(said["jti"].clone())
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

pub struct Signer {
    pub kid: String,
    pair: Pair,
}

impl Signer {
    pub fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.into(), pair: Pair::Es256(pair) }
    }
    pub fn eddsa(kid: &str) -> Self {
        Self { kid: kid.into(), pair: Pair::EdDsa(Ed25519KeyPair::generate().unwrap()) }
    }
    pub fn rs256(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { kid: kid.into(), pair: Pair::Rs256(Box::new(pair)) }
    }

    pub fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::EdDsa(_) => "EdDSA",
            Pair::Rs256(_) => "RS256",
        }
    }

    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])})
            }
            Pair::EdDsa(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())})
            }
            Pair::Rs256(pair) => {
                // RFC 8017 A.1.1, of 2048 bits: two headers and a leading zero, then n; e is 65537.
                let der = pair.public_key().as_ref();
                assert_eq!((der.len(), der[8]), (270, 0));
                json!({"kty": "RSA", "n": b64(&der[9..265]), "e": "AQAB"})
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.alg());
        jwk
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let chance = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&chance, message).unwrap().as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &chance, message, &mut signature).unwrap();
                signature
            }
        }
    }

    pub fn header(&self) -> Value {
        json!({"alg": self.alg(), "typ": "at+jwt", "kid": self.kid})
    }

    pub fn token(&self, claims: &Value) -> String {
        self.raw(&self.header().to_string(), &claims.to_string())
    }

    /// A token of these very texts.
    pub fn raw(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
        let signature = self.sign(input.as_bytes());
        format!("{input}.{}", b64(&signature))
    }
}

pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of a good token, with others in their place; null takes one away.
pub fn claims(issuer: &str, more: Value) -> Value {
    let now = now();
    let mut claims = json!({
        "iss": issuer, "sub": "usr_1", "aud": super::AUDIENCE, "client_id": "app_1", "exp": now + 300, "iat": now,
        "jti": "evt_1", "sid": "ses_1", "scope": "openid profile", "auth_time": now - 60, "org_id": "org_1",
        "team_ids": ["team_1"], "roles": ["admin"], "con": "con_1", "rs": 5, "acr": "phr", "amr": ["pwd", "mfa"],
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    claims
}

/// The claims of a token, unverified.
pub fn said(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}
