//! Writing an AuthnRequest (Core 3.4.1) and carrying it: HTTP-Redirect (Bindings 3.4: DEFLATE, base64,
//! percent-encoding) or HTTP-POST (Bindings 3.5: base64). It chooses no id and no time: both are given,
//! and the id carries at least 128 random bits.

use base64::{Engine, engine::general_purpose::STANDARD};
use model::Timestamp;
use std::fmt::Write;

/// Best compression; a request is under 1 KB.
const DEFLATE_LEVEL: u8 = 9;

#[derive(Clone, Debug)]
pub struct AuthnRequestParams<'a> {
    /// An xs:ID: begins with a letter or `_`, and has at least 128 random bits.
    pub id: &'a str,
    /// Our entity id.
    pub issuer: &'a str,
    pub acs_url: &'a str,
    /// The IdP's URL that this request goes to.
    pub destination: &'a str,
    pub issue_instant: Timestamp,
    /// The person must sign in anew, whatever session the IdP still has.
    pub force_authn: bool,
    /// The authentication context classes of which one will do, by their URIs, the best first; none: any will.
    pub authn_contexts: &'a [String],
}

/// The request as XML, unsigned.
pub fn build(params: &AuthnRequestParams<'_>) -> String {
    let mut xml = String::with_capacity(1024);
    xml.push_str("<samlp:AuthnRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"");
    xml.push_str(" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"");
    attribute(&mut xml, "ID", params.id);
    attribute(&mut xml, "Version", "2.0");
    attribute(&mut xml, "IssueInstant", &params.issue_instant.to_string());
    attribute(&mut xml, "Destination", params.destination);
    if params.force_authn {
        attribute(&mut xml, "ForceAuthn", "true");
    }
    attribute(&mut xml, "AssertionConsumerServiceURL", params.acs_url);
    attribute(&mut xml, "ProtocolBinding", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST");
    xml.push('>');
    element(&mut xml, "saml:Issuer", params.issuer);
    if !params.authn_contexts.is_empty() {
        xml.push_str("<samlp:RequestedAuthnContext Comparison=\"exact\">");
        for context in params.authn_contexts {
            element(&mut xml, "saml:AuthnContextClassRef", context);
        }
        xml.push_str("</samlp:RequestedAuthnContext>");
    }
    xml.push_str("</samlp:AuthnRequest>");
    xml
}

/// The URL to send the browser to: `sso_url`, whose own query is kept, with `SAMLRequest` and, unless
/// it is empty, `RelayState`.
pub fn redirect_url(sso_url: &str, xml: &str, relay_state: &str) -> String {
    let deflated = miniz_oxide::deflate::compress_to_vec(xml.as_bytes(), DEFLATE_LEVEL);
    let (base, fragment) = sso_url.split_once('#').map_or((sso_url, None), |(b, f)| (b, Some(f)));
    let mut url = base.to_owned();
    url.push(if base.contains('?') { '&' } else { '?' });
    url.push_str("SAMLRequest=");
    percent_encode(&mut url, &STANDARD.encode(deflated));
    if !relay_state.is_empty() {
        url.push_str("&RelayState=");
        percent_encode(&mut url, relay_state);
    }
    if let Some(fragment) = fragment {
        url.push('#');
        url.push_str(fragment);
    }
    url
}

/// The value of the form field `SAMLRequest`.
pub fn post_form_value(xml: &str) -> String {
    STANDARD.encode(xml)
}

pub(crate) fn attribute(xml: &mut String, name: &str, value: &str) {
    xml.push(' ');
    xml.push_str(name);
    xml.push_str("=\"");
    escape(xml, value);
    xml.push('"');
}

pub(crate) fn element(xml: &mut String, name: &str, text: &str) {
    // Writing into a String cannot fail.
    let _ = write!(xml, "<{name}>");
    escape(xml, text);
    let _ = write!(xml, "</{name}>");
}

fn escape(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            '\t' => xml.push_str("&#x9;"),
            '\n' => xml.push_str("&#xA;"),
            '\r' => xml.push_str("&#xD;"),
            _ => xml.push(c),
        }
    }
}

fn percent_encode(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{self, ASSERTION, PROTOCOL};

    fn params() -> AuthnRequestParams<'static> {
        AuthnRequestParams {
            id: "_2f1d",
            issuer: "https://sso.example/saml/con_1/metadata",
            acs_url: "https://sso.example/saml/con_1/acs?a=1&b=\"2\"",
            destination: "https://idp.example/sso?tenant=<x>",
            issue_instant: Timestamp::from_secs(1_800_000_000),
            force_authn: true,
            authn_contexts: &[],
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_breaks_out_of_an_attribute() {
        let text = build(&params());
        let document = xml::parse(&text).unwrap();
        let root = document.root_element();
        assert!(xml::is(root, PROTOCOL, "AuthnRequest"));
        assert_eq!(xml::attribute(root, "AssertionConsumerServiceURL"), Some(params().acs_url));
        assert_eq!(xml::attribute(root, "Destination"), Some(params().destination));
        assert_eq!(xml::attribute(root, "ForceAuthn"), Some("true"));
        assert_eq!(xml::attribute(root, "IssueInstant"), Some("2027-01-15T08:00:00Z"));
        let issuer = xml::children(root, ASSERTION, "Issuer").next().unwrap();
        assert_eq!(xml::text(issuer).as_deref(), Some(params().issuer));
        let plain = build(&AuthnRequestParams { force_authn: false, ..params() });
        assert!(!plain.contains("ForceAuthn") && !plain.contains("RequestedAuthnContext"));
        let contexts = ["urn:a&b".to_owned(), "urn:c".to_owned()];
        let text = build(&AuthnRequestParams { authn_contexts: &contexts, ..params() });
        let document = xml::parse(&text).unwrap();
        let requested =
            xml::children(document.root_element(), PROTOCOL, "RequestedAuthnContext").next().unwrap();
        let classes = xml::children(requested, ASSERTION, "AuthnContextClassRef");
        assert_eq!(classes.filter_map(xml::text).collect::<Vec<_>>(), contexts);
    }

    #[test]
    fn the_redirect_carries_the_request_back_out() {
        let url = redirect_url("https://idp.example/sso?tenant=7#top", "<a>é</a>", "att_1&x=y");
        let query = url.strip_prefix("https://idp.example/sso?tenant=7&SAMLRequest=").unwrap();
        let (value, rest) = query.split_once('&').unwrap();
        assert_eq!(rest, "RelayState=att_1%26x%3Dy#top");
        let base64 = value.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        let inflated = miniz_oxide::inflate::decompress_to_vec(&STANDARD.decode(base64).unwrap()).unwrap();
        assert_eq!(inflated, "<a>é</a>".as_bytes());
        assert_eq!(STANDARD.decode(post_form_value("<a/>")).unwrap(), b"<a/>");
        assert!(
            redirect_url("https://i.example/s", "<a/>", "").starts_with("https://i.example/s?SAMLRequest=")
        );
    }
}
