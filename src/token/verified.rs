//! Which texts a ring's keys are known to have signed. A token is shown many times in its life, and verifying an
//! ES256 signature costs more than all the rest of a judgement. Only what a signature has proven is remembered, by
//! the digest of the whole text: nobody fills it with what we did not sign, and every other question (the header,
//! the times, the revocations) is asked each time. It ends with its ring, so a withdrawn key leaves nothing.

use aws_lc_rs::digest;
use std::{
    collections::HashSet,
    fmt, mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Texts of one generation. Two are held, at 32 bytes a text: under 2 MB.
const TEXTS_MAX: usize = 16 * 1_024;

type Digest = [u8; 32];

#[derive(Default)]
pub(crate) struct Verified(Mutex<Generations>);

/// When the young are too many they become the old, and the old are forgotten.
#[derive(Default)]
struct Generations {
    young: HashSet<Digest>,
    old: HashSet<Digest>,
}

impl Verified {
    /// Whether `verify` holds for this text: known, or found out now. What is false is found out each time.
    pub(crate) fn holds(&self, text: &str, verify: impl FnOnce() -> bool) -> bool {
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        if self.held().young.contains(&digest) {
            return true;
        }
        let holds = self.held().old.contains(&digest) || verify();
        if holds {
            self.held().keep(digest);
        }
        holds
    }

    fn held(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, digest: Digest) {
        if self.young.len() >= TEXTS_MAX {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest);
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({} texts)", self.held().young.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_held_is_not_asked_again_and_what_did_not_is() {
        let verified = Verified::default();
        assert!(!verified.holds("a", || false));
        assert!(verified.holds("a", || true));
        assert!(verified.holds("a", || false));
        assert!(!verified.holds("b", || false), "of another text nothing is known");
    }

    #[test]
    fn so_many_are_remembered_and_those_that_are_shown_again_stay() {
        let verified = Verified::default();
        assert!(verified.holds("kept", || true) && verified.holds("lost", || true));
        for round in 0..3 {
            for n in 0..TEXTS_MAX {
                assert!(verified.holds(&format!("{round} {n}"), || true));
            }
            assert!(verified.holds("kept", || false), "{round}");
        }
        assert!(!verified.holds("lost", || false));
        let held = verified.held();
        assert!(held.young.len() <= TEXTS_MAX && held.old.len() <= TEXTS_MAX);
    }
}
