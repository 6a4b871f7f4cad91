//! Our signing keys: ES256 and nothing else. A key is found by its `kid`, the RFC 7638 thumbprint
//! of the key itself, among our own keys alone: a header can name a key, never bring one.
//! The ring publishes next, current and retiring keys as one JWKS (RFC 7517).

use crate::text::{decode, encode};
use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use model::Secret;
use serde_json::{Value, json};
use std::fmt;

/// Why a key could not be made, read or used. Nothing a caller outside can provoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    Generate,
    NotPkcs8,
    NotP256Jwk,
    Sign,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generate => "a signing key could not be generated",
            Self::NotPkcs8 => "not an ES256 private key in PKCS#8",
            Self::NotP256Jwk => "not a P-256 public key as a JWK",
            Self::Sign => "the signing key did not sign",
        })
    }
}
impl std::error::Error for KeyFault {}

/// A private ES256 key and its public half.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

/// A public ES256 key: x and y, and the thumbprint that names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyingKey {
    kid: String,
    x: [u8; 32],
    y: [u8; 32],
}

/// The keys we answer for: one signs, all verify.
pub struct KeyRing {
    current: SigningKey,
    others: Vec<VerifyingKey>,
}

impl SigningKey {
    /// A fresh key from the library's own generator.
    pub fn generate() -> Result<Self, KeyFault> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyFault::Generate)?;
        Self::of(pair, KeyFault::Generate)
    }

    /// Reads a key kept as PKCS#8 DER (RFC 5958); any other curve or form is refused.
    pub fn from_pkcs8(der: &Secret<Vec<u8>>) -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.reveal())
            .map_err(|_| KeyFault::NotPkcs8)?;
        Self::of(pair, KeyFault::NotPkcs8)
    }

    /// The key as PKCS#8 DER, to be sealed before it is kept.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, KeyFault> {
        let document = self.pair.to_pkcs8v1().map_err(|_| KeyFault::NotPkcs8)?;
        Ok(Secret::new(document.as_ref().to_vec()))
    }

    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// r ‖ s, 64 bytes (RFC 7518 3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyFault::Sign)?;
        Ok(signature.as_ref().to_vec())
    }

    fn of(pair: EcdsaKeyPair, fault: KeyFault) -> Result<Self, KeyFault> {
        let public = VerifyingKey::from_point(pair.public_key().as_ref()).ok_or(fault)?;
        Ok(Self { pair, public })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.kid)
    }
}

impl VerifyingKey {
    /// Reads `{"kty":"EC","crv":"P-256","x":…,"y":…}`, the form in which retired keys are kept.
    /// A `kid` in it is ignored: the thumbprint is computed anew.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyFault> {
        let member = |name| jwk.get(name).and_then(Value::as_str).ok_or(KeyFault::NotP256Jwk);
        if member("kty")? != "EC" || member("crv")? != "P-256" {
            return Err(KeyFault::NotP256Jwk);
        }
        let coordinate = |name| -> Result<[u8; 32], KeyFault> {
            decode(member(name)?).and_then(|bytes| bytes.try_into().ok()).ok_or(KeyFault::NotP256Jwk)
        };
        Ok(Self::new(coordinate("x")?, coordinate("y")?))
    }

    /// The public key as a JWK with `kid`, `use` and `alg`.
    pub fn jwk(&self) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "x": encode(&self.x), "y": encode(&self.y),
            "kid": self.kid, "use": "sig", "alg": "ES256",
        })
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let point = [&[4][..], &self.x, &self.y].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
    }

    fn new(x: [u8; 32], y: [u8; 32]) -> Self {
        // RFC 7638 3.2: the required members alone, in lexicographic order, without white space.
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(&x), encode(&y));
        let kid = encode(digest::digest(&digest::SHA256, members.as_bytes()).as_ref());
        Self { kid, x, y }
    }

    fn from_point(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_first_chunk::<32>()?;
        Some(Self::new(*x, y.try_into().ok()?))
    }
}

impl KeyRing {
    /// `others` are the next and the retiring keys; a copy of the current one among them is dropped.
    pub fn new(current: SigningKey, mut others: Vec<VerifyingKey>) -> Self {
        others.retain(|key| key.kid != current.public.kid);
        Self { current, others }
    }

    pub const fn current(&self) -> &SigningKey {
        &self.current
    }

    /// The key of this name among our own, and no other.
    pub fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.public_keys().find(|key| key.kid == kid)
    }

    /// What `/oauth2/jwks` answers.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.public_keys().map(VerifyingKey::jwk).collect::<Vec<_>>() })
    }

    fn public_keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        std::iter::once(&self.current.public).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_pkcs8_and_keeps_its_name() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(key.kid(), again.kid());
        let signature = again.sign(b"m").unwrap();
        assert!(key.public().verifies(b"m", &signature));
        assert!(!key.public().verifies(b"n", &signature));
        assert_eq!(SigningKey::from_pkcs8(&Secret::new(vec![0; 70])).unwrap_err(), KeyFault::NotPkcs8);
        assert!(!format!("{key:?}").contains("pair"));
    }

    #[test]
    fn the_thumbprint_is_rfc_7638s() {
        // The key of RFC 7517 A.1, its thumbprint written out by hand.
        let jwk = json!({"kty":"EC","crv":"P-256","kid":"1",
            "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        let by_hand = encode(
            digest::digest(
                &digest::SHA256,
                concat!(
                    r#"{"crv":"P-256","kty":"EC","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","#,
                    r#""y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#
                )
                .as_bytes(),
            )
            .as_ref(),
        );
        assert_eq!(key.kid(), by_hand, "a kid in the JWK is not believed");
        assert_eq!(VerifyingKey::from_jwk(&key.jwk()).unwrap(), key);
    }

    #[test]
    fn the_ring_publishes_public_members_only_and_finds_only_its_own() {
        let (a, b, c) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let others = vec![b.public().clone(), a.public().clone()];
        let ring = KeyRing::new(a, others);
        let jwks = ring.jwks();
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
        assert!(jwks["keys"][0].get("d").is_none());
        assert!(ring.find(b.kid()).is_some());
        assert!(ring.find(c.kid()).is_none());
        assert!(ring.find("").is_none());
    }

    #[test]
    fn another_curve_or_a_short_coordinate_is_refused() {
        let good = SigningKey::generate().unwrap().public().jwk();
        for (name, bad) in
            [("crv", json!("P-384")), ("kty", json!("RSA")), ("x", json!("AA")), ("y", json!(7))]
        {
            let mut jwk = good.clone();
            jwk[name] = bad;
            assert_eq!(VerifyingKey::from_jwk(&jwk), Err(KeyFault::NotP256Jwk), "{name}");
        }
    }
}
