//! XML Signature, narrowed to what SAML allows (Core 5.4): one Reference to the signature's own parent,
//! enveloped-signature and exclusive c14n, an allow-list of algorithms. Keys come from the connection's
//! certificates, never from `KeyInfo`. `SignatureValue` is checked first, so that an unsigned Reference
//! costs nothing; the answer is the canonical bytes that were hashed, and only they may be read.

use crate::{
    c14n,
    certs::{Certificate, KeyKind, TrustedCerts},
    xml::{self, DSIG},
};
use aws_lc_rs::{constant_time, digest, signature as alg};
use model::Refusal;
use roxmltree::Node;

const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// More prefixes than any document has; each is looked up at every element.
const PREFIX_LIST_MAX: usize = 16;

#[derive(Clone, Copy)]
enum Family {
    Rsa,
    Ecdsa,
}

#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// What a `ds:Signature` says, once it has the one accepted shape.
struct Claim<'a> {
    signed_info: Node<'a, 'a>,
    signed_info_prefixes: Vec<&'a str>,
    family: Family,
    hash: Hash,
    value: Vec<u8>,
    prefixes: Vec<&'a str>,
    digest: &'static digest::Algorithm,
    digest_value: Vec<u8>,
}

/// Verifies that `signature`, a child of `parent`, covers `parent` by one of the trusted keys; gives
/// the canonical bytes of `parent` without it. Errors: `saml.signature_shape` and the other codes of
/// the shape, `saml.signature_invalid`, `saml.digest_mismatch`.
pub(crate) fn verify<'a>(
    parent: Node<'a, 'a>,
    signature: Node<'a, 'a>,
    trust: &TrustedCerts,
) -> Result<String, Refusal> {
    let claim = read(parent, signature)?;
    let signed_info = c14n::exclusive(claim.signed_info, None, &claim.signed_info_prefixes)?;
    if !trust.iter().any(|key| claim.holds(key, signed_info.as_bytes())) {
        return Err(Refusal::stranger("saml.signature_invalid").with("element", parent.tag_name().name()));
    }
    let canonical = c14n::exclusive(parent, Some(signature.id()), &claim.prefixes)?;
    let actual = digest::digest(claim.digest, canonical.as_bytes());
    constant_time::verify_slices_are_equal(actual.as_ref(), &claim.digest_value)
        .map_err(|_| Refusal::stranger("saml.digest_mismatch").with("element", parent.tag_name().name()))?;
    Ok(canonical)
}

impl Claim<'_> {
    fn holds(&self, certificate: &Certificate, message: &[u8]) -> bool {
        let algorithm: &'static dyn alg::VerificationAlgorithm =
            match (self.family, certificate.kind, self.hash) {
                (Family::Rsa, KeyKind::Rsa, Hash::Sha256) => &alg::RSA_PKCS1_2048_8192_SHA256,
                (Family::Rsa, KeyKind::Rsa, Hash::Sha384) => &alg::RSA_PKCS1_2048_8192_SHA384,
                (Family::Rsa, KeyKind::Rsa, Hash::Sha512) => &alg::RSA_PKCS1_2048_8192_SHA512,
                (Family::Ecdsa, KeyKind::P256, Hash::Sha256) => &alg::ECDSA_P256_SHA256_ASN1,
                (Family::Ecdsa, KeyKind::P256, Hash::Sha384) => &alg::ECDSA_P256_SHA384_ASN1,
                (Family::Ecdsa, KeyKind::P256, Hash::Sha512) => &alg::ECDSA_P256_SHA512_ASN1,
                (Family::Ecdsa, KeyKind::P384, Hash::Sha256) => &alg::ECDSA_P384_SHA256_ASN1,
                (Family::Ecdsa, KeyKind::P384, Hash::Sha384) => &alg::ECDSA_P384_SHA384_ASN1,
                (Family::Ecdsa, KeyKind::P384, Hash::Sha512) => &alg::ECDSA_P384_SHA512_ASN1,
                (Family::Rsa, KeyKind::P256 | KeyKind::P384, _) | (Family::Ecdsa, KeyKind::Rsa, _) => {
                    return false;
                }
            };
        let key = alg::UnparsedPublicKey::new(algorithm, &certificate.key);
        let octets = match certificate.kind {
            KeyKind::Rsa => return key.verify(message, &self.value).is_ok(),
            KeyKind::P256 => 32,
            KeyKind::P384 => 48,
        };
        der_signature(&self.value, octets).is_some_and(|der| key.verify(message, &der).is_ok())
    }
}

