//! The record's partitions, one a month. The server makes them through one function of the owner's
//! (migrations/0012_audit_months.sql), and looks how far ahead they reach. A month that is missing
//! refuses nobody: the default partition catches its rows until it is made.

use crate::{Db, Result};
use model::Timestamp;
use time::OffsetDateTime;

/// How far ahead months are made: two years in which the job may fail unseen.
pub const MONTHS_AHEAD: i32 = 24;

/// How the record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Months {
    /// Months after the present one that have a partition, without a gap; -1 when it has none itself.
    pub ahead: i32,
    /// Bytes in the default partition: anything was caught there, and a VACUUM has not passed since.
    pub caught_bytes: i64,
}

impl Db {
    pub async fn audit_months(&self, now: Timestamp) -> Result<Months> {
        let (ahead, caught_bytes) = sqlx::query_as(
            "SELECT COALESCE(min(m) FILTER (WHERE missing), 37) - 1, pg_relation_size('audit_events_default')
               FROM (SELECT m, to_regclass('audit_events_' || to_char(
                                   date_trunc('month', $1 AT TIME ZONE 'UTC') + make_interval(months => m), 'YYYYMM'))
                                IS NULL AS missing
                       FROM generate_series(0, 36) AS m) months",
        )
        .bind(OffsetDateTime::from(now))
        .fetch_one(&self.pool)
        .await?;
        Ok(Months { ahead, caught_bytes })
    }

    /// Makes this month and those ahead; answers how many were missing. Several nodes at once make each
    /// of them once.
    pub async fn make_audit_months(&self, now: Timestamp, ahead: i32) -> Result<i32> {
        Ok(sqlx::query_scalar("SELECT make_audit_months(($1 AT TIME ZONE 'UTC')::date, $2)")
            .bind(OffsetDateTime::from(now))
            .bind(ahead)
            .fetch_one(&self.pool)
            .await?)
    }
}
