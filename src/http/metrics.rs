//! The operator's page, in Prometheus' text format: what the process counts, and how its stores stand.
//! Labels are the source's own words (a route's pattern, an action, a code): nothing a caller sends makes a
//! new series. A store that does not answer leaves out its lines, and says so by `vestibule_up`.

use super::routes;
use actix_web::{HttpResponse, http::Method, web::Data};
use broker::{
    Gateway,
    counted::{
        AUDIT_DEFAULT_BYTES, AUDIT_MONTHS_AHEAD, DELIVERIES, EXPORTS, JOB_FAILURES, JOB_SUCCEEDED_AT, LOGINS,
        LOGOUTS, REDIS_EVICTS, REDIS_LOSSES, REFUSALS_UNCOUNTED, REQUESTS_LOGGED, REVOCATION_LAG, SIGNALS,
        SIGNING_KEY_AGE, SIGNING_KEYS, STREAM_EVENTS, TOKENS,
    },
};
use model::count::{BOUNDS_MICROS, Durations, Series};
use std::{collections::BTreeSet, fmt::Write, sync::LazyLock, time::Duration};
use store::{EVENTS, OPENINGS, SWEPT, live};

static REQUESTS: Series<3> = Series::new();
static TOOK: Durations<2> = Durations::new();

/// Counts one request, by its route's pattern; `pattern` is none where no route fits.
pub(super) fn count(method: &Method, pattern: Option<&str>, status: u16, took: Duration) {
    static PATTERNS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| routes().map(|e| e.path).collect());
    let route = pattern.and_then(|pattern| PATTERNS.get(pattern).copied()).unwrap_or("none");
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    let method = known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
    let class = match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    REQUESTS.add([method, route, class], 1);
    TOOK.note([method, route], u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

pub(super) async fn metrics(gw: Data<Gateway>) -> HttpResponse {
    let mut page = Page::default();
    counted(&mut page);
    stores(&mut page, &gw).await;
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .insert_header(("Cache-Control", "no-store"))
        .body(page.0)
}

fn counted(page: &mut Page) {
    page.counter("requests_total", ["method", "route", "status"], "Requests answered", &REQUESTS);
    page.histogram("request_seconds", ["method", "route"], "From the guard to the answer", &TOOK);
    page.counter("logins_total", ["protocol", "outcome", "code"], "Answers from upstream", &LOGINS);
    page.counter("signals_total", ["form", "outcome", "code"], "Ends told by identity providers", &SIGNALS);
    page.counter(
        "refusals_uncounted_total",
        [],
        "Strangers' refusals not kept for their org",
        &REFUSALS_UNCOUNTED,
    );
    page.counter("tokens_total", ["grant"], "Access tokens minted, and passes given", &TOKENS);
    page.gauge("signing_keys", ["alg", "state"], "Signing keys that are published", &SIGNING_KEYS);
    page.gauge("signing_key_age_seconds", ["alg"], "Since the key in use signs", &SIGNING_KEY_AGE);
    page.counter("audit_events_total", ["action", "outcome"], "Audit events committed", &EVENTS);
    page.gauge("audit_months_ahead", [], "Months after this one with a partition", &AUDIT_MONTHS_AHEAD);
    page.gauge("audit_default_bytes", [], "Caught by the default partition", &AUDIT_DEFAULT_BYTES);
    page.histogram(
        "revocation_seconds",
        [],
        "From a revocation's request until Redis had it",
        &REVOCATION_LAG,
    );
    page.counter("deliveries_total", ["outcome"], "Attempts to deliver a webhook", &DELIVERIES);
    page.counter("logouts_total", ["outcome"], "Attempts to tell an app that a session ended", &LOGOUTS);
    page.counter("stream_events_total", ["outcome"], "Attempts to push an event to an app", &STREAM_EVENTS);
    page.counter(
        "requests_logged_total",
        ["outcome"],
        "Directories' requests, by their log",
        &REQUESTS_LOGGED,
    );
    page.counter("swept_rows_total", ["table"], "Rows taken away after their time", &SWEPT);
    page.gauge(
        "job_success_timestamp_seconds",
        ["job"],
        "When a job's last round succeeded",
        &JOB_SUCCEEDED_AT,
    );
    page.counter("job_failures_total", ["job"], "Rounds of a job that failed", &JOB_FAILURES);
    page.histogram("transaction_open_seconds", [], "Waiting for a connection and BEGIN", &OPENINGS);
    page.histogram("redis_seconds", ["command"], "Redis' answers", &live::COMMANDS);
    page.counter("redis_failures_total", ["command"], "Commands without an answer", &live::FAILURES);
    page.counter("redis_losses_total", ["how"], "Times Redis had lost what it held", &REDIS_LOSSES);
    page.gauge("redis_evicts", [], "1 while maxmemory-policy is not noeviction", &REDIS_EVICTS);
    page.counter("trace_exports_total", ["outcome"], "Batches of traces sent to the collector", &EXPORTS);
}

async fn stores(page: &mut Page, gw: &Gateway) {
    let pool = gw.db.connections();
    page.head("pool_connections", "Connections to Postgres", "gauge");
    let idle = u32::try_from(pool.idle).unwrap_or(u32::MAX);
    for (state, number) in [("idle", idle), ("in_use", pool.open.saturating_sub(idle)), ("max", pool.max)] {
        page.line("pool_connections", &format!("state=\"{state}\""), number);
    }
    let waiting = gw.db.waiting(gw.now()).await;
    let redis = match &gw.live {
        Some(live) => live.ping().await.is_ok(),
        None => false,
    };
    page.head("up", "1 while the store answers", "gauge");
    page.line("up", "store=\"postgres\"", u8::from(waiting.is_ok()));
    page.line("up", "store=\"redis\"", u8::from(redis));
    let Ok(waiting) = waiting else { return };
    page.head("waiting_items", "Due, and not done by a job yet", "gauge");
    for of in &waiting {
        page.line("waiting_items", &format!("kind=\"{}\"", of.kind), of.items);
    }
    page.head("waiting_oldest_seconds", "How long the oldest has been due", "gauge");
    for of in &waiting {
        page.line("waiting_oldest_seconds", &format!("kind=\"{}\"", of.kind), of.oldest_secs);
    }
}

/// The page as it grows. Writing to a String cannot fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP vestibule_{name} {help}.\n# TYPE vestibule_{name} {kind}");
    }
    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "vestibule_{name} {value}"),
            _ => writeln!(self.0, "vestibule_{name}{{{labels}}} {value}"),
        };
    }
    fn counter<const N: usize>(&mut self, name: &str, labels: [&str; N], help: &str, series: &Series<N>) {
        self.series(name, labels, help, "counter", series);
    }
    fn gauge<const N: usize>(&mut self, name: &str, labels: [&str; N], help: &str, series: &Series<N>) {
        self.series(name, labels, help, "gauge", series);
    }
    fn series<const N: usize>(
        &mut self,
        name: &str,
        labels: [&str; N],
        help: &str,
        kind: &str,
        series: &Series<N>,
    ) {
        self.head(name, help, kind);
        for (values, number) in series.read() {
            self.line(name, &pairs(labels, values), number);
        }
    }
    fn histogram<const N: usize>(&mut self, name: &str, labels: [&str; N], help: &str, of: &Durations<N>) {
        self.head(name, help, "histogram");
        for (values, histogram) in of.read() {
            let own = pairs(labels, values);
            let joint = if own.is_empty() { "" } else { "," };
            let bounds = BOUNDS_MICROS.iter().map(|bound| secs(*bound)).chain(["+Inf".to_owned()]);
            for (bound, number) in bounds.zip(histogram.buckets.into_iter().chain([histogram.count])) {
                self.line(&format!("{name}_bucket"), &format!("{own}{joint}le=\"{bound}\""), number);
            }
            self.line(&format!("{name}_sum"), &own, secs(histogram.sum_micros));
            self.line(&format!("{name}_count"), &own, histogram.count);
        }
    }
}

