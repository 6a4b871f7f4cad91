//! The judge of a history: what was asked and answered, when, and what was revoked. Pure: instants in, faults
//! out. An `ok` counts from when its operation was begun, a revocation from when it was acknowledged, so that
//! what ran beside it is never held against anybody.

use std::{collections::BTreeSet, time::Duration};

/// Since the history began.
pub type At = Duration;

/// By what an app learns whether a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    Introspect,
    Userinfo,
    Refresh,
    /// A verifier of each mode.
    Strict,
    Bounded,
    BestEffort,
}

impl Asked {
    pub const ALL: [Self; 6] =
        [Self::Introspect, Self::Userinfo, Self::Refresh, Self::Strict, Self::Bounded, Self::BestEffort];

    /// How long after the acknowledgement it may still say yes. None: no bound while it is cut off.
    fn bound(self, bounds: &Bounds) -> Option<Duration> {
        match self {
            Self::Introspect | Self::Userinfo | Self::Refresh => Some(Duration::ZERO),
            Self::Strict => Some(bounds.strict),
            Self::Bounded => Some(bounds.bounded),
            Self::BestEffort => None,
        }
    }
}

/// The modes' bounds, and within what a verifier that nothing keeps from the gateway has heard.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub strict: Duration,
    pub bounded: Duration,
    pub connected: Duration,
}

/// What came of it. `Unknown` is no answer: a cut connection, a 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Refused,
    Unknown,
}

/// A sign-in: what is born with it dies with it.
#[derive(Clone, Debug)]
pub struct Family {
    pub org: usize,
    pub user: usize,
    /// When its sign-in had been answered.
    pub born: At,
}

#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub family: usize,
    pub asked: Asked,
    pub begun: At,
    pub ended: At,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    Everybody,
    Org(usize),
    User(usize),
    Family(usize),
}

#[derive(Clone, Copy, Debug)]
pub struct Revocation {
    pub whom: Whom,
    pub begun: At,
    /// None: nobody said that it is done.
    pub acknowledged: Option<At>,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    pub families: Vec<Family>,
    pub ops: Vec<Op>,
    pub revocations: Vec<Revocation>,
    /// From when to when something kept the verifiers from the gateway.
    pub disturbed: (At, At),
    /// What is begun from here on is the last look at everything.
    pub last_look: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An `ok` so long after the acknowledgement.
    TooLate { op: usize, revocation: usize, after: Duration },
    /// At the last look nothing refused what an acknowledged revocation covers, or nothing answered.
    Lost { family: usize, revocation: usize, asked: Asked },
    /// At the last look something was dead that nobody revoked.
    EndedByNobody { family: usize, asked: Asked },
}

impl History {
    fn covers(&self, revocation: &Revocation, family: usize) -> bool {
        let Some(born) = self.families.get(family) else { return false };
        match revocation.whom {
            Whom::Everybody => true,
            Whom::Org(org) => born.org == org,
            Whom::User(user) => born.user == user,
            Whom::Family(one) => one == family,
        }
    }

    /// The last instant at which a yes may be asked for.
    fn deadline(&self, asked: Asked, op: &Op, acknowledged: At, bounds: &Bounds) -> At {
        let (from, until) = self.disturbed;
        let calm_since = if op.begun < from { acknowledged } else { acknowledged.max(until) };
        let connected = calm_since + bounds.connected;
        match asked.bound(bounds) {
            Some(bound) => acknowledged + bound,
            None => connected,
        }
    }

    pub fn judge(&self, bounds: &Bounds) -> Vec<Fault> {
        let mut faults = self.too_late(bounds);
        for (n, revocation) in self.revocations.iter().enumerate() {
            for family in 0..self.families.len() {
                if self.is_dead_by(revocation, family).is_some() {
                    faults.extend(self.not_refused(family, n));
                }
            }
        }
        for family in 0..self.families.len() {
            let is_touched = self.revocations.iter().any(|one| self.covers(one, family));
            // A refresh without an answer may have been one: the token that was asked with is spent.
            let unsure = self.ops.iter().any(|op| {
                op.family == family && op.asked == Asked::Refresh && op.outcome == Outcome::Unknown
            });
            if is_touched || unsure {
                continue;
            }
            let refused = self.last_looks(family).filter(|op| op.outcome == Outcome::Refused);
            faults.extend(refused.map(|op| Fault::EndedByNobody { family, asked: op.asked }));
        }
        faults
    }

