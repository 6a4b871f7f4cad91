//! What happens without a caller: revocations that Redis has not got yet, deliveries that are due,
//! things whose time is over. Each node runs all of them; row locks and unique keys keep it right.

pub mod deliver;
mod relay;

use broker::Gateway;
use std::time::Duration;
use tokio::{sync::watch, task::JoinSet};

/// How often each job looks. A crash between commit and Redis costs at most this much.
const EVERY: Duration = Duration::from_millis(250);
/// Orgs a job takes on in one round.
const ORGS_A_ROUND: i64 = 100;

/// Runs until `stop` turns true.
pub(crate) async fn run(gw: Gateway, mut stop: watch::Receiver<bool>) {
    let mut couriers = deliver::Couriers::default();
    while !*stop.borrow() {
        if let Err(error) = couriers.round(&gw).await {
            tracing::warn!(%error, "no deliveries begun; they will come again");
        }
        let mut jobs = JoinSet::new();
        jobs.spawn(relay::round(gw.clone()));
        while let Some(done) = jobs.join_next().await {
            if let Ok(Err(error)) = done {
                tracing::warn!(%error, "a job's round failed; it will come again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => {}
        }
    }
    couriers.finish().await;
}
