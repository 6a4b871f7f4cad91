//! Minting: the access token (RFC 9068) and the ID token (OIDC Core 2) out of one snapshot.
//! The snapshot was read in one statement, so that the person and the stamp `rs` are of one
//! moment (see the revocation rule in `model::revocation`). No token outlives its session.

use crate::{
    access::TOKEN_BYTES_MAX,
    extra::Extra,
    signing_key::{KeyFault, SigningKey},
    text::encode,
};
use aws_lc_rs::digest;
use model::{
    SigningAlg, Timestamp,
    ids::{AppId, ConnectionId, OrgId, ServiceId, SessionId, TeamId, UserId},
};
use serde_json::{Map, Value, json};
use std::fmt;

/// Everything a token says, as of one moment. `rs` is the org's revocation head in that moment.
#[derive(Clone, Debug)]
pub struct MintSnapshot {
    pub issuer: String,
    pub audience: String,
    pub client_id: AppId,
    pub org: OrgId,
    pub user: UserId,
    pub session: SessionId,
    pub connection: ConnectionId,
    pub team_ids: Vec<TeamId>,
    pub roles: Vec<String>,
    pub scope: String,
    pub acr: Option<String>,
    pub amr: Vec<String>,
    pub auth_time: Timestamp,
    pub rs: i64,
    /// In the access token alone.
    pub extra: Extra,
    pub session_expires_at: Timestamp,
    pub nonce: Option<String>,
    pub email: Option<String>,
    pub name: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
}

/// Everything a service account's token says, as of one moment.
#[derive(Clone, Debug)]
pub struct ServiceSnapshot<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub org: OrgId,
    pub service: ServiceId,
    pub roles: &'a [String],
    pub rs: i64,
    pub extra: &'a Extra,
}

/// A signed access token and how long it lives, from the instant of minting.
pub struct AccessToken {
    pub jwt: String,
    pub expires_in_secs: i64,
}

/// Never the token: it would end in a log.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken({} s)", self.expires_in_secs)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MintFault {
    /// The session has ended, or ends within this very second.
    SessionOver,
    Key(KeyFault),
}

impl fmt::Display for MintFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionOver => f.write_str("the session has ended"),
            Self::Key(fault) => fault.fmt(f),
        }
    }
}
impl std::error::Error for MintFault {}

/// Mints the access token: `typ: at+jwt`, `exp` = min(`now` + `lifetime_secs`, the session's end).
/// `jti` is the caller's, fresh for each token.
pub fn mint_access(
    snapshot: &MintSnapshot,
    key: &SigningKey,
    jti: &str,
    now: Timestamp,
    lifetime_secs: i64,
) -> Result<AccessToken, MintFault> {
    let expires = expiry(snapshot, now, lifetime_secs)?;
    let claims = common_claims(snapshot, jti, now, expires, &snapshot.audience);
    let jwt = sign_access(claims, &snapshot.extra, key)?;
    Ok(AccessToken { jwt, expires_in_secs: expires - now.secs() })
}

/// Mints a service account's access token: its own `sub` and `client_id`, and none of the claims of a sign-in.
pub fn mint_service(
    snapshot: &ServiceSnapshot<'_>,
    key: &SigningKey,
    jti: &str,
    now: Timestamp,
    lifetime_secs: i64,
) -> Result<AccessToken, MintFault> {
    let claims = Map::from_iter([
        ("iss".to_owned(), json!(snapshot.issuer)),
        ("sub".to_owned(), json!(snapshot.service)),
        ("aud".to_owned(), json!(snapshot.audience)),
        ("client_id".to_owned(), json!(snapshot.service)),
        ("exp".to_owned(), json!(now.plus_secs(lifetime_secs).secs())),
        ("iat".to_owned(), json!(now.secs())),
        ("jti".to_owned(), json!(jti)),
        ("org_id".to_owned(), json!(snapshot.org)),
        ("team_ids".to_owned(), json!([])),
        ("roles".to_owned(), json!(snapshot.roles)),
        ("rs".to_owned(), json!(snapshot.rs)),
    ]);
    let jwt = sign_access(claims, snapshot.extra, key)?;
    Ok(AccessToken { jwt, expires_in_secs: lifetime_secs })
}

