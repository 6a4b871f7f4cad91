//! The structural gate: the one shape of document whose signatures are looked at. Exactly one Assertion,
//! a direct child of the Response; Signatures only as direct children of those two, one each; no id
//! twice. Whatever is wrapped, doubled, moved or nested is refused here, before any cryptography
//! (Somorovsky et al., "On Breaking SAML": XSW 1-8 all need a second place to look).

use crate::xml::{self, ASSERTION, DSIG, PROTOCOL};
use model::Refusal;
use roxmltree::{Document, Node};
use std::collections::HashSet;

const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";

pub(crate) struct Shape<'a> {
    pub(crate) assertion: Node<'a, 'a>,
    pub(crate) response_signature: Option<Node<'a, 'a>>,
    pub(crate) assertion_signature: Option<Node<'a, 'a>>,
}

/// Finds the assertion and the signatures. Signatures may be absent: the caller decides whether that
/// is allowed (within signed bytes the inner one may be). Errors: `saml.not_a_response`,
/// `saml.duplicate_id`, `saml.assertion_count`, `saml.assertion_misplaced`, `saml.signature_misplaced`,
/// `saml.encrypted_not_supported`, `saml.assertion_missing`, `saml.status_not_success`.
pub(crate) fn pass<'a>(document: &'a Document<'a>) -> Result<Shape<'a>, Refusal> {
    let root = document.root_element();
    if !xml::is(root, PROTOCOL, "Response") {
        return Err(Refusal::stranger("saml.not_a_response").with("received", root.tag_name().name()));
    }
    let mut found = Found::default();
    for node in root.descendants().filter(Node::is_element) {
        found.look(node, root)?;
    }
    let Some(assertion) = found.assertion else {
        return Err(without_assertion(root, found.encrypted));
    };
    if found.encrypted {
        return Err(Refusal::stranger("saml.encrypted_not_supported"));
    }
    let mut shape = Shape { assertion, response_signature: None, assertion_signature: None };
    for signature in found.signatures {
        let place = match signature.parent() {
            Some(parent) if parent == root => &mut shape.response_signature,
            Some(parent) if parent == assertion => &mut shape.assertion_signature,
            Some(_) | None => return Err(Refusal::stranger("saml.signature_misplaced")),
        };
        if place.replace(signature).is_some() {
            return Err(Refusal::stranger("saml.signature_count"));
        }
    }
    Ok(shape)
}

#[derive(Default)]
struct Found<'a> {
    ids: HashSet<&'a str>,
    assertion: Option<Node<'a, 'a>>,
    encrypted: bool,
    signatures: Vec<Node<'a, 'a>>,
}

impl<'a> Found<'a> {
    /// Names count in any namespace: a reader that looks at local names alone must find nothing more.
    fn look(&mut self, node: Node<'a, 'a>, root: Node<'a, 'a>) -> Result<(), Refusal> {
        for attribute in node.attributes() {
            if attribute.name().eq_ignore_ascii_case("id") && !self.ids.insert(attribute.value()) {
                return Err(Refusal::stranger("saml.duplicate_id").with("received", attribute.value()));
            }
        }
        match node.tag_name().name() {
            "Assertion" => {
                if !xml::is(node, ASSERTION, "Assertion") || node.parent() != Some(root) {
                    return Err(Refusal::stranger("saml.assertion_misplaced"));
                }
                if self.assertion.replace(node).is_some() {
                    return Err(Refusal::stranger("saml.assertion_count"));
                }
            }
            "EncryptedAssertion" => self.encrypted = true,
            "Signature" if xml::is(node, DSIG, "Signature") => self.signatures.push(node),
            "Signature" => return Err(Refusal::stranger("saml.signature_misplaced")),
            "Response" if node != root => return Err(Refusal::stranger("saml.response_nested")),
            _ => {}
        }
        Ok(())
    }
}

/// An answer without an assertion is most often the IdP's own refusal: its words help the administrator.
fn without_assertion(root: Node<'_, '_>, encrypted: bool) -> Refusal {
    if encrypted {
        return Refusal::stranger("saml.encrypted_not_supported");
    }
    let status = Status::read(root);
    if status.success { Refusal::stranger("saml.assertion_missing") } else { status.refusal() }
}

/// `samlp:Status` (Core 3.2.2.1).
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) success: bool,
    codes: Vec<String>,
    message: Option<String>,
}

impl Status {
    /// Success only if there is one Status with one top-level code that says so, and none below it.
    pub(crate) fn read(root: Node<'_, '_>) -> Self {
        let mut statuses = xml::children(root, PROTOCOL, "Status");
        let (status, second) = (statuses.next(), statuses.next());
        let mut codes = Vec::new();
        let mut at = status;
        while let Some(code) = at.and_then(|node| xml::children(node, PROTOCOL, "StatusCode").next()) {
            codes.push(xml::attribute(code, "Value").unwrap_or_default().to_owned());
            at = Some(code);
        }
        let message =
            status.and_then(|node| xml::children(node, PROTOCOL, "StatusMessage").next()).and_then(xml::text);
        let one = status.is_some_and(|node| xml::children(node, PROTOCOL, "StatusCode").count() == 1);
        let success = one && second.is_none() && codes.len() == 1 && codes.iter().all(|code| code == SUCCESS);
        Self { success, codes, message }
    }

    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::stranger("saml.status_not_success")
            .with("status", self.codes.join(" / "))
            .with("message", self.message.as_deref().unwrap_or_default())
    }
}
