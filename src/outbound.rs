//! The only outgoing socket. A name is resolved once, every address judged, and the connection
//! made to a judged address: nothing is resolved again between the judgement and the connection.
//! https alone, no redirects, no proxy from the environment, 5 s and 1 MB for everything.
//! Loopback (and then plain http) only where the settings say so: the demo and tests.

mod addresses;
#[cfg(feature = "otlp")]
mod collector;
mod dns;
mod request;

#[cfg(feature = "otlp")]
pub(crate) use collector::Collector;
pub use request::{Answer, Method, Request};

use addresses::judge;
use model::Chance;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use std::{
    error::Error,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use url::{Host, Url};

/// What an outgoing request gives, in time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, OutboundError>> + Send + 'a>>;

/// The world outside as a value: the process gives `Sockets`, a test gives a script.
pub trait Outbound: Send + Sync {
    /// One request, one answer; any status is an answer.
    fn send(&self, request: Request) -> Pending<'_, Answer>;
    /// The TXT records of a name, each as one text; none when there are none.
    fn txt<'a>(&'a self, name: &'a str) -> Pending<'a, Vec<String>>;
}

impl dyn Outbound + '_ {
    /// GET, with no header but `Accept`.
    ///
    /// # Errors
    /// As `OutboundError` says.
    pub async fn get(&self, url: &str) -> Result<Answer, OutboundError> {
        self.send(Request::get(url)).await
    }

    /// POST of `application/x-www-form-urlencoded` fields.
    ///
    /// # Errors
    /// As `OutboundError` says.
    pub async fn post_form(
        &self,
        url: &str,
        fields: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, OutboundError> {
        self.send(Request::post_form(url, fields).headers(headers)).await
    }

    /// POST of a JSON text, byte for byte as given: a signature may cover it.
    ///
    /// # Errors
    /// As `OutboundError` says.
    pub async fn post_json(
        &self,
        url: &str,
        body: Vec<u8>,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, OutboundError> {
        self.send(Request::post_json(url, body).headers(headers)).await
    }
}

#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum OutboundError {
    #[error("not a URL that may be called: {0}")]
    BadUrl(&'static str),
    #[error("{0} leads to an address that is not on the public internet")]
    Denied(String),
    #[error("the name {0} does not resolve")]
    Unresolved(String),
    #[error("no answer within {0} s")]
    Late(u64),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the connection failed: {0}")]
    Failed(String),
}

impl OutboundError {
    /// Stable text for an administrator's trace.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadUrl(_) => "outbound.bad_url",
            Self::Denied(_) => "outbound.address_denied",
            Self::Unresolved(_) => "outbound.unresolved",
            Self::Late(_) => "outbound.timeout",
            Self::TooLarge(_) => "outbound.too_large",
            Self::Failed(_) => "outbound.failed",
        }
    }
}

/// Bounds of one request, from the first lookup to the last byte.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    total: Duration,
    body_bytes_max: usize,
}

/// Long enough for a slow provider, short enough that a login does not hang on a dead one.
const BOUNDS: Bounds = Bounds { total: Duration::from_secs(5), body_bytes_max: 1_000_000 };
const URL_BYTES_MAX: usize = 2_048;
/// An error's text names at most this much of what the other side caused.
const WHY_CHARS_MAX: usize = 200;

fn tls() -> Result<ClientConfig, OutboundError> {
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| failed(&why))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Real sockets, behind the guard.
#[derive(Clone)]
pub struct Sockets {
    client: reqwest::Client,
    allow_loopback: bool,
    bounds: Bounds,
    name_servers: Vec<SocketAddr>,
    chance: Arc<dyn Chance>,
}

impl Sockets {
    /// # Errors
    /// The TLS library refuses its own defaults: a broken build.
    pub fn new(allow_loopback: bool, chance: Arc<dyn Chance>) -> Result<Self, OutboundError> {
        Self::with(allow_loopback, chance, BOUNDS, Arc::new(|name| Box::pin(system_lookup(name))))
    }

    /// Asks these name servers for TXT records; none given: the machine's own.
    #[must_use]
    pub fn asking(mut self, name_servers: Vec<SocketAddr>) -> Self {
        if !name_servers.is_empty() {
            self.name_servers = name_servers;
        }
        self
    }

    #[expect(clippy::disallowed_methods, reason = "the one client for what others name")]
    fn with(
        allow_loopback: bool,
        chance: Arc<dyn Chance>,
        bounds: Bounds,
        lookup: Lookup,
    ) -> Result<Self, OutboundError> {
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls()?)
            .dns_resolver(Arc::new(Guard { allow_loopback, lookup }))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("Vestibule/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .build()
            .map_err(|why| failed(&why))?;
        Ok(Self { client, allow_loopback, bounds, name_servers: dns::name_servers(), chance })
    }

