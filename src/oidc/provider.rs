//! A provider as its discovery document says, read once and pinned: issuer byte for byte, endpoints
//! over https, algorithms from our own list. And its key set. Neither is ever fetched here.
//! OIDC Discovery 3 and 4.3, RFC 9207 3, RFC 7517.

use crate::strict::{decode, object};
use model::Refusal;
use openidconnect::{
    core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm, CoreProviderMetadata},
    url::{Host, Url},
};
use serde_json::Value;
use std::{collections::BTreeSet, fmt};

/// The largest discovery document in the field is under 10 KiB.
pub const DISCOVERY_BYTES_MAX: usize = 128 * 1024;
/// A key set with certificates is under 20 KiB.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;
/// Providers publish two to ten keys.
pub const JWKS_KEYS_MAX: usize = 64;
/// NIST SP 800-131A and the IPSIE common requirements: RSA of 2048 bits at least.
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// Which addresses an endpoint may have. Loopback over http is for the demo and for tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    HttpsOnly,
    LoopbackAllowed,
}

/// What we hold a provider to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provider {
    pub issuer: String,
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    pub jwks_uri: Url,
    pub userinfo_endpoint: Option<Url>,
    /// Whether the provider promises `iss` in its answers: then a missing one is refused.
    pub answers_with_iss: bool,
    pub algorithms: Vec<CoreJwsSigningAlgorithm>,
}

/// Asymmetric algorithms only: an HMAC could be keyed with anything public.
pub(crate) fn is_known(algorithm: &CoreJwsSigningAlgorithm) -> bool {
    use CoreJwsSigningAlgorithm as Jws;
    matches!(
        algorithm,
        Jws::RsaSsaPkcs1V15Sha256
            | Jws::RsaSsaPkcs1V15Sha384
            | Jws::RsaSsaPkcs1V15Sha512
            | Jws::RsaSsaPssSha256
            | Jws::RsaSsaPssSha384
            | Jws::RsaSsaPssSha512
            | Jws::EcdsaP256Sha256
            | Jws::EcdsaP384Sha384
            | Jws::EdDsa
    )
}

impl Provider {
    /// Reads a discovery document and pins it to the issuer the administrator entered.
    ///
    /// # Errors
    /// `oidc.discovery_too_long`, `oidc.discovery_malformed`, `oidc.issuer_mismatch`,
    /// `oidc.endpoint` (absent, not https, with user or fragment), `oidc.no_algorithm`.
    pub fn parse(document: &[u8], issuer: &str, transport: Transport) -> Result<Self, Refusal> {
        if document.len() > DISCOVERY_BYTES_MAX {
            return Err(Refusal::stranger("oidc.discovery_too_long"));
        }
        let malformed =
            |why: &dyn fmt::Display| Refusal::stranger("oidc.discovery_malformed").with("why", why);
        let members = object(document).ok_or_else(|| malformed(&"not a JSON object, or a member twice"))?;
        let absent = |name: &&&str| members.get(**name).is_none_or(Value::is_null);
        let endpoints = ["authorization_endpoint", "token_endpoint", "jwks_uri"];
        if let (true, Some(name)) = (members.contains_key("issuer"), endpoints.iter().find(absent)) {
            return Err(Refusal::stranger("oidc.endpoint").with("endpoint", name).with("received", "none"));
        }
        let metadata: CoreProviderMetadata =
            serde_json::from_value(Value::Object(members.clone())).map_err(|error| malformed(&error))?;
        // Byte for byte, before any URL parser has smoothed it (Discovery 4.3).
        let said = members.get("issuer").and_then(Value::as_str).unwrap_or_default();
        if said != issuer {
            return Err(Refusal::stranger("oidc.issuer_mismatch")
                .with("expected", issuer)
                .with("received", said));
        }
        endpoint("issuer", issuer, transport)?;
        let algorithms: Vec<_> = metadata
            .id_token_signing_alg_values_supported()
            .iter()
            .filter(|a| is_known(a))
            .cloned()
            .collect();
        if algorithms.is_empty() {
            return Err(Refusal::stranger("oidc.no_algorithm"));
        }
        let answers_with_iss = match members.get("authorization_response_iss_parameter_supported") {
            None => false,
            Some(Value::Bool(promised)) => *promised,
            Some(_) => return Err(malformed(&"authorization_response_iss_parameter_supported")),
        };
        let token = metadata.token_endpoint().map_or("", |url| url.as_str());
        let userinfo = metadata.userinfo_endpoint().map(|url| url.as_str());
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: endpoint(
                "authorization_endpoint",
                metadata.authorization_endpoint().as_str(),
                transport,
            )?,
            token_endpoint: endpoint("token_endpoint", token, transport)?,
            jwks_uri: endpoint("jwks_uri", metadata.jwks_uri().as_str(), transport)?,
            userinfo_endpoint: userinfo
                .map(|url| endpoint("userinfo_endpoint", url, transport))
                .transpose()?,
            answers_with_iss,
            algorithms,
        })
    }

    /// The hosts that its endpoints stand at, each with its port where that is not https's own.
    pub fn hosts(&self) -> BTreeSet<String> {
        [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri]
            .into_iter()
            .chain(&self.userinfo_endpoint)
            .filter_map(|url| {
                let host = url.host_str()?;
                Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
            })
            .collect()
    }
}

