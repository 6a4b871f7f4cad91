//! What stories and jobs count for the operator's page of metrics (`http/metrics.rs` shows it). The
//! ledgers' own numbers stand with the ledgers.

use model::count::{Durations, Series};

/// Answers from upstream, by protocol, outcome (accepted, refused, failed) and code.
pub static LOGINS: Series<3> = Series::new();
/// What customers' identity providers told us of their people, by form (logout, revocation, event), outcome
/// (accepted, refused, failed) and code.
pub static SIGNALS: Series<3> = Series::new();
/// Strangers' refusals that found no room to be counted for their org.
pub static REFUSALS_UNCOUNTED: Series<0> = Series::new();

/// Requests of directories, by what became of their log: kept, lost.
pub static REQUESTS_LOGGED: Series<1> = Series::new();

/// Times that Redis was found to have lost what it held, by how.
pub static REDIS_LOSSES: Series<1> = Series::new();
/// 1 while Redis may evict what it holds.
pub static REDIS_EVICTS: Series<0> = Series::new();
/// Batches of traces, by how their export ended.
pub static EXPORTS: Series<1> = Series::new();
/// Tokens minted, by grant; passes given, as `pass`.
pub static TOKENS: Series<1> = Series::new();
/// From a revocation's request to the moment Redis had it.
pub static REVOCATION_LAG: Durations<0> = Durations::new();
/// Attempts to deliver a webhook, by outcome: delivered, waiting (to be tried again), dead.
pub static DELIVERIES: Series<1> = Series::new();
/// Attempts to tell an app of an end, by outcome: told, waiting (to be tried again), dead.
pub static LOGOUTS: Series<1> = Series::new();
/// Attempts to push an event to an app's stream, by outcome: told, waiting (to be tried again), dead.
pub static STREAM_EVENTS: Series<1> = Series::new();
/// By job: when its last round succeeded, in seconds since 1970.
pub static JOB_SUCCEEDED_AT: Series<1> = Series::new();
/// By job: rounds that failed.
pub static JOB_FAILURES: Series<1> = Series::new();

/// Signing keys that are published, by algorithm and state.
pub static SIGNING_KEYS: Series<2> = Series::new();
/// Seconds that the key of an algorithm has been signing.
pub static SIGNING_KEY_AGE: Series<1> = Series::new();

/// Months ahead that the record has a partition for, as the job last saw it.
pub static AUDIT_MONTHS_AHEAD: Series<0> = Series::new();
/// Bytes in the record's default partition: rows of a month that nobody made.
pub static AUDIT_DEFAULT_BYTES: Series<0> = Series::new();
