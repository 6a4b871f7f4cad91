//! Keeps the feed going: looks for what was committed, here at once and elsewhere a moment later, and
//! forgets what can matter to nobody.

use broker::{FlowError, Gateway, feed};
use std::time::Duration;
use tokio::sync::watch;

/// How soon a revocation that another node committed is seen here.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn follow(gw: Gateway, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        super::note(&gw, "feed", feed::tail(&gw).await);
        tokio::select! {
            () = gw.feed.woken() => {}
            () = tokio::time::sleep(PAUSE) => {}
            _ = stop.changed() => {}
        }
    }
}

pub(super) async fn forget(gw: Gateway) -> Result<(), FlowError> {
    feed::forget(&gw).await
}
