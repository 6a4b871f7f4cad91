//! One key of ours, in either half: ES256, EdDSA with Ed25519, RS256 of 2048 bits. Its name is the RFC 7638
//! thumbprint of the key itself, and it alone says by which algorithm it signs and verifies.

use crate::text::{decode, encode};
use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use model::{Secret, SigningAlg};
use serde_json::{Value, json};
use std::fmt;

/// A modulus: RFC 7518 3.3 asks for 2048 bits at least; above 8192 a verification costs too much.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// Why a key could not be made, read or used. Nothing a caller outside can provoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    Generate,
    NotPkcs8,
    NotJwk,
    Sign,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generate => "a signing key could not be generated",
            Self::NotPkcs8 => "not a private key of its algorithm in PKCS#8",
            Self::NotJwk => "not a public key of ours as a JWK",
            Self::Sign => "the signing key did not sign",
        })
    }
}
impl std::error::Error for KeyFault {}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

/// A private key and its public half.
pub struct SigningKey {
    pair: Pair,
    public: VerifyingKey,
}

/// A public key, and the thumbprint that names it.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    kid: String,
    alg: SigningAlg,
    members: Members,
    parsed: ParsedPublicKey,
}

/// What a JWK says of the key itself: RFC 7518 6.2 and 6.3, RFC 8037 2.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Members {
    Ec { x: String, y: String },
    Okp { x: String },
    Rsa { n: String, e: String },
}

