//! Connections to Postgres, and who is lent one. A socket is driven by the runtime that opened it, and
//! each worker of the HTTP face is a runtime of its own: an answer that arrives at another worker's
//! wakes two threads instead of one. So a connection is lent first to whoever opened it. What comes
//! back in order is free at once, without a word to the server; what does not is put in order before
//! anybody else has it, or closed (docs/adr/0010-own-pool.md).

use futures_core::{future::BoxFuture, stream::BoxStream};
use futures_util::{TryStreamExt, stream};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Describe, Either, Execute, Executor, FromRow, PgConnection,
    Postgres, SqlStr,
    postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::ThreadId,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Idle for so long, a connection is asked whether it is still there.
const ASKED_AFTER: Duration = Duration::from_secs(5);
/// A connection is closed at this age: what a server keeps for it, and where a name leads, go stale.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// For putting one in order again, and for saying goodbye.
const TIDY_UP: Duration = Duration::from_secs(5);

/// The runtime that drives a socket: a worker's thread, or the one of many threads.
type Home = Option<ThreadId>;

fn home() -> Home {
    let alone = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::CurrentThread);
    alone.then(|| std::thread::current().id())
}

struct Wire {
    sql: PgConnection,
    home: Home,
    born: Instant,
    /// Its last use. None: another one broke since, so it may have as well.
    used: Option<Instant>,
}

struct Shared {
    connect: PgConnectOptions,
    max: u32,
    patience: Duration,
    /// As many permits as connections there may be.
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Wire>>,
    /// Idle or lent. Grows under the lock of `idle` alone.
    open: AtomicU32,
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Wire>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection: one of this runtime's, the last used first; else, when no more may be
    /// opened, anybody's. `None`: open one, its place is taken.
    fn pick(&self) -> Option<Wire> {
        let (mut idle, here) = (self.idle(), home());
        if let Some(own) = idle.iter().rposition(|wire| wire.home == here) {
            return Some(idle.remove(own));
        }
        if self.open.load(Ordering::Relaxed) < self.max {
            self.open.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let any = idle.pop();
        if any.is_none() {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        any
    }

    fn give_back(&self, mut wire: Wire) {
        let now = Instant::now();
        if self.free.is_closed() || now.duration_since(wire.born) > AGE_MAX {
            self.forget();
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(timeout(TIDY_UP, wire.sql.close()));
            }
            return;
        }
        // One large message would keep its size for as long as the connection lives.
        wire.sql.shrink_buffers();
        wire.used = Some(now);
        self.idle().push(wire);
    }

    /// One broke: the server may be another by now, and all that lie idle are asked before they are lent.
    fn broken(&self) {
        self.forget();
        self.idle().iter_mut().for_each(|wire| wire.used = None);
    }

    fn forget(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place among the open connections that is given up unless a connection fills it.
struct Place<'a>(&'a Shared);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

/// All connections of this process.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} open, {} idle)", self.opened(), self.idle())
    }
}

impl Pool {
    /// Opens one connection, to see that it can.
    pub(crate) async fn open(connect: PgConnectOptions, max: u32, patience: Duration) -> sqlx::Result<Self> {
        let pool = Self(Arc::new(Shared {
            connect,
            max,
            patience,
            free: Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(1))),
            idle: Mutex::default(),
            open: AtomicU32::new(0),
        }));
        drop(pool.lease().await?);
        Ok(pool)
    }

    /// A connection, when there is one in time.
    pub(crate) async fn lease(&self) -> sqlx::Result<Lease> {
        let late = |_| sqlx::Error::PoolTimedOut;
        let permit = timeout(self.0.patience, self.0.free.clone().acquire_owned()).await.map_err(late)?;
        let mut permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        while let Some(wire) = self.0.pick() {
            let fresh = wire.used.is_some_and(|used| used.elapsed() < ASKED_AFTER);
            let mut lease =
                Lease { lent: Some((wire, permit)), shared: self.0.clone(), state: State::InOrder };
            if fresh || lease.answers().await {
                return Ok(lease);
            }
            self.0.forget();
            permit = lease.given_up()?;
        }
        let place = Place(&self.0);
        let sql = timeout(self.0.patience, self.0.connect.connect()).await.map_err(late)??;
        std::mem::forget(place);
        let now = Instant::now();
        let wire = Wire { sql, home: home(), born: now, used: Some(now) };
        Ok(Lease { lent: Some((wire, permit)), shared: self.0.clone(), state: State::InOrder })
    }

    pub(crate) fn idle(&self) -> usize {
        self.0.idle().len()
    }
    pub(crate) fn opened(&self) -> u32 {
        self.0.open.load(Ordering::Relaxed)
    }
    pub(crate) fn max(&self) -> u32 {
        self.0.max
    }

    /// No more are lent; those that are out close when they come back.
    pub(crate) async fn close(&self) {
        self.0.free.close();
        let idle = std::mem::take(&mut *self.0.idle());
        for wire in idle {
            self.0.forget();
            let _ = timeout(TIDY_UP, wire.sql.close()).await;
        }
    }
}

