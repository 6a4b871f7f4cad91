//! How an app proves itself at the gateway: by its secret, or by a JWT that it signs anew for each request
//! (`private_key_jwt`: RFC 7523 2.2, OIDC Core 9).

use crate::{StartError, verifier::now_secs};
use aws_lc_rs::{
    rand::{SystemRandom, fill},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::header::HeaderValue;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::json;

/// What `client_assertion_type` says.
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longer than any request takes; the gateway takes 300 s.
const ASSERTION_SECS: u64 = 60;
const RSA_BITS_MIN: usize = 2_048;

/// What the app was registered with.
#[derive(Clone)]
pub(crate) enum Credential {
    Secret(String),
    /// PKCS #8 as PEM, and the key's id, where it was registered with one.
    Key(Vec<u8>, Option<String>),
}

enum Key {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

/// An app's private key.
pub(crate) struct ClientKey {
    client: String,
    issuer: String,
    kid: Option<String>,
    key: Key,
}

impl ClientKey {
    /// # Errors
    /// `ClientKey`.
    pub(crate) fn read(
        (client, issuer): (&str, &str),
        pem: &[u8],
        kid: Option<&str>,
    ) -> Result<Self, StartError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem)
            .map_err(|_| StartError::ClientKey("no private key in PKCS #8 (BEGIN PRIVATE KEY)"))?;
        let der = der.secret_pkcs8_der();
        let key = if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            Key::Es256(pair)
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            Key::EdDsa(pair)
        } else if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            if pair.public_modulus_len() * 8 < RSA_BITS_MIN {
                return Err(StartError::ClientKey("an RSA key of fewer than 2048 bits"));
            }
            Key::Rs256(pair)
        } else {
            return Err(StartError::ClientKey("neither P-256, Ed25519 nor RSA"));
        };
        let kid = kid.map(str::to_owned);
        Ok(Self { client: client.to_owned(), issuer: issuer.to_owned(), kid, key })
    }

    /// A new assertion, for one request: the gateway takes each once. None where there is no chance to be had.
    pub(crate) fn assertion(&self) -> Option<String> {
        let now = now_secs();
        let mut jti = [0; 16];
        fill(&mut jti).ok()?;
        let alg = match &self.key {
            Key::Es256(_) => "ES256",
            Key::EdDsa(_) => "EdDSA",
            Key::Rs256(_) => "RS256",
        };
        let mut header = json!({"alg": alg, "typ": "JWT"});
        if let (Some(kid), Some(members)) = (&self.kid, header.as_object_mut()) {
            members.insert("kid".to_owned(), json!(kid));
        }
        let claims = json!({
            "iss": self.client, "sub": self.client, "aud": self.issuer,
            "iat": now, "exp": now + ASSERTION_SECS, "jti": URL_SAFE_NO_PAD.encode(jti),
        });
        let encoded = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let input = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = self.sign(input.as_bytes())?;
        Some(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, input: &[u8]) -> Option<Vec<u8>> {
        match &self.key {
            Key::Es256(pair) => Some(pair.sign(&SystemRandom::new(), input).ok()?.as_ref().to_vec()),
            Key::EdDsa(pair) => Some(pair.sign(input).as_ref().to_vec()),
            Key::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

/// What goes along with a request.
pub(crate) enum Proof {
    /// Basic, made once.
    Secret(HeaderValue),
    Key(ClientKey),
}

impl Proof {
    /// In the header: the secret, or an assertion as the bearer.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::Secret(basic) => Some(basic.clone()),
            Self::Key(key) => {
                let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.assertion()?)).ok()?;
                bearer.set_sensitive(true);
                Some(bearer)
            }
        }
    }

    /// With a form: the header, or what is to be added to the body (RFC 7521 4.2).
    pub(crate) fn form(&self) -> Option<(Option<HeaderValue>, String)> {
        match self {
            Self::Secret(basic) => Some((Some(basic.clone()), String::new())),
            // A compact JWS and the type are of letters that need no encoding, but for the colons.
            Self::Key(key) => {
                let kind = TYPE.replace(':', "%3A");
                Some((None, format!("&client_assertion_type={kind}&client_assertion={}", key.assertion()?)))
            }
        }
    }
}
