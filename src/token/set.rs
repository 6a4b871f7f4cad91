//! Security Event Tokens out (RFC 8417; Shared Signals Framework 1.0, 4.1): RS256, by a key of 2048 bits that
//! signs nothing else and stands in a key set of its own. No `sub`, no `exp`: none passes for a token that
//! lets somebody in.

use crate::signing_key::KeyFault;
use crate::text::encode;
use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use model::{Secret, Timestamp};
use serde_json::{Value, json};
use std::fmt;

/// Where the modulus stands in the DER of an RSAPublicKey of 2048 bits (RFC 8017 A.1.1): after the headers of the
/// SEQUENCE and the INTEGER, and one zero octet. The exponent is 65537 and comes last. No other size is kept.
const MODULUS: std::ops::Range<usize> = 9..265;
const EXPONENT: [u8; 5] = [2, 3, 1, 0, 1];
const DER_BYTES: usize = 270;

/// The key, and its public half.
pub struct SetKey {
    pair: KeyPair,
    n: String,
    e: String,
    kid: String,
}

impl SetKey {
    /// A fresh key as PKCS#8, to be sealed before it is kept. Takes a tenth of a second, or several: not for
    /// a thread that others wait for.
    pub fn generate() -> Result<Secret<Vec<u8>>, KeyFault> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyFault::Generate)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyFault::Generate)?;
        Ok(Secret::new(der.as_ref().to_vec()))
    }

    /// Reads what `generate` made.
    pub fn from_pkcs8(der: &Secret<Vec<u8>>) -> Result<Self, KeyFault> {
        let pair = KeyPair::from_pkcs8(der.reveal()).map_err(|_| KeyFault::NotPkcs8)?;
        let der = pair.public_key().as_ref();
        let modulus = der.get(MODULUS).filter(|_| der.ends_with(&EXPONENT) && der.len() == DER_BYTES);
        let (n, e) = (encode(modulus.ok_or(KeyFault::NotPkcs8)?), encode(&[1, 0, 1]));
        // RFC 7638 3.2.
        let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        let kid = encode(digest::digest(&digest::SHA256, members.as_bytes()).as_ref());
        Ok(Self { pair, n, e, kid })
    }

    /// The key set that verifies our events, and nothing else of ours.
    pub fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "RSA", "n": self.n, "e": self.e, "kid": self.kid, "use": "sig", "alg": "RS256",
        }]})
    }
}

impl fmt::Debug for SetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetKey({})", self.kid)
    }
}

/// One event, to one receiver.
#[derive(Clone, Debug)]
pub struct SetClaims<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    /// The same at each attempt: the receiver's key against doubles.
    pub jti: &'a str,
    pub at: Timestamp,
    pub sub_id: Value,
    /// The event's URI, and what it says.
    pub event: (&'a str, Value),
}

/// A signed token of exactly one event.
pub fn mint_set(claims: &SetClaims<'_>, key: &SetKey) -> Result<String, KeyFault> {
    let header = json!({"alg": "RS256", "typ": "secevent+jwt", "kid": key.kid}).to_string();
    let (uri, said) = &claims.event;
    let body = json!({
        "iss": claims.issuer,
        "aud": claims.audience,
        "jti": claims.jti,
        "iat": claims.at.secs(),
        "sub_id": claims.sub_id,
        "events": {*uri: said},
    });
    let input = format!("{}.{}", encode(header.as_bytes()), encode(body.to_string().as_bytes()));
    let mut signature = vec![0; key.pair.public_modulus_len()];
    key.pair
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature)
        .map_err(|_| KeyFault::Sign)?;
    Ok(format!("{input}.{}", encode(&signature)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access, key_ring::KeyRing, signing_key::SigningKey, text::decode};

    #[test]
    fn an_event_says_what_it_must_and_nothing_that_lets_somebody_in() {
        let der = SetKey::generate().unwrap();
        let (key, again) = (SetKey::from_pkcs8(&der).unwrap(), SetKey::from_pkcs8(&der).unwrap());
        assert_eq!(key.jwks(), again.jwks());
        let jwk = &key.jwks()["keys"][0];
        assert_eq!(decode(jwk["n"].as_str().unwrap()).unwrap().len(), 256);
        assert!(jwk.get("d").is_none());
        let at = Timestamp::from_secs(1_800_000_000);
        let claims = SetClaims {
            issuer: "https://id.example",
            audience: "app",
            jti: "j",
            at,
            sub_id: json!({"format": "opaque", "id": "x"}),
            event: ("https://e.example/one", json!({"event_timestamp": at.secs()})),
        };
        let jwt = mint_set(&claims, &key).unwrap();
        assert_eq!(jwt, mint_set(&claims, &again).unwrap(), "the same at each attempt");
        let part = |at: usize| -> Value {
            serde_json::from_slice(&decode(jwt.split('.').nth(at).unwrap()).unwrap()).unwrap()
        };
        assert_eq!((&part(0)["alg"], &part(0)["typ"]), (&json!("RS256"), &json!("secevent+jwt")));
        let said = part(1);
        assert!(said.get("sub").is_none() && said.get("exp").is_none() && said["sub_id"].is_object());
        assert_eq!(said["events"].as_object().unwrap().len(), 1);
        let ring = KeyRing::new(vec![SigningKey::generate(model::SigningAlg::Es256).unwrap()], Vec::new());
        assert!(access::verify(&jwt, &ring, "https://id.example", at).is_err());
        assert!(SetKey::from_pkcs8(&Secret::new(vec![0; 70])).is_err());
    }
}
