//! Writes down, once a minute, which credentials were used: one statement an org.

use super::entered;
use broker::{FlowError, Gateway};
use model::{
    Timestamp,
    ids::{KeyId, OrgId},
};
use store::Call;

/// Writes what was noted since the last round.
///
/// # Errors
/// The store's: what was not written comes with the next use.
pub async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    let mut done = Ok(());
    for (org, uses) in gw.uses.take() {
        done = done.and(keep(&gw, org, &uses, &call).await);
    }
    done
}

async fn keep(gw: &Gateway, org: OrgId, uses: &[(KeyId, Timestamp)], call: &Call) -> Result<(), FlowError> {
    let Some(scope) = entered(gw, "uses", org, call).await? else { return Ok(()) };
    let mut tx = gw.db.write(&scope, "uses.keep").await?;
    tx.note_uses(uses).await?;
    Ok(tx.commit_housekeeping().await?)
}
