//! Refresh tokens: a family, a generation, and a MAC over both, so that the same generation always
//! has the same bytes and a lost answer can be sent again (RFC 9700 4.14.2).
//! The judge is pure: it sees a family's row as locked and says what the presented generation
//! deserves. Revocation (`rs`) is asked beside it, by the caller.

use crate::text::{decode_exact, encode, take_id};
use aws_lc_rs::hmac;
use model::{
    Refusal, Secret, Timestamp,
    ids::{AppId, FamilyId, OrgId},
};

const PREFIX: &str = "vst_rt_";
/// Keeps this MAC apart from any other made with the same key.
const PURPOSE: &[u8] = b"refresh";

/// The key under which refresh tokens derive.
pub struct RefreshKey(Secret<[u8; 32]>);

/// What a genuine refresh token names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Presented {
    pub org: OrgId,
    pub family: FamilyId,
    pub generation: u32,
}

impl RefreshKey {
    pub const fn new(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    /// `vst_rt_` and base64url(org ‖ family ‖ generation, big-endian ‖ HMAC-SHA256 of them).
    pub fn issue(&self, token: &Presented) -> Secret<String> {
        let body = token.bytes();
        let mac = hmac::sign(&self.mac_key(), &[PURPOSE, &body].concat());
        Secret::new(format!("{PREFIX}{}", encode(&[&body, mac.as_ref()].concat())))
    }

    /// Reads a token of ours.
    ///
    /// # Errors
    /// `token.refresh_malformed` (prefix, length, spelling), `token.refresh_forged` (the MAC).
    pub fn open(&self, text: &str) -> Result<Presented, Refusal> {
        let malformed = || Refusal::stranger("token.refresh_malformed");
        let bytes = decode_exact::<68>(text, PREFIX).ok_or_else(malformed)?;
        let (body, mac) = bytes.split_first_chunk::<36>().ok_or_else(malformed)?;
        hmac::verify(&self.mac_key(), &[PURPOSE, body].concat(), mac)
            .map_err(|_| Refusal::stranger("token.refresh_forged"))?;
        Presented::read(body).ok_or_else(malformed)
    }

    fn mac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.reveal())
    }
}

impl Presented {
    fn bytes(&self) -> Vec<u8> {
        let (org, family) = (self.org.uuid().into_bytes(), self.family.uuid().into_bytes());
        [&org[..], &family, &self.generation.to_be_bytes()].concat()
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (org, rest) = take_id(body)?;
        let (family, rest) = take_id(rest)?;
        Some(Self { org, family, generation: u32::from_be_bytes(rest.try_into().ok()?) })
    }
}

/// A family as its locked row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    pub client_id: AppId,
    /// The newest generation handed out; a family is born with 0.
    pub generation: u32,
    /// When that one was handed out first.
    pub rotated_at: Timestamp,
    /// Whether the newest generation has shown itself in use: then its predecessor's holder has it.
    pub successor_used: bool,
    pub expires_at: Timestamp,
    pub idle_expires_at: Timestamp,
    /// When the family was ended, by logout or by a replay.
    pub ended: Option<Timestamp>,
}

impl Family {
    /// Ended, expired, or unused for too long.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ended.is_some() || now >= self.expires_at || now >= self.idle_expires_at
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Hand out generation `next`; the presented one is spent.
    Rotate { next: u32 },
    /// The answer was lost: hand out `next`, the newest, once more, byte for byte.
    Resend { next: u32 },
    /// A spent token: somebody holds a copy. The family and its session die.
    Replay,
    /// The family is over. Nothing more to end.
    Expired,
    /// Another client's token. Refused without touching the family.
    Foreign,
}

/// Judges a genuine token against its family. `grace_secs` is the app's own window for a lost
/// answer: 0 lets none through, whatever the clocks say.
pub fn judge(
    family: &Family,
    presented_generation: u32,
    client_id: AppId,
    grace_secs: u32,
    now: Timestamp,
) -> Verdict {
    if family.client_id != client_id {
        return Verdict::Foreign;
    }
    if family.is_over(now) {
        return Verdict::Expired;
    }
    if presented_generation == family.generation {
        // After four thousand million rotations the person signs in again.
        return family.generation.checked_add(1).map_or(Verdict::Expired, |next| Verdict::Rotate { next });
    }
    let predecessor = presented_generation.checked_add(1) == Some(family.generation);
    let in_grace = grace_secs > 0 && now < family.rotated_at.plus_secs(i64::from(grace_secs));
    if predecessor && in_grace && !family.successor_used {
        return Verdict::Resend { next: family.generation };
    }
    // Older, or newer than the row knows: a copy, or a database that was set back.
    Verdict::Replay
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
