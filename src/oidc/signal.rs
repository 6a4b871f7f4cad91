//! What a customer's identity provider tells us about its people after they have signed in: a logout token
//! (OpenID Connect Back-Channel Logout 1.0, 2.6), the token that vouches for a Global Token Revocation, and a
//! Security Event Token (RFC 8417, Shared Signals Framework 1.0). Each is for one connection: its issuer, its
//! keys, and an audience that nobody else has. What a person is called is for the ledger to look up.

use crate::{
    provider::Jwks,
    signed::{Typ, open},
    strict::{Claims, object},
};
use model::{Refusal, Timestamp};
use serde_json::{Map, Value};

/// How far a provider's clock may be from ours.
const SKEW_SECS: i64 = 60;
/// A logout token and a revocation's are made for the moment; two to five minutes is what they live.
const AGE_SECS_MAX: i64 = 600;
/// An event comes again while nobody has acknowledged it, for as long as a transmitter has patience.
const EVENT_AGE_SECS_MAX: i64 = 86_400;
const TEXT_BYTES_MAX: usize = 1_024;
const JTI_BYTES_MAX: usize = 256;
const AUDIENCES_MAX: usize = 16;
/// A body with one subject in it.
pub const REVOCATION_BYTES_MAX: usize = 8 * 1_024;

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Who speaks, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    /// Any of these.
    pub audiences: &'a [&'a str],
}

/// Good once: the token's own name, and how long it has to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    pub jti: String,
    pub until: Timestamp,
}

/// A person, as the provider calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// RFC 9493 3.2.3.
    IssSub { iss: String, sub: String },
    /// RFC 9493 3.2.2.
    Email(String),
    /// RFC 9493 3.2.4.
    Opaque(String),
}

/// What is over: a session of the provider's, a person's all, or that session if it is that person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub who: Option<Who>,
    pub session: Option<String>,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Something after which nothing of the person may live on.
    Ended(&'static str),
    /// The transmitter asks whether we hear it.
    Verification,
    /// Something of the stream itself, or an event that we know no consequence of.
    Other,
}

/// A Security Event Token, believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its URI.
    pub kind: String,
    pub happened: Happened,
    /// Absent where the event is of no person, or names one in a way that we do not read.
    pub about: Option<About>,
    pub once: Once,
}

/// The events after which nothing of a person may live on, and what the record calls them.
const ENDING: [(&str, &str); 5] = [
    ("https://schemas.openid.net/secevent/caep/event-type/session-revoked", "caep_session_revoked"),
    ("https://schemas.openid.net/secevent/caep/event-type/credential-change", "caep_credential_change"),
    ("https://schemas.openid.net/secevent/risc/event-type/account-disabled", "risc_account_disabled"),
    ("https://schemas.openid.net/secevent/risc/event-type/account-purged", "risc_account_purged"),
    (
        "https://schemas.openid.net/secevent/risc/event-type/credential-compromise",
        "risc_credential_compromise",
    ),
];
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// Reads a logout token.
///
/// # Errors
/// Those of the signature; then `oidc.claim`, `signals.issuer`, `signals.audience`, `signals.expired`,
/// `signals.issued_in_future`, `signals.event` (no logout event), `signals.nonce`, `signals.subject` (neither
/// `sub` nor `sid`).
pub fn logout_token(
    jwt: &str,
    jwks: &Jwks,
    expected: Expected<'_>,
    now: Timestamp,
) -> Result<(About, Once), Refusal> {
    let claims = open(jwt, Typ { name: "logout+jwt", may_lack: true }, jwks)?;
    let once = hold(&claims, expected, AGE_SECS_MAX, now)?;
    hold_end(&claims, now)?;
    // An ID token has one, and must not end a session by being shown here.
    if claims.0.contains_key("nonce") {
        return Err(Refusal::proven("signals.nonce"));
    }
    let events = members(&claims, "events")?;
    if !events.get(LOGOUT_EVENT).is_some_and(Value::is_object) {
        return Err(Refusal::proven("signals.event"));
    }
    let (sub, session) = (text(&claims, "sub")?, text(&claims, "sid")?);
    if sub.is_none() && session.is_none() {
        return Err(Refusal::proven("signals.subject"));
    }
    let who = sub.map(|sub| Who::IssSub { iss: expected.issuer.to_owned(), sub });
    Ok((About { who, session }, once))
}

