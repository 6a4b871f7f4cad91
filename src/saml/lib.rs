//! The SAML judge: turns what an identity provider posted into an accepted identity or a named refusal.
//! A chain of types, each made by the one before and by nothing else: posted bytes, a signed assertion
//! (only the canonical bytes that were digested are ever read), an accepted identity.
//! Never reads a clock, opens a socket, follows a reference out of the document or trusts `KeyInfo`.
//! Obeys SAML Core 2.0, Bindings 3.4 and 3.5, Profiles 4.1 and XML Signature 1.1, narrowed to what
//! identity providers send; every other shape is refused, whatever its signature says.

mod accept;
mod c14n;
#[cfg(test)]
mod c14n_differential;
mod certs;
mod dsig;
mod gate;
pub mod metadata;
pub mod request;
mod response;
#[cfg(feature = "second-opinion")]
mod second_opinion;
mod xml;

pub use accept::{AttributeMap, CLOCK_SKEW_SECS_DEFAULT, CLOCK_SKEW_SECS_MAX, Expectation, Requested};
pub use certs::TrustedCerts;
pub use model::Refusal;

use base64::{Engine, engine::general_purpose::STANDARD};
use model::{Timestamp, user::AcceptedIdentity};

/// Bounds on what is parsed at all. Each is held before the XML parser sees a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of XML after base64: 256 KiB holds some 5,000 groups.
    pub body_bytes_max: usize,
    /// Nested elements; a signed Response needs 9.
    pub depth_max: usize,
    /// Elements of the whole document.
    pub elements_max: usize,
    /// Attributes of one element, namespace declarations included: the parser compares all pairs.
    pub attributes_per_element_max: usize,
    /// Namespace declarations in force at one place: the parser copies them at each declaring element.
    pub namespaces_in_scope_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 * 1024,
            depth_max: 40,
            elements_max: 10_000,
            attributes_per_element_max: 64,
            namespaces_in_scope_max: 64,
        }
    }
}

/// XML that was posted to us: within the limits, UTF-8, without a DTD or processing instructions.
/// Nothing in it has been proven.
#[derive(Debug)]
pub struct PostedResponse {
    xml: String,
}

/// What the connection's key signed. Made by [`PostedResponse::verify`] alone.
#[derive(Debug)]
pub struct SignedAssertion {
    envelope: response::Envelope,
    assertion: response::Assertion,
    signed_xml: String,
}

/// Takes the `SAMLResponse` form value (HTTP-POST binding, Bindings 3.5.4): base64, ASCII white space
/// allowed, of one UTF-8 document. Errors: `saml.too_large`, `saml.base64_malformed`, `saml.not_utf8`
/// and those of the survey (`saml.doctype_forbidden`, `saml.too_deep`, …), all as of a stranger.
pub fn receive(form_value: &str, limits: &Limits) -> Result<PostedResponse, Refusal> {
    if form_value.len() > limits.body_bytes_max.saturating_mul(2) {
        return Err(Refusal::stranger("saml.too_large").with("bytes", form_value.len()));
    }
    let bytes = decode_base64(form_value).ok_or(Refusal::stranger("saml.base64_malformed"))?;
    if bytes.len() > limits.body_bytes_max {
        return Err(Refusal::stranger("saml.too_large").with("bytes", bytes.len()));
    }
    let xml = String::from_utf8(bytes).map_err(|_| Refusal::stranger("saml.not_utf8"))?;
    xml::survey(&xml, limits)?;
    Ok(PostedResponse { xml })
}

impl PostedResponse {
    /// Holds the document to the one accepted shape, then its signatures to the connection's own
    /// certificates: `SignatureValue` first, then the digest, and reads the canonical bytes that were
    /// digested. A signed Response covers its Assertion; if that is signed too, both must hold.
    /// Errors: the structure and signature codes (`saml.signature_missing`, `saml.digest_mismatch`, …).
    /// With the feature `second-opinion`, xmlsec1 must accept the same document for the same bytes, or
    /// it is `saml.second_opinion_differs`: no login, and a reason for alarm.
    pub fn verify(self, trust: &TrustedCerts) -> Result<SignedAssertion, Refusal> {
        let signed = self.signed_by(trust)?;
        #[cfg(feature = "second-opinion")]
        second_opinion::agree(&self.xml, &signed.signed_xml, trust)?;
        Ok(signed)
    }

    fn signed_by(&self, trust: &TrustedCerts) -> Result<SignedAssertion, Refusal> {
        let document = xml::parse(&self.xml)?;
        let shape = gate::pass(&document)?;
        let Some(response_signature) = shape.response_signature else {
            let signature = shape.assertion_signature.ok_or(Refusal::stranger("saml.signature_missing"))?;
            let envelope = response::Envelope::read(document.root_element(), response::Covered::No)?;
            let signed_xml = dsig::verify(shape.assertion, signature, trust)?;
            let assertion = response::Assertion::read_document(&signed_xml).map_err(proven)?;
            return Ok(SignedAssertion { envelope, assertion, signed_xml });
        };
        let signed_xml = dsig::verify(document.root_element(), response_signature, trust)?;
        read_covered(signed_xml, trust).map_err(proven)
    }
}

/// From here on the original document is gone: only the Response's canonical bytes are read.
fn read_covered(signed_xml: String, trust: &TrustedCerts) -> Result<SignedAssertion, Refusal> {
    let document = xml::parse(&signed_xml)?;
    let shape = gate::pass(&document)?;
    let envelope = response::Envelope::read(document.root_element(), response::Covered::Yes)?;
    let assertion = match shape.assertion_signature {
        Some(signature) => {
            let inner = dsig::verify(shape.assertion, signature, trust)?;
            response::Assertion::read_document(&inner)?
        }
        None => response::Assertion::read(shape.assertion)?,
    };
    drop(document);
    Ok(SignedAssertion { envelope, assertion, signed_xml })
}

impl SignedAssertion {
    /// Holds the assertion to every rule of SAML Profiles 4.1.4.3 and Core 2.5, one code each, at `now`.
    /// The caller still owes the single use of `single_use_key`. Errors: `saml.audience_mismatch`,
    /// `saml.expired`, …, with the expected and the received value as facts.
    pub fn accept(self, expect: &Expectation<'_>, now: Timestamp) -> Result<AcceptedIdentity, Refusal> {
        accept::judge(&self.envelope, self.assertion, expect, now)
    }

    /// The canonical bytes that were digested: what a second opinion must agree with.
    pub fn signed_xml(&self) -> &str {
        &self.signed_xml
    }
}

fn proven(refusal: Refusal) -> Refusal {
    Refusal { standing: model::refusal::Standing::Proven, ..refusal }
}

/// Strict base64 once ASCII white space is gone: identity providers break lines.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if text.bytes().any(|b| b.is_ascii_whitespace()) {
        let dense: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        return STANDARD.decode(dense).ok();
    }
    STANDARD.decode(text).ok()
}
