//! Reading: a Response's own fields and an Assertion, from nodes into plain values. It decides only
//! whether there is one way to read each field (no second Subject, no element inside a NameID); whether
//! the values are good is `accept`'s. An Assertion is read from canonical, signed bytes alone; the
//! Response's fields may be unsigned, and then serve only to refuse.

use crate::{
    gate::Status,
    xml::{self, ASSERTION},
};
use model::{Refusal, Timestamp};
use roxmltree::Node;

/// A NameID is at most 256 characters long (Core 8.3.7); the ids of messages are held to the same.
const IDENTIFIER_CHARS_MAX: usize = 256;

/// Did the signature cover the Response's own fields?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Covered {
    Yes,
    No,
}

/// The fields of `samlp:Response` itself (Core 3.2.2).
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) covered: Covered,
    pub(crate) version: String,
    pub(crate) destination: Option<String>,
    pub(crate) in_response_to: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) status: Status,
}

/// `saml:Assertion` (Core 2.3.3), as far as web sign-on reads it.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) issue_instant: Timestamp,
    pub(crate) issuer: String,
    pub(crate) name_id: String,
    pub(crate) name_id_format: Option<String>,
    pub(crate) confirmations: Vec<Confirmation>,
    pub(crate) conditions: Conditions,
    pub(crate) authentications: Vec<Authentication>,
    /// Names with their values, in document order; a name may come twice.
    pub(crate) attributes: Vec<(String, Vec<String>)>,
}

/// `saml:SubjectConfirmation` and its data (Core 2.4.1).
#[derive(Debug)]
pub(crate) struct Confirmation {
    pub(crate) method: String,
    pub(crate) recipient: Option<String>,
    pub(crate) in_response_to: Option<String>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_on_or_after: Option<Timestamp>,
}

/// `saml:Conditions` (Core 2.5); absent, it holds nothing, and the missing audience refuses it.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_on_or_after: Option<Timestamp>,
    /// Each restriction's audiences: one of each restriction must be us.
    pub(crate) audiences: Vec<Vec<String>>,
}

/// `saml:AuthnStatement` (Core 2.7.2).
#[derive(Debug)]
pub(crate) struct Authentication {
    pub(crate) at: Timestamp,
    pub(crate) session_until: Option<Timestamp>,
    pub(crate) context_class: Option<String>,
}

impl Envelope {
    pub(crate) fn read(root: Node<'_, '_>, covered: Covered) -> Result<Self, Refusal> {
        let issuer = xml::at_most_one(root, (ASSERTION, "Issuer"), "saml.element_repeated")?;
        Ok(Self {
            covered,
            version: owned(root, "Version").unwrap_or_default(),
            destination: owned(root, "Destination"),
            in_response_to: owned(root, "InResponseTo"),
            issuer: issuer.map(issuer_of).transpose()?,
            status: Status::read(root),
        })
    }
}

impl Assertion {
    /// From canonical bytes that are one Assertion.
    pub(crate) fn read_document(canonical: &str) -> Result<Self, Refusal> {
        Self::read(xml::parse(canonical)?.root_element())
    }

    /// Errors: `saml.element_repeated`, `saml.element_missing`, `saml.time_malformed`,
    /// `saml.identifier_malformed`, `saml.name_id_malformed`, `saml.encrypted_id_not_supported`,
    /// `saml.condition_unknown`.
    pub(crate) fn read(node: Node<'_, '_>) -> Result<Self, Refusal> {
        if !xml::is(node, ASSERTION, "Assertion") {
            return Err(Refusal::stranger("saml.assertion_missing"));
        }
        let id = owned(node, "ID").unwrap_or_default();
        if id.is_empty() || id.chars().count() > IDENTIFIER_CHARS_MAX {
            return Err(Refusal::stranger("saml.identifier_malformed").with("received", id));
        }
        let subject = required(node, "Subject")?;
        if xml::children(subject, ASSERTION, "EncryptedID").next().is_some() {
            return Err(Refusal::stranger("saml.encrypted_id_not_supported"));
        }
        let name_id = required(subject, "NameID")?;
        Ok(Self {
            id,
            version: owned(node, "Version").unwrap_or_default(),
            issue_instant: instant(node, "IssueInstant")?.ok_or_else(|| missing("IssueInstant"))?,
            issuer: issuer_of(required(node, "Issuer")?)?,
            name_id: name_id_of(name_id)?,
            name_id_format: owned(name_id, "Format"),
            confirmations: xml::children(subject, ASSERTION, "SubjectConfirmation")
                .map(Confirmation::read)
                .collect::<Result<_, _>>()?,
            conditions: xml::at_most_one(node, (ASSERTION, "Conditions"), "saml.element_repeated")?
                .map(Conditions::read)
                .transpose()?
                .unwrap_or_default(),
            authentications: xml::children(node, ASSERTION, "AuthnStatement")
                .map(Authentication::read)
                .collect::<Result<_, _>>()?,
            attributes: xml::children(node, ASSERTION, "AttributeStatement")
                .flat_map(|statement| xml::children(statement, ASSERTION, "Attribute"))
                .map(attribute_of)
                .collect(),
        })
    }
}

