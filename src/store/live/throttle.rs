//! How many requests a credential and its org may make: two buckets that refill evenly (GCRA), asked
//! and filled by one script call. Redis away, or slow, lets everything through: a limit protects the
//! service, it decides nothing about who may do what. Who has to wait is remembered by the node that said
//! so, and told again without a look at any store: a flood costs least who is not in it. Who asks often and is
//! far from the limit is let through some requests at a time, so that each of a busy directory's does not cost a
//! trip of its own.

use super::Live;
use crate::{Door, OrgScope, ScimClient, ServiceGrant};
use model::{
    TokenDigest,
    ids::{DirectoryId, KeyId, OrgId},
};
use redis::Script;
use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Requests that are let through each second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub credential_per_sec: u32,
    pub org_per_sec: u32,
}

/// What is left in the tighter of the two buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub limit: i64,
    pub remaining: i64,
    /// Until the bucket is full again.
    pub reset_secs: i64,
    /// This request is one too many.
    pub retry_after_secs: Option<u32>,
}

/// A credential that was told to wait, and what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    pub org: OrgId,
    pub key: KeyId,
    /// Whose it is, where it is a directory's.
    pub directory: Option<DirectoryId>,
    /// None, where Redis had no word in it.
    pub quota: Option<Quota>,
}

/// So many seconds' worth of requests may come at once.
const BURST_SECS: i64 = 5;
const MICROS: i64 = 1_000_000;
/// A request waits no longer than this for its limit.
const PATIENCE: Duration = Duration::from_millis(50);

/// A directory whose line is full waits for so long: by then some of those in it have been served.
const STANDS_OFF: Duration = Duration::from_millis(250);

/// Credentials that wait, and those that are let through in advance, at once: each has an entry of some hundred
/// bytes.
const REMEMBERED_MAX: usize = 10_000;
/// Requests that are let through in advance, at most, and for how long they are: after that the buckets have
/// filled again.
const ADVANCE_MAX: u32 = 32;
const ADVANCE_LASTS: Duration = Duration::from_secs(1);

/// Credentials that were told to wait, and until when: by digest, so that only whoever holds one asks.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<[u8; 32], (Instant, Waiter)>>);

impl Waiting {
    fn told(&self, digest: &TokenDigest, now: Instant) -> Option<Waiter> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(digest.bytes()).filter(|(until, _)| now < *until).map(|(_, waiter)| *waiter)
    }
    fn tell(&self, digest: TokenDigest, waiter: Waiter, now: Instant, wait: Duration) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= REMEMBERED_MAX {
            waiting.retain(|_, (until, _)| now < *until);
        }
        if let Some(until) = now.checked_add(wait).filter(|_| waiting.len() < REMEMBERED_MAX) {
            waiting.insert(*digest.bytes(), (until, waiter));
        }
    }
}

/// What a credential was let through in advance on this node, by digest.
#[derive(Debug, Default)]
pub(super) struct Advances(Mutex<HashMap<[u8; 32], Advance>>);

#[derive(Clone, Copy, Debug)]
struct Advance {
    at: Instant,
    /// As it was when the buckets were asked.
    quota: Quota,
    granted: u32,
    left: u32,
    /// It had asked within the last second before.
    is_repeated: bool,
}

impl Advance {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.at) < ADVANCE_LASTS
    }
}

