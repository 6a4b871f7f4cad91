//! The public keys by which an app proves itself: a JWK Set (RFC 7517) as it is registered, never fetched.
//! ES256, EdDSA with Ed25519 (by either name), RS256 and PS256 from 2048 bits on. A private or a symmetric key is refused: the
//! first must not be ours to keep, and the second would make a public text a secret (RFC 8725 2.1).

use crate::text::{decode, encode};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use serde_json::{Map, Value, json};
use std::fmt;

/// Keys of one app: the one in use, the next, and some room for several signers.
pub const KEYS_MAX: usize = 10;
const KID_BYTES_MAX: usize = 256;
/// A larger modulus makes verifying dear for us and signing for nobody safer.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;

/// By what an assertion may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAlg {
    Es256,
    EdDsa,
    Rs256,
    Ps256,
}

impl ClientAlg {
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Ps256];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// Ed25519 has two names: RFC 8037's, and the one of RFC 9864 2.2, which some libraries alone send.
    pub const NAMES: [&str; 5] = ["ES256", "EdDSA", "Ed25519", "RS256", "PS256"];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "Ed25519" => Some(Self::EdDsa),
            _ => Self::ALL.into_iter().find(|alg| alg.as_str() == text),
        }
    }
}

/// Why a key set is not taken; for the operator who registers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKeySet(pub &'static str);

impl fmt::Display for NotAKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl std::error::Error for NotAKeySet {}

#[derive(Clone)]
enum Material {
    Ec([u8; 32], [u8; 32]),
    Ed25519([u8; 32]),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// One public key of an app's.
#[derive(Clone)]
pub(crate) struct ClientKey {
    pub(crate) kid: Option<String>,
    /// What it is held to, if its JWK says so.
    alg: Option<ClientAlg>,
    material: Material,
}

/// An app's public keys: one at least.
#[derive(Clone)]
pub struct ClientKeys(Vec<ClientKey>);

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKeys({})", self.0.len())
    }
}

impl ClientKeys {
    /// Reads the members of `keys`.
    ///
    /// # Errors
    /// None or more than `KEYS_MAX`; a key that is private, symmetric, too weak or of another kind; a `kid` twice.
    pub fn read(keys: &[Map<String, Value>]) -> Result<Self, NotAKeySet> {
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(NotAKeySet("from 1 to 10 keys"));
        }
        let read = keys.iter().map(ClientKey::read).collect::<Result<Vec<_>, _>>()?;
        let mut kids: Vec<&str> = read.iter().filter_map(|key| key.kid.as_deref()).collect();
        kids.sort_unstable();
        if kids.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(NotAKeySet("each kid once"));
        }
        Ok(Self(read))
    }

    /// The members of `keys`, as they are kept and shown: what we know of each key, and no more.
    pub fn jwks(&self) -> Vec<Map<String, Value>> {
        self.0.iter().map(ClientKey::jwk).collect()
    }

    /// The keys that may have made a signature with this algorithm and name: without a name, all that fit.
    pub(crate) fn fitting(&self, alg: ClientAlg, kid: Option<&str>) -> impl Iterator<Item = &ClientKey> {
        self.0.iter().filter(move |key| key.can(alg) && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)))
    }
}

