//! The pass: what a browser holds at an app that stands behind a proxy, in place of tokens. It names its refresh
//! family and whose that is, under a MAC of a key of its own; whether that lives is the ledger's to say, at each
//! use. It is no refresh token and none is a pass: neither the text nor the key of one reads as the other.

use crate::text::{decode_exact, encode, take_id};
use aws_lc_rs::{hkdf, hmac};
use model::{
    Refusal, Secret,
    ids::{ConnectionId, FamilyId, OrgId, SessionId, UserId},
};

const PREFIX: &str = "vst_pass_";
/// Keeps this key apart from any other that is derived from the same secret.
const PURPOSE: &[u8] = b"vestibule pass 1";

/// The key under which passes are made.
pub struct PassKey(hmac::Key);

/// What a genuine pass names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    pub org: OrgId,
    pub family: FamilyId,
    pub session: SessionId,
    pub user: UserId,
    pub connection: ConnectionId,
}

impl PassKey {
    /// Derived (HKDF-SHA256) from the secret that refresh tokens derive from. `None`: the library failed.
    pub fn derived(secret: &Secret<[u8; 32]>) -> Option<Self> {
        let mut key = [0; 32];
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
        salt.extract(secret.reveal())
            .expand(&[PURPOSE], hkdf::HKDF_SHA256)
            .and_then(|expanded| expanded.fill(&mut key))
            .ok()?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// `vst_pass_` and base64url(org ‖ family ‖ session ‖ user ‖ connection ‖ HMAC-SHA256 of them).
    pub fn issue(&self, pass: &Pass) -> Secret<String> {
        let body = pass.bytes();
        let mac = hmac::sign(&self.0, &body);
        Secret::new(format!("{PREFIX}{}", encode(&[&body, mac.as_ref()].concat())))
    }

    /// Reads a pass of ours.
    ///
    /// # Errors
    /// `token.pass_malformed` (prefix, length, spelling), `token.pass_forged` (the MAC).
    pub fn open(&self, text: &str) -> Result<Pass, Refusal> {
        let malformed = || Refusal::stranger("token.pass_malformed");
        let bytes = decode_exact::<112>(text, PREFIX).ok_or_else(malformed)?;
        let (body, mac) = bytes.split_first_chunk::<80>().ok_or_else(malformed)?;
        hmac::verify(&self.0, body, mac).map_err(|_| Refusal::stranger("token.pass_forged"))?;
        Pass::read(body).ok_or_else(malformed)
    }
}

impl Pass {
    fn bytes(&self) -> Vec<u8> {
        let ids = [
            self.org.uuid(),
            self.family.uuid(),
            self.session.uuid(),
            self.user.uuid(),
            self.connection.uuid(),
        ];
        ids.into_iter().flat_map(uuid::Uuid::into_bytes).collect()
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (org, rest) = take_id(body)?;
        let (family, rest) = take_id(rest)?;
        let (session, rest) = take_id(rest)?;
        let (user, rest) = take_id(rest)?;
        let (connection, rest) = take_id(rest)?;
        rest.is_empty().then_some(Self { org, family, session, user, connection })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::{Presented, RefreshKey};
    use model::ids::{Id, Kind};
    use uuid::Uuid;

    const SECRET: [u8; 32] = [7; 32];

    fn id<K: Kind>(n: u128) -> Id<K> {
        Id::from_uuid(Uuid::from_u128(n))
    }

    fn pass() -> Pass {
        Pass { org: id(1), family: id(2), session: id(3), user: id(4), connection: id(5) }
    }

    fn key(byte: u8) -> PassKey {
        PassKey::derived(&Secret::new([byte; 32])).unwrap()
    }

    #[test]
    fn it_opens_to_itself_under_its_own_key_and_in_one_spelling() {
        let issued = key(7).issue(&pass());
        let text = issued.reveal();
        assert_eq!(key(7).open(text), Ok(pass()));
        assert_eq!(key(8).open(text).unwrap_err().code, "token.pass_forged");
        for at in 0..text.len() {
            assert_eq!(key(7).open(&text[..at]).unwrap_err().code, "token.pass_malformed");
            for letter in ['A', 'Q', 'g', '_'] {
                let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
                assert_eq!(key(7).open(&changed).is_ok(), changed == *text, "{at} {letter}");
            }
        }
        for bad in [format!("{text}="), format!("{text}A"), format!(" {text}"), text.to_uppercase()] {
            assert_eq!(key(7).open(&bad).unwrap_err().code, "token.pass_malformed", "{bad}");
        }
    }

    #[test]
    fn neither_a_pass_nor_its_key_is_a_refresh_tokens() {
        let refresh = RefreshKey::new(Secret::new(SECRET));
        let token = refresh.issue(&Presented { org: id(1), family: id(2), generation: 0 });
        let pass_text = key(7).issue(&pass());
        assert!(key(7).open(token.reveal()).is_err() && refresh.open(pass_text.reveal()).is_err());
        let renamed = token.reveal().replace("vst_rt_", PREFIX);
        assert_eq!(key(7).open(&renamed).unwrap_err().code, "token.pass_malformed");
        // The secret itself, and the words that keep refresh tokens apart, make no pass.
        let bare = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
        for purpose in [b"".as_slice(), b"refresh", PURPOSE] {
            let mac = hmac::sign(&bare, &[purpose, &pass().bytes()].concat());
            let made = format!("{PREFIX}{}", encode(&[&pass().bytes(), mac.as_ref()].concat()));
            assert_eq!(key(7).open(&made).unwrap_err().code, "token.pass_forged");
        }
    }
}
