//! The gateway, asked: discovery, keys, introspection, revocations, acknowledgements. Every answer has
//! a time limit and a size limit, no redirect is followed, and nothing is asked outside the issuer's
//! own origin: that is where the secret goes.

use crate::client_key::Proof;
use reqwest::{
    Client, RequestBuilder, Response, Url,
    header::{self, HeaderMap, HeaderValue},
    redirect::Policy,
};
use rustls::ClientConfig;
use serde::{Deserialize, de::DeserializeOwned};
use std::{fmt::Write, time::Duration};
use tokio::time::timeout;

/// From the first byte sent to the last received.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A request waits for introspection: longer, and 503 is the better answer.
const INTROSPECTION_MAX: Duration = Duration::from_secs(2);
/// Discovery, keys and introspection.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// A page of revocations, of about 110 bytes each.
pub(crate) const PAGE_BYTES_MAX: usize = 4 << 20;
/// Longest `Retry-After` that is obeyed.
const RETRY_AFTER_SECS_MAX: u64 = 30;
/// An error's text tells this much of what the other side caused.
const WHY_CHARS_MAX: usize = 200;

/// Why there was no answer to go by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("no answer in time")]
    Late,
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the connection failed: {0}")]
    Failed(String),
    #[error("status {status}")]
    Status { status: u16, retry_after: Option<Duration> },
    #[error("the answer is none of Vestibule's: {0}")]
    NotOurs(&'static str),
    #[error("the issuer calls itself {0:?}")]
    AnotherIssuer(String),
}

fn failed(why: &dyn std::error::Error) -> RemoteError {
    let mut text = why.to_string();
    let mut source = why.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    RemoteError::Failed(text.chars().take(WHY_CHARS_MAX).collect())
}

fn unproven() -> RemoteError {
    RemoteError::Failed("no assertion could be signed".to_owned())
}

/// Where things are, out of the discovery document.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) jwks: Url,
    pub(crate) introspection: Url,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
    introspection_endpoint: String,
}

/// One page of the feed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) data: Vec<crate::watermarks::Revocation>,
    pub(crate) cursor: String,
    pub(crate) gap: bool,
    pub(crate) more: bool,
    keeps_secs: u64,
    #[serde(default)]
    age_ms: u64,
}

impl Page {
    /// Reads the data of a page, from a body or an event.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RemoteError> {
        let page: Self = read(bytes)?;
        let seqs = page.data.iter().all(|revocation| i64::try_from(revocation.seq).is_ok());
        if page.cursor.is_empty() || page.cursor.len() > CURSOR_BYTES_MAX || !seqs {
            return Err(RemoteError::NotOurs("a page of revocations"));
        }
        Ok(page)
    }

    /// How old the gateway's knowledge was when it sent this.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.age_ms)
    }

    /// How long the gateway keeps revocations, within reason: an hour is its rule.
    pub(crate) fn keeps(&self) -> Duration {
        Duration::from_secs(self.keeps_secs.min(86_400))
    }
}

/// An opaque place in the feed, sent back in queries and headers.
pub(crate) const CURSOR_BYTES_MAX: usize = 1_024;

/// What a heartbeat carries.
#[derive(Deserialize)]
pub(crate) struct Beat {
    pub(crate) cursor: String,
    #[serde(default)]
    age_ms: u64,
}

impl Beat {
    /// How old the gateway's knowledge was when it sent this.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.age_ms)
    }
}

/// JSON of a shape; members that are not known are passed over.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RemoteError> {
    serde_json::from_slice(bytes).map_err(|_| RemoteError::NotOurs("not the JSON that was asked for"))
}

/// The gateway's answer about one token.
#[derive(Deserialize)]
struct Introspected {
    active: bool,
    jti: Option<String>,
}

/// The gateway, from outside.
pub(crate) struct Remote {
    client: Client,
    issuer: String,
    url: Url,
    proof: Proof,
    /// Which of the app's verifiers this is: a receipt says when the first and the last of them knew.
    word: String,
}

