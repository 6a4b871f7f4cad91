//! What a story works with: stores, keys, the outside as values. Made once, by the wiring.

use crate::{
    feed::Feed, feed_acks::Acks, providers::Providers, refusals::Strangers, request_log::RequestLog,
    signing_keys::SigningKeys, streams::SetKeyCell, uses::Uses,
};
use model::{
    Chance, Timestamp,
    ids::{ConnectionId, EventId},
};
use std::{pin::Pin, sync::Arc};
use store::{
    Call, Db,
    live::{Live, Rates},
};
use token::{pass::PassKey, refresh::RefreshKey};

/// How long things live, in seconds.
#[derive(Clone, Debug)]
pub struct Lifetimes {
    pub access_token_secs: i64,
    pub code_secs: i64,
    pub attempt_secs: i64,
    pub refresh_idle_secs: i64,
    pub refresh_absolute_secs: i64,
    pub session_idle_secs: i64,
    pub session_absolute_secs: i64,
    /// Of the tokens that directories fetch.
    pub scim_token_secs: i64,
    /// How long a signing key signs.
    pub signing_key_rotate_secs: i64,
}

/// Every link, ACS address and issuer comes from here: from settings and stored ids, never from a
/// request's Host header.
#[derive(Clone, Debug)]
pub struct Links {
    /// The public URL without a trailing slash; also the OAuth issuer.
    public_url: String,
    /// Its host without the port, lower-cased.
    host: String,
}

impl Links {
    pub fn new(public_url: &str) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        let host = host_name(public_url.split("://").nth(1).unwrap_or_default());
        Self { public_url, host }
    }
    pub fn host(&self) -> &str {
        &self.host
    }
    pub fn issuer(&self) -> &str {
        &self.public_url
    }
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }
    /// Our entity id at this connection: its metadata's own URL.
    pub fn saml_entity_id(&self, con: ConnectionId) -> String {
        self.at(&format!("/saml/{con}/metadata"))
    }
    pub fn saml_acs(&self, con: ConnectionId) -> String {
        self.at(&format!("/saml/{con}/acs"))
    }
    pub fn oidc_callback(&self, con: ConnectionId) -> String {
        self.at(&format!("/oidc/{con}/callback"))
    }
    /// Where the connection's identity provider sends logout tokens.
    pub fn backchannel_logout(&self, con: ConnectionId) -> String {
        self.at(&format!("/oidc/{con}/backchannel-logout"))
    }
    /// Where it asks for a Global Token Revocation.
    pub fn revocation_endpoint(&self, con: ConnectionId) -> String {
        self.at(&format!("/signals/{con}/global-token-revocation"))
    }
    /// Where it pushes Security Event Tokens.
    pub fn events_endpoint(&self, con: ConnectionId) -> String {
        self.at(&format!("/signals/{con}/events"))
    }
    pub fn scim_base(&self) -> String {
        self.at("/scim/v2")
    }
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

/// A host without its port, lower-cased.
pub fn host_name(host: &str) -> String {
    // The colons of an IPv6 address stand in brackets.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}

pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A request to somebody else's server. `form` or `json` makes it a POST.
#[derive(Clone, Debug, Default)]
pub struct OutboundRequest {
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<(&'static str, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub struct OutboundAnswer {
    pub status: u16,
    /// Where a redirect leads; none is followed.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl OutboundAnswer {
    /// A status that is no success, for an administrator.
    pub fn said(&self) -> String {
        match &self.location {
            Some(location) => {
                format!("status {}, a redirect to {location}; none is followed: give that URL", self.status)
            }
            None => format!("status {}", self.status),
        }
    }
}

/// Why there is no answer: a refused address, a time-out, an oversized body. `code` is stable
/// (`outbound.…`); the text is for an administrator and holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {why}")]
pub struct OutboundFault {
    pub code: &'static str,
    pub why: String,
}

/// The only way to the network: addresses are checked, redirects not followed, answers bounded.
pub trait Outbound: Send + Sync {
    /// May this URL be called at all? What can be judged without a look-up; the rest is judged at
    /// each call.
    fn may_call(&self, url: &str) -> Result<(), OutboundFault>;
    fn send(&self, request: OutboundRequest) -> Pending<'_, Result<OutboundAnswer, OutboundFault>>;
    /// The TXT records of a name, each joined to one text.
    fn txt<'a>(&'a self, name: &'a str) -> Pending<'a, Result<Vec<String>, OutboundFault>>;
}

#[derive(Clone)]
pub struct Gateway {
    pub db: Db,
    pub live: Option<Live>,
    pub keys: Arc<SigningKeys>,
    pub refresh_key: Arc<RefreshKey>,
    pub pass_key: Arc<PassKey>,
    pub set_key: Arc<SetKeyCell>,
    pub chance: Arc<dyn Chance>,
    pub clock: fn() -> Timestamp,
    pub outbound: Arc<dyn Outbound>,
    pub providers: Arc<Providers>,
    pub links: Links,
    pub strangers: Arc<Strangers>,
    pub uses: Arc<Uses>,
    pub feed: Arc<Feed>,
    pub acks: Arc<Acks>,
    pub requests: Arc<RequestLog>,
    pub lifetimes: Lifetimes,
    pub rates: Rates,
    /// May an OpenID provider or a redirect stand on http://localhost? The demo and tests only.
    pub allow_loopback: bool,
}

impl Gateway {
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
    /// A call of our own making: for jobs.
    pub fn own_call(&self) -> Call {
        let at = self.now();
        Call {
            request_id: EventId::new(at, self.chance.as_ref()).to_string(),
            ip: None,
            user_agent: None,
            at,
        }
    }
}
