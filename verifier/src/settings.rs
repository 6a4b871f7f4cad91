//! What an app says of itself and of Vestibule, and every bound with its default.

use crate::{
    Verifier,
    claims::Expected,
    client_key::{ClientKey, Credential, Proof},
    remote::{Remote, RemoteError, basic},
};
use reqwest::Url;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{sync::Arc, time::Duration};

/// What happens when the verifier has not heard of the gateway for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// After 2 s each token is asked about at the gateway (`/oauth2/introspect`); if that fails, 503.
    Strict,
    /// The same after 30 s.
    #[default]
    Bounded,
    /// No token is refused for staleness: while the gateway cannot be reached, a revocation is learned of when
    /// the token ends. It is said: a warning in the log, and in [`Verifier::health`].
    BestEffort,
}

impl Mode {
    /// How old knowledge may be; no bound in `BestEffort`.
    pub const fn staleness_max(self) -> Option<Duration> {
        match self {
            Self::Strict => Some(Duration::from_secs(2)),
            Self::Bounded => Some(Duration::from_secs(30)),
            Self::BestEffort => None,
        }
    }
}

/// Why a verifier does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The issuer is no `https` URL (or `http` on loopback), or has a query or a fragment.
    #[error("the issuer has to be an https URL without query and fragment")]
    Issuer,
    /// Audience, client id or client secret is empty.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// A bound is out of its range.
    #[error("{0} is out of its bounds")]
    OutOfBounds(&'static str),
    /// No certificate could be read, or TLS could not be set up.
    #[error("certificates: {0}")]
    Certificates(String),
    /// [`Builder::build`] and [`Builder::start`] have to be called within a tokio runtime.
    #[error("there is no tokio runtime")]
    NoRuntime,
    /// The discovery document is another issuer's: `iss` of a token is compared byte by byte.
    #[error("the issuer calls itself {0:?}")]
    AnotherIssuer(String),
    /// The private key cannot be read, or is of a kind that the gateway does not take.
    #[error("the client's key: {0}")]
    ClientKey(&'static str),
    /// The gateway does not know the client, or not by this secret or key.
    #[error("the gateway does not accept the client id with its secret or key")]
    WrongClient,
    /// Not caught up in time, for this reason at last.
    #[error("not caught up with the gateway in time: {0}")]
    Late(String),
}

/// How long [`Builder::start`] waits.
pub(crate) const START_MAX: Duration = Duration::from_secs(10);
/// Leeway between two clocks, at most.
const LEEWAY_SECS_MAX: u64 = 60;
const CACHED_TOKENS_MAX: usize = 1_000_000;
const WATERMARKS: std::ops::RangeInclusive<usize> = 1_000..=10_000_000;
/// Tighter than the modes only; below this a single lost packet is staleness.
const STALENESS_MIN: Duration = Duration::from_millis(500);

/// A verifier about to be: see [`Verifier::builder`].
#[derive(Clone)]
pub struct Builder {
    issuer: String,
    audience: String,
    client: Option<(String, Credential)>,
    mode: Mode,
    leeway_secs: u64,
    cached_tokens_max: usize,
    watermarks_max: usize,
    staleness_max: Option<Duration>,
    authority: Option<Vec<u8>>,
}

/// Never the secret or key: it would end in a log.
impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Builder({} for {})", self.issuer, self.audience)
    }
}

/// What the running verifier goes by.
pub(crate) struct Rules {
    pub(crate) expected: Expected,
    pub(crate) mode: Mode,
    /// None: no bound.
    pub(crate) staleness_max: Option<Duration>,
    pub(crate) cached_tokens_max: usize,
    pub(crate) watermarks_max: usize,
}

