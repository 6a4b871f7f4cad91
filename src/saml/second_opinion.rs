//! The second opinion: xmlsec1 and libxml2, through samael, over a document that our own verifier has
//! already accepted. It decides nothing alone: both must accept, and for the very same canonical bytes;
//! else nobody signs in and the operator is told. It comes strictly after the structural gate, because
//! samael follows a Reference out of the document before it looks at the signature, and lets libxml2
//! mend what is broken: behind the gate there is neither.

use crate::certs::{KeyKind, TrustedCerts};
use model::Refusal;
use samael::crypto::{
    AllowedSignatureAlgorithm as Allowed, CertificateDer, Crypto, CryptoProvider, ReduceMode,
};

/// The same allow-list as `dsig`'s.
const ALGORITHMS: [Allowed; 6] = [
    Allowed::RsaSha256,
    Allowed::RsaSha384,
    Allowed::RsaSha512,
    Allowed::EcdsaSha256,
    Allowed::EcdsaSha384,
    Allowed::EcdsaSha512,
];

/// Holds xmlsec1's reading of `document` to ours: every signature verifies by the same certificates, and
/// what it digested (the Response, if that is signed, else the Assertion) is `signed_xml` byte for byte.
/// Errors: `saml.second_opinion_differs`.
pub(crate) fn agree(document: &str, signed_xml: &str, trust: &TrustedCerts) -> Result<(), Refusal> {
    let mut reason = String::new();
    // One kind of key at a time: samael gives up at a key that does not fit the algorithm.
    for kind in [KeyKind::Rsa, KeyKind::P256, KeyKind::P384] {
        let certificates: Vec<CertificateDer> = trust
            .iter()
            .filter(|certificate| certificate.kind == kind)
            .map(|certificate| certificate.der.clone().into())
            .collect();
        if certificates.is_empty() {
            continue;
        }
        let read = Crypto::reduce_xml_to_signed_with_allowed_algorithms(
            document,
            &certificates,
            ReduceMode::PreDigest,
            Some(&ALGORITHMS),
        );
        match read {
            Ok(bytes) if bytes == signed_xml => return Ok(()),
            Ok(bytes) => {
                reason = format!("{} bytes were digested, ours are {}", bytes.len(), signed_xml.len())
            }
            Err(why) if reason.is_empty() => reason = why.to_string(),
            Err(_) => {}
        }
    }
    Err(Refusal::proven("saml.second_opinion_differs").with("reason", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metadata, receive};
    use base64::{Engine, engine::general_purpose::STANDARD};
    use model::Timestamp;

    const RESPONSE: &str = include_str!("../../idp-fixtures/okta/both_signed/response.xml");
    const METADATA: &str = include_str!("../../idp-fixtures/okta/metadata.xml");
    const OTHER_METADATA: &str = include_str!("../../idp-fixtures/entra/metadata.xml");

    fn trust(metadata_xml: &str) -> TrustedCerts {
        let idp = metadata::read(metadata_xml, Timestamp::from_secs(1_795_255_200)).unwrap();
        TrustedCerts::from_pem_or_der_base64(&idp.certificates).unwrap()
    }

    fn code(document: &str, signed_xml: &str, trust: &TrustedCerts) -> Option<&'static str> {
        agree(document, signed_xml, trust).err().map(|refusal| refusal.code)
    }

    #[test]
    fn any_difference_in_bytes_keys_or_verdict_is_a_refusal() {
        let differs = Some("saml.second_opinion_differs");
        let trust_okta = trust(METADATA);
        let posted = receive(&STANDARD.encode(RESPONSE), &crate::Limits::default()).unwrap();
        let signed = posted.verify(&trust_okta).unwrap().signed_xml;
        assert_eq!(code(RESPONSE, &signed, &trust_okta), None);
        assert_eq!(code(RESPONSE, &signed.replace("Ada", "Eve"), &trust_okta), differs, "other bytes");
        assert_eq!(code(RESPONSE, &signed, &trust(OTHER_METADATA)), differs, "another key");
        assert_eq!(code(&RESPONSE.replace("Ada", "Eve"), &signed, &trust_okta), differs, "another document");
        assert_eq!(
            code(&signed.replace("ds:Signature", "ds:None"), &signed, &trust_okta),
            differs,
            "unsigned"
        );
    }
}
