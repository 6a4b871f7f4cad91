//! What is read by one statement alone: it enters the org within the statement (migrations/0019), in one
//! trip where a transaction takes three. The same role, the same policies.

use crate::{
    Connection, ConnectionState, Db, Door, MintRow, OrgScope, Result, ScimClient, TenantRead, User,
    connections::StoredWay,
    record::optional,
    scope::Reach,
    sessions::StoredMint,
    turns::Turn,
    tx::{Kept, admitted},
    users::StoredUser,
};
use model::ids::{ConnectionId, SessionId};
use sqlx::{
    FromRow, Postgres, Row,
    postgres::{PgArguments, PgRow},
    query::QueryAs,
};
use uuid::Uuid;

/// Ways into one org that are offered.
const WAYS_MAX: i32 = 200;

pub(crate) type Glance<T> = QueryAs<'static, Postgres, T, PgArguments>;

/// The first three parameters of every glance: which org, and how much of it.
pub(crate) fn entering<D: Door, T>(glance: Glance<T>, scope: &OrgScope<D>) -> Glance<T> {
    let (reach, seat): (&str, Option<Uuid>) = match scope.door().reach() {
        Reach::Org => ("org", None),
        Reach::Seat(user) => ("seat", Some(user.uuid())),
    };
    glance.bind(scope.org().uuid()).bind(reach).bind(seat)
}

/// The state of the org, while the credential is good, and who has the name.
struct Named {
    state: Option<String>,
    user: Option<StoredUser>,
}

impl FromRow<'_, PgRow> for Named {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let is_there = row.try_get::<Option<Uuid>, _>("user_id")?.is_some();
        let user = is_there.then(|| StoredUser::from_row(row)).transpose()?;
        Ok(Self { state: row.try_get("state")?, user })
    }
}

/// The turn that a glance was had in: what else is read of what it found waits for no other.
pub struct ReadOn<'a> {
    db: &'a Db,
    scope: &'a OrgScope<ScimClient>,
    turn: Option<Turn>,
}

impl ReadOn<'_> {
    /// Errors as those of `Db::read`.
    pub async fn read(self, name: &'static str) -> Result<TenantRead> {
        self.db.read_in(self.turn, self.scope, name).await
    }
}

impl Db {
    /// Who has this user name, in the form that it is compared in, and how to read on about them. By a credential
    /// that is good now: errors as those of `read`.
    pub async fn user_named<'a>(
        &'a self,
        scope: &'a OrgScope<ScimClient>,
        name: &str,
    ) -> Result<Option<(User, ReadOn<'a>)>> {
        let turn = self.turn(scope, Kept::Nothing).await?;
        let glance = sqlx::query_as("SELECT * FROM glance_named($1, $2, $3, $4, $5)");
        let Named { state, user } = entering(glance, scope)
            .bind(scope.door().key.uuid())
            .bind(name.to_owned())
            .fetch_one(&self.pool)
            .await?;
        admitted::<ScimClient>(state.as_deref())?;
        Ok(user.map(|user| (user.into(), ReadOn { db: self, scope, turn })))
    }

    /// What a token of this session is judged by, of one instant: see `TenantRead::mint_row`.
    pub async fn mint_row<D: Door>(
        &self,
        scope: &OrgScope<D>,
        session: SessionId,
        named: &[String],
        absolute_secs: i64,
    ) -> Result<Option<MintRow>> {
        let _turn = self.turn(scope, Kept::Nothing).await?;
        let glance = sqlx::query_as("SELECT * FROM glance_mint_row($1, $2, $3, $4, $5, $6)");
        let row: Option<StoredMint> = entering(glance, scope)
            .bind(session.uuid())
            .bind(named.to_vec())
            .bind(absolute_secs)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(MintRow::from))
    }

    /// The enabled connections, oldest first, or the one that is named, with the org's revocation head of
    /// that same instant: a connection disabled later is above it.
    pub async fn ways_in<D: Door>(
        &self,
        scope: &OrgScope<D>,
        named: Option<ConnectionId>,
    ) -> Result<(Vec<Connection>, i64)> {
        let rows = self.glance_ways(scope, named).await?;
        let head = rows.first().map_or(0, |row| row.head);
        let ways: Result<Vec<Connection>> = rows.into_iter().map(|row| row.connection.connection()).collect();
        let mut ways = ways?;
        ways.retain(|way| way.state == ConnectionState::Enabled);
        Ok((ways, head))
    }

    /// This connection as it is now, whatever its state.
    pub async fn connection<D: Door>(
        &self,
        scope: &OrgScope<D>,
        id: ConnectionId,
    ) -> Result<Option<Connection>> {
        self.glance_ways(scope, Some(id)).await?.pop().map(|row| row.connection.connection()).transpose()
    }

    async fn glance_ways<D: Door>(
        &self,
        scope: &OrgScope<D>,
        named: Option<ConnectionId>,
    ) -> Result<Vec<StoredWay>> {
        let _turn = self.turn(scope, Kept::Nothing).await?;
        let glance = sqlx::query_as("SELECT * FROM glance_ways_in($1, $2, $3, $4, $5)");
        Ok(entering(glance, scope).bind(optional(named)).bind(WAYS_MAX).fetch_all(&self.pool).await?)
    }
}
