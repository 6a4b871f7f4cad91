//! What directories ask, until a job has written it down: a request must not wait for its log, so it is
//! held in memory, bounded in rows and bytes for each org and for all. Who asks more than that loses its own
//! oldest, never another's, and the next of its entries says how many. The org's administrator reads it.

use crate::{
    FlowError, Gateway,
    administer::{Page, holds_all},
    counted::REQUESTS_LOGGED,
};
use model::ids::{DirectoryId, Logged, LoggedId, OrgId};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use store::{Administrator, KeptBody, LoggedFilter, LoggedRequest, LoggedRequestWhole, NewLogged, OrgScope};

/// What an org may have waiting: some seconds at its rate limit.
pub const ORG_ROWS_MAX: usize = 2_048;
pub const ORG_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// What all orgs may have waiting together.
pub const BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// What an entry takes beside its texts, about.
const ENTRY_BYTES: usize = 512;

#[derive(Default)]
struct Waiting {
    entries: VecDeque<NewLogged>,
    /// What a directory's rate limit refused since the last write: one entry, which counts them.
    throttled: BTreeMap<DirectoryId, NewLogged>,
    bytes: usize,
    /// Not kept, by directory, since the last entry that was.
    lost: BTreeMap<DirectoryId, i64>,
}

#[derive(Default)]
struct Held {
    orgs: BTreeMap<OrgId, Waiting>,
    /// The same orgs by their bytes: who has most pays first.
    sizes: BTreeSet<(usize, OrgId)>,
    bytes: usize,
}

/// The requests that are not written yet.
#[derive(Default)]
pub struct RequestLog(Mutex<Held>);

fn weight(entry: &NewLogged) -> usize {
    let body = |body: &Option<KeptBody>| body.as_ref().map_or(0, |body| body.text.len());
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let head = &entry.head;
    let failures = head.bulk.iter().flat_map(|bulk| &bulk.failures);
    ENTRY_BYTES
        + body(&entry.bodies.request)
        + body(&entry.bodies.answer)
        + head.path.len()
        + text(&head.query)
        + text(&head.user_agent)
        + text(&head.detail)
        + failures.map(|one| ENTRY_BYTES / 4 + one.detail.len()).sum::<usize>()
        + (entry.users.len() + head.groups.len()) * size_of::<OrgId>()
}

impl Held {
    /// Changes an org's share, and the sums with it.
    fn change<T>(&mut self, org: OrgId, how: impl FnOnce(&mut Waiting) -> T) -> T {
        let waiting = self.orgs.entry(org).or_default();
        let before = waiting.bytes;
        let done = how(waiting);
        let after = waiting.bytes;
        self.sizes.remove(&(before, org));
        self.sizes.insert((after, org));
        self.bytes = self.bytes.saturating_sub(before).saturating_add(after);
        done
    }

    fn drop_oldest(&mut self, org: OrgId) {
        self.change(org, |waiting| {
            let throttled = || waiting.throttled.pop_first().map(|(_, entry)| entry);
            let Some(gone) = waiting.entries.pop_front().or_else(throttled) else { return };
            waiting.bytes = waiting.bytes.saturating_sub(weight(&gone));
            let lost = waiting.lost.entry(gone.directory).or_default();
            *lost = lost.saturating_add(gone.lost_before).saturating_add(gone.times);
            REQUESTS_LOGGED.add(["lost"], u64::try_from(gone.times).unwrap_or(1));
        });
    }

    /// Lets go of what is too much.
    fn bound(&mut self, org: OrgId) {
        let over = |w: &Waiting| w.entries.len() > ORG_ROWS_MAX || w.bytes > ORG_BYTES_MAX;
        while self.orgs.get(&org).is_some_and(over) {
            self.drop_oldest(org);
        }
        while self.bytes > BYTES_MAX {
            let Some((_, largest)) = self.sizes.last().copied() else { return };
            self.drop_oldest(largest);
        }
    }
}

