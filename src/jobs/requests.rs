//! Writes down what directories asked: a second's requests of an org in one commit, which waits for no disk.

use super::entered;
use broker::{FlowError, Gateway, counted::REQUESTS_LOGGED};
use model::ids::OrgId;
use store::{Call, NewLogged};

/// Writes what waits.
///
/// # Errors
/// The store's: what was not written for want of the database comes again.
pub async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    let mut done = Ok(());
    let mut waiting = gw.requests.take().into_iter();
    while let Some((org, entries)) = waiting.next() {
        let rows = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        match keep(&gw, org, &entries, &call).await {
            Ok(()) => REQUESTS_LOGGED.add(["kept"], rows),
            // The database is away, and would be for the others too. What came in doubt is not kept twice: its
            // id says so.
            Err(error @ (FlowError::Busy { .. } | FlowError::InDoubt)) => {
                gw.requests.put_back(org, entries);
                waiting.for_each(|(org, entries)| gw.requests.put_back(org, entries));
                return Err(error);
            }
            Err(error) => {
                REQUESTS_LOGGED.add(["lost"], rows);
                done = Err(error);
            }
        }
    }
    done
}

async fn keep(gw: &Gateway, org: OrgId, entries: &[NewLogged], call: &Call) -> Result<(), FlowError> {
    let Some(scope) = entered(gw, "requests", org, call).await? else { return Ok(()) };
    let mut tx = gw.db.write(&scope, "requests.keep").await?;
    tx.keep_requests(entries).await?;
    Ok(tx.commit_housekeeping().await?)
}
