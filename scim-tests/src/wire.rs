//! The runner's only socket. Every request has a time limit, every answer a size limit, and what is
//! kept of either for the report has the tokens taken out. No redirect is followed: where a server
//! sends a client is part of what it answers. A 429 is obeyed, a few times, so that a server that
//! protects itself is not taken for a wrong one; where it asks for a long wait, it is the answer.

use reqwest::{Certificate, Method, redirect::Policy};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Longest body that is read; what is longer is cut, and then is no JSON.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How often a 429 is waited out before it counts as the answer.
const PATIENCE: u32 = 4;
/// A `Retry-After` beyond this is not waited for.
const WAIT_SECS_MAX: u64 = 30;

pub const MEDIA_TYPE: &str = "application/scim+json";

/// Whose name a request goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// `--token`.
    Own,
    /// `--other-token`: another tenant of the same server.
    Other,
    /// No `Authorization` header.
    Nobody,
    /// A bearer token that nobody was given.
    Forged,
    /// `--token` less its last character, with one more, or with its letters in the other case.
    Shortened,
    Lengthened,
    OtherCase,
}

/// What is to be sent. `path` is relative to the base, or a whole URL of the same origin.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Set over the default ones; an empty value takes a default one away.
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub credential: Credential,
}

impl Request {
    pub fn new(method: &str, path: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: None,
            credential: Credential::Own,
        }
    }
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self
    }
    pub fn by(mut self, credential: Credential) -> Self {
        self.credential = credential;
        self
    }
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub text: String,
    /// The body as JSON, when it is.
    pub json: Option<Value>,
    pub took: Duration,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
    pub fn body(&self) -> &Value {
        self.json.as_ref().unwrap_or(&Value::Null)
    }
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// How the server is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Absolute, without a slash at its end.
    pub base: String,
    pub token: Option<String>,
    pub other_token: Option<String>,
    /// Where the other tenant is served, when that is another base.
    pub other_base: Option<String>,
    pub timeout: Duration,
    /// PEM of a private certificate authority.
    pub authority: Option<Vec<u8>>,
}

#[derive(Clone)]
pub struct Wire {
    http: reqwest::Client,
    settings: Settings,
    /// Seconds of the wait that goes on, or 0.
    waiting: Arc<AtomicU64>,
}

impl Wire {
    /// Errors when the certificate is none, or the machine gives no TLS.
    #[allow(clippy::disallowed_methods, reason = "this runner is no part of the server: its own socket")]
    pub fn new(settings: Settings) -> Result<Self, String> {
        // A second runner in the same process finds it set.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(15)))
            .user_agent(concat!("scim-tests/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&settings.base) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &settings.authority {
            for one in Certificate::from_pem_bundle(pem).map_err(|why| format!("--ca: {why}"))? {
                builder = builder.add_root_certificate(one);
            }
        }
        let http = builder.build().map_err(|why| why.to_string())?;
        Ok(Self { http, settings, waiting: Arc::default() })
    }

    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends and waits for the whole answer. The error says, in words for the report, why there is none.
    pub async fn send(&self, request: &Request) -> Result<Answer, String> {
        let mut tries = 0;
        loop {
            // Also of a wait that a case's end cut short.
            self.waiting.store(0, Relaxed);
            let answer = self.send_once(request).await?;
            tries += 1;
            let asked = answer.header("retry-after").and_then(|text| text.trim().parse().ok()).unwrap_or(1);
            if answer.status != 429 || tries > PATIENCE || asked > WAIT_SECS_MAX {
                return Ok(answer);
            }
            let secs = asked.max(1);
            self.waiting.store(secs, Relaxed);
            tokio::time::sleep(Duration::from_secs(secs)).await;
        }
    }

    /// How long a wait was asked for that goes on now.
    pub fn waiting(&self) -> Option<u64> {
        Some(self.waiting.load(Relaxed)).filter(|secs| *secs > 0)
    }

    async fn send_once(&self, request: &Request) -> Result<Answer, String> {
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|why| why.to_string())?;
        let mut builder = self.http.request(method, self.url(&request.path, request.credential)?);
        for (name, value) in self.defaults(request) {
            if !request.headers.iter().any(|(set, _)| set.eq_ignore_ascii_case(name)) {
                builder = builder.header(name, value);
            }
        }
        for (name, value) in request.headers.iter().filter(|(_, value)| !value.is_empty()) {
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let begun = Instant::now();
        let mut response = builder.send().await.map_err(|why| self.hide(&reason(&why)))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().into(), self.hide(&String::from_utf8_lossy(value.as_bytes())))
            })
            .collect();
        let mut bytes = Vec::new();
        while bytes.len() < ANSWER_BYTES_MAX {
            match response.chunk().await.map_err(|why| self.hide(&reason(&why)))? {
                Some(chunk) => bytes.extend_from_slice(&chunk),
                None => break,
            }
        }
        bytes.truncate(ANSWER_BYTES_MAX);
        let json = serde_json::from_slice(&bytes).ok();
        let text = self.hide(&String::from_utf8_lossy(&bytes));
        Ok(Answer { status, headers, text, json, took: begun.elapsed() })
    }

    fn defaults(&self, request: &Request) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Accept", MEDIA_TYPE.to_owned())];
        if request.body.is_some() {
            headers.push(("Content-Type", MEDIA_TYPE.to_owned()));
        }
        let own = self.settings.token.clone();
        let token = match request.credential {
            Credential::Own => own,
            Credential::Other => self.settings.other_token.clone(),
            Credential::Nobody => None,
            Credential::Forged => Some("scim-tests-gave-this-token-to-nobody".to_owned()),
            Credential::Shortened => own.map(|token| shortened(&token)),
            Credential::Lengthened => own.map(|token| format!("{token}A")),
            Credential::OtherCase => own.map(|token| other_case(&token)),
        };
        headers.extend(token.map(|token| ("Authorization", format!("Bearer {token}"))));
        headers
    }

    /// The whole URL of a path. A URL that leads elsewhere is refused: the token goes to its server alone.
    fn url(&self, path: &str, credential: Credential) -> Result<String, String> {
        let base = match (&self.settings.other_base, credential) {
            (Some(base), Credential::Other) => base,
            _ => &self.settings.base,
        };
        if !path.contains("://") {
            return Ok(format!("{base}{path}"));
        }
        if origin(path) == origin(base) {
            return Ok(path.to_owned());
        }
        Err(format!("{path} is not at the server under test, so the token is not sent there"))
    }

    /// The text without the tokens.
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for token in [&self.settings.token, &self.settings.other_token].into_iter().flatten() {
            for form in [token.clone(), shortened(token), other_case(token)] {
                if form.len() > 3 {
                    text = text.replace(&form, "[token]");
                }
            }
        }
        text
    }
}

