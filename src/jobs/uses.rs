//! Writes down, once a minute, which credentials were used: one statement an org.

use broker::{FlowError, Gateway};
use store::GateError;

/// Writes what was noted since the last round.
///
/// # Errors
/// The store's: what was not written comes with the next use.
pub async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    let mut done = Ok(());
    for (org, uses) in gw.uses.take() {
        let kept = match gw.db.job("uses", org, &call).await {
            Ok(scope) => async {
                let mut tx = gw.db.write(&scope, "uses.keep").await?;
                tx.note_uses(&uses).await?;
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