/// Reads the token that vouches for a Global Token Revocation (draft-parecki-oauth-global-token-revocation,
/// as Okta's Universal Logout signs it). `client_id`: where the provider knows us by one, its subject.
///
/// # Errors
/// As `logout_token`, but for the event; `signals.subject` when it was made for another client of the provider's.
pub fn revocation_token(
    jwt: &str,
    jwks: &Jwks,
    expected: Expected<'_>,
    client_id: Option<&str>,
    now: Timestamp,
) -> Result<Once, Refusal> {
    let claims = open(jwt, Typ { name: "global-token-revocation+jwt", may_lack: false }, jwks)?;
    let once = hold(&claims, expected, AGE_SECS_MAX, now)?;
    hold_end(&claims, now)?;
    let sub = text(&claims, "sub")?;
    if client_id.is_some_and(|own| sub.as_deref() != Some(own)) {
        return Err(Refusal::proven("signals.subject").with("received", sub.unwrap_or_default()));
    }
    Ok(once)
}

/// Reads the body of a Global Token Revocation: whose tokens end.
///
/// # Errors
/// `signals.body`: no JSON object with one `sub_id` of a known format.
pub fn revocation_body(bytes: &[u8]) -> Result<Who, Refusal> {
    let refusal = || Refusal::proven("signals.body");
    if bytes.len() > REVOCATION_BYTES_MAX {
        return Err(refusal());
    }
    let members = object(bytes).ok_or_else(refusal)?;
    let subject = members.get("sub_id").and_then(Value::as_object).ok_or_else(refusal)?;
    who(subject).ok_or_else(refusal)
}

/// Reads a Security Event Token.
///
/// # Errors
/// Those of the signature; then `oidc.claim` (also `sub` or `exp`, which no such token has), `signals.issuer`,
/// `signals.audience`, `signals.expired` (too old), `signals.issued_in_future`, `signals.event` (not exactly
/// one), `signals.subject` (no `sub_id`).
pub fn event_token(jwt: &str, jwks: &Jwks, expected: Expected<'_>, now: Timestamp) -> Result<Event, Refusal> {
    let claims = open(jwt, Typ { name: "secevent+jwt", may_lack: false }, jwks)?;
    let once = hold(&claims, expected, EVENT_AGE_SECS_MAX, now)?;
    // SSF 1.0, 4.1: they would make it pass for a token that lets somebody in.
    if let Some(name) = ["sub", "exp"].into_iter().find(|name| claims.0.contains_key(*name)) {
        return Err(Refusal::proven("oidc.claim").with("claim", name));
    }
    let events = members(&claims, "events")?;
    let mut listed = events.iter();
    let (Some((kind, said)), None) = (listed.next(), listed.next()) else {
        return Err(Refusal::proven("signals.event"));
    };
    if !said.is_object() || kind.len() > TEXT_BYTES_MAX || kind.contains('\0') {
        return Err(Refusal::proven("signals.event"));
    }
    let ending = ENDING.iter().find(|(uri, _)| uri == kind).map(|(_, cause)| Happened::Ended(cause));
    let other = if kind == VERIFICATION { Happened::Verification } else { Happened::Other };
    let subject = claims.0.get("sub_id").and_then(Value::as_object);
    let subject = subject.ok_or_else(|| Refusal::proven("signals.subject"))?;
    Ok(Event { kind: kind.clone(), happened: ending.unwrap_or(other), about: about(subject), once })
}

