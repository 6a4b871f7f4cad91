//! A SAML Response as Okta writes one: Response and Assertion signed, RSA-SHA256, exclusive c14n with
//! `PrefixList="xs"`. No XML library writes it: every template is already in canonical form (attributes
//! sorted, namespaces where they are first used, no self-closing tag), so the bytes that are hashed are
//! the bytes that are sent. SAML Core 2.0, Bindings 3.5, XML Signature 1.1.

use crate::{FixtureError, instrument::random_token, people::Person, signing::SigningKey};
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use model::Timestamp;

pub(crate) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
pub(crate) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXC_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub(crate) const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const XS: &str = " xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"";
pub(crate) const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
/// Okta's default life of an assertion, on both sides of its issue.
const WINDOW_SECS: i64 = 300;

/// Which elements carry a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    Both,
    ResponseOnly,
    AssertionOnly,
    Nothing,
}

/// Everything a Response says apart from the person. `new` gives an honest one; a test changes a field.
#[derive(Clone, Debug)]
pub struct ResponseParams {
    pub response_id: String,
    pub assertion_id: String,
    /// `None`: the entity id of the identity provider that signs.
    pub issuer: Option<String>,
    pub destination: String,
    pub recipient: String,
    /// `None` leaves out the AudienceRestriction.
    pub audience: Option<String>,
    /// `None`: unsolicited.
    pub in_response_to: Option<String>,
    pub status: String,
    pub issued_at: Timestamp,
    pub not_before: Timestamp,
    /// Of the Conditions.
    pub not_on_or_after: Timestamp,
    /// Of the bearer confirmation.
    pub confirm_before: Timestamp,
    pub session_not_on_or_after: Option<Timestamp>,
    pub authn_context: String,
    pub name_id_format: String,
    /// `None`: the person's email.
    pub name_id: Option<String>,
    pub signed: Signed,
}

impl ResponseParams {
    /// An honest answer to `in_response_to` for the service provider at `acs`, issued at `issued_at`.
    pub fn new(acs: &str, audience: &str, in_response_to: Option<&str>, issued_at: Timestamp) -> Self {
        let until = issued_at.plus_secs(WINDOW_SECS);
        Self {
            response_id: new_id(),
            assertion_id: new_id(),
            issuer: None,
            destination: acs.to_owned(),
            recipient: acs.to_owned(),
            audience: Some(audience.to_owned()),
            in_response_to: in_response_to.map(str::to_owned),
            status: SUCCESS.to_owned(),
            issued_at,
            not_before: issued_at.minus_secs(WINDOW_SECS),
            not_on_or_after: until,
            confirm_before: until,
            session_not_on_or_after: None,
            authn_context: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport".to_owned(),
            name_id_format: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress".to_owned(),
            name_id: None,
            signed: Signed::Both,
        }
    }
}

/// An ID is an NCName, so it begins with a letter.
pub(crate) fn new_id() -> String {
    format!("id{}", random_token())
}

/// Whose key signs, and whose certificate KeyInfo shows.
#[derive(Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) key: &'a SigningKey,
    pub(crate) shown: &'a SigningKey,
}

/// An Assertion in two pieces, between which its Signature belongs.
pub(crate) struct AssertionParts {
    pub(crate) id: String,
    pub(crate) attributes: String,
    pub(crate) issuer: String,
    pub(crate) body: String,
}

impl AssertionParts {
    pub(crate) fn new(issuer: &str, person: &Person, p: &ResponseParams) -> Self {
        let at = p.issued_at;
        Self {
            id: p.assertion_id.clone(),
            attributes: format!(
                " ID=\"{}\" IssueInstant=\"{at}\" Version=\"2.0\"",
                attribute(&p.assertion_id)
            ),
            issuer: format!("<saml2:Issuer>{}</saml2:Issuer>", text(issuer)),
            body: [subject(person, p), conditions(p), statement(p), attributes(person)].concat(),
        }
    }
    /// As a part of a Response, which declares `xs` for it.
    pub(crate) fn within(&self, signature: &str) -> String {
        self.write("", signature)
    }
    /// As exclusive c14n sees it alone, `xs` being in its PrefixList.
    pub(crate) fn alone(&self) -> String {
        self.write(XS, "")
    }
    fn write(&self, xs: &str, signature: &str) -> String {
        let Self { attributes, issuer, body, .. } = self;
        format!(
            "<saml2:Assertion xmlns:saml2=\"{ASSERTION}\"{xs}{attributes}>{issuer}{signature}{body}</saml2:Assertion>"
        )
    }
    pub(crate) fn sign(&self, signer: Signer<'_>) -> Result<String, FixtureError> {
        signature(signer, &self.id, &self.alone())
    }
}