impl RequestLog {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, org: OrgId, entry: NewLogged) {
        let mut held = self.held();
        held.change(org, |waiting| {
            waiting.bytes = waiting.bytes.saturating_add(weight(&entry));
            waiting.entries.push_back(entry);
        });
        held.bound(org);
    }

    /// A request that the directory's rate limit refused, or its full line. Whoever is refused a thousand times a
    /// second costs one row of the log: the first since the last write becomes an entry, the others are counted on it.
    pub fn add_throttled(&self, org: OrgId, directory: DirectoryId, entry: impl FnOnce() -> NewLogged) {
        let mut held = self.held();
        let waiting = held.orgs.get_mut(&org);
        if let Some(first) = waiting.and_then(|waiting| waiting.throttled.get_mut(&directory)) {
            first.times = first.times.saturating_add(1);
            return;
        }
        held.change(org, |waiting| {
            let entry = entry();
            waiting.bytes = waiting.bytes.saturating_add(weight(&entry));
            waiting.throttled.insert(directory, entry);
        });
        held.bound(org);
    }

    /// Takes everything out, by org; each directory's first entry says what was lost before it.
    pub fn take(&self) -> Vec<(OrgId, Vec<NewLogged>)> {
        let mut held = self.held();
        let all = std::mem::take(&mut *held);
        let mut taken = Vec::new();
        for (org, mut waiting) in all.orgs {
            let mut entries = Vec::from(waiting.entries);
            if !waiting.throttled.is_empty() {
                entries.extend(waiting.throttled.into_values());
                entries.sort_by_key(|entry| entry.id);
            }
            for entry in &mut entries {
                let lost = waiting.lost.remove(&entry.directory).unwrap_or(0);
                entry.lost_before = entry.lost_before.saturating_add(lost);
            }
            if !entries.is_empty() {
                taken.push((org, entries));
            }
            // Of a directory with nothing to say it by: its next entry does.
            if !waiting.lost.is_empty() {
                held.change(org, |left| left.lost = waiting.lost);
            }
        }
        taken
    }

    /// Puts back, in front, what could not be written.
    pub fn put_back(&self, org: OrgId, entries: Vec<NewLogged>) {
        let mut held = self.held();
        held.change(org, |waiting| {
            for entry in entries.into_iter().rev() {
                waiting.bytes = waiting.bytes.saturating_add(weight(&entry));
                waiting.entries.push_front(entry);
            }
        });
        held.bound(org);
    }
}

/// What is logged shows people: who reads it may read them. Errors: `api.scope_missing`.
fn may_read(scope: &OrgScope<Administrator>) -> Result<(), FlowError> {
    holds_all(scope.door(), ["users:read"])
}

/// One page of a directory's requests, newest first. Errors: `api.scope_missing`; `Missing`, where there is no
/// such directory.
pub async fn list(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    directory: DirectoryId,
    (filter, page): (LoggedFilter, Page<Logged>),
) -> Result<Vec<LoggedRequest>, FlowError> {
    may_read(scope)?;
    let filter = LoggedFilter { before: page.after, ..filter };
    let mut tx = gw.db.read(scope, "requests.list").await?;
    tx.directory(directory).await?.ok_or(FlowError::Missing)?;
    Ok(tx.logged_requests(directory, &filter, page.rows(), gw.db.seals()).await?)
}

