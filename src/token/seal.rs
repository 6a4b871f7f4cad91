//! Sealing what must be kept but not seen: IdP secrets, signing keys, audit values, the cookie of a
//! login attempt. AES-256-GCM under a key of its own for each blob, derived by HKDF from the seal
//! key, the purpose and a fresh salt: a blob of one purpose does not open as another, and no nonce
//! can repeat however many blobs there are (a shared key would be spent after 2³² of them).

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use model::{Chance, Refusal, Secret};
use std::fmt;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// version ‖ key id, big-endian ‖ salt; the ciphertext and its tag follow.
const HEADER_BYTES: usize = 1 + 4 + SALT_BYTES;

/// Which seal key made a blob: it stands in the blob's header, so that keys can be rotated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SealKeyId(pub u32);

/// The seal keys of the process: one seals, all open.
pub struct SealKeys {
    current: (SealKeyId, Secret<[u8; 32]>),
    older: Vec<(SealKeyId, Secret<[u8; 32]>)>,
}

/// The cipher itself failed: a blob longer than it takes. Nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealFault;

impl fmt::Display for SealFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value could not be sealed")
    }
}
impl std::error::Error for SealFault {}

impl SealKeys {
    pub const fn new(
        current: (SealKeyId, Secret<[u8; 32]>),
        older: Vec<(SealKeyId, Secret<[u8; 32]>)>,
    ) -> Self {
        Self { current, older }
    }

    /// Seals `plain` for a purpose (`idp_secret`, `signing_key`, …). `aad` is what the blob belongs
    /// to (its org, its row): it must be given again to open it, and is not stored.
    pub fn seal(
        &self,
        purpose: &str,
        aad: &[u8],
        plain: &[u8],
        chance: &dyn Chance,
    ) -> Result<Vec<u8>, SealFault> {
        let (id, key) = &self.current;
        let mut salt = [0; SALT_BYTES];
        chance.fill(&mut salt);
        let header = [&[VERSION][..], &id.0.to_be_bytes(), &salt].concat();
        let cipher = blob_cipher(key, purpose, &salt).ok_or(SealFault)?;
        let mut body = Vec::with_capacity(plain.len() + TAG_BYTES);
        body.extend_from_slice(plain);
        cipher
            .seal_in_place_append_tag(only_nonce(), Aad::from(bound(&header, aad)), &mut body)
            .map_err(|_| SealFault)?;
        Ok([header, body].concat())
    }

    /// Opens a blob sealed for this purpose with this `aad`, under the current or an older key.
    ///
    /// # Errors
    /// `token.seal_malformed` (too short, another version), `token.seal_unknown_key`,
    /// `token.seal_broken` (another purpose, another `aad`, or changed bytes).
    pub fn open(&self, purpose: &str, aad: &[u8], blob: &[u8]) -> Result<Secret<Vec<u8>>, Refusal> {
        let malformed = || Refusal::stranger("token.seal_malformed");
        let (header, body) = blob.split_first_chunk::<HEADER_BYTES>().ok_or_else(malformed)?;
        let (version_and_id, salt) = header.split_first_chunk::<5>().ok_or_else(malformed)?;
        let [version, id @ ..] = version_and_id;
        if *version != VERSION || body.len() < TAG_BYTES {
            return Err(malformed());
        }
        let id = SealKeyId(u32::from_be_bytes(*id));
        let key = self.find(id).ok_or_else(|| Refusal::stranger("token.seal_unknown_key"))?;
        let broken = || Refusal::stranger("token.seal_broken");
        let cipher = blob_cipher(key, purpose, salt).ok_or_else(broken)?;
        let mut plain = body.to_vec();
        let length = cipher
            .open_in_place(only_nonce(), Aad::from(bound(header, aad)), &mut plain)
            .map_err(|_| broken())?
            .len();
        plain.truncate(length);
        Ok(Secret::new(plain))
    }

