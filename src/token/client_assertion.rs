//! Judging a client assertion: the JWT by which an app proves that it is the one (RFC 7523 3, OIDC Core 9).
//! Its audience is our issuer, as one string: one that names the token endpoint, or several audiences, could
//! have been asked for by somebody else (CVE-2025-27370). Proven here is not yet used for the first time:
//! the caller keeps `jti` until `until`.

use crate::{
    claims::Claims,
    client_keys::{ClientAlg, ClientKeys},
    text::decode,
};
use model::{Refusal, Timestamp, TokenDigest, ids::AppId};
use serde_json::{Map, Value};

/// What `client_assertion_type` says.
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion has five claims; one of 4 KiB holds them and as much again.
pub const ASSERTION_BYTES_MAX: usize = 4 * 1024;
/// It is made for one request; the longer it lives, the longer its `jti` is kept.
pub const LIFETIME_SECS_MAX: i64 = 300;
/// How far the app's clock may be from ours.
const SKEW_SECS: i64 = 30;
const JTI_BYTES_MAX: usize = 256;

/// An assertion that holds, and how to know it again.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub jti: TokenDigest,
    pub until: Timestamp,
}

struct Parts<'a> {
    header: Map<String, Value>,
    claims: Claims,
    input: &'a str,
    signature: Vec<u8>,
}

/// Whom an assertion names, before anything is proven: for the look-up.
pub fn named(jwt: &str) -> Option<AppId> {
    parts(jwt).ok()?.claims.id("sub").ok()
}

/// Holds an assertion to the app that it names.
///
/// # Errors
/// `oauth.assertion_malformed` (too long too), `oauth.assertion_header` (another `alg` or `typ`, or any member
/// beyond `alg`, `typ`, `kid`; no `kid` where several keys fit), `oauth.invalid_client` (no key of the app's made the signature). After the
/// signature: `oauth.assertion_claim` (missing, or of a wrong JSON type), `oauth.assertion_subject`,
/// `oauth.assertion_audience`, `oauth.assertion_expired`, `oauth.assertion_too_long_lived`,
/// `oauth.assertion_not_yet`.
pub fn verify(
    jwt: &str,
    keys: &ClientKeys,
    app: AppId,
    issuer: &str,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    let Parts { header, claims, input, signature } = parts(jwt)?;
    let (alg, kid) = check_header(&header)?;
    let mut fitting = keys.fitting(alg, kid);
    match (fitting.next(), fitting.next()) {
        (Some(key), None) if key.verifies(alg, input.as_bytes(), &signature) => {}
        (Some(_), Some(_)) => return Err(header_refusal("kid")),
        (Some(_) | None, None) | (None, Some(_)) => return Err(Refusal::stranger("oauth.invalid_client")),
    }
    let wrong = |refusal: Refusal| Refusal { code: "oauth.assertion_claim", ..refusal };
    let id = app.to_string();
    if claims.text("iss").map_err(wrong)? != id || claims.text("sub").map_err(wrong)? != id {
        return Err(Refusal::proven("oauth.assertion_subject"));
    }
    // Never a list, not even of one.
    if claims.0.get("aud").and_then(Value::as_str) != Some(issuer) {
        return Err(Refusal::proven("oauth.assertion_audience"));
    }
    let expires = claims.whole("exp").map_err(wrong)?;
    let maybe = |name| {
        if claims.0.contains_key(name) { claims.whole(name).map(Some).map_err(wrong) } else { Ok(None) }
    };
    let (issued, not_before) = (maybe("iat")?, maybe("nbf")?);
    let (now, latest) = (now.secs(), now.plus_secs(SKEW_SECS).secs());
    if expires <= now {
        return Err(Refusal::proven("oauth.assertion_expired"));
    }
    let born = issued.map_or(latest, |issued| issued.min(latest));
    if expires.saturating_sub(born) > LIFETIME_SECS_MAX {
        return Err(Refusal::proven("oauth.assertion_too_long_lived"));
    }
    if issued.is_some_and(|at| at > latest) || not_before.is_some_and(|at| at > latest) {
        return Err(Refusal::proven("oauth.assertion_not_yet"));
    }
    let jti = claims.text("jti").map_err(wrong)?;
    if jti.is_empty() || jti.len() > JTI_BYTES_MAX {
        return Err(wrong(crate::claims::wrong("jti")));
    }
    Ok(Accepted { jti: TokenDigest::of(&jti), until: Timestamp::from_secs(expires) })
}

fn parts(jwt: &str) -> Result<Parts<'_>, Refusal> {
    let malformed = || Refusal::stranger("oauth.assertion_malformed");
    if jwt.len() > ASSERTION_BYTES_MAX {
        return Err(malformed());
    }
    let (input, signature) = jwt.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = input.split_once('.').ok_or_else(malformed)?;
    let members = |part: &str| match serde_json::from_slice(&decode(part)?).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    };
    Ok(Parts {
        header: members(header).ok_or_else(malformed)?,
        claims: Claims(members(payload).ok_or_else(malformed)?),
        input,
        signature: decode(signature).ok_or_else(malformed)?,
    })
}

fn header_refusal(member: &str) -> Refusal {
    Refusal::stranger("oauth.assertion_header").with("member", format!("{member:.40}"))
}

/// No member can bring a key or fetch one, or change how the rest is read (RFC 8725 3.10). `typ` is the general
/// one or the one of its purpose: none of another token's.
fn check_header(header: &Map<String, Value>) -> Result<(ClientAlg, Option<&str>), Refusal> {
    if let Some((name, _)) = header
        .iter()
        .find(|(name, value)| !["alg", "typ", "kid"].contains(&name.as_str()) || !value.is_string())
    {
        return Err(header_refusal(name));
    }
    let member = |name| header.get(name).and_then(Value::as_str);
    let own = |typ: &str| ["jwt", "client-authentication+jwt"].contains(&typ.to_ascii_lowercase().as_str());
    if !member("typ").is_none_or(own) {
        return Err(header_refusal("typ"));
    }
    let alg = member("alg").and_then(ClientAlg::parse).ok_or_else(|| header_refusal("alg"))?;
    Ok((alg, member("kid")))
}

#[cfg(test)]
#[path = "client_assertion_tests.rs"]
mod tests;
