//! How many of the pool's connections one org may have: a quarter, and two at least. The others of that
//! org wait here and not in the pool's own line, where everybody else's requests would stand behind
//! them. A directory leaves one of its org's to others, and has a sixteenth only while another org is here, each turn
//! of a length, begun one after the other and in a lull: what it does in a row nobody waits for, and what others do
//! somebody does.
//! Remembers an org only while it has somebody here.

use crate::{Error, Result};
use model::ids::OrgId;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

/// One org's share of the pool: one in so many, and never fewer than two, because a story that ends what
/// it began (a receipt) would otherwise wait for itself.
const SHARE: u32 = 4;
const LEAST: u32 = 2;
/// Of an org's share a directory has one in so many while another org is here, and never fewer than two.
const NARROW: usize = 4;
const NARROW_LEAST: usize = 2;
/// So long such a turn lasts at least, however soon it is done with: a burst is spread out, and leaves the processor to
/// others in between. Where a directory asks for more turns than it has, they begin evenly spread over it, because two
/// that run at once leave one that comes meanwhile no processor. Two turns make 40 a second, and more than 25 where each
/// stands back for as long as it may.
const NARROW_LASTS: Duration = Duration::from_millis(50);
/// Such a turn begins when for so long nobody has been here who signs in or shows a token: they come several times in a
/// row.
const LULL: Duration = Duration::from_millis(3);
/// And after so long in any case.
const STANDS_BACK: Duration = Duration::from_millis(13);
/// For so long an org is taken to be here after it came.
const HERE: Duration = Duration::from_secs(1);
/// Requests of one org that wait: each holds its body in memory.
const WAITING_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Turns {
    each: usize,
    patience: Duration,
    orgs: Mutex<BTreeMap<OrgId, Arc<Semaphore>>>,
    directories: Option<Directories>,
}

/// Of the turns of an org, those that its directories may have.
#[derive(Debug)]
struct Directories {
    /// All but one.
    wide: Arc<Turns>,
    narrow: Arc<Turns>,
    /// The one that begins next, where more is asked for than `narrow` has.
    next: Arc<Turns>,
    last: Mutex<LastHere>,
    people: Mutex<People>,
}

/// Those who sign in, or show what they got by it, of whatever org. Whoever administers is not among them: a slow page
/// of theirs would keep every directory waiting.
#[derive(Debug, Default)]
struct People {
    here: usize,
    left: Option<Instant>,
}

impl People {
    /// For how long there may be no lull yet. None: there is one.
    fn lull_in(&self, now: Instant) -> Option<Duration> {
        match (self.here, self.left) {
            (0, None) => None,
            (0, Some(left)) => LULL.checked_sub(now.duration_since(left)).filter(|rest| !rest.is_zero()),
            _ => Some(LULL),
        }
    }
}

/// The org that came last, and the last one that was another.
#[derive(Debug, Default)]
struct LastHere([Option<(OrgId, Instant)>; 2]);

impl LastHere {
    fn note(&mut self, org: OrgId, now: Instant) {
        if self.0[0].is_some_and(|(last, _)| last != org) {
            self.0[1] = self.0[0];
        }
        self.0[0] = Some((org, now));
    }
    fn has_others(&self, org: OrgId, now: Instant) -> bool {
        let other = self.0.iter().flatten().find(|(one, _)| *one != org);
        other.is_some_and(|(_, at)| now.duration_since(*at) < HERE)
    }
}

/// A connection's worth of an org's share, until dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    org: OrgId,
    permit: Option<OwnedSemaphorePermit>,
    below: Option<Box<Self>>,
    /// Not given back before.
    lasts_until: Option<Instant>,
    is_persons: bool,
}

impl Directories {
    /// From one that begins to the next.
    fn apart(&self) -> Duration {
        u32::try_from(self.narrow.each).map_or(NARROW_LASTS, |each| NARROW_LASTS / each)
    }
    fn last(&self) -> MutexGuard<'_, LastHere> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lull(&self) {
        let began = Instant::now();
        while let Some(rest) = STANDS_BACK.checked_sub(began.elapsed()) {
            let Some(wait) = self.people().lull_in(Instant::now()) else { return };
            sleep(wait.min(rest)).await;
        }
    }
}

