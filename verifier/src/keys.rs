//! The issuer's public keys, read from its JWKS (RFC 7517). A key is found by its `kid` and says
//! itself by which algorithm it verifies: a token's header can name a key, never choose how it is
//! used, and never bring one (RFC 8725 3.1).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::json::{self, Json};

/// Keys of one set: next, current and retiring, and room.
const KEYS_MAX: usize = 32;
/// A `kid`: a thumbprint has 43 characters.
const KID_BYTES_MAX: usize = 128;
/// RFC 7518 3.3: an RSA key of 2048 bits at least; above 8192 a verification costs too much.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// How a key verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256,
    EdDsa,
    Rs256,
}

impl Algorithm {
    /// The name in a header or JWK (RFC 7518 3.1, RFC 8037 3.1).
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

/// One public key.
#[derive(Debug)]
pub(crate) struct Key {
    kid: String,
    algorithm: Algorithm,
    /// The key's own members, by which a key that stays is known again.
    material: Vec<Vec<u8>>,
    parsed: ParsedPublicKey,
}

impl Key {
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    /// `None` for a key that signs no tokens, of an algorithm that is not ours, or broken.
    fn read(jwk: &Json) -> Option<Self> {
        let Json::Object(members) = jwk else { return None };
        let text = |name: &str| match members.get(name) {
            Some(Json::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let kid = text("kid").filter(|kid| !kid.is_empty() && kid.len() <= KID_BYTES_MAX)?;
        let (algorithm, material, parsed) = match (text("kty")?, text("crv")) {
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                let point = [&[4][..], &x, &y].concat();
                let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
                (Algorithm::Es256, vec![x, y], parsed)
            }
            ("OKP", Some("Ed25519")) => {
                let x = bytes("x").filter(|x| x.len() == 32)?;
                (Algorithm::EdDsa, vec![x.clone()], ParsedPublicKey::new(&ED25519, x).ok()?)
            }
            ("RSA", None) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                let canonical = n.first().is_some_and(|b| *b >= 0x80) && e.first().is_some_and(|b| *b != 0);
                if !canonical || !RSA_BYTES.contains(&n.len()) || e.len() > 4 {
                    return None;
                }
                let components = RsaPublicKeyComponents { n: &n, e: &e };
                let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;
                (Algorithm::Rs256, vec![n, e], parsed)
            }
            _ => return None,
        };
        // What the key says it is for (RFC 7517 4.2 to 4.4), it is for alone; of a wrong type, for nothing.
        let said = |name: &str, right: &str| members.get(name).is_none_or(|v| *v == Json::Text(right.into()));
        let verify = Json::Text("verify".into());
        let operations = match members.get("key_ops") {
            None => true,
            Some(Json::List(operations)) => operations.contains(&verify),
            Some(_) => false,
        };
        (operations && said("use", "sig") && said("alg", algorithm.as_str())).then(|| Self {
            kid: kid.to_owned(),
            algorithm,
            material,
            parsed,
        })
    }

    fn is(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.material == other.material
    }
}

/// The issuer's keys of one moment.
#[derive(Debug, Default)]
pub(crate) struct KeySet(HashMap<String, Arc<Key>>);

impl KeySet {
    /// Reads a JWKS. Keys that are no use to us are passed over; two of one `kid` are both, because which of
    /// them counts is not said. A key that stood in `before` stays the same `Arc`: what was verified with it
    /// is verified still. `None` for what is no JWKS, or one of more than 32 keys.
    pub(crate) fn read(body: &[u8], before: &Self) -> Option<Self> {
        let members = json::object(body)?;
        let Some(Json::List(jwks)) = members.get("keys") else { return None };
        if jwks.len() > KEYS_MAX {
            return None;
        }
        let (mut keys, mut twice) = (HashMap::new(), HashSet::new());
        for key in jwks.iter().filter_map(Key::read) {
            let same = before.0.get(&key.kid).filter(|known| known.is(&key));
            let kid = key.kid.clone();
            let key = same.cloned().unwrap_or_else(|| Arc::new(key));
            if keys.insert(kid.clone(), key).is_some() {
                twice.insert(kid);
            }
        }
        keys.retain(|kid, _| !twice.contains(kid));
        Some(Self(keys))
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&Arc<Key>> {
        self.0.get(kid)
    }

    /// Whether this very key is published still.
    pub(crate) fn holds(&self, key: &Arc<Key>) -> bool {
        self.0.get(&key.kid).is_some_and(|known| Arc::ptr_eq(known, key))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    // RFC 7517 A.1's EC and RSA keys, RFC 8037 A.2's Ed25519 key.
    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
    const ED: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn ec(kid: &str) -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": kid})
    }

    fn read(keys: Vec<Value>) -> KeySet {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &KeySet::default()).unwrap()
    }