    /// What can be judged of a URL without a look-up.
    ///
    /// # Errors
    /// `BadUrl`, or `Denied` for an inner address written out.
    pub fn may_call(&self, url: &str) -> Result<(), OutboundError> {
        callable(url, self.allow_loopback).map(|_| ())
    }

    async fn exchange(&self, request: Request) -> Result<Answer, OutboundError> {
        let url = callable(&request.url, self.allow_loopback)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut call = match request.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url).body(request.body),
        };
        for (name, value) in &request.headers {
            call = call.header(*name, value);
        }
        let mut response = call.send().await.map_err(|why| explain(&why, &host))?;
        let max = self.bounds.body_bytes_max;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|why| explain(&why, &host))? {
            if body.len() + chunk.len() > max {
                return Err(OutboundError::TooLarge(max));
            }
            body.extend_from_slice(&chunk);
        }
        let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
        let headers = response.headers();
        let headers = headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
        Ok(Answer { status: response.status().as_u16(), headers: headers.collect(), body })
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, OutboundError>> + Send,
    ) -> Result<T, OutboundError> {
        let late = OutboundError::Late(self.bounds.total.as_secs());
        tokio::time::timeout(self.bounds.total, work).await.unwrap_or(Err(late))
    }
}

impl Outbound for Sockets {
    fn send(&self, request: Request) -> Pending<'_, Answer> {
        Box::pin(self.in_time(self.exchange(request)))
    }
    fn txt<'a>(&'a self, name: &'a str) -> Pending<'a, Vec<String>> {
        Box::pin(self.in_time(dns::txt(name, &self.name_servers, &*self.chance)))
    }
}

/// Reads a URL and judges all that can be judged before a lookup. The URL parser turns decimal, octal,
/// hexadecimal and short IPv4 forms into the address they mean.
fn callable(text: &str, allow_loopback: bool) -> Result<Url, OutboundError> {
    if text.len() > URL_BYTES_MAX {
        return Err(OutboundError::BadUrl("too long"));
    }
    let mut url = Url::parse(text).map_err(|_| OutboundError::BadUrl("not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(OutboundError::BadUrl("it carries a user"));
    }
    let (literal, local) = match url.host() {
        Some(Host::Ipv4(ip)) => (Some(IpAddr::V4(ip)), ip.is_loopback()),
        Some(Host::Ipv6(ip)) => (Some(IpAddr::V6(ip)), ip.is_loopback()),
        Some(Host::Domain(name)) => (None, is_localhost(name)),
        None => return Err(OutboundError::BadUrl("no host")),
    };
    match url.scheme() {
        "https" => {}
        "http" if allow_loopback && local => {}
        _ => return Err(OutboundError::BadUrl("only https may be called")),
    }
    let denied = literal.is_some_and(|ip| !judge(ip, allow_loopback)) || (local && !allow_loopback);
    if denied {
        return Err(OutboundError::Denied(url.host_str().unwrap_or_default().into()));
    }
    url.set_fragment(None);
    Ok(url)
}

/// RFC 6761 6.3: never asked of a name server.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

type Lookup =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync>;

async fn system_lookup(name: String) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
}

/// Gives the client judged addresses and no others.
struct Guard {
    allow_loopback: bool,
    lookup: Lookup,
}

/// A name that led to no address one may call.
#[derive(Debug, thiserror::Error)]
#[error("denied")]
struct NoneAllowed;

/// No answer from the name service.
#[derive(Debug, thiserror::Error)]
#[error("unresolved")]
struct NoAddress;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_loopback = self.allow_loopback;
        let name = name.as_str().to_owned();
        let lookup = Arc::clone(&self.lookup);
        Box::pin(async move {
            let found = if is_localhost(&name) {
                vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            } else {
                lookup(name).await.map_err(|_| NoAddress)?
            };
            if found.is_empty() {
                return Err(NoAddress.into());
            }
            // The port of the URL takes the place of 0.
            let allowed: Vec<_> = found
                .into_iter()
                .filter(|ip| judge(*ip, allow_loopback))
                .map(|ip| SocketAddr::new(ip, 0))
                .collect();
            if allowed.is_empty() {
                return Err(NoneAllowed.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The cause at the bottom of the client's error, in our words.
fn explain(why: &(dyn Error + 'static), host: &str) -> OutboundError {
    let mut cause = Some(why);
    let mut deepest = why;
    while let Some(error) = cause {
        if error.is::<NoneAllowed>() {
            return OutboundError::Denied(host.into());
        }
        if error.is::<NoAddress>() {
            return OutboundError::Unresolved(host.into());
        }
        deepest = error;
        cause = error.source();
    }
    failed(deepest)
}

fn failed(why: &(dyn Error + 'static)) -> OutboundError {
    OutboundError::Failed(why.to_string().chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests;
