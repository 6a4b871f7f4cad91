//! The issuer's keys as they are now. One task fetches them: when `Cache-Control` says so, and when a
//! token names a key that is not among them, which strangers can make happen no oftener than once in
//! ten seconds.

use crate::{
    keys::{Key, KeySet},
    remote::{Places, Remote, RemoteError},
};
use std::{
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

/// Between two fetches for the sake of an unknown `kid`.
const ASKED_EVERY: Duration = Duration::from_secs(10);
/// How long whoever shows an unknown `kid` waits for the fetch.
const WAITED_MAX: Duration = Duration::from_secs(5);
/// How long a key set is good, whatever `Cache-Control` says: a withdrawn key goes within the one, and the
/// other keeps us from asking all the time.
const GOOD_FOR: std::ops::RangeInclusive<Duration> = ASKED_EVERY..=Duration::from_secs(3_600);
const GOOD_FOR_UNSAID: Duration = Duration::from_secs(300);
/// So long beyond that, keys that could not be fetched again are taken for granted: a try or two.
const LATE_MAX: Duration = Duration::from_secs(10);

/// What a key's name leads to.
pub(crate) enum Found {
    Key(Arc<Key>),
    /// The issuer publishes no such key.
    Unknown,
    /// The issuer could not be asked.
    Unasked,
}

/// The last fetch.
#[derive(Clone, Copy, Default)]
struct Fetched {
    at: Option<Instant>,
    brought: bool,
    /// The end of the last keys that it brought, or one before it.
    good_until: Option<Instant>,
}

impl Fetched {
    fn lately(self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < ASKED_EVERY)
    }
}

#[derive(Default)]
pub(crate) struct Keyring {
    set: RwLock<Arc<KeySet>>,
    places: OnceLock<Places>,
    fetched: watch::Sender<Fetched>,
    wanted: Notify,
}

impl Keyring {
    pub(crate) fn places(&self) -> Option<&Places> {
        self.places.get()
    }

    pub(crate) fn place(&self, places: Places) {
        let _ = self.places.set(places);
    }

    pub(crate) fn now(&self) -> Arc<KeySet> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this very key is published still.
    pub(crate) fn holds(&self, key: &Arc<Key>) -> bool {
        self.set.read().unwrap_or_else(PoisonError::into_inner).holds(key)
    }

    /// Whether a key could be withdrawn by now without our knowing, because the keys could not be fetched again.
    pub(crate) fn are_late(&self, now: Instant) -> bool {
        self.fetched.borrow().good_until.is_none_or(|until| now.saturating_duration_since(until) > LATE_MAX)
    }

    /// The key of this name; an unknown one is asked for, if that has not just been done.
    pub(crate) async fn find(&self, kid: &str) -> Found {
        let known = || self.now().find(kid).cloned().map(Found::Key);
        if let Some(found) = known() {
            return found;
        }
        let mut fetched = self.fetched.subscribe();
        if !fetched.borrow_and_update().lately() {
            self.wanted.notify_one();
            let _ = timeout(WAITED_MAX, fetched.changed()).await;
        }
        let last = *fetched.borrow();
        let none = if last.lately() && last.brought { Found::Unknown } else { Found::Unasked };
        known().unwrap_or(none)
    }

    /// Fetches the keys; answers how long they are good.
    pub(crate) async fn refresh(&self, remote: &Remote) -> Result<Duration, RemoteError> {
        let answer = self.fetch(remote).await;
        let now = Instant::now();
        let good_until = answer.as_ref().ok().and_then(|good_for| now.checked_add(*good_for));
        self.fetched.send_modify(|fetched| {
            let good_until = good_until.or(fetched.good_until);
            *fetched = Fetched { at: Some(now), brought: answer.is_ok(), good_until };
        });
        answer
    }

    async fn fetch(&self, remote: &Remote) -> Result<Duration, RemoteError> {
        let places = self.places.get().ok_or(RemoteError::NotOurs("no discovery document yet"))?;
        let (body, good_for) = remote.jwks(places).await?;
        let set = KeySet::read(&body, &self.now()).ok_or(RemoteError::NotOurs("no key set"))?;
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        Ok(good_for.unwrap_or(GOOD_FOR_UNSAID).clamp(*GOOD_FOR.start(), *GOOD_FOR.end()))
    }

    /// Waits until the keys are no longer good, or until one is wanted that is not among them.
    pub(crate) async fn rest(&self, good_for: Duration) {
        let until = Instant::now() + good_for;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, self.wanted.notified()).await {
                // Wanted by somebody whom the last fetch has answered.
                Ok(()) if self.fetched.borrow().lately() => {}
                Ok(()) | Err(_) => return,
            }
        }
    }
}