impl SigningKey {
    /// A fresh key from the library's own generator. An RSA key takes tens of milliseconds up to a second:
    /// never on a thread that others wait for.
    pub fn generate(alg: SigningAlg) -> Result<Self, KeyFault> {
        let pair = match alg {
            SigningAlg::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Es256),
            SigningAlg::EdDsa => Ed25519KeyPair::generate().map(Pair::EdDsa),
            SigningAlg::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rs256),
        };
        Self::of(pair.map_err(|_| KeyFault::Generate)?).ok_or(KeyFault::Generate)
    }

    /// Reads a key of this algorithm kept as PKCS#8 DER (RFC 5958); any other curve, size or form is refused.
    pub fn from_pkcs8(alg: SigningAlg, der: &Secret<Vec<u8>>) -> Result<Self, KeyFault> {
        let der = der.reveal();
        let pair = match alg {
            SigningAlg::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::Es256)
            }
            SigningAlg::EdDsa => Ed25519KeyPair::from_pkcs8(der).map(Pair::EdDsa),
            SigningAlg::Rs256 => RsaKeyPair::from_pkcs8(der).map(Pair::Rs256),
        };
        Self::of(pair.map_err(|_| KeyFault::NotPkcs8)?).ok_or(KeyFault::NotPkcs8)
    }

    /// The key as PKCS#8 DER, to be sealed before it is kept.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, KeyFault> {
        let der = match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1().map(|document| document.as_ref().to_vec()),
            Pair::EdDsa(pair) => pair.to_pkcs8().map(|document| document.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                AsDer::<Pkcs8V1Der<'_>>::as_der(pair).map(|document| document.as_ref().to_vec())
            }
        };
        der.map(Secret::new).map_err(|_| KeyFault::NotPkcs8)
    }

    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    pub const fn alg(&self) -> SigningAlg {
        self.public.alg
    }

    /// A JWS signature's bytes: r ‖ s (RFC 7518 3.4), Ed25519's 64 (RFC 8037 3.1), PKCS #1 v1.5 (RFC 7518 3.3).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let chance = SystemRandom::new();
        let signed = match &self.pair {
            Pair::Es256(pair) => pair.sign(&chance, message).map(|signature| signature.as_ref().to_vec()),
            Pair::EdDsa(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &chance, message, &mut signature).map(|()| signature)
            }
        };
        signed.map_err(|_| KeyFault::Sign)
    }

    fn of(pair: Pair) -> Option<Self> {
        let members = match &pair {
            Pair::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref().strip_prefix(&[4])?.split_first_chunk::<32>()?;
                Members::Ec { x: encode(x), y: encode(y) }
            }
            Pair::EdDsa(pair) => Members::Okp { x: encode(pair.public_key().as_ref()) },
            Pair::Rs256(pair) => {
                let (n, e) = rsa_members(pair.public_key().as_ref())?;
                Members::Rsa { n: encode(n), e: encode(e) }
            }
        };
        Some(Self { public: VerifyingKey::of(members)?, pair })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.public.alg.as_str(), self.public.kid)
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl VerifyingKey {
    /// Reads the form in which keys are kept and published. A `kid` or `alg` in it is ignored: the thumbprint
    /// is computed anew, and the kind of key says the algorithm.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyFault> {
        let text = |name| jwk.get(name).and_then(Value::as_str).map(str::to_owned);
        let read = || {
            let members = match (text("kty")?.as_str(), text("crv").as_deref()) {
                ("EC", Some("P-256")) => Members::Ec { x: text("x")?, y: text("y")? },
                ("OKP", Some("Ed25519")) => Members::Okp { x: text("x")? },
                ("RSA", None) => Members::Rsa { n: text("n")?, e: text("e")? },
                _ => return None,
            };
            Self::of(members)
        };
        read().ok_or(KeyFault::NotJwk)
    }

    /// The public key as a JWK with `kid`, `use` and `alg`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.members {
            Members::Ec { x, y } => json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
            Members::Okp { x } => json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
            Members::Rsa { n, e } => json!({"kty": "RSA", "n": n, "e": e}),
        };
        if let Value::Object(members) = &mut jwk {
            members.insert("kid".to_owned(), json!(self.kid));
            members.insert("use".to_owned(), json!("sig"));
            members.insert("alg".to_owned(), json!(self.alg.as_str()));
        }
        jwk
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub const fn alg(&self) -> SigningAlg {
        self.alg
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    fn of(members: Members) -> Option<Self> {
        let alg = match &members {
            Members::Ec { .. } => SigningAlg::Es256,
            Members::Okp { .. } => SigningAlg::EdDsa,
            Members::Rsa { .. } => SigningAlg::Rs256,
        };
        let parsed = match &members {
            Members::Ec { x, y } => {
                let (x, y) = (decode(x).filter(|x| x.len() == 32)?, decode(y).filter(|y| y.len() == 32)?);
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4][..], &x, &y].concat()).ok()?
            }
            Members::Okp { x } => {
                ParsedPublicKey::new(&ED25519, decode(x).filter(|x| x.len() == 32)?).ok()?
            }
            Members::Rsa { n, e } => {
                let (n, e) = (decode(n)?, decode(e)?);
                // RFC 7518 6.3.1: without leading zeros; a second spelling would be a second name.
                if n.first().is_none_or(|first| *first < 0x80)
                    || e.first() == Some(&0)
                    || !RSA_BYTES.contains(&n.len())
                {
                    return None;
                }
                let components = RsaPublicKeyComponents { n: &n, e: &e };
                components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?
            }
        };
        Some(Self { kid: thumbprint(&members), alg, members, parsed })
    }
}