impl Remote {
    /// # Errors
    /// `Failed` when the HTTP client cannot be made.
    pub(crate) fn new(issuer: &str, url: Url, proof: Proof, tls: ClientConfig) -> Result<Self, RemoteError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "an app's own socket: the crate is no part of the server"
        )]
        let client = Client::builder()
            .use_preconfigured_tls(tls)
            .redirect(Policy::none())
            .connect_timeout(ANSWER_MAX)
            .pool_idle_timeout(Duration::from_secs(60))
            .build()
            .map_err(|why| failed(&why))?;
        Ok(Self { client, issuer: issuer.to_owned(), url, proof, word: word() })
    }

    /// A place below the issuer.
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.trim_end_matches('/'))
    }

    /// The discovery document, whose `issuer` is ours byte for byte (OIDC Discovery 4.3).
    pub(crate) async fn discover(&self) -> Result<Places, RemoteError> {
        let request = self.client.get(self.at("/.well-known/openid-configuration"));
        let (body, _) = answer(request, ANSWER_MAX, DOCUMENT_BYTES_MAX).await?;
        let found: Discovered = read(&body)?;
        if found.issuer != self.issuer {
            return Err(RemoteError::AnotherIssuer(found.issuer.chars().take(WHY_CHARS_MAX).collect()));
        }
        let ours = |text: &str| {
            let url = text.parse::<Url>().ok().filter(|url| url.origin() == self.url.origin());
            url.ok_or(RemoteError::NotOurs("an endpoint outside the issuer's origin"))
        };
        Ok(Places { jwks: ours(&found.jwks_uri)?, introspection: ours(&found.introspection_endpoint)? })
    }

    /// The key set, and for how long it is good (`Cache-Control: max-age`, none when it is not said).
    pub(crate) async fn jwks(&self, places: &Places) -> Result<(Vec<u8>, Option<Duration>), RemoteError> {
        let request = self.client.get(places.jwks.clone());
        let (body, headers) = answer(request, ANSWER_MAX, DOCUMENT_BYTES_MAX).await?;
        Ok((body, max_age(&headers)))
    }

    /// Whether the gateway says that this token, of this `jti`, is active (RFC 7662 2).
    pub(crate) async fn introspect(
        &self,
        places: &Places,
        token: &str,
        jti: &str,
    ) -> Result<bool, RemoteError> {
        let (header, more) = self.proof.form().ok_or_else(unproven)?;
        let mut request = self
            .client
            .post(places.introspection.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("token={}{more}", form_encoded(token)));
        if let Some(value) = header {
            request = request.header(header::AUTHORIZATION, value);
        }
        let (body, _) = answer(request, INTROSPECTION_MAX, DOCUMENT_BYTES_MAX).await?;
        let said: Introspected = read(&body)?;
        if said.active && said.jti.as_deref().is_some_and(|other| other != jti) {
            return Err(RemoteError::NotOurs("an answer about another token"));
        }
        Ok(said.active)
    }

    fn feed(&self, after: Option<&str>, wait_secs: u64) -> Result<RequestBuilder, RemoteError> {
        let after = after.map_or_else(String::new, |cursor| format!("after={}&", form_encoded(cursor)));
        let url = self.at(&format!("/api/v1/revocations?{after}wait_secs={wait_secs}"));
        let own = self.proof.header().ok_or_else(unproven)?;
        Ok(self.client.get(url).header(header::AUTHORIZATION, own))
    }

    /// One page, waited for so long.
    pub(crate) async fn page(&self, after: Option<&str>, wait_secs: u64) -> Result<Page, RemoteError> {
        let request = self.feed(after, wait_secs)?.header(header::ACCEPT, "application/json");
        let patience = ANSWER_MAX + Duration::from_secs(wait_secs);
        let (body, _) = answer(request, patience, PAGE_BYTES_MAX).await?;
        Page::read(&body)
    }

    /// The stream of pages and heartbeats; `None` where the answer is no stream.
    pub(crate) async fn stream(&self, after: &str) -> Result<Option<Response>, RemoteError> {
        let mut request = self.feed(Some(after), 0)?.header(header::ACCEPT, "text/event-stream");
        if let Ok(cursor) = HeaderValue::from_str(after) {
            request = request.header("last-event-id", cursor);
        }
        let response = timeout(ANSWER_MAX, request.send()).await.map_err(|_| RemoteError::Late)?;
        let response = good(response.map_err(|why| failed(&why))?)?;
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let streams = kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/event-stream"));
        Ok(streams.then_some(response))
    }

    /// Says up to where revocations have been taken in.
    pub(crate) async fn acknowledge(&self, cursor: &str) -> Result<(), RemoteError> {
        let request = self
            .client
            .post(self.at("/api/v1/revocations/acks"))
            .header(header::AUTHORIZATION, self.proof.header().ok_or_else(unproven)?)
            .header(header::CONTENT_TYPE, "application/json")
            .body(serde_json::json!({ "cursor": cursor, "verifier": self.word }).to_string());
        answer(request, ANSWER_MAX, DOCUMENT_BYTES_MAX).await.map(drop)
    }
}

/// The next bytes of an answer, or its end.
pub(crate) async fn chunk(response: &mut Response, within: Duration) -> Result<Option<Vec<u8>>, RemoteError> {
    let chunk = timeout(within, response.chunk()).await.map_err(|_| RemoteError::Late)?;
    Ok(chunk.map_err(|why| failed(&why))?.map(|bytes| bytes.to_vec()))
}