impl ClientKey {
    fn read(jwk: &Map<String, Value>) -> Result<Self, NotAKeySet> {
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|private| jwk.contains_key(*private)) {
            return Err(NotAKeySet(
                "public keys alone: a private or symmetric one is no longer a secret, replace it",
            ));
        }
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(decode);
        let wrong = NotAKeySet("keys of P-256, Ed25519 or RSA, as RFC 7518 6 and RFC 8037 2 write them");
        let material = match (text("kty"), text("crv")) {
            (Some("EC"), Some("P-256")) => {
                let coordinate = |name| bytes(name).and_then(|value| value.try_into().ok()).ok_or(wrong);
                Material::Ec(coordinate("x")?, coordinate("y")?)
            }
            (Some("OKP"), Some("Ed25519")) => {
                Material::Ed25519(bytes("x").and_then(|value| value.try_into().ok()).ok_or(wrong)?)
            }
            (Some("RSA"), None) => Material::Rsa { n: bytes("n").ok_or(wrong)?, e: bytes("e").ok_or(wrong)? },
            _ => return Err(wrong),
        };
        if jwk.contains_key("use") && text("use") != Some("sig") {
            return Err(NotAKeySet("use: sig, or none"));
        }
        let alg = match jwk.get("alg") {
            None => None,
            Some(_) => Some(
                text("alg")
                    .and_then(ClientAlg::parse)
                    .ok_or(NotAKeySet("alg: ES256, EdDSA or Ed25519, RS256 or PS256, or none"))?,
            ),
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if is_plain(kid) => Some(kid.clone()),
            Some(_) => return Err(NotAKeySet("kid: 1 to 256 printable characters, or none")),
        };
        let key = Self { kid, alg, material };
        if key.alg.is_some_and(|alg| !key.can(alg)) {
            return Err(NotAKeySet("alg: one that fits the key"));
        }
        key.checked().ok_or(wrong)
    }

    /// On its curve; of an RSA length that is neither weak nor dear.
    fn checked(self) -> Option<Self> {
        match &self.material {
            Material::Ec(x, y) => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4][..], x, y].concat()).ok()?;
            }
            Material::Ed25519(x) => {
                ParsedPublicKey::new(&ED25519, x).ok()?;
            }
            Material::Rsa { n, e } => {
                let zeros = n.first()?.leading_zeros();
                let bits = (n.len() * 8).saturating_sub(usize::try_from(zeros).ok()?);
                // 3 and 65537 are in use; a long exponent makes verifying dear.
                let odd = |number: &[u8]| {
                    number.first() != Some(&0) && number.last().is_some_and(|end| end % 2 == 1)
                };
                if !RSA_BITS.contains(&bits) || e.len() > 4 || e == &[1] || !odd(n) || !odd(e) {
                    return None;
                }
            }
        }
        Some(self)
    }

    fn can(&self, alg: ClientAlg) -> bool {
        let fits = match (&self.material, alg) {
            (Material::Ec(..), ClientAlg::Es256)
            | (Material::Ed25519(_), ClientAlg::EdDsa)
            | (Material::Rsa { .. }, ClientAlg::Rs256 | ClientAlg::Ps256) => true,
            (Material::Ec(..) | Material::Ed25519(_) | Material::Rsa { .. }, _) => false,
        };
        fits && self.alg.is_none_or(|held| held == alg)
    }

    pub(crate) fn verifies(&self, alg: ClientAlg, message: &[u8], signature: &[u8]) -> bool {
        let parsed = |algorithm, bytes: &[u8]| {
            ParsedPublicKey::new(algorithm, bytes).is_ok_and(|key| key.verify_sig(message, signature).is_ok())
        };
        match (&self.material, alg) {
            (Material::Ec(x, y), ClientAlg::Es256) => {
                parsed(&ECDSA_P256_SHA256_FIXED, &[&[4][..], x, y].concat())
            }
            (Material::Ed25519(x), ClientAlg::EdDsa) => parsed(&ED25519, x),
            (Material::Rsa { n, e }, ClientAlg::Rs256) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            (Material::Rsa { n, e }, ClientAlg::Ps256) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PSS_2048_8192_SHA256, message, signature).is_ok()
            }
            (Material::Ec(..) | Material::Ed25519(_) | Material::Rsa { .. }, _) => false,
        }
    }

    fn jwk(&self) -> Map<String, Value> {
        let mut jwk = Map::new();
        let mut put = |name: &str, value: Value| jwk.insert(name.to_owned(), value);
        match &self.material {
            Material::Ec(x, y) => {
                put("kty", json!("EC"));
                put("crv", json!("P-256"));
                put("x", json!(encode(x)));
                put("y", json!(encode(y)));
            }
            Material::Ed25519(x) => {
                put("kty", json!("OKP"));
                put("crv", json!("Ed25519"));
                put("x", json!(encode(x)));
            }
            Material::Rsa { n, e } => {
                put("kty", json!("RSA"));
                put("n", json!(encode(n)));
                put("e", json!(encode(e)));
            }
        }
        put("use", json!("sig"));
        if let Some(kid) = &self.kid {
            put("kid", json!(kid));
        }
        if let Some(alg) = self.alg {
            put("alg", json!(alg.as_str()));
        }
        jwk
    }
}

fn is_plain(kid: &str) -> bool {
    !kid.is_empty() && kid.len() <= KID_BYTES_MAX && kid.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

#[cfg(test)]
#[path = "client_keys_tests.rs"]
mod tests;
