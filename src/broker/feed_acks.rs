//! What apps say they know of: noted in memory, and written by a job, so that an acknowledgement costs its
//! sender no commit. An app may have many verifiers; a receipt says when the first of them had it and when the
//! last did.

use crate::{FlowError, Gateway, feed};
use model::{
    Timestamp,
    ids::{AppId, OrgId},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, PoisonError},
};
use store::FeedAck;

/// What a verifier posts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// Of the newest stretch that it has applied.
    #[schemars(length(max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub cursor: String,
    /// Which of the app's verifiers it is: any word of its own choosing.
    #[schemars(length(min = 1, max = VERIFIER_CHARS_MAX))]
    pub verifier: Option<String>,
}

const VERIFIER_CHARS_MAX: usize = 64;
/// Verifiers of an app that are told apart, and of all apps. Any word is a name: who comes when these are taken is
/// one with all who come later, and a receipt's last word may then be a little early.
const NAMES_OF_ONE_MAX: usize = 1_024;
const NAMES_MAX: usize = 8_192;
/// A verifier that was not heard for so long is forgotten when its name's place is wanted.
const SILENT_SECS: i64 = 3_600;
/// How often an app's names are looked through for such.
const LOOKED_THROUGH_SECS: i64 = 60;
/// A verifier beside others begins so many places before its first word, not at the oldest that is kept: those
/// heard of what is older.
const NEWCOMER_PLACES: i64 = 512;
/// Acknowledgements that wait for the job.
const WAITING_MAX: usize = 65_536;

/// The first word about a revocation and the last, by its seq and the app.
type Waiting = BTreeMap<(i64, AppId), (Timestamp, Timestamp)>;

#[derive(Default)]
pub struct Acks(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    reached: Reached,
    waiting: BTreeMap<OrgId, Waiting>,
    waiting_count: usize,
}

/// How far each verifier has come.
#[derive(Default)]
struct Reached {
    apps: BTreeMap<AppId, Verifiers>,
    names: usize,
}

#[derive(Default)]
struct Verifiers {
    by_name: BTreeMap<String, (i64, Timestamp)>,
    /// Those for whose names there was no place.
    others: Option<i64>,
    looked_through_at: Option<Timestamp>,
}

impl Reached {
    /// Up to where this verifier's word is known already, when it now says `place`.
    fn known(&self, app: AppId, name: &str, place: i64) -> i64 {
        let Some(verifiers) = self.apps.get(&app) else { return 0 };
        let own = verifiers.by_name.get(name).map(|(pos, _)| *pos);
        own.or(verifiers.others).unwrap_or_else(|| {
            if verifiers.by_name.is_empty() { 0 } else { place.saturating_sub(NEWCOMER_PLACES) }
        })
    }

    fn note(&mut self, app: AppId, name: String, place: i64, now: Timestamp) {
        let verifiers = self.apps.entry(app).or_default();
        if let Some(own) = verifiers.by_name.get_mut(&name) {
            *own = (own.0.max(place), now);
            return;
        }
        let is_full = verifiers.by_name.len() >= NAMES_OF_ONE_MAX || self.names >= NAMES_MAX;
        let is_due = |at: Timestamp| at.plus_secs(LOOKED_THROUGH_SECS) <= now;
        if is_full && verifiers.looked_through_at.is_none_or(is_due) {
            let before = verifiers.by_name.len();
            verifiers.by_name.retain(|_, (_, at)| at.plus_secs(SILENT_SECS) > now);
            verifiers.looked_through_at = Some(now);
            verifiers.others = None;
            self.names = self.names.saturating_sub(before).saturating_add(verifiers.by_name.len());
        }
        if verifiers.by_name.len() >= NAMES_OF_ONE_MAX || self.names >= NAMES_MAX {
            verifiers.others = Some(verifiers.others.map_or(place, |others| others.max(place)));
        } else {
            verifiers.by_name.insert(name, (place, now));
            self.names = self.names.saturating_add(1);
        }
    }
}

