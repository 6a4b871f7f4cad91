//! `GET /api/v1/revocations`: the feed, as server-sent events for whoever accepts them and by long poll for
//! all others. One object is both an answer and an event. A heartbeat each second carries the position,
//! and means that all of the moment before was told: while that is not known, none is sent.

use super::{
    admin::Ask,
    openapi::{Operation, Verb, body, operation, to},
    streamed::{Writer, streamed},
    told::{Answer, Reply, Told},
};
use actix_web::{HttpResponse, web::Bytes};
use broker::{
    FlowError, Gateway,
    feed::{self, Follower, Stretch},
    feed_acks::{self, Ack},
};
use model::ids::AppId;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

pub const OPERATIONS: &[Operation] = &[
    operation(
        Verb::Get,
        "/api/v1/revocations",
        "",
        "What was revoked in the orgs that the app serves, in order: by long poll, or as server-sent events",
        || to(revocations),
    )
    .named("follow_revocations")
    .asking(&["after", "wait_secs"])
    .by_client(),
    operation(
        Verb::Post,
        "/api/v1/revocations/acks",
        "",
        "Say that the app knows of everything up to a cursor: the receipts of what was ended name it",
        || to(acknowledge),
    )
    .named("acknowledge_revocations")
    .reading(body::<Ack>(&[r#"{"cursor":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","verifier":"pod-1"}"#]))
    .answering(204)
    .misreading(&["feed.ack_malformed"])
    .by_client(),
];

pub(super) const WAIT_SECS_MAX: u64 = 30;
pub(super) const WAIT_SECS_USUAL: u64 = 25;
const NOT_KEPT: (&str, &str) = ("Cache-Control", "no-store");
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A stream ends after this long, and goes on with its cursor when the app has proven itself anew.
const STREAM_MAX: Duration = Duration::from_secs(900);
/// Whoever takes nothing for this long is gone.
const TAKES_MAX: Duration = Duration::from_secs(10);
/// Who follows one process, by streams and by waiting: some 20 KB each. One app leaves room for others.
const FOLLOWERS_MAX: usize = 4_096;
const FOLLOWERS_OF_ONE_MAX: usize = 2_048;
static FOLLOWERS: Mutex<BTreeMap<AppId, usize>> = Mutex::new(BTreeMap::new());

/// One follower's place among those.
struct Place(AppId);

impl Place {
    fn take(app: AppId) -> Option<Self> {
        let mut followers = FOLLOWERS.lock().unwrap_or_else(PoisonError::into_inner);
        let own = followers.get(&app).copied().unwrap_or(0);
        if own >= FOLLOWERS_OF_ONE_MAX || followers.values().sum::<usize>() >= FOLLOWERS_MAX {
            return None;
        }
        followers.insert(app, own + 1);
        Some(Self(app))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut followers = FOLLOWERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut own) = followers.entry(self.0) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

/// A stretch, or a stream of them.
struct Followed;

impl Answer for Followed {
    fn content(schemas: &mut SchemaGenerator) -> Map<String, Value> {
        let json = json!({"schema": schemas.subschema_for::<Stretch>()});
        let events = json!({"schema": {"type": "string", "description":
            "Events `revocations`, each with a `Revocations` object as its data and its cursor as its id, and \
             each second an event `heartbeat` with `{\"cursor\": …, \"age_ms\": …}`"}});
        Map::from_iter([("application/json".to_owned(), json), ("text/event-stream".to_owned(), events)])
    }
}

async fn revocations(ask: Ask) -> Reply<Followed> {
    let follower = ask.client().await?;
    let after = ask.query("after").or_else(|| ask.header("last-event-id").map(str::to_owned));
    let after = after.filter(|text| !text.is_empty());
    let wait_secs = match ask.query("wait_secs").map(|text| text.parse::<u64>()) {
        None => WAIT_SECS_USUAL,
        Some(Ok(secs)) if secs <= WAIT_SECS_MAX => secs,
        Some(Ok(_) | Err(_)) => return Err(ask.wrong("wait_secs", "from 0 to 30")),
    };
    let gw = ask.gateway();
    let place =
        Place::take(follower.app).ok_or_else(|| ask.refuse(FlowError::Busy { retry_after_secs: 5 }))?;
    if !ask.header("accept").is_some_and(|kinds| kinds.contains("text/event-stream")) {
        let until = Instant::now() + Duration::from_secs(wait_secs);
        let waits = async move {
            let _place = place;
            waited(&gw, &follower, after, until).await
        };
        let stretch = ask.told(waits).await?;
        return Ok(Told::assertion(HttpResponse::Ok().insert_header(NOT_KEPT).json(&stretch)));
    }
    let (reader, from) = (gw.clone(), after.clone());
    // What is wrong with the cursor is said before the stream begins.
    let first = ask.told(async move { feed::read(&reader, &follower, from.as_deref()).await }).await?;
    let (writer, body) = streamed();
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            _ = stream(gw, follower, first, writer) => {}
            () = tokio::time::sleep(STREAM_MAX) => {}
        }
    });
    let mut response = HttpResponse::Ok();
    response.content_type("text/event-stream");
    response.insert_header(NOT_KEPT).insert_header(("X-Accel-Buffering", "no"));
    Ok(Told::assertion(response.body(body)))
}

async fn acknowledge(ask: Ask) -> Reply<()> {
    let app = ask.client().await?.app;
    let (ack, gw) = (ask.json::<Ack>()?, ask.gateway());
    ask.told(async move { feed_acks::note(&gw, app, ack).await }).await?;
    Ok(Told::assertion(HttpResponse::NoContent().insert_header(NOT_KEPT).finish()))
}

/// The first stretch that says something, or what there is at the end of the wait.
async fn waited(
    gw: &Gateway,
    follower: &Follower,
    mut after: Option<String>,
    until: Instant,
) -> Result<Stretch, FlowError> {
    let (mut moves, begins) = (gw.feed.moves(), after.is_none());
    loop {
        let stretch = feed::read(gw, follower, after.as_deref()).await?;
        let says = begins || stretch.gap || stretch.more || !stretch.data.is_empty();
        if says || gw.feed.is_closed() || Instant::now() >= until {
            return Ok(stretch);
        }
        after = Some(stretch.cursor);
        tokio::select! {
            _ = moves.changed() => {}
            () = sleep_until(until) => {}
        }
    }
}

/// Writes until its reader is gone, the app is, or what it proved itself by, or the process stops.
async fn stream(gw: Arc<Gateway>, follower: Follower, first: Stretch, writer: Writer) -> Option<()> {
    let mut moves = gw.feed.moves();
    let mut beats = interval(HEARTBEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stretch = first;
    let (mut cursor, mut is_caught_up) = (stretch.cursor.clone(), false);
    loop {
        let says = !is_caught_up || stretch.gap || !stretch.data.is_empty();
        is_caught_up = !stretch.more;
        if says {
            let told = serde_json::to_string(&stretch).ok()?;
            write(&writer, format!("event: revocations\nid: {cursor}\ndata: {told}\n\n")).await?;
            beats.reset();
        }
        if is_caught_up {
            // What is new goes before the word that nothing is.
            tokio::select! {
                biased;
                _ = moves.changed() => {}
                _ = beats.tick() => {
                    let beat = if let Some(age) = gw.feed.age_ms() {
                        let data = format!("{{\"cursor\":\"{cursor}\",\"age_ms\":{age}}}");
                        format!("event: heartbeat\nid: {cursor}\ndata: {data}\n\n")
                    } else {
                        ": not known to be current\n\n".to_owned()
                    };
                    write(&writer, beat).await?;
                }
            }
        }
        if gw.feed.is_closed() {
            return None;
        }
        stretch = loop {
            match feed::read(&gw, &follower, Some(&cursor)).await {
                Ok(next) => break next,
                // The tail is behind: the reader hears no heartbeat, and knows.
                Err(FlowError::Busy { .. }) => {
                    write(&writer, ": not known to be current\n\n".to_owned()).await?;
                    tokio::time::sleep(HEARTBEAT).await;
                }
                Err(error) => {
                    tracing::info!(app = %follower.app, %error, "a follower of the feed is let go");
                    return None;
                }
            }
        };
        cursor.clone_from(&stretch.cursor);
    }
}

async fn write(writer: &Writer, text: String) -> Option<()> {
    timeout(TAKES_MAX, writer.send(Ok(Bytes::from(text)))).await.ok()?.ok()
}
