//! Shared Signals out: an app's stream (Shared Signals Framework 1.0, 8.1), one each. On it the app is told what
//! ends in the orgs that it serves; the events are written where that happens (`store::stream_events`), and
//! sent by a job.

use crate::{FlowError, Gateway, administer::called_url, counted::STREAM_EVENTS};
use model::{
    Secret, Timestamp,
    ids::{AppId, EventId, StreamId},
    members::Members,
};
use serde::{Deserialize, Deserializer};
use std::sync::Arc;
use store::{
    ACCOUNT_DISABLED, ACCOUNT_ENABLED, Call, PlatformAct, PlatformActor, SESSION_REVOKED, STREAM_UPDATED,
    Stream, StreamSettings, StreamStatus, TenantTx, VERIFICATION,
};
use token::set::SetKey;
use tokio::sync::OnceCell;

/// RFC 8935.
pub const PUSH: &str = "urn:ietf:rfc:8935";
/// Between two verifications of one stream.
pub const VERIFICATION_SECS_MIN: i64 = 10;
const TEXT_CHARS_MAX: usize = 1_000;
const HEADER_BYTES_MAX: usize = 2_048;
const EVENTS_MAX: usize = 50;
/// What an error repeats of the caller's own words.
const ECHO_CHARS_MAX: usize = 200;

/// What we tell of, by our word and its URI.
pub const EVENTS: [(&str, &str); 3] = [
    (SESSION_REVOKED, "https://schemas.openid.net/secevent/caep/event-type/session-revoked"),
    (ACCOUNT_DISABLED, "https://schemas.openid.net/secevent/risc/event-type/account-disabled"),
    (ACCOUNT_ENABLED, "https://schemas.openid.net/secevent/risc/event-type/account-enabled"),
];
/// What every stream is told of itself.
const OF_STREAMS: [(&str, &str); 2] = [
    (VERIFICATION, "https://schemas.openid.net/secevent/ssf/event-type/verification"),
    (STREAM_UPDATED, "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"),
];

/// The URI of one of our words.
pub fn uri_of(kind: &str) -> Option<&'static str> {
    EVENTS.iter().chain(&OF_STREAMS).find(|(word, _)| *word == kind).map(|(_, uri)| *uri)
}

/// The key that signs events; made by whoever needs it first, and kept sealed.
pub type SetKeyCell = OnceCell<Arc<SetKey>>;

impl Gateway {
    /// Errors: the store's.
    pub async fn set_key(&self) -> Result<Arc<SetKey>, FlowError> {
        let fault = |why: &dyn std::fmt::Display| FlowError::Fault(format!("the key of events: {why}"));
        let made = self.set_key.get_or_try_init(|| async {
            let der = match self.db.platform_secret_if_any(SET_KEY).await? {
                Some(der) => der,
                None => {
                    // A tenth of a second, or several: nobody else waits for it.
                    let born = tokio::task::spawn_blocking(SetKey::generate).await;
                    let born = born.map_err(|e| fault(&e))?.map_err(|e| fault(&e))?;
                    self.db.platform_secret(SET_KEY, self.now(), || born).await?
                }
            };
            Ok::<_, FlowError>(Arc::new(SetKey::from_pkcs8(&der).map_err(|e| fault(&e))?))
        });
        made.await.cloned()
    }
}

const SET_KEY: &str = "signing_key.events";

/// A stream as an app sets it. Members that are ours to say are passed over when they come back.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StreamBody {
    pub stream_id: Option<String>,
    pub delivery: Option<Members<DeliveryBody>>,
    pub events_requested: Option<Vec<String>>,
    pub description: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct DeliveryBody {
    pub method: String,
    pub endpoint_url: String,
    #[serde(default, deserialize_with = "sealed_soon")]
    pub authorization_header: Option<Secret<String>>,
}

fn sealed_soon<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::deserialize(from)?.map(Secret::new))
}

fn wrong(field: &'static str, right: &str) -> FlowError {
    FlowError::invalid("streams.invalid", field, right)
}

