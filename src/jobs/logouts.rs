//! Tells apps that a session ended (OpenID Connect Back-Channel Logout 1.0, 2.5): a logout token, made anew for
//! each attempt, until the app answers with a success or has been tried for half a day. What ends many sessions
//! at once is spelled out here first, in bites, so that its own commit was one row.

use super::{
    ORGS_A_ROUND,
    couriers::{AT_ONCE, BATCH, CLAIM_SECS, Couriers, ERROR_CHARS_MAX},
};
use broker::{FlowError, Gateway, OutboundRequest, counted::LOGOUTS};
use model::{
    Timestamp,
    ids::{EventId, OrgId},
    revocation::Scope,
};
use std::sync::Arc;
use store::{DueLogout, GateError};
use token::logout::{LogoutClaims, mint_logout};
use tokio::{sync::Semaphore, task::JoinSet};

/// Seconds before the next attempt: the first ones soon, for it is a person who is to be out.
const BACKOFF_SECS: [i64; 10] = [1, 2, 5, 15, 60, 300, 900, 3_600, 10_800, 21_600];
/// Bites of one org and round; more come with the next.
const BITES_A_ROUND: usize = 20;

pub(super) fn couriers() -> Couriers {
    Couriers::new("logout", |gw, org, connections| {
        Box::pin(async move { batch(&gw, org, &connections).await })
    })
}

/// Names the apps of what ended many.
pub(super) async fn spell_out(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    for org in gw.db.orgs_with_due("logouts", call.at, ORGS_A_ROUND).await? {
        let scope = match gw.db.job("logouts", org, &call).await {
            Ok(scope) => scope,
            // Purged: what it had is gone.
            Err(GateError::Unknown | GateError::Closed(_)) => continue,
            Err(GateError::Store(error)) => return Err(error.into()),
        };
        for _ in 0..BITES_A_ROUND {
            let mut tx = gw.db.write(&scope, "logouts.spell_out").await?;
            let Some(seq) = tx.take_unspelled().await? else { break };
            let about = tx.revocations_after(seq - 1, 1).await?;
            let about = about.first().and_then(|(_, about, _)| about.parse::<Scope>().ok());
            let more = match about {
                Some(about) => tx.spell_out(seq, &about).await?,
                None => false,
            };
            if !more {
                tx.settle_spelled(seq).await?;
            }
            tx.commit_housekeeping().await?;
        }
    }
    Ok(())
}

async fn batch(gw: &Gateway, org: OrgId, connections: &Arc<Semaphore>) -> Result<(), FlowError> {
    let call = gw.own_call();
    let scope = gw.db.job("logouts", org, &call).await?;
    let claimed = {
        let _held = connections.acquire().await;
        let mut tx = gw.db.write(&scope, "logouts.claim").await?;
        let claimed = tx.claim_logouts(call.at.plus_secs(CLAIM_SECS), BATCH).await?;
        tx.commit_housekeeping().await?;
        claimed
    };
    let (mut sends, sockets) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for due in claimed {
        let (gw, scope, connections) = (gw.clone(), scope.clone(), connections.clone());
        let sockets = sockets.clone();
        sends.spawn(async move {
            let socket = sockets.acquire().await;
            let (attempted, tries) = match &due.uri {
                Some(uri) => (attempt(&gw, &due, uri).await, due.attempts),
                None => ((None, Some("the app has no back-channel any more".to_owned())), i32::MAX),
            };
            drop(socket);
            let (status, error) = attempted;
            let (state, next) = outcome(error.is_none(), tries, gw.now());
            let _held = connections.acquire().await;
            let mut tx = gw.db.write(&scope, "logouts.note").await?;
            tx.note_logout(due.id, state, next, (status, error.as_deref())).await?;
            tx.commit_housekeeping().await?;
            LOGOUTS.add([state], 1);
            Ok::<_, FlowError>(())
        });
    }
    let mut all = Ok(());
    while let Some(done) = sends.join_next().await {
        all = all.and(done.unwrap_or_else(|panicked| Err(FlowError::Fault(panicked.to_string()))));
    }
    all
}

/// The app's status and, unless it is a success, what went wrong.
async fn attempt(gw: &Gateway, due: &DueLogout, uri: &str) -> (Option<i32>, Option<String>) {
    let now = gw.now();
    let jti = EventId::new(now, gw.chance.as_ref()).to_string();
    let claims = LogoutClaims {
        issuer: gw.links.issuer(),
        client_id: due.app,
        user: due.user,
        session: due.session,
        jti: &jti,
    };
    let jwt = match mint_logout(&claims, gw.keys.current(), now) {
        Ok(jwt) => jwt,
        Err(fault) => return (None, Some(fault.to_string())),
    };
    // A compact JWS is base64url and full stops: nothing in it needs encoding.
    let form = format!("logout_token={jwt}").into_bytes();
    let body = Some(("application/x-www-form-urlencoded", form));
    match gw.outbound.send(OutboundRequest { url: uri.to_owned(), headers: Vec::new(), body }).await {
        Ok(answer) => {
            let taken = (200..300).contains(&answer.status);
            (Some(i32::from(answer.status)), (!taken).then(|| format!("answered {}", answer.said())))
        }
        Err(fault) => (None, Some(fault.to_string().chars().take(ERROR_CHARS_MAX).collect())),
    }
}

/// What follows an attempt: `attempts` counts it.
fn outcome(told: bool, attempts: i32, now: Timestamp) -> (&'static str, Timestamp) {
    if told {
        return ("told", now);
    }
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(0);
    BACKOFF_SECS.get(step).map_or(("dead", now), |secs| ("waiting", now.plus_secs(*secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_soon_then_later_and_then_gives_up() {
        let now = Timestamp::from_secs(1_000);
        assert_eq!(outcome(true, 1, now), ("told", now));
        assert_eq!(outcome(false, 1, now), ("waiting", now.plus_secs(1)));
        assert_eq!(outcome(false, 10, now), ("waiting", now.plus_secs(21_600)));
        assert_eq!(outcome(false, 11, now), ("dead", now));
        assert_eq!(outcome(false, i32::MAX, now), ("dead", now));
    }
}