fn shortened(token: &str) -> String {
    let mut token = token.to_owned();
    token.pop();
    token
}

fn other_case(token: &str) -> String {
    let swap = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    token.chars().map(swap).collect()
}

/// Scheme, host and port of a URL, as written.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(url.len(), |at| host + at);
    url.get(..end).unwrap_or(url)
}

pub fn is_loopback(url: &str) -> bool {
    let host = origin(url).rsplit("//").next().unwrap_or_default();
    host.split(':').next() == Some("localhost") || host.starts_with("127.") || host.starts_with("[::1]")
}

/// The error with what caused it: reqwest's own text alone says little.
fn reason(why: &reqwest::Error) -> String {
    let mut text = why.to_string();
    let mut cause = std::error::Error::source(why);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Percent-encodes a value of a query parameter or a path segment (RFC 3986 2.3).
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn wire(base: &str) -> Wire {
        let (token, other_token) = (Some("secret-one".into()), Some("secret-two".into()));
        let timeout = Duration::from_secs(1);
        let other_base = Some("https://a.example/other".into());
        let settings =
            Settings { base: base.into(), token, other_token, other_base, timeout, authority: None };
        Wire::new(settings).unwrap()
    }

    #[test]
    fn the_token_stays_at_its_server_and_out_of_every_text() {
        let wire = wire("https://a.example/scim/v2");
        let url = |path: &str| wire.url(path, Credential::Own);
        assert_eq!(url("/Users").unwrap(), "https://a.example/scim/v2/Users");
        assert_eq!(wire.url("/Users", Credential::Other).unwrap(), "https://a.example/other/Users");
        assert!(url("https://a.example/scim/v2/Users/1").is_ok());
        for elsewhere in ["https://b.example/Users/1", "http://a.example/x", "https://a.example:8443/x"] {
            assert!(url(elsewhere).is_err(), "{elsewhere}");
        }
        assert_eq!(wire.hide("x secret-one y secret-two"), "x [token] y [token]");
        assert_eq!(wire.hide("secret-on SECRET-ONE"), "[token] [token]", "nor in the forms it is altered to");
    }

    #[tokio::test]
    async fn a_short_wait_is_waited_and_told_and_a_long_one_is_the_answer() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = wire(&format!("http://{}", server.local_addr().unwrap()));
        tokio::spawn(async move {
            for head in ["429 Slow\r\nRetry-After: 2", "200 OK", "429 Slow\r\nRetry-After: 31"] {
                let (mut socket, _) = server.accept().await.unwrap();
                let mut asked = [0; 4096];
                assert!(socket.read(&mut asked).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let request = Request::new("GET", "/Users");
        let look = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            wire.waiting()
        };
        let (answer, waiting) = tokio::join!(wire.send(&request), look);
        assert_eq!((answer.unwrap().status, waiting, wire.waiting()), (200, Some(2), None));
        let begun = Instant::now();
        assert_eq!(wire.send(&request).await.unwrap().status, 429);
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn loopback_is_known_by_its_host() {
        for near in ["http://localhost:8080/x", "http://127.0.0.1", "http://[::1]:9/x"] {
            assert!(is_loopback(near), "{near}");
        }
        assert!(!is_loopback("https://scim.example/127.0.0.1") && !is_loopback("https://localhost.example"));
    }

    #[test]
    fn what_is_not_unreserved_is_encoded() {
        assert_eq!(encode("userName eq \"ä+b\""), "userName%20eq%20%22%C3%A4%2Bb%22");
    }
}
