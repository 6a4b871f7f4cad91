//! Writes down, each second, what verifiers said they know of: one statement an org.

use super::entered;
use broker::{FlowError, Gateway};
use model::ids::OrgId;
use store::{Call, FeedAck};

/// Writes what was noted since the last round. What fails to be written is missing from its receipts.
///
/// # Errors
/// The store's.
pub(super) async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    let mut done = Ok(());
    for (org, acks) in gw.acks.take() {
        done = done.and(keep(&gw, org, &acks, &call).await);
    }
    done
}

async fn keep(gw: &Gateway, org: OrgId, acks: &[FeedAck], call: &Call) -> Result<(), FlowError> {
    let Some(scope) = entered(gw, "acks", org, call).await? else { return Ok(()) };
    let mut tx = gw.db.write(&scope, "acks.keep").await?;
    tx.keep_acks(acks).await?;
    Ok(tx.commit_housekeeping().await?)
}
