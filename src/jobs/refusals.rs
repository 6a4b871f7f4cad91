//! Writes down, once a minute, what strangers were refused: one commit an org.

use super::entered;
use broker::{FlowError, Gateway};
use model::ids::OrgId;
use store::{Call, NewRefusals};

/// Writes every minute that is over by the gateway's clock.
///
/// # Errors
/// The store's: what was not written is counted on, and comes again.
pub async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    let mut done = Ok(());
    for (org, counts) in gw.strangers.take(call.at) {
        if let Err(error) = keep(&gw, org, &counts, &call).await {
            counts.into_iter().for_each(|counted| gw.strangers.add(org, counted));
            done = Err(error);
        }
    }
    done
}

async fn keep(gw: &Gateway, org: OrgId, counts: &[NewRefusals], call: &Call) -> Result<(), FlowError> {
    let Some(scope) = entered(gw, "refusals", org, call).await? else { return Ok(()) };
    let mut tx = gw.db.write(&scope, "refusals.keep").await?;
    for counted in counts {
        tx.count_refusals(counted).await?;
    }
    Ok(tx.commit_housekeeping().await?)
}
