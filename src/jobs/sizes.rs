//! Has tables measured that grow fast, so that statements about them are planned by what is in them.

use broker::{FlowError, Gateway};

/// # Errors
/// The store's.
pub(super) async fn round(gw: Gateway) -> Result<(), FlowError> {
    let measured = gw.db.measure_grown().await?;
    if measured > 0 {
        tracing::debug!(measured, "tables that have grown are measured");
    }
    Ok(())
}