    /// Has an acknowledged revocation ended the family for certain?
    pub fn is_ended(&self, family: usize) -> bool {
        self.revocations.iter().any(|one| self.is_dead_by(one, family).is_some())
    }

    /// How long after its end, at most, this said yes.
    pub fn latest_yes(&self, asked: Asked) -> Duration {
        let ok = self.ops.iter().filter(|op| op.asked == asked && op.outcome == Outcome::Ok);
        let after = ok.flat_map(|op| {
            let ends = self.revocations.iter().filter_map(|one| self.is_dead_by(one, op.family));
            ends.map(|at| op.begun.saturating_sub(at))
        });
        after.max().unwrap_or_default()
    }

    /// What a fault is about, for people.
    pub fn told(&self, fault: &Fault) -> String {
        let (op, revocation) = match fault {
            Fault::TooLate { op, revocation, .. } => (self.ops.get(*op), self.revocations.get(*revocation)),
            Fault::Lost { revocation, .. } => (None, self.revocations.get(*revocation)),
            Fault::EndedByNobody { .. } => (None, None),
        };
        format!("{op:?} {revocation:?}")
    }

    /// Since when the family is dead for certain: a revocation that was asked for after its birth has been
    /// acknowledged.
    fn is_dead_by(&self, revocation: &Revocation, family: usize) -> Option<At> {
        let born = self.families.get(family)?.born;
        revocation.acknowledged.filter(|_| self.covers(revocation, family) && born <= revocation.begun)
    }

