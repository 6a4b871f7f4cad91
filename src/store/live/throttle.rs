//! How many requests a credential and its org may make: two buckets that refill evenly (GCRA), asked
//! and filled by one script call. Redis away, or slow, lets everything through: a limit protects the
//! service, it decides nothing about who may do what.

use super::Live;
use crate::{Door, OrgScope};
use model::ids::KeyId;
use redis::Script;
use std::{sync::LazyLock, time::Duration};

/// Requests that are let through each second.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub credential_per_sec: u32,
    pub org_per_sec: u32,
}

/// What is left in the tighter of the two buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub limit: i64,
    pub remaining: i64,
    /// Until the bucket is full again.
    pub reset_secs: i64,
    /// This request is one too many.
    pub retry_after_secs: Option<u32>,
}

/// So many seconds' worth of requests may come at once.
const BURST_SECS: i64 = 5;
const MICROS: i64 = 1_000_000;
/// A request waits no longer than this for its limit.
const PATIENCE: Duration = Duration::from_millis(50);

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("throttle.lua")));

impl Live {
    /// Takes one request out of both buckets, or out of neither; nothing when Redis is away.
    pub async fn throttle<D: Door>(
        &self,
        scope: &OrgScope<D>,
        credential: KeyId,
        rates: &Rates,
    ) -> Option<Quota> {
        let mut redis = self.redis.clone();
        let takes = |per_sec: u32| MICROS / i64::from(per_sec.max(1));
        let mut call = TAKE.prepare_invoke();
        call.key(format!("rl:{{{}}}:{credential}", scope.org())).key(format!("rl:{{{}}}", scope.org()));
        for per_sec in [rates.credential_per_sec, rates.org_per_sec] {
            call.arg(takes(per_sec)).arg(BURST_SECS * MICROS);
        }
        let asked = tokio::time::timeout(PATIENCE, call.invoke_async::<(i64, i64, i64, i64)>(&mut redis));
        let (limit, remaining, reset, wait) = asked.await.ok()?.ok()?;
        let secs = |micros: i64| micros.saturating_add(MICROS - 1) / MICROS;
        Some(Quota {
            limit,
            remaining,
            reset_secs: secs(reset),
            retry_after_secs: (wait > 0).then(|| u32::try_from(secs(wait)).unwrap_or(u32::MAX)),
        })
    }
}
