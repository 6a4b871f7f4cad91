//! Brings to Redis every revocation that its own process did not. The watermarks only grow, so
//! bringing one twice is harmless.

use super::ORGS_A_ROUND;
use broker::{FlowError, Gateway};
use model::revocation::Scope;
use store::GateError;

/// Rows of one read; the loop ends with the org's last.
const ROWS: i64 = 1_000;

pub(super) async fn round(gw: Gateway) -> Result<(), FlowError> {
    let Some(live) = gw.live.clone() else { return Ok(()) };
    let call = gw.own_call();
    // Younger ones are still in the hands of the process that wrote them.
    let due = call.at.minus_secs(1);
    for org in gw.db.orgs_with_due("revocation", due, ORGS_A_ROUND).await? {
        let scope = match gw.db.job("relay", org, &call).await {
            Ok(scope) => scope,
            // Purged: nobody of it is left to be signed in.
            Err(GateError::Unknown | GateError::Closed(_)) => continue,
            Err(GateError::Store(error)) => return Err(error.into()),
        };
        let (mut reached, mut after) = (true, 0);
        loop {
            let page = gw.db.read(&scope, "relay.read").await?.terminations_after(after, ROWS).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (seq, about) in &page {
                if let Ok(about) = about.parse::<Scope>() {
                    reached &= live.raise(&scope, &about, *seq).await.is_ok();
                }
            }
        }
        if reached {
            let mut tx = gw.db.write(&scope, "relay.settle").await?;
            tx.settle_all("revocation", due).await?;
            tx.commit_housekeeping().await?;
        }
    }
    Ok(())
}
