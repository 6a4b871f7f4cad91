//! The machine's clock and randomness behind two traits, so that every flow takes time and
//! chance as arguments and a test can hold both still. The only room that may read either.

use model::{Chance, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

/// What time it is. The process gives `SystemClock`; a test gives a clock that stands still.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The operating system's randomness, through aws-lc's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    /// Ends the process when there is no randomness: any key or token made without it is guessable.
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_this_century_and_chance_never_repeats() {
        assert!(SystemClock.now() > Timestamp::from_secs(1_700_000_000));
        let (first, second) = (model::ids::random32(&SystemChance), model::ids::random32(&SystemChance));
        assert_ne!(first, second);
        assert_ne!(first, [0; 32]);
    }
}
