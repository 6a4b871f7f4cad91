//! Who is out to other people's servers: one errand an org at a time, so that a slow one delays its own org
//! alone, and no other job.

use super::ORGS_A_ROUND;
use broker::{FlowError, Gateway, OutboundRequest};
use model::{Timestamp, ids::OrgId};
use std::{collections::BTreeMap, pin::Pin, sync::Arc};
use tokio::{
    sync::Semaphore,
    task::{Id, JoinSet},
};

/// Connections of the pool that errands of one kind may hold at a time: sign-ins need the others.
pub(super) const CONNECTIONS: usize = 4;
/// Requests on their way for one org at a time, and orgs that somebody is out for: their product is what
/// this process opens of sockets. One batch of receivers that all take five seconds ends within its claim.
const AT_ONCE: usize = 5;
const ORGS_AT_WORK: usize = 50;
/// A claimed thing is passed over by other nodes this long: more than an outgoing request may take.
pub(super) const CLAIM_SECS: i64 = 30;
pub(super) const BATCH: i64 = 20;
/// What is kept of a receiver's error.
const ERROR_CHARS_MAX: usize = 300;

/// One batch of what is due in one org.
pub(super) type Errand =
    fn(Gateway, OrgId, Arc<Semaphore>) -> Pin<Box<dyn Future<Output = Result<(), FlowError>> + Send>>;

/// The orgs whose errands of one kind are under way in this process.
pub(super) struct Couriers {
    /// Its word on the jobs' list.
    kind: &'static str,
    errand: Errand,
    at_work: JoinSet<Result<(), FlowError>>,
    orgs: BTreeMap<Id, OrgId>,
    connections: Arc<Semaphore>,
}

impl Couriers {
    pub(super) fn new(kind: &'static str, errand: Errand) -> Self {
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        Self { kind, errand, at_work: JoinSet::new(), orgs: BTreeMap::new(), connections }
    }

    /// Sends somebody to each org in which something is due and nobody is yet, those first that wait
    /// longest, while few enough are out. Does not wait for them.
    pub(super) async fn round(&mut self, gw: &Gateway) -> Result<(), FlowError> {
        while let Some(done) = self.at_work.try_join_next_with_id() {
            let (id, failed) = match done {
                Ok((id, told)) => (id, told.err().map(|error| error.to_string())),
                Err(error) => (error.id(), Some(error.to_string())),
            };
            let org = self.orgs.remove(&id);
            if let Some(error) = failed {
                tracing::warn!(kind = self.kind, ?org, error, "an errand broke off; it will come again");
            }
        }
        for org in gw.db.orgs_with_due(self.kind, gw.now(), ORGS_A_ROUND).await? {
            if self.orgs.len() < ORGS_AT_WORK && !self.orgs.values().any(|busy| *busy == org) {
                let task = self.at_work.spawn((self.errand)(gw.clone(), org, self.connections.clone()));
                self.orgs.insert(task.id(), org);
            }
        }
        Ok(())
    }

    /// Waits for those who are out.
    pub(super) async fn finish(mut self) {
        while self.at_work.join_next().await.is_some() {}
    }
}

/// How a receiver answered: no error is a success.
pub(super) struct Attempt {
    pub(super) status: Option<i32>,
    pub(super) error: Option<String>,
    is_last: bool,
}

impl Attempt {
    /// Sends, and looks at the answer.
    pub(super) async fn of(gw: &Gateway, request: OutboundRequest) -> Self {
        let (status, error) = match gw.outbound.send(request).await {
            Ok(answer) => {
                let taken = (200..300).contains(&answer.status);
                (Some(i32::from(answer.status)), (!taken).then(|| format!("answered with {}", answer.said())))
            }
            Err(fault) => (None, Some(fault.to_string())),
        };
        let kept = |error: String| error.chars().take(ERROR_CHARS_MAX).collect();
        Self { status, error: error.map(kept), is_last: false }
    }

    /// Nothing could be sent; the next time it may.
    pub(super) fn failed(why: &str) -> Self {
        Self { status: None, error: Some(why.to_owned()), is_last: false }
    }

    /// Nothing is there to be sent, or nobody to send it to.
    pub(super) fn never(why: &str) -> Self {
        Self { is_last: true, ..Self::failed(why) }
    }

    /// What follows: `done` after a success; else `waiting` for the next of so many attempts, each so many
    /// seconds after the one before, or `dead`. `attempts` counts this one.
    pub(super) fn outcome(
        &self,
        (done, backoff_secs): (&'static str, &[i64]),
        attempts: i32,
        now: Timestamp,
    ) -> (&'static str, Timestamp) {
        let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(0);
        match (&self.error, backoff_secs.get(step)) {
            (None, _) => (done, now),
            (Some(_), Some(secs)) if !self.is_last => ("waiting", now.plus_secs(*secs)),
            (Some(_), _) => ("dead", now),
        }
    }
}

/// Does it for each of a batch; the semaphore is for whoever has a request under way.
pub(super) async fn each<T, F>(
    batch: Vec<T>,
    errand: impl Fn(T, Arc<Semaphore>) -> F,
) -> Result<(), FlowError>
where
    F: Future<Output = Result<(), FlowError>> + Send + 'static,
{
    let (mut sends, sockets) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for one in batch {
        sends.spawn(errand(one, sockets.clone()));
    }
    let mut all = Ok(());
    while let Some(done) = sends.join_next().await {
        all = all.and(done.unwrap_or_else(|panicked| Err(FlowError::Fault(panicked.to_string()))));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_later_and_later_and_then_gives_up() {
        let (now, plan) = (Timestamp::from_secs(1_000), ("told", [5, 30].as_slice()));
        let taken = Attempt { status: Some(204), error: None, is_last: false };
        let failed = Attempt::failed("away");
        assert_eq!(taken.outcome(plan, 1, now), ("told", now));
        assert_eq!(taken.outcome(plan, 3, now), ("told", now));
        assert_eq!(failed.outcome(plan, 1, now), ("waiting", now.plus_secs(5)));
        assert_eq!(failed.outcome(plan, 2, now), ("waiting", now.plus_secs(30)));
        assert_eq!(failed.outcome(plan, 3, now), ("dead", now));
        assert_eq!(Attempt::never("gone").outcome(plan, 1, now), ("dead", now));
    }
}
