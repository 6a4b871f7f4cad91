//! Ends what an app held in an org that it serves no more, wherever the change itself did not.

use super::{ORGS_A_ROUND, entered_due};
use broker::{FlowError, Gateway, revoke};
use store::APP_LEFT;

pub(super) async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    for org in gw.db.orgs_with_due(APP_LEFT, call.at, ORGS_A_ROUND).await? {
        if let Some(scope) = entered_due(&gw, (APP_LEFT, APP_LEFT), org, &call).await? {
            revoke::left(&gw, &scope).await?;
        }
    }
    Ok(())
}