impl Advances {
    fn has_repeated(&self, digest: &TokenDigest, now: Instant) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(digest.bytes()).is_some_and(|one| one.is_fresh(now) && one.is_repeated)
    }

    /// Lets one request through that was paid for, or says how many to ask for: twice as many as last time where
    /// those were soon used up.
    fn take(&self, digest: &TokenDigest, now: Instant) -> Result<Quota, u32> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(advance) = all.get_mut(digest.bytes()) else { return Err(1) };
        if !advance.is_fresh(now) {
            all.remove(digest.bytes());
            return Err(1);
        }
        let Some(left) = advance.left.checked_sub(1) else {
            return Err(advance.granted.saturating_mul(2).min(ADVANCE_MAX));
        };
        advance.left = left;
        Ok(advance.quota.with(left))
    }

    /// Keeps what was granted beside the request that asked. What others of the same credential were granted
    /// meanwhile is kept as well.
    fn keep(&self, digest: &TokenDigest, quota: Quota, granted: u32, now: Instant) -> Quota {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, advance| advance.is_fresh(now));
        }
        let present = all.get(digest.bytes()).filter(|one| one.is_fresh(now));
        let left = present.map_or(0, |one| one.left).saturating_add(granted.saturating_sub(1));
        if all.len() < REMEMBERED_MAX || all.contains_key(digest.bytes()) {
            let is_repeated = present.is_some();
            all.insert(*digest.bytes(), Advance { at: now, quota, granted, left, is_repeated });
        }
        quota.with(left)
    }
}

impl Quota {
    /// What was granted and is not used is still to be had.
    fn with(self, left: u32) -> Self {
        Self { remaining: self.remaining.saturating_add(i64::from(left)).min(self.limit), ..self }
    }
}

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("throttle.lua")));

impl Live {
    /// Whose this credential is and what it was told, while it has to wait.
    pub fn waits(&self, digest: &TokenDigest) -> Option<Waiter> {
        self.waiting.told(digest, Instant::now())
    }

    /// Takes one request out of both buckets, or out of neither; nothing when Redis is away. `digest` is
    /// the credential's.
    pub async fn throttle<D: Door>(
        &self,
        scope: &OrgScope<D>,
        credential: (KeyId, &TokenDigest),
        rates: &Rates,
    ) -> Option<Quota> {
        self.take((scope.org(), scope.door().directory()), credential, rates).await
    }

    /// The same for a service account, whose secret was proven.
    pub async fn throttle_service(
        &self,
        grant: &ServiceGrant,
        digest: &TokenDigest,
        rates: &Rates,
    ) -> Option<Quota> {
        self.take((grant.org, None), (grant.key, digest), rates).await
    }

    /// Whether this credential has asked more than once within a second, of late. None has, where Redis is away.
    pub fn asks_often(&self, digest: &TokenDigest) -> bool {
        self.advances.has_repeated(digest, Instant::now())
    }

    /// Tells a directory whose line is full to wait, and remembers it like one that asks too often. `quota` is what is
    /// known of its buckets.
    pub fn stand_off(
        &self,
        scope: &OrgScope<ScimClient>,
        digest: &TokenDigest,
        quota: Option<Quota>,
    ) -> Waiter {
        let quota = quota.map(|quota| Quota { remaining: 0, retry_after_secs: Some(1), ..quota });
        let ScimClient { key, directory, .. } = *scope.door();
        let waiter = Waiter { org: scope.org(), key, directory: Some(directory), quota };
        self.waiting.tell(*digest, waiter, Instant::now(), STANDS_OFF);
        waiter
    }

