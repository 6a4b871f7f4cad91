//! How old our knowledge of revocations is, by a clock that is never set.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Older knowledge than this is none when a verifier begins.
const OLDEST: Duration = Duration::from_secs(10);

/// The moment up to which everything that was revoked is known. Moments are milliseconds since the
/// verifier began, and `OLDEST` before that, plus one; 0 is never.
#[derive(Debug)]
pub(crate) struct Pulse {
    began: Instant,
    known: AtomicU64,
}

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        // Knowledge may be a little older than the verifier that is given it.
        Self { began: now.checked_sub(OLDEST).unwrap_or(now), known: AtomicU64::new(0) }
    }

    pub(crate) fn moment(&self, at: Instant) -> u64 {
        let millis = at.saturating_duration_since(self.began).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Everything up to `at` is known. Knowledge does not age backwards.
    pub(crate) fn beat(&self, at: Instant) {
        self.known.fetch_max(self.moment(at), Ordering::Release);
    }

    /// Everything up to `age` before `at` is known.
    pub(crate) fn beat_of(&self, at: Instant, age: Duration) {
        if let Some(known) = at.checked_sub(age).filter(|known| *known >= self.began) {
            self.beat(known);
        }
    }

    /// Something is missing: stale until the next beat.
    pub(crate) fn miss(&self) {
        self.known.store(0, Ordering::Release);
    }

    /// Time since the last beat; none after none.
    pub(crate) fn staleness(&self, now: Instant) -> Option<Duration> {
        self.age(self.known.load(Ordering::Acquire), now)
    }

    pub(crate) fn age(&self, moment: u64, now: Instant) -> Option<Duration> {
        let passed = self.moment(now).saturating_sub(moment);
        (moment > 0).then(|| Duration::from_millis(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_until_a_beat_and_never_younger_than_the_last() {
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let pulse = Pulse::new(start);
        assert_eq!(pulse.staleness(after(1)), None);
        pulse.beat(after(5));
        assert_eq!(pulse.staleness(after(7)), Some(Duration::from_secs(2)));
        pulse.beat(after(3));
        assert_eq!(pulse.staleness(after(7)), Some(Duration::from_secs(2)), "late news age nothing");
        pulse.miss();
        assert_eq!(pulse.staleness(after(7)), None);
        pulse.beat(start);
        assert_eq!(pulse.staleness(start), Some(Duration::ZERO));
        pulse.beat_of(after(9), Duration::from_millis(1_500));
        assert_eq!(pulse.staleness(after(9)), Some(Duration::from_millis(1_500)), "old when it was sent");
    }
}