fn good(response: Response) -> Result<Response, RemoteError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let seconds =
        response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(|secs: u64| Duration::from_secs(secs.min(RETRY_AFTER_SECS_MAX)));
    Err(RemoteError::Status { status: response.status().as_u16(), retry_after })
}

async fn answer(
    request: RequestBuilder,
    within: Duration,
    bytes_max: usize,
) -> Result<(Vec<u8>, HeaderMap), RemoteError> {
    let whole = async {
        let mut response = good(request.send().await.map_err(|why| failed(&why))?)?;
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|why| failed(&why))? {
            if body.len() + chunk.len() > bytes_max {
                return Err(RemoteError::TooLarge(bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, headers))
    };
    timeout(within, whole).await.map_err(|_| RemoteError::Late)?
}

/// `max-age` of `Cache-Control`; `no-store` and `no-cache` are an age of none (RFC 9111 5.2.2).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get(header::CACHE_CONTROL)?.to_str().ok()?.to_ascii_lowercase();
    let directives = || said.split(',').map(str::trim);
    if directives().any(|directive| directive == "no-store" || directive == "no-cache") {
        return Some(Duration::ZERO);
    }
    let secs = directives().find_map(|directive| directive.strip_prefix("max-age="))?;
    secs.trim_matches('"').parse().ok().map(Duration::from_secs)
}

/// A word of one's own, by chance.
fn word() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut chance = [0; 16];
    // Without chance all such verifiers are one, and the receipt a little less exact.
    let _ = aws_lc_rs::rand::fill(&mut chance);
    URL_SAFE_NO_PAD.encode(chance)
}

/// Basic, with both halves form-encoded: RFC 6749 2.3.1.
pub(crate) fn basic(id: &str, secret: &str) -> Result<HeaderValue, RemoteError> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let pair = STANDARD.encode(format!("{}:{}", form_encoded(id), form_encoded(secret)));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).map_err(|why| failed(&why))?;
    value.set_sensitive(true);
    Ok(value)
}

/// One value of `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte))
            }
            b' ' => encoded.push('+'),
            other => drop(write!(encoded, "%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_of_basic_are_form_encoded() {
        // RFC 6749 appendix B's own example of the encoding.
        assert_eq!(form_encoded(" %&+£€"), "+%25%26%2B%C2%A3%E2%82%AC");
        let value = basic("a:b", "c d").unwrap();
        assert_eq!(value.to_str().unwrap(), "Basic YSUzQWI6Yytk");
        assert!(!format!("{value:?}").contains("YSUz"));
    }

    #[test]
    fn cache_control_is_read() {
        let age = |text: &'static str| {
            max_age(&HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(text))]))
        };
        assert_eq!(age("public, max-age=300"), Some(Duration::from_secs(300)));
        assert_eq!(age("Max-Age=7"), Some(Duration::from_secs(7)));
        assert_eq!(age("no-store, max-age=300"), Some(Duration::ZERO));
        assert_eq!(age("public"), None);
        assert_eq!(age("max-age=soon"), None);
        assert_eq!(max_age(&HeaderMap::new()), None);
    }

    #[test]
    fn a_page_has_all_its_members_of_their_types() {
        let page = r#"{"data":[{"org":"org_1","seq":12,"scope":"org","action":"terminate"}],"cursor":"c","gap":false,"more":true,"keeps_secs":3600,"new":1}"#;
        let read = |text: &str| Page::read(text.as_bytes());
        assert_eq!(read(page).unwrap().data.len(), 1);
        assert_eq!(read(page).unwrap().keeps(), Duration::from_secs(3_600));
        let bad = [
            page.replace("\"seq\":12", "\"seq\":\"12\""),
            page.replace("\"seq\":12", "\"seq\":-1"),
            page.replace("\"seq\":12", "\"seq\":12.0"),
            page.replace("\"seq\":12", "\"seq\":9223372036854775808"),
            page.replace("\"gap\":false", "\"gap\":null"),
            page.replace("\"more\":true,", ""),
            page.replace("\"cursor\":\"c\"", "\"cursor\":\"\""),
            page.replace("\"cursor\":\"c\"", &format!("\"cursor\":\"{}\"", "c".repeat(1_025))),
            page.replace("\"cursor\":\"c\"", "\"cursor\":\"c\",\"cursor\":\"d\""),
            format!("{page}x"),
        ];
        for text in bad {
            assert!(matches!(read(&text), Err(RemoteError::NotOurs(_))), "{text}");
        }
    }
}
