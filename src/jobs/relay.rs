//! Brings to Redis every revocation that its own process did not, and all of an org's when Redis has lost
//! what it held. The watermarks only grow, so bringing one twice is harmless.

use super::{ORGS_A_ROUND, entered_due};
use broker::{FlowError, Gateway};
use model::revocation::Scope;
use store::{Job, OrgScope, live::Live};

/// Rows of one read.
const ROWS: i64 = 1_000;

pub(super) async fn round(gw: Gateway) -> Result<(), FlowError> {
    let Some(live) = gw.live.clone() else { return Ok(()) };
    let call = gw.own_call();
    // Younger ones are still in the hands of the process that wrote them.
    let due = call.at.minus_secs(1);
    for org in gw.db.orgs_with_due("revocation", due, ORGS_A_ROUND).await? {
        let Some(scope) = entered_due(&gw, ("relay", "revocation"), org, &call).await? else { continue };
        let mut tx = gw.db.read(&scope, "relay.read").await?;
        let waiting = tx.waiting_for_redis(due, ROWS).await?;
        let seqs: Option<Vec<i64>> = waiting.iter().map(|(_, seq)| *seq).collect();
        let named = match &seqs {
            Some(seqs) => Some(tx.terminations(seqs).await?),
            None => None,
        };
        drop(tx);
        let reached = match named {
            Some(rows) => raise(&live, &scope, &rows).await,
            None => raise_all(&gw, &live, &scope).await?,
        };
        if reached {
            let items: Vec<_> = waiting.into_iter().map(|(item, _)| item).collect();
            let mut tx = gw.db.write(&scope, "relay.settle").await?;
            tx.settle_told(&items, gw.now()).await?;
            tx.commit_housekeeping().await?;
        }
    }
    Ok(())
}

/// False when Redis did not take one: all of them come again.
async fn raise(live: &Live, scope: &OrgScope<Job>, rows: &[(i64, String)]) -> bool {
    for (seq, about) in rows {
        if let Ok(about) = about.parse::<Scope>()
            && live.raise(scope, &about, *seq).await.is_err()
        {
            return false;
        }
    }
    true
}

/// The org's whole history.
async fn raise_all(gw: &Gateway, live: &Live, scope: &OrgScope<Job>) -> Result<bool, FlowError> {
    let mut after = 0;
    loop {
        let page = gw.db.read(scope, "relay.read").await?.terminations_after(after, ROWS).await?;
        let Some((last, _)) = page.last() else { return Ok(true) };
        after = *last;
        if !raise(live, scope, &page).await {
            return Ok(false);
        }
    }
}
