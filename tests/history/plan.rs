//! What is done when: all of it drawn from the seed.

use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    None,
    /// The gateway is killed at some instant.
    Killed,
    /// Killed when a revocation waits for the org's head: nothing of it is written.
    KilledBeforeTheRow,
    /// Killed within the commit of a revocation, which goes through: nobody was told.
    KilledInCommit,
    /// Killed when it is committed, before Redis has it.
    KilledBeforeRedis,
    /// Killed when it is acknowledged, before it has a place in the feed.
    KilledBeforeTheFeed,
    RedisKilled,
    RedisFlushed,
    /// Restored from a file of before the revocations.
    RedisRewound,
    RedisEmptied,
    PostgresKilled,
    /// Postgres is an old copy, and `vestibule recover` was run.
    PostgresRestored,
    /// Nothing gets its place in the feed, while everything else goes on.
    FeedHeld,
    /// The verifiers are cut off from the gateway.
    Partitioned,
    /// The verifiers' clock jumps, back and forth.
    ClockShifted,
}

impl Trouble {
    pub const ALL: [Self; 15] = [
        Self::None,
        Self::Killed,
        Self::KilledBeforeTheRow,
        Self::KilledInCommit,
        Self::KilledBeforeRedis,
        Self::KilledBeforeTheFeed,
        Self::RedisKilled,
        Self::RedisFlushed,
        Self::RedisRewound,
        Self::RedisEmptied,
        Self::PostgresKilled,
        Self::PostgresRestored,
        Self::FeedHeld,
        Self::Partitioned,
        Self::ClockShifted,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Killed => "gateway killed",
            Self::KilledBeforeTheRow => "gateway killed before the row",
            Self::KilledInCommit => "gateway killed in the commit",
            Self::KilledBeforeRedis => "gateway killed before Redis has it",
            Self::KilledBeforeTheFeed => "gateway killed before the feed has it",
            Self::RedisKilled => "Redis killed, started again",
            Self::RedisFlushed => "Redis flushed",
            Self::RedisRewound => "Redis restored from an old file",
            Self::RedisEmptied => "Redis started empty",
            Self::PostgresKilled => "Postgres killed, started again",
            Self::PostgresRestored => "Postgres restored from a backup",
            Self::FeedHeld => "the feed stands still",
            Self::Partitioned => "verifiers cut off",
            Self::ClockShifted => "verifiers' clock shifted",
        }
    }
}

/// Who ends whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `active: false`, and then true again.
    Directory,
    Administrator,
    /// One session, by the administrator.
    Session,
    /// One session, by its own person.
    SignOut,
    WholeOrg,
}

const CAUSES: [Cause; 5] =
    [Cause::Directory, Cause::Administrator, Cause::Session, Cause::SignOut, Cause::WholeOrg];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Login,
    /// A call with a token of this person's newest sign-ins, at whatever judges it.
    Call(usize),
    Refresh,
    Revoke(Cause),
}

/// One thing a client does, so long after the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Duration,
    pub person: usize,
    pub deed: Deed,
    /// Which of the person's sign-ins: counted from the newest.
    pub back: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub trouble: Trouble,
    /// When it comes, and how long it lasts where that is ours to say.
    pub trouble_at: Duration,
    pub lasts: Duration,
    /// Seconds the verifiers' clock is off.
    pub shift_secs: i64,
    /// Whom the revocation at a labelled point ends, and how.
    pub victim: usize,
    pub clients: Vec<Vec<Step>>,
}

pub const ORGS: usize = 2;
pub const PEOPLE: usize = 3;
const CLIENTS: usize = 4;
const STEPS: usize = 28;
const LENGTH_MS: u64 = 2_400;

/// SplitMix64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }
    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.next() % (to - from))
    }
}

impl Plan {
    /// Seeds in a row meet every trouble.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let trouble = Trouble::ALL[usize::try_from(seed % Trouble::ALL.len() as u64).unwrap()];
        let clients = (0..CLIENTS).map(|_| {
            let mut steps: Vec<Step> = (0..STEPS).map(|_| step(&mut chance)).collect();
            steps.sort_by_key(|step| step.at);
            steps
        });
        Self {
            trouble,
            clients: clients.collect(),
            trouble_at: chance.ms(500, 1_400),
            lasts: chance.ms(300, 1_200),
            shift_secs: [-120, -4, 4, 120][chance.below(4)],
            victim: chance.below(ORGS * PEOPLE),
        }
    }
}

fn step(chance: &mut Chance) -> Step {
    let deed = match chance.below(20) {
        0..=2 => Deed::Login,
        3..=5 => Deed::Refresh,
        // Whole orgs go seldom, or nothing would live long enough to be asked about.
        6..=8 => Deed::Revoke(CAUSES[[0, 0, 1, 1, 2, 2, 3, 3, 3, 4][chance.below(10)]]),
        _ => Deed::Call(chance.below(5)),
    };
    Step { at: chance.ms(0, LENGTH_MS), person: chance.below(ORGS * PEOPLE), deed, back: chance.below(3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_plan_and_twenty_in_a_row_meet_every_trouble() {
        assert_eq!(Plan::of(7), Plan::of(7));
        assert_ne!(Plan::of(7), Plan::of(7 + Trouble::ALL.len() as u64));
        let met: std::collections::BTreeSet<_> = (1..=20).map(|seed| Plan::of(seed).trouble).collect();
        assert_eq!(met.len(), Trouble::ALL.len());
        let causes: Vec<_> = (1..=20)
            .flat_map(|seed| Plan::of(seed).clients.concat())
            .filter_map(|step| match step.deed {
                Deed::Revoke(cause) => Some(cause),
                _ => None,
            })
            .collect();
        assert!(CAUSES.iter().all(|cause| causes.contains(cause)));
    }
}
