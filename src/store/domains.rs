//! Domains an org claims, and those it has proven. Only a verified one routes or binds a person.

use crate::{Result, Room, TenantRead, TenantTx, counted};
use model::{Timestamp, ids::DomainId};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    Pending,
    Verified,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Domain {
    pub id: DomainId,
    pub name: String,
    pub state: DomainState,
    /// The TXT record's value that proves it.
    pub txt_value: String,
    pub verified_at: Option<Timestamp>,
}

type Row = (Uuid, String, String, Option<OffsetDateTime>);

fn domain((id, name, txt_value, verified_at): Row) -> Domain {
    Domain {
        id: DomainId::from_uuid(id),
        name,
        state: if verified_at.is_some() { DomainState::Verified } else { DomainState::Pending },
        txt_value,
        verified_at: verified_at.map(Timestamp::from),
    }
}

impl TenantRead {
    pub async fn domains(&mut self) -> Result<Vec<Domain>> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT dom_id, name, txt_value, verified_at FROM domains ORDER BY dom_id")
                .fetch_all(self.sql())
                .await?;
        Ok(rows.into_iter().map(domain).collect())
    }

    pub async fn domain(&mut self, id: DomainId) -> Result<Option<Domain>> {
        let row: Option<Row> =
            sqlx::query_as("SELECT dom_id, name, txt_value, verified_at FROM domains WHERE dom_id = $1")
                .bind(id.uuid())
                .fetch_optional(self.sql())
                .await?;
        Ok(row.map(domain))
    }

    /// Has this org proven that one of these domains is its own?
    pub async fn owns_one_of(&mut self, names: &[String]) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM domains WHERE name = ANY ($1) AND state = 'verified')",
        )
        .bind(names)
        .fetch_one(self.sql())
        .await?)
    }

    /// Has this org proven that the domain is its own?
    pub async fn owns_domain(&mut self, name: &str) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM domains WHERE name = $1 AND state = 'verified')")
            .bind(name)
            .fetch_one(self.sql())
            .await?)
    }
}

impl TenantTx {
    pub async fn claim_domain(
        &mut self,
        _room: Room<counted::Domains>,
        id: DomainId,
        name: &str,
        txt_value: &str,
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "INSERT INTO domains (org_id, dom_id, name, state, txt_value, created_at)
             VALUES ($1, $2, $3, 'pending', $4, $5)",
        )
        .bind(org)
        .bind(id.uuid())
        .bind(name)
        .bind(txt_value)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Marks the domain proven. `Error::Conflict` when another org has proven it already.
    pub async fn verify_domain(&mut self, id: DomainId) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query("UPDATE domains SET state = 'verified', verified_at = $2 WHERE dom_id = $1")
            .bind(id.uuid())
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(())
    }

    pub async fn remove_domain(&mut self, id: DomainId) -> Result<bool> {
        let gone =
            sqlx::query("DELETE FROM domains WHERE dom_id = $1").bind(id.uuid()).execute(self.sql()).await?;
        Ok(gone.rows_affected() == 1)
    }
}