/// One request with its bodies. Errors: `api.scope_missing`, `Missing`.
pub async fn read(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    directory: DirectoryId,
    id: LoggedId,
) -> Result<LoggedRequestWhole, FlowError> {
    may_read(scope)?;
    let mut tx = gw.db.read(scope, "requests.read").await?;
    tx.directory(directory).await?.ok_or(FlowError::Missing)?;
    tx.logged_request(directory, id, gw.db.seals()).await?.ok_or(FlowError::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Timestamp, ids::KeyId};
    use store::{RequestBodies, RequestHead};
    use uuid::Uuid;

    fn org(n: u128) -> OrgId {
        OrgId::from_uuid(Uuid::from_u128(n))
    }

    fn entry(directory: u128, n: u128, body_bytes: usize) -> NewLogged {
        let text = "x".repeat(body_bytes);
        NewLogged {
            id: LoggedId::from_uuid(Uuid::from_u128(n)),
            at: Timestamp::from_secs(0),
            directory: DirectoryId::from_uuid(Uuid::from_u128(directory)),
            key: KeyId::from_uuid(Uuid::nil()),
            method: "GET".to_owned(),
            status: Some(200),
            code: None,
            request_id: String::new(),
            duration_ms: 0,
            dry_run: false,
            held: false,
            lost_before: 0,
            times: 1,
            users: Vec::new(),
            head: RequestHead::default(),
            bodies: RequestBodies {
                request: (body_bytes > 0).then_some(KeptBody { text, bytes: 1, cut: false }),
                answer: None,
            },
        }
    }

    fn ids(entries: &[NewLogged]) -> Vec<u128> {
        entries.iter().map(|entry| entry.id.uuid().as_u128()).collect()
    }

    #[test]
    fn who_asks_too_much_loses_the_oldest_and_is_told_how_many() {
        let log = RequestLog::default();
        for n in 0..=ORG_ROWS_MAX as u128 {
            log.add(org(1), entry(n % 2, n, 0));
        }
        log.add(org(2), entry(5, 9, 0));
        let taken = log.take();
        let [(_, one), (_, two)] = &taken[..] else { panic!("{}", taken.len()) };
        assert_eq!((one.len(), ids(two)), (ORG_ROWS_MAX, vec![9]));
        // Entry 0 is gone, of directory 0, whose first is now entry 2.
        assert_eq!(one.iter().map(|entry| entry.lost_before).take(3).collect::<Vec<_>>(), [0, 1, 0]);
        assert!(log.take().is_empty() && two[0].lost_before == 0);
    }

    #[test]
    fn a_noisy_org_pushes_nobody_elses_entries_out() {
        let (log, big) = (RequestLog::default(), 30_000);
        log.add(org(7), entry(7, 7, big));
        for n in 0..400 {
            (100..120).for_each(|of| log.add(org(of), entry(1, n, big)));
        }
        let held = log.held();
        assert!(held.bytes <= BYTES_MAX && held.bytes > BYTES_MAX - 2 * big, "{}", held.bytes);
        assert_eq!(held.bytes, held.orgs.values().map(|waiting| waiting.bytes).sum::<usize>());
        let sums = |waiting: &Waiting| waiting.entries.iter().map(weight).sum::<usize>();
        assert!(held.orgs.values().all(|w| w.bytes == sums(w) && w.bytes <= ORG_BYTES_MAX));
        assert_eq!((held.sizes.len(), held.orgs[&org(7)].entries.len()), (21, 1));
    }

    #[test]
    fn what_was_put_back_comes_first_and_what_is_lost_is_not_forgotten() {
        let log = RequestLog::default();
        (1..=3).for_each(|n| log.add(org(1), entry(1, n, 0)));
        let (_, mut failed) = log.take().remove(0);
        failed[0].lost_before = 4;
        log.add(org(1), entry(2, 4, 0));
        log.put_back(org(1), failed);
        log.held().drop_oldest(org(1));
        let (_, taken) = log.take().remove(0);
        assert_eq!((ids(&taken), taken[0].lost_before), (vec![2, 3, 4], 5));
        // Nothing of directory 1 is left to say it by.
        log.add(org(1), entry(1, 5, 0));
        log.held().drop_oldest(org(1));
        assert!(log.take().is_empty());
        log.add(org(1), entry(1, 6, 0));
        assert_eq!(log.take()[0].1[0].lost_before, 1);
    }

    #[test]
    fn what_a_rate_limit_refused_is_one_entry_that_counts_and_is_made_once() {
        let log = RequestLog::default();
        let directory = |n| DirectoryId::from_uuid(Uuid::from_u128(n));
        log.add(org(1), entry(1, 9, 0));
        for n in 0..1_000 {
            log.add_throttled(org(1), directory(1), || entry(1, if n == 0 { 5 } else { unreachable!() }, 0));
        }
        log.add_throttled(org(1), directory(2), || entry(2, 7, 0));
        let (_, taken) = log.take().remove(0);
        let told: Vec<_> = taken.iter().map(|entry| entry.times).collect();
        assert_eq!((ids(&taken), told), (vec![5, 7, 9], vec![1_000, 1, 1]));
        // After each write the next one, and what is lost of it is told as so many.
        (0..3).for_each(|_| log.add_throttled(org(1), directory(1), || entry(1, 10, 0)));
        log.held().drop_oldest(org(1));
        log.held().drop_oldest(org(1));
        log.add(org(1), entry(1, 11, 0));
        assert_eq!(log.take()[0].1[0].lost_before, 3);
    }

    /// Nothing but such entries: they are bounded like the others, and the bound ends.
    #[test]
    fn an_org_of_throttled_directories_alone_is_bounded() {
        let log = RequestLog::default();
        for n in 0..200 {
            let big = || entry(n, n, 30_000);
            log.add_throttled(org(1), DirectoryId::from_uuid(Uuid::from_u128(n)), big);
        }
        assert!(log.held().bytes <= ORG_BYTES_MAX);
    }
}
