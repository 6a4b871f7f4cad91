//! How long what is over is kept before the sweep takes it away, in seconds; and how much of what has no end.

use serde::{Deserialize, Serialize};
use store::LogBounds;

/// How long things are kept after their end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    pub sweep_every_secs: i64,
    pub ended_sessions_secs: i64,
    pub delivered_secs: i64,
    pub dead_deliveries_secs: i64,
    pub refusals_secs: i64,
    pub scim_requests_secs: i64,
    /// Of each directory.
    pub scim_requests_rows_max: i64,
    pub scim_requests_bytes_max: i64,
}

impl From<&Retention> for crate::jobs::sweep::Retention {
    fn from(kept: &Retention) -> Self {
        let bounds =
            LogBounds { rows_max: kept.scim_requests_rows_max, bytes_max: kept.scim_requests_bytes_max };
        Self {
            sweep_every_secs: kept.sweep_every_secs,
            ended_sessions_secs: kept.ended_sessions_secs,
            delivered_secs: kept.delivered_secs,
            dead_deliveries_secs: kept.dead_deliveries_secs,
            refusals_secs: kept.refusals_secs,
            scim_requests_secs: kept.scim_requests_secs,
            scim_requests: bounds,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            sweep_every_secs: 60,
            ended_sessions_secs: 604_800,
            delivered_secs: 604_800,
            dead_deliveries_secs: 2_592_000,
            refusals_secs: 2_592_000,
            scim_requests_secs: 2_592_000,
            scim_requests_rows_max: 200_000,
            scim_requests_bytes_max: 268_435_456,
        }
    }
}
