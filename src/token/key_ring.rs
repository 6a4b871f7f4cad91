//! The keys we answer for, as of one moment. A key is found by its `kid` among our own alone: a header can
//! name a key, never bring one, and never choose how it is used (RFC 8725 3.1). One key of an algorithm signs;
//! next, current and retiring ones are published as one JWKS (RFC 7517) and verify. A withdrawn key is not here.

use crate::{
    signing_key::{SigningKey, VerifyingKey},
    text::encode,
    verified::Verified,
};
use aws_lc_rs::digest;
use model::SigningAlg;
use serde_json::{Value, json};

/// The keys that sign, one an algorithm at most; all that verify; and what is published of them.
#[derive(Debug)]
pub struct KeyRing {
    signers: Vec<SigningKey>,
    published: Vec<VerifyingKey>,
    jwks: String,
    etag: String,
    verified: Verified,
}

impl KeyRing {
    /// `others` are the next and the retiring keys; a copy of a signing one among them is dropped, and so is
    /// a second signing key of one algorithm.
    pub fn new(signers: Vec<SigningKey>, others: Vec<VerifyingKey>) -> Self {
        let mut kept: Vec<SigningKey> = Vec::new();
        for key in signers {
            if kept.iter().all(|other| other.alg() != key.alg()) {
                kept.push(key);
            }
        }
        let mut published: Vec<VerifyingKey> = kept.iter().map(|key| key.public().clone()).collect();
        for key in others {
            if published.iter().all(|other| other.kid() != key.kid()) {
                published.push(key);
            }
        }
        let keys: Vec<Value> = published.iter().map(VerifyingKey::jwk).collect();
        let jwks = json!({ "keys": keys }).to_string();
        let etag = format!("\"{}\"", encode(digest::digest(&digest::SHA256, jwks.as_bytes()).as_ref()));
        Self { signers: kept, published, jwks, etag, verified: Verified::default() }
    }

    /// The key that signs by this algorithm, if one does.
    pub fn signer(&self, alg: SigningAlg) -> Option<&SigningKey> {
        self.signers.iter().find(|key| key.alg() == alg)
    }

    pub fn signers(&self) -> &[SigningKey] {
        &self.signers
    }

    /// The key of this name among our own, and no other.
    pub fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.published.iter().find(|key| key.kid() == kid)
    }

    /// Whether a key of this ring signed this text: known, or found out by `verify`.
    pub(crate) fn has_verified(&self, jwt: &str, verify: impl FnOnce() -> bool) -> bool {
        self.verified.holds(jwt, verify)
    }

    /// What `/oauth2/jwks` answers: public members alone.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The entity tag of `jwks` (RFC 9110 8.8.3), quotes included: of the same keys everywhere the same.
    pub fn etag(&self) -> &str {
        &self.etag
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::verify,
        extra::Extra,
        mint::{ServiceSnapshot, mint_service},
    };
    use model::Timestamp;

    fn key(alg: SigningAlg) -> SigningKey {
        SigningKey::generate(alg).unwrap()
    }

    #[test]
    fn the_ring_publishes_public_members_only_and_finds_only_its_own() {
        let (a, b, c) = (key(SigningAlg::Es256), key(SigningAlg::Es256), key(SigningAlg::Es256));
        let others = vec![b.public().clone(), a.public().clone()];
        let ring = KeyRing::new(vec![a, key(SigningAlg::Rs256), key(SigningAlg::EdDsa)], others);
        let jwks: Value = serde_json::from_str(ring.jwks()).unwrap();
        let keys = jwks["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 4);
        for secret in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(keys.iter().all(|key| key.get(secret).is_none()), "{secret}");
        }
        assert!(ring.find(b.kid()).is_some());
        assert!(ring.find(c.kid()).is_none());
        assert!(ring.find("").is_none());
    }

    #[test]
    fn one_key_of_an_algorithm_signs() {
        let (first, second) = (key(SigningAlg::Es256), key(SigningAlg::Es256));
        let named = first.kid().to_owned();
        let ring = KeyRing::new(vec![first, second], Vec::new());
        assert_eq!(ring.signer(SigningAlg::Es256).map(SigningKey::kid), Some(named.as_str()));
        assert!(ring.signer(SigningAlg::Rs256).is_none());
        assert_eq!(ring.signers().len(), 1);
    }

    #[test]
    fn the_entity_tag_is_of_the_published_keys() {
        let (a, b) = (key(SigningAlg::Es256), key(SigningAlg::EdDsa));
        let others = vec![b.public().clone()];
        let again = SigningKey::from_pkcs8(SigningAlg::Es256, &a.to_pkcs8().unwrap()).unwrap();
        let ring = KeyRing::new(vec![a], others.clone());
        assert_eq!(ring.etag(), KeyRing::new(vec![again], others).etag());
        assert_ne!(ring.etag(), KeyRing::new(vec![b], Vec::new()).etag());
        assert!(ring.etag().starts_with('"') && ring.etag().ends_with('"'));
    }
    #[test]
    fn what_is_known_to_be_signed_still_expires_and_dies_with_its_key() {
        let (signs, keeps) = (key(SigningAlg::Es256), key(SigningAlg::Es256));
        let (service, org) = ("svc_00000000000000000000000001", "org_00000000000000000000000001");
        let snapshot = ServiceSnapshot {
            issuer: "https://id.example",
            audience: "https://api.example",
            org: org.parse().unwrap(),
            service: service.parse().unwrap(),
            roles: &[],
            rs: 1,
            extra: &Extra::default(),
        };
        let now = Timestamp::from_secs(1_800_000_000);
        let jwt = mint_service(&snapshot, &signs, "jti-1", now, 300).unwrap().jwt;
        let ring = KeyRing::new(vec![signs], Vec::new());
        let judged = |jwt: &str, ring: &KeyRing, at| {
            verify(jwt, ring, "https://id.example", at).map_err(|refusal| refusal.code).err()
        };
        for _ in 0..2 {
            assert_eq!(judged(&jwt, &ring, now), None);
            assert_eq!(judged(&jwt, &ring, now.plus_secs(300)), Some("token.expired"));
            assert_eq!(judged(&format!("{jwt}A"), &ring, now), Some("token.signature"));
        }
        let after = KeyRing::new(vec![keeps], Vec::new());
        assert_eq!(judged(&jwt, &after, now), Some("token.unknown_key"));
    }
}