/// A statement by itself, on whichever connection is free. Its rows are all fetched before the first is
/// seen.
impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = async move {
            let mut lease = self.lease().await?;
            let ended: sqlx::Result<Vec<_>> = lease.ask().fetch_many(query).try_collect().await;
            let rows = lease.settle(ended)?.into_iter().map(Ok);
            Ok::<_, sqlx::Error>(stream::iter(rows))
        };
        Box::pin(stream::once(all).try_flatten())
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lease = self.lease().await?;
            let ended = lease.ask().fetch_optional(query).await;
            lease.settle(ended)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut lease = self.lease().await?;
            let ended = lease.ask().prepare_with(sql, parameters).await;
            lease.settle(ended)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        Box::pin(async move {
            let mut lease = self.lease().await?;
            let ended = lease.ask().describe(sql).await;
            lease.settle(ended)
        })
    }
}

/// What must be done before anybody else has the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InOrder,
    /// A statement by itself was sent, and its end is not known.
    Asked,
    /// A transaction may be open.
    Within,
}

/// A connection that is lent. Dropped in any state, it is in order for the next.
pub(crate) struct Lease {
    lent: Option<(Wire, OwnedSemaphorePermit)>,
    shared: Arc<Shared>,
    state: State,
}

impl Lease {
    /// For one statement by itself, whose result goes to `settle`.
    fn ask(&mut self) -> &mut PgConnection {
        self.state = State::Asked;
        self
    }

    /// The statement has its end: an answer, or a no that leaves the connection as it was.
    fn settle<T>(mut self, ended: sqlx::Result<T>) -> sqlx::Result<T> {
        if ended.as_ref().map_or_else(is_only_a_no, |_| true) {
            self.state = State::InOrder;
        }
        ended
    }

    /// Opens a transaction, with what `opening` sets in it, in one message.
    pub(crate) async fn begin(&mut self, opening: String) -> sqlx::Result<()> {
        self.state = State::Within;
        sqlx::raw_sql(AssertSqlSafe(opening)).execute(&mut **self).await.map(|_| ())
    }

    /// The same, where `opening` ends with a question: its first row.
    pub(crate) async fn begin_asking<R>(&mut self, opening: String) -> sqlx::Result<Option<R>>
    where
        R: for<'r> FromRow<'r, PgRow>,
    {
        self.state = State::Within;
        let row = sqlx::raw_sql(AssertSqlSafe(opening)).fetch_optional(&mut **self).await?;
        row.as_ref().map(R::from_row).transpose()
    }

    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.state = State::InOrder;
        Ok(())
    }

    /// Closes the connection; the permit remains.
    fn given_up(mut self) -> sqlx::Result<OwnedSemaphorePermit> {
        self.lent.take().map(|(_, permit)| permit).ok_or(sqlx::Error::PoolClosed)
    }

    async fn answers(&mut self) -> bool {
        let there = timeout(TIDY_UP, self.ask().ping()).await;
        self.state = State::InOrder;
        there.is_ok_and(|said| said.is_ok())
    }
}

const LENT: &str = "lent until dropped";

#[expect(clippy::expect_used, reason = "taken by whoever consumes the lease, and by nobody else")]
impl Deref for Lease {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.lent.as_ref().expect(LENT).0.sql
    }
}
#[expect(clippy::expect_used, reason = "taken by whoever consumes the lease, and by nobody else")]
impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.lent.as_mut().expect(LENT).0.sql
    }
}

/// 57P: the server goes away.
fn is_only_a_no(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|no| no.code()).is_some_and(|code| !code.starts_with("57P"))
}

async fn put_in_order(sql: &mut PgConnection, state: State) -> sqlx::Result<()> {
    match state {
        State::InOrder => Ok(()),
        State::Asked => sql.ping().await,
        State::Within => sqlx::raw_sql("ROLLBACK").execute(sql).await.map(|_| ()),
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((mut wire, permit)) = self.lent.take() else { return };
        let (shared, state) = (self.shared.clone(), self.state);
        if state == State::InOrder {
            return shared.give_back(wire);
        }
        let Ok(runtime) = Handle::try_current() else { return shared.forget() };
        runtime.spawn(async move {
            match timeout(TIDY_UP, put_in_order(&mut wire.sql, state)).await {
                Ok(Ok(())) => shared.give_back(wire),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a connection could not be put in order, and is closed");
                    shared.broken();
                }
                Err(_) => shared.broken(),
            }
            drop(permit);
        });
    }
}