impl Confirmation {
    fn read(node: Node<'_, '_>) -> Result<Self, Refusal> {
        let data = xml::at_most_one(node, (ASSERTION, "SubjectConfirmationData"), "saml.element_repeated")?;
        Ok(Self {
            method: owned(node, "Method").unwrap_or_default(),
            recipient: data.and_then(|data| owned(data, "Recipient")),
            in_response_to: data.and_then(|data| owned(data, "InResponseTo")),
            not_before: data.map_or(Ok(None), |data| instant(data, "NotBefore"))?,
            not_on_or_after: data.map_or(Ok(None), |data| instant(data, "NotOnOrAfter"))?,
        })
    }
}

impl Conditions {
    /// A condition that is not understood makes the assertion worthless (Core 2.5.1.1). OneTimeUse is
    /// kept by the single use of every assertion; ProxyRestriction binds issuers, which we are not.
    fn read(node: Node<'_, '_>) -> Result<Self, Refusal> {
        let mut audiences = Vec::new();
        for condition in node.children().filter(Node::is_element) {
            if xml::is(condition, ASSERTION, "AudienceRestriction") {
                audiences.push(
                    xml::children(condition, ASSERTION, "Audience")
                        .filter_map(xml::text)
                        .map(|audience| audience.trim_ascii().to_owned())
                        .collect(),
                );
            } else if !xml::is(condition, ASSERTION, "OneTimeUse")
                && !xml::is(condition, ASSERTION, "ProxyRestriction")
            {
                return Err(
                    Refusal::stranger("saml.condition_unknown").with("received", condition.tag_name().name())
                );
            }
        }
        Ok(Self {
            not_before: instant(node, "NotBefore")?,
            not_on_or_after: instant(node, "NotOnOrAfter")?,
            audiences,
        })
    }
}

impl Authentication {
    fn read(node: Node<'_, '_>) -> Result<Self, Refusal> {
        let context = xml::at_most_one(node, (ASSERTION, "AuthnContext"), "saml.element_repeated")?;
        let class = context.and_then(|context| {
            xml::children(context, ASSERTION, "AuthnContextClassRef").next().and_then(xml::text)
        });
        Ok(Self {
            at: instant(node, "AuthnInstant")?.ok_or_else(|| missing("AuthnInstant"))?,
            session_until: instant(node, "SessionNotOnOrAfter")?,
            context_class: class.map(|class| class.trim_ascii().to_owned()).filter(|c| !c.is_empty()),
        })
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::stranger("saml.element_missing").with("expected", name)
}

fn required<'a>(node: Node<'a, 'a>, name: &'static str) -> Result<Node<'a, 'a>, Refusal> {
    xml::at_most_one(node, (ASSERTION, name), "saml.element_repeated")?.ok_or_else(|| missing(name))
}

fn owned(node: Node<'_, '_>, name: &str) -> Option<String> {
    xml::attribute(node, name).map(str::to_owned)
}

/// An xs:dateTime attribute in UTC (Core 1.3.3). One that cannot be read is refused, never ignored.
fn instant(node: Node<'_, '_>, name: &'static str) -> Result<Option<Timestamp>, Refusal> {
    xml::attribute(node, name)
        .map(|text| {
            Timestamp::parse_rfc3339(text).map_err(|_| {
                Refusal::stranger("saml.time_malformed").with("field", name).with("received", text)
            })
        })
        .transpose()
}

fn issuer_of(node: Node<'_, '_>) -> Result<String, Refusal> {
    let text = xml::text(node).ok_or_else(|| missing("Issuer"))?;
    Ok(text.trim_ascii().to_owned())
}

/// The key of a person, byte for byte: nothing is trimmed, folded or normalised, because two people
/// could become one; what would need it is refused.
fn name_id_of(node: Node<'_, '_>) -> Result<String, Refusal> {
    let malformed = || Refusal::stranger("saml.name_id_malformed");
    let text = xml::text(node).ok_or_else(malformed)?;
    let length = text.chars().count();
    if length == 0 || length > IDENTIFIER_CHARS_MAX || text.trim() != text || text.contains(char::is_control)
    {
        return Err(malformed().with("chars", length));
    }
    Ok(text)
}

/// A value with child elements is no text, and is left out.
fn attribute_of(node: Node<'_, '_>) -> (String, Vec<String>) {
    let values = xml::children(node, ASSERTION, "AttributeValue")
        .filter_map(xml::text)
        .map(|value| value.trim_ascii().to_owned())
        .filter(|value| !value.is_empty())
        .collect();
    (owned(node, "Name").unwrap_or_default(), values)
}