/// RFC 7638 3.2: the required members alone, in lexicographic order, without white space.
fn thumbprint(members: &Members) -> String {
    let text = match members {
        Members::Ec { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
        Members::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        Members::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
    };
    encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Modulus and exponent out of an `RSAPublicKey` in DER (RFC 8017 A.1.1), as the library gives its own.
fn rsa_members(der: &[u8]) -> Option<(&[u8], &[u8])> {
    // An INTEGER with its top bit set has a zero in front.
    let (sequence, rest) = der_value(der, 0x30)?;
    let (n, after) = der_value(sequence, 0x02)?;
    let (e, end) = der_value(after, 0x02)?;
    let (n, e) = (n.strip_prefix(&[0]).unwrap_or(n), e.strip_prefix(&[0]).unwrap_or(e));
    (rest.is_empty() && end.is_empty() && !n.is_empty() && !e.is_empty()).then_some((n, e))
}

/// The contents of the one DER value of this tag at the front, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => rest.split_first().map(|(one, rest)| (usize::from(*one), rest))?,
        0x82 => {
            rest.split_first_chunk::<2>().map(|(two, rest)| (usize::from(u16::from_be_bytes(*two)), rest))?
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_pkcs8_and_keeps_its_name() {
        for alg in SigningAlg::ALL {
            let key = SigningKey::generate(alg).unwrap();
            let again = SigningKey::from_pkcs8(alg, &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!((key.kid(), key.alg()), (again.kid(), alg));
            let signature = again.sign(b"m").unwrap();
            assert!(key.public().verifies(b"m", &signature));
            assert!(!key.public().verifies(b"n", &signature));
            assert!(!format!("{key:?}").contains("pair"));
            assert_eq!(&VerifyingKey::from_jwk(&key.public().jwk()).unwrap(), key.public());
            for other in SigningAlg::ALL.into_iter().filter(|other| *other != alg) {
                let read = SigningKey::from_pkcs8(other, &key.to_pkcs8().unwrap());
                assert_eq!(read.unwrap_err(), KeyFault::NotPkcs8, "{alg:?} as {other:?}");
            }
        }
        let broken = Secret::new(vec![0; 70]);
        assert_eq!(SigningKey::from_pkcs8(SigningAlg::Es256, &broken).unwrap_err(), KeyFault::NotPkcs8);
    }

    #[test]
    fn the_thumbprint_is_rfc_7638s() {
        // RFC 7638 3.1's RSA key and its name; RFC 8037 A.2 and A.3; RFC 7517 A.1's EC key by hand.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let named = |jwk| VerifyingKey::from_jwk(jwk).unwrap().kid().to_owned();
        assert_eq!(named(&rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(named(&ed), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let jwk = json!({"kty":"EC","crv":"P-256","kid":"1",
            "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
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
        assert_eq!(named(&jwk), by_hand, "a kid in the JWK is not believed");
    }

    #[test]
    fn another_curve_a_short_coordinate_or_a_small_modulus_is_refused() {
        let good = |alg| SigningKey::generate(alg).unwrap().public().jwk();
        let bad = [
            (SigningAlg::Es256, "crv", json!("P-384")),
            (SigningAlg::Es256, "kty", json!("RSA")),
            (SigningAlg::Es256, "x", json!("AA")),
            (SigningAlg::Es256, "y", json!(7)),
            (SigningAlg::EdDsa, "crv", json!("X25519")),
            (SigningAlg::EdDsa, "x", json!("AA")),
            (SigningAlg::Rs256, "n", json!(encode(&[0xc5; 128]))),
            (SigningAlg::Rs256, "n", json!(encode(&[&[0][..], &[0xc5; 256]].concat()))),
            (SigningAlg::Rs256, "crv", json!("P-256")),
            (SigningAlg::Rs256, "e", json!(65_537)),
        ];
        for (alg, name, value) in bad {
            let mut jwk = good(alg);
            jwk[name] = value;
            assert_eq!(VerifyingKey::from_jwk(&jwk), Err(KeyFault::NotJwk), "{alg:?} {name}");
        }
    }

    #[test]
    fn an_rsa_key_has_2048_bits_and_no_leading_zero() {
        let jwk = SigningKey::generate(SigningAlg::Rs256).unwrap().public().jwk();
        let n = decode(jwk["n"].as_str().unwrap()).unwrap();
        assert!(n.len() == 256 && n[0] >= 0x80);
        assert_eq!(jwk["e"], "AQAB");
        assert_eq!(der_value(&[0x30, 0x81], 0x30), None);
        assert_eq!(der_value(&[0x30, 0x02, 1], 0x30), None);
        assert_eq!(rsa_members(&[]), None);
    }
}