/// XML Signature writes r and s side by side, each as long as the curve's order (6.4.3); DER is what
/// aws-lc takes for every pair of curve and hash. Any other length is no signature of that curve.
fn der_signature(raw: &[u8], octets: usize) -> Option<Vec<u8>> {
    if raw.len() != octets * 2 {
        return None;
    }
    let (r, s) = raw.split_at(octets);
    let integers = [der::asn1::UintRef::new(r).ok()?, der::asn1::UintRef::new(s).ok()?];
    let mut buffer = [0; 128];
    let mut writer = der::SliceWriter::new(&mut buffer);
    let length =
        (der::Encode::encoded_len(&integers[0]).ok()? + der::Encode::encoded_len(&integers[1]).ok()?).ok()?;
    writer
        .sequence(length, |sequence| {
            der::Encode::encode(&integers[0], sequence)?;
            der::Encode::encode(&integers[1], sequence)
        })
        .ok()?;
    Some(writer.finish().ok()?.to_vec())
}

fn read<'a>(parent: Node<'a, 'a>, signature: Node<'a, 'a>) -> Result<Claim<'a>, Refusal> {
    let parts = elements(signature)?;
    let (signed_info, signature_value) = match parts.as_slice() {
        [info, value] => (*info, *value),
        [info, value, key_info] if xml::is(*key_info, DSIG, "KeyInfo") => (*info, *value),
        _ => return Err(shape("Signature")),
    };
    named(signed_info, "SignedInfo")?;
    named(signature_value, "SignatureValue")?;
    let [c14n_method, signature_method, reference] = exactly(signed_info)?;
    named(c14n_method, "CanonicalizationMethod")?;
    named(signature_method, "SignatureMethod")?;
    named(reference, "Reference")?;
    let signed_info_prefixes = exclusive_prefixes(c14n_method)?;
    let [] = exactly(signature_method)?;
    let (family, hash) = signature_algorithm(algorithm(signature_method)?)?;
    refers_to(reference, parent)?;
    let [transforms, digest_method, digest_value] = exactly(reference)?;
    named(transforms, "Transforms")?;
    named(digest_method, "DigestMethod")?;
    named(digest_value, "DigestValue")?;
    let [enveloped, exclusive] = exactly(transforms)?;
    named(enveloped, "Transform")?;
    named(exclusive, "Transform")?;
    let [] = exactly(enveloped)?;
    if algorithm(enveloped)? != ENVELOPED {
        return Err(Refusal::stranger("saml.transform_unsupported").with("received", algorithm(enveloped)?));
    }
    let [] = exactly(digest_method)?;
    Ok(Claim {
        signed_info,
        signed_info_prefixes,
        family,
        hash,
        value: octets(signature_value)?,
        prefixes: exclusive_prefixes(exclusive)?,
        digest: digest_algorithm(algorithm(digest_method)?)?,
        digest_value: octets(digest_value)?,
    })
}

fn shape(element: &str) -> Refusal {
    Refusal::stranger("saml.signature_shape").with("element", element)
}

fn named(node: Node<'_, '_>, name: &str) -> Result<(), Refusal> {
    if xml::is(node, DSIG, name) { Ok(()) } else { Err(shape(name)) }
}

/// The child elements, with nothing but white space between them.
fn elements<'a>(node: Node<'a, 'a>) -> Result<Vec<Node<'a, 'a>>, Refusal> {
    let mut found = Vec::with_capacity(4);
    for child in node.children() {
        if child.is_element() {
            found.push(child);
        } else if !child.is_text() || !child.text().unwrap_or_default().trim_ascii().is_empty() {
            return Err(shape(node.tag_name().name()));
        }
    }
    Ok(found)
}

fn exactly<'a, const N: usize>(node: Node<'a, 'a>) -> Result<[Node<'a, 'a>; N], Refusal> {
    elements(node)?.try_into().map_err(|_| shape(node.tag_name().name()))
}

