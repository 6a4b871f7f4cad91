//! The AuthnRequest as an identity provider reads it: HTTP-Redirect (deflated) and HTTP-POST binding.
//! Holds it to the app that was set up, as Okta does: Issuer, Destination and ACS URL must be the stored
//! ones. Its signature is not checked: Okta does so only when told to. SAML Core 3.4.1, Bindings 3.4, 3.5.

use crate::{
    saml_idp::ServiceProvider,
    saml_response::{ASSERTION, PROTOCOL},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::DeflateDecoder;
use std::io::Read;

/// Far above any real request; a deflate bomb stops here.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
const POST_BINDING: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuthnRequest {
    pub(crate) id: String,
    /// The person the service provider expects, if it says so.
    pub(crate) name_id: Option<String>,
    pub(crate) passive: bool,
}

/// `SAMLRequest` of a query string, already percent-decoded.
pub(crate) fn from_redirect(value: &str) -> Result<String, String> {
    let deflated = STANDARD.decode(value).map_err(|e| format!("SAMLRequest is not base64: {e}."))?;
    let mut xml = String::new();
    let limit = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    DeflateDecoder::new(deflated.as_slice())
        .take(limit)
        .read_to_string(&mut xml)
        .map_err(|e| format!("SAMLRequest is not deflated UTF-8: {e}."))?;
    bounded(xml)
}

/// `SAMLRequest` of a form.
pub(crate) fn from_post(value: &str) -> Result<String, String> {
    let value: String = value.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(value).map_err(|e| format!("SAMLRequest is not base64: {e}."))?;
    bounded(String::from_utf8(bytes).map_err(|_| "SAMLRequest is not UTF-8.".to_owned())?)
}

fn bounded(xml: String) -> Result<String, String> {
    if xml.len() > REQUEST_BYTES_MAX {
        return Err(format!("SAMLRequest is longer than {REQUEST_BYTES_MAX} bytes."));
    }
    Ok(xml)
}

/// Reads a request and holds it to `sp`; each refusal is a sentence for the person setting the app up.
pub(crate) fn read(xml: &str, sp: &ServiceProvider, sso_url: &str) -> Result<AuthnRequest, String> {
    let document = roxmltree::Document::parse(xml).map_err(|e| format!("SAMLRequest is not XML: {e}."))?;
    let root = document.root_element();
    if !root.has_tag_name((PROTOCOL, "AuthnRequest")) {
        return Err("SAMLRequest holds no samlp:AuthnRequest.".to_owned());
    }
    if root.attribute("Version") != Some("2.0") {
        return Err("The AuthnRequest's Version is not 2.0.".to_owned());
    }
    let id = root.attribute("ID").filter(|id| !id.is_empty()).ok_or("The AuthnRequest has no ID.")?;
    root.attribute("IssueInstant").ok_or("The AuthnRequest has no IssueInstant.")?;
    let issuer = root.children().find(|n| n.has_tag_name((ASSERTION, "Issuer"))).and_then(|n| n.text());
    same("Issuer", issuer, &sp.entity_id)?;
    optional("Destination", root.attribute("Destination"), sso_url)?;
    optional("AssertionConsumerServiceURL", root.attribute("AssertionConsumerServiceURL"), &sp.acs_url)?;
    optional("ProtocolBinding", root.attribute("ProtocolBinding"), POST_BINDING)?;
    let name_id = root.descendants().find(|n| n.has_tag_name((ASSERTION, "NameID"))).and_then(|n| n.text());
    Ok(AuthnRequest {
        id: id.to_owned(),
        name_id: name_id.map(str::to_owned),
        passive: matches!(root.attribute("IsPassive"), Some("true" | "1")),
    })
}

fn optional(field: &str, said: Option<&str>, wanted: &str) -> Result<(), String> {
    if said.is_none() { Ok(()) } else { same(field, said, wanted) }
}

fn same(field: &str, said: Option<&str>, wanted: &str) -> Result<(), String> {
    match said {
        Some(value) if value == wanted => Ok(()),
        _ => Err(format!(
            "The AuthnRequest's {field} is {}; the app here has {wanted}.",
            said.unwrap_or("absent")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::DeflateEncoder};
    use std::io::Write;

    fn deflated(bytes: &[u8]) -> String {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        STANDARD.encode(encoder.finish().unwrap())
    }

    #[test]
    fn a_request_inflates_up_to_the_limit_and_not_one_byte_further() {
        assert_eq!(
            from_redirect(&deflated(&vec![b'a'; REQUEST_BYTES_MAX])).unwrap().len(),
            REQUEST_BYTES_MAX
        );
        assert!(from_redirect(&deflated(&vec![b'a'; REQUEST_BYTES_MAX + 1])).unwrap_err().contains("longer"));
    }

    #[test]
    fn a_request_is_held_to_the_app_that_was_set_up() {
        let sp = ServiceProvider { entity_id: "https://sp".into(), acs_url: "https://sp/acs".into() };
        let xml = format!(
            "<p:AuthnRequest xmlns:p=\"{PROTOCOL}\" ID=\"a1\" Version=\"2.0\" IssueInstant=\"2026-11-21T10:00:00Z\" \
             Destination=\"https://idp/sso\" AssertionConsumerServiceURL=\"https://sp/acs\">\
             <Issuer xmlns=\"{ASSERTION}\">https://sp</Issuer></p:AuthnRequest>"
        );
        assert_eq!(read(&xml, &sp, "https://idp/sso").unwrap().id, "a1");
        assert!(read(&xml, &sp, "https://other/sso").unwrap_err().contains("Destination"));
        assert!(
            read(&xml.replace("sp/acs", "evil"), &sp, "https://idp/sso").unwrap_err().contains("Consumer")
        );
        assert!(read(&xml.replace(">https://sp<", ">https://x<"), &sp, "https://idp/sso").is_err());
    }
}
