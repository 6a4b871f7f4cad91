//! Connections to Postgres, and who is lent one. A socket is driven by the runtime that opened it, and
//! each worker of the HTTP face is a runtime of its own: an answer that arrives at another worker's
//! wakes two threads instead of one. So a connection is lent first to whoever opened it. What comes
//! back in order is free at once, without a word to the server; what does not is put in order before
//! anybody else has it, or closed. Nobody waits for one to be opened while another is idle (docs/adr/0010-own-pool.md).

mod lease;

pub(crate) use lease::Lease;
use lease::Lent;

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
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

/// Idle for so long, a connection is asked whether it is still there.
const ASKED_AFTER: Duration = Duration::from_secs(5);
/// A connection is closed at this age: what a server keeps for it, and where a name leads, go stale.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// And answers within so long, or it is gone.
const ANSWERS: Duration = Duration::from_secs(2);
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
    _place: Place,
    home: Home,
    born: Instant,
    /// Its last use. None: another one broke since, so it may have as well.
    used: Option<Instant>,
}

impl Wire {
    fn is_fresh(&self) -> bool {
        self.used.is_some_and(|used| used.elapsed() < ASKED_AFTER)
    }
}

/// A place among the open connections, until dropped.
struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
    open: Arc<AtomicU32>,
    /// One spare is opened at a time.
    opening: Arc<Semaphore>,
    /// As many permits as connections there may be. Whoever has another runtime's connection has one.
    borrowing: Arc<Semaphore>,
}

/// What was idle.
struct Picked {
    wire: Wire,
    /// Where another runtime drives it.
    borrowed: Option<OwnedSemaphorePermit>,
}

/// Of what is idle, the last used at the end: one's own; else, if others lend theirs, the last used of all.
fn chosen<T>(idle: &[T], is_own: impl Fn(&T) -> bool, lends: bool) -> Option<usize> {
    idle.iter().rposition(is_own).or_else(|| idle.len().checked_sub(1).filter(|_| lends))
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Wire>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection; or the place of one that is to be opened.
    fn pick(&self) -> std::result::Result<Picked, Place> {
        let (mut idle, here) = (self.idle(), home());
        let borrowed = self.borrowing.clone().try_acquire_owned().ok();
        if let Some(at) = chosen(&idle, |wire| wire.home == here, borrowed.is_some()) {
            let wire = idle.remove(at);
            let borrowed = borrowed.filter(|_| wire.home != here);
            return Ok(Picked { wire, borrowed });
        }
        // All that is idle is others', who lend no more: one makes room.
        if self.is_full() {
            drop(idle.pop());
        }
        Err(self.place())
    }

    fn is_full(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.max
    }

    /// Under the lock of `idle`.
    fn place(&self) -> Place {
        self.open.fetch_add(1, Ordering::Relaxed);
        Place(self.open.clone())
    }

    /// Opens one for this runtime, for the next time that it has none idle.
    fn open_spare(self: &Arc<Self>) {
        let (opening, permit) =
            (self.opening.clone().try_acquire_owned(), self.free.clone().try_acquire_owned());
        let (Ok(opening), Ok(permit), Ok(runtime)) = (opening, permit, Handle::try_current()) else { return };
        let place = {
            let _idle = self.idle();
            if self.is_full() {
                return;
            }
            self.place()
        };
        let shared = self.clone();
        runtime.spawn(async move {
            match shared.connect(place).await {
                Ok(wire) if shared.free.is_closed() => drop(wire),
                Ok(wire) => shared.idle().insert(0, wire),
                Err(error) => {
                    tracing::debug!(%error, "a spare connection could not be opened");
                    drop(permit);
                    sleep(SPARE_AGAIN).await;
                }
            }
            drop(opening);
        });
    }

    /// Opens one for this runtime.
    async fn connect(&self, place: Place) -> sqlx::Result<Wire> {
        let sql = timeout(self.patience, self.connect.connect()).await;
        let sql = sql.map_err(|_| sqlx::Error::PoolTimedOut)??;
        let now = Instant::now();
        Ok(Wire { sql, _place: place, home: home(), born: now, used: Some(now) })
    }

    fn give_back(&self, mut wire: Wire) {
        let now = Instant::now();
        if self.free.is_closed() || now.duration_since(wire.born) > AGE_MAX {
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
        self.idle().iter_mut().for_each(|wire| wire.used = None);
    }

    /// One that was asked is gone, and with it whatever would have to be asked as well: asking each in turn would take
    /// its time from one caller.
    fn gone(&self) {
        self.idle().retain(Wire::is_fresh);
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
            open: Arc::default(),
            opening: Arc::new(Semaphore::new(1)),
            borrowing: Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(1))),
        });
        let pool = Self(shared);
        drop(pool.lease().await?);
        Ok(pool)
    }

    /// A connection, when there is one in time.
    pub(crate) async fn lease(&self) -> sqlx::Result<Lease> {
        timeout(self.0.patience, self.find()).await.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    async fn find(&self) -> sqlx::Result<Lease> {
        let place = self.0.free.clone().acquire_owned().await;
        let mut place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        loop {
            let Picked { wire, borrowed } = match self.0.pick() {
                Ok(picked) => picked,
                Err(room) => {
                    let wire = self.0.connect(room).await?;
                    return Ok(Lease::new(Lent { wire, place, borrowed: None }, self.0.clone()));
                }
            };
            if borrowed.is_some() {
                self.0.open_spare();
            }
            let fresh = wire.is_fresh();
            let mut lease = Lease::new(Lent { wire, place, borrowed }, self.0.clone());
            if fresh || lease.answers().await {
                return Ok(lease);
            }
            self.0.gone();
            place = lease.given_up()?;
        }
    }

    /// From now on nobody has a connection that another runtime drives: runtimes end, and take theirs along. Waits for
    /// those that are lent so.
    pub(crate) async fn keep_to_own(&self) {
        let all = timeout(TIDY_UP, self.0.borrowing.acquire_many(self.0.max)).await;
        if all.is_err() {
            tracing::warn!("a connection that another worker opened is lent for long");
        }
        self.0.borrowing.close();
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
        for (idle, lent, kept) in [
            ([].as_slice(), None, None),
            (&['b', 'c'], Some(1), None),
            (&['a', 'b', 'a', 'c'], Some(2), Some(2)),
            (&['a', 'b', 'c'], Some(0), Some(0)),
        ] {
            assert_eq!((chosen(idle, own, true), chosen(idle, own, false)), (lent, kept), "{idle:?}");
        }
    }
}
