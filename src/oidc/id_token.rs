//! Judging an ID token: form and header, the type of every claim we read, the signature by this
//! connection's own keys, and then what the claims say (OIDC Core 3.1.3.7). The library checks
//! issuer, audience, nonce and expiry once more on its own reading of the same bytes.
//! `email` is what upstream says about a person, never the key by which one is found.

use crate::{
    code_flow::single_use_key,
    email,
    provider::{Jwks, Provider},
    strict::{Claims, decode, encode, object},
};
use aws_lc_rs::{constant_time, digest};
use chrono::DateTime;
use model::{Refusal, Timestamp, ids::ConnectionId, user::AcceptedIdentity};
use openidconnect::{
    ClaimsVerificationError, ClientId, IssuerUrl, Nonce,
    core::{CoreIdToken, CoreIdTokenVerifier},
};
use serde_json::{Map, Value};

/// A thousand group ids fit; a cookie's worth of nonsense does not cost a signature check.
pub const ID_TOKEN_BYTES_MAX: usize = 64 * 1024;
/// Entra sends at most 200 groups; others a few hundred.
pub const GROUPS_MAX: usize = 1_000;
/// A distinguished name with its path; longer ones are no group's name.
const GROUP_BYTES_MAX: usize = 2_048;
/// Names, issuers, hashes.
const TEXT_BYTES_MAX: usize = 1_024;
/// `acr` and each of `amr` name a method, by a URI at most.
const METHOD_BYTES_MAX: usize = 256;
const AMR_MAX: usize = 32;
/// How far a provider's clock may be from ours.
pub const SKEW_SECS: i64 = 60;
/// Providers give an hour, some ten; a later end is milliseconds taken for seconds.
pub const LIFE_SECS_MAX: i64 = 86_400;
/// No session lasts ten years: a later end is milliseconds taken for seconds.
const SESSION_SECS_MAX: i64 = 10 * 365 * 86_400;
/// OIDC Core 2: `sub` is at most 255 ASCII characters.
const SUBJECT_CHARS_MAX: usize = 255;

/// What the login attempt asked for, and on whose behalf.
#[derive(Clone, Debug)]
pub struct Expectation<'a> {
    pub connection: ConnectionId,
    pub client_id: &'a str,
    pub nonce: &'a str,
    /// The access token that came along: `at_hash`, if given, must be its own.
    pub access_token: &'a str,
    /// When this attempt began: an older token answers something else.
    pub begun_at: Timestamp,
    /// The app asked for a recent sign-in: the person was authenticated at or after this instant.
    pub authenticated_since: Option<Timestamp>,
    /// This connection takes an email without a word about its verification as verified.
    pub trust_email: bool,
    /// The claim that lists groups, if the connection maps any.
    pub groups_claim: Option<&'a str>,
}

/// The claims we read, each of its one right type; nothing is believed yet.
struct Said {
    claims: Claims,
    iss: String,
    sub: String,
    audiences: Vec<String>,
    exp: i64,
    iat: i64,
    auth_time: Option<i64>,
    session_expiry: Option<i64>,
    sid: Option<String>,
    /// Only if it counts.
    email: Option<String>,
    groups: Vec<String>,
}

/// Accepts an ID token for one login attempt, or says why not.
///
/// # Errors
/// Before the signature: `oidc.id_token_malformed` (also too long), `oidc.header` (`alg` not the
/// provider's, a foreign `typ`, or `crit`, `jwk`, `jku`, `x5u`, …), `oidc.claim` (missing or of a wrong
/// type; the fact names it), `oidc.signature`. After it: `oidc.issuer`, `oidc.audience`, `oidc.nonce`,
/// `oidc.expired`, `oidc.expires_too_late`, `oidc.issued_in_future`, `oidc.issued_too_early`,
/// `oidc.auth_time`, `oidc.at_hash`, `oidc.session_expiry`, `oidc.subject`, `oidc.groups_overage`, `oidc.claims`.
pub fn accept(
    id_token: &str,
    provider: &Provider,
    jwks: &Jwks,
    expect: &Expectation<'_>,
    now: Timestamp,
) -> Result<AcceptedIdentity, Refusal> {
    let malformed = || Refusal::stranger("oidc.id_token_malformed");
    if id_token.len() > ID_TOKEN_BYTES_MAX {
        return Err(malformed());
    }
    let parts: Vec<&str> = id_token.split('.').collect();
    let [header, payload, _] = parts.as_slice() else { return Err(malformed()) };
    let members = |part: &str| decode(part).and_then(|bytes| object(&bytes)).ok_or_else(malformed);
    let alg = check_header(&members(header)?, provider)?;
    let said = Said::read(Claims(members(payload)?), &provider.issuer, expect)?;

    let token: CoreIdToken = id_token.parse().map_err(|_| malformed())?;
    let proven =
        verifier(provider, jwks, expect, now)?.require_issuer_match(false).require_audience_match(false);
    let no_time = || DateTime::UNIX_EPOCH;
    token
        .claims(&proven.set_time_fn(no_time), |_: Option<&Nonce>| Ok(()))
        .map_err(|_| Refusal::stranger("oidc.signature"))?;

    said.hold(provider, expect, now)?;
    said.hold_at_hash(&alg, expect.access_token)?;
    token
        .claims(&verifier(provider, jwks, expect, now)?, &Nonce::new(expect.nonce.to_owned()))
        .map_err(|error| Refusal::proven("oidc.claims").with("why", library_text(&error)))?;
    said.identity(expect)
}

