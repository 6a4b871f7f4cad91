//! Makes the record's months well ahead, and is loud while the next one is missing.

use broker::{FlowError, Gateway, counted};
use store::MONTHS_AHEAD;

/// # Errors
/// The store's: a reader held the default partition too long, or Postgres is away.
pub async fn round(gw: Gateway) -> Result<(), FlowError> {
    let mut months = gw.db.audit_months(gw.now()).await?;
    let mut done = Ok(());
    if months.ahead < MONTHS_AHEAD {
        match gw.db.make_audit_months(gw.now(), MONTHS_AHEAD).await {
            Ok(made) => tracing::info!(made, "months of the audit made"),
            Err(error) => done = Err(error.into()),
        }
        months = gw.db.audit_months(gw.now()).await?;
    }
    counted::AUDIT_MONTHS_AHEAD.set([], u64::try_from(months.ahead).unwrap_or(0));
    counted::AUDIT_DEFAULT_BYTES.set([], u64::try_from(months.caught_bytes).unwrap_or(0));
    if months.ahead < 1 {
        tracing::error!(
            ahead = months.ahead,
            "the audit's next month has no partition: its rows fall into the default one"
        );
    }
    done
}
