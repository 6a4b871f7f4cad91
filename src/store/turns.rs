//! How many of the pool's connections one org may have: a quarter, and two at least. The others of that
//! org wait here and not in the pool's own line, where everybody else's requests would stand behind
//! them. Remembers an org only while it has somebody here.

use crate::{Error, Result};
use model::ids::OrgId;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// One org's share of the pool: one in so many, and never fewer than two, because a story that ends what
/// it began (a receipt) would otherwise wait for itself.
const SHARE: u32 = 4;
const LEAST: u32 = 2;
/// Requests of one org that wait: each holds its body in memory.
const WAITING_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Turns {
    each: usize,
    patience: Duration,
    orgs: Mutex<BTreeMap<OrgId, Arc<Semaphore>>>,
    /// For those who leave one turn of each org to others: all but one.
    lower: Option<Arc<Self>>,
}

/// A connection's worth of an org's share, until dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    org: OrgId,
    permit: Option<OwnedSemaphorePermit>,
    below: Option<Box<Self>>,
}

impl Turns {
    pub(crate) fn new(pool_max: u32, patience: Duration) -> Arc<Self> {
        let each = usize::try_from((pool_max / SHARE).max(LEAST)).unwrap_or(2);
        let lower = Self { each: each - 1, patience, orgs: Mutex::default(), lower: None };
        Arc::new(Self { each, patience, orgs: Mutex::default(), lower: Some(Arc::new(lower)) })
    }

    /// The same, for a directory: its searches must not keep out whoever would stop it.
    pub(crate) async fn take_leaving_one(self: &Arc<Self>, org: OrgId) -> Result<Turn> {
        let below = match &self.lower {
            Some(lower) => Some(Box::new(lower.take(org).await?)),
            None => None,
        };
        let mut turn = self.take(org).await?;
        turn.below = below;
        Ok(turn)
    }

    /// Waits for a turn of this org. `Error::Crowded` when it does not come in time, or when too many
    /// wait already.
    pub(crate) async fn take(self: &Arc<Self>, org: OrgId) -> Result<Turn> {
        let semaphore = {
            let mut orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
            let semaphore = orgs.entry(org).or_insert_with(|| Arc::new(Semaphore::new(self.each)));
            // The map's own, one for each that has a turn, one for each that waits.
            if Arc::strong_count(semaphore) > self.each.saturating_add(WAITING_MAX) {
                return Err(Error::Crowded);
            }
            semaphore.clone()
        };
        // Made before the wait: whoever hangs up is forgotten as well.
        let mut turn = Turn { turns: self.clone(), org, permit: None, below: None };
        let permit = timeout(self.patience, semaphore.acquire_owned()).await;
        turn.permit = Some(permit.map_err(|_| Error::Crowded)?.map_err(|_| Error::Crowded)?);
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut orgs = self.turns.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(entry) = orgs.entry(self.org)
            && Arc::strong_count(entry.get()) == 1
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn org(n: u128) -> OrgId {
        OrgId::from_uuid(Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn one_org_has_its_share_and_no_more_and_another_has_its_own() {
        let turns = Turns::new(16, Duration::from_millis(20));
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(turns.take(org(1)).await.unwrap());
        }
        assert!(matches!(turns.take(org(1)).await, Err(Error::Crowded)));
        assert!(turns.take(org(2)).await.is_ok());
        held.pop();
        assert!(turns.take(org(1)).await.is_ok());
        assert_eq!(Turns::new(3, Duration::ZERO).each, 2);
    }

    #[tokio::test]
    async fn a_directory_leaves_one_turn_to_others() {
        let turns = Turns::new(16, Duration::from_millis(20));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(turns.take_leaving_one(org(1)).await.unwrap());
        }
        assert!(matches!(turns.take_leaving_one(org(1)).await, Err(Error::Crowded)));
        assert!(turns.take(org(1)).await.is_ok());
        held.pop();
        assert!(turns.take_leaving_one(org(1)).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_is_remembered_who_is_not_here() {
        let turns = Turns::new(8, Duration::from_millis(5));
        let held = (turns.take(org(1)).await.unwrap(), turns.take(org(1)).await.unwrap());
        assert!(turns.take(org(1)).await.is_err());
        drop(Box::pin(turns.take(org(3))));
        assert_eq!(turns.orgs.lock().unwrap().len(), 1);
        drop(held);
        assert!(turns.orgs.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn too_many_are_turned_away_at_once() {
        let turns = Turns::new(8, Duration::from_secs(60));
        let mut waiting = Vec::new();
        for _ in 0..2 + WAITING_MAX {
            let turns = turns.clone();
            waiting.push(tokio::spawn(async move { turns.take(org(1)).await.map(std::mem::forget) }));
        }
        let here = || turns.orgs.lock().unwrap().get(&org(1)).map_or(0, Arc::strong_count);
        while here() < 3 + WAITING_MAX {
            tokio::task::yield_now().await;
        }
        let refused = timeout(Duration::from_secs(1), turns.take(org(1))).await;
        assert!(matches!(refused, Ok(Err(Error::Crowded))), "at once");
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
