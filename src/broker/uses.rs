//! When a credential was last used, to the minute: noted in memory and written by a job, so that a request
//! by it costs no write.

use model::{
    Timestamp,
    ids::{KeyId, OrgId},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Credentials noted between two rounds: 65,536 take some 6 MB. One more is noted in the next.
const NOTED_MAX: usize = 65_536;

#[derive(Default)]
pub struct Uses(Mutex<BTreeMap<(OrgId, KeyId), Timestamp>>);

impl Uses {
    pub fn note(&self, org: OrgId, key: KeyId, at: Timestamp) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < NOTED_MAX || noted.contains_key(&(org, key)) {
            noted.insert((org, key), at);
        }
    }

    /// Takes everything out, by org.
    pub fn take(&self) -> BTreeMap<OrgId, Vec<(KeyId, Timestamp)>> {
        let noted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: BTreeMap<OrgId, Vec<(KeyId, Timestamp)>> = BTreeMap::new();
        for ((org, key), at) in noted {
            taken.entry(org).or_default().push((key, at));
        }
        taken
    }
}