impl Turns {
    pub(crate) fn new(pool_max: u32, patience: Duration) -> Arc<Self> {
        let each = usize::try_from((pool_max / SHARE).max(LEAST)).unwrap_or(2);
        let of =
            |each: usize, directories| Arc::new(Self { each, patience, orgs: Mutex::default(), directories });
        let (wide, narrow) = (of(each - 1, None), of((each / NARROW).max(NARROW_LEAST), None));
        let (next, last, people) = (of(1, None), Mutex::default(), Mutex::default());
        of(each, Some(Directories { wide, narrow, next, last, people }))
    }

    /// The same, for a directory: what it asks must not keep out whoever would stop it, nor slow down others.
    pub(crate) async fn take_for_directory(self: &Arc<Self>, org: OrgId) -> Result<Turn> {
        let Some(directories) = &self.directories else { return self.take(org).await };
        let mut below = directories.wide.take(org).await?;
        if directories.last().has_others(org, Instant::now()) {
            let asks_for_more = directories.narrow.has_none_left(org);
            let mut narrow = directories.narrow.take(org).await?;
            if asks_for_more {
                let mut next = directories.next.take(org).await?;
                directories.lull().await;
                next.lasts_until = Instant::now().checked_add(directories.apart());
            }
            narrow.lasts_until = Instant::now().checked_add(NARROW_LASTS);
            below.below = Some(Box::new(narrow));
        }
        let mut turn = self.take(org).await?;
        turn.below = Some(Box::new(below));
        Ok(turn)
    }

    /// The same, for somebody who signs in and has shown something for it: directories that crowd stand back for them.
    pub(crate) async fn take_for_sign_in(self: &Arc<Self>, org: OrgId) -> Result<Turn> {
        if let Some(directories) = &self.directories {
            directories.people().here += 1;
        }
        let mut person =
            Turn { turns: self.clone(), org, permit: None, below: None, lasts_until: None, is_persons: true };
        let turn = self.take(org).await?;
        person.below = Some(Box::new(turn));
        Ok(person)
    }

    /// Somebody of this org is here, and has shown who: its directories' neighbours, not a stranger who names it.
    pub(crate) fn note(&self, org: OrgId) {
        if let Some(directories) = &self.directories {
            directories.last().note(org, Instant::now());
        }
    }

