//! The catalogue of plans: the platform's own, so outside the enclosure. An org names its plan; a name that
//! is not here has no quotas.

use crate::{Db, Error, Operator, PlatformAct, Result, TenantRead, TenantTx, platform_record::note};
use model::{Timestamp, quota::Quota};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use time::OffsetDateTime;

/// What an org may have of each kind; `null`: the plan does not bound it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::FromRow)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Quotas {
    /// People who may sign in.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub seats: Option<i64>,
    #[schemars(range(min = 0, max = 200))]
    pub connections: Option<i64>,
    #[schemars(range(min = 0, max = 200))]
    pub directories: Option<i64>,
    #[schemars(range(min = 0, max = 200))]
    pub domains: Option<i64>,
    #[schemars(range(min = 0, max = 200))]
    pub hosts: Option<i64>,
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub teams: Option<i64>,
    #[schemars(range(min = 0, max = 200))]
    pub webhooks: Option<i64>,
    /// The org's own keys, until they are revoked.
    #[schemars(range(min = 0, max = 200))]
    pub keys: Option<i64>,
}

impl Quotas {
    pub const fn of(&self, quota: Quota) -> Option<i64> {
        match quota {
            Quota::Seats => self.seats,
            Quota::Connections => self.connections,
            Quota::Directories => self.directories,
            Quota::Domains => self.domains,
            Quota::Hosts => self.hosts,
            Quota::Teams => self.teams,
            Quota::Webhooks => self.webhooks,
            Quota::Keys => self.keys,
        }
    }
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Plan {
    pub name: String,
    pub quotas: Quotas,
    pub changed_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct StoredPlan {
    name: String,
    #[sqlx(flatten)]
    quotas: Quotas,
    changed_at: OffsetDateTime,
}

impl From<StoredPlan> for Plan {
    fn from(row: StoredPlan) -> Self {
        Self { name: row.name, quotas: row.quotas, changed_at: row.changed_at.into() }
    }
}

/// Plans that there may be.
pub const PLANS_MAX: i64 = 200;

/// What became of a plan that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanEnd {
    Removed,
    Unknown,
    /// So many orgs have it.
    InUse(i64),
}

macro_rules! select_plan {
    ($rest:literal) => {
        concat!(
            "SELECT name, seats, connections, directories, domains, hosts, teams, webhooks, keys, changed_at
               FROM plans ",
            $rest
        )
    };
}

/// Plans are set and removed one after another.
async fn alone(sql: &mut PgConnection) -> Result<()> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('plans', 0))").execute(sql).await?;
    Ok(())
}

impl Db {
    /// All plans, by name.
    pub async fn plans(&self, _by: Operator) -> Result<Vec<Plan>> {
        let rows: Vec<StoredPlan> = sqlx::query_as(select_plan!("ORDER BY name LIMIT $1"))
            .bind(PLANS_MAX)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(Plan::from).collect())
    }

    pub async fn plan(&self, _by: Operator, name: &str) -> Result<Option<Plan>> {
        let row: Option<StoredPlan> =
            sqlx::query_as(select_plan!("WHERE name = $1")).bind(name).fetch_optional(&self.pool).await?;
        Ok(row.map(Plan::from))
    }

    /// Makes a plan or sets its quotas anew; its orgs are held to them from the commit on. False when it would
    /// be one too many.
    pub async fn set_plan(&self, act: PlatformAct<'_>, name: &str, quotas: &Quotas) -> Result<bool> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        alone(&mut tx).await?;
        sqlx::query(
            "INSERT INTO plans (name, seats, connections, directories, domains, hosts, teams, webhooks, keys,
                                changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (name) DO UPDATE
                SET seats = EXCLUDED.seats, connections = EXCLUDED.connections,
                    directories = EXCLUDED.directories, domains = EXCLUDED.domains, hosts = EXCLUDED.hosts,
                    teams = EXCLUDED.teams, webhooks = EXCLUDED.webhooks, keys = EXCLUDED.keys,
                    changed_at = EXCLUDED.changed_at",
        )
        .bind(name)
        .bind(quotas.seats)
        .bind(quotas.connections)
        .bind(quotas.directories)
        .bind(quotas.domains)
        .bind(quotas.hosts)
        .bind(quotas.teams)
        .bind(quotas.webhooks)
        .bind(quotas.keys)
        .bind(OffsetDateTime::from(act.at))
        .execute(&mut *tx)
        .await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM plans").fetch_one(&mut *tx).await?;
        if count > PLANS_MAX {
            return Ok(false);
        }
        note(&mut tx, self.chance.as_ref(), act, "plan.set", name).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes a plan that no org has. Whoever gives it to an org meanwhile is waited for.
    pub async fn remove_plan(&self, act: PlatformAct<'_>, name: &str) -> Result<PlanEnd> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        alone(&mut tx).await?;
        let gone = sqlx::query("DELETE FROM plans WHERE name = $1").bind(name).execute(&mut *tx).await?;
        if gone.rows_affected() == 0 {
            return Ok(PlanEnd::Unknown);
        }
        let orgs: i64 =
            sqlx::query_scalar("SELECT gate_plan_orgs($1)").bind(name).fetch_one(&mut *tx).await?;
        if orgs > 0 {
            return Ok(PlanEnd::InUse(orgs));
        }
        note(&mut tx, self.chance.as_ref(), act, "plan.removed", name).await?;
        tx.commit().await?;
        Ok(PlanEnd::Removed)
    }
}

impl TenantRead {
    /// The org's plan by name, and its quotas if the catalogue has it.
    pub async fn own_plan(&mut self) -> Result<(String, Option<Quotas>)> {
        let name: String = sqlx::query_scalar("SELECT plan FROM orgs").fetch_one(self.sql()).await?;
        let row: Option<StoredPlan> =
            sqlx::query_as(select_plan!("WHERE name = $1")).bind(&name).fetch_optional(self.sql()).await?;
        Ok((name, row.map(|row| row.quotas)))
    }
}

impl TenantTx {
    /// Is there such a plan? It is not removed before the end of this transaction.
    pub async fn hold_plan(&mut self, name: &str) -> Result<bool> {
        let held: Option<String> = sqlx::query_scalar("SELECT name FROM plans WHERE name = $1 FOR SHARE")
            .bind(name)
            .fetch_optional(self.sql())
            .await?;
        Ok(held.is_some())
    }

    /// Gives the org a plan; what it was told of the old one's quotas is forgotten.
    pub async fn set_org_plan(&mut self, name: &str) -> Result<()> {
        let changed = sqlx::query("UPDATE orgs SET plan = $1").bind(name).execute(self.sql()).await?;
        if changed.rows_affected() != 1 {
            return Err(Error::Corrupt("org"));
        }
        self.forget_notices().await
    }
}
