//! One thread that looks whether the engines still run. One that was killed under the process is started
//! again, later and later while that fails: what it had committed is there, and the stores' own clients
//! connect again by themselves. On the way out it ends them, and starts nothing more.

use super::{
    EmbeddedError, EmbeddedOptions, Place, at,
    keeper::{self, Keeper},
    last_words, log_path, postgres, start_redis,
};
use rustix::process::Signal;
use std::{
    process::Child,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Looks again this often.
const LOOK: Duration = Duration::from_millis(200);
/// Before the first new start, and at most before any.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// An engine that ran this long has not failed to start.
const STEADY: Duration = Duration::from_secs(60);
/// A fast shutdown writes a checkpoint; a slow disk takes seconds over it.
const POSTGRES_STOP_MAX: Duration = Duration::from_secs(15);
const REDIS_STOP_MAX: Duration = Duration::from_secs(1);

/// What one of the engines is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Redis,
    Postgres,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Postgres => "Postgres",
        }
    }
    pub(super) const fn log(self) -> &'static str {
        match self {
            Self::Redis => "redis.log",
            Self::Postgres => "postgres.log",
        }
    }
    fn start(self, held: &Held) -> Result<(Child, String), EmbeddedError> {
        match self {
            Self::Redis => start_redis(&held.place, &held.keeper),
            Self::Postgres => postgres::start(&held.place, &held.keeper, &held.options),
        }
    }
    fn end(self, child: &mut Child) {
        match self {
            // It keeps nothing on disk: there is nothing to say goodbye to.
            Self::Redis => keeper::end(child, Signal::KILL, REDIS_STOP_MAX),
            Self::Postgres => keeper::end(child, Signal::INT, POSTGRES_STOP_MAX),
        }
    }
}

/// What a start needs. The keeper's thread has to outlive the children that it made.
pub(super) struct Held {
    pub place: Place,
    pub options: EmbeddedOptions,
    pub keeper: Keeper,
}

struct Engine {
    kind: Kind,
    state: State,
    /// New starts since it last ran for long.
    starts: u32,
}

enum State {
    Runs { child: Child, since: Instant },
    Down { again_at: Instant },
}

/// Dropping it ends the engines.
#[derive(Debug)]
pub(super) struct Warden {
    stay: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Warden {
    /// Starts these, in order, and answers their addresses. All or none.
    pub(super) fn start(held: Held, kinds: &[Kind]) -> Result<(Self, Vec<String>), EmbeddedError> {
        let (mut engines, mut urls) = (Vec::new(), Vec::new());
        for kind in kinds {
            match kind.start(&held) {
                Ok((child, url)) => {
                    let state = State::Runs { child, since: Instant::now() };
                    engines.push(Engine { kind: *kind, state, starts: 0 });
                    urls.push(url);
                }
                Err(error) => {
                    end(&mut engines);
                    return Err(error);
                }
            }
        }
        let data = held.place.data.clone();
        let (stay, gone) = channel();
        let watching = move || watch(&held, engines, &gone);
        let thread = thread::Builder::new().name("warden".into()).spawn(watching).map_err(at(&data))?;
        Ok((Self { stay: Some(stay), thread: Some(thread) }, urls))
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        drop(self.stay.take());
        if let Some(thread) = self.thread.take() {
            // It ends no sooner than the engines have.
            let _ = thread.join();
        }
    }
}

fn watch(held: &Held, mut engines: Vec<Engine>, gone: &Receiver<()>) {
    while gone.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        engines.iter_mut().for_each(|engine| engine.look(held));
    }
    end(&mut engines);
}

fn end(engines: &mut [Engine]) {
    for engine in engines {
        if let State::Runs { child, .. } = &mut engine.state {
            engine.kind.end(child);
        }
    }
}

impl Engine {
    fn look(&mut self, held: &Held) {
        match &mut self.state {
            State::Runs { child, since } => {
                if since.elapsed() > STEADY {
                    self.starts = 0;
                }
                let how = match child.try_wait() {
                    Ok(None) => return,
                    Ok(Some(status)) => status.to_string(),
                    Err(why) => why.to_string(),
                };
                let said = last_words(&log_path(&held.place, self.kind.log()));
                tracing::error!(engine = self.kind.name(), %how, said, "a private engine has ended by itself");
                self.wait();
            }
            State::Down { again_at } if *again_at <= Instant::now() => match self.kind.start(held) {
                Ok((child, _)) => {
                    tracing::warn!(engine = self.kind.name(), "a private engine runs again");
                    self.state = State::Runs { child, since: Instant::now() };
                }
                Err(error) => {
                    tracing::error!(engine = self.kind.name(), %error, "a private engine does not start again");
                    self.wait();
                }
            },
            State::Down { .. } => {}
        }
    }

    fn wait(&mut self) {
        self.state = State::Down { again_at: Instant::now() + pause(self.starts) };
        self.starts = self.starts.saturating_add(1);
    }
}

/// How long to wait before the next start, after so many.
fn pause(starts: u32) -> Duration {
    PAUSE_MIN.saturating_mul(2_u32.saturating_pow(starts)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_twice_as_long_each_time_up_to_half_a_minute() {
        let pauses: Vec<u128> = (0..9).map(|starts| pause(starts).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);
    }
}