/// A Response in pieces likewise.
pub(crate) struct ResponseParts {
    pub(crate) id: String,
    pub(crate) attributes: String,
    pub(crate) issuer: String,
    pub(crate) status: String,
}

impl ResponseParts {
    pub(crate) fn new(issuer: &str, p: &ResponseParams) -> Self {
        let reply = p.in_response_to.as_ref().map_or_else(String::new, |id| in_response_to(id));
        Self {
            id: p.response_id.clone(),
            attributes: format!(
                " Destination=\"{}\" ID=\"{}\"{reply} IssueInstant=\"{}\" Version=\"2.0\"",
                attribute(&p.destination),
                attribute(&p.response_id),
                p.issued_at
            ),
            issuer: format!(
                "<saml2:Issuer xmlns:saml2=\"{ASSERTION}\" \
                 Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:entity\">{}</saml2:Issuer>",
                text(issuer)
            ),
            status: format!(
                "<saml2p:Status><saml2p:StatusCode Value=\"{}\"></saml2p:StatusCode></saml2p:Status>",
                attribute(&p.status)
            ),
        }
    }
    /// `inner` is whatever follows the Status: an honest Assertion, or something worse.
    pub(crate) fn write(&self, signature: &str, inner: &str) -> String {
        let Self { attributes, issuer, status, .. } = self;
        format!(
            "<saml2p:Response xmlns:saml2p=\"{PROTOCOL}\"{XS}{attributes}>{issuer}{signature}{status}{inner}</saml2p:Response>"
        )
    }
    pub(crate) fn sign(&self, signer: Signer<'_>, inner: &str) -> Result<String, FixtureError> {
        signature(signer, &self.id, &self.write("", inner))
    }
}

/// The whole Response as XML, signed as `p.signed` says.
pub(crate) fn write(
    issuer: &str,
    person: &Person,
    p: &ResponseParams,
    signer: Signer<'_>,
) -> Result<String, FixtureError> {
    let issuer = p.issuer.as_deref().unwrap_or(issuer);
    let (response, assertion) = (ResponseParts::new(issuer, p), AssertionParts::new(issuer, person, p));
    let inner = match p.signed {
        Signed::Both | Signed::AssertionOnly => assertion.within(&assertion.sign(signer)?),
        Signed::ResponseOnly | Signed::Nothing => assertion.within(""),
    };
    // SAML Core 3.2.2: a refusal carries no assertion.
    let inner = if p.status == SUCCESS { inner } else { String::new() };
    let signature = match p.signed {
        Signed::Both | Signed::ResponseOnly => response.sign(signer, &inner)?,
        Signed::AssertionOnly | Signed::Nothing => String::new(),
    };
    Ok(response.write(&signature, &inner))
}

/// A ds:Signature over `canonical`, the exclusive c14n of the element whose ID is `id`.
fn signature(signer: Signer<'_>, id: &str, canonical: &str) -> Result<String, FixtureError> {
    let digest = STANDARD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
    let info = signed_info(RSA_SHA256, id, &digest);
    let value = STANDARD.encode(signer.key.sign(canonical_info(&info).as_bytes())?);
    Ok(signature_element(&info, &value, &signer.shown.certificate_base64()))
}

