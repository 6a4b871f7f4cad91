//! What the assertion consumer service's judge costs: receive, verify and accept a Response, against the
//! floor of any verifier: the raw RSA verification of a SignedInfo and SHA-256 of the document's bytes, both
//! twice if Response and Assertion are signed. Prints medians in microseconds: `cargo bench -p vestibule-saml`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench stops at the first surprise")]

mod median;

use aws_lc_rs::{digest, rand, rsa, signature};
use base64::{Engine, engine::general_purpose::STANDARD};
use median::median;
use model::{Timestamp, ids::ConnectionId};
use std::{fs, hint::black_box, path::Path};
use vestibule_saml::{AttributeMap, Expectation, Limits, Requested, TrustedCerts, metadata, receive};

const ROUNDS: usize = 2_000;

fn main() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../idp-fixtures");
    println!("{:<28}{:>10}{:>12}{:>12}{:>9}", "document", "bytes", "floor us", "judge us", "x floor");
    for (case, signatures) in [("assertion_signed", 1), ("response_signed", 1), ("both_signed", 2)] {
        measure(&fixtures.join("okta").join(case), signatures);
        measure(&fixtures.join("entra").join(case), signatures);
    }
    for (case, signatures) in [("fifty_groups_one_signature", 1), ("fifty_groups", 2)] {
        measure(&fixtures.join("okta").join(case), signatures);
    }
}

fn measure(folder: &Path, signatures: usize) {
    let response = fs::read(folder.join("response.xml")).unwrap();
    let idp_xml = fs::read_to_string(folder.parent().unwrap().join("metadata.xml")).unwrap();
    let now = Timestamp::parse_rfc3339("2026-11-21T10:00:05Z").unwrap();
    let idp = metadata::read(&idp_xml, now).unwrap();
    let form_value = STANDARD.encode(&response);
    let (map, limits) = (AttributeMap::default(), Limits::default());
    let expectation = Expectation {
        connection: ConnectionId::from_uuid(uuid::Uuid::from_u128(7)),
        idp_entity_id: &idp.entity_id,
        audience: "https://sso.example.com/saml/con_1/metadata",
        acs_url: "https://sso.example.com/saml/con_1/acs",
        requested: Requested::InResponseTo("_8f3c1e5d7a9b4c2d8e6f0a1b3c5d7e9f".to_owned()),
        clock_skew_secs: 90,
        attribute_map: &map,
        groups_attribute: None,
        authenticated_since: None,
    };
    let judged = median(ROUNDS, || {
        // As a login does it: the certificates are read from what is stored, each time.
        let trust = TrustedCerts::from_pem_or_der_base64(&idp.certificates).unwrap();
        let signed = receive(&form_value, &limits).unwrap().verify(&trust).unwrap();
        black_box(signed.accept(&expectation, now).unwrap());
    });
    let floor = floor(&response, signatures);
    let (name, vendor) = (folder.file_name().unwrap(), folder.parent().unwrap().file_name().unwrap());
    let name = format!("{}/{}", vendor.to_string_lossy(), name.to_string_lossy());
    println!("{name:<28}{:>10}{floor:>12.1}{judged:>12.1}{:>9.1}", response.len(), judged / floor);
}

/// About as long as a SignedInfo is.
const SIGNED_INFO_BYTES: usize = 700;

fn floor(bytes: &[u8], signatures: usize) -> f64 {
    let signed_info = &bytes[..SIGNED_INFO_BYTES];
    let pair = signature::RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let mut signed = vec![0; pair.public_modulus_len()];
    pair.sign(&signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), signed_info, &mut signed).unwrap();
    let public = signature::KeyPair::public_key(&pair);
    let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, public);
    median(ROUNDS, || {
        for _ in 0..signatures {
            key.verify(signed_info, &signed).unwrap();
            black_box(digest::digest(&digest::SHA256, bytes));
        }
    })
}
