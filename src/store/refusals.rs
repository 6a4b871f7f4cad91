//! Refusals before a proven signature, as they are kept: a count by minute, connection and code, and
//! the first one's facts, sealed. Nothing of a stranger's is written one by one.

use crate::{Error, Result, TenantRead, TenantTx};
use model::{
    Timestamp,
    ids::{ConnectionId, OrgId, RefusalId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use token::seal::SealKeys;
use uuid::Uuid;

const PURPOSE: &str = "refusal.sample";

/// What a minute brought, of one code at one connection.
#[derive(Clone, Debug)]
pub struct NewRefusals {
    pub connection: ConnectionId,
    pub minute: Timestamp,
    pub code: &'static str,
    pub count: i64,
    pub sample: RefusalSample,
}

/// The first refusal of its minute. Bounded, and no assertion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusalSample {
    pub at: Timestamp,
    /// What the person's page shows as its reference.
    pub request_id: String,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    /// Such as `expected` and `received`, by name.
    pub facts: BTreeMap<String, String>,
}

/// A minute's refusals of one code.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Refusals {
    pub id: RefusalId,
    /// The minute's begin.
    pub minute: Timestamp,
    /// Its row in docs/REFUSALS.md says what to do.
    pub code: String,
    pub count: i64,
    pub sample: RefusalSample,
}

impl TenantTx {
    /// Adds a minute's refusals to what another node counted of it; the first sample stays.
    pub async fn count_refusals(&mut self, new: &NewRefusals) -> Result<()> {
        let (org, seals, chance) = (self.org(), self.seals(), self.chance());
        let plain = serde_json::to_vec(&new.sample).map_err(|_| Error::Corrupt("refusal sample"))?;
        let bound = binding(org, new.connection, new.minute, new.code);
        let sample = seals.seal(PURPOSE, &bound, &plain, chance.as_ref())?;
        sqlx::query(
            "INSERT INTO refusals (org_id, rfs_id, con_id, minute, code, count, sample)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (org_id, minute, con_id, code)
             DO UPDATE SET count = refusals.count + EXCLUDED.count",
        )
        .bind(org.uuid())
        .bind(RefusalId::new(self.now(), chance.as_ref()).uuid())
        .bind(new.connection.uuid())
        .bind(OffsetDateTime::from(new.minute))
        .bind(new.code)
        .bind(new.count)
        .bind(sample)
        .execute(self.sql())
        .await?;
        Ok(())
    }
}

impl TenantRead {
    /// One page of a connection's counted refusals, newest first.
    pub async fn refusals(
        &mut self,
        connection: ConnectionId,
        before: Option<RefusalId>,
        limit: i64,
        seals: &SealKeys,
    ) -> Result<Vec<Refusals>> {
        let rows: Vec<(Uuid, OffsetDateTime, String, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT rfs_id, minute, code, count, sample
               FROM refusals
              WHERE con_id = $1
                AND ($2::uuid IS NULL OR rfs_id < $2)
              ORDER BY rfs_id DESC
              LIMIT $3",
        )
        .bind(connection.uuid())
        .bind(before.map(|id| id.uuid()))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        let org = self.org();
        let opened = |(id, minute, code, count, sealed): (Uuid, OffsetDateTime, String, i64, Vec<u8>)| {
            let unreadable = || Error::Corrupt("refusal sample");
            let bound = binding(org, connection, minute.into(), &code);
            let plain = seals.open(PURPOSE, &bound, &sealed).map_err(|_| unreadable())?;
            let sample = serde_json::from_slice(plain.reveal()).map_err(|_| unreadable())?;
            Ok(Refusals { id: RefusalId::from_uuid(id), minute: minute.into(), code, count, sample })
        };
        rows.into_iter().map(opened).collect()
    }
}

/// What a sample is bound to: it cannot be moved to another org, connection, minute or code.
fn binding(org: OrgId, connection: ConnectionId, minute: Timestamp, code: &str) -> Vec<u8> {
    format!("{org}/{connection}/{}/{code}", minute.secs()).into_bytes()
}
