//! What OpenID providers publish, kept for five minutes by connection: a stranger at the authorization
//! endpoint buys no request to anybody's server. One flight at a time a connection; a failure is kept,
//! too, for a few seconds; keys that verify nothing are fetched anew at most once a minute. The table is
//! bounded. Keys are never shared between connections: two may use the same `kid`.

use crate::{Gateway, Outbound, OutboundRequest, begin_oidc::OidcConfig};
use model::{Refusal, Timestamp, ids::ConnectionId};
use oidc::provider::{Jwks, Provider, Transport, discovery_url};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const KEPT_SECS: u64 = 300;
/// A provider that is away is asked again this soon.
const FAILURE_KEPT_SECS: u64 = 5;
/// A provider that rolls its keys over is seen this soon.
const KEYS_ANEW_SECS: u64 = 60;
/// Connections at once, some 20 KB each; beyond it the table starts afresh.
const CONNECTIONS_MAX: usize = 4_096;

type Kept<T> = Option<(Timestamp, Result<Arc<T>, Refusal>)>;

/// One connection's provider. Whoever fetches holds it; the others wait, and find it fetched.
#[derive(Default)]
struct Shelf {
    issuer: String,
    provider: Kept<Provider>,
    keys: Kept<Jwks>,
    /// Of whoever signs what we are told of the people, where that is another: where they stand, and they.
    signal_keys: (String, Kept<Jwks>),
}

#[derive(Default)]
pub struct Providers(Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<Shelf>>>>);

/// Whose provider is wanted, and by what it is asked.
pub struct Wanted<'a> {
    pub connection: ConnectionId,
    pub config: &'a OidcConfig,
    pub outbound: &'a dyn Outbound,
    pub transport: Transport,
    pub now: Timestamp,
}

impl Gateway {
    pub(crate) fn wanted<'a>(
        &'a self,
        connection: ConnectionId,
        config: &'a OidcConfig,
        now: Timestamp,
    ) -> Wanted<'a> {
        let (outbound, transport) = (self.outbound.as_ref(), transport(self));
        Wanted { connection, config, outbound, transport, now }
    }
}

/// What is kept, while it is young enough.
fn young<T>(kept: &Kept<T>, now: Timestamp) -> Option<Result<Arc<T>, Refusal>> {
    let (at, outcome) = kept.as_ref()?;
    let kept_secs = if outcome.is_ok() { KEPT_SECS } else { FAILURE_KEPT_SECS };
    is_within(*at, kept_secs, now).then(|| outcome.clone())
}

/// Either side: whoever waited came earlier than who fetched, and a clock set back makes nothing last.
fn is_within(at: Timestamp, secs: u64, now: Timestamp) -> bool {
    at.micros().abs_diff(now.micros()) < secs * 1_000_000
}

