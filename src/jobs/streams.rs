//! Pushes what is due on apps' streams (RFC 8935): a Security Event Token, the same at each attempt, until the
//! app acknowledges it or has been tried for half a day; then the stream is paused, and what comes after
//! waits. A stream of a paused receiver is told that alone.

use super::{
    couriers::{Attempt, BATCH, CLAIM_SECS, Couriers, each},
    entered_due,
};
use broker::{
    FlowError, Gateway, OutboundRequest,
    counted::STREAM_EVENTS,
    streams::{drop_held, pause, uri_of},
};
use model::ids::OrgId;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};
use store::{
    ACCOUNT_DISABLED, ACCOUNT_ENABLED, DueEvent, Job, OrgScope, PAUSED_SECS, SESSION_REVOKED, STREAM_UPDATED,
    Stream, StreamStatus, VERIFICATION,
};
use token::set::{SetClaims, SetKey, mint_set};
use tokio::sync::Semaphore;

/// Seconds before the next attempt, as for logout tokens.
const BACKOFF_SECS: [i64; 10] = [1, 2, 5, 15, 60, 300, 900, 3_600, 10_800, 21_600];

pub(super) fn couriers() -> Couriers {
    Couriers::new("stream", |gw, org, connections| {
        Box::pin(async move { batch(&gw, org, &connections).await })
    })
}

async fn batch(gw: &Gateway, org: OrgId, connections: &Arc<Semaphore>) -> Result<(), FlowError> {
    let call = gw.own_call();
    let scope = if org.uuid().is_nil() {
        gw.db.shelf("streams", &call)
    } else {
        match entered_due(gw, ("streams", "stream"), org, &call).await? {
            Some(scope) => scope,
            None => return Ok(()),
        }
    };
    let key = gw.set_key().await?;
    let (claimed, streams) = {
        let _held = connections.acquire().await;
        let mut tx = gw.db.write(&scope, "streams.claim").await?;
        drop_held(gw, &mut tx).await?;
        let claimed = tx.claim_events(call.at.plus_secs(CLAIM_SECS), BATCH).await?;
        tx.commit_housekeeping().await?;
        let mut streams = BTreeMap::new();
        for due in &claimed {
            if let Entry::Vacant(unread) = streams.entry(due.app) {
                unread.insert(serving(gw, org, due).await?);
            }
        }
        (claimed, streams)
    };
    each(claimed, |due, sockets| {
        let (gw, scope, connections, key) = (gw.clone(), scope.clone(), connections.clone(), key.clone());
        let is_for = |stream: &Stream| due.kind == STREAM_UPDATED || due.created_at >= stream.since;
        let stream = streams.get(&due.app).cloned().flatten().filter(is_for);
        async move {
            let socket = sockets.acquire().await;
            let done = match &stream {
                Some(stream) if stream.status == StreamStatus::Paused && due.kind != STREAM_UPDATED => None,
                Some(stream) => Some(attempt(&gw, &key, stream, &due).await),
                None => {
                    Some(Attempt::never("the app has no stream that this is for, or serves the org no more"))
                }
            };
            drop(socket);
            note(&gw, &scope, (&due, stream.as_ref()), done, &connections).await
        }
    })
    .await
}

/// The stream, if its app is to be told of this org now: who has served it once may serve it no more.
async fn serving(gw: &Gateway, org: OrgId, due: &DueEvent) -> Result<Option<Stream>, FlowError> {
    let Some(app) = gw.db.app(due.app).await? else { return Ok(None) };
    if !org.uuid().is_nil() && !gw.db.app_serves(&app, org).await? {
        return Ok(None);
    }
    let stream = gw.db.stream(due.app).await?;
    Ok(stream.filter(|stream| stream.status != StreamStatus::Disabled))
}

async fn note(
    gw: &Gateway,
    scope: &OrgScope<Job>,
    (due, stream): (&DueEvent, Option<&Stream>),
    done: Option<Attempt>,
    connections: &Arc<Semaphore>,
) -> Result<(), FlowError> {
    let _held = connections.acquire().await;
    let mut tx = gw.db.write(scope, "streams.note").await?;
    let Some(attempted) = done else {
        tx.postpone_event(due.id, gw.now().plus_secs(PAUSED_SECS)).await?;
        return Ok(tx.commit_housekeeping().await?);
    };
    let (state, next) = attempted.outcome(("told", &BACKOFF_SECS), due.attempts, gw.now());
    tx.note_event(due.id, state, next, (attempted.status, attempted.error.as_deref())).await?;
    tx.commit_housekeeping().await?;
    STREAM_EVENTS.add([state], 1);
    match stream {
        Some(stream) if state == "dead" && due.kind != STREAM_UPDATED => pause(gw, stream, gw.now()).await,
        Some(_) | None => Ok(()),
    }
}

async fn attempt(gw: &Gateway, key: &Arc<SetKey>, stream: &Stream, due: &DueEvent) -> Attempt {
    let (Some(uri), Some((sub_id, said))) = (uri_of(&due.kind), spoken(gw, stream, due)) else {
        return Attempt::never("an event that this version does not know");
    };
    let (audience, jti) = (stream.app.to_string(), due.id.to_string());
    let claims = SetClaims {
        issuer: gw.links.issuer(),
        audience: &audience,
        jti: &jti,
        at: due.created_at,
        sub_id,
        event: (uri, said),
    };
    let jwt = match mint_set(&claims, key) {
        Ok(jwt) => jwt,
        Err(fault) => return Attempt::failed(&fault.to_string()),
    };
    let mut headers = vec![("accept", "application/json".to_owned())];
    match stream.authorization(gw.db.seals()) {
        Ok(header) => headers.extend(header.map(|header| ("authorization", header.reveal().clone()))),
        Err(_) => return Attempt::failed("the stored authorization header is unreadable"),
    }
    let body = Some(("application/secevent+jwt", jwt.into_bytes()));
    Attempt::of(gw, OutboundRequest { url: stream.endpoint_url.clone(), headers, body }).await
}

/// The subject (RFC 9493), and what the event says of it.
fn spoken(gw: &Gateway, stream: &Stream, due: &DueEvent) -> Option<(Value, Value)> {
    let at = due.created_at.secs();
    let person =
        || Some(json!({"format": "iss_sub", "iss": gw.links.issuer(), "sub": due.user?.to_string()}));
    let own = || json!({"format": "opaque", "id": stream.id});
    let because = |why: &str| json!({"event_timestamp": at, "reason_admin": {"en": why}});
    Some(match due.kind.as_str() {
        SESSION_REVOKED => {
            let why = because(due.reason.as_deref().unwrap_or("revoked"));
            match due.session {
                None => (person()?, why),
                Some(session) => {
                    let session = json!({"format": "opaque", "id": session});
                    (json!({"format": "complex", "user": person()?, "session": session}), why)
                }
            }
        }
        ACCOUNT_DISABLED => (person()?, because("deactivated")),
        ACCOUNT_ENABLED => (person()?, because("reactivated")),
        VERIFICATION => (own(), due.said.as_ref().map_or_else(|| json!({}), |state| json!({"state": state}))),
        STREAM_UPDATED => {
            let why = "the receiver acknowledges nothing";
            (own(), json!({"status": due.said, "reason": why}))
        }
        _ => return None,
    })
}
