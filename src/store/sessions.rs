//! Sessions, and the one plain SELECT from which every token is minted.
//! Truth is here; Redis only answers faster.

use crate::{NewCode, Result, TenantRead, TenantTx};
use model::{
    Timestamp, TokenDigest,
    claims::ExtraClaim,
    ids::{AppId, ConnectionId, SessionId, TeamId, UserId},
    revocation::Scope,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{Postgres, postgres::PgArguments, query::QueryAs, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

/// What a sign-in said of itself: when, how, and in which context (OIDC Core 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    pub acr: Option<String>,
    pub amr: Vec<String>,
    #[serde(with = "as_micros")]
    pub auth_time: Timestamp,
}

mod as_micros {
    use model::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.micros())
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp::from_micros)
    }
}

pub struct NewSession<'a> {
    pub id: SessionId,
    pub user: UserId,
    pub connection: ConnectionId,
    pub digest: &'a TokenDigest,
    /// The head of the instant at which nothing forbade it: `AsOf::head`.
    pub rs: i64,
    pub acr: Option<&'a str>,
    pub amr: &'a [String],
    pub auth_time: Timestamp,
    pub expires_at: Timestamp,
    /// What the identity provider calls its own session.
    pub upstream: Option<&'a str>,
}

/// Whose session it is, and by what it came: never whether it lives.
#[derive(Clone, Copy, Debug)]
pub struct SessionOf {
    pub id: SessionId,
    pub user: UserId,
    pub connection: ConnectionId,
}