/// With the app's own choice, as far as there is room for all of it.
fn sign_access(claims: Map<String, Value>, extra: &Extra, key: &SigningKey) -> Result<String, MintFault> {
    if extra.is_empty() {
        return sign("at+jwt", &claims, key).map_err(MintFault::Key);
    }
    let with = |extra: &Extra| {
        let all = claims.clone().into_iter().chain(extra.claims()).collect();
        sign("at+jwt", &all, key).map_err(MintFault::Key)
    };
    let jwt = with(extra)?;
    if jwt.len() <= TOKEN_BYTES_MAX { Ok(jwt) } else { with(&extra.left_out()) }
}

/// Mints the ID token that goes with `access`: `typ: JWT`, `aud` the client alone, `at_hash`
/// (OIDC Core 3.1.3.6), and `session_expiry`, the second after which the app must ask again.
pub fn mint_id(
    snapshot: &MintSnapshot,
    key: &SigningKey,
    access: &AccessToken,
    jti: &str,
    now: Timestamp,
) -> Result<String, MintFault> {
    let expires = expiry(snapshot, now, access.expires_in_secs)?;
    let mut claims = common_claims(snapshot, jti, now, expires, &snapshot.client_id.to_string());
    claims.insert("session_expiry".into(), json!(snapshot.session_expires_at.secs()));
    claims.insert("at_hash".into(), json!(at_hash(&access.jwt, key.alg())));
    for (name, value) in [
        ("nonce", &snapshot.nonce),
        ("email", &snapshot.email),
        ("name", &snapshot.name),
        ("given_name", &snapshot.given_name),
        ("family_name", &snapshot.family_name),
    ] {
        if let Some(text) = value {
            claims.insert(name.into(), json!(text));
        }
    }
    sign("JWT", &claims, key).map_err(MintFault::Key)
}

/// The left half of the access token's digest, by the hash that the algorithm uses (OIDC Core 3.1.3.6).
/// For EdDSA no text names one: Ed25519 hashes by SHA-512 itself (RFC 8032 5.1), and so do other providers.
fn at_hash(jwt: &str, alg: SigningAlg) -> String {
    let hash = match alg {
        SigningAlg::Es256 | SigningAlg::Rs256 => &digest::SHA256,
        SigningAlg::EdDsa => &digest::SHA512,
    };
    let digest = digest::digest(hash, jwt.as_bytes());
    let (half, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
    encode(half)
}

fn expiry(snapshot: &MintSnapshot, now: Timestamp, lifetime_secs: i64) -> Result<i64, MintFault> {
    let wished = now.plus_secs(lifetime_secs).secs();
    let expires = wished.min(snapshot.session_expires_at.secs());
    if expires <= now.secs() { Err(MintFault::SessionOver) } else { Ok(expires) }
}

fn common_claims(
    snapshot: &MintSnapshot,
    jti: &str,
    now: Timestamp,
    expires: i64,
    audience: &str,
) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("iss", json!(snapshot.issuer));
    put("sub", json!(snapshot.user));
    put("aud", json!(audience));
    put("client_id", json!(snapshot.client_id));
    put("exp", json!(expires));
    put("iat", json!(now.secs()));
    put("jti", json!(jti));
    put("sid", json!(snapshot.session));
    put("scope", json!(snapshot.scope));
    put("auth_time", json!(snapshot.auth_time.secs()));
    put("org_id", json!(snapshot.org));
    put("team_ids", json!(snapshot.team_ids));
    put("roles", json!(snapshot.roles));
    put("con", json!(snapshot.connection));
    put("rs", json!(snapshot.rs));
    // What upstream did not say is left out, never invented.
    if let Some(acr) = &snapshot.acr {
        put("acr", json!(acr));
    }
    if !snapshot.amr.is_empty() {
        put("amr", json!(snapshot.amr));
    }
    claims
}

/// A compact JWS (RFC 7515 3.1) with exactly three header members.
pub(crate) fn sign(typ: &str, claims: &Map<String, Value>, key: &SigningKey) -> Result<String, KeyFault> {
    let header = json!({ "alg": key.alg().as_str(), "typ": typ, "kid": key.kid() }).to_string();
    let body = serde_json::to_vec(claims).map_err(|_| KeyFault::Sign)?;
    let input = format!("{}.{}", encode(header.as_bytes()), encode(&body));
    let signature = key.sign(input.as_bytes())?;
    Ok(format!("{input}.{}", encode(&signature)))
}
