//! Metadata (SAML Metadata 2.0): an identity provider's, read once by an administrator, and our own,
//! written. Reading decides what a connection will trust, so it refuses rather than guesses: several
//! identity providers, no signing certificate, only expired ones, an address that is no https URL.
//! It fetches nothing; the metadata's own signature is not looked at, the administrator vouches for it.

use crate::{
    Limits,
    certs::Certificate,
    request::attribute,
    xml::{self, DSIG, METADATA, PROTOCOL},
};
use model::{Refusal, Timestamp};
use roxmltree::{Document, Node};

/// Entra's federation metadata is some 100 KB; a whole federation's is many megabytes, and not for us.
const METADATA_LIMITS: Limits = Limits {
    body_bytes_max: 1024 * 1024,
    depth_max: 40,
    elements_max: 10_000,
    attributes_per_element_max: 64,
    namespaces_in_scope_max: 64,
};
const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";
/// Core 8.3.6.
const ENTITY_ID_CHARS_MAX: usize = 1024;

/// What a connection needs to know of its identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdpMetadata {
    pub entity_id: String,
    pub sso_redirect_url: Option<String>,
    pub sso_post_url: Option<String>,
    /// Base64 of the DER of each signing certificate that has not expired: one at least.
    pub certificates: Vec<String>,
    /// When each of them ends, in the same order.
    pub not_after: Vec<Timestamp>,
    /// The IdP says that it wants our requests signed.
    pub wants_signed_requests: bool,
}

/// Reads the metadata of one SAML 2.0 identity provider. Errors: `saml.metadata_not_an_idp`,
/// `saml.metadata_many_idps`, `saml.metadata_expired`, `saml.metadata_entity_id`,
/// `saml.metadata_no_signing_certificate`, `saml.metadata_certificates_expired`,
/// `saml.metadata_no_sso_url`, `saml.metadata_url_refused`, and those of the XML and the certificates.
pub fn read(xml: &str, now: Timestamp) -> Result<IdpMetadata, Refusal> {
    if xml.len() > METADATA_LIMITS.body_bytes_max {
        return Err(Refusal::stranger("saml.too_large").with("bytes", xml.len()));
    }
    xml::survey(xml, &METADATA_LIMITS)?;
    let document = xml::parse(xml)?;
    let (entity, idp) = the_one_idp(&document)?;
    for node in [document.root_element(), entity, idp] {
        not_past(node, now)?;
    }
    let entity_id = xml::attribute(entity, "entityID").unwrap_or_default();
    if entity_id.is_empty() || entity_id.chars().count() > ENTITY_ID_CHARS_MAX {
        return Err(Refusal::stranger("saml.metadata_entity_id").with("received", entity_id));
    }
    let certificates = signing_certificates(idp, now)?;
    let sso_redirect_url = sso_url(idp, REDIRECT)?;
    let sso_post_url = sso_url(idp, POST)?;
    if sso_redirect_url.is_none() && sso_post_url.is_none() {
        return Err(Refusal::stranger("saml.metadata_no_sso_url"));
    }
    Ok(IdpMetadata {
        entity_id: entity_id.to_owned(),
        sso_redirect_url,
        sso_post_url,
        not_after: certificates.iter().map(|certificate| certificate.not_after).collect(),
        certificates: certificates.iter().map(Certificate::to_base64).collect(),
        wants_signed_requests: matches!(xml::attribute(idp, "WantAuthnRequestsSigned"), Some("true" | "1")),
    })
}

/// The EntityDescriptor and its IDPSSODescriptor: the root's own, or the only one in a list.
fn the_one_idp<'a>(document: &'a Document<'a>) -> Result<(Node<'a, 'a>, Node<'a, 'a>), Refusal> {
    let root = document.root_element();
    let entities: Vec<_> = if xml::is(root, METADATA, "EntityDescriptor") {
        vec![root]
    } else if xml::is(root, METADATA, "EntitiesDescriptor") {
        xml::children(root, METADATA, "EntityDescriptor").collect()
    } else {
        Vec::new()
    };
    let mut found = entities.into_iter().flat_map(|entity| {
        let idps = xml::children(entity, METADATA, "IDPSSODescriptor").filter(|idp| {
            let protocols = xml::attribute(*idp, "protocolSupportEnumeration").unwrap_or_default();
            protocols.split_ascii_whitespace().any(|protocol| protocol == PROTOCOL)
        });
        idps.map(move |idp| (entity, idp))
    });
    let first = found.next().ok_or(Refusal::stranger("saml.metadata_not_an_idp"))?;
    if found.next().is_some() {
        return Err(Refusal::stranger("saml.metadata_many_idps"));
    }
    Ok(first)
}

