//! The verifier: one token in, its claims or a reason out. Form, key, signature (or the memory of
//! it), claims, times, watermarks, and, when the watermarks are stale, the gateway itself.

use crate::{
    Action, Builder, Claims, Denied, Fault, Mode, StartError,
    cache::{self, Cache, Proven},
    feed,
    jws::{Parsed, TOKEN_BYTES_MAX},
    keyring::{Found, Keyring},
    pulse::Pulse,
    remote::{Remote, RemoteError},
    settings::{Rules, START_MAX},
    watermarks::{Revocation, Watermarks},
};
use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::AbortHandle,
};

/// Questions to the gateway about single tokens, at once: more would only queue there.
const QUESTIONS_MAX: usize = 64;
/// Before the gateway has said how long it keeps revocations; nothing is fresh until then.
const KEEPS_AT_FIRST: Duration = Duration::from_secs(3_600);

/// How far the start has come.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// Under way; the last failure, if there was one.
    Trying(Option<String>),
    /// What waiting does not mend. It is tried again all the same.
    Wrong(StartError),
    CaughtUp,
}

/// How the verifier hears of revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not at all, at the moment.
    Nothing,
    /// By server-sent events.
    Stream,
    /// By long polls, because streams do not get through.
    Polls,
}

/// What a verifier knows of itself, for health checks and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The mode it was made with.
    pub mode: Mode,
    /// Time since it last knew of every revocation; `None` while it does not know of all.
    pub staleness: Option<Duration>,
    /// Beyond the bound: tokens are asked about at the gateway, or, in `BestEffort`, may be revoked.
    pub is_stale: bool,
    /// How it hears of revocations.
    pub way: Way,
    /// Revocations remembered.
    pub watermarks: usize,
    /// Verified signatures remembered.
    pub cached_tokens: usize,
    /// Keys of the issuer.
    pub keys: usize,
}

/// Everything the verifier and its task share.
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) remote: Remote,
    pub(crate) keys: Keyring,
    pub(crate) pulse: Pulse,
    pub(crate) way: AtomicU64,
    pub(crate) progress: watch::Sender<Progress>,
    watermarks: RwLock<Watermarks>,
    cache: Cache,
    questions: Semaphore,
    said_stale: AtomicBool,
}

/// The task that follows the feed ends with the last clone of the verifier.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Trusts access tokens of one issuer for one audience, as far as they can be trusted now. Cheap to
/// clone: all clones are one verifier with one connection to the gateway.
#[derive(Clone)]
pub struct Verifier {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Verifier({} for {})",
            self.shared.rules.expected.issuer, self.shared.rules.expected.audience
        )
    }
}

impl Verifier {
    /// `issuer` is Vestibule's `public_url`, byte for byte; `audience` is the app's, its client id unless
    /// another was set.
    pub fn builder(issuer: &str, audience: &str) -> Builder {
        Builder::new(issuer, audience)
    }

    pub(crate) fn run(rules: Rules, remote: Remote, runtime: &Handle) -> Self {
        let now = Instant::now();
        let shared = Arc::new(Shared {
            remote,
            keys: Keyring::default(),
            pulse: Pulse::new(now),
            way: AtomicU64::new(0),
            progress: watch::Sender::new(Progress::Trying(None)),
            watermarks: RwLock::new(Watermarks::new(rules.watermarks_max, KEEPS_AT_FIRST, now)),
            cache: Cache::new(rules.cached_tokens_max),
            questions: Semaphore::new(QUESTIONS_MAX),
            said_stale: AtomicBool::new(false),
            rules,
        });
        let task = runtime.spawn(feed::run(shared.clone())).abort_handle();
        Self { shared, _task: Arc::new(Task(task)) }
    }

    /// Waits until keys and revocations are known, for 10 s at most. A verifier that was built, not started,
    /// may be asked this before the app says that it is ready.
    ///
    /// # Errors
    /// `AnotherIssuer` and `WrongClient` at once, `Late` after 10 s.
    pub async fn caught_up(&self) -> Result<(), StartError> {
        let mut progress = self.shared.progress.subscribe();
        let settled = progress.wait_for(|progress| !matches!(progress, Progress::Trying(_)));
        let settled = tokio::time::timeout(START_MAX, settled).await.ok().and_then(Result::ok);
        match settled.as_deref().cloned() {
            Some(Progress::CaughtUp) => Ok(()),
            Some(Progress::Wrong(why)) => Err(why),
            Some(Progress::Trying(_)) | None => {
                let last = match &*self.shared.progress.borrow() {
                    Progress::Trying(Some(why)) => why.clone(),
                    _ => "no answer yet".to_owned(),
                };
                Err(StartError::Late(last))
            }
        }
    }