/// The document's address for an issuer (Discovery 4: appended, never inserted).
pub fn discovery_url(issuer: &str, transport: Transport) -> Result<Url, Refusal> {
    endpoint("issuer", issuer, transport)?;
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    endpoint("issuer", &url, transport)
}

fn endpoint(name: &'static str, text: &str, transport: Transport) -> Result<Url, Refusal> {
    let refusal = Refusal::stranger("oidc.endpoint").with("endpoint", name).with("received", text);
    let Ok(url) = Url::parse(text) else { return Err(refusal) };
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let safe = match (url.scheme(), transport) {
        ("https", Transport::HttpsOnly | Transport::LoopbackAllowed) => true,
        ("http", Transport::LoopbackAllowed) => loopback,
        _ => false,
    };
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if safe && bare { Ok(url) } else { Err(refusal) }
}

/// One connection's keys. Never shared between connections: two may use the same `kid`.
#[derive(Clone, Debug)]
pub struct Jwks(pub(crate) CoreJsonWebKeySet);

impl Jwks {
    /// Reads a key set, leaving out keys that cannot sign for us: symmetric ones, private ones, RSA
    /// under 2048 bits, unknown kinds.
    ///
    /// # Errors
    /// `oidc.jwks_malformed` (also too long, or too many keys), `oidc.jwks_empty`.
    pub fn parse(document: &[u8]) -> Result<Self, Refusal> {
        let malformed = || Refusal::stranger("oidc.jwks_malformed");
        if document.len() > JWKS_BYTES_MAX {
            return Err(malformed());
        }
        let members = object(document).ok_or_else(malformed)?;
        let keys = members.get("keys").and_then(Value::as_array).ok_or_else(malformed)?;
        if keys.len() > JWKS_KEYS_MAX {
            return Err(malformed());
        }
        let usable: Vec<CoreJsonWebKey> = keys
            .iter()
            .filter(|key| is_usable(key))
            .filter_map(|key| serde_json::from_value(key.clone()).ok())
            .collect();
        if usable.is_empty() {
            return Err(Refusal::stranger("oidc.jwks_empty"));
        }
        Ok(Self(CoreJsonWebKeySet::new(usable)))
    }
}