    fn last_looks(&self, family: usize) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter(move |op| op.family == family && op.begun >= self.last_look)
    }

    fn too_late(&self, bounds: &Bounds) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (n, op) in self.ops.iter().enumerate().filter(|(_, op)| op.outcome == Outcome::Ok) {
            let late = self.revocations.iter().enumerate().filter_map(|(revocation, one)| {
                let acknowledged = self.is_dead_by(one, op.family)?;
                let is_late = op.begun > self.deadline(op.asked, op, acknowledged, bounds);
                let after = op.begun.saturating_sub(acknowledged);
                is_late.then_some(Fault::TooLate { op: n, revocation, after })
            });
            faults.extend(late);
        }
        faults
    }

    fn not_refused(&self, family: usize, revocation: usize) -> Vec<Fault> {
        let refused: BTreeSet<Asked> =
            self.last_looks(family).filter(|op| op.outcome == Outcome::Refused).map(|op| op.asked).collect();
        let missing = Asked::ALL.into_iter().filter(|asked| !refused.contains(asked));
        missing.map(|asked| Fault::Lost { family, revocation, asked }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        strict: Duration::from_secs(2),
        bounded: Duration::from_secs(3),
        connected: Duration::from_secs(2),
    };

    fn ms(ms: u64) -> At {
        Duration::from_millis(ms)
    }

    fn op(family: usize, asked: Asked, begun: u64, outcome: Outcome) -> Op {
        Op { family, asked, begun: ms(begun), ended: ms(begun + 1), outcome }
    }

    /// Two people sign in; the second one's end is acknowledged at 1000 and heard of everywhere.
    fn right() -> History {
        let mut ops = Vec::new();
        for asked in Asked::ALL {
            ops.push(op(0, asked, 500, Outcome::Ok));
            ops.push(op(1, asked, 500, Outcome::Ok));
            ops.push(op(0, asked, 9_000, Outcome::Ok));
            ops.push(op(1, asked, 9_000, Outcome::Refused));
        }
        let family = |user| Family { org: 0, user, born: ms(100) };
        History {
            families: vec![family(0), family(1)],
            ops,
            revocations: vec![Revocation {
                whom: Whom::User(1),
                begun: ms(900),
                acknowledged: Some(ms(1_000)),
            }],
            disturbed: (ms(1_500), ms(5_000)),
            last_look: ms(9_000),
        }
    }

    fn faults(history: &History) -> Vec<Fault> {
        history.judge(&BOUNDS)
    }

    #[test]
    fn a_right_history_is_right_and_what_runs_beside_a_revocation_is_nobodys_fault() {
        let mut history = right();
        assert_eq!(faults(&history), []);
        for asked in [Asked::Introspect, Asked::Userinfo, Asked::Refresh] {
            history.ops.push(op(1, asked, 999, Outcome::Ok));
        }
        history.ops.push(op(1, Asked::Strict, 2_999, Outcome::Ok));
        history.ops.push(op(1, Asked::Bounded, 3_999, Outcome::Ok));
        history.ops.push(op(1, Asked::BestEffort, 6_999, Outcome::Ok));
        // Born beside it: nobody knows whether before or after.
        history.families.push(Family { org: 0, user: 1, born: ms(950) });
        history.ops.push(op(2, Asked::Introspect, 9_000, Outcome::Ok));
        assert_eq!(faults(&history), []);
    }

    #[test]
    fn a_yes_beyond_its_bound_is_too_late() {
        for (asked, begun) in [
            (Asked::Introspect, 1_001),
            (Asked::Userinfo, 1_001),
            (Asked::Refresh, 1_001),
            (Asked::Strict, 3_001),
            (Asked::Bounded, 4_001),
            (Asked::BestEffort, 7_001),
        ] {
            let mut history = right();
            let n = history.ops.len();
            history.ops.push(op(1, asked, begun, Outcome::Ok));
            let after = ms(begun - 1_000);
            assert_eq!(faults(&history), [Fault::TooLate { op: n, revocation: 0, after }], "{asked:?}");
        }
        // Nothing was in its way: the freedom of best effort is a partition's.
        let mut history = right();
        history.disturbed = (ms(6_000), ms(7_000));
        history.ops.push(op(1, Asked::BestEffort, 3_001, Outcome::Ok));
        assert!(matches!(faults(&history)[..], [Fault::TooLate { .. }]));
    }

    #[test]
    fn a_lost_revocation_is_seen_by_each_that_does_not_refuse() {
        for asked in Asked::ALL {
            for outcome in [Outcome::Ok, Outcome::Unknown] {
                let mut history = right();
                let last = |op: &&mut Op| op.family == 1 && op.asked == asked && op.begun == ms(9_000);
                history.ops.iter_mut().find(last).unwrap().outcome = outcome;
                let lost = Fault::Lost { family: 1, revocation: 0, asked };
                assert!(faults(&history).contains(&lost), "{asked:?} {outcome:?}");
            }
        }
        let mut history = right();
        history.revocations[0].whom = Whom::Org(0);
        assert!(
            faults(&history).iter().any(|one| matches!(one, Fault::Lost { family: 0, .. })),
            "a whole org"
        );
        history.revocations[0].whom = Whom::Everybody;
        assert!(faults(&history).iter().any(|one| matches!(one, Fault::Lost { family: 0, .. })), "all");
        history.revocations[0].whom = Whom::Family(0);
        assert!(faults(&history).iter().any(|one| matches!(one, Fault::Lost { family: 0, .. })), "a session");
    }

    #[test]
    fn what_was_never_acknowledged_binds_nobody_and_what_nobody_ended_lives() {
        let mut history = right();
        history.revocations[0].acknowledged = None;
        for one in history.ops.iter_mut().filter(|op| op.family == 1) {
            one.outcome = Outcome::Ok;
        }
        assert_eq!(faults(&history), []);
        let mut history = right();
        history.ops.push(op(0, Asked::Strict, 9_001, Outcome::Refused));
        assert_eq!(faults(&history), [Fault::EndedByNobody { family: 0, asked: Asked::Strict }]);
        history.ops.push(op(0, Asked::Refresh, 600, Outcome::Unknown));
        assert_eq!(faults(&history), []);
    }
}
