//! Writes down what directories asked: a second's requests of an org in one commit, which waits for no disk.

use super::{entered, sweep::Retention};
use broker::{FlowError, Gateway, counted::REQUESTS_LOGGED};
use model::ids::OrgId;
use store::{Call, NewLogged};

/// Writes what waits. An org one of whose directories has more in its log than it may has its turn at the sweep
/// soon, however quiet it was before.
///
/// # Errors
/// The store's: what was not written for want of the database comes again.
pub async fn round(gw: Gateway, retention: Retention) -> Result<(), FlowError> {
    let call = gw.own_call();
    let mut done = Ok(());
    let mut waiting = gw.requests.take().into_iter();
    while let Some((org, entries)) = waiting.next() {
        let rows = entries.iter().map(|entry| u64::try_from(entry.times).unwrap_or(1)).sum();
        match keep(&gw, &retention, (org, &entries), &call).await {
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

async fn keep(
    gw: &Gateway,
    retention: &Retention,
    (org, entries): (OrgId, &[NewLogged]),
    call: &Call,
) -> Result<(), FlowError> {
    let Some(scope) = entered(gw, "requests", org, call).await? else { return Ok(()) };
    let mut tx = gw.db.write(&scope, "requests.keep").await?;
    if tx.keep_requests(entries, &retention.scim_requests).await? {
        tx.hasten_turn(call.at.plus_secs(retention.sweep_every_secs)).await?;
    }
    Ok(tx.commit_housekeeping().await?)
}