/// The one attribute `Algorithm`; any other is refused.
fn algorithm<'a>(node: Node<'a, 'a>) -> Result<&'a str, Refusal> {
    if node.attributes().len() != 1 {
        return Err(shape(node.tag_name().name()));
    }
    xml::attribute(node, "Algorithm").ok_or_else(|| shape(node.tag_name().name()))
}

/// Holds a method or transform to exclusive c14n without comments; gives its `PrefixList`.
fn exclusive_prefixes<'a>(node: Node<'a, 'a>) -> Result<Vec<&'a str>, Refusal> {
    let named = algorithm(node)?;
    if named != EXCLUSIVE {
        return Err(Refusal::stranger("saml.c14n_unsupported").with("received", named));
    }
    let parts = elements(node)?;
    let list = match parts.as_slice() {
        [] => return Ok(Vec::new()),
        [list] if xml::is(*list, EXCLUSIVE, "InclusiveNamespaces") => *list,
        _ => return Err(shape(node.tag_name().name())),
    };
    let [] = exactly(list)?;
    if list.attributes().len() > 1 {
        return Err(shape("InclusiveNamespaces"));
    }
    let prefixes: Vec<&str> =
        xml::attribute(list, "PrefixList").unwrap_or_default().split_ascii_whitespace().collect();
    if prefixes.len() > PREFIX_LIST_MAX {
        return Err(shape("InclusiveNamespaces"));
    }
    Ok(prefixes)
}

/// The Reference must name the element it stands in: a signature over anything else proves nothing
/// about what will be read. An empty URI (the whole document) and external URIs are refused with it.
fn refers_to(reference: Node<'_, '_>, parent: Node<'_, '_>) -> Result<(), Refusal> {
    if reference.attributes().any(|a| a.namespace().is_some() || !matches!(a.name(), "URI" | "Id" | "Type")) {
        return Err(shape("Reference"));
    }
    let id = xml::attribute(parent, "ID").filter(|id| !id.is_empty());
    let target = xml::attribute(reference, "URI").and_then(|uri| uri.strip_prefix('#'));
    if id.is_none() || id != target {
        return Err(Refusal::stranger("saml.reference_mismatch")
            .with("expected", id.unwrap_or_default())
            .with("received", xml::attribute(reference, "URI").unwrap_or_default()));
    }
    Ok(())
}

/// Base64 of exactly one text node: a comment inside would let two readers see two values.
fn octets(node: Node<'_, '_>) -> Result<Vec<u8>, Refusal> {
    let mut children = node.children();
    let (Some(only), None) = (children.next(), children.next()) else {
        return Err(shape(node.tag_name().name()));
    };
    let text = only.text().filter(|_| only.is_text()).ok_or_else(|| shape(node.tag_name().name()))?;
    crate::decode_base64(text).ok_or_else(|| shape(node.tag_name().name()))
}

fn signature_algorithm(uri: &str) -> Result<(Family, Hash), Refusal> {
    let code = match uri {
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => return Ok((Family::Rsa, Hash::Sha256)),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => return Ok((Family::Rsa, Hash::Sha384)),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => return Ok((Family::Rsa, Hash::Sha512)),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => return Ok((Family::Ecdsa, Hash::Sha256)),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => return Ok((Family::Ecdsa, Hash::Sha384)),
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512" => return Ok((Family::Ecdsa, Hash::Sha512)),
        // Keyed with the public key, an HMAC would be anybody's to make.
        _ if uri.contains("hmac") => "saml.hmac_refused",
        _ if uri.ends_with("sha1") => "saml.sha1_refused",
        _ => "saml.signature_algorithm_unsupported",
    };
    Err(Refusal::stranger(code).with("received", uri))
}

fn digest_algorithm(uri: &str) -> Result<&'static digest::Algorithm, Refusal> {
    let code = match uri {
        "http://www.w3.org/2001/04/xmlenc#sha256" => return Ok(&digest::SHA256),
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => return Ok(&digest::SHA384),
        "http://www.w3.org/2001/04/xmlenc#sha512" => return Ok(&digest::SHA512),
        "http://www.w3.org/2000/09/xmldsig#sha1" => "saml.sha1_refused",
        _ => "saml.digest_algorithm_unsupported",
    };
    Err(Refusal::stranger(code).with("received", uri))
}
