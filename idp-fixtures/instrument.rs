//! What the rest of the house takes as arguments, in one room: the clock, chance and an HTTP client.
//! Allowed here because this crate is an instrument that stands beside the product; no product crate
//! may depend on it outside its tests and the demo. Times that matter to a test are in `ResponseParams`.
#![allow(
    clippy::disallowed_methods,
    reason = "a test instrument beside src/: it is the outside world, which has its own clock and sockets"
)]

use crate::FixtureError;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Timestamp;
use std::{sync::Once, time::Duration};

/// How long a fixture waits for an answer: longer than a debug build under load needs.
const ANSWER_SECS: u64 = 20;

/// The machine's time.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// 256 random bits as base64url; a broken operating system generator gives an empty text, which every
/// party then refuses.
pub(crate) fn random_token() -> String {
    let mut bytes = [0; 32];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => URL_SAFE_NO_PAD.encode(bytes),
        Err(_) => String::new(),
    }
}

/// A client that follows no redirect and trusts no proxy.
pub(crate) fn http_client() -> Result<reqwest::Client, FixtureError> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Err means that the process has chosen its provider already, which is as good.
        let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(ANSWER_SECS))
        .build()
        .map_err(|e| FixtureError::Http { url: "(client)".to_owned(), reason: e.to_string() })
}

/// The cause behind reqwest's outermost sentence.
pub(crate) fn http_error(url: &str, error: &reqwest::Error) -> FixtureError {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        reason.push_str(": ");
        reason.push_str(&inner.to_string());
        cause = inner.source();
    }
    FixtureError::Http { url: url.to_owned(), reason }
}
