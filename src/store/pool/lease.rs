//! A connection while it is lent.

use super::{ANSWERS, Shared, TIDY_UP, Wire};
use crate::{Error, Result};
use sqlx::{
    AssertSqlSafe, Connection, FromRow, PgConnection,
    postgres::{PgDatabaseError, PgRow, PgSeverity},
};
use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};
use tokio::{runtime::Handle, sync::OwnedSemaphorePermit, time::timeout};

/// What must be done before anybody else has the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InOrder,
    /// A statement by itself was sent, and its end is not known.
    Asked,
    /// A transaction may be open.
    Within,
}

/// What is lent, and leave to have it.
pub(super) struct Lent {
    pub(super) wire: Wire,
    pub(super) place: OwnedSemaphorePermit,
    /// Where another runtime drives it.
    pub(super) borrowed: Option<OwnedSemaphorePermit>,
}

/// A connection that is lent. Dropped in any state, it is in order for the next.
pub(crate) struct Lease {
    lent: Option<Lent>,
    shared: Arc<Shared>,
    state: State,
}

impl Lease {
    pub(super) fn new(lent: Lent, shared: Arc<Shared>) -> Self {
        Self { lent: Some(lent), shared, state: State::InOrder }
    }

    /// For one statement by itself, whose result goes to `settle`.
    pub(super) fn ask(&mut self) -> &mut PgConnection {
        self.state = State::Asked;
        self
    }

    /// The statement has its end: an answer, or a no that leaves the connection as it was.
    pub(super) fn settle<T>(mut self, ended: sqlx::Result<T>) -> sqlx::Result<T> {
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

    /// `Error::InDoubt` where nothing says whether it was done: nobody may take it for a no and try again.
    pub(crate) async fn commit(mut self) -> Result<()> {
        match sqlx::raw_sql("COMMIT").execute(&mut *self).await {
            Ok(_) => {
                self.state = State::InOrder;
                Ok(())
            }
            Err(no) if is_only_a_no(&no) => Err(no.into()),
            Err(silence) => Err(Error::InDoubt(silence)),
        }
    }

    /// As dropped, but waited for.
    pub(crate) async fn roll_back(mut self) {
        let state = self.state;
        if let Ok(Ok(())) = timeout(TIDY_UP, put_in_order(&mut self, state)).await {
            self.state = State::InOrder;
        }
    }

    /// Closes the connection; its place remains.
    pub(super) fn given_up(mut self) -> sqlx::Result<OwnedSemaphorePermit> {
        self.lent.take().map(|lent| lent.place).ok_or(sqlx::Error::PoolClosed)
    }

    pub(super) async fn answers(&mut self) -> bool {
        // Time is left for another.
        let patience = ANSWERS.min(self.shared.patience / 2);
        let there = timeout(patience, self.ask().ping()).await;
        self.state = State::InOrder;
        there.is_ok_and(|said| said.is_ok())
    }
}

const LENT: &str = "lent until dropped";

#[expect(clippy::expect_used, reason = "taken by whoever consumes the lease, and by nobody else")]
impl Deref for Lease {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.lent.as_ref().expect(LENT).wire.sql
    }
}
#[expect(clippy::expect_used, reason = "taken by whoever consumes the lease, and by nobody else")]
impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.lent.as_mut().expect(LENT).wire.sql
    }
}

/// Postgres refused, nothing was done, and the connection is as it was. Not where the answer ends the connection, nor
/// where whoever stands between says so: 57P the server goes away, 08 the connection to it is lost (08007 says by name
/// that nobody knows what became of the transaction, as 40003 does).
fn is_only_a_no(error: &sqlx::Error) -> bool {
    let Some(no) = error.as_database_error().and_then(|no| no.try_downcast_ref::<PgDatabaseError>()) else {
        return false;
    };
    let goes_on = matches!(no.severity(), PgSeverity::Error);
    goes_on && no.code() != "40003" && !["57P", "08"].iter().any(|class| no.code().starts_with(class))
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
        let Some(Lent { mut wire, place, borrowed }) = self.lent.take() else { return };
        let (shared, state) = (self.shared.clone(), self.state);
        if state == State::InOrder {
            return shared.give_back(wire);
        }
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            match timeout(TIDY_UP, put_in_order(&mut wire.sql, state)).await {
                Ok(Ok(())) => shared.give_back(wire),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a connection could not be put in order, and is closed");
                    shared.broken();
                }
                Err(_) => shared.broken(),
            }
            drop((borrowed, place));
        });
    }
}
