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
    collections::BTreeMap,
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
/// Verifiers whose place is remembered, and acknowledgements that wait for the job; one more, and the places
/// are forgotten: what is acknowledged twice is written as once.
const VERIFIERS_MAX: usize = 8_192;
const WAITING_MAX: usize = 65_536;

/// The first word about a revocation and the last, by its seq and the app.
type Waiting = BTreeMap<(i64, AppId), (Timestamp, Timestamp)>;

#[derive(Default)]
pub struct Acks(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    reached: BTreeMap<(AppId, String), i64>,
    waiting: BTreeMap<OrgId, Waiting>,
}

impl Acks {
    /// Takes everything out, by org.
    pub fn take(&self) -> BTreeMap<OrgId, Vec<FeedAck>> {
        let waiting = std::mem::take(&mut self.noted().waiting);
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
    let verifier = ack.verifier.unwrap_or_default();
    if verifier.chars().count() > VERIFIER_CHARS_MAX {
        return Err(malformed("verifier", "at most 64 characters"));
    }
    let audience = feed::audience(gw, app).await?;
    let place = feed::place(&ack.cursor).ok_or_else(|| malformed("cursor", "a cursor that the feed gave"))?;
    let now = gw.now();
    let mut noted = gw.acks.noted();
    let who = (app, verifier);
    let known = noted.reached.get(&who).copied().unwrap_or(0);
    let Some((pos, ended)) = gw.feed.ended_between(&audience, known, place) else { return Ok(()) };
    if noted.reached.len() >= VERIFIERS_MAX {
        noted.reached.clear();
    }
    noted.reached.insert(who, pos.max(known));
    let mut room = WAITING_MAX.saturating_sub(noted.waiting.values().map(BTreeMap::len).sum());
    for (org, seq) in ended {
        if room == 0 {
            tracing::warn!(%app, "more acknowledgements than wait for their job: some are not in the receipts");
            break;
        }
        room -= 1;
        let times = noted.waiting.entry(org).or_default().entry((seq, app)).or_insert((now, now));
        times.1 = now;
    }
    Ok(())
}
