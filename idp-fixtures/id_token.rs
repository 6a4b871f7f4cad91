//! The ID token as Entra fills it, and the ways a provider could get it wrong: each [`OidcFault`] spoils
//! one thing and leaves the rest honest, so that a refusal names its cause. OIDC Core 2, 3.1.3.7.

use crate::{
    FixtureError, Person,
    instrument::random_token,
    people::{stable_id, stable_uuid},
    signing::SigningKey,
};
use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Timestamp;
use serde_json::{Map, Value, json};

/// Entra's default.
const LIFE_SECS: i64 = 3600;

/// One thing wrong with every ID token from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OidcFault {
    WrongNonce,
    NoNonce,
    WrongIssuer,
    WrongAudience,
    /// Expired an hour ago.
    Expired,
    /// A `kid` that the JWK set does not hold, by a key that it does not hold.
    ForeignKid,
    /// The right `kid`, by a stranger's key.
    ForeignKey,
    /// `alg: none`, no signature.
    AlgNone,
    /// `alg: HS256` keyed with the public key's DER.
    HmacWithPublicKey,
    /// The access token's hash is another token's.
    WrongAtHash,
}

impl OidcFault {
    pub const ALL: [Self; 10] = [
        Self::WrongNonce,
        Self::NoNonce,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::Expired,
        Self::ForeignKid,
        Self::ForeignKey,
        Self::AlgNone,
        Self::HmacWithPublicKey,
        Self::WrongAtHash,
    ];
}

/// What a code was given for.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    pub(crate) login: String,
    pub(crate) auth_time: Timestamp,
    pub(crate) issued_at: Timestamp,
}

/// `sub` is pairwise at Entra: another for each client, the same at each sign-in.
pub(crate) fn claims(issuer: &str, person: &Person, grant: &Grant, access_token: &str) -> Map<String, Value> {
    let now = grant.issued_at.secs();
    let value = json!({
        "iss": issuer,
        "aud": grant.client_id,
        "sub": person.stable_id(&grant.client_id),
        "oid": stable_uuid(issuer, &person.login),
        "tid": stable_uuid("tenant", issuer),
        "iat": now,
        "nbf": now,
        "exp": now.saturating_add(LIFE_SECS),
        "auth_time": grant.auth_time.secs(),
        "nonce": grant.nonce,
        "at_hash": at_hash(access_token),
        "amr": ["pwd"],
        "email": person.email,
        // An optional claim, as docs/CONNECT.md has it switched on: the domain's owner is verified.
        "xms_edov": true,
        "preferred_username": person.login,
        "name": person.display_name(),
        "given_name": person.given_name,
        "family_name": person.family_name,
        "groups": person.groups,
        "ver": "2.0",
    });
    let mut claims = match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    claims.retain(|_, v| !v.is_null());
    claims
}

/// The left half of the token's SHA-256 (OIDC Core 3.1.3.6).
fn at_hash(access_token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

/// An access token that its holder can read (RFC 9068), in the provider's name.
pub(crate) fn sign_access_token(
    key: &SigningKey,
    claims: Map<String, Value>,
) -> Result<String, FixtureError> {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"typ": "at+jwt", "alg": "RS256", "kid": key.kid});
    let message = format!("{}.{}", part(&header), part(&Value::Object(claims)));
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Signs `claims`, spoiled as `fault` says.
pub(crate) fn sign(
    key: &SigningKey,
    mut claims: Map<String, Value>,
    fault: Option<OidcFault>,
) -> Result<String, FixtureError> {
    let mut header = json!({"typ": "JWT", "alg": "RS256", "kid": key.kid});
    let mut set = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    match fault {
        None | Some(OidcFault::ForeignKey) => {}
        Some(OidcFault::WrongNonce) => set("nonce", json!(random_token())),
        Some(OidcFault::NoNonce) => drop(claims.remove("nonce")),
        Some(OidcFault::WrongIssuer) => set("iss", json!("https://login.other.example/v2.0")),
        Some(OidcFault::WrongAudience) => set("aud", json!(stable_id("client", "another"))),
        Some(OidcFault::WrongAtHash) => set("at_hash", json!(at_hash("another token"))),
        Some(OidcFault::Expired) => {
            for name in ["iat", "nbf", "exp", "auth_time"] {
                let at = claims.get(name).and_then(Value::as_i64).unwrap_or_default();
                drop(claims.insert(name.to_owned(), json!(at.saturating_sub(2 * LIFE_SECS))));
            }
        }
        Some(OidcFault::ForeignKid) => header = json!({"typ": "JWT", "alg": "RS256", "kid": random_token()}),
        Some(OidcFault::AlgNone) => header = json!({"typ": "JWT", "alg": "none"}),
        Some(OidcFault::HmacWithPublicKey) => {
            header = json!({"typ": "JWT", "alg": "HS256", "kid": key.kid});
        }
    }
    let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
    let message = format!("{}.{}", part(&header.to_string()), part(&Value::Object(claims).to_string()));
    let signature = match fault {
        Some(OidcFault::AlgNone) => Vec::new(),
        Some(OidcFault::HmacWithPublicKey) => {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_der());
            hmac::sign(&secret, message.as_bytes()).as_ref().to_vec()
        }
        Some(OidcFault::ForeignKid | OidcFault::ForeignKey) => {
            SigningKey::generate("stranger")?.sign(message.as_bytes())?
        }
        _ => key.sign(message.as_bytes())?,
    };
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
