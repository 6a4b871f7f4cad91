//! Following the gateway: discovery first, then keys, revocations and acknowledgements side by side,
//! for as long as the verifier lives. Failures are waited out, longer and longer, each time by chance
//! a little differently, so that a thousand verifiers do not come back in one instant.

mod follow;
mod sse;

use crate::{
    StartError,
    remote::RemoteError,
    verifier::{Progress, Shared},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// First and longest pause after failures. The longest is well below the 30 s of `Bounded`.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Acknowledgements, at most.
const ACKNOWLEDGED_EVERY: Duration = Duration::from_secs(1);

/// Runs until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    discover(&shared).await;
    let good_for = fetch_keys(&shared).await;
    let cursors = watch::Sender::new(String::new());
    let seen = cursors.subscribe();
    // Dropping the set, with this future, ends them all.
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_keys(shared.clone(), good_for));
    tasks.spawn(acknowledge(shared.clone(), seen));
    tasks.spawn(follow::follow(shared, cursors));
    while let Some(ended) = tasks.join_next().await {
        // None of them ends by itself.
        tracing::error!(?ended, "a part of the verifier has ended: its knowledge will be stale");
    }
}

async fn discover(shared: &Shared) {
    let mut pauses = Pauses::default();
    loop {
        match shared.remote.discover().await {
            Ok(places) => return shared.keys.place(places),
            Err(why) => pauses.after(shared, &why).await,
        }
    }
}

/// While it fails, the last keys stay.
async fn fetch_keys(shared: &Shared) -> Duration {
    let mut pauses = Pauses::default();
    loop {
        match shared.keys.refresh(&shared.remote).await {
            Ok(good_for) => return good_for,
            Err(why) => pauses.after(shared, &why).await,
        }
    }
}

async fn keep_keys(shared: Arc<Shared>, mut good_for: Duration) {
    loop {
        shared.keys.rest(good_for).await;
        good_for = fetch_keys(&shared).await;
    }
}

/// Tells the gateway up to where revocations bite here: a receipt may name the app. A failure is told again
/// with the next one, and is none of the verifier's.
async fn acknowledge(shared: Arc<Shared>, mut cursors: watch::Receiver<String>) {
    while cursors.changed().await.is_ok() {
        let next = Instant::now() + ACKNOWLEDGED_EVERY;
        let cursor = cursors.borrow_and_update().clone();
        if let Err(why) = shared.remote.acknowledge(&cursor).await {
            tracing::debug!(%why, "an acknowledgement did not arrive");
        }
        sleep_until(next).await;
    }
}

/// Pauses between failures.
#[derive(Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    /// Says why, and waits.
    async fn after(&mut self, shared: &Shared, why: &RemoteError) {
        report(shared, why);
        let doubled = PAUSE_FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        let (asked, pause) = match why {
            RemoteError::Status { retry_after: Some(asked), .. } => (*asked, doubled.min(PAUSE_MAX)),
            // Nobody mends a wrong secret within the second.
            RemoteError::Status { status: 401 | 403, .. } | RemoteError::AnotherIssuer(_) => {
                (Duration::ZERO, PAUSE_MAX)
            }
            _ => (Duration::ZERO, doubled.min(PAUSE_MAX)),
        };
        sleep(asked + jittered(pause)).await;
    }
}

/// Between half and all of it.
fn jittered(pause: Duration) -> Duration {
    let mut chance = [0];
    // Without chance the whole pause will do.
    let part = aws_lc_rs::rand::fill(&mut chance).map_or(u8::MAX, |()| chance[0]);
    pause / 2 + (pause / 2) * u32::from(part) / u32::from(u8::MAX)
}

fn report(shared: &Shared, why: &RemoteError) {
    let wrong = match why {
        RemoteError::Status { status: 401, .. } => Some(StartError::WrongClient),
        RemoteError::AnotherIssuer(issuer) => Some(StartError::AnotherIssuer(issuer.clone())),
        _ => None,
    };
    match &wrong {
        Some(wrong) => tracing::error!(%wrong, "the verifier learns of no revocation"),
        None => tracing::warn!(%why, "the gateway was not reached"),
    }
    shared.progress.send_if_modified(|progress| {
        let caught_up = matches!(progress, Progress::CaughtUp);
        if !caught_up {
            *progress = wrong.map_or_else(|| Progress::Trying(Some(why.to_string())), Progress::Wrong);
        }
        !caught_up
    });
}
