//! What the process counts, in Prometheus' text format: requests by face and status class, how long
//! they took, refused sign-ins by standing. Labels are of fixed sets: nothing a caller sends makes
//! a new series.

use actix_web::HttpResponse;
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

const FACES: [&str; 6] = ["api", "scim", "oauth2", "saml", "oidc", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Upper bounds in microseconds.
const BUCKETS_MICROS: [u64; 10] =
    [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

struct Face {
    by_class: [AtomicU64; CLASSES.len()],
    buckets: [AtomicU64; BUCKETS_MICROS.len()],
    count: AtomicU64,
    sum_micros: AtomicU64,
}

impl Face {
    const fn new() -> Self {
        Self {
            by_class: [const { AtomicU64::new(0) }; CLASSES.len()],
            buckets: [const { AtomicU64::new(0) }; BUCKETS_MICROS.len()],
            count: AtomicU64::new(0),
            sum_micros: AtomicU64::new(0),
        }
    }
}

static COUNTED: [Face; FACES.len()] = [const { Face::new() }; FACES.len()];

/// Counts one request, by its path's first segment.
pub(super) fn count(path: &str, status: u16, micros: u64) {
    let first = path.split('/').nth(1).unwrap_or_default();
    let place = FACES.iter().position(|face| *face == first).unwrap_or(FACES.len() - 1);
    let Some(face) = COUNTED.get(place) else { return };
    if let Some(class) = face.by_class.get(usize::from(status / 100).saturating_sub(1)) {
        class.fetch_add(1, Ordering::Relaxed);
    }
    for (bound, bucket) in BUCKETS_MICROS.iter().zip(&face.buckets) {
        if micros <= *bound {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }
    face.count.fetch_add(1, Ordering::Relaxed);
    face.sum_micros.fetch_add(micros, Ordering::Relaxed);
}

pub(super) async fn metrics() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .insert_header(("Cache-Control", "no-store"))
        .body(text())
}

/// Seconds, to the microsecond, without a float.
fn secs(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn text() -> String {
    let mut out = String::from(
        "# HELP vestibule_requests_total Requests answered, by face and status class.\n\
         # TYPE vestibule_requests_total counter\n",
    );
    // Writing to a String cannot fail.
    for (name, face) in FACES.iter().zip(&COUNTED) {
        for (class, counted) in CLASSES.iter().zip(&face.by_class) {
            let counted = counted.load(Ordering::Relaxed);
            let _ = writeln!(out, "vestibule_requests_total{{face=\"{name}\",status=\"{class}\"}} {counted}");
        }
    }
    out.push_str(
        "# HELP vestibule_request_seconds Time from the guard to the answer, by face.\n\
         # TYPE vestibule_request_seconds histogram\n",
    );
    for (name, face) in FACES.iter().zip(&COUNTED) {
        for (bound, bucket) in BUCKETS_MICROS.iter().zip(&face.buckets) {
            let (le, counted) = (secs(*bound), bucket.load(Ordering::Relaxed));
            let _ =
                writeln!(out, "vestibule_request_seconds_bucket{{face=\"{name}\",le=\"{le}\"}} {counted}");
        }
        let count = face.count.load(Ordering::Relaxed);
        let sum = secs(face.sum_micros.load(Ordering::Relaxed));
        let _ = writeln!(out, "vestibule_request_seconds_bucket{{face=\"{name}\",le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "vestibule_request_seconds_sum{{face=\"{name}\"}} {sum}");
        let _ = writeln!(out, "vestibule_request_seconds_count{{face=\"{name}\"}} {count}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_path_makes_no_new_series() {
        let before = text().lines().count();
        count("/saml/con_x/acs", 303, 3_000);
        count("/no/such/face", 404, 10);
        count("/api/v1/orgs", 999, u64::MAX);
        let after = text();
        assert_eq!(after.lines().count(), before);
        assert!(after.contains("vestibule_requests_total{face=\"saml\",status=\"3xx\"} 1"));
        assert!(after.contains("vestibule_request_seconds_bucket{face=\"saml\",le=\"0.005000\"} 1"));
    }
}
