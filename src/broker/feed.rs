//! The feed: what apps learn of revocations, at once and in order. One task a process gives positions and
//! tails the table (`tail`); every follower reads from the rows that it keeps in memory, and an older
//! cursor from the table. An app sees the orgs it serves, as of a few seconds ago at most. What is not known
//! to be current is never said to be: without a tail there is no heartbeat and no empty page.

use crate::{FlowError, Gateway, client::Standing};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{
    Refusal, TokenDigest,
    ids::{AppId, OrgId},
    revocation::Scope,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{App, FEED_ROWS, FeedHead, FeedRow, Serves};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use uuid::Uuid;

/// Rows kept in memory: 100 bytes each.
const RING_ROWS: usize = 8_192;
const TERMINATE: &str = model::revocation::Action::Terminate.as_str();
/// How old the tail's last look may be for the feed to be called current.
const CURRENT_FOR: Duration = Duration::from_millis(1_500);
/// How long it is remembered which orgs an app serves, and by what it proves itself.
const SERVED_FOR: Duration = Duration::from_secs(2);
/// Apps remembered; one more, and all are asked anew.
const SERVED_MAX: usize = 1_024;
/// A revocation is kept for as long as a token that it could end may live, and this much more.
const KEPT_BEYOND_SECS: i64 = 3_600;

/// A revocation, as an app is told.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Revocation")]
pub struct Told {
    pub org: OrgId,
    /// Dense in its org: a token that names the scope is dead when its `rs` is lower.
    pub seq: i64,
    /// `org`, or a kind and an id: `usr:usr_…`, `ses:ses_…`, `app:app_…`, `con:con_…`.
    pub scope: String,
    /// `terminate` ends sessions and tokens; `reassert` access tokens alone, which may be fetched anew.
    pub action: String,
}

/// A stretch of the feed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Revocations")]
pub struct Stretch {
    pub data: Vec<Told>,
    /// Where the next request goes on, as `after`.
    pub cursor: String,
    /// `after` is older than what is kept, of another database, or of before the app's orgs changed: this
    /// begins anew with the oldest that is kept.
    pub gap: bool,
    /// There is more already: go on at once. The first answer without it is current.
    pub more: bool,
    /// How long a revocation is kept, in seconds; no access token lives as long.
    pub keeps_secs: i64,
    /// How old this knowledge is, in milliseconds: what was committed before then is in it.
    pub age_ms: i64,
}

/// A place in the feed, for one set of orgs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    life: Uuid,
    pos: i64,
    /// Which orgs: a digest.
    orgs: [u8; 8],
}

impl Cursor {
    fn text(self) -> String {
        let mut bytes = self.life.as_bytes().to_vec();
        bytes.extend(self.pos.to_be_bytes());
        bytes.extend(self.orgs);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (life, rest) = bytes.split_first_chunk::<16>()?;
        let (pos, orgs) = rest.split_first_chunk::<8>()?;
        Some(Self {
            life: Uuid::from_bytes(*life),
            pos: i64::from_be_bytes(*pos),
            orgs: orgs.try_into().ok()?,
        })
    }
}

/// An app that follows, and what it began by: whoever has a secret that was replaced hears no more.
#[derive(Clone, Copy, Debug)]
pub struct Follower {
    pub app: AppId,
    pub standing: Standing,
}

/// Which orgs an app is told of.
#[derive(Debug)]
pub struct Audience {
    app: App,
    /// How a revocation of the app itself is named.
    own: String,
    serves: Serves,
    digest: [u8; 8],
}

impl Audience {
    fn of(app: App, serves: Serves) -> Self {
        let text = match &serves {
            Serves::All => "all".to_owned(),
            Serves::These(orgs) => orgs.iter().map(|org| format!("{org} ")).collect(),
        };
        let digest = TokenDigest::of(&text).bytes().first_chunk::<8>().copied().unwrap_or_default();
        Self { own: Scope::App(app.id).to_string(), app, serves, digest }
    }

    /// What happens in the orgs that it serves, and its own end where it served. The list is sorted by the store.
    fn hears(&self, row: &FeedRow) -> bool {
        match &self.serves {
            Serves::All => true,
            Serves::These(orgs) => orgs.binary_search(&row.org).is_ok() || row.scope == self.own,
        }
    }
}

