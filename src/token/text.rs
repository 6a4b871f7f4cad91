//! Bytes as text and back, in exactly one way: unpadded base64url whose unused bits are zero.
//! A second spelling of the same bytes would be a second token with the same meaning.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::ids::{Id, Kind};
use uuid::Uuid;

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Padding, white space, another alphabet or non-zero unused bits give `None`.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The bytes behind `prefix`, if they are exactly `N`.
pub(crate) fn decode_exact<const N: usize>(text: &str, prefix: &str) -> Option<[u8; N]> {
    let body = text.strip_prefix(prefix)?;
    if body.len() != (N * 4).div_ceil(3) {
        return None;
    }
    decode(body)?.try_into().ok()
}

/// Splits an id's 16 bytes off the front.
pub(crate) fn take_id<K: Kind>(bytes: &[u8]) -> Option<(Id<K>, &[u8])> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    Some((Id::from_uuid(Uuid::from_bytes(*id)), rest))
}

#[cfg(test)]
pub(crate) mod testing {
    use model::Chance;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A seed's chance (splitmix64): the same run each time.
    pub(crate) struct Seeded(AtomicU64);

    impl Seeded {
        pub(crate) fn new(seed: u64) -> Self {
            Self(AtomicU64::new(seed))
        }
        pub(crate) fn next(&self) -> u64 {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    impl Chance for Seeded {
        fn fill(&self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(8) {
                let next = self.next().to_le_bytes();
                chunk.copy_from_slice(&next[..chunk.len()]);
            }
        }
    }
}
