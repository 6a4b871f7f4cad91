//! An RSA-2048 key of a fixture, with the self-signed certificate that SAML metadata carries and the
//! JWK that an OpenID provider publishes. Made anew at every start: no private key is in the checkout.

use crate::{FixtureError, instrument::random_token};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

/// Where the 256 octets of the modulus stand in the DER of a 2048-bit RSAPublicKey (RFC 8017 A.1.1):
/// after the headers of the SEQUENCE and the INTEGER, and one zero octet.
const MODULUS: std::ops::Range<usize> = 9..265;

pub(crate) struct SigningKey {
    pair: KeyPair,
    certificate_der: Vec<u8>,
    pub(crate) kid: String,
}

impl SigningKey {
    /// The same, off the runtime's threads: it takes a tenth of a second, or several.
    pub(crate) async fn made(common_name: &str) -> Result<Self, FixtureError> {
        let name = common_name.to_owned();
        let made = tokio::task::spawn_blocking(move || Self::generate(&name)).await;
        made.map_err(|e| FixtureError::Key(e.to_string()))?
    }

    /// A new key and a certificate for it in the name of `common_name`.
    pub(crate) fn generate(common_name: &str) -> Result<Self, FixtureError> {
        let failed = |what: &dyn std::fmt::Display| FixtureError::Key(what.to_string());
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|e| failed(&e))?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|e| failed(&e))?;
        let certified = rcgen::KeyPair::try_from(der.as_ref()).map_err(|e| failed(&e))?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let certificate = params.self_signed(&certified).map_err(|e| failed(&e))?;
        Ok(Self { pair, certificate_der: certificate.der().to_vec(), kid: random_token() })
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, FixtureError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|e| FixtureError::Key(e.to_string()))?;
        Ok(signature)
    }

    /// The certificate as base64 on one line, as X509Certificate wants it.
    pub(crate) fn certificate_base64(&self) -> String {
        STANDARD.encode(&self.certificate_der)
    }

    pub(crate) fn certificate_pem(&self) -> String {
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let text = self.certificate_base64();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// The public half as DER RSAPublicKey: what an HMAC forger takes for a secret.
    pub(crate) fn public_der(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn jwk(&self) -> Value {
        let modulus = self.public_der().get(MODULUS).unwrap_or_default();
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB",
            "x5c": [self.certificate_base64()],
        })
    }
}