/// What one process knows of the feed.
pub struct Feed {
    ring: Mutex<Ring>,
    moved: watch::Sender<i64>,
    wake: Notify,
    is_closed: AtomicBool,
    served: Mutex<BTreeMap<AppId, (Instant, Arc<Audience>)>>,
}

#[derive(Default)]
struct Ring {
    head: Option<FeedHead>,
    looked_at: Option<Instant>,
    rows: VecDeque<FeedRow>,
}

impl Default for Feed {
    fn default() -> Self {
        let moved = watch::Sender::new(0);
        let (wake, is_closed) = (Notify::new(), AtomicBool::new(false));
        Self { ring: Mutex::default(), moved, wake, is_closed, served: Mutex::default() }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// Something was committed: the tail looks at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// For the tail's own pause.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Changes with every row.
    pub fn moves(&self) -> watch::Receiver<i64> {
        self.moved.subscribe()
    }

    /// Nobody is to wait for more: the process stops.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.moved.send_modify(|_| {});
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// How old the tail's last look is, in milliseconds, when that was a moment ago: who hears of it counts from
    /// then.
    pub fn age_ms(&self) -> Option<i64> {
        let age = lock(&self.ring).looked_at?.elapsed();
        i64::try_from(age.as_millis()).ok().filter(|_| age < CURRENT_FOR)
    }

    fn seen(&self) -> Option<FeedHead> {
        lock(&self.ring).head
    }

    fn looked(&self, head: FeedHead, rows: Vec<FeedRow>, began: Instant) {
        let mut ring = lock(&self.ring);
        if ring.head.is_none_or(|known| known.life != head.life || known.pos > head.pos) {
            ring.rows.clear();
        }
        ring.rows.extend(rows);
        let over = ring.rows.len().saturating_sub(RING_ROWS);
        ring.rows.drain(..over);
        ring.head = Some(head);
        ring.looked_at = Some(began);
        drop(ring);
        self.moved.send_if_modified(|seen| std::mem::replace(seen, head.pos) != head.pos);
    }

    /// Which terminations this audience was told of after `known` and up to a place, of those in memory, and
    /// the place. None: it is of another life, of other orgs, or not reached.
    pub(crate) fn ended_between(
        &self,
        audience: &Audience,
        known: i64,
        Place(upto): Place,
    ) -> Option<(i64, Vec<(OrgId, i64)>)> {
        let ring = lock(&self.ring);
        let head = ring.head?;
        if upto.life != head.life || upto.orgs != audience.digest || upto.pos > head.pos {
            return None;
        }
        let [from, to] =
            [known.min(upto.pos), upto.pos].map(|pos| ring.rows.partition_point(|row| row.pos <= pos));
        let ended = ring.rows.range(from..to).filter(|row| row.action == TERMINATE && audience.hears(row));
        Some((upto.pos, ended.map(|row| (row.org, row.seq)).collect()))
    }

    /// The rows after a place, when the ring goes back that far, and the head.
    fn recent(&self, pos: i64) -> Option<(FeedHead, Vec<FeedRow>)> {
        let ring = lock(&self.ring);
        let head = ring.head?;
        let reaches = pos == head.pos || ring.rows.front().is_some_and(|first| first.pos <= pos + 1);
        let from = ring.rows.partition_point(|row| row.pos <= pos);
        let most = usize::try_from(FEED_ROWS).unwrap_or(0);
        reaches.then(|| (head, ring.rows.range(from..).take(most).cloned().collect()))
    }
}

/// One look: gives what waits its place, and takes what is new into memory.
pub async fn tail(gw: &Gateway) -> Result<(), FlowError> {
    loop {
        let began = Instant::now();
        let mut head = gw.db.feed_head().await?;
        if head.is_behind {
            gw.db.place_in_feed().await?;
            head = gw.db.feed_head().await?;
        }
        let known = gw.feed.seen().filter(|known| known.life == head.life && known.pos <= head.pos);
        // What is older than this process is read from the table by whoever asks.
        let after = known.map_or(head.pos, |known| known.pos);
        let rows = if after < head.pos { gw.db.feed_after(after).await? } else { Vec::new() };
        let reached = rows.last().map_or(head.pos, |last| last.pos);
        gw.feed.looked(FeedHead { pos: reached, ..head }, rows, began);
        if reached == head.pos && !head.is_behind {
            return Ok(());
        }
    }
}

/// A cursor's place, if it is one.
pub(crate) struct Place(Cursor);

impl Place {
    pub(crate) const fn pos(&self) -> i64 {
        self.0.pos
    }
}

pub(crate) fn place(text: &str) -> Option<Place> {
    Cursor::read(text).map(Place)
}

/// How long a revocation is kept.
pub fn keeps_secs(gw: &Gateway) -> i64 {
    gw.lifetimes.access_token_secs.saturating_add(KEPT_BEYOND_SECS)
}

/// Forgets what can matter to no living token.
pub async fn forget(gw: &Gateway) -> Result<(), FlowError> {
    let before = gw.now().minus_secs(keeps_secs(gw));
    while gw.db.forget_in_feed(before).await? == FEED_ROWS {}
    Ok(())
}

/// Which orgs an app is told of. Errors: `oauth.invalid_client` when it is gone.
pub async fn audience(gw: &Gateway, app: AppId) -> Result<Arc<Audience>, FlowError> {
    let known = lock(&gw.feed.served).get(&app).filter(|(at, _)| at.elapsed() < SERVED_FOR).cloned();
    if let Some((_, audience)) = known {
        return Ok(audience);
    }
    let (known, serves) = gw.db.feed_of(app).await?.ok_or_else(gone)?;
    let audience = Arc::new(Audience::of(known, serves));
    let mut served = lock(&gw.feed.served);
    if served.len() >= SERVED_MAX {
        served.clear();
    }
    served.insert(app, (Instant::now(), audience.clone()));
    Ok(audience)
}

fn gone() -> FlowError {
    Refusal::stranger("oauth.invalid_client").into()
}

/// The feed after a cursor, or from the oldest that is kept. Errors: `oauth.invalid_client` when the app is gone,
/// or what the follower proved itself by has ended, a moment ago at most; `api.query_malformed` for a cursor that
/// is none; `busy` when it cannot be known whether there is more.
pub async fn read(gw: &Gateway, follower: &Follower, after: Option<&str>) -> Result<Stretch, FlowError> {
    let audience = audience(gw, follower.app).await?;
    if !follower.standing.holds(&audience.app, gw.now()) {
        return Err(gone());
    }
    let malformed = || FlowError::invalid("api.query_malformed", "after", "a cursor that this feed gave");
    let asked = after.map(|text| Cursor::read(text).ok_or_else(malformed)).transpose()?;
    let busy = || FlowError::Busy { retry_after_secs: 1 };
    // The age first: a look between the two makes what is read younger than it is called.
    let began = Instant::now();
    let age_ms = gw.feed.age_ms().ok_or_else(busy)?;
    let head = gw.feed.seen().ok_or_else(busy)?;
    let here = |cursor: &Cursor| cursor.life == head.life && cursor.orgs == audience.digest;
    let mut known = asked.filter(|cursor| here(cursor) && (0..=head.pos).contains(&cursor.pos));
    let mut found = known.and_then(|cursor| gw.feed.recent(cursor.pos));
    if found.is_none() {
        let begins = gw.db.feed_begins().await?.min(head.pos);
        known = known.filter(|cursor| cursor.pos >= begins);
        let rows = gw.db.feed_after(known.map_or(begins, |cursor| cursor.pos)).await?;
        found = Some((head, rows.into_iter().filter(|row| row.pos <= head.pos).collect()));
    }
    let (head, rows) = found.unwrap_or((head, Vec::new()));
    let reached = rows.last().map_or(head.pos, |last| last.pos);
    let cursor = Cursor { life: head.life, pos: reached, orgs: audience.digest };
    let told = |row: FeedRow| Told { org: row.org, seq: row.seq, scope: row.scope, action: row.action };
    Ok(Stretch {
        data: rows.into_iter().filter(|row| audience.hears(row)).map(told).collect(),
        cursor: cursor.text(),
        gap: asked.is_some() && known.is_none(),
        more: reached < head.pos,
        keeps_secs: keeps_secs(gw),
        age_ms: age_ms.saturating_add(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX)),
    })
}
