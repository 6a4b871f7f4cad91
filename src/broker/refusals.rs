//! Strangers must not buy commits: a refusal before a proven signature is counted in memory, by
//! minute, connection and code, with the first one's facts; a job writes each minute once. What is
//! kept here is bounded, whatever arrives. The org's administrator reads the counts.

use crate::{
    FlowError, Gateway,
    administer::Page,
    counted::{LOGINS, REFUSALS_UNCOUNTED},
};
use model::{
    Refusal, Timestamp,
    ids::{ConnectionId, OrgId, Refused},
    refusal::Standing,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use store::{Administrator, NewRefusals, OrgScope, RefusalSample, Refusals, Visitor};

/// Counts of unfinished minutes: some 50 connections under every code at once, about 4 MB.
const COUNTS_MAX: usize = 4_096;
const MINUTE_SECS: i64 = 60;

type Place = (OrgId, ConnectionId, i64, &'static str);

/// The refusals that are not written yet.
#[derive(Default)]
pub struct Strangers(Mutex<BTreeMap<Place, NewRefusals>>);

impl Strangers {
    fn held(&self) -> MutexGuard<'_, BTreeMap<Place, NewRefusals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one, or as many as were taken and could not be written.
    pub fn add(&self, org: OrgId, more: NewRefusals) {
        let place = (org, more.connection, more.minute.secs(), more.code);
        let mut counts = self.held();
        if let Some(known) = counts.get_mut(&place) {
            known.count = known.count.saturating_add(more.count);
        } else if counts.len() < COUNTS_MAX {
            counts.insert(place, more);
        } else {
            REFUSALS_UNCOUNTED.add([], u64::try_from(more.count).unwrap_or(0));
        }
    }

    /// Takes out, by org, every minute that is over.
    pub fn take(&self, now: Timestamp) -> BTreeMap<OrgId, Vec<NewRefusals>> {
        let mut taken: BTreeMap<OrgId, Vec<NewRefusals>> = BTreeMap::new();
        let present = minute_of(now).secs();
        for ((org, ..), counted) in self.held().extract_if(.., |(_, _, minute, _), _| *minute < present) {
            taken.entry(org).or_default().push(counted);
        }
        taken
    }
}

const fn minute_of(at: Timestamp) -> Timestamp {
    Timestamp::from_secs(at.secs().div_euclid(MINUTE_SECS) * MINUTE_SECS)
}

/// How an answer from upstream ended: counted for the operator by protocol, outcome and code; a
/// stranger's refusal for the org, too. A proven one has been written already.
pub(crate) fn note<T>(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    connection: ConnectionId,
    protocol: &'static str,
    done: &Result<T, FlowError>,
) {
    let error = match done {
        Ok(_) => return LOGINS.add([protocol, "accepted", ""], 1),
        Err(error) => error,
    };
    let FlowError::Refused(refusal) = error else {
        return LOGINS.add([protocol, "failed", error.code()], 1);
    };
    LOGINS.add([protocol, "refused", refusal.code], 1);
    match refusal.standing {
        Standing::Proven => {}
        Standing::Stranger => {
            tracing::info!(%connection, code = refusal.code, "sign-in refused");
            count(gw, scope, connection, refusal);
        }
    }
}

/// Counts one for the org.
pub(crate) fn count(gw: &Gateway, scope: &OrgScope<Visitor>, connection: ConnectionId, refusal: &Refusal) {
    let (origin, facts) = (scope.origin(), &refusal.facts);
    let sample = RefusalSample {
        at: origin.at,
        request_id: origin.request_id.clone(),
        ip: origin.ip.clone(),
        user_agent: origin.user_agent.clone(),
        facts: facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    let minute = minute_of(origin.at);
    let one = NewRefusals { connection, minute, code: refusal.code, count: 1, sample };
    gw.strangers.add(scope.org(), one);
}

/// One page of a connection's counted refusals, newest first.
///
/// # Errors
/// `Missing`: no such connection here.
pub async fn list(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    connection: ConnectionId,
    page: Page<Refused>,
) -> Result<Vec<Refusals>, FlowError> {
    let mut tx = gw.db.read(scope, "refusals.list").await?;
    tx.connection(connection).await?.ok_or(FlowError::Missing)?;
    Ok(tx.refusals(connection, page.after, page.rows(), gw.db.seals()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn sample(request_id: &str) -> RefusalSample {
        let (at, facts) = (Timestamp::from_secs(0), BTreeMap::new());
        RefusalSample { at, request_id: request_id.to_owned(), ip: None, user_agent: None, facts }
    }

    fn refused(connection: u128, secs: i64, code: &'static str, request_id: &str) -> NewRefusals {
        let connection = ConnectionId::from_uuid(Uuid::from_u128(connection));
        let minute = minute_of(Timestamp::from_secs(secs));
        NewRefusals { connection, minute, code, count: 1, sample: sample(request_id) }
    }

    #[test]
    fn a_minute_is_counted_with_its_first_sample_and_taken_when_it_is_over() {
        let (strangers, org) = (Strangers::default(), OrgId::from_uuid(Uuid::from_u128(1)));
        for (secs, request_id) in [(60, "first"), (119, "second"), (120, "next")] {
            strangers.add(org, refused(7, secs, "saml.a", request_id));
        }
        assert!(strangers.take(Timestamp::from_secs(119)).is_empty(), "the minute is not over");
        let taken = strangers.take(Timestamp::from_secs(120)).remove(&org).unwrap();
        let [minute] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!((minute.count, &minute.sample), (2, &sample("first")));
        strangers.add(org, minute.clone());
        assert_eq!(strangers.take(Timestamp::from_secs(180))[&org].len(), 2, "what was put back comes again");
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_known_still_counts() {
        let (strangers, org) = (Strangers::default(), OrgId::from_uuid(Uuid::from_u128(1)));
        for n in 0..=COUNTS_MAX {
            strangers.add(org, refused(n as u128, 0, "saml.a", ""));
        }
        strangers.add(org, refused(0, 0, "saml.a", ""));
        let taken = strangers.take(Timestamp::from_secs(60)).remove(&org).unwrap();
        assert_eq!((taken.len(), taken[0].count), (COUNTS_MAX, 2));
    }
}
