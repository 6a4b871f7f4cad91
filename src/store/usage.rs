//! Metering as it is read: sums by metric and day, and single lines for those who are told. It is written
//! with the record of the act (`record`).

use crate::{Result, TenantRead};
use model::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

/// One line of the ledger, as webhooks are told it.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
pub(crate) struct UsageLine {
    /// The metric's natural key: it is counted once, however often it is told.
    pub event_id: String,
    #[serde(rename = "metric")]
    pub meter: String,
    pub value: i64,
    #[sqlx(try_from = "OffsetDateTime")]
    pub at: Timestamp,
}

#[derive(Debug, Clone, Serialize, JsonSchema, sqlx::FromRow)]
#[schemars(rename = "Usage")]
pub struct UsageRow {
    /// Such as `auth.login`.
    #[serde(rename = "metric")]
    pub meter: String,
    /// The day (UTC) the sum is of.
    #[schemars(extend("format" = "date"))]
    pub day: String,
    pub value: i64,
}

impl TenantRead {
    /// These lines of the ledger, by metric and natural key.
    pub(crate) async fn usage_lines(&mut self, meters: &[&str], keys: &[&str]) -> Result<Vec<UsageLine>> {
        Ok(sqlx::query_as(
            "SELECT u.event_id, u.meter, u.value, u.at
               FROM UNNEST($1::text[], $2::text[]) AS wanted(meter, event_id)
               JOIN usage_events u USING (meter, event_id)",
        )
        .bind(meters)
        .bind(keys)
        .fetch_all(self.sql())
        .await?)
    }

    /// Sums per meter and day, in this org.
    pub async fn usage(
        &mut self,
        meter: Option<&str>,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Vec<UsageRow>> {
        Ok(sqlx::query_as(
            "SELECT meter, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, SUM(value)::bigint AS value
               FROM usage_events
              WHERE ($1::text IS NULL OR meter = $1)
                AND ($2::timestamptz IS NULL OR at >= $2)
                AND ($3::timestamptz IS NULL OR at < $3)
              GROUP BY 1, 2
              ORDER BY 2 DESC, 1
              LIMIT 1000",
        )
        .bind(meter)
        .bind(from.map(OffsetDateTime::from))
        .bind(to.map(OffsetDateTime::from))
        .fetch_all(self.sql())
        .await?)
    }
}