    /// Judges a token, as it stands in the `Authorization` header after `Bearer` (see [`bearer`](crate::bearer)).
    ///
    /// # Errors
    /// `Token`, `Revoked`, `Inactive` (401); `Unavailable` (503) when it cannot be known whether the token was
    /// revoked.
    pub async fn verify(&self, token: &str) -> Result<Claims, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Fault::TooLong.into());
        }
        let shared = &*self.shared;
        let name = cache::name(token).ok_or(Fault::Malformed)?;
        let known = shared.cache.get(&name).filter(|proven| shared.keys.holds(&proven.key));
        let proven = match known {
            Some(proven) => {
                proven.claims.hold(shared.rules.expected.leeway_secs, now_secs())?;
                proven
            }
            None => {
                let proven = Arc::new(shared.prove(token).await?);
                shared.cache.put(name, proven.clone());
                proven
            }
        };
        if shared.standing(&proven.claims)? == Standing::Unknown {
            shared.ask(token, &proven).await?;
        }
        Ok(proven.claims.clone())
    }

    /// Judges again what was verified before: for connections that stay open, once a second or before each
    /// message. Asks nobody.
    ///
    /// # Errors
    /// As [`verify`](Self::verify): `Unavailable` whenever the bound of the mode is passed.
    pub fn check(&self, claims: &Claims) -> Result<(), Denied> {
        claims.hold(self.shared.rules.expected.leeway_secs, now_secs())?;
        match self.shared.standing(claims)? {
            Standing::Good => Ok(()),
            Standing::Unknown => Err(Denied::Unavailable),
        }
    }

    /// How the verifier is.
    pub fn health(&self) -> Health {
        let shared = &*self.shared;
        let staleness = shared.pulse.staleness(Instant::now());
        let bound = shared.rules.staleness_max.or(Mode::Bounded.staleness_max());
        Health {
            mode: shared.rules.mode,
            staleness,
            is_stale: staleness.is_none() || staleness > bound,
            way: match shared.way.load(Ordering::Relaxed) {
                1 => Way::Stream,
                2 => Way::Polls,
                _ => Way::Nothing,
            },
            watermarks: shared.watermarks().len(),
            cached_tokens: shared.cache.len(),
            keys: shared.keys.now().len(),
        }
    }
}

/// What the watermarks say of a token that is good otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Good,
    /// Nothing against it is known, and not everything is.
    Unknown,
}

impl Shared {
    fn watermarks(&self) -> std::sync::RwLockReadGuard<'_, Watermarks> {
        self.watermarks.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in revocations.
    pub(crate) fn take_in(&self, revocations: &[Revocation], keeps: Duration) {
        let now = Instant::now();
        let gone = {
            let mut watermarks = self.watermarks.write().unwrap_or_else(PoisonError::into_inner);
            watermarks.apply(revocations, keeps, now);
            watermarks.turn(now)
        };
        drop(gone);
    }

    /// Signature and claims, from nothing.
    async fn prove(&self, token: &str) -> Result<Proven, Denied> {
        let parsed = Parsed::read(token)?;
        let key = match self.keys.find(&parsed.kid).await {
            Found::Key(key) => key,
            Found::Unknown => return Err(Fault::UnknownKey.into()),
            Found::Unasked => return Err(Denied::Unavailable),
        };
        let payload = parsed.verify(&key)?;
        let claims = Claims::read(&payload, &self.rules.expected, now_secs())?;
        Ok(Proven { claims, key, asked: AtomicU64::new(0) })
    }

    fn standing(&self, claims: &Claims) -> Result<Standing, Denied> {
        // Freshness is read before the marks: in the other order marks could be missed that came between.
        let staleness = self.pulse.staleness(Instant::now());
        let age = Duration::from_secs(now_secs().saturating_sub(claims.iat()));
        let (ended, all) = {
            let watermarks = self.watermarks();
            (watermarks.ends(claims), watermarks.tell_all(age))
        };
        if let Some(action) = ended {
            return Err(Denied::Revoked(action));
        }
        let Some(bound) = self.rules.staleness_max else {
            self.say(staleness.is_none_or(|staleness| Some(staleness) > Mode::Bounded.staleness_max()));
            return Ok(Standing::Good);
        };
        let known = !self.keys.are_late(Instant::now());
        let fresh = known && staleness.is_some_and(|staleness| staleness <= bound);
        self.say(!fresh);
        Ok(if fresh && all { Standing::Good } else { Standing::Unknown })
    }

    /// Says once that knowledge is stale, and once that it is not any more.
    fn say(&self, stale: bool) {
        if self.said_stale.load(Ordering::Relaxed) == stale
            || self.said_stale.swap(stale, Ordering::Relaxed) == stale
        {
            return;
        }
        match (stale, self.rules.mode) {
            (false, _) => tracing::info!("revocations are known again"),
            (true, Mode::BestEffort) => {
                tracing::warn!("revocations are not known: tokens pass until they end")
            }
            (true, Mode::Strict | Mode::Bounded) => {
                tracing::warn!("revocations are not known: the gateway is asked about each token");
            }
        }
    }

    /// Asks the gateway. Its yes is as good as our own knowledge for as long as that may be old.
    async fn ask(&self, token: &str, proven: &Proven) -> Result<(), Denied> {
        let asked_at = Instant::now();
        let last = self.pulse.age(proven.asked.load(Ordering::Acquire), asked_at);
        if last.is_some_and(|age| self.rules.staleness_max.is_some_and(|bound| age <= bound)) {
            return Ok(());
        }
        let unavailable = |_| Denied::Unavailable;
        let places = self.keys.places().ok_or(Denied::Unavailable)?;
        let _turn = self.questions.try_acquire().map_err(unavailable_turn)?;
        let active = self.remote.introspect(places, token, proven.claims.jti()).await;
        let active = active.inspect_err(say_unasked).map_err(unavailable)?;
        if !active {
            return Err(Denied::Inactive);
        }
        proven.asked.fetch_max(self.pulse.moment(asked_at), Ordering::AcqRel);
        Ok(())
    }
}

fn unavailable_turn(_: tokio::sync::TryAcquireError) -> Denied {
    Denied::Unavailable
}

fn say_unasked(why: &RemoteError) {
    tracing::warn!(%why, "a token could not be asked about");
}

/// The machine's clock, in seconds since 1970: tokens say their times by it.
pub(crate) fn now_secs() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this crate is no part of the server: its own clock")]
    let now = SystemTime::now();
    let secs = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    #[cfg(feature = "testing")]
    let secs = crate::testing::shifted(secs);
    secs
}

impl Action {
    /// The name in the feed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Reassert => "reassert",
        }
    }
}