/// Label pairs; a value is a word of the source, without a quote or a backslash.
fn pairs<const N: usize>(labels: [&str; N], values: [&'static str; N]) -> String {
    let pairs = labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{value}\""));
    pairs.collect::<Vec<_>>().join(",")
}

/// Seconds, to the microsecond, without a float.
fn secs(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        let mut page = Page::default();
        counted(&mut page);
        page.0
    }

    #[test]
    fn a_strange_path_or_method_makes_no_new_series() {
        let took = Duration::from_millis(3);
        count(&Method::POST, Some("/saml/{con}/acs"), 303, took);
        count(&Method::GET, None, 404, took);
        count(&Method::TRACE, None, 404, took);
        let before = page().lines().count();
        count(&Method::GET, Some("/a/path/of/nobody"), 404, took);
        count(&Method::from_bytes(b"BREW").unwrap(), None, 404, took);
        let after = page();
        assert_eq!(after.lines().count(), before);
        assert!(!after.contains("BREW") && !after.contains("nobody"));
        let route = "method=\"POST\",route=\"/saml/{con}/acs\"";
        assert!(after.contains(&format!("vestibule_requests_total{{{route},status=\"3xx\"}} 1")), "{after}");
        assert!(after.contains(&format!("vestibule_request_seconds_bucket{{{route},le=\"0.002500\"}} 0")));
        assert!(after.contains(&format!("vestibule_request_seconds_bucket{{{route},le=\"0.005000\"}} 1")));
        assert!(after.contains(&format!("vestibule_request_seconds_bucket{{{route},le=\"+Inf\"}} 1")));
    }
}