impl Acks {
    /// Takes everything out, by org.
    pub fn take(&self) -> BTreeMap<OrgId, Vec<FeedAck>> {
        let mut noted = self.noted();
        noted.waiting_count = 0;
        let waiting = std::mem::take(&mut noted.waiting);
        drop(noted);
        let of = |acks: Waiting| {
            let ack = |((seq, app), (first_at, last_at))| FeedAck { seq, app, first_at, last_at };
            acks.into_iter().map(ack).collect()
        };
        waiting.into_iter().map(|(org, acks)| (org, of(acks))).collect()
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that an app knows of everything up to a cursor. One of another life or of other orgs says nothing, and
/// is no error.
///
/// # Errors
/// `feed.ack_malformed`.
pub async fn note(gw: &Gateway, app: AppId, ack: Ack) -> Result<(), FlowError> {
    let malformed =
        |field: &'static str, right: &'static str| FlowError::invalid("feed.ack_malformed", field, right);
    let is_name = |name: &String| {
        (1..=VERIFIER_CHARS_MAX).contains(&name.chars().count()) && !name.contains(char::is_control)
    };
    if !ack.verifier.as_ref().is_none_or(is_name) {
        return Err(malformed("verifier", "1 to 64 characters"));
    }
    let verifier = ack.verifier.unwrap_or_default();
    let audience = feed::audience(gw, app).await?;
    let place = feed::place(&ack.cursor).ok_or_else(|| malformed("cursor", "a cursor that the feed gave"))?;
    let now = gw.now();
    let mut noted = gw.acks.noted();
    let known = noted.reached.known(app, &verifier, place.pos());
    let Some((pos, ended)) = gw.feed.ended_between(&audience, known, place) else { return Ok(()) };
    noted.reached.note(app, verifier, pos, now);
    for (org, seq) in ended {
        if noted.waiting_count >= WAITING_MAX {
            tracing::warn!(%app, "more acknowledgements than wait for their job: some are not in the receipts");
            break;
        }
        match noted.waiting.entry(org).or_default().entry((seq, app)) {
            Entry::Occupied(mut times) => times.get_mut().1 = now,
            Entry::Vacant(first) => {
                first.insert((now, now));
                noted.waiting_count += 1;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn app(n: u128) -> AppId {
        AppId::from_uuid(Uuid::from_u128(n))
    }
    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// The first verifier of an app has heard of all that is kept; another one of the newest, and after that of what
    /// is new to it.
    #[test]
    fn a_verifier_goes_on_where_it_was_and_a_newcomer_begins_near_its_place() {
        let mut reached = Reached::default();
        assert_eq!(reached.known(app(1), "one", 5_000), 0);
        reached.note(app(1), "one".to_owned(), 5_000, at(0));
        assert_eq!(reached.known(app(1), "one", 6_000), 5_000);
        assert_eq!(reached.known(app(1), "two", 6_000), 6_000 - NEWCOMER_PLACES);
        reached.note(app(1), "one".to_owned(), 4_000, at(1));
        assert_eq!(reached.known(app(1), "one", 6_000), 5_000, "an older word takes nothing back");
        assert_eq!(reached.known(app(2), "one", 6_000), 0, "another app's");
    }

    #[test]
    fn invented_names_take_bounded_room_and_are_one_when_it_is_taken() {
        let mut reached = Reached::default();
        reached.note(app(1), "own".to_owned(), 9_000, at(0));
        for n in 0..10_000 {
            reached.note(app(1), format!("invented {n}"), 9_000, at(1));
        }
        let verifiers = &reached.apps[&app(1)];
        assert_eq!((verifiers.by_name.len(), reached.names), (NAMES_OF_ONE_MAX, NAMES_OF_ONE_MAX));
        assert_eq!(reached.known(app(1), "one more", 9_000), 9_000, "nothing is told by it that was not");
        assert_eq!(reached.known(app(1), "own", 9_001), 9_000);
        for n in 0..20_u32 {
            let place = |m: u32| reached_name(n, m);
            (0..1_024).for_each(|m| reached.note(app(2 + u128::from(n)), place(m), 9_000, at(1)));
        }
        assert_eq!(reached.names, NAMES_MAX);
    }

    fn reached_name(app: u32, n: u32) -> String {
        format!("{app} {n}")
    }

    /// Verifiers come and go under names of their own: those that went make room.
    #[test]
    fn who_is_silent_for_an_hour_makes_room() {
        let mut reached = Reached::default();
        for n in 0..NAMES_OF_ONE_MAX {
            reached.note(app(1), n.to_string(), 1, at(0));
        }
        reached.note(app(1), "0".to_owned(), 2, at(SILENT_SECS));
        reached.note(app(1), "new".to_owned(), 2, at(SILENT_SECS - 1));
        assert_eq!(reached.names, NAMES_OF_ONE_MAX);
        reached.note(app(1), "new".to_owned(), 2, at(SILENT_SECS + LOOKED_THROUGH_SECS));
        assert_eq!((reached.names, reached.apps[&app(1)].by_name.len()), (2, 2));
    }
}