    async fn take(
        &self,
        (org, directory): (OrgId, Option<DirectoryId>),
        (credential, digest): (KeyId, &TokenDigest),
        rates: &Rates,
    ) -> Option<Quota> {
        let wished = match self.advances.take(digest, Instant::now()) {
            Ok(quota) => return Some(quota),
            Err(wished) => wished,
        };
        let mut redis = self.redis.clone();
        let takes = |per_sec: u32| MICROS / i64::from(per_sec.max(1));
        let mut call = TAKE.prepare_invoke();
        call.key(format!("rl:{{{org}}}:{credential}")).key(format!("rl:{{{org}}}"));
        for per_sec in [rates.credential_per_sec, rates.org_per_sec] {
            call.arg(takes(per_sec)).arg(BURST_SECS * MICROS);
        }
        call.arg(wished);
        let asked =
            tokio::time::timeout(PATIENCE, call.invoke_async::<(i64, i64, i64, i64, u32)>(&mut redis));
        let (limit, remaining, reset, wait, granted) = asked.await.ok()?.ok()?;
        let secs = |micros: i64| micros.saturating_add(MICROS - 1) / MICROS;
        let quota = Quota {
            limit,
            remaining,
            reset_secs: secs(reset),
            retry_after_secs: (wait > 0).then(|| u32::try_from(secs(wait)).unwrap_or(u32::MAX)),
        };
        if let Some(wait) = u64::try_from(wait).ok().filter(|wait| *wait > 0) {
            // Others of the same credential may have been granted more meanwhile than they asked with.
            if let Ok(quota) = self.advances.take(digest, Instant::now()) {
                return Some(quota);
            }
            let waiter = Waiter { org, key: credential, directory, quota: Some(quota) };
            self.waiting.tell(*digest, waiter, Instant::now(), Duration::from_micros(wait));
            return Some(quota);
        }
        Some(self.advances.keep(digest, quota, granted, Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const TOLD: Waiter = Waiter {
        org: OrgId::from_uuid(Uuid::nil()),
        key: KeyId::from_uuid(Uuid::nil()),
        directory: None,
        quota: Some(FULL),
    };
    const FULL: Quota = Quota { limit: 125, remaining: 0, reset_secs: 5, retry_after_secs: Some(1) };

    #[test]
    fn who_waits_is_told_again_until_the_wait_is_over_and_nobody_else_is() {
        let (waiting, now, wait) = (Waiting::default(), Instant::now(), Duration::from_millis(40));
        let (one, other) = (TokenDigest::of("one"), TokenDigest::of("other"));
        waiting.tell(one, TOLD, now, wait);
        assert_eq!(waiting.told(&one, now + wait - Duration::from_micros(1)), Some(TOLD));
        assert_eq!(waiting.told(&one, now + wait), None);
        assert_eq!(waiting.told(&other, now), None);
    }

    #[test]
    fn who_asks_often_is_let_through_some_at_a_time_and_no_more_than_was_granted() {
        let (advances, now, one) = (Advances::default(), Instant::now(), TokenDigest::of("one"));
        let quota = Quota { remaining: 100, retry_after_secs: None, ..FULL };
        assert_eq!(advances.take(&one, now).unwrap_err(), 1);
        assert_eq!(advances.keep(&one, quota, 1, now).remaining, 100);
        assert_eq!(advances.take(&one, now).unwrap_err(), 2, "used up at once: twice as many");
        assert!(!advances.has_repeated(&one, now));
        assert_eq!(advances.keep(&one, quota, 2, now).remaining, 101, "one is paid for and not used");
        assert!(advances.has_repeated(&one, now) && !advances.has_repeated(&one, now + ADVANCE_LASTS));
        assert_eq!(advances.keep(&one, quota, 4, now).remaining, 104, "and what somebody else was granted");
        for left in (0..4).rev() {
            assert_eq!(advances.take(&one, now).unwrap().remaining, 100 + left);
        }
        assert_eq!(advances.take(&one, now).unwrap_err(), 8);
        advances.keep(&one, quota, ADVANCE_MAX, now);
        assert_eq!(advances.take(&one, now).unwrap().remaining, FULL.limit, "no more than there is room for");
        assert_eq!(advances.take(&TokenDigest::of("other"), now).unwrap_err(), 1);
        assert!(advances.take(&one, now + ADVANCE_LASTS).is_err(), "nothing is kept for long");
        assert_eq!(advances.take(&one, now).unwrap_err(), 1);
    }

    #[test]
    fn so_many_are_remembered_and_those_that_are_over_make_room() {
        let (waiting, now) = (Waiting::default(), Instant::now());
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(1));
        for n in 0..=REMEMBERED_MAX {
            waiting.tell(TokenDigest::of(&n.to_string()), TOLD, now, if n == 0 { short } else { long });
        }
        let (last, late) = (TokenDigest::of(&REMEMBERED_MAX.to_string()), TokenDigest::of("late"));
        assert_eq!(waiting.told(&last, now), None);
        waiting.tell(late, TOLD, now + short, long);
        assert_eq!(waiting.told(&late, now + short), Some(TOLD));
    }
}
