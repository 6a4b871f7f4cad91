//! Service accounts: an org's own programs. Their secrets are in the room of all credentials; what a token is
//! minted from and judged by is one statement each, as of one instant (migrations/0035).

use crate::{
    Db, Door, Error, OrgScope, Result, TenantRead, TenantTx, apps::chosen, glance::entering, tx::Kept,
};
use model::{
    SigningAlg, Timestamp, TokenDigest,
    claims::ExtraClaim,
    ids::{KeyId, OrgId, ServiceId},
    org::OrgState,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ServiceAccount {
    /// By which it fetches tokens: their `sub` and `client_id`.
    pub client_id: ServiceId,
    pub name: String,
    pub roles: Vec<String>,
    /// The `aud` of its tokens where it does not ask for another.
    pub audience: Option<String>,
    pub created_at: Timestamp,
}

pub struct NewServiceAccount<'a> {
    pub id: ServiceId,
    pub name: &'a str,
    pub roles: &'a [String],
    pub audience: Option<&'a str>,
}

/// What of an account changes; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct ServiceChange {
    pub name: Option<String>,
    pub roles: Option<Vec<String>>,
    pub audience: Option<Option<String>>,
}

/// What a token of a service account is minted from, as of one instant.
#[derive(Clone, Debug)]
pub struct ServiceGrant {
    pub org: OrgId,
    pub state: OrgState,
    /// The secret that was shown.
    pub key: KeyId,
    pub roles: Vec<String>,
    /// The head of the org's revocations: the token's `rs`.
    pub head: i64,
    /// What the token may be for: the one that was asked for, if it may; otherwise whatever there is, of which
    /// two are told.
    pub audiences: Vec<String>,
    /// What the app there has chosen to have in its tokens.
    pub claims: Vec<ExtraClaim>,
    /// By which the app there has its tokens signed.
    pub alg: SigningAlg,
    /// The org's entitlements, where they are chosen.
    pub entitlements: Option<Map<String, Value>>,
}

/// What a token of a service account is judged by.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ServiceRow {
    pub name: String,
    /// The newest revocation of either kind on any named scope.
    pub revoked: i64,
}

#[derive(sqlx::FromRow)]
struct StoredGrant {
    org_id: Uuid,
    state: String,
    key_id: Uuid,
    roles: Vec<String>,
    head: i64,
    audiences: Vec<String>,
    claims: Vec<String>,
    plan: Option<Json<Map<String, Value>>>,
    alg: Option<String>,
}

#[derive(sqlx::FromRow)]
struct StoredAccount {
    svc_id: Uuid,
    name: String,
    roles: Vec<String>,
    audience: Option<String>,
    created_at: OffsetDateTime,
}

impl From<StoredAccount> for ServiceAccount {
    fn from(row: StoredAccount) -> Self {
        Self {
            client_id: ServiceId::from_uuid(row.svc_id),
            name: row.name,
            roles: row.roles,
            audience: row.audience,
            created_at: row.created_at.into(),
        }
    }
}

impl Db {
    /// Whoever shows a good secret of this account gets what its token says. No scope is opened: nothing
    /// else can be read by it. None for a secret that is unknown, revoked, expired or another's.
    pub async fn service_grant(
        &self,
        id: ServiceId,
        secret: &TokenDigest,
        resource: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<ServiceGrant>> {
        let row: Option<StoredGrant> = sqlx::query_as("SELECT * FROM glance_service_grant($1, $2, $3, $4)")
            .bind(secret.bytes().as_slice())
            .bind(id.uuid())
            .bind(resource)
            .bind(OffsetDateTime::from(now))
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            Ok(ServiceGrant {
                org: OrgId::from_uuid(row.org_id),
                state: OrgState::parse(&row.state).ok_or(Error::Corrupt("org state"))?,
                key: KeyId::from_uuid(row.key_id),
                roles: row.roles,
                head: row.head,
                audiences: row.audiences,
                claims: chosen(&row.claims)?,
                alg: row.alg.as_deref().and_then(SigningAlg::parse).unwrap_or(SigningAlg::Es256),
                entitlements: row.plan.map(|Json(plan)| plan),
            })
        })
        .transpose()
    }

    /// The account and its newest revocation, of one instant.
    pub async fn service_row<D: Door>(
        &self,
        scope: &OrgScope<D>,
        id: ServiceId,
        named: &[String],
    ) -> Result<Option<ServiceRow>> {
        let _turn = self.turn(scope, Kept::Nothing).await?;
        let glance = sqlx::query_as("SELECT * FROM glance_service_row($1, $2, $3, $4, $5)");
        Ok(entering(glance, scope).bind(id.uuid()).bind(named.to_vec()).fetch_optional(&self.pool).await?)
    }
}

