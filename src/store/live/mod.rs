//! What is fast: sessions and revocation watermarks in Redis. Never the truth: a missing key never
//! means "not revoked", only "ask Postgres", and whatever ends in a token asks Postgres anyway.
//! Every key is made here, from an `&OrgScope`, under the hash tag `{org}`; `guard.rs` has the one of no org.

mod guard;
mod throttle;
mod walks;

pub use guard::{Guard, Held, Loss};
pub use throttle::{Quota, Rates, Waiter};

use crate::{Door, OrgScope, SessionRow};
use model::count::{Durations, Series};
use model::{TokenDigest, ids::SessionId, revocation::Scope};
use redis::{AsyncCommands, Script, aio::ConnectionManager, aio::ConnectionManagerConfig};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// Redis is asked at most this long; then Postgres is.
const PATIENCE: Duration = Duration::from_millis(150);

#[derive(Clone)]
pub struct Live {
    redis: ConnectionManager,
    waiting: Arc<throttle::Waiting>,
    advances: Arc<throttle::Advances>,
}

/// What Redis says of a session cookie.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// Alive as far as Redis knows.
    Alive(SessionId),
    /// A watermark is above its stamp: dead, and no need to ask further.
    Dead,
    /// Not here, or Redis is away.
    Unknown,
}

/// How long Redis took, by command, and how often it did not answer.
pub static COMMANDS: Durations<1> = Durations::new();
pub static FAILURES: Series<1> = Series::new();

async fn timed<T>(
    name: &'static str,
    command: impl Future<Output = Result<T, redis::RedisError>>,
) -> Result<T, redis::RedisError> {
    let began = Instant::now();
    let done = command.await;
    COMMANDS.note([name], u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    FAILURES.add([name], u64::from(done.is_err()));
    done
}

static CHECK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("session_check.lua")));
static RAISE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("raise_watermark.lua")));

impl Live {
    /// Connects at the first command, and again whenever Redis comes back: a start does not wait for it.
    ///
    /// # Errors
    /// A URL that is none.
    pub fn connect(url: &str) -> Result<Self, redis::RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        let redis = ConnectionManager::new_lazy_with_config(redis::Client::open(url)?, config)?;
        Ok(Self { redis, waiting: Arc::default(), advances: Arc::default() })
    }

    pub async fn ping(&self) -> Result<(), redis::RedisError> {
        let mut redis = self.redis.clone();
        timed("ping", redis::cmd("PING").query_async::<()>(&mut redis)).await
    }

    /// Keeps a session until it ends by what was said at its birth. A limit that was shortened since is
    /// Postgres's to know, which is asked about every session that is alive here.
    pub async fn put_session<D: Door>(
        &self,
        scope: &OrgScope<D>,
        digest: &TokenDigest,
        session: &SessionRow,
    ) -> Result<(), redis::RedisError> {
        let mut redis = self.redis.clone();
        let key = session_key(scope, digest);
        let secs = session.expires_at.secs().saturating_sub(scope.now().secs()).max(1);
        let kept = redis::pipe()
            .hset_multiple(
                &key,
                &[
                    ("ses", session.id.to_string()),
                    ("usr", session.user.to_string()),
                    ("con", session.connection.to_string()),
                    ("rs", session.rs.to_string()),
                ],
            )
            .ignore()
            .expire(&key, secs)
            .ignore()
            .to_owned();
        timed("put_session", kept.query_async::<()>(&mut redis)).await
    }

    /// One script call: the session and the watermarks it names.
    pub async fn session<D: Door>(&self, scope: &OrgScope<D>, digest: &TokenDigest) -> Seen {
        let mut redis = self.redis.clone();
        let mut check = CHECK.prepare_invoke();
        check.key(session_key(scope, digest)).key(watermark_key(scope));
        match timed("session", check.invoke_async::<String>(&mut redis)).await {
            Ok(answer) => seen(&answer),
            Err(error) => {
                tracing::warn!(%error, "redis did not answer a session check; asking postgres");
                Seen::Unknown
            }
        }
    }

    /// Several sessions, of as many orgs, in one trip; the answers in their order.
    pub async fn sessions<D: Door>(&self, asked: &[(OrgScope<D>, TokenDigest)]) -> Vec<Seen> {
        if asked.is_empty() {
            return Vec::new();
        }
        let mut redis = self.redis.clone();
        let mut pipe = redis::pipe();
        pipe.load_script(&CHECK).ignore();
        for (scope, digest) in asked {
            let mut check = CHECK.prepare_invoke();
            check.key(session_key(scope, digest)).key(watermark_key(scope));
            pipe.invoke_script(&check);
        }
        match timed("sessions", pipe.query_async::<Vec<String>>(&mut redis)).await {
            Ok(answers) => answers.iter().map(|answer| seen(answer)).collect(),
            Err(error) => {
                tracing::warn!(%error, "redis did not answer a session check; asking postgres");
                asked.iter().map(|_| Seen::Unknown).collect()
            }
        }
    }

    /// Takes a revocation to Redis. Watermarks only grow, so the order of arrival does not matter.
    pub async fn raise<D: Door>(
        &self,
        org: &OrgScope<D>,
        scope: &Scope,
        seq: i64,
    ) -> Result<(), redis::RedisError> {
        let mut redis = self.redis.clone();
        let mut raise = RAISE.prepare_invoke();
        raise.key(watermark_key(org)).arg(scope.to_string()).arg(seq);
        timed("raise", raise.invoke_async::<()>(&mut redis)).await
    }

    pub async fn drop_session<D: Door>(
        &self,
        scope: &OrgScope<D>,
        digest: &TokenDigest,
    ) -> Result<(), redis::RedisError> {
        let mut redis = self.redis.clone();
        timed("drop_session", redis.del(session_key(scope, digest))).await
    }
}

fn seen(answer: &str) -> Seen {
    match answer {
        "dead" => Seen::Dead,
        id => id.parse().map_or(Seen::Unknown, Seen::Alive),
    }
}

fn session_key<D: Door>(scope: &OrgScope<D>, digest: &TokenDigest) -> String {
    let mut key = format!("s:{{{}}}:", scope.org());
    for byte in digest.bytes() {
        key.push_str(&format!("{byte:02x}"));
    }
    key
}

fn watermark_key<D: Door>(scope: &OrgScope<D>) -> String {
    format!("ep:{{{}}}", scope.org())
}
