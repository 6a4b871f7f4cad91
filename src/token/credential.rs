//! Opaque credentials: random, looked up by digest, each kind with its own prefix and length.
//! A truncated, padded or re-spelled text is refused before any look-up (CVE-2026-27840), and a
//! credential of one kind does not parse as another (one purpose, one form).

use crate::text::{decode_exact, encode, take_id};
use model::{Chance, Refusal, Secret, TokenDigest, ids, ids::OrgId};

/// What a credential is good for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CredentialKind {
    /// An operator's key over the whole platform; it belongs to no org.
    Platform,
    /// An org's own key.
    OrgKey,
    /// A directory's long-lived bearer token.
    Scim,
    /// The short-lived token a directory's client fetches.
    ScimAccess,
    /// The browser's session cookie.
    Session,
    /// The secret of an app, a service account or a directory's client.
    ClientSecret,
    /// The link that lets a customer's IT administrator set things up.
    SetupLink,
}

impl CredentialKind {
    pub const ALL: [Self; 7] = [
        Self::Platform,
        Self::OrgKey,
        Self::Scim,
        Self::ScimAccess,
        Self::Session,
        Self::ClientSecret,
        Self::SetupLink,
    ];

    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Platform => "vst_plat_",
            Self::OrgKey => "vst_org_",
            Self::Scim => "vst_scim_",
            Self::ScimAccess => "vst_sat_",
            Self::Session => "vst_ses_",
            Self::ClientSecret => "vst_cs_",
            Self::SetupLink => "vst_set_",
        }
    }

    /// Kinds held to an org carry its id; the others are known by their random bits alone.
    const fn names_org(self) -> bool {
        match self {
            Self::OrgKey | Self::Scim | Self::ScimAccess | Self::Session | Self::SetupLink => true,
            Self::Platform | Self::ClientSecret => false,
        }
    }
}

/// A credential of known kind and form. Still to be looked up by its digest: the org it names is
/// where to look, and no proof of anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CredentialText {
    pub kind: CredentialKind,
    pub org: Option<OrgId>,
    pub digest: TokenDigest,
}

/// A new credential of a kind without an org: prefix and base64url(256 random bits).
pub fn bearer(kind: UnboundKind, chance: &dyn Chance) -> Secret<String> {
    Secret::new(format!("{}{}", kind.kind().prefix(), encode(&ids::random32(chance))))
}

/// A new credential held to an org: prefix and base64url(org, 16 bytes ‖ 256 random bits).
pub fn org_bearer(kind: OrgBoundKind, org: OrgId, chance: &dyn Chance) -> Secret<String> {
    let body = [&org.uuid().into_bytes()[..], &ids::random32(chance)].concat();
    Secret::new(format!("{}{}", kind.kind().prefix(), encode(&body)))
}

/// Kinds that name no org.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnboundKind {
    Platform,
    ClientSecret,
}

/// Kinds that name their org.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrgBoundKind {
    OrgKey,
    Scim,
    ScimAccess,
    Session,
    SetupLink,
}

impl UnboundKind {
    const fn kind(self) -> CredentialKind {
        match self {
            Self::Platform => CredentialKind::Platform,
            Self::ClientSecret => CredentialKind::ClientSecret,
        }
    }
}

impl OrgBoundKind {
    const fn kind(self) -> CredentialKind {
        match self {
            Self::OrgKey => CredentialKind::OrgKey,
            Self::Scim => CredentialKind::Scim,
            Self::ScimAccess => CredentialKind::ScimAccess,
            Self::Session => CredentialKind::Session,
            Self::SetupLink => CredentialKind::SetupLink,
        }
    }
}

impl CredentialText {
    /// Reads a text as a credential of this kind and no other.
    ///
    /// # Errors
    /// `token.credential_malformed`.
    pub fn parse(kind: CredentialKind, text: &str) -> Result<Self, Refusal> {
        let refusal = Refusal::stranger("token.credential_malformed");
        let org = if kind.names_org() {
            let bytes = decode_exact::<48>(text, kind.prefix()).ok_or(refusal.clone())?;
            Some(take_id(&bytes).ok_or(refusal)?.0)
        } else {
            decode_exact::<32>(text, kind.prefix()).ok_or(refusal)?;
            None
        };
        Ok(Self { kind, org, digest: TokenDigest::of(text) })
    }

    /// Reads a bearer token of any of these kinds: what a door that takes several asks.
    ///
    /// # Errors
    /// `token.credential_malformed`.
    pub fn parse_any(kinds: &[CredentialKind], text: &str) -> Result<Self, Refusal> {
        kinds
            .iter()
            .find_map(|kind| Self::parse(*kind, text).ok())
            .ok_or(Refusal::stranger("token.credential_malformed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::testing::Seeded;
    use uuid::Uuid;

    fn every_kind() -> Vec<(CredentialKind, Option<OrgId>, String)> {
        let (org, chance) = (OrgId::from_uuid(Uuid::from_u128(3)), Seeded::new(5));
        let bound = [
            OrgBoundKind::OrgKey,
            OrgBoundKind::Scim,
            OrgBoundKind::ScimAccess,
            OrgBoundKind::Session,
            OrgBoundKind::SetupLink,
        ];
        let unbound = [UnboundKind::Platform, UnboundKind::ClientSecret];
        let unbound = unbound.map(|k| (k.kind(), None, bearer(k, &chance).reveal().clone()));
        let bound = bound.map(|k| (k.kind(), Some(org), org_bearer(k, org, &chance).reveal().clone()));
        unbound.into_iter().chain(bound).collect()
    }

    #[test]
    fn each_kind_reads_back_as_itself_and_as_no_other() {
        let all = every_kind();
        assert_eq!(all.len(), CredentialKind::ALL.len());
        for (kind, org, text) in &all {
            for as_kind in CredentialKind::ALL {
                let read = CredentialText::parse(as_kind, text);
                assert_eq!(read.is_ok(), as_kind == *kind, "{kind:?} as {as_kind:?}");
                if let Ok(read) = read {
                    assert_eq!((read.org, read.digest), (*org, TokenDigest::of(text)));
                }
            }
            assert_eq!(CredentialText::parse_any(&CredentialKind::ALL, text).unwrap().kind, *kind);
            assert!(crate::code::parse(text).is_err());
        }
    }

    #[test]
    fn truncated_longer_or_respelled_texts_are_refused() {
        for (kind, _, text) in every_kind() {
            for cut in 0..text.len() {
                assert!(CredentialText::parse(kind, &text[..cut]).is_err());
            }
            for bad in [format!("{text}="), format!("{text}A"), format!(" {text}"), text.to_uppercase()] {
                assert!(CredentialText::parse(kind, &bad).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn the_unused_bits_of_the_last_letter_are_held_to_zero() {
        let text = bearer(UnboundKind::Platform, &Seeded::new(9));
        let stem = &text.reveal()[..text.reveal().len() - 1];
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let spellings = alphabet
            .chars()
            .filter(|c| CredentialText::parse(CredentialKind::Platform, &format!("{stem}{c}")).is_ok());
        assert_eq!(spellings.count(), 16, "32 bytes leave 4 bits in the last letter, not 6");
    }
}