/// Allowed header members say which key and algorithm; any that brings or fetches a key, or changes
/// how the rest is read, is refused (RFC 8725 3.10, RFC 7515 4.1).
fn check_header(header: &Map<String, Value>, provider: &Provider) -> Result<String, Refusal> {
    let refusal = |member: &str| Refusal::stranger("oidc.header").with("member", member);
    for (name, value) in header {
        if !["alg", "typ", "kid", "x5t", "x5t#S256"].contains(&name.as_str()) || !value.is_string() {
            return Err(refusal(name));
        }
    }
    let member = |name| header.get(name).and_then(Value::as_str);
    if member("typ").is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(refusal("typ"));
    }
    let alg = member("alg").ok_or_else(|| refusal("alg"))?;
    let listed = provider.algorithms.iter().filter_map(|known| serde_json::to_value(known).ok());
    if !listed.into_iter().any(|known| known.as_str() == Some(alg)) {
        return Err(refusal("alg"));
    }
    Ok(alg.to_owned())
}

fn verifier<'a>(
    provider: &Provider,
    jwks: &Jwks,
    expect: &Expectation<'_>,
    now: Timestamp,
) -> Result<CoreIdTokenVerifier<'a>, Refusal> {
    let issuer =
        IssuerUrl::new(provider.issuer.clone()).map_err(|_| Refusal::stranger("oidc.issuer_mismatch"))?;
    let instant =
        DateTime::from_timestamp(now.minus_secs(SKEW_SECS).secs(), 0).unwrap_or(DateTime::UNIX_EPOCH);
    let client_id = ClientId::new(expect.client_id.to_owned());
    Ok(CoreIdTokenVerifier::new_public_client(client_id, issuer, jwks.0.clone())
        .set_allowed_algs(provider.algorithms.clone())
        // Other audiences are ours to judge, by azp.
        .set_other_audience_verifier_fn(|_| true)
        .set_time_fn(move || instant))
}

fn library_text(error: &ClaimsVerificationError) -> String {
    match error {
        ClaimsVerificationError::SignatureVerification(_) => "signature".to_owned(),
        other => other.to_string(),
    }
}

impl Said {
    fn read(claims: Claims, issuer: &str, expect: &Expectation<'_>) -> Result<Self, Refusal> {
        let audiences = match claims.0.get("aud") {
            Some(Value::String(_)) => vec![claims.text("aud", TEXT_BYTES_MAX)?],
            _ => claims.texts("aud", 16, TEXT_BYTES_MAX)?,
        };
        for name in ["azp", "nonce", "at_hash", "name", "given_name", "family_name"] {
            claims.maybe_text(name, TEXT_BYTES_MAX)?;
        }
        claims.maybe_text("acr", METHOD_BYTES_MAX)?;
        claims.texts("amr", AMR_MAX, METHOD_BYTES_MAX)?;
        claims.maybe_secs("nbf")?;
        // Malformed is an error, never "no ceiling".
        let session_expiry =
            claims.maybe_secs("session_expiry").map_err(|_| Refusal::stranger("oidc.session_expiry"))?;
        let groups = expect.groups_claim;
        Ok(Self {
            iss: claims.text("iss", TEXT_BYTES_MAX)?,
            sub: claims.text("sub", TEXT_BYTES_MAX)?,
            audiences,
            exp: claims.secs("exp")?,
            iat: claims.secs("iat")?,
            auth_time: claims.maybe_secs("auth_time")?,
            session_expiry,
            sid: claims.maybe_text("sid", TEXT_BYTES_MAX)?.filter(|sid| !sid.is_empty()),
            email: email::vouched(&claims, issuer, expect.trust_email)?,
            groups: groups.map_or(Ok(Vec::new()), |name| claims.texts(name, GROUPS_MAX, GROUP_BYTES_MAX))?,
            claims,
        })
    }

