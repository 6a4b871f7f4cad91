//! What happens without a caller: revocations that Redis has not got yet, deliveries that are due,
//! things whose time is over. Each node runs all of them, each at its own pace, so that a long one
//! keeps none waiting; row locks and unique keys keep it right.

mod acks;
mod apps_left;
mod couriers;
pub mod deliver;
mod feed;
mod guard;
mod logouts;
pub mod months;
pub mod refusals;
mod relay;
pub mod requests;
mod signing_keys;
mod sizes;
mod streams;
pub mod sweep;
pub mod uses;

use broker::{
    FlowError, Gateway,
    counted::{JOB_FAILURES, JOB_SUCCEEDED_AT},
};
use couriers::Couriers;
use model::ids::OrgId;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use store::{Call, GateError, Job, OrgScope};
use sweep::Retention;
use tokio::{sync::watch, task::JoinSet};

/// How often what waits is looked for. A crash between commit and Redis costs at most this much.
const OFTEN: Duration = Duration::from_millis(250);
/// How often the sweep looks whose turn it is, and whether signing keys have changed.
const SELDOM: Duration = Duration::from_secs(1);
/// How often Redis is asked whether it still holds everything, and Postgres what has grown.
const STEADILY: Duration = Duration::from_secs(5);
const MINUTELY: Duration = Duration::from_secs(60);
const HOURLY: Duration = Duration::from_secs(3_600);
/// Orgs a job takes on in one round.
const ORGS_A_ROUND: i64 = 100;

/// Runs until `stop` turns true. `fresh_redis`: it was started with this process, and is empty.
pub(crate) async fn run(gw: Gateway, keep: Retention, fresh_redis: bool, stop: watch::Receiver<bool>) {
    let fresh = Arc::new(AtomicBool::new(fresh_redis));
    let mut jobs = JoinSet::new();
    jobs.spawn(every(OFTEN, "relay", gw.clone(), stop.clone(), relay::round));
    jobs.spawn(errands("deliver", deliver::couriers(), gw.clone(), stop.clone()));
    jobs.spawn(errands("logouts", logouts::couriers(), gw.clone(), stop.clone()));
    jobs.spawn(errands("streams", streams::couriers(), gw.clone(), stop.clone()));
    jobs.spawn(every(OFTEN, "logouts.spell_out", gw.clone(), stop.clone(), logouts::spell_out));
    jobs.spawn(every(OFTEN, "apps_left", gw.clone(), stop.clone(), apps_left::round));
    jobs.spawn(feed::follow(gw.clone(), stop.clone()));
    jobs.spawn(every(MINUTELY, "feed.forget", gw.clone(), stop.clone(), feed::forget));
    jobs.spawn(every(HOURLY, "months", gw.clone(), stop.clone(), months::round));
    jobs.spawn(every(SELDOM, "signing_keys", gw.clone(), stop.clone(), signing_keys::beat));
    jobs.spawn(every(HOURLY, "signing_keys.tend", gw.clone(), stop.clone(), signing_keys::tend));
    jobs.spawn(every(STEADILY, "sizes", gw.clone(), stop.clone(), sizes::round));
    jobs.spawn(every(STEADILY, "guard", gw.clone(), stop.clone(), move |gw| guard::round(gw, fresh.clone())));
    jobs.spawn(every(SELDOM, "refusals", gw.clone(), stop.clone(), refusals::round));
    jobs.spawn(every(SELDOM, "acks", gw.clone(), stop.clone(), acks::round));
    let kept = keep.clone();
    jobs.spawn(every(SELDOM, "requests", gw.clone(), stop.clone(), move |gw| {
        requests::round(gw, kept.clone())
    }));
    jobs.spawn(every(MINUTELY, "uses", gw.clone(), stop.clone(), uses::round));
    let kept = keep.clone();
    jobs.spawn(every(SELDOM, "sweep", gw.clone(), stop, move |gw| sweep::round(gw, kept.clone())));
    jobs.join_all().await;
    // What was asked since the last round: nobody asks any more.
    if let Err(error) = requests::round(gw, keep).await {
        tracing::warn!(%error, "the last requests of directories are not in their logs");
    }
}

/// One job's rounds, with a pause after each. A round that fails, or panics, comes again.
async fn every<F: Future<Output = Result<(), FlowError>> + Send + 'static>(
    pause: Duration,
    name: &'static str,
    gw: Gateway,
    mut stop: watch::Receiver<bool>,
    round: impl Fn(Gateway) -> F,
) {
    while !*stop.borrow() {
        let done = tokio::spawn(round(gw.clone())).await;
        note(&gw, name, done.unwrap_or_else(|panicked| Err(FlowError::Fault(panicked.to_string()))));
        rest(pause, &mut stop).await;
    }
}

/// Errands have people out between their rounds, and wait for them in the end.
async fn errands(name: &'static str, mut couriers: Couriers, gw: Gateway, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        note(&gw, name, couriers.round(&gw).await);
        rest(OFTEN, &mut stop).await;
    }
    couriers.finish().await;
}

/// The org, for a job; none when it is purged: nothing of it is left to work on.
async fn entered(
    gw: &Gateway,
    name: &'static str,
    org: OrgId,
    call: &Call,
) -> Result<Option<OrgScope<Job>>, FlowError> {
    match gw.db.job(name, org, call).await {
        Ok(scope) => Ok(Some(scope)),
        Err(GateError::Unknown | GateError::Closed(_)) => Ok(None),
        Err(GateError::Store(error)) => Err(error.into()),
    }
}

/// The same for what stands on the jobs' list. What a purged org has there is nobody's any more, and goes: it would
/// be read again in each round, and stand in the way of others.
async fn entered_due(
    gw: &Gateway,
    (name, kind): (&'static str, &'static str),
    org: OrgId,
    call: &Call,
) -> Result<Option<OrgScope<Job>>, FlowError> {
    let scope = entered(gw, name, org, call).await?;
    if scope.is_none() {
        gw.db.let_go(kind, org).await?;
    }
    Ok(scope)
}

fn note(gw: &Gateway, name: &'static str, done: Result<(), FlowError>) {
    match done {
        Ok(()) => JOB_SUCCEEDED_AT.set([name], u64::try_from(gw.now().secs()).unwrap_or(0)),
        Err(error) => {
            JOB_FAILURES.add([name], 1);
            tracing::warn!(job = name, %error, "a job's round failed; it will come again");
        }
    }
}

async fn rest(pause: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        _ = stop.changed() => {}
    }
}