/// SignedInfo without its namespace declaration, which c14n writes at its apex.
pub(crate) fn signed_info(method: &str, id: &str, digest: &str) -> String {
    format!(
        "<ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"{EXC_C14N}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{method}\"></ds:SignatureMethod><ds:Reference URI=\"#{id}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{DSIG}enveloped-signature\"></ds:Transform>\
         <ds:Transform Algorithm=\"{EXC_C14N}\"><ec:InclusiveNamespaces xmlns:ec=\"{EXC_C14N}\" PrefixList=\"xs\">\
         </ec:InclusiveNamespaces></ds:Transform></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"></ds:DigestMethod>\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
        id = attribute(id)
    )
}

/// The SignedInfo as c14n sees it: the apex declares `ds`.
pub(crate) fn canonical_info(info: &str) -> String {
    info.replacen('>', &format!(" xmlns:ds=\"{DSIG}\">"), 1)
}

pub(crate) fn signature_element(info: &str, value: &str, certificate: &str) -> String {
    format!(
        "<ds:Signature xmlns:ds=\"{DSIG}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>\
         <ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"
    )
}

fn in_response_to(id: &str) -> String {
    format!(" InResponseTo=\"{}\"", attribute(id))
}

fn subject(person: &Person, p: &ResponseParams) -> String {
    let reply = p.in_response_to.as_ref().map_or_else(String::new, |id| in_response_to(id));
    format!(
        "<saml2:Subject><saml2:NameID Format=\"{}\">{}</saml2:NameID>\
         <saml2:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
         <saml2:SubjectConfirmationData{reply} NotOnOrAfter=\"{}\" Recipient=\"{}\"></saml2:SubjectConfirmationData>\
         </saml2:SubjectConfirmation></saml2:Subject>",
        attribute(&p.name_id_format),
        text(p.name_id.as_deref().unwrap_or(&person.email)),
        p.confirm_before,
        attribute(&p.recipient)
    )
}

fn conditions(p: &ResponseParams) -> String {
    let audience = p.audience.as_ref().map_or_else(String::new, |a| {
        format!(
            "<saml2:AudienceRestriction><saml2:Audience>{}</saml2:Audience></saml2:AudienceRestriction>",
            text(a)
        )
    });
    format!(
        "<saml2:Conditions NotBefore=\"{}\" NotOnOrAfter=\"{}\">{audience}</saml2:Conditions>",
        p.not_before, p.not_on_or_after
    )
}

fn statement(p: &ResponseParams) -> String {
    let until =
        p.session_not_on_or_after.map_or_else(String::new, |t| format!(" SessionNotOnOrAfter=\"{t}\""));
    format!(
        "<saml2:AuthnStatement AuthnInstant=\"{}\" SessionIndex=\"{}\"{until}><saml2:AuthnContext>\
         <saml2:AuthnContextClassRef>{}</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>",
        p.issued_at,
        attribute(&p.assertion_id),
        text(&p.authn_context)
    )
}

/// Okta's usual four; a person in no group has no `groups` attribute.
fn attributes(person: &Person) -> String {
    let one = std::slice::from_ref::<String>;
    let all = [
        ("email", one(&person.email)),
        ("firstName", one(&person.given_name)),
        ("lastName", one(&person.family_name)),
        ("groups", person.groups.as_slice()),
    ];
    let written: String =
        all.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| named_values(n, v)).collect();
    format!("<saml2:AttributeStatement>{written}</saml2:AttributeStatement>")
}

fn named_values(name: &str, values: &[String]) -> String {
    let values: String = values
        .iter()
        .map(|v| {
            format!(
                "<saml2:AttributeValue xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                 xsi:type=\"xs:string\">{}</saml2:AttributeValue>",
                text(v)
            )
        })
        .collect();
    format!(
        "<saml2:Attribute Name=\"{}\" NameFormat=\"urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified\">{values}</saml2:Attribute>",
        attribute(name)
    )
}

/// Text as canonical XML writes it (Canonical XML 1.0, 2.3).
pub(crate) fn text(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#xD;")
}

/// An attribute's value as canonical XML writes it.
pub(crate) fn attribute(value: &str) -> String {
    let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    value.replace('\t', "&#x9;").replace('\n', "&#xA;").replace('\r', "&#xD;")
}
