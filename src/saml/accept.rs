//! The rules of web sign-on (Profiles 4.1.4.3, Core 2.5), one by one, each with its own code, over values
//! that were signed. The Response's own fields may be unsigned: they are held to the same rules, and can
//! only refuse. Single use of the assertion's id is the store's. A time is past from its very second on,
//! give or take the clock skew.

use crate::response::{Assertion, Confirmation, Covered, Envelope};
use model::{Refusal, Timestamp, ids::ConnectionId, user::AcceptedIdentity};

pub const CLOCK_SKEW_SECS_DEFAULT: u32 = 90;
/// More than this is no skew but a broken clock, and would stretch every assertion's life.
pub const CLOCK_SKEW_SECS_MAX: u32 = 300;

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";
const EMAIL_FORMAT: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
const AUTHN_METHODS: &str = "http://schemas.microsoft.com/claims/authnmethodsreferences";
/// RFC 5321 4.5.3.1.3: a path is at most 256 octets, its angle brackets included.
const EMAIL_BYTES_MAX: usize = 254;
const NAME_BYTES_MAX: usize = 1_024;
/// A class or method is named by a URI at most.
const METHOD_BYTES_MAX: usize = 256;
const METHODS_MAX: usize = 32;
/// A distinguished name with its path; longer ones are no group's name.
const GROUP_BYTES_MAX: usize = 2_048;
/// Entra sends at most 150 groups; others a few hundred.
const GROUPS_MAX: usize = 1_000;

const GROUPS: [&str; 3] = [
    "groups",
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups",
    "http://schemas.xmlsoap.org/claims/Group",
];

/// Did we ask? The connection, not the caller, may say `Unsolicited`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// The id of the AuthnRequest of this browser's attempt.
    InResponseTo(String),
    Unsolicited,
}

/// What the connection expects of an answer.
#[derive(Clone, Debug)]
pub struct Expectation<'a> {
    pub connection: ConnectionId,
    pub idp_entity_id: &'a str,
    /// Our entity id at this connection.
    pub audience: &'a str,
    pub acs_url: &'a str,
    pub requested: Requested,
    /// The app asked for a recent sign-in: the person was authenticated at or after this instant.
    pub authenticated_since: Option<Timestamp>,
    /// Held to at most [`CLOCK_SKEW_SECS_MAX`].
    pub clock_skew_secs: u32,
    pub attribute_map: &'a AttributeMap,
    /// The attribute that lists groups; `None` reads the names that Okta, Entra and ADFS use.
    pub groups_attribute: Option<&'a str>,
}

/// For each field, the attribute names to look under; the first that is there decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeMap {
    pub email: Vec<String>,
    pub given_name: Vec<String>,
    pub family_name: Vec<String>,
    pub display_name: Vec<String>,
}

impl Default for AttributeMap {
    /// The names that Okta, Google, Entra and ADFS (claim URIs) and LDAP-minded IdPs (OIDs) send.
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        Self {
            email: names(&[
                "email",
                "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
                "mail",
                "Email",
                "emailAddress",
                "urn:oid:0.9.2342.19200300.100.1.3",
            ]),
            given_name: names(&[
                "firstName",
                "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname",
                "given_name",
                "givenName",
                "first_name",
                "urn:oid:2.5.4.42",
            ]),
            family_name: names(&[
                "lastName",
                "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname",
                "family_name",
                "sn",
                "last_name",
                "urn:oid:2.5.4.4",
            ]),
            display_name: names(&[
                "displayName",
                "http://schemas.microsoft.com/identity/claims/displayname",
                "display_name",
                "name",
                "urn:oid:2.16.840.1.113730.3.1.241",
            ]),
        }
    }
}

/// Holds a signed assertion to what was expected, at `now`. See [`crate::SignedAssertion::accept`].
pub(crate) fn judge(
    envelope: &Envelope,
    assertion: Assertion,
    expect: &Expectation<'_>,
    now: Timestamp,
) -> Result<AcceptedIdentity, Refusal> {
    let window = Window { now, skew: i64::from(expect.clock_skew_secs.min(CLOCK_SKEW_SECS_MAX)) };
    envelope_holds(envelope, expect)?;
    assertion_holds(&assertion, expect, window)?;
    let confirmed_until = confirmed(&assertion.confirmations, expect, window)?;
    let (auth_time, until, acr) = authenticated(&assertion, window)?;
    if let Some(since) = expect.authenticated_since.filter(|since| auth_time.plus_secs(window.skew) < *since)
    {
        return Err(mismatch("saml.authentication_too_old", &since.to_string(), &auth_time.to_string()));
    }
    if assertion.name_id_format.as_deref() == Some(TRANSIENT) {
        return Err(Refusal::proven("saml.name_id_transient"));
    }
    let map = expect.attribute_map;
    let groups = match expect.groups_attribute {
        Some(name) => values(&assertion, name),
        None => GROUPS.iter().flat_map(|name| values(&assertion, name)).collect(),
    };
    Ok(AcceptedIdentity {
        connection: expect.connection,
        email: email(&assertion, &map.email),
        display_name: name(&assertion, &map.display_name)?,
        given_name: name(&assertion, &map.given_name)?,
        family_name: name(&assertion, &map.family_name)?,
        groups: bounded("groups", groups, GROUPS_MAX, GROUP_BYTES_MAX)?,
        acr: bounded("AuthnContextClassRef", acr.into_iter().collect(), 1, METHOD_BYTES_MAX)?.pop(),
        amr: bounded(AUTHN_METHODS, values(&assertion, AUTHN_METHODS), METHODS_MAX, METHOD_BYTES_MAX)?,
        auth_time,
        until,
        session: None,
        subject: assertion.name_id,
        single_use_key: assertion.id,
        single_use_until: confirmed_until.plus_secs(window.skew),
    })
}