/// A session as it stands now. It ends when it was said at its birth, or sooner, where the org has
/// shortened since how long its sessions live.
#[derive(Clone, Debug)]
pub struct SessionRow {
    pub id: SessionId,
    pub user: UserId,
    pub connection: ConnectionId,
    pub rs: i64,
    pub acr: Option<String>,
    pub amr: Vec<String>,
    pub auth_time: Timestamp,
    pub created_at: Timestamp,
    pub seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

impl SessionRow {
    /// The latest sign-in of it.
    pub fn sign_in(&self) -> SignIn {
        SignIn { acr: self.acr.clone(), amr: self.amr.clone(), auth_time: self.auth_time }
    }
}

/// Everything a token says, and everything that may forbid it, of one instant.
#[derive(Clone, Debug)]
pub struct MintRow {
    /// The head of the org's revocations at this instant: the token's `rs`.
    pub head: i64,
    /// The newest `terminate` on any named scope, and the newest revocation of either kind.
    pub terminated: i64,
    pub revoked: i64,
    pub active: bool,
    pub connection_enabled: bool,
    /// How long a browser's session may go unused, where the org says.
    pub idle_secs: Option<i32>,
    pub session: SessionRow,
    pub user_name: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub team_ids: Vec<TeamId>,
    pub roles: Vec<String>,
    /// Where they were asked for.
    pub team_slugs: Option<Vec<String>>,
    pub entitlements: Option<Map<String, Value>>,
}

#[derive(sqlx::FromRow)]
struct StoredSession {
    ses_id: Uuid,
    user_id: Uuid,
    con_id: Uuid,
    rs: i64,
    acr: Option<String>,
    amr: Vec<String>,
    auth_time: OffsetDateTime,
    created_at: OffsetDateTime,
    seen_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct StoredMint {
    #[sqlx(flatten)]
    session: StoredSession,
    head: i64,
    terminated: i64,
    revoked: i64,
    active: bool,
    connection_enabled: bool,
    idle_secs: Option<i32>,
    user_name: String,
    email: Option<String>,
    display_name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    team_ids: Vec<Uuid>,
    roles: Vec<String>,
    #[sqlx(default)]
    team_slugs: Option<Vec<String>>,
    #[sqlx(default)]
    plan: Option<Json<Map<String, Value>>>,
}

impl From<StoredSession> for SessionRow {
    fn from(row: StoredSession) -> Self {
        Self {
            id: SessionId::from_uuid(row.ses_id),
            user: UserId::from_uuid(row.user_id),
            connection: ConnectionId::from_uuid(row.con_id),
            rs: row.rs,
            acr: row.acr,
            amr: row.amr,
            auth_time: row.auth_time.into(),
            created_at: row.created_at.into(),
            seen_at: row.seen_at.into(),
            expires_at: row.expires_at.into(),
            ended_at: row.ended_at.map(Timestamp::from),
        }
    }
}

impl From<(Uuid, Uuid, Uuid)> for SessionOf {
    fn from((id, user, connection): (Uuid, Uuid, Uuid)) -> Self {
        Self {
            id: SessionId::from_uuid(id),
            user: UserId::from_uuid(user),
            connection: ConnectionId::from_uuid(connection),
        }
    }
}

impl From<StoredMint> for MintRow {
    fn from(row: StoredMint) -> Self {
        Self {
            head: row.head,
            terminated: row.terminated,
            revoked: row.revoked,
            active: row.active,
            connection_enabled: row.connection_enabled,
            idle_secs: row.idle_secs,
            session: row.session.into(),
            user_name: row.user_name,
            email: row.email,
            display_name: row.display_name,
            given_name: row.given_name,
            family_name: row.family_name,
            team_ids: row.team_ids.into_iter().map(TeamId::from_uuid).collect(),
            roles: row.roles,
            team_slugs: row.team_slugs,
            entitlements: row.plan.map(|Json(plan)| plan),
        }
    }
}

/// The scopes a token of this session names.
pub fn scopes_of(
    session: SessionId,
    user: UserId,
    connection: ConnectionId,
    app: Option<AppId>,
) -> Vec<String> {
    let mut named = vec![
        Scope::Org.to_string(),
        Scope::User(user).to_string(),
        Scope::Session(session).to_string(),
        Scope::Connection(connection).to_string(),
    ];
    named.extend(app.map(|app| Scope::App(app).to_string()));
    named
}

/// The select of `TenantRead::mint_row`, whose first five values `minting` binds.
macro_rules! minted {
    () => {
        "SELECT m.*,
                CASE WHEN $4 THEN ARRAY(SELECT t.slug
                                          FROM teams t
                                         WHERE t.team_id = ANY (m.team_ids)
                                         ORDER BY t.team_id) END AS team_slugs,
                CASE WHEN $5 THEN entitlements() END AS plan
           FROM mint_row($1, $2, $3) m"
    };
}
pub(crate) use minted;

pub(crate) fn minting(
    sql: &'static str,
    session: SessionId,
    (named, absolute_secs, chosen): (&[String], i64, &[ExtraClaim]),
) -> QueryAs<'static, Postgres, StoredMint, PgArguments> {
    sqlx::query_as(sql)
        .bind(session.uuid())
        .bind(named.to_vec())
        .bind(absolute_secs)
        .bind(chosen.contains(&ExtraClaim::TeamSlugs))
        .bind(chosen.contains(&ExtraClaim::Entitlements))
}

impl TenantRead {
    pub async fn session(&mut self, id: SessionId) -> Result<Option<SessionOf>> {
        let row: Option<(Uuid, Uuid, Uuid)> =
            sqlx::query_as("SELECT ses_id, user_id, con_id FROM sessions WHERE ses_id = $1")
                .bind(id.uuid())
                .fetch_optional(self.sql())
                .await?;
        Ok(row.map(SessionOf::from))
    }

    pub async fn session_by_digest(&mut self, digest: &TokenDigest) -> Result<Option<SessionOf>> {
        let row: Option<(Uuid, Uuid, Uuid)> =
            sqlx::query_as("SELECT ses_id, user_id, con_id FROM sessions WHERE digest = $1")
                .bind(digest.bytes().as_slice())
                .fetch_optional(self.sql())
                .await?;
        Ok(row.map(SessionOf::from))
    }

    /// A person's sessions that are neither ended, expired nor revoked. `absolute_secs` is how long a
    /// session lives where the org does not say.
    pub async fn live_sessions(&mut self, user: UserId, absolute_secs: i64) -> Result<Vec<SessionRow>> {
        let now = OffsetDateTime::from(self.now());
        let rows: Vec<StoredSession> = sqlx::query_as(
            "SELECT ses_id, user_id, con_id, rs, acr, amr, auth_time, s.created_at, seen_at, ended_at,
                    session_ends(expires_at, s.created_at, session_absolute_secs, $4) AS expires_at
               FROM sessions s
               JOIN orgs o USING (org_id)
              WHERE user_id = $1
                AND ended_at IS NULL
                AND session_ends(expires_at, s.created_at, session_absolute_secs, $4) > $2
                AND NOT EXISTS (SELECT 1 FROM revocations r
                                 WHERE r.action = 'terminate' AND r.seq > s.rs
                                   AND r.scope = ANY ($3))
              ORDER BY ses_id
              LIMIT 200",
        )
        .bind(user.uuid())
        .bind(now)
        .bind(vec![Scope::Org.to_string(), Scope::User(user).to_string()])
        .bind(absolute_secs)
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(SessionRow::from).collect())
    }