fn is_usable(key: &Value) -> bool {
    let member = |name| key.get(name).and_then(Value::as_str);
    let strong = match member("kty") {
        Some("RSA") => member("n")
            .and_then(decode)
            .is_some_and(|n| n.iter().skip_while(|byte| **byte == 0).count() >= RSA_MODULUS_BYTES_MIN),
        Some("EC" | "OKP") => true,
        _ => false,
    };
    strong && key.get("d").is_none() && member("use").is_none_or(|usage| usage == "sig")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://idp.example/t/1";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://idp.example/authorize",
            "token_endpoint": "https://idp.example/token",
            "jwks_uri": "https://idp.example/keys",
            "response_types_supported": ["code", "something new"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none", "XX999"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn read(document: &Value) -> Result<Provider, Refusal> {
        Provider::parse(document.to_string().as_bytes(), ISSUER, Transport::HttpsOnly)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut changed = document();
        changed[name] = value;
        changed
    }

    #[test]
    fn a_document_is_pinned_with_asymmetric_algorithms_alone() {
        let provider = read(&document()).unwrap();
        assert_eq!(provider.algorithms, [CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256]);
        assert!(provider.answers_with_iss);
        let none = with("id_token_signing_alg_values_supported", json!(["HS256", "none"]));
        assert_eq!(read(&none).unwrap_err().code, "oidc.no_algorithm");
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        for other in ["https://idp.example/t/1/", "https://IDP.example/t/1", "https://idp.example:443/t/1"] {
            assert_eq!(
                read(&with("issuer", json!(other))).unwrap_err().code,
                "oidc.issuer_mismatch",
                "{other}"
            );
        }
    }

    #[test]
    fn endpoints_are_https_without_user_or_fragment() {
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"] {
            for bad in [
                "http://idp.example/x",
                "http://127.0.0.1/x",
                "https://u:p@idp.example/x",
                "https://idp.example/x#f",
                "javascript:alert(1)",
                "file:///etc/passwd",
            ] {
                assert_eq!(read(&with(name, json!(bad))).unwrap_err().code, "oidc.endpoint", "{name} {bad}");
            }
        }
        let mut without = document();
        without.as_object_mut().unwrap().remove("token_endpoint");
        assert_eq!(read(&without).unwrap_err().code, "oidc.endpoint");
    }

    #[test]
    fn loopback_over_http_needs_its_permission_and_a_real_loopback() {
        let parse = |url: &str, transport| endpoint("x", url, transport).is_ok();
        for url in ["http://127.0.0.1:9/a", "http://localhost:9/a", "http://[::1]/a"] {
            assert!(parse(url, Transport::LoopbackAllowed) && !parse(url, Transport::HttpsOnly), "{url}");
        }
        for url in ["http://localhost.evil.example/", "http://10.0.0.1/", "http://127.0.0.1.nip.io/"] {
            assert!(!parse(url, Transport::LoopbackAllowed), "{url}");
        }
    }

    #[test]
    fn malformed_documents_are_refused() {
        let long = vec![b' '; DISCOVERY_BYTES_MAX + 1];
        let parse = |bytes: &[u8]| Provider::parse(bytes, ISSUER, Transport::HttpsOnly).unwrap_err().code;
        assert_eq!(parse(&long), "oidc.discovery_too_long");
        let twice = document().to_string().replacen('{', r#"{"issuer":"https://evil.example","#, 1);
        for bad in ["", "[]", "{}", twice.as_str()] {
            assert_eq!(parse(bad.as_bytes()), "oidc.discovery_malformed", "{bad}");
        }
        let flag = with("authorization_response_iss_parameter_supported", json!("true"));
        assert_eq!(read(&flag).unwrap_err().code, "oidc.discovery_malformed");
    }

    #[test]
    fn its_hosts_are_those_of_every_endpoint() {
        let moved = with("token_endpoint", json!("https://elsewhere.example:8443/token"));
        let hosts = read(&moved).unwrap().hosts();
        assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["elsewhere.example:8443", "idp.example"]);
    }

    #[test]
    fn weak_private_symmetric_and_encryption_keys_are_left_out() {
        let n = |bytes: usize| crate::strict::encode(&vec![0xff; bytes]);
        let rsa = |bytes| json!({"kty":"RSA","n":n(bytes),"e":"AQAB"});
        let parse = |keys: Value| {
            Jwks::parse(json!({ "keys": keys }).to_string().as_bytes()).map(|k| k.0.keys().len())
        };
        assert_eq!(parse(json!([rsa(256), rsa(255), {"kty":"oct","k":"AAAA"}, {"kty":"new"}, 7])), Ok(1));
        let mut private = rsa(256);
        private["d"] = json!("AQAB");
        let mut enc = rsa(256);
        enc["use"] = json!("enc");
        let mut padded = rsa(255);
        padded["n"] = json!(crate::strict::encode(&[&[0; 9][..], &[0xff; 255]].concat()));
        assert_eq!(parse(json!([private, enc, padded])).unwrap_err().code, "oidc.jwks_empty");
        assert_eq!(parse(json!(vec![rsa(256); 64])), Ok(64));
        assert_eq!(parse(json!(vec![rsa(256); 65])).unwrap_err().code, "oidc.jwks_malformed");
    }
}