impl Builder {
    pub(crate) fn new(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            client: None,
            mode: Mode::default(),
            leeway_secs: 5,
            cached_tokens_max: 10_000,
            watermarks_max: 200_000,
            staleness_max: None,
            authority: None,
        }
    }

    /// The app's own client id and secret, by which it hears of revocations and may ask. This or
    /// [`client_key`](Self::client_key) is needed.
    #[must_use]
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        self.client = Some((id.to_owned(), Credential::Secret(secret.to_owned())));
        self
    }

    /// Instead of a secret, the private key of an app that is registered with `private_key_jwt`: PKCS #8 as PEM, of
    /// P-256 (ES256), Ed25519 (EdDSA) or RSA (RS256). `kid` is the one in its `jwks`, needed where several are of a kind.
    /// Each request carries an assertion of its own, whose audience is the issuer.
    #[must_use]
    pub fn client_key(mut self, id: &str, pem: &[u8], kid: Option<&str>) -> Self {
        self.client = Some((id.to_owned(), Credential::Key(pem.to_vec(), kid.map(str::to_owned))));
        self
    }

    /// [`Mode::Bounded`] if nothing is said.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How far this machine's clock and the gateway's may be apart: 0 to 60 s, 5 by default. An expired token
    /// lives so much longer here.
    #[must_use]
    pub fn leeway_secs(mut self, secs: u64) -> Self {
        self.leeway_secs = secs;
        self
    }

    /// Verified signatures to remember: 0 to 1,000,000, by default 10,000, about a kilobyte each.
    #[must_use]
    pub fn cached_tokens_max(mut self, tokens: usize) -> Self {
        self.cached_tokens_max = tokens;
        self
    }

    /// Revocations to remember: 1,000 to 10,000,000, by default 200,000, about 150 bytes each. Beyond it,
    /// orgs with many are judged as wholes, so that people there fetch a new token once more.
    #[must_use]
    pub fn watermarks_max(mut self, marks: usize) -> Self {
        self.watermarks_max = marks;
        self
    }

    /// A bound of one's own, tighter than the mode's: 500 ms at least.
    #[must_use]
    pub fn staleness_max(mut self, bound: Duration) -> Self {
        self.staleness_max = Some(bound);
        self
    }

    /// Certificates, as PEM, to trust instead of the public web's: for a gateway behind a private authority.
    #[must_use]
    pub fn authority_pem(mut self, pem: &[u8]) -> Self {
        self.authority = Some(pem.to_vec());
        self
    }

    /// Begins in the background, and tries until it succeeds; tokens are refused with 503 until then.
    ///
    /// # Errors
    /// What can be seen without the network: `Issuer`, `Missing`, `OutOfBounds`, `ClientKey`, `Certificates`, `NoRuntime`.
    pub fn build(self) -> Result<Verifier, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let (rules, remote) = self.checked()?;
        Ok(Verifier::run(rules, remote, &runtime))
    }

    /// Begins, and waits until keys and revocations are known, for 10 s at most.
    ///
    /// # Errors
    /// As [`build`](Self::build); `AnotherIssuer` and `WrongClient` at once; `Late` after 10 s.
    pub async fn start(self) -> Result<Verifier, StartError> {
        let verifier = self.build()?;
        verifier.caught_up().await?;
        Ok(verifier)
    }

    fn checked(self) -> Result<(Rules, Remote), StartError> {
        let issuer = self.issuer.parse::<Url>().ok().filter(is_issuer).ok_or(StartError::Issuer)?;
        let (id, credential) = self.client.as_ref().ok_or(StartError::Missing("client"))?;
        for (name, text) in [("audience", &self.audience), ("client id", id)] {
            if text.is_empty() {
                return Err(StartError::Missing(name));
            }
        }
        let unsendable = |why: RemoteError| StartError::Certificates(why.to_string());
        let proof = match credential {
            Credential::Secret(secret) if secret.is_empty() => {
                return Err(StartError::Missing("client secret"));
            }
            Credential::Secret(secret) => Proof::Secret(basic(id, secret).map_err(unsendable)?),
            Credential::Key(pem, kid) => {
                Proof::Key(ClientKey::read((id, &self.issuer), pem, kid.as_deref())?)
            }
        };
        let within = |name, holds: bool| if holds { Ok(()) } else { Err(StartError::OutOfBounds(name)) };
        within("leeway_secs", self.leeway_secs <= LEEWAY_SECS_MAX)?;
        within("cached_tokens_max", self.cached_tokens_max <= CACHED_TOKENS_MAX)?;
        within("watermarks_max", WATERMARKS.contains(&self.watermarks_max))?;
        let own = self.mode.staleness_max();
        let tighter = |bound| own.is_some_and(|own| bound >= STALENESS_MIN && bound <= own);
        within("staleness_max", self.staleness_max.is_none_or(tighter))?;
        let tls = tls(self.authority.as_deref())?;
        let remote = Remote::new(&self.issuer, issuer, proof, tls).map_err(|why| match why {
            RemoteError::Failed(why) => StartError::Certificates(why),
            other => StartError::Certificates(other.to_string()),
        })?;
        let rules = Rules {
            expected: Expected {
                issuer: self.issuer,
                audience: self.audience,
                leeway_secs: self.leeway_secs,
            },
            mode: self.mode,
            staleness_max: self.staleness_max.or(own),
            cached_tokens_max: self.cached_tokens_max,
            watermarks_max: self.watermarks_max,
        };
        Ok((rules, remote))
    }
}