    #[test]
    fn the_key_says_its_algorithm() {
        let n = URL_SAFE_NO_PAD.encode([0xc5; 256]);
        let set = read(vec![
            ec("a"),
            json!({"kty": "OKP", "crv": "Ed25519", "x": ED, "kid": "b"}),
            json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "c"}),
        ]);
        let algorithm = |kid| set.find(kid).map(|key| key.algorithm());
        assert_eq!(algorithm("a"), Some(Algorithm::Es256));
        assert_eq!(algorithm("b"), Some(Algorithm::EdDsa));
        assert_eq!(algorithm("c"), Some(Algorithm::Rs256));
        assert_eq!(algorithm("d"), None);
    }

    #[test]
    fn keys_of_no_use_are_passed_over() {
        let with = |name: &str, value: Value| {
            let mut jwk = ec("a");
            jwk[name] = value;
            jwk
        };
        let short = URL_SAFE_NO_PAD.encode([0xc5; 128]);
        let padded = URL_SAFE_NO_PAD.encode([&[0][..], &[0xc5; 256]].concat());
        let bad = [
            with("use", json!("enc")),
            with("use", json!(1)),
            with("alg", json!("RS256")),
            with("alg", json!("none")),
            with("key_ops", json!(["sign"])),
            with("key_ops", json!("verify")),
            with("crv", json!("P-384")),
            with("kty", json!("RSA")),
            with("x", json!(Y)),
            with("x", json!("AA")),
            with("x", json!(format!("{X}="))),
            with("kid", json!("")),
            with("kid", json!(7)),
            with("kid", json!("k".repeat(129))),
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"}),
            json!({"kty": "RSA", "n": short, "e": "AQAB", "kid": "a"}),
            json!({"kty": "RSA", "n": padded, "e": "AQAB", "kid": "a"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "a"}),
            json!({"kty": "OKP", "crv": "X25519", "x": ED, "kid": "a"}),
            json!("a"),
        ];
        for jwk in bad {
            assert_eq!(read(vec![jwk.clone()]).len(), 0, "{jwk}");
        }
        assert_eq!(read(vec![with("use", json!("sig")), json!({"kty": "new"})]).len(), 1);
        assert_eq!(read(vec![with("key_ops", json!(["verify"]))]).len(), 1);
    }

    #[test]
    fn two_keys_of_one_name_are_nobodys() {
        let set = read(vec![ec("a"), json!({"kty": "OKP", "crv": "Ed25519", "x": ED, "kid": "a"}), ec("b")]);
        assert!(set.find("a").is_none());
        assert!(set.find("b").is_some());
    }

    #[test]
    fn what_is_no_jwks_is_none_and_so_is_one_key_too_many() {
        let read = |text: &str| KeySet::read(text.as_bytes(), &KeySet::default()).map(|set| set.len());
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let many = |n: usize| json!({"keys": (0..n).map(|i| ec(&i.to_string())).collect::<Vec<_>>()});
        assert_eq!(read(&many(KEYS_MAX).to_string()), Some(KEYS_MAX));
        assert_eq!(read(&many(KEYS_MAX + 1).to_string()), None);
    }

    #[test]
    fn a_key_that_stays_is_the_same_and_one_that_goes_or_changes_is_not() {
        let first = read(vec![ec("a"), ec("b")]);
        let a = first.find("a").unwrap().clone();
        let b = first.find("b").unwrap().clone();
        let body = json!({"keys": [ec("a"), {"kty": "OKP", "crv": "Ed25519", "x": ED, "kid": "b"}]});
        let second = KeySet::read(body.to_string().as_bytes(), &first).unwrap();
        assert!(second.holds(&a));
        assert!(!second.holds(&b), "its name is another key's now");
        assert!(!KeySet::default().holds(&a));
    }
}
