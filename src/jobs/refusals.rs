//! Writes down, once a minute, what strangers were refused: one commit an org.

use broker::{FlowError, Gateway};
use store::{GateError, Job, NewRefusals, OrgScope};

/// Writes every minute that is over by the gateway's clock.
///
/// # Errors
/// The store's: what was not written is counted on, and comes again.
pub async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    let mut done = Ok(());
    for (org, counts) in gw.strangers.take(call.at) {
        let kept = match gw.db.job("refusals", org, &call).await {
            Ok(scope) => keep(&gw, &scope, &counts).await,
            // Purged meanwhile: there is nobody to read it.
            Err(GateError::Unknown | GateError::Closed(_)) => Ok(()),
            Err(GateError::Store(error)) => Err(error.into()),
        };
        if let Err(error) = kept {
            counts.into_iter().for_each(|counted| gw.strangers.add(org, counted));
            done = Err(error);
        }
    }
    done
}

async fn keep(gw: &Gateway, scope: &OrgScope<Job>, counts: &[NewRefusals]) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "refusals.keep").await?;
    for counted in counts {
        tx.count_refusals(counted).await?;
    }
    Ok(tx.commit_housekeeping().await?)
}
