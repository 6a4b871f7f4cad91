//! What a plan counts, and when one more is one too many.

use crate::Timestamp;
use std::fmt;

/// One kind of thing that a plan may bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// People who may sign in.
    Seats,
    Connections,
    Directories,
    Domains,
    Hosts,
    Teams,
    Webhooks,
    /// The org's own keys, until they are revoked.
    Keys,
}

/// What an org may hold of one kind that is listed whole, whatever its plan.
pub const HELD_MAX: i64 = 200;

impl Quota {
    pub const ALL: [Self; 8] = [
        Self::Seats,
        Self::Connections,
        Self::Directories,
        Self::Domains,
        Self::Hosts,
        Self::Teams,
        Self::Webhooks,
        Self::Keys,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seats => "seats",
            Self::Connections => "connections",
            Self::Directories => "directories",
            Self::Domains => "domains",
            Self::Hosts => "hosts",
            Self::Teams => "teams",
            Self::Webhooks => "webhooks",
            Self::Keys => "keys",
        }
    }

    /// One of them, as a person says it.
    pub const fn one(self) -> &'static str {
        match self {
            Self::Seats => "seat",
            Self::Connections => "connection",
            Self::Directories => "directory",
            Self::Domains => "domain",
            Self::Hosts => "host",
            Self::Teams => "team",
            Self::Webhooks => "webhook",
            Self::Keys => "key",
        }
    }

    /// The stable code of a refusal by the plan.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Seats => "quota.seats",
            Self::Connections => "quota.connections",
            Self::Directories => "quota.directories",
            Self::Domains => "quota.domains",
            Self::Hosts => "quota.hosts",
            Self::Teams => "quota.teams",
            Self::Webhooks => "quota.webhooks",
            Self::Keys => "quota.keys",
        }
    }

    /// The quota that a stable code is of.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quota| quota.code() == code)
    }

    /// What any org may have of it, whatever its plan.
    pub const fn held_max(self) -> Option<i64> {
        match self {
            Self::Connections
            | Self::Directories
            | Self::Domains
            | Self::Hosts
            | Self::Webhooks
            | Self::Keys => Some(HELD_MAX),
            Self::Seats | Self::Teams => None,
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an org is told of a quota, each at most once an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// 80 percent are in use, from now on.
    Near,
    /// The last one was taken.
    Reached,
    /// Somebody was turned away.
    Refused,
}

impl Notice {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Reached => "reached",
            Self::Refused => "refused",
        }
    }
}

/// From this share on a quota is nearly used.
const NEAR_PERCENT: i64 = 80;
/// The same notice is not told again so soon.
pub const TOLD_AGAIN_SECS: i64 = 3_600;

/// Why there is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The plan has so many.
    Plan(i64),
    /// No org holds more.
    House(i64),
}

/// How things stand, of one instant, before one more is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What the plan has; none bounds it not.
    pub most: Option<i64>,
    pub taken: i64,
    /// When this was told last.
    pub near_at: Option<Timestamp>,
    pub reached_at: Option<Timestamp>,
}

impl Tally {
    /// The bound that one more would go beyond. More than the plan has may be taken already, from before the
    /// plan was lowered.
    pub fn beyond(&self, quota: Quota) -> Option<Bound> {
        let full = |bound: &i64| self.taken >= *bound;
        let by_plan = self.most.filter(full).map(Bound::Plan);
        by_plan.or_else(|| quota.held_max().filter(full).map(Bound::House))
    }

    /// What one more makes worth telling.
    pub fn notice(&self, now: Timestamp) -> Option<Notice> {
        let most = self.most?;
        let near = |count: i64| count.saturating_mul(100) >= most.saturating_mul(NEAR_PERCENT);
        let lately = |told: Option<Timestamp>| told.is_some_and(|at| at.plus_secs(TOLD_AGAIN_SECS) > now);
        let after = self.taken.saturating_add(1);
        if after >= most {
            return (!lately(self.reached_at)).then_some(Notice::Reached);
        }
        let passes = near(after) && (self.near_at.is_none() || !near(self.taken));
        (passes && !lately(self.near_at)).then_some(Notice::Near)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(most: Option<i64>, taken: i64) -> Tally {
        Tally { most, taken, near_at: None, reached_at: None }
    }

    #[test]
    fn the_last_that_a_plan_has_is_taken_and_one_more_is_refused() {
        assert_eq!(tally(Some(3), 2).beyond(Quota::Seats), None);
        assert_eq!(tally(Some(3), 3).beyond(Quota::Seats), Some(Bound::Plan(3)));
        assert_eq!(tally(Some(3), 9).beyond(Quota::Seats), Some(Bound::Plan(3)));
        assert_eq!(tally(Some(0), 0).beyond(Quota::Directories), Some(Bound::Plan(0)));
        assert_eq!(tally(None, i64::MAX).beyond(Quota::Seats), None);
        assert_eq!(tally(None, HELD_MAX - 1).beyond(Quota::Keys), None);
        assert_eq!(tally(None, HELD_MAX).beyond(Quota::Keys), Some(Bound::House(HELD_MAX)));
        assert_eq!(tally(Some(HELD_MAX), HELD_MAX).beyond(Quota::Keys), Some(Bound::Plan(HELD_MAX)));
    }

    #[test]
    fn it_is_told_at_eighty_percent_and_at_the_last_and_not_twice_within_the_hour() {
        let now = Timestamp::from_secs(10_000);
        assert_eq!(tally(Some(10), 6).notice(now), None);
        assert_eq!(tally(Some(10), 7).notice(now), Some(Notice::Near));
        assert_eq!(tally(Some(10), 8).notice(now), Some(Notice::Near), "nobody saw it pass");
        assert_eq!(tally(Some(10), 9).notice(now), Some(Notice::Reached));
        assert_eq!(tally(Some(1), 0).notice(now), Some(Notice::Reached));
        assert_eq!(tally(None, 99).notice(now), None);
        let told = |secs_ago: i64| Some(now.plus_secs(-secs_ago));
        let near = |taken, at| Tally { near_at: at, ..tally(Some(10), taken) }.notice(now);
        assert_eq!(
            (near(7, told(TOLD_AGAIN_SECS - 1)), near(7, told(TOLD_AGAIN_SECS))),
            (None, Some(Notice::Near))
        );
        assert_eq!(near(8, told(TOLD_AGAIN_SECS)), None, "it has stood beyond since");
        let reached = |at| Tally { reached_at: at, ..tally(Some(10), 9) }.notice(now);
        assert_eq!(
            (reached(told(TOLD_AGAIN_SECS - 1)), reached(told(TOLD_AGAIN_SECS))),
            (None, Some(Notice::Reached))
        );
    }

    #[test]
    fn a_code_names_its_quota() {
        for quota in Quota::ALL {
            assert_eq!(quota.code(), format!("quota.{quota}"));
            assert_eq!(Quota::of_code(quota.code()), Some(quota));
        }
        assert_eq!(Quota::of_code("scim.taken"), None);
    }
}