impl Providers {
    fn held(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<tokio::sync::Mutex<Shelf>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf(&self, connection: ConnectionId) -> Arc<tokio::sync::Mutex<Shelf>> {
        let mut table = self.held();
        if table.len() >= CONNECTIONS_MAX && !table.contains_key(&connection) {
            table.clear();
        }
        table.entry(connection).or_default().clone()
    }

    /// The provider, as its discovery document says.
    pub async fn provider(&self, wanted: &Wanted<'_>) -> Result<Arc<Provider>, Refusal> {
        let issuer = &wanted.config.issuer;
        let shelf = self.shelf(wanted.connection);
        let mut shelf = shelf.lock().await;
        if shelf.issuer != *issuer {
            let signal_keys = std::mem::take(&mut shelf.signal_keys);
            *shelf = Shelf { issuer: issuer.clone(), signal_keys, ..Shelf::default() };
        }
        if let Some(outcome) = young(&shelf.provider, wanted.now) {
            return outcome;
        }
        let outcome = discover(wanted.outbound, wanted.transport, issuer).await.map(Arc::new);
        if let Ok(provider) = &outcome {
            warn_of_strange_hosts(wanted, provider);
        }
        shelf.provider = Some((wanted.now, outcome.clone()));
        outcome
    }

    /// Its keys. `anew`: those that are kept verified nothing.
    pub async fn keys(
        &self,
        wanted: &Wanted<'_>,
        provider: &Provider,
        anew: bool,
    ) -> Result<Arc<Jwks>, Refusal> {
        let shelf = self.shelf(wanted.connection);
        let mut shelf = shelf.lock().await;
        fetched(&mut shelf.keys, wanted.outbound, provider.jwks_uri.as_str(), (wanted.now, anew)).await
    }

    /// The keys at an address that an administrator gave for this connection; `anew` as for `keys`.
    pub async fn keys_at(
        &self,
        connection: ConnectionId,
        url: &str,
        outbound: &dyn Outbound,
        (now, anew): (Timestamp, bool),
    ) -> Result<Arc<Jwks>, Refusal> {
        let shelf = self.shelf(connection);
        let mut shelf = shelf.lock().await;
        if shelf.signal_keys.0 != url {
            shelf.signal_keys = (url.to_owned(), None);
        }
        fetched(&mut shelf.signal_keys.1, outbound, url, (now, anew)).await
    }
}

/// What is kept, or what is there now.
async fn fetched(
    kept: &mut Kept<Jwks>,
    outbound: &dyn Outbound,
    url: &str,
    (now, anew): (Timestamp, bool),
) -> Result<Arc<Jwks>, Refusal> {
    let recent = kept.as_ref().is_some_and(|(at, _)| is_within(*at, KEYS_ANEW_SECS, now));
    if let Some(outcome) = young(kept, now).filter(|_| recent || !anew) {
        return outcome;
    }
    let fetched = fetch(outbound, url).await;
    let outcome = fetched.and_then(|document| Jwks::parse(&document)).map(Arc::new);
    *kept = Some((now, outcome.clone()));
    outcome
}

/// An endpoint at a host that was not there when an administrator made the connection: told, because
/// providers do move, and TLS and the pinned issuer vouch for the document that says so.
fn warn_of_strange_hosts(wanted: &Wanted<'_>, provider: &Provider) {
    let config = wanted.config;
    let strange: BTreeSet<String> = provider.hosts().difference(&config.hosts).cloned().collect();
    if !config.hosts.is_empty() && !strange.is_empty() {
        tracing::warn!(connection = %wanted.connection, issuer = config.issuer, hosts = ?strange,
            "the provider's endpoints are at hosts that were not there when the connection was made");
    }
}

/// How an issuer's addresses may look.
pub(crate) fn transport(gw: &Gateway) -> Transport {
    if gw.allow_loopback { Transport::LoopbackAllowed } else { Transport::HttpsOnly }
}

/// Fetches the issuer's discovery document and pins it to the issuer's name.
pub(crate) async fn discover(
    outbound: &dyn Outbound,
    transport: Transport,
    issuer: &str,
) -> Result<Provider, Refusal> {
    let url = discovery_url(issuer, transport)?;
    let document = fetch(outbound, url.as_str()).await?;
    Provider::parse(&document, issuer, transport)
}

async fn fetch(outbound: &dyn Outbound, url: &str) -> Result<Vec<u8>, Refusal> {
    let asked = OutboundRequest { url: url.to_owned(), ..OutboundRequest::default() };
    match outbound.send(asked).await {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        Ok(answer) => Err(unreachable(url, &answer.said())),
        Err(fault) => Err(unreachable(url, &fault.to_string())),
    }
}

pub(crate) fn unreachable(url: &str, why: &str) -> Refusal {
    Refusal::stranger("oidc.provider_unreachable").with("url", url).with("why", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OutboundAnswer, OutboundFault, gateway::Pending};
    use serde_json::json;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    const ISSUER: &str = "https://idp.example";
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[derive(Default)]
    struct Scripted {
        documents: AtomicUsize,
        keys: AtomicUsize,
        away: AtomicBool,
    }

    impl Outbound for Scripted {
        fn may_call(&self, _: &str) -> Result<(), OutboundFault> {
            Ok(())
        }
        fn send(&self, request: OutboundRequest) -> Pending<'_, Result<OutboundAnswer, OutboundFault>> {
            Box::pin(async move {
                // Somebody else's server takes its time: the others come meanwhile.
                tokio::task::yield_now().await;
                let is_document = request.url.ends_with("/.well-known/openid-configuration");
                let count = if is_document { &self.documents } else { &self.keys };
                count.fetch_add(1, Ordering::Relaxed);
                let body = if is_document {
                    json!({"issuer": ISSUER, "authorization_endpoint": "https://idp.example/a",
                        "token_endpoint": "https://idp.example/t", "jwks_uri": "https://idp.example/k",
                        "response_types_supported": ["code"], "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["ES256"]})
                } else {
                    let point = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
                    json!({"keys": [{"kty": "EC", "crv": "P-256", "x": point, "y": point, "kid": "1"}]})
                };
                let status = if self.away.load(Ordering::Relaxed) { 503 } else { 200 };
                Ok(OutboundAnswer { status, location: None, body: body.to_string().into_bytes() })
            })
        }
        fn txt<'a>(&'a self, _: &'a str) -> Pending<'a, Result<Vec<String>, OutboundFault>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    fn config() -> OidcConfig {
        serde_json::from_value(json!({"issuer": ISSUER, "client_id": "c"})).unwrap()
    }

    fn wanted<'a>(outbound: &'a Scripted, config: &'a OidcConfig, after_secs: i64) -> Wanted<'a> {
        let connection = ConnectionId::from_uuid(uuid::Uuid::from_u128(1));
        let now = NOW.plus_secs(after_secs);
        Wanted { connection, config, outbound, transport: Transport::HttpsOnly, now }
    }

    #[tokio::test]
    async fn a_document_is_fetched_once_in_five_minutes_however_many_ask() {
        let (outbound, config, providers) = (Scripted::default(), config(), Providers::default());
        let first = wanted(&outbound, &config, 0);
        let (a, b, c) =
            tokio::join!(providers.provider(&first), providers.provider(&first), providers.provider(&first));
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        for after_secs in [-1, 299] {
            assert!(providers.provider(&wanted(&outbound, &config, after_secs)).await.is_ok());
        }
        assert_eq!(outbound.documents.load(Ordering::Relaxed), 1);
        assert!(providers.provider(&wanted(&outbound, &config, 300)).await.is_ok());
        assert_eq!(outbound.documents.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn keys_that_verify_nothing_are_fetched_anew_once_a_minute() {
        let (outbound, config, providers) = (Scripted::default(), config(), Providers::default());
        let provider = providers.provider(&wanted(&outbound, &config, 0)).await.unwrap();
        for (after_secs, anew, fetched) in [
            (0, false, 1),
            (1, true, 1),
            (59, true, 1),
            (60, false, 1),
            (60, true, 2),
            (61, true, 2),
            (360, false, 3),
        ] {
            assert!(providers.keys(&wanted(&outbound, &config, after_secs), &provider, anew).await.is_ok());
            assert_eq!(outbound.keys.load(Ordering::Relaxed), fetched, "after {after_secs} s");
        }
    }

    #[tokio::test]
    async fn a_provider_that_is_away_is_not_asked_by_every_stranger() {
        let (outbound, config, providers) = (Scripted::default(), config(), Providers::default());
        outbound.away.store(true, Ordering::Relaxed);
        for after_secs in [0, 0, 4] {
            let refused = providers.provider(&wanted(&outbound, &config, after_secs)).await.unwrap_err();
            assert_eq!(refused.code, "oidc.provider_unreachable");
        }
        assert_eq!(outbound.documents.load(Ordering::Relaxed), 1);
        outbound.away.store(false, Ordering::Relaxed);
        assert!(providers.provider(&wanted(&outbound, &config, 5)).await.is_ok());
    }

    #[tokio::test]
    async fn another_issuer_is_another_provider_and_the_table_has_an_end() {
        let (outbound, config, providers) = (Scripted::default(), config(), Providers::default());
        assert!(providers.provider(&wanted(&outbound, &config, 0)).await.is_ok());
        let other = OidcConfig { issuer: "https://other.example".to_owned(), ..config.clone() };
        let refused = providers.provider(&wanted(&outbound, &other, 1)).await.unwrap_err();
        assert_eq!(refused.code, "oidc.issuer_mismatch", "asked anew, and the script has one issuer");
        for n in 0..=CONNECTIONS_MAX {
            providers.shelf(ConnectionId::from_uuid(uuid::Uuid::from_u128(u128::try_from(n).unwrap())));
            assert!(providers.held().len() <= CONNECTIONS_MAX);
        }
    }
}
