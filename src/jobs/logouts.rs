//! Tells apps that a session ended (OpenID Connect Back-Channel Logout 1.0, 2.5): a logout token, made anew for
//! each attempt, until the app answers with a success or has been tried for half a day. What ends many sessions
//! at once is spelled out here first, in bites, so that its own commit was one row.

use super::{
    ORGS_A_ROUND,
    couriers::{Attempt, BATCH, CLAIM_SECS, Couriers, each},
    entered_due,
};
use broker::{FlowError, Gateway, OutboundRequest, counted::LOGOUTS};
use model::{
    ids::{EventId, OrgId},
    revocation::Scope,
};
use std::sync::Arc;
use store::DueLogout;
use token::logout::{LogoutClaims, mint_logout};
use tokio::sync::Semaphore;

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
        let Some(scope) = entered_due(&gw, ("logouts", "logouts"), org, &call).await? else { continue };
        for _ in 0..BITES_A_ROUND {
            let mut tx = gw.db.write(&scope, "logouts.spell_out").await?;
            let Some(seq) = tx.take_unspelled().await? else { break };
            let about = tx.revocations_after(seq - 1, 1).await?;
            let about = about.first().and_then(|(_, about, _)| about.parse::<Scope>().ok());
            let more = match about {
                Some(about) => tx.spell_out(seq, &about).await? | tx.spell_out_events(seq, &about).await?,
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
    let Some(scope) = entered_due(gw, ("logouts", "logout"), org, &call).await? else { return Ok(()) };
    let claimed = {
        let _held = connections.acquire().await;
        let mut tx = gw.db.write(&scope, "logouts.claim").await?;
        let claimed = tx.claim_logouts(call.at.plus_secs(CLAIM_SECS), BATCH).await?;
        tx.commit_housekeeping().await?;
        claimed
    };
    each(claimed, |due, sockets| {
        let (gw, scope, connections) = (gw.clone(), scope.clone(), connections.clone());
        async move {
            let socket = sockets.acquire().await;
            let attempted = match &due.uri {
                Some(uri) => attempt(&gw, &due, uri).await,
                None => Attempt::never("the app has no back-channel any more"),
            };
            drop(socket);
            let (state, next) = attempted.outcome(("told", &BACKOFF_SECS), due.attempts, gw.now());
            let _held = connections.acquire().await;
            let mut tx = gw.db.write(&scope, "logouts.note").await?;
            tx.note_logout(due.id, state, next, (attempted.status, attempted.error.as_deref())).await?;
            tx.commit_housekeeping().await?;
            LOGOUTS.add([state], 1);
            Ok(())
        }
    })
    .await
}

async fn attempt(gw: &Gateway, due: &DueLogout, uri: &str) -> Attempt {
    let now = gw.now();
    let jti = EventId::new(now, gw.chance.as_ref()).to_string();
    let claims = LogoutClaims {
        issuer: gw.links.issuer(),
        client_id: due.app,
        user: due.user,
        session: due.session,
        jti: &jti,
    };
    let ring = match gw.keys.ready(&gw.db, due.signing_alg).await {
        Ok(ring) => ring,
        Err(fault) => return Attempt::failed(&fault.to_string()),
    };
    let signed = gw.keys.signer(&ring, due.signing_alg).map(|key| mint_logout(&claims, key, now));
    let jwt = match signed {
        Ok(Ok(jwt)) => jwt,
        Ok(Err(fault)) => return Attempt::failed(&fault.to_string()),
        Err(fault) => return Attempt::failed(&fault.to_string()),
    };
    // A compact JWS is base64url and full stops: nothing in it needs encoding.
    let form = format!("logout_token={jwt}").into_bytes();
    let body = Some(("application/x-www-form-urlencoded", form));
    Attempt::of(gw, OutboundRequest { url: uri.to_owned(), headers: Vec::new(), body }).await
}
