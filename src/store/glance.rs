//! What is read by one statement alone: it enters the org within the statement (migrations/0019), in one
//! trip where a transaction takes three. The same role, the same policies.

use crate::{
    Connection, ConnectionState, Db, Door, MintRow, OrgScope, Result, connections::StoredWay,
    record::optional, scope::Reach, sessions::StoredMint, tx::Kept,
};
use model::ids::{ConnectionId, SessionId};
use sqlx::{Postgres, postgres::PgArguments, query::QueryAs};
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

impl Db {
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