impl TenantRead {
    /// In the order of their birth.
    pub async fn service_accounts(
        &mut self,
        after: Option<ServiceId>,
        limit: i64,
    ) -> Result<Vec<ServiceAccount>> {
        let rows: Vec<StoredAccount> = sqlx::query_as(
            "SELECT svc_id, name, roles, audience, created_at
               FROM service_accounts
              WHERE $1::uuid IS NULL OR svc_id > $1
              ORDER BY svc_id
              LIMIT $2",
        )
        .bind(after.map(|id| id.uuid()))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(ServiceAccount::from).collect())
    }

    pub async fn service_account(&mut self, id: ServiceId) -> Result<Option<ServiceAccount>> {
        let row: Option<StoredAccount> = sqlx::query_as(
            "SELECT svc_id, name, roles, audience, created_at FROM service_accounts WHERE svc_id = $1",
        )
        .bind(id.uuid())
        .fetch_optional(self.sql())
        .await?;
        Ok(row.map(ServiceAccount::from))
    }

    /// What is chosen to stand in the tokens of this audience; none where no app that serves the org has it.
    pub async fn audience(&mut self, audience: &str) -> Result<Option<Vec<ExtraClaim>>> {
        let org = self.org().uuid();
        let (known, claims): (bool, Vec<String>) =
            sqlx::query_as("SELECT cardinality(audiences_of($1, $2)) = 1, claims_of($1, ARRAY[$2])")
                .bind(org)
                .bind(audience)
                .fetch_one(self.sql())
                .await?;
        known.then(|| chosen(&claims)).transpose()
    }
}

impl TenantTx {
    /// How many there are, until the commit: whoever makes one asks after the other.
    pub async fn count_service_accounts(&mut self) -> Result<i64> {
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended('service accounts ' || current_org()::text, 0))",
        )
        .execute(self.sql())
        .await?;
        Ok(sqlx::query_scalar("SELECT count(*) FROM service_accounts").fetch_one(self.sql()).await?)
    }

    pub async fn create_service_account(&mut self, new: &NewServiceAccount<'_>) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "INSERT INTO service_accounts (org_id, svc_id, name, roles, audience, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(org)
        .bind(new.id.uuid())
        .bind(new.name)
        .bind(new.roles)
        .bind(new.audience)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// The account, held until the commit: changes of one happen one after another.
    pub async fn lock_service_account(&mut self, id: ServiceId) -> Result<Option<ServiceAccount>> {
        let row: Option<StoredAccount> = sqlx::query_as(
            "SELECT svc_id, name, roles, audience, created_at
               FROM service_accounts
              WHERE svc_id = $1
                FOR UPDATE",
        )
        .bind(id.uuid())
        .fetch_optional(self.sql())
        .await?;
        Ok(row.map(ServiceAccount::from))
    }

    pub async fn change_service_account(&mut self, id: ServiceId, change: &ServiceChange) -> Result<()> {
        sqlx::query(
            "UPDATE service_accounts
                SET name = COALESCE($2, name),
                    roles = COALESCE($3, roles),
                    audience = CASE WHEN $4 THEN $5 ELSE audience END
              WHERE svc_id = $1",
        )
        .bind(id.uuid())
        .bind(&change.name)
        .bind(&change.roles)
        .bind(change.audience.is_some())
        .bind(change.audience.clone().flatten())
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// With its secrets.
    pub async fn remove_service_account(&mut self, id: ServiceId) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query(
            "WITH ended AS (
                 UPDATE credentials
                    SET revoked_at = $2
                  WHERE holder_id = $1 AND kind = 'service_secret' AND revoked_at IS NULL
             )
             DELETE FROM service_accounts WHERE svc_id = $1",
        )
        .bind(id.uuid())
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }
}
