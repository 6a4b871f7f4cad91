//! What the provisioning stories share: what a directory asks beside the body, how a judge's
//! refusal travels to the face, and which group of words a record is made of. RFC 7644 3.14.

use crate::{FlowError, Gateway};
use model::{
    Refusal, Timestamp,
    ids::{EventId, UserId},
    record::{AuditEvent, Record, Usage},
};
use scim::{Object, Problem, Projection, ScimError};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a request carries beside its body.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The `If-Match` header: change only this version.
    pub if_match: Option<String>,
    pub projection: Projection,
    pub losers: Losers,
}

/// Whom a request has left without a team or a role so far. The operations of a bulk request share it: they are one
/// request, whose answers nobody looks at in between.
#[derive(Clone, Debug, Default)]
pub struct Losers(Arc<Mutex<Lost>>);

#[derive(Debug, Default)]
struct Lost {
    all: BTreeSet<UserId>,
    /// Those of them whom the operation under way adds.
    latest: Vec<UserId>,
}

impl Losers {
    pub(crate) fn add(&self, more: &[UserId]) {
        let Lost { all, latest } = &mut *self.lost();
        latest.extend(more.iter().copied().filter(|id| all.insert(*id)));
    }
    /// An operation has ended: where it failed, nobody has lost anything by it.
    pub(crate) fn settle(&self, is_done: bool) {
        let Lost { all, latest } = &mut *self.lost();
        for id in latest.drain(..).filter(|_| !is_done) {
            all.remove(&id);
        }
    }
    pub(crate) fn len(&self) -> usize {
        self.lost().all.len()
    }
    /// So many of them, in the order of their ids.
    pub(crate) fn first(&self, most: usize) -> Vec<UserId> {
        self.lost().all.iter().copied().take(most).collect()
    }
    fn lost(&self) -> MutexGuard<'_, Lost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// 412 when the client meant another version.
    pub(crate) fn agrees(&self, version: i64) -> Result<(), FlowError> {
        match &self.if_match {
            Some(header) if !scim::etag_matches(header, version) => {
                let detail = format!("the resource is at version {}", scim::etag(version));
                Err(ScimError::of(Problem::VersionMismatch, detail).into())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A directory has proven itself by its token before any judge looks at its request. The fact is
/// what the face renders as `detail`.
impl From<ScimError> for FlowError {
    fn from(error: ScimError) -> Self {
        Refusal::proven(error.code).with("detail", error.detail).into()
    }
}

pub(crate) fn refused(problem: Problem, detail: &str) -> FlowError {
    ScimError::of(problem, detail).into()
}

/// Another resource has this.
pub(crate) fn taken(attribute: &str, value: &str) -> FlowError {
    refused(Problem::Taken, &format!("{attribute} is taken; received \"{value}\""))
}

/// A unique key that says no is a name that is taken; anything else is what it is.
pub(crate) fn or_taken(error: store::Error, attribute: &str, value: &str) -> FlowError {
    match error {
        store::Error::Conflict(_) => taken(attribute, value),
        other => other.into(),
    }
}

/// The record of one act of a directory, metered.
pub(crate) fn record(gw: &Gateway, at: Timestamp, event: AuditEvent) -> Record {
    let natural_key = EventId::new(at, gw.chance.as_ref()).to_string();
    Record::of(event).metered(Usage { meter: "scim.op", natural_key, value: 1 })
}

/// Both sides of every attribute that differs.
pub(crate) fn differences(before: &Object, after: &Object) -> (Value, Value) {
    let differing = |from: &Object, to: &Object| {
        let changed = from.iter().filter(|(name, value)| to.get(*name) != Some(value));
        Value::Object(changed.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    (differing(before, after), differing(after, before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn only_what_differs_is_recorded_on_the_side_that_has_it() {
        let before = object(json!({"userName": "a", "title": "T", "active": true}));
        let after = object(json!({"userName": "a", "active": false, "locale": "en"}));
        let (old, new) = differences(&before, &after);
        assert_eq!(old, json!({"title": "T", "active": true}));
        assert_eq!(new, json!({"active": false, "locale": "en"}));
    }

    #[test]
    fn another_version_is_refused_and_no_header_is_not_asked() {
        let asked = |header: &str| Asked { if_match: Some(header.to_owned()), ..Asked::default() };
        assert!(asked("W/\"3\"").agrees(3).is_ok());
        assert!(asked("*").agrees(3).is_ok());
        assert!(Asked::default().agrees(3).is_ok());
        assert_eq!(asked("W/\"2\"").agrees(3).unwrap_err().code(), "scim.version_mismatch");
    }
}
