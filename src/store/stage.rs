//! Where a bulk dry run is done: on one transaction, its stage, on which each operation sees what those before it did,
//! as the real ones would. Each has a savepoint: what it would have committed stays for the next, anything else is
//! rolled back before the next begins. Nothing is ever committed: nobody gets the connection out of its stage, and a
//! scope that has one is a rehearsal's. Meanwhile others stand behind its locks, so its time is bounded.

use crate::{
    Db, Error, OrgScope, Result, ScimClient,
    pool::Lease,
    turns::Turn,
    tx::{Entered, admitted},
};
use sqlx::PgConnection;
use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout_at},
};

/// So long operations begin, and one that is under way goes on: behind its locks (people, the org's revocations, the
/// credential's door) others wait two seconds (`LOCK_TIMEOUT`).
const LASTS: Duration = Duration::from_millis(475);
/// Of one that is under way by then. Longer than `LASTS`: what takes too long is told so, by `in_time`, before Postgres
/// ends it. The two together are less than Postgres's `deadlock_timeout`.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(500);
/// Whoever rehearses stands back for whoever does: less than Postgres's `deadlock_timeout`, so that of two who wait for
/// each other it is the rehearsal that gives up. It holds what an act locks last of all while the next takes what an
/// act locks first.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// What is counted at the commit is counted at the end of each operation: the next asks for it.
const KEEP: &str = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; RELEASE SAVEPOINT operation; \
                    SAVEPOINT operation";
const BEGIN: &str = "SAVEPOINT operation";
/// As an operation begins, whatever became of the one before: it fails where there is no stage any more.
const ENTER: &str = "ROLLBACK TO SAVEPOINT operation";
const ENTER_TO_READ: &str = "ROLLBACK TO SAVEPOINT operation; SET LOCAL transaction_read_only = on";

/// A bulk dry run, until dropped: then all of it is rolled back.
pub struct Rehearsal {
    scope: OrgScope<ScimClient>,
    /// Alone in lasting: scopes only know of it.
    floor: Arc<Mutex<Floor>>,
    ends: Instant,
    turn: Turn,
}

struct Floor {
    lease: Lease,
    has_unbounded_seats: bool,
}

/// By what the scope of a rehearsal finds its stage, as long as there is one.
#[derive(Clone, Debug)]
pub struct Stage(Weak<Mutex<Floor>>);

/// The stage, for one transaction of a story; dropped unrehearsed, what it did is rolled back before the next.
pub(crate) struct Savepoint(OwnedMutexGuard<Floor>);

/// What a transaction of a story runs in.
pub(crate) enum Within {
    Own(Lease),
    Stage(Savepoint),
}

impl Db {
    /// Opens a stage for a directory whose request is only to be tried. It is had by a credential that is good now and
    /// until the end: whoever revokes it waits. An org has one at a time on a node. Errors as those of `write`.
    pub async fn rehearsal(&self, scope: &OrgScope<ScimClient>, operations: u32) -> Result<Rehearsal> {
        let turn = self.turn_to_rehearse(scope, operations).await?;
        let bounds = format!(
            "BEGIN; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}",
            STATEMENT_TIMEOUT.as_millis(),
            LOCK_WAIT.as_millis()
        );
        let (mut lease, entered) = self.enter::<Entered>(scope.entering(&bounds, scope.door().key)).await?;
        let entered = entered.ok_or(Error::CredentialGone)?;
        admitted::<ScimClient>(entered.state.as_deref())?;
        sqlx::raw_sql(BEGIN).execute(&mut *lease).await?;
        let ends = Instant::now() + LASTS;
        let floor = Floor { lease, has_unbounded_seats: entered.has_unbounded_seats };
        let floor = Arc::new(Mutex::new(floor));
        let scope = scope.clone().on(Stage(Arc::downgrade(&floor)));
        Ok(Rehearsal { scope, floor, ends, turn })
    }
}

impl Rehearsal {
    /// What is done by it is done on the stage.
    pub const fn scope(&self) -> &OrgScope<ScimClient> {
        &self.scope
    }

    /// What becomes of an operation that ends in time; none: the stage's time is over, and this one's too.
    pub async fn in_time<T>(&self, operation: impl Future<Output = T>) -> Option<T> {
        if Instant::now() >= self.ends {
            return None;
        }
        timeout_at(self.ends, operation).await.ok()
    }

    /// Rolls all of it back; only then is it the next one's turn, which would wait for these locks.
    pub async fn end(self) {
        let Self { floor, turn, .. } = self;
        if let Some(floor) = Arc::into_inner(floor) {
            floor.into_inner().lease.roll_back().await;
        }
        drop(turn);
    }
}

impl Stage {
    /// One transaction has it at a time: a story that asks for two would wait for itself.
    async fn enter(&self, how: &'static str) -> Result<Savepoint> {
        let floor = self.0.upgrade().ok_or(Error::Stage("the rehearsal is over"))?;
        let floor = floor.try_lock_owned().map_err(|_| Error::Stage("a transaction of it is open"))?;
        let mut savepoint = Savepoint(floor);
        sqlx::raw_sql(how).execute(&mut *savepoint).await?;
        Ok(savepoint)
    }

    pub(crate) async fn read(&self) -> Result<Within> {
        self.enter(ENTER_TO_READ).await.map(Within::Stage)
    }

    /// With what was known once the credential's door was held: does the org's plan bound no seats?
    pub(crate) async fn write(&self) -> Result<(Within, bool)> {
        let savepoint = self.enter(ENTER).await?;
        let has_unbounded_seats = savepoint.0.has_unbounded_seats;
        Ok((Within::Stage(savepoint), has_unbounded_seats))
    }
}

impl Within {
    /// Of a rehearsal: on a stage what was done stays for what comes next, elsewhere nothing does.
    pub(crate) async fn rehearsed(self) -> Result<()> {
        match self {
            Self::Own(lease) => drop(lease),
            Self::Stage(mut savepoint) => {
                sqlx::raw_sql(KEEP).execute(&mut *savepoint).await?;
            }
        }
        Ok(())
    }

    /// To be committed: never what is on a stage.
    pub(crate) fn own(self) -> Result<Lease> {
        match self {
            Self::Own(lease) => Ok(lease),
            Self::Stage(_) => Err(Error::Stage("nothing of a rehearsal is kept")),
        }
    }
}

impl Deref for Savepoint {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.0.lease
    }
}
impl DerefMut for Savepoint {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0.lease
    }
}
impl Deref for Within {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        match self {
            Self::Own(lease) => lease,
            Self::Stage(savepoint) => savepoint,
        }
    }
}
impl DerefMut for Within {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Own(lease) => lease,
            Self::Stage(savepoint) => savepoint,
        }
    }
}
