//! Connections to Postgres, and who is lent one. A socket is driven by the runtime that opened it, and
//! each worker of the HTTP face is a runtime of its own: an answer that arrives at another worker's
//! wakes two threads instead of one. So a connection is lent first to whoever opened it. What comes
//! back in order is free at once, without a word to the server; what does not is put in order before
//! anybody else has it, or closed. Nobody waits for one to be opened while another is idle (docs/adr/0010-own-pool.md).

mod lease;

pub(crate) use lease::Lease;

use futures_core::{future::BoxFuture, stream::BoxStream};
use futures_util::{TryStreamExt, stream};
use sqlx::{
    ConnectOptions, Connection, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    postgres::{PgConnectOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::ThreadId,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Idle for so long, a connection is asked whether it is still there.
const ASKED_AFTER: Duration = Duration::from_secs(5);
/// A connection is closed at this age: what a server keeps for it, and where a name leads, go stale.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// Where a spare could not be opened, the next is tried after so long.
const SPARE_AGAIN: Duration = Duration::from_secs(1);
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
    /// The last used at the end.
    idle: Mutex<Vec<Wire>>,
    /// Idle or lent. Grows under the lock of `idle` alone.
    open: AtomicU32,
    /// One spare is opened at a time.
    opening: Arc<Semaphore>,
}

/// Of what is idle, the last used at the end: one's own; else the last used of all.
fn chosen<T>(idle: &[T], is_own: impl Fn(&T) -> bool) -> Option<usize> {
    idle.iter().rposition(is_own).or_else(|| idle.len().checked_sub(1))
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Wire>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection, and whether it is this runtime's. `None`: open one, its place is taken.
    fn pick(&self) -> Option<(Wire, bool)> {
        let (mut idle, here) = (self.idle(), home());
        let picked = chosen(&idle, |wire| wire.home == here).map(|at| {
            let wire = idle.remove(at);
            let is_own = wire.home == here;
            (wire, is_own)
        });
        if picked.is_none() {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        picked
    }

    /// Opens one for this runtime, for the next time that it has none idle.
    fn open_spare(self: Arc<Self>) {
        let (opening, permit) =
            (self.opening.clone().try_acquire_owned(), self.free.clone().try_acquire_owned());
        let (Ok(opening), Ok(permit), Ok(runtime)) = (opening, permit, Handle::try_current()) else { return };
        {
            let _idle = self.idle();
            if self.open.load(Ordering::Relaxed) >= self.max {
                return;
            }
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        runtime.spawn(async move {
            match self.connect().await {
                Ok(_) if self.free.is_closed() => self.forget(),
                Ok(wire) => self.idle().insert(0, wire),
                Err(error) => {
                    tracing::debug!(%error, "a spare connection could not be opened");
                    drop(permit);
                    sleep(SPARE_AGAIN).await;
                }
            }
            drop(opening);
        });
    }

    /// Opens one, whose place is taken; it is given up again when that fails.
    async fn connect(&self) -> sqlx::Result<Wire> {
        let place = Place(self);
        let sql = timeout(self.patience, self.connect.connect()).await;
        let sql = sql.map_err(|_| sqlx::Error::PoolTimedOut)??;
        std::mem::forget(place);
        let now = Instant::now();
        Ok(Wire { sql, home: home(), born: now, used: Some(now) })
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
        let shared = Arc::new(Shared {
            connect,
            max,
            patience,
            free: Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(1))),
            idle: Mutex::default(),
            open: AtomicU32::new(0),
            opening: Arc::new(Semaphore::new(1)),
        });
        let pool = Self(shared);
        drop(pool.lease().await?);
        Ok(pool)
    }

    /// A connection, when there is one in time.
    pub(crate) async fn lease(&self) -> sqlx::Result<Lease> {
        let late = |_| sqlx::Error::PoolTimedOut;
        let permit = timeout(self.0.patience, self.0.free.clone().acquire_owned()).await.map_err(late)?;
        let mut permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        while let Some((wire, is_own)) = self.0.pick() {
            if !is_own {
                self.0.clone().open_spare();
            }
            let fresh = wire.used.is_some_and(|used| used.elapsed() < ASKED_AFTER);
            let mut lease = Lease::new((wire, permit), self.0.clone());
            if fresh || lease.answers().await {
                return Ok(lease);
            }
            self.0.forget();
            permit = lease.given_up()?;
        }
        let wire = self.0.connect().await?;
        Ok(Lease::new((wire, permit), self.0.clone()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_first_and_of_those_the_last_used() {
        let own = |home: &char| *home == 'a';
        for (idle, at) in [
            ([].as_slice(), None),
            (&['b', 'c'], Some(1)),
            (&['a', 'b', 'a', 'c'], Some(2)),
            (&['a', 'b', 'c'], Some(0)),
        ] {
            assert_eq!(chosen(idle, own), at, "{idle:?}");
        }
    }
}
