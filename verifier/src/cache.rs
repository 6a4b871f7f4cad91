//! Tokens whose signature has been verified, by their digest: an ES256 verification is the dearest
//! part of a check. What is kept is the signature's truth alone; times and revocations are judged
//! each time, and a key that is no longer published ends what it verified.

use crate::{claims::Claims, keys::Key};
use aws_lc_rs::digest::{SHA256, digest};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
};

/// The name of a token here: nothing keeps the token itself.
pub(crate) type Name = [u8; 32];

pub(crate) fn name(token: &str) -> Option<Name> {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()
}

/// A token that was verified by a key.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) claims: Claims,
    pub(crate) key: Arc<Key>,
    /// When the gateway was last asked, and said that it is active: a moment of `Pulse`.
    pub(crate) asked: AtomicU64,
}

/// At most so many of them: two halves, of which the elder is dropped when the younger is full.
#[derive(Debug)]
pub(crate) struct Cache {
    halves: RwLock<[HashMap<Name, Arc<Proven>>; 2]>,
    half_max: usize,
}

impl Cache {
    pub(crate) fn new(max: usize) -> Self {
        Self { halves: RwLock::default(), half_max: max / 2 }
    }

    pub(crate) fn get(&self, name: &Name) -> Option<Arc<Proven>> {
        let found = {
            let halves = self.halves.read().unwrap_or_else(PoisonError::into_inner);
            let [young, old] = &*halves;
            if let Some(found) = young.get(name) {
                return Some(found.clone());
            }
            old.get(name).cloned()?
        };
        self.put(*name, found.clone());
        Some(found)
    }

    pub(crate) fn put(&self, name: Name, proven: Arc<Proven>) {
        if self.half_max == 0 {
            return;
        }
        let dropped = {
            let mut halves = self.halves.write().unwrap_or_else(PoisonError::into_inner);
            let [young, old] = &mut *halves;
            let full = young.len() >= self.half_max && !young.contains_key(&name);
            let dropped = full.then(|| std::mem::replace(old, std::mem::take(young)));
            young.insert(name, proven);
            dropped
        };
        // Outside the lock: ten thousand claims take their time.
        drop(dropped);
    }

    pub(crate) fn len(&self) -> usize {
        self.halves.read().unwrap_or_else(PoisonError::into_inner).iter().map(HashMap::len).sum()
    }
}