/// https, or http to this very machine: RFC 8414 2.
fn is_issuer(url: &Url) -> bool {
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    let bare = url.query().is_none() && url.fragment().is_none();
    scheme && bare && url.username().is_empty() && url.password().is_none() && url.has_host()
}

fn tls(authority: Option<&[u8]>) -> Result<ClientConfig, StartError> {
    let broken = |why: &dyn std::fmt::Display| StartError::Certificates(why.to_string());
    let mut roots = RootCertStore::empty();
    match authority {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(|why| broken(&why))?).map_err(|why| broken(&why))?;
            }
            if roots.is_empty() {
                return Err(broken(&"no certificate in the PEM text"));
            }
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| broken(&why))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(issuer: &str) -> Builder {
        Builder::new(issuer, "app_1").client("app_1", "secret")
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_before_the_network() {
        let good = ["https://login.example.com", "https://example.com/t/x", "http://localhost:8080"];
        for issuer in good.iter().chain(&["http://127.0.0.1:1", "http://[::1]:1"]) {
            assert!(builder(issuer).checked().is_ok(), "{issuer}");
        }
        let bad = [
            "",
            "login.example.com",
            "http://login.example.com",
            "http://localhost.evil.example",
            "https://a@example.com",
            "https://example.com?x",
            "https://example.com#x",
            "file:///etc/passwd",
        ];
        for issuer in bad {
            assert_eq!(builder(issuer).checked().err(), Some(StartError::Issuer), "{issuer}");
        }
        let good = || builder("https://example.com");
        let why = |builder: Builder| builder.checked().err();
        let none = Builder::new("https://example.com", "app_1");
        assert_eq!(why(none), Some(StartError::Missing("client")));
        assert_eq!(why(good().client("app_1", "")), Some(StartError::Missing("client secret")));
        assert!(good().leeway_secs(60).checked().is_ok());
        assert_eq!(why(good().leeway_secs(61)), Some(StartError::OutOfBounds("leeway_secs")));
        assert_eq!(why(good().watermarks_max(999)), Some(StartError::OutOfBounds("watermarks_max")));
        assert_eq!(
            why(good().cached_tokens_max(1_000_001)),
            Some(StartError::OutOfBounds("cached_tokens_max"))
        );
        let stale = Some(StartError::OutOfBounds("staleness_max"));
        assert_eq!(why(good().staleness_max(Duration::from_secs(31))), stale, "looser than the mode");
        assert_eq!(why(good().staleness_max(Duration::from_millis(499))), stale);
        assert_eq!(why(good().mode(Mode::BestEffort).staleness_max(Duration::from_secs(1))), stale);
        assert!(matches!(why(good().authority_pem(b"nothing")), Some(StartError::Certificates(_))));
        assert!(!format!("{:?}", good()).contains("secret"));
    }

    #[test]
    fn without_a_runtime_there_is_no_verifier() {
        assert_eq!(builder("https://example.com").build().err(), Some(StartError::NoRuntime));
    }
}
