//! Orgs and their hosts. The routing row follows by trigger.

use crate::{Error, Result, Room, TenantRead, TenantTx, counted};
use model::{Timestamp, ids::OrgId, org::OrgState};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Org {
    pub id: OrgId,
    pub slug: String,
    pub name: String,
    pub state: OrgState,
    pub plan: String,
    pub region: String,
    /// May a directory's create take over the seat a sign-in made?
    pub scim_adopts: bool,
    /// `null`: as the installation is set.
    pub session_idle_secs: Option<i32>,
    /// `null`: as the installation is set.
    pub session_absolute_secs: Option<i32>,
    pub created_at: Timestamp,
    /// It can be restored for 30 days from then on.
    pub deleted_at: Option<Timestamp>,
}

pub struct NewOrg<'a> {
    pub slug: &'a str,
    pub name: &'a str,
    pub plan: &'a str,
    pub region: &'a str,
}

/// What an administrator may change; `None` leaves it.
#[derive(Default, Debug)]
pub struct OrgChange {
    pub name: Option<String>,
    pub state: Option<OrgState>,
    pub scim_adopts: Option<bool>,
    pub session_idle_secs: Option<i32>,
    pub session_absolute_secs: Option<i32>,
}

#[derive(sqlx::FromRow)]
struct StoredOrg {
    org_id: Uuid,
    slug: String,
    name: String,
    state: String,
    plan: String,
    region: String,
    scim_adopts: bool,
    session_idle_secs: Option<i32>,
    session_absolute_secs: Option<i32>,
    created_at: OffsetDateTime,
    deleted_at: Option<OffsetDateTime>,
}

impl TenantRead {
    /// The org this transaction is of.
    pub async fn own_org(&mut self) -> Result<Org> {
        let row: StoredOrg = sqlx::query_as(
            "SELECT org_id, slug, name, state, plan, region, scim_adopts, session_idle_secs,
                    session_absolute_secs, created_at, deleted_at
               FROM orgs",
        )
        .fetch_one(self.sql())
        .await?;
        Ok(Org {
            id: OrgId::from_uuid(row.org_id),
            slug: row.slug,
            name: row.name,
            state: OrgState::parse(&row.state).ok_or(Error::Corrupt("org state"))?,
            plan: row.plan,
            region: row.region,
            scim_adopts: row.scim_adopts,
            session_idle_secs: row.session_idle_secs,
            session_absolute_secs: row.session_absolute_secs,
            created_at: row.created_at.into(),
            deleted_at: row.deleted_at.map(Timestamp::from),
        })
    }

    pub async fn hosts(&mut self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar("SELECT host FROM org_hosts ORDER BY host").fetch_all(self.sql()).await?)
    }
}

impl TenantTx {
    /// Founds the org of this scope, with the head of its revocation sequence.
    pub async fn found_org(&mut self, new: &NewOrg<'_>) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "INSERT INTO orgs (org_id, slug, name, state, plan, region, created_at)
             VALUES ($1, $2, $3, 'active', $4, $5, $6)",
        )
        .bind(org)
        .bind(new.slug)
        .bind(new.name)
        .bind(new.plan)
        .bind(new.region)
        .bind(now)
        .execute(self.sql())
        .await?;
        sqlx::query("INSERT INTO revocation_heads (org_id, head) VALUES ($1, 0)")
            .bind(org)
            .execute(self.sql())
            .await?;
        self.join_sweep().await
    }

    pub async fn change_org(&mut self, change: &OrgChange) -> Result<()> {
        if change.state.is_some() {
            let org = self.org().uuid();
            self.shut_door(org).await?;
        }
        let now = OffsetDateTime::from(self.now());
        sqlx::query(
            "UPDATE orgs
                SET name = COALESCE($1, name),
                    state = COALESCE($2, state),
                    scim_adopts = COALESCE($3, scim_adopts),
                    session_idle_secs = COALESCE($4, session_idle_secs),
                    session_absolute_secs = COALESCE($5, session_absolute_secs),
                    deleted_at = CASE WHEN $2 = 'deleted' THEN $6 WHEN $2 IS NULL THEN deleted_at END",
        )
        .bind(&change.name)
        .bind(change.state.map(OrgState::as_str))
        .bind(change.scim_adopts)
        .bind(change.session_idle_secs)
        .bind(change.session_absolute_secs)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    pub async fn add_host(&mut self, _room: Room<counted::Hosts>, host: &str) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query("INSERT INTO org_hosts (org_id, host, created_at) VALUES ($1, $2, $3)")
            .bind(org)
            .bind(host)
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(())
    }

    pub async fn remove_host(&mut self, host: &str) -> Result<bool> {
        let gone =
            sqlx::query("DELETE FROM org_hosts WHERE host = $1").bind(host).execute(self.sql()).await?;
        Ok(gone.rows_affected() == 1)
    }
}
