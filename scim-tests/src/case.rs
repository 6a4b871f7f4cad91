//! What a case is and how it ends.

use crate::{script::Step, stage::Stage, wire::Answer, wire::Request};
use std::{pin::Pin, sync::Arc, time::Duration};

/// How much the rule asks (RFC 2119). For a client's dialogue: what the client cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Must,
    Should,
    May,
}

impl Level {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }
}

impl std::str::FromStr for Level {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "MUST" => Ok(Self::Must),
            "SHOULD" => Ok(Self::Should),
            "MAY" => Ok(Self::May),
            _ => Err(format!("no such level: {text}")),
        }
    }
}

/// The words of a case: everything but what it does.
#[derive(Clone, Debug)]
pub struct Label {
    /// Unique, dotted: `patch.add.appends`.
    pub id: String,
    pub title: String,
    /// The chapter it is shown under.
    pub part: String,
    /// The client whose dialogue it is; none for a case from an RFC.
    pub client: Option<String>,
    /// `RFC 7644 3.5.2.1`, or the vendor's document.
    pub rule: String,
    pub level: Level,
    /// What the rule says.
    pub says: String,
    /// What to do about a failure.
    pub todo: String,
    /// What the server must announce for the case to apply; see `server::Server::lacks`.
    pub needs: Vec<String>,
}

pub struct Case {
    pub label: Label,
    pub play: Play,
}

pub type Acting<'a> = Pin<Box<dyn Future<Output = Result<(), Stop>> + Send + 'a>>;

/// A case written out in Rust.
pub type Act = for<'a> fn(&'a mut Stage) -> Acting<'a>;

pub enum Play {
    Script(Vec<Step>),
    Coded(Act),
    /// The same, with the troupe on the stage.
    Troupe(Act),
    /// A filter and the people of the troupe it finds.
    Find {
        filter: String,
        finds: Vec<String>,
    },
    /// A filter that is none.
    Refuse {
        filter: String,
    },
    /// A step that is sent with the other tenant's id and with nobody's as `${target}`.
    Probe {
        of: String,
        step: Box<Step>,
    },
    /// `sortBy`, `sortOrder` and the order of the troupe's people; those in one inner list tie.
    Sort {
        by: String,
        order: Option<String>,
        gives: Vec<Vec<String>>,
    },
}

/// One request and what came of it, as the report shows it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Request,
    pub answer: Result<Arc<Answer>, String>,
}

/// What was to be, what was instead, and the exchange that showed it.
#[derive(Clone, Debug)]
pub struct Failure {
    pub expected: String,
    pub found: String,
    pub exchange: Option<Exchange>,
}

/// Why a case ends before its end.
#[derive(Debug)]
pub enum Stop {
    Failed(Box<Failure>),
    /// What the case needs first could not be done, so nothing is said about its rule.
    Blocked(Box<Failure>),
    Skipped(String),
}

#[derive(Debug)]
pub enum Outcome {
    Passed,
    Failed(Box<Failure>),
    /// Passed what its level asks; these further lines are a SHOULD.
    Lacking(Vec<Failure>),
    Blocked(Box<Failure>),
    Skipped(String),
}

#[derive(Debug)]
pub struct Verdict {
    pub label: Label,
    pub outcome: Outcome,
    pub took: Duration,
}

/// How a verdict is shown and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Pass,
    /// A MUST is broken.
    Fail,
    /// A SHOULD is not done.
    Warn,
    /// A MAY is not done.
    Note,
    /// Could not be judged, because something before it failed.
    Blocked,
    Skip,
}

impl Mark {
    pub const ALL: [Self; 6] = [Self::Pass, Self::Fail, Self::Warn, Self::Note, Self::Blocked, Self::Skip];
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::Note => "note",
            Self::Blocked => "blocked",
            Self::Skip => "skip",
        }
    }
}

impl Verdict {
    pub const fn mark(&self) -> Mark {
        match (&self.outcome, self.label.level) {
            (Outcome::Passed, _) => Mark::Pass,
            (Outcome::Failed(_), Level::Must) => Mark::Fail,
            (Outcome::Failed(_), Level::Should) => Mark::Warn,
            (Outcome::Failed(_), Level::May) => Mark::Note,
            (Outcome::Lacking(_), Level::Must | Level::Should) => Mark::Warn,
            (Outcome::Lacking(_), Level::May) => Mark::Note,
            (Outcome::Blocked(_), _) => Mark::Blocked,
            (Outcome::Skipped(_), _) => Mark::Skip,
        }
    }
    /// Every failure there is to tell.
    pub fn failures(&self) -> Vec<&Failure> {
        match &self.outcome {
            Outcome::Failed(one) | Outcome::Blocked(one) => vec![one],
            Outcome::Lacking(many) => many.iter().collect(),
            Outcome::Passed | Outcome::Skipped(_) => Vec::new(),
        }
    }
    /// Does it keep the exit code from being 0?
    pub fn is_red(&self) -> bool {
        match self.mark() {
            Mark::Fail => true,
            Mark::Blocked => self.label.level == Level::Must,
            Mark::Pass | Mark::Warn | Mark::Note | Mark::Skip => false,
        }
    }
}
