//! Revocations as they happen. Each connection begins with pages, until nothing is missing: a page
//! answers a request of ours, so what it knows is no older than the request. Then the stream, with a
//! heartbeat each second; where a stream does not get through, long polls.

use super::{
    PAUSE_FIRST, Pauses, jittered,
    sse::{Event, Events},
};
use crate::{
    Mode,
    remote::{Beat, CURSOR_BYTES_MAX, PAGE_BYTES_MAX, Page, RemoteError, chunk, read},
    settings::Rules,
    verifier::{Progress, Shared},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::sleep};

/// Without a heartbeat for so long a stream is dead, or a proxy keeps it to itself.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A stream that lasted so long was one.
const LASTED: Duration = Duration::from_secs(5);
/// So many in a row that did not: something between us and the gateway has no liking for them.
const SHORT_MAX: u32 = 3;
/// Streams are not tried again for so long: first, and when that does not help, twice as long each time up to this.
const STREAM_AGAIN_FIRST: Duration = Duration::from_secs(20);
const STREAM_AGAIN_MAX: Duration = Duration::from_secs(300);
/// Between two long polls that brought nothing: a server that does not wait is not asked all the time.
const POLLS_EVERY: Duration = Duration::from_millis(250);

/// How long a poll waits at the gateway: what it knows ages meanwhile, and has to stay within the bound.
fn wait_secs(rules: &Rules) -> u64 {
    let wait = match rules.mode {
        Mode::Strict => 1,
        Mode::Bounded => 10,
        Mode::BestEffort => 25,
    };
    rules.staleness_max.map_or(wait, |bound| wait.min((bound / 2).as_secs()))
}

/// How a stream ended.
enum Ended {
    /// It brought something, and broke off.
    Broken,
    /// It brought nothing, or was none.
    Mute,
}

struct Follower {
    shared: Arc<Shared>,
    cursors: watch::Sender<String>,
    cursor: Option<String>,
    /// Pages are missing: there are more, or a gap has not been filled yet.
    behind: bool,
}

/// Follows for ever.
pub(super) async fn follow(shared: Arc<Shared>, cursors: watch::Sender<String>) {
    let mut follower = Follower { shared, cursors, cursor: None, behind: true };
    let mut pauses = Pauses::default();
    let (mut streams_from, mut short, mut again) = (Instant::now(), 0, STREAM_AGAIN_FIRST);
    loop {
        let streams = Instant::now() >= streams_from;
        if let Err(why) = follower.poll(streams).await {
            follower.shared.way.store(0, Ordering::Relaxed);
            // It was the gateway that went, and nothing between that has no liking for streams.
            short = 0;
            pauses.after(&follower.shared, &why).await;
            continue;
        }
        pauses = Pauses::default();
        if follower.behind || !streams {
            continue;
        }
        let began = Instant::now();
        let mute = match follower.stream().await {
            Ok(Ended::Broken) => false,
            Ok(Ended::Mute) => true,
            Err(why) => {
                tracing::debug!(%why, "the stream of revocations broke off");
                false
            }
        };
        follower.shared.way.store(0, Ordering::Relaxed);
        if began.elapsed() >= LASTED && !mute {
            (short, again) = (0, STREAM_AGAIN_FIRST);
        } else {
            short += 1;
        }
        if mute || short >= SHORT_MAX {
            tracing::info!("no stream of revocations gets through: long polls instead");
            streams_from = Instant::now() + jittered(again);
            (short, again) = (0, (again * 2).min(STREAM_AGAIN_MAX));
        } else {
            sleep(jittered(PAUSE_FIRST)).await;
        }
    }
}

impl Follower {
    /// One page: at once when pages are missing or a stream follows, waited for otherwise.
    async fn poll(&mut self, streams: bool) -> Result<(), RemoteError> {
        let at_once = self.behind || streams;
        let wait = if at_once { 0 } else { wait_secs(&self.shared.rules) };
        let asked_at = Instant::now();
        let page = self.shared.remote.page(self.cursor.as_deref(), wait).await;
        if matches!(page, Err(RemoteError::Status { status: 400, .. })) {
            // A cursor that the gateway does not read, any more: what came since is in all that it keeps.
            self.shared.pulse.miss();
            (self.cursor, self.behind) = (None, true);
        }
        let page = page?;
        if page.more && self.cursor.as_ref() == Some(&page.cursor) {
            return Err(RemoteError::NotOurs("more revocations, and no way to them"));
        }
        let nothing = page.data.is_empty();
        self.take(page, asked_at);
        if !at_once {
            self.shared.way.store(2, Ordering::Relaxed);
            if nothing && asked_at.elapsed() < POLLS_EVERY {
                sleep(POLLS_EVERY).await;
            }
        }
        Ok(())
    }

    /// Takes a page in, which was as old as it says at `known_at`; everything up to then is known when nothing is
    /// missing after it.
    fn take(&mut self, page: Page, known_at: Instant) {
        if page.gap {
            tracing::warn!("revocations were missed: all that matter are sent again");
            self.shared.pulse.miss();
        }
        self.behind = page.more;
        let keeps = page.keeps();
        self.shared.take_in(&page.data, keeps);
        if !page.more {
            self.shared.pulse.beat_of(known_at, page.age());
            self.shared.progress.send_if_modified(|progress| {
                let first = !matches!(progress, Progress::CaughtUp);
                *progress = Progress::CaughtUp;
                first
            });
        }
        if !page.data.is_empty() {
            self.cursors.send_replace(page.cursor.clone());
        }
        self.cursor = Some(page.cursor);
    }

    /// The stream, from the cursor on, until it ends.
    async fn stream(&mut self) -> Result<Ended, RemoteError> {
        let Some(cursor) = self.cursor.clone() else { return Ok(Ended::Broken) };
        let mut response = match self.shared.remote.stream(&cursor).await {
            Ok(Some(response)) => response,
            // Headers that do not come are a proxy's that waits for the end; a refusal is of streams alone,
            // because a page has just been given.
            Ok(None) | Err(RemoteError::Late | RemoteError::Status { status: 404..=406, .. }) => {
                return Ok(Ended::Mute);
            }
            Err(why) => return Err(why),
        };
        let mut events = Events::new(PAGE_BYTES_MAX);
        let (mut heard, mut last) = (false, Instant::now());
        loop {
            // Silence is counted from event to event: bytes that make none are none.
            let patience = SILENCE_MAX.saturating_sub(last.elapsed());
            let bytes = match chunk(&mut response, patience).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) | Err(RemoteError::Late) => break,
                Err(why) => return Err(why),
            };
            let came = events.take(&bytes).map_err(|_| RemoteError::NotOurs("a stream of events"))?;
            for event in came {
                self.hear(&event)?;
                (heard, last) = (true, Instant::now());
                self.shared.way.store(1, Ordering::Relaxed);
            }
        }
        Ok(if heard { Ended::Broken } else { Ended::Mute })
    }

    fn hear(&mut self, event: &Event) -> Result<(), RemoteError> {
        let now = Instant::now();
        match event.name.as_str() {
            "revocations" => self.take(Page::read(event.data.as_bytes())?, now),
            "heartbeat" => {
                let beat: Beat = read(event.data.as_bytes())?;
                if beat.cursor.is_empty() || beat.cursor.len() > CURSOR_BYTES_MAX {
                    return Err(RemoteError::NotOurs("a heartbeat"));
                }
                if !self.behind {
                    self.shared.pulse.beat_of(now, beat.age());
                    self.cursor = Some(beat.cursor);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
