//! Writes down, each second, what verifiers said they know of: one statement an org.

use broker::{FlowError, Gateway};
use store::GateError;

/// Writes what was noted since the last round. What fails to be written is missing from its receipts.
///
/// # Errors
/// The store's.
pub(super) async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    let mut done = Ok(());
    for (org, acks) in gw.acks.take() {
        let kept = match gw.db.job("acks", org, &call).await {
            Ok(scope) => async {
                let mut tx = gw.db.write(&scope, "acks.keep").await?;
                tx.keep_acks(&acks).await?;
                tx.commit_housekeeping().await
            }
            .await
            .map_err(FlowError::from),
            Err(GateError::Unknown | GateError::Closed(_)) => Ok(()),
            Err(GateError::Store(error)) => Err(error.into()),
        };
        done = done.and(kept);
    }
    done
}