    /// Was this blob sealed under another key than the current one? Then a job seals it anew.
    pub fn is_stale(&self, blob: &[u8]) -> bool {
        let [_, id @ ..] = blob.first_chunk::<5>().copied().unwrap_or_default();
        SealKeyId(u32::from_be_bytes(id)) != self.current.0
    }

    fn find(&self, id: SealKeyId) -> Option<&Secret<[u8; 32]>> {
        std::iter::once(&self.current).chain(&self.older).find(|(known, _)| *known == id).map(|(_, key)| key)
    }
}

/// The one blob's own key: HKDF-SHA256 of the seal key with the salt, for the purpose.
fn blob_cipher(key: &Secret<[u8; 32]>, purpose: &str, salt: &[u8]) -> Option<LessSafeKey> {
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.reveal());
    let info = [b"vestibule seal 1 ".as_slice(), purpose.as_bytes()];
    Some(LessSafeKey::new(UnboundKey::from(secret.expand(&info, &AES_256_GCM).ok()?)))
}

/// Each key seals one blob, so its one nonce is zero.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Header and caller's data; the header's fixed length keeps them apart.
fn bound(header: &[u8], aad: &[u8]) -> Vec<u8> {
    [header, aad].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::testing::Seeded;

    fn keys(current: u32, older: &[u32]) -> SealKeys {
        let key = |id: &u32| (SealKeyId(*id), Secret::new([id.to_le_bytes()[0]; 32]));
        SealKeys::new(key(&current), older.iter().map(key).collect())
    }

    #[test]
    fn opens_for_its_purpose_and_owner_alone() {
        let (keys, chance) = (keys(1, &[]), Seeded::new(1));
        let blob = keys.seal("idp_secret", b"con_1", b"hunter2", &chance).unwrap();
        assert!(!blob.windows(7).any(|seen| seen == b"hunter2"));
        assert_eq!(keys.open("idp_secret", b"con_1", &blob).unwrap().reveal(), b"hunter2");
        for (purpose, aad) in
            [("signing_key", "con_1"), ("idp_secret", "con_2"), ("", "con_1"), ("idp_secret", "")]
        {
            assert_eq!(keys.open(purpose, aad.as_bytes(), &blob).unwrap_err().code, "token.seal_broken");
        }
        let empty = keys.seal("idp_secret", b"", b"", &chance).unwrap();
        assert!(keys.open("idp_secret", b"", &empty).unwrap().reveal().is_empty());
        assert_ne!(empty, keys.seal("idp_secret", b"", b"", &chance).unwrap(), "a fresh salt each time");
    }

    #[test]
    fn any_changed_or_missing_byte_is_refused() {
        let keys = keys(1, &[2]);
        let blob = keys.seal("p", b"a", b"plain", &Seeded::new(2)).unwrap();
        for at in 0..blob.len() {
            assert!(keys.open("p", b"a", &blob[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut changed = blob.clone();
                changed[at] ^= 1 << bit;
                assert!(keys.open("p", b"a", &changed).is_err(), "bit {bit} of {at}");
            }
        }
        assert_eq!(keys.open("p", b"a", &[]).unwrap_err().code, "token.seal_malformed");
    }

    #[test]
    fn an_older_key_opens_until_it_is_gone() {
        let blob = keys(1, &[]).seal("p", b"a", b"x", &Seeded::new(3)).unwrap();
        let rotated = keys(2, &[1]);
        assert_eq!(rotated.open("p", b"a", &blob).unwrap().reveal(), b"x");
        assert!(rotated.is_stale(&blob));
        assert!(!rotated.is_stale(&rotated.seal("p", b"a", b"x", &Seeded::new(4)).unwrap()));
        assert_eq!(keys(3, &[2]).open("p", b"a", &blob).unwrap_err().code, "token.seal_unknown_key");
        let impostor = SealKeys::new((SealKeyId(1), Secret::new([9; 32])), vec![]);
        assert_eq!(impostor.open("p", b"a", &blob).unwrap_err().code, "token.seal_broken");
    }
}