#[derive(Clone, Copy)]
struct Window {
    now: Timestamp,
    skew: i64,
}

impl Window {
    /// NotBefore: valid from that instant on.
    fn too_early(self, not_before: Timestamp) -> bool {
        self.now.plus_secs(self.skew) < not_before
    }
    /// NotOnOrAfter: no longer valid at that very instant.
    fn too_late(self, not_on_or_after: Timestamp) -> bool {
        self.now.minus_secs(self.skew) >= not_on_or_after
    }
    fn refusal(self, code: &'static str, limit: Timestamp) -> Refusal {
        Refusal::proven(code).with("limit", limit).with("now", self.now).with("skew_secs", self.skew)
    }
}

fn mismatch(code: &'static str, expected: &str, received: &str) -> Refusal {
    Refusal::proven(code).with("expected", expected).with("received", received)
}

fn envelope_holds(envelope: &Envelope, expect: &Expectation<'_>) -> Result<(), Refusal> {
    version_holds(&envelope.version)?;
    match (envelope.destination.as_deref(), envelope.covered) {
        (Some(destination), _) if destination != expect.acs_url => {
            return Err(mismatch("saml.destination_mismatch", expect.acs_url, destination));
        }
        // Bindings 3.5.5.2: a signed message names where it goes, lest it be carried elsewhere.
        (None, Covered::Yes) => return Err(Refusal::proven("saml.destination_missing")),
        (Some(_), _) | (None, Covered::No) => {}
    }
    if let Some(issuer) = envelope.issuer.as_deref().filter(|issuer| *issuer != expect.idp_entity_id) {
        return Err(mismatch("saml.issuer_mismatch", expect.idp_entity_id, issuer));
    }
    if !envelope.status.success {
        let refusal = envelope.status.refusal();
        return Err(Refusal { standing: model::refusal::Standing::Proven, ..refusal });
    }
    match (&expect.requested, envelope.in_response_to.as_deref()) {
        (Requested::InResponseTo(id), Some(received)) if id != received => {
            Err(mismatch("saml.in_response_to_mismatch", id, received))
        }
        (Requested::Unsolicited, Some(received)) => {
            Err(Refusal::proven("saml.in_response_to_unexpected").with("received", received))
        }
        (Requested::InResponseTo(_) | Requested::Unsolicited, _) => Ok(()),
    }
}

fn version_holds(version: &str) -> Result<(), Refusal> {
    if version == "2.0" { Ok(()) } else { Err(mismatch("saml.version_unsupported", "2.0", version)) }
}

fn assertion_holds(assertion: &Assertion, expect: &Expectation<'_>, window: Window) -> Result<(), Refusal> {
    version_holds(&assertion.version)?;
    if assertion.issuer != expect.idp_entity_id {
        return Err(mismatch("saml.issuer_mismatch", expect.idp_entity_id, &assertion.issuer));
    }
    if window.too_early(assertion.issue_instant) {
        return Err(window.refusal("saml.issued_in_future", assertion.issue_instant));
    }
    let conditions = &assertion.conditions;
    if let Some(limit) = conditions.not_before.filter(|limit| window.too_early(*limit)) {
        return Err(window.refusal("saml.not_yet_valid", limit));
    }
    if let Some(limit) = conditions.not_on_or_after.filter(|limit| window.too_late(*limit)) {
        return Err(window.refusal("saml.expired", limit));
    }
    if conditions.audiences.is_empty() {
        return Err(mismatch("saml.audience_missing", expect.audience, ""));
    }
    for restriction in &conditions.audiences {
        if !restriction.iter().any(|audience| audience == expect.audience) {
            return Err(mismatch("saml.audience_mismatch", expect.audience, &restriction.join(" ")));
        }
    }
    Ok(())
}

/// One bearer confirmation must hold in full (Profiles 4.1.4.3); gives its NotOnOrAfter. If none does,
/// the first one's reason is told.
fn confirmed(
    confirmations: &[Confirmation],
    expect: &Expectation<'_>,
    window: Window,
) -> Result<Timestamp, Refusal> {
    let mut first_reason = None;
    for confirmation in confirmations.iter().filter(|confirmation| confirmation.method == BEARER) {
        match confirmation_holds(confirmation, expect, window) {
            Ok(until) => return Ok(until),
            Err(reason) => first_reason = first_reason.or(Some(reason)),
        }
    }
    Err(first_reason.unwrap_or(Refusal::proven("saml.bearer_confirmation_missing")))
}

