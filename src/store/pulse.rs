//! How the ledgers stand, for the operator's page of metrics: the pool, and what waits for a job.

use crate::{Db, Result};

/// Connections of this process.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    pub open: u32,
    pub idle: usize,
    pub max: u32,
}

/// What waits for a job, over all orgs.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Waiting {
    /// `delivery` or `revocation`.
    pub kind: String,
    pub items: i64,
    /// Seconds that the oldest has been due.
    pub oldest_secs: i64,
}

impl Db {
    pub fn connections(&self) -> Connections {
        Connections { open: self.pool.opened(), idle: self.pool.idle(), max: self.pool.max() }
    }

    /// Items that are due, by kind. An org's turn at the sweep is none.
    pub async fn waiting(&self, now: model::Timestamp) -> Result<Vec<Waiting>> {
        Ok(sqlx::query_as(
            "SELECT k.kind, count(p.item_id) AS items,
                    COALESCE(extract(epoch FROM $1 - min(p.due_at)), 0)::bigint AS oldest_secs
               FROM (VALUES ('delivery'), ('revocation')) AS k(kind)
               LEFT JOIN pending p ON p.kind = k.kind AND p.due_at <= $1
              GROUP BY k.kind",
        )
        .bind(time::OffsetDateTime::from(now))
        .fetch_all(&self.pool)
        .await?)
    }
}
