//! The authorization code's text, and PKCE (RFC 7636, S256 alone).
//! A code names its org, so that the row is looked for inside that org's enclosure; of the code
//! itself only the digest is kept. Whether it was used already is the ledger's to say.

use crate::text::{decode_exact, encode, take_id};
use aws_lc_rs::{constant_time, digest};
use model::{Chance, Refusal, Secret, TokenDigest, ids, ids::OrgId};

const PREFIX: &str = "vst_ac_";

/// `vst_ac_` and base64url(org, 16 bytes ‖ random, 32 bytes).
pub fn issue(org: OrgId, chance: &dyn Chance) -> Secret<String> {
    let body = [&org.uuid().into_bytes()[..], &ids::random32(chance)].concat();
    Secret::new(format!("{PREFIX}{}", encode(&body)))
}

/// The org and the digest to look for.
///
/// # Errors
/// `token.code_malformed`: another prefix, length or spelling.
pub fn parse(text: &str) -> Result<(OrgId, TokenDigest), Refusal> {
    decode_exact::<48>(text, PREFIX)
        .and_then(|bytes| take_id(&bytes).map(|(org, _)| org))
        .map(|org| (org, TokenDigest::of(text)))
        .ok_or(Refusal::stranger("token.code_malformed"))
}

/// A `code_challenge` of method S256: 43 characters of base64url (RFC 7636 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// # Errors
    /// `token.pkce_challenge`: not the base64url of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        decode_exact::<32>(text, "").ok_or(Refusal::stranger("token.pkce_challenge"))?;
        Ok(Self(text.to_owned()))
    }

    /// The one that this verifier answers.
    pub fn of(verifier: &str) -> Self {
        Self(encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does the verifier hash to this challenge? Compared in constant time (RFC 7636 4.1, 4.6).
    ///
    /// # Errors
    /// `token.pkce_verifier`: not 43 to 128 unreserved characters, or another challenge's.
    pub fn verify(&self, verifier: &str) -> Result<(), Refusal> {
        let refusal = Refusal::stranger("token.pkce_verifier");
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
            return Err(refusal);
        }
        let computed = Self::of(verifier);
        constant_time::verify_slices_are_equal(computed.0.as_bytes(), self.0.as_bytes()).map_err(|_| refusal)
    }
}

/// The rule at redemption, downgrade included (RFC 9700 2.1.1): a code without a challenge takes no
/// verifier, and a code with one takes nothing less.
///
/// # Errors
/// `token.pkce_missing`, `token.pkce_unasked`, and those of [`Challenge::verify`].
pub fn check_pkce(challenge: Option<&Challenge>, verifier: Option<&str>) -> Result<(), Refusal> {
    match (challenge, verifier) {
        (Some(challenge), Some(verifier)) => challenge.verify(verifier),
        (Some(_), None) => Err(Refusal::stranger("token.pkce_missing")),
        (None, Some(_)) => Err(Refusal::stranger("token.pkce_unasked")),
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::testing::Seeded;
    use uuid::Uuid;

    #[test]
    fn a_code_names_its_org_and_has_one_spelling() {
        let org = OrgId::from_uuid(Uuid::from_u128(42));
        let code = issue(org, &Seeded::new(1));
        let text = code.reveal();
        assert_eq!(text.len(), 71);
        assert_eq!(parse(text).unwrap(), (org, TokenDigest::of(text)));
        for cut in 0..text.len() {
            assert_eq!(parse(&text[..cut]).unwrap_err().code, "token.code_malformed");
        }
        for bad in [
            format!("{text}A"),
            format!("{text}="),
            format!(" {text}"),
            format!("{text}\n"),
            text.to_uppercase(),
            text.replace("vst_ac_", "vst_rt_"),
            format!("{}+", &text[..70]),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
        assert_ne!(issue(org, &Seeded::new(2)).reveal(), text);
    }

    #[test]
    fn pkce_is_rfc_7636_appendix_b() {
        let challenge = Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge.verify(verifier), Ok(()));
        assert_eq!(challenge.verify(&format!("{verifier}x")).unwrap_err().code, "token.pkce_verifier");
        assert!(challenge.verify(challenge.as_str()).is_err(), "plain is not S256");
        for bad in ["E9", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN", ""] {
            assert!(Challenge::parse(bad).is_err(), "{bad}: length and unused bits");
        }
    }

    #[test]
    fn a_verifiers_length_and_letters_are_held() {
        let of = |v: &str| Challenge::of(v).verify(v);
        assert!(of(&"a".repeat(42)).is_err());
        assert!(of(&"a".repeat(43)).is_ok());
        assert!(of(&"a".repeat(128)).is_ok());
        assert!(of(&"a".repeat(129)).is_err());
        assert!(of(&format!("{}+", "a".repeat(43))).is_err());
        assert!(of(&format!("{}é", "a".repeat(43))).is_err());
    }

    #[test]
    fn no_downgrade_in_either_direction() {
        let verifier = "a".repeat(43);
        let challenge = Challenge::of(&verifier);
        assert_eq!(check_pkce(Some(&challenge), Some(&verifier)), Ok(()));
        assert_eq!(check_pkce(Some(&challenge), None).unwrap_err().code, "token.pkce_missing");
        assert_eq!(check_pkce(None, Some(&verifier)).unwrap_err().code, "token.pkce_unasked");
        assert_eq!(check_pkce(None, None), Ok(()));
    }
}
