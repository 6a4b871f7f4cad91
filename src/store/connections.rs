//! Connections: how one org's people sign in. The configuration is the judge's own type, kept as
//! JSON; the client secret stands beside it, sealed.

use crate::{Error, Result, Room, TenantRead, TenantTx, counted};
use model::{Secret, Timestamp, ids::ConnectionId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use token::seal::SealKeys;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionKind {
    Saml,
    Oidc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    Draft,
    Enabled,
    Disabled,
}

impl ConnectionKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Saml => "saml",
            Self::Oidc => "oidc",
        }
    }
}
impl ConnectionState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Connection {
    pub id: ConnectionId,
    pub kind: ConnectionKind,
    pub name: String,
    pub state: ConnectionState,
    pub config: Value,
    pub created_at: Timestamp,
    sealed_secret: Option<Vec<u8>>,
}

pub struct NewConnection<'a> {
    pub id: ConnectionId,
    pub kind: ConnectionKind,
    pub name: &'a str,
    pub config: &'a Value,
    pub secret: Option<&'a Secret<String>>,
}

impl Connection {
    /// The OIDC client secret, opened.
    pub fn secret(&self, seals: &SealKeys) -> Result<Option<Secret<String>>> {
        self.sealed_secret
            .as_ref()
            .map(|blob| {
                let plain = seals
                    .open("connection.secret", self.id.uuid().as_bytes(), blob)
                    .map_err(|_| Error::Corrupt("connection secret"))?;
                String::from_utf8(plain.reveal().clone())
                    .map(Secret::new)
                    .map_err(|_| Error::Corrupt("connection secret"))
            })
            .transpose()
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct StoredConnection {
    con_id: Uuid,
    kind: String,
    name: String,
    state: String,
    config: Value,
    secret: Option<Vec<u8>>,
    created_at: OffsetDateTime,
}

#[derive(sqlx::FromRow)]
pub(crate) struct StoredWay {
    #[sqlx(flatten)]
    pub(crate) connection: StoredConnection,
    pub(crate) head: i64,
}

impl StoredConnection {
    pub(crate) fn connection(self) -> Result<Connection> {
        let kind = [ConnectionKind::Saml, ConnectionKind::Oidc].into_iter().find(|k| k.as_str() == self.kind);
        let state = [ConnectionState::Draft, ConnectionState::Enabled, ConnectionState::Disabled]
            .into_iter()
            .find(|s| s.as_str() == self.state);
        Ok(Connection {
            id: ConnectionId::from_uuid(self.con_id),
            kind: kind.ok_or(Error::Corrupt("connection kind"))?,
            name: self.name,
            state: state.ok_or(Error::Corrupt("connection state"))?,
            config: self.config,
            created_at: self.created_at.into(),
            sealed_secret: self.secret,
        })
    }
}

impl TenantRead {
    pub async fn connection(&mut self, id: ConnectionId) -> Result<Option<Connection>> {
        let row: Option<StoredConnection> = sqlx::query_as(
            "SELECT con_id, kind, name, state, config, secret, created_at
               FROM connections
              WHERE con_id = $1",
        )
        .bind(id.uuid())
        .fetch_optional(self.sql())
        .await?;
        row.map(StoredConnection::connection).transpose()
    }

    /// The org's connections, oldest first.
    pub async fn connections(&mut self) -> Result<Vec<Connection>> {
        let rows: Vec<StoredConnection> = sqlx::query_as(
            "SELECT con_id, kind, name, state, config, secret, created_at
               FROM connections
              ORDER BY con_id
              LIMIT 200",
        )
        .fetch_all(self.sql())
        .await?;
        rows.into_iter().map(StoredConnection::connection).collect()
    }
}

impl TenantTx {
    /// The connection, locked: changing it, enabling and disabling it happen one after another. Signing
    /// in by it waits for none of them.
    pub async fn lock_connection(&mut self, id: ConnectionId) -> Result<Option<Connection>> {
        let row: Option<StoredConnection> = sqlx::query_as(
            "SELECT con_id, kind, name, state, config, secret, created_at
               FROM connections
              WHERE con_id = $1
                FOR NO KEY UPDATE",
        )
        .bind(id.uuid())
        .fetch_optional(self.sql())
        .await?;
        row.map(StoredConnection::connection).transpose()
    }

    pub async fn create_connection(
        &mut self,
        _room: Room<counted::Connections>,
        new: &NewConnection<'_>,
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let (seals, chance) = (self.seals(), self.chance());
        let bound = new.id.uuid();
        let sealed = new
            .secret
            .map(|s| {
                seals.seal("connection.secret", bound.as_bytes(), s.reveal().as_bytes(), chance.as_ref())
            })
            .transpose()
            .map_err(Error::from)?;
        sqlx::query(
            "INSERT INTO connections (org_id, con_id, kind, name, state, config, secret, created_at, changed_at)
             VALUES ($1, $2, $3, $4, 'draft', $5, $6, $7, $7)",
        )
        .bind(org)
        .bind(new.id.uuid())
        .bind(new.kind.as_str())
        .bind(new.name)
        .bind(new.config)
        .bind(sealed)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    pub async fn set_connection_state(&mut self, id: ConnectionId, state: ConnectionState) -> Result<bool> {
        let now = OffsetDateTime::from(self.now());
        let changed = sqlx::query("UPDATE connections SET state = $2, changed_at = $3 WHERE con_id = $1")
            .bind(id.uuid())
            .bind(state.as_str())
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(changed.rows_affected() == 1)
    }

    pub async fn change_connection(&mut self, id: ConnectionId, name: &str, config: &Value) -> Result<bool> {
        let now = OffsetDateTime::from(self.now());
        let changed =
            sqlx::query("UPDATE connections SET name = $2, config = $3, changed_at = $4 WHERE con_id = $1")
                .bind(id.uuid())
                .bind(name)
                .bind(config)
                .bind(now)
                .execute(self.sql())
                .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Replaces the OIDC client secret.
    pub async fn set_connection_secret(&mut self, id: ConnectionId, secret: &Secret<String>) -> Result<bool> {
        let (seals, chance) = (self.seals(), self.chance());
        let sealed = seals.seal(
            "connection.secret",
            id.uuid().as_bytes(),
            secret.reveal().as_bytes(),
            chance.as_ref(),
        )?;
        let changed = sqlx::query("UPDATE connections SET secret = $2 WHERE con_id = $1")
            .bind(id.uuid())
            .bind(sealed)
            .execute(self.sql())
            .await?;
        Ok(changed.rows_affected() == 1)
    }

    pub async fn remove_connection(&mut self, id: ConnectionId) -> Result<bool> {
        let gone = sqlx::query("DELETE FROM connections WHERE con_id = $1")
            .bind(id.uuid())
            .execute(self.sql())
            .await?;
        Ok(gone.rows_affected() == 1)
    }
}
