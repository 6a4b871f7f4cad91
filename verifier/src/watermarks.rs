//! What has been revoked, as far as a living token can be touched by it. A token is dead if and only
//! if a scope that it names has a revocation above its `rs`: no clock takes part, marks only grow,
//! and hearing of one twice, or in another order, changes nothing.
//!
//! Memory is bounded twice. Marks live in two generations, and the older is let go when the younger
//! is as old as marks have to be kept. And when there are more than may be, the orgs with the most
//! are judged as a whole: each gets one mark, its highest, on the scope `org`. That refuses too much
//! and never too little, and whoever is refused so fetches a new token, whose `rs` is above it.

use crate::claims::Claims;
use serde::Deserialize;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// What a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Session, refresh tokens and access tokens: only a new sign-in helps.
    Terminate,
    /// Access tokens: the session lives, and a refresh gives a new one that tells today's truth.
    Reassert,
}

/// One frame of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) org: String,
    pub(crate) seq: u64,
    pub(crate) scope: String,
    pub(crate) action: String,
}

/// What the whole org is called among scopes.
const ORG: &str = "org";
/// Scopes that a token of this version names. One of another kind may be about any of the org's tokens.
const KINDS: [&str; 6] = [ORG, "usr:", "ses:", "app:", "con:", "svc:"];

/// Kept beyond what the gateway says, for two clocks that run unlike.
const MARGIN: Duration = Duration::from_secs(60);

/// The newest revocations of one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    /// Of either action.
    any: u64,
    /// Of `terminate` alone; 0 when there was none, because the first `seq` is 1.
    terminate: u64,
}

impl Mark {
    fn raise(&mut self, other: Self) {
        self.any = self.any.max(other.any);
        self.terminate = self.terminate.max(other.terminate);
    }
}

/// Marks by org and scope, of one span of time.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    orgs: HashMap<String, HashMap<String, Mark>>,
    len: usize,
}

impl Generation {
    fn raise(&mut self, org: &str, scope: &str, mark: Mark) {
        // The names are copied for the first of them alone.
        if !self.orgs.contains_key(org) {
            self.orgs.insert(org.to_owned(), HashMap::new());
        }
        let Some(scopes) = self.orgs.get_mut(org) else { return };
        if let Some(known) = scopes.get_mut(scope) {
            known.raise(mark);
        } else {
            scopes.insert(scope.to_owned(), mark);
            self.len += 1;
        }
    }

    /// Judges the orgs with the most marks as wholes until no more than `target` are left, or all are.
    fn coarsen(&mut self, target: usize) {
        let mut orgs: Vec<(usize, String)> =
            self.orgs.iter().map(|(org, scopes)| (scopes.len(), org.clone())).collect();
        orgs.sort_unstable_by(|a, b| b.cmp(a));
        for (len, org) in orgs {
            if self.len <= target || len < 2 {
                break;
            }
            if let Some(scopes) = self.orgs.get_mut(&org) {
                let mut whole = Mark::default();
                scopes.values().for_each(|mark| whole.raise(*mark));
                *scopes = HashMap::from([(ORG.to_owned(), whole)]);
                self.len -= len - 1;
            }
        }
    }

    /// The action that ends a token of this org, stamp and scopes.
    fn ends(&self, org: &str, rs: u64, watched: &[String]) -> Option<Action> {
        let scopes = self.orgs.get(org)?;
        let above = watched.iter().filter_map(|scope| scopes.get(scope)).filter(|mark| mark.any > rs);
        above.fold(None, |worst, mark| {
            let terminated = mark.terminate > rs || worst == Some(Action::Terminate);
            Some(if terminated { Action::Terminate } else { Action::Reassert })
        })
    }
}

/// All marks.
#[derive(Debug)]
pub(crate) struct Watermarks {
    young: Generation,
    old: Generation,
    turned_at: Instant,
    keeps: Duration,
    /// Of both generations.
    max: usize,
    /// Until when something that did not fit may matter.
    lost_until: Option<Instant>,
}

impl Watermarks {
    /// Keeps at most `max` marks.
    pub(crate) fn new(max: usize, keeps: Duration, now: Instant) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            turned_at: now,
            keeps,
            max,
            lost_until: None,
        }
    }

    /// Takes in what was revoked, and for how long the gateway keeps revocations.
    pub(crate) fn apply(&mut self, revocations: &[Revocation], keeps: Duration, now: Instant) {
        self.keeps = keeps;
        for Revocation { org, seq, scope, action } in revocations {
            let known =
                KINDS.iter().any(|kind| scope == kind || (kind.ends_with(':') && scope.starts_with(kind)));
            let scope = if known { scope.as_str() } else { ORG };
            // An action that is not known ends what each of them ends: access tokens.
            let terminate = if action == "terminate" { *seq } else { 0 };
            self.young.raise(org, scope, Mark { any: *seq, terminate });
            self.make_room(now);
        }
    }

    /// Down to nine tenths, so that not each further mark counts them all again. The older are judged as
    /// wholes first: hardly a living token is as old as they are.
    fn make_room(&mut self, now: Instant) {
        if self.len() <= self.max {
            return;
        }
        let target = self.max - self.max / 10;
        self.old.coarsen(target.saturating_sub(self.young.len));
        self.young.coarsen(target.saturating_sub(self.old.len));
        if self.len() > self.max {
            // More orgs than marks.
            self.young = Generation::default();
            self.lost_until = Some(now + self.keeps + MARGIN);
        }
    }

    /// Lets go of what no living token can be touched by, and hands it out: the caller drops it where
    /// nobody waits.
    pub(crate) fn turn(&mut self, now: Instant) -> Option<Generation> {
        self.lost_until = self.lost_until.filter(|until| *until > now);
        if now.saturating_duration_since(self.turned_at) < self.keeps + MARGIN {
            return None;
        }
        self.turned_at = now;
        let young = std::mem::take(&mut self.young);
        Some(std::mem::replace(&mut self.old, young))
    }

    /// The action that ends this token, if one does.
    pub(crate) fn ends(&self, claims: &Claims) -> Option<Action> {
        let ends = |marks: &Generation| marks.ends(claims.org_id(), claims.rs(), claims.watched());
        match (ends(&self.young), ends(&self.old)) {
            (Some(Action::Terminate), _) | (_, Some(Action::Terminate)) => Some(Action::Terminate),
            (young, old) => young.or(old),
        }
    }

    /// Whether the marks tell all about a token of this age: nothing is missing, and what may have ended it
    /// is kept still.
    pub(crate) fn tell_all(&self, age: Duration) -> bool {
        self.lost_until.is_none() && age <= self.keeps
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len + self.old.len
    }
}

#[cfg(test)]
#[path = "watermarks_tests.rs"]
mod tests;
