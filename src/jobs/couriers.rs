//! Who is out to other people's servers: one errand an org at a time, so that a slow one delays its own org
//! alone, and no other job.

use super::ORGS_A_ROUND;
use broker::{FlowError, Gateway};
use model::ids::OrgId;
use std::{collections::BTreeMap, pin::Pin, sync::Arc};
use tokio::{
    sync::Semaphore,
    task::{Id, JoinSet},
};

/// Connections of the pool that errands of one kind may hold at a time: sign-ins need the others.
pub(super) const CONNECTIONS: usize = 4;
/// Requests on their way for one org at a time, and orgs that somebody is out for: their product is what
/// this process opens of sockets. One batch of receivers that all take five seconds ends within its claim.
pub(super) const AT_ONCE: usize = 5;
const ORGS_AT_WORK: usize = 50;
/// A claimed thing is passed over by other nodes this long: more than an outgoing request may take.
pub(super) const CLAIM_SECS: i64 = 30;
pub(super) const BATCH: i64 = 20;
/// What is kept of a receiver's error.
pub(super) const ERROR_CHARS_MAX: usize = 300;

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