/// Who speaks to whom, and when.
fn hold(claims: &Claims, expected: Expected<'_>, age_max: i64, now: Timestamp) -> Result<Once, Refusal> {
    let iss = claims.text("iss", TEXT_BYTES_MAX)?;
    if iss != expected.issuer {
        return Err(Refusal::proven("signals.issuer")
            .with("expected", expected.issuer)
            .with("received", iss));
    }
    let audiences = match claims.0.get("aud") {
        Some(Value::String(_)) => vec![claims.text("aud", TEXT_BYTES_MAX)?],
        _ => claims.texts("aud", AUDIENCES_MAX, TEXT_BYTES_MAX)?,
    };
    if !audiences.iter().any(|audience| expected.audiences.contains(&audience.as_str())) {
        return Err(Refusal::proven("signals.audience")
            .with("expected", expected.audiences.join(" "))
            .with("received", audiences.join(" ")));
    }
    let (iat, latest) = (claims.secs("iat")?, now.plus_secs(SKEW_SECS).secs());
    if iat > latest || claims.maybe_secs("nbf")?.is_some_and(|nbf| nbf > latest) {
        return Err(Refusal::proven("signals.issued_in_future").with("iat", iat));
    }
    let gone = iat.saturating_add(age_max).saturating_add(SKEW_SECS);
    if now.secs() >= gone {
        return Err(Refusal::proven("signals.expired").with("iat", iat));
    }
    let jti = claims.text("jti", JTI_BYTES_MAX)?;
    if jti.is_empty() {
        return Err(Refusal::proven("oidc.claim").with("claim", "jti"));
    }
    Ok(Once { jti, until: Timestamp::from_secs(gone) })
}

fn hold_end(claims: &Claims, now: Timestamp) -> Result<(), Refusal> {
    let exp = claims.secs("exp")?;
    if now.secs() >= exp.saturating_add(SKEW_SECS) {
        return Err(Refusal::proven("signals.expired").with("exp", exp));
    }
    Ok(())
}

fn members<'a>(claims: &'a Claims, name: &'static str) -> Result<&'a Map<String, Value>, Refusal> {
    claims
        .0
        .get(name)
        .and_then(Value::as_object)
        .ok_or_else(|| Refusal::proven("oidc.claim").with("claim", name))
}

/// A name of somebody or something: not empty.
fn text(claims: &Claims, name: &'static str) -> Result<Option<String>, Refusal> {
    let text = claims.maybe_text(name, TEXT_BYTES_MAX)?;
    if text.as_deref() == Some("") {
        return Err(Refusal::proven("oidc.claim").with("claim", name));
    }
    Ok(text)
}

/// A simple subject identifier (RFC 9493); none where it is of a format that names no person to us.
fn who(subject: &Map<String, Value>) -> Option<Who> {
    let text = |name: &str| {
        let text = subject.get(name)?.as_str()?;
        let plain = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains('\0');
        plain.then(|| text.to_owned())
    };
    match subject.get("format")?.as_str()? {
        "iss_sub" => Some(Who::IssSub { iss: text("iss")?, sub: text("sub")? }),
        "email" => Some(Who::Email(text("email")?)),
        "opaque" => Some(Who::Opaque(text("id")?)),
        _ => None,
    }
}

/// A subject, simple or of parts (SSF 1.0, 3.2 and 3.3): its `user` and its `session` are read.
fn about(subject: &Map<String, Value>) -> Option<About> {
    if subject.get("format").and_then(Value::as_str) != Some("complex") {
        return who(subject).map(|who| About { who: Some(who), session: None });
    }
    let part = |name: &str| subject.get(name).map(|part| part.as_object().and_then(who));
    // A part that is there and cannot be read is not taken as absent: the rest would say something wider.
    match (part("user"), part("session")) {
        (Some(None), _) | (_, Some(None)) | (None, None) => None,
        (who, session) => {
            let session = match session.flatten() {
                None => None,
                Some(Who::Opaque(id)) => Some(id),
                Some(Who::IssSub { .. } | Who::Email(_)) => return None,
            };
            Some(About { who: who.flatten(), session })
        }
    }
}

#[cfg(test)]
#[path = "signal_tests.rs"]
mod tests;