fn confirmation_holds(
    confirmation: &Confirmation,
    expect: &Expectation<'_>,
    window: Window,
) -> Result<Timestamp, Refusal> {
    let recipient = confirmation.recipient.as_deref().ok_or(Refusal::proven("saml.recipient_missing"))?;
    if recipient != expect.acs_url {
        return Err(mismatch("saml.recipient_mismatch", expect.acs_url, recipient));
    }
    // The signed answer must be to our own question: an unsigned Response's word does not count.
    match (&expect.requested, confirmation.in_response_to.as_deref()) {
        (Requested::InResponseTo(id), None) => {
            return Err(mismatch("saml.in_response_to_missing", id, ""));
        }
        (Requested::InResponseTo(id), Some(received)) if id != received => {
            return Err(mismatch("saml.in_response_to_mismatch", id, received));
        }
        (Requested::Unsolicited, Some(received)) => {
            return Err(Refusal::proven("saml.in_response_to_unexpected").with("received", received));
        }
        (Requested::InResponseTo(_), Some(_)) | (Requested::Unsolicited, None) => {}
    }
    if let Some(limit) = confirmation.not_before.filter(|limit| window.too_early(*limit)) {
        return Err(window.refusal("saml.confirmation_not_yet_valid", limit));
    }
    let until = confirmation.not_on_or_after.ok_or(Refusal::proven("saml.confirmation_without_end"))?;
    if window.too_late(until) {
        return Err(window.refusal("saml.confirmation_expired", until));
    }
    Ok(until)
}

type Authenticated = (Timestamp, Option<Timestamp>, Option<String>);

/// When the person was authenticated, the earliest end of the IdP's sessions, and how.
fn authenticated(assertion: &Assertion, window: Window) -> Result<Authenticated, Refusal> {
    let statements = &assertion.authentications;
    let first = statements.first().ok_or(Refusal::proven("saml.authn_statement_missing"))?;
    for statement in statements {
        if window.too_early(statement.at) {
            return Err(window.refusal("saml.authenticated_in_future", statement.at));
        }
        if let Some(limit) = statement.session_until.filter(|limit| window.too_late(*limit)) {
            return Err(window.refusal("saml.session_expired", limit));
        }
    }
    let until = statements.iter().filter_map(|statement| statement.session_until).min();
    Ok((first.at, until, first.context_class.clone()))
}

fn values(assertion: &Assertion, name: &str) -> Vec<String> {
    let named = assertion.attributes.iter().filter(|attribute| attribute.0 == name);
    named.flat_map(|attribute| attribute.1.iter().cloned()).collect()
}

/// The values under the first of these names that has any.
fn candidates(assertion: &Assertion, names: &[String]) -> Vec<String> {
    names.iter().map(|name| values(assertion, name)).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Exactly one value, or none: choosing among several would be guessing.
fn name(assertion: &Assertion, names: &[String]) -> Result<Option<String>, Refusal> {
    let mut found = candidates(assertion, names).into_iter();
    let one = found.next().filter(|_| found.next().is_none());
    let field = names.first().map_or("name", String::as_str);
    Ok(bounded(field, one.into_iter().collect(), 1, NAME_BYTES_MAX)?.pop())
}

/// What is kept and told on has an end; cut off, it would be something else.
fn bounded(
    attribute: &str,
    values: Vec<String>,
    max: usize,
    bytes_max: usize,
) -> Result<Vec<String>, Refusal> {
    if values.len() <= max && values.iter().all(|value| value.len() <= bytes_max) {
        return Ok(values);
    }
    let refusal = Refusal::proven("saml.attribute_bounds").with("attribute", attribute);
    Err(refusal.with("values_max", max).with("bytes_max", bytes_max))
}

/// The email attribute; a NameID that says it is one serves where there is no such attribute at all.
fn email(assertion: &Assertion, names: &[String]) -> Option<String> {
    let email = match candidates(assertion, names).as_slice() {
        [] if assertion.name_id_format.as_deref() == Some(EMAIL_FORMAT) => assertion.name_id.clone(),
        [one] => one.clone(),
        [] | [_, _, ..] => return None,
    };
    let (local, domain) = email.split_once('@')?;
    let plain = !email.contains(|c: char| c.is_whitespace() || c.is_control());
    let whole = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    (plain && whole && email.len() <= EMAIL_BYTES_MAX).then_some(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_holds_to_its_bounds_or_is_refused_whole() {
        let code = |values: Vec<String>| bounded("a", values, 2, 3).map(|v| v.len()).map_err(|r| r.code);
        assert_eq!(code(vec!["abc".into(), "abc".into()]), Ok(2));
        assert_eq!(code(vec!["abcd".into()]), Err("saml.attribute_bounds"));
        assert_eq!(code(vec!["a".into(), "b".into(), "c".into()]), Err("saml.attribute_bounds"));
    }
}