fn act<'a>(app: AppId, call: &'a Call) -> PlatformAct<'a> {
    PlatformAct { by: PlatformActor::App(app), request_id: &call.request_id, at: call.at }
}

/// The app's stream. Errors: `not_found`, also for another's id.
pub async fn read(gw: &Gateway, app: AppId, id: Option<&str>) -> Result<Stream, FlowError> {
    let stream = gw.db.stream(app).await?.ok_or(FlowError::Missing)?;
    match id {
        Some(id) if id != stream.id.to_string() => Err(FlowError::Missing),
        Some(_) | None => Ok(stream),
    }
}

/// Ours among those that are asked for; unasked, all.
fn events(asked: Option<&[String]>) -> Result<Vec<String>, FlowError> {
    let Some(asked) = asked else { return Ok(EVENTS.iter().map(|(word, _)| (*word).to_owned()).collect()) };
    if asked.len() > EVENTS_MAX {
        return Err(wrong("events_requested", "at most 50 event types"));
    }
    let ours = EVENTS.iter().filter(|(_, uri)| asked.iter().any(|one| one == uri));
    Ok(ours.map(|(word, _)| (*word).to_owned()).collect())
}

fn delivery(gw: &Gateway, delivery: &DeliveryBody) -> Result<(), FlowError> {
    if delivery.method != PUSH {
        return Err(wrong("delivery.method", "urn:ietf:rfc:8935"));
    }
    called_url(gw, "delivery.endpoint_url", &delivery.endpoint_url)?;
    let fits = |text: &String| {
        !text.is_empty() && text.len() <= HEADER_BYTES_MAX && text.bytes().all(|b| (b' '..=b'~').contains(&b))
    };
    if delivery.authorization_header.as_ref().is_some_and(|header| !fits(header.reveal())) {
        return Err(wrong("delivery.authorization_header", "1 to 2048 printable ASCII characters"));
    }
    Ok(())
}

fn text(field: &'static str, text: Option<&str>) -> Result<(), FlowError> {
    let fits = |text: &str| text.chars().count() <= TEXT_CHARS_MAX && !text.contains('\0');
    if text.is_none_or(fits) { Ok(()) } else { Err(wrong(field, "at most 1000 characters")) }
}

/// Makes the app's stream. Errors: `streams.invalid`, `api.url_refused`, `streams.exists`.
pub async fn create(gw: &Gateway, app: AppId, body: StreamBody, call: &Call) -> Result<Stream, FlowError> {
    let Members(given) = body.delivery.ok_or_else(|| wrong("delivery", "a delivery method is needed"))?;
    delivery(gw, &given)?;
    text("description", body.description.as_deref())?;
    let set = StreamSettings {
        endpoint_url: &given.endpoint_url,
        authorization: Some(given.authorization_header.as_ref()),
        events: &events(body.events_requested.as_deref())?,
        description: body.description.as_deref(),
    };
    let id = StreamId::new(call.at, gw.chance.as_ref());
    if !gw.db.create_stream(act(app, call), app, id, &set).await? {
        return Err(FlowError::conflict("streams.exists", "an app has one stream"));
    }
    read(gw, app, None).await
}

/// Changes what is given, or, where `whole`, replaces what is not given by its default. A delivery that is given
/// is given whole: without a header, none is sent. Errors: those of `create`, `not_found`.
pub async fn change(
    gw: &Gateway,
    app: AppId,
    body: StreamBody,
    whole: bool,
    call: &Call,
) -> Result<Stream, FlowError> {
    let id = body.stream_id.as_deref().ok_or_else(|| wrong("stream_id", "which stream"))?;
    let before = read(gw, app, Some(id)).await?;
    let given = body.delivery.as_ref().map(|Members(given)| given);
    if let Some(given) = given {
        delivery(gw, given)?;
    } else if whole {
        return Err(wrong("delivery", "a delivery method is needed"));
    }
    text("description", body.description.as_deref())?;
    let events = match &body.events_requested {
        None if !whole => before.events.clone(),
        asked => events(asked.as_deref())?,
    };
    let kept = if whole { None } else { before.description.as_deref() };
    let set = StreamSettings {
        endpoint_url: given.map_or(&before.endpoint_url, |given| &given.endpoint_url),
        authorization: given.map(|given| given.authorization_header.as_ref()),
        events: &events,
        description: body.description.as_deref().or(kept),
    };
    gw.db.change_stream(act(app, call), &before, &set).await?;
    read(gw, app, Some(id)).await
}