    fn hold(&self, provider: &Provider, expect: &Expectation<'_>, now: Timestamp) -> Result<(), Refusal> {
        if self.iss != provider.issuer {
            return Err(Refusal::proven("oidc.issuer")
                .with("expected", &provider.issuer)
                .with("received", &self.iss));
        }
        self.hold_audience(expect.client_id)?;
        let nonce = self.claims.maybe_text("nonce", TEXT_BYTES_MAX)?.unwrap_or_default();
        constant_time::verify_slices_are_equal(nonce.as_bytes(), expect.nonce.as_bytes())
            .map_err(|_| Refusal::proven("oidc.nonce"))?;
        let (now, latest) = (now.secs(), now.plus_secs(SKEW_SECS).secs());
        if now >= self.exp.saturating_add(SKEW_SECS) {
            return Err(Refusal::proven("oidc.expired").with("exp", self.exp));
        }
        if self.exp > latest.saturating_add(LIFE_SECS_MAX) {
            return Err(Refusal::proven("oidc.expires_too_late").with("exp", self.exp));
        }
        if self.iat.saturating_add(SKEW_SECS) < expect.begun_at.secs() {
            return Err(Refusal::proven("oidc.issued_too_early").with("iat", self.iat));
        }
        if self.iat > latest || self.claims.maybe_secs("nbf")?.is_some_and(|nbf| nbf > latest) {
            return Err(Refusal::proven("oidc.issued_in_future").with("iat", self.iat));
        }
        self.hold_auth_time(expect.authenticated_since, now)?;
        if self.session_expiry.is_some_and(|end| end <= now || end > now + SESSION_SECS_MAX) {
            return Err(Refusal::proven("oidc.session_expiry"));
        }
        let printable = self.sub.trim() == self.sub
            && self.sub.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if self.sub.is_empty() || self.sub.len() > SUBJECT_CHARS_MAX || !printable {
            return Err(Refusal::proven("oidc.subject"));
        }
        self.hold_groups(expect.groups_claim)
    }

    /// Ours alone, or among others with `azp` ours (OIDC Core 3.1.3.7, 3 to 5).
    fn hold_audience(&self, client_id: &str) -> Result<(), Refusal> {
        let azp = self.claims.maybe_text("azp", TEXT_BYTES_MAX)?;
        let named = self.audiences.iter().any(|audience| audience == client_id);
        let alone = self.audiences.len() == 1;
        let azp_holds = azp.as_deref().map_or(alone, |azp| azp == client_id);
        if named && azp_holds {
            return Ok(());
        }
        Err(Refusal::proven("oidc.audience")
            .with("expected", client_id)
            .with("received", self.audiences.join(" ")))
    }

    /// Asked for a recent sign-in, the provider must say when it was (OIDC Core 3.1.2.1).
    fn hold_auth_time(&self, since: Option<Timestamp>, now: i64) -> Result<(), Refusal> {
        let refusal = Refusal::proven("oidc.auth_time");
        if self.auth_time.is_some_and(|at| at > now + SKEW_SECS) {
            return Err(refusal);
        }
        match (since, self.auth_time) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(refusal.with("received", "(none)")),
            (Some(since), Some(at)) if at.saturating_add(SKEW_SECS) < since.secs() => {
                Err(refusal.with("expected", since).with("received", Timestamp::from_secs(at)))
            }
            (Some(_), Some(_)) => Ok(()),
        }
    }

    /// A provider that says "too many groups, ask elsewhere" has not said "no groups": taking it so
    /// would strip a person of their teams.
    fn hold_groups(&self, groups_claim: Option<&str>) -> Result<(), Refusal> {
        let Some(name) = groups_claim else { return Ok(()) };
        let elsewhere = self.claims.0.get("_claim_names").is_some_and(|names| names.get(name).is_some());
        if elsewhere || self.claims.0.contains_key("hasgroups") {
            return Err(Refusal::proven("oidc.groups_overage"));
        }
        Ok(())
    }

    /// OIDC Core 3.1.3.6: the left half of the hash that goes with the signature.
    fn hold_at_hash(&self, alg: &str, access_token: &str) -> Result<(), Refusal> {
        let Some(given) = self.claims.maybe_text("at_hash", TEXT_BYTES_MAX)? else { return Ok(()) };
        let algorithm = match alg.get(2..) {
            Some("256") => &digest::SHA256,
            Some("384") => &digest::SHA384,
            _ => &digest::SHA512,
        };
        let whole = digest::digest(algorithm, access_token.as_bytes());
        let half = whole.as_ref().chunks(whole.as_ref().len() / 2).next().unwrap_or_default();
        if encode(half) == given { Ok(()) } else { Err(Refusal::proven("oidc.at_hash")) }
    }

    fn identity(self, expect: &Expectation<'_>) -> Result<AcceptedIdentity, Refusal> {
        Ok(AcceptedIdentity {
            connection: expect.connection,
            email: self.email,
            display_name: self.claims.maybe_text("name", TEXT_BYTES_MAX)?,
            given_name: self.claims.maybe_text("given_name", TEXT_BYTES_MAX)?,
            family_name: self.claims.maybe_text("family_name", TEXT_BYTES_MAX)?,
            acr: self.claims.maybe_text("acr", METHOD_BYTES_MAX)?,
            amr: self.claims.texts("amr", AMR_MAX, METHOD_BYTES_MAX)?,
            // Without auth_time the sign-in is known to be no later than the token.
            auth_time: Timestamp::from_secs(self.auth_time.unwrap_or(self.iat)),
            until: self.session_expiry.map(Timestamp::from_secs),
            single_use_key: single_use_key(expect.nonce),
            single_use_until: Timestamp::from_secs(self.exp).plus_secs(SKEW_SECS),
            subject: self.sub,
            session: self.sid,
            groups: self.groups,
        })
    }
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