    fn has_none_left(&self, org: OrgId) -> bool {
        let orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        orgs.get(&org).is_some_and(|one| one.available_permits() == 0)
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
        let mut turn = Turn {
            turns: self.clone(),
            org,
            permit: None,
            below: None,
            lasts_until: None,
            is_persons: false,
        };
        let permit = timeout(self.patience, semaphore.acquire_owned()).await;
        turn.permit = Some(permit.map_err(|_| Error::Crowded)?.map_err(|_| Error::Crowded)?);
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let rest = self.lasts_until.take().and_then(|until| until.checked_duration_since(Instant::now()));
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            let (turns, org, permit) = (self.turns.clone(), self.org, self.permit.take());
            let resting = Self { turns, org, permit, below: None, lasts_until: None, is_persons: false };
            runtime.spawn(async move {
                sleep(rest).await;
                drop(resting);
            });
            return;
        }
        if self.is_persons
            && let Some(directories) = &self.turns.directories
        {
            let mut people = directories.people();
            people.here = people.here.saturating_sub(1);
            people.left = Some(Instant::now());
        }
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
            held.push(turns.take_for_directory(org(1)).await.unwrap());
        }
        assert!(matches!(turns.take_for_directory(org(1)).await, Err(Error::Crowded)));
        assert!(turns.take(org(1)).await.is_ok());
        held.pop();
        assert!(turns.take_for_directory(org(1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_directory_stands_back_while_another_org_is_here() {
        let turns = Turns::new(32, Duration::from_millis(60));
        let alone = (turns.take_for_directory(org(1)).await, turns.take_for_directory(org(1)).await);
        assert!(alone.0.is_ok() && alone.1.is_ok());
        drop(turns.take(org(2)).await.unwrap());
        let named = (turns.take_for_directory(org(1)).await, turns.take_for_directory(org(1)).await);
        assert!(named.0.is_ok() && named.1.is_ok(), "whoever only names another org is a stranger");
        let third = turns.take_for_directory(org(1)).await;
        assert!(third.is_ok());
        drop((named, third));
        turns.note(org(2));
        let mut held = vec![turns.take_for_directory(org(1)).await.unwrap()];
        held.push(turns.take_for_directory(org(1)).await.unwrap());
        assert!(matches!(turns.take_for_directory(org(1)).await, Err(Error::Crowded)));
        assert!(turns.take(org(1)).await.is_ok(), "its people do not");
        held.pop();
        assert!(turns.take_for_directory(org(1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_burst_of_a_directorys_is_spread_out_while_another_org_is_here() {
        let turns = Turns::new(32, Duration::from_secs(5));
        let burst = async || {
            let began = Instant::now();
            for _ in 0..8 {
                drop(turns.take_for_directory(org(1)).await.unwrap());
            }
            began.elapsed()
        };
        turns.note(org(2));
        assert!(burst().await >= NARROW_LASTS * 3, "two at a time");
        sleep(NARROW_LASTS * 2).await;
        let directories = turns.directories.as_ref().unwrap();
        assert!(directories.narrow.orgs.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_a_directory_crowds_with_begins_one_after_the_other() {
        let turns = Turns::new(32, Duration::from_secs(5));
        turns.note(org(2));
        let begins = (0..6).map(|_| {
            let turns = turns.clone();
            tokio::spawn(async move {
                let turn = turns.take_for_directory(org(1)).await.unwrap();
                let began = Instant::now();
                drop(turn);
                began
            })
        });
        let mut began = Vec::new();
        for one in begins.collect::<Vec<_>>() {
            began.push(one.await.unwrap());
        }
        began.sort();
        let apart = turns.directories.as_ref().unwrap().apart();
        assert_eq!(apart * 2, NARROW_LASTS);
        let crowding = &began[NARROW_LEAST..];
        for pair in crowding.windows(2) {
            assert!(pair[1].duration_since(pair[0]) >= apart - Duration::from_millis(1), "{began:?}");
        }
    }

    #[tokio::test]
    async fn a_directory_that_crowds_waits_for_a_lull_and_one_that_does_not_does_not() {
        let turns = Turns::new(16, Duration::from_secs(5));
        let began = async || {
            let began = Instant::now();
            let turn = turns.take_for_directory(org(1)).await.unwrap();
            (turn, began.elapsed())
        };
        turns.note(org(2));
        let person = turns.take_for_sign_in(org(2)).await.unwrap();
        for _ in 0..NARROW_LEAST {
            let (turn, waited) = began().await;
            assert!(waited < NARROW_LASTS, "{waited:?}");
            drop(turn);
        }
        let (turn, waited) = began().await;
        assert!(waited >= STANDS_BACK, "somebody signs in all the time, and it gets its turn all the same");
        drop((turn, person));
        assert_eq!(turns.directories.as_ref().unwrap().people().here, 0);
    }

    #[test]
    fn a_lull_is_so_long_after_the_last_has_left() {
        let now = Instant::now();
        let lull_in = |here, left| People { here, left }.lull_in(now + LULL);
        assert_eq!((lull_in(0, None), lull_in(0, Some(now))), (None, None));
        assert_eq!(lull_in(0, Some(now + LULL / 3)), Some(LULL / 3));
        assert_eq!((lull_in(1, None), lull_in(1, Some(now))), (Some(LULL), Some(LULL)));
    }

    #[test]
    fn another_org_is_here_for_a_while_whoever_came_last() {
        let (mut last, now) = (LastHere::default(), Instant::now());
        assert!(!last.has_others(org(1), now));
        last.note(org(2), now);
        last.note(org(1), now);
        last.note(org(1), now);
        assert!(last.has_others(org(1), now) && last.has_others(org(2), now) && last.has_others(org(3), now));
        last.note(org(1), now + HERE);
        assert!(!last.has_others(org(1), now + HERE));
        assert!(last.has_others(org(2), now + HERE));
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