/// Removes it; what waits on it is never sent.
pub async fn remove(gw: &Gateway, app: AppId, id: &str, call: &Call) -> Result<(), FlowError> {
    let stream = read(gw, app, Some(id)).await?;
    Ok(gw.db.delete_stream(act(app, call), &stream).await?)
}

/// Errors: `not_found`, `streams.invalid`.
pub async fn set_status(
    gw: &Gateway,
    app: AppId,
    (id, status, reason): (&str, &str, Option<&str>),
    call: &Call,
) -> Result<Stream, FlowError> {
    let stream = read(gw, app, Some(id)).await?;
    let status = StreamStatus::parse(status);
    let status = status.ok_or_else(|| wrong("status", "enabled, paused or disabled"))?;
    text("reason", reason)?;
    gw.db.set_stream_status(act(app, call), &stream, status, reason).await?;
    read(gw, app, Some(id)).await
}

/// Sends a verification event, soon. Errors: `not_found`, `streams.invalid`, `rate_limited`.
pub async fn verify(
    gw: &Gateway,
    app: AppId,
    (id, state): (&str, Option<&str>),
    call: &Call,
) -> Result<(), FlowError> {
    let stream = read(gw, app, Some(id)).await?;
    text("state", state)?;
    if !gw.db.take_verification(app, call.at, call.at.minus_secs(VERIFICATION_SECS_MIN)).await? {
        let retry_after_secs = u32::try_from(VERIFICATION_SECS_MIN).unwrap_or(60);
        return Err(FlowError::Limited { retry_after_secs });
    }
    tell(gw, stream.app, VERIFICATION, state, call).await
}

async fn tell(
    gw: &Gateway,
    app: AppId,
    kind: &'static str,
    said: Option<&str>,
    call: &Call,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(&gw.db.shelf("streams", call), "stream.tell").await?;
    tx.tell_stream(EventId::new(call.at, gw.chance.as_ref()), app, kind, said).await?;
    Ok(tx.commit_housekeeping().await?)
}

/// Pauses a stream whose receiver has not answered for as long as anything is tried, and tells it so.
pub async fn pause(gw: &Gateway, stream: &Stream, now: Timestamp) -> Result<(), FlowError> {
    let call = Call { at: now, ..gw.own_call() };
    let act = PlatformAct { by: PlatformActor::Schedule, request_id: &call.request_id, at: now };
    if gw.db.pause_stream(act, stream, "the receiver acknowledges nothing").await? {
        tracing::warn!(app = %stream.app, stream = %stream.id, "a stream is paused: its receiver acknowledges nothing");
        tell(gw, stream.app, STREAM_UPDATED, Some(StreamStatus::Paused.as_str()), &call).await?;
    }
    Ok(())
}

/// Drops what waits on paused streams beyond its bounds; the caller commits.
pub async fn drop_held(gw: &Gateway, tx: &mut TenantTx) -> Result<(), FlowError> {
    let call = gw.own_call();
    let act = PlatformAct { by: PlatformActor::Schedule, request_id: &call.request_id, at: call.at };
    let (dropped, first) = tx.drop_held(act).await?;
    STREAM_EVENTS.add(["dropped"], u64::try_from(dropped).unwrap_or(0));
    for stream in first {
        tracing::warn!(%stream, org = %tx.org(), "events are dropped: the stream is paused, and too many wait, or too long");
    }
    Ok(())
}

/// Refuses what an app may not ask.
pub fn missing(name: &'static str) -> FlowError {
    wrong(name, "is missing")
}

/// A body that cannot be read.
pub fn unreadable(why: &str) -> FlowError {
    FlowError::invalid("streams.body", "body", why.chars().take(ECHO_CHARS_MAX).collect::<String>())
}
