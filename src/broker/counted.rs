//! What stories and jobs count for the operator's page of metrics (`http/metrics.rs` shows it). The
//! ledgers' own numbers stand with the ledgers.

use model::count::Series;

/// By job: when its last round succeeded, in seconds since 1970.
pub static JOB_SUCCEEDED_AT: Series<1> = Series::new();
/// By job: rounds that failed.
pub static JOB_FAILURES: Series<1> = Series::new();