fn not_past(node: Node<'_, '_>, now: Timestamp) -> Result<(), Refusal> {
    let Some(text) = xml::attribute(node, "validUntil") else { return Ok(()) };
    let until = Timestamp::parse_rfc3339(text).map_err(|_| {
        Refusal::stranger("saml.time_malformed").with("field", "validUntil").with("received", text)
    })?;
    if now >= until {
        return Err(Refusal::stranger("saml.metadata_expired").with("limit", until).with("now", now));
    }
    Ok(())
}

/// A KeyDescriptor without `use` serves both purposes (Metadata 2.4.1.1).
fn signing_certificates(idp: Node<'_, '_>, now: Timestamp) -> Result<Vec<Certificate>, Refusal> {
    let mut valid: Vec<Certificate> = Vec::new();
    let mut expired = None;
    for descriptor in xml::children(idp, METADATA, "KeyDescriptor") {
        if !matches!(xml::attribute(descriptor, "use"), None | Some("signing")) {
            continue;
        }
        for node in descriptor.descendants().filter(|node| xml::is(*node, DSIG, "X509Certificate")) {
            let text = xml::text(node).ok_or(Refusal::stranger("saml.certificate_malformed"))?;
            let certificate = Certificate::from_text(&text)?;
            if now >= certificate.not_after {
                expired = Some(certificate.not_after);
            } else if !valid.contains(&certificate) {
                valid.push(certificate);
            }
        }
    }
    match (valid.is_empty(), expired) {
        (false, _) => Ok(valid),
        (true, Some(limit)) => {
            Err(Refusal::stranger("saml.metadata_certificates_expired").with("limit", limit).with("now", now))
        }
        (true, None) => Err(Refusal::stranger("saml.metadata_no_signing_certificate")),
    }
}

fn sso_url(idp: Node<'_, '_>, binding: &str) -> Result<Option<String>, Refusal> {
    let service = xml::children(idp, METADATA, "SingleSignOnService")
        .find(|service| xml::attribute(*service, "Binding") == Some(binding));
    let Some(service) = service else { return Ok(None) };
    let url = xml::attribute(service, "Location").unwrap_or_default();
    if !is_web_url(url) {
        return Err(Refusal::stranger("saml.metadata_url_refused").with("received", url));
    }
    Ok(Some(url.to_owned()))
}

/// The browser is sent there, so never `javascript:` and never in clear, but for loopback.
fn is_web_url(url: &str) -> bool {
    let plain =
        !url.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\'));
    let after = |scheme: &str| url.strip_prefix(scheme).map(|rest| rest.split(['/', '?', '#']).next());
    let secure = after("https://").flatten().is_some_and(|host| !host.is_empty() && !host.contains('@'));
    let loopback = after("http://").flatten().is_some_and(|authority| {
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]") || authority == "[::1]"
    });
    plain && (secure || loopback)
}

/// Our own metadata at one connection: assertions must be signed, and come by HTTP-POST.
pub fn write_sp(entity_id: &str, acs_url: &str) -> String {
    let mut xml = String::with_capacity(1024);
    xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.push_str("<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\"");
    attribute(&mut xml, "entityID", entity_id);
    xml.push_str(">\n  <md:SPSSODescriptor AuthnRequestsSigned=\"false\" WantAssertionsSigned=\"true\"");
    attribute(&mut xml, "protocolSupportEnumeration", PROTOCOL);
    xml.push_str(">\n    <md:NameIDFormat>");
    xml.push_str("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>\n");
    xml.push_str("    <md:AssertionConsumerService");
    attribute(&mut xml, "Binding", POST);
    attribute(&mut xml, "Location", acs_url);
    xml.push_str(" index=\"0\" isDefault=\"true\"/>\n  </md:SPSSODescriptor>\n</md:EntityDescriptor>\n");
    xml
}