    /// The one plain SELECT that a token is minted from and judged by: no row lock, no VOLATILE
    /// function, so that person and stamp are of the same instant (a second statement under READ
    /// COMMITTED, or one that waited for a lock, could pair the old person with the new stamp).
    /// Take the locks first, in a statement of their own. `absolute_secs` as in `live_sessions`; what is chosen
    /// besides is read in the same statement, and not where it is not.
    pub async fn mint_row(
        &mut self,
        session: SessionId,
        named: &[String],
        absolute_secs: i64,
        chosen: &[ExtraClaim],
    ) -> Result<Option<MintRow>> {
        let row = minting(minted!(), session, (named, absolute_secs, chosen));
        Ok(row.fetch_optional(self.sql()).await?.map(MintRow::from))
    }
}

impl TenantTx {
    /// A session and the code that leads to it, in one statement.
    pub async fn create_session(&mut self, new: &NewSession<'_>, code: &NewCode<'_>) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "WITH opened AS (
                 INSERT INTO sessions (org_id, ses_id, user_id, con_id, digest, rs, acr, amr, auth_time,
                                       created_at, seen_at, expires_at, upstream_sid)
                 VALUES ($1, $2, $3, $4, $5, $11, $6, $7, $8, $9, $9, $10, $19)
             )
             INSERT INTO codes (org_id, digest, ses_id, user_id, app_id, redirect_uri, code_challenge, nonce, scope,
                                rs, expires_at, resource, said)
             VALUES ($1, $12, $2, $3, $13, $14, $15, $16, $17, $11, $18, $20, $21)",
        )
        .bind(org)
        .bind(new.id.uuid())
        .bind(new.user.uuid())
        .bind(new.connection.uuid())
        .bind(new.digest.bytes().as_slice())
        .bind(new.acr)
        .bind(new.amr)
        .bind(OffsetDateTime::from(new.auth_time))
        .bind(now)
        .bind(OffsetDateTime::from(new.expires_at))
        .bind(new.rs)
        .bind(code.digest.bytes().as_slice())
        .bind(code.app.uuid())
        .bind(code.redirect_uri)
        .bind(code.code_challenge)
        .bind(code.nonce)
        .bind(code.scope)
        .bind(OffsetDateTime::from(code.expires_at))
        .bind(new.upstream)
        .bind(code.resource)
        .bind(Json(&code.said))
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// The same session by another handle: its person has signed in anew, and this is what that said. What was
    /// given in it lives on.
    pub async fn raise_session(&mut self, new: &NewSession<'_>) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query(
            "UPDATE sessions
                SET digest = $2, rs = $3, acr = $4, amr = $5, auth_time = $6, created_at = $7, seen_at = $7,
                    expires_at = $8, upstream_sid = $9
              WHERE ses_id = $1",
        )
        .bind(new.id.uuid())
        .bind(new.digest.bytes().as_slice())
        .bind(new.rs)
        .bind(new.acr)
        .bind(new.amr)
        .bind(OffsetDateTime::from(new.auth_time))
        .bind(now)
        .bind(OffsetDateTime::from(new.expires_at))
        .bind(new.upstream)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Notes that the session was used: at most one write a minute, so it ends up to a minute early.
    pub async fn touch_session(&mut self, id: SessionId) -> Result<()> {
        let now = self.now();
        sqlx::query("UPDATE sessions SET seen_at = $2 WHERE ses_id = $1 AND seen_at < $3")
            .bind(id.uuid())
            .bind(OffsetDateTime::from(now))
            .bind(OffsetDateTime::from(now.minus_secs(60)))
            .execute(self.sql())
            .await?;
        Ok(())
    }

    pub async fn end_session(&mut self, id: SessionId) -> Result<bool> {
        let now = OffsetDateTime::from(self.now());
        let ended = sqlx::query("UPDATE sessions SET ended_at = $2 WHERE ses_id = $1 AND ended_at IS NULL")
            .bind(id.uuid())
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(ended.rows_affected() == 1)
    }
}
