//! How many of the pool's connections one org may have: a quarter, and two at least. The others of that
//! org wait here and not in the pool's own line, where everybody else's requests would stand behind
//! them. A directory leaves one of its org's to others, and has a sixteenth only while people of another org are here,
//! each turn of a length, begun one after the other and in a lull: what it does in a row nobody waits for, and what
//! people do somebody does. Another org's directory is nobody to wait for, but all of them leave a quarter to others.
//! Remembers an org only while it has somebody here.

use crate::{Error, Result};
use model::{ids::OrgId, org::Passage};
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
/// Of an org's share a directory has one in so many while people of another org are here, and never fewer than two.
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
/// For so long people are taken to be here after they came.
const HERE: Duration = Duration::from_secs(1);
/// Requests of one org that wait: each holds its body in memory.
const WAITING_MAX: usize = 256;
/// Of a directory that is paced so many for each of its turns: what comes on top would wait for seconds.
const NARROW_WAITING_MAX: usize = 32;

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
    /// Who tries many things at once, one at a time: what is meant has the other turns.
    rehearsals: Arc<Turns>,
    /// For all orgs together: however many directories crowd, somebody who signs in finds a connection.
    all: Arc<Semaphore>,
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

/// The org whose people came last, and the last one that was another.
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
    /// A directory's, of those of all orgs.
    among: Option<OwnedSemaphorePermit>,
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
        let (next, rehearsals) = (of(1, None), of(1, None));
        let (last, people) = (Mutex::default(), Mutex::default());
        let left = usize::try_from(pool_max).unwrap_or(1).saturating_sub(each).max(1);
        let all = Arc::new(Semaphore::new(left));
        of(each, Some(Directories { wide, narrow, next, rehearsals, all, last, people }))
    }

    /// For who comes to this org by this passage, and has shown who it is or only says so. Jobs need none: each has its
    /// own bound, and none should stand behind one org's requests.
    pub(crate) async fn take_by(
        self: &Arc<Self>,
        passage: Passage,
        org: OrgId,
        is_known: bool,
    ) -> Result<Option<Turn>> {
        let is_person = is_known && matches!(passage, Passage::SignIn | Passage::Administer);
        if let (true, Some(directories)) = (is_person, &self.directories) {
            directories.last().note(org, Instant::now());
        }
        Ok(Some(match passage {
            Passage::Operate => return Ok(None),
            Passage::Provision => self.take_for_directory(org).await?,
            Passage::SignIn if is_known => self.take_for_sign_in(org).await?,
            Passage::SignIn | Passage::Administer => self.take(org).await?,
        }))
    }

    /// The same, for a directory: what it asks must not keep out whoever would stop it, nor slow down others.
    async fn take_for_directory(self: &Arc<Self>, org: OrgId) -> Result<Turn> {
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
        let among = timeout(self.patience, directories.all.clone().acquire_owned()).await;
        turn.among = Some(among.map_err(|_| Error::Crowded)?.map_err(|_| Error::Crowded)?);
        Ok(turn)
    }

    /// Whether as many of this org's directories' requests wait as may: one more would wait for long, or in vain.
    pub(crate) fn is_backed_up(&self, org: OrgId) -> bool {
        self.directories.as_ref().is_some_and(|directories| {
            let waiting = directories.wide.waiting(org);
            waiting >= WAITING_MAX
                || waiting >= directories.narrow.each * NARROW_WAITING_MAX
                    && directories.last().has_others(org, Instant::now())
        })
    }

    /// The same, for a directory that tries so many things in one turn. While people of another org are here it is the
    /// last of its kind for as long as these would take one after the other.
    pub(crate) async fn take_for_rehearsal(self: &Arc<Self>, org: OrgId, things: u32) -> Result<Turn> {
        let Some(directories) = &self.directories else { return self.take(org).await };
        let mut one = directories.rehearsals.take(org).await?;
        one.below = Some(Box::new(self.take_for_directory(org).await?));
        if directories.last().has_others(org, Instant::now()) {
            one.lasts_until = Instant::now().checked_add(directories.apart().saturating_mul(things));
        }
        Ok(one)
    }

    /// The same, for somebody who signs in and has shown something for it: directories that crowd stand back for them.
    async fn take_for_sign_in(self: &Arc<Self>, org: OrgId) -> Result<Turn> {
        if let Some(directories) = &self.directories {
            directories.people().here += 1;
        }
        let mut person = Turn::none(self, org);
        person.is_persons = true;
        let turn = self.take(org).await?;
        person.below = Some(Box::new(turn));
        Ok(person)
    }

    fn waiting(&self, org: OrgId) -> usize {
        let orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        orgs.get(&org).map_or(0, |one| Self::here(one).saturating_sub(self.each))
    }

    /// Those that have a turn and those that wait, of one org: each holds its semaphore, as does the map.
    fn here(one: &Arc<Semaphore>) -> usize {
        Arc::strong_count(one).saturating_sub(1)
    }

    fn has_none_left(&self, org: OrgId) -> bool {
        let orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
        orgs.get(&org).is_some_and(|one| one.available_permits() == 0)
    }

    /// Waits for a turn of this org. `Error::Crowded` when it does not come in time, or when too many
    /// wait already.
    async fn take(self: &Arc<Self>, org: OrgId) -> Result<Turn> {
        let semaphore = {
            let mut orgs = self.orgs.lock().unwrap_or_else(PoisonError::into_inner);
            let semaphore = orgs.entry(org).or_insert_with(|| Arc::new(Semaphore::new(self.each)));
            if Self::here(semaphore) >= self.each.saturating_add(WAITING_MAX) {
                return Err(Error::Crowded);
            }
            semaphore.clone()
        };
        // Made before the wait: whoever hangs up is forgotten as well.
        let mut turn = Turn::none(self, org);
        let permit = timeout(self.patience, semaphore.acquire_owned()).await;
        turn.permit = Some(permit.map_err(|_| Error::Crowded)?.map_err(|_| Error::Crowded)?);
        Ok(turn)
    }
}

impl Turn {
    /// Of which nothing is had yet.
    fn none(turns: &Arc<Turns>, org: OrgId) -> Self {
        let turns = turns.clone();
        Self { turns, org, permit: None, among: None, below: None, lasts_until: None, is_persons: false }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let rest = self.lasts_until.take().and_then(|until| until.checked_duration_since(Instant::now()));
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            let mut resting = Self::none(&self.turns, self.org);
            resting.permit = self.permit.take();
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
#[path = "turns_tests.rs"]
mod tests;
