//! Walks idp-fixtures: every folder with a `response.xml` and an `expect.toml` is a case. Trust comes
//! from the nearest `metadata.xml`, read as an administrator's would be. Adding a case adds no code.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use base64::{Engine, engine::general_purpose::STANDARD};
use model::{Timestamp, ids::ConnectionId, refusal::Standing, user::AcceptedIdentity};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};
use vestibule_saml::{
    AttributeMap, Expectation, Limits, Refusal, Requested, TrustedCerts, metadata, receive,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Absent: the document must be accepted.
    code: Option<String>,
    standing: Option<String>,
    now: Timestamp,
    idp_entity_id: String,
    audience: String,
    acs_url: String,
    in_response_to: Option<String>,
    clock_skew_secs: Option<u32>,
    identity: Option<Identity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    subject: String,
    email: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    display_name: Option<String>,
    groups: Option<Vec<String>>,
    auth_time: Option<Timestamp>,
    until: Option<Timestamp>,
    single_use_key: Option<String>,
    single_use_until: Option<Timestamp>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../idp-fixtures")
}

fn case_folders(vendor: &str) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(fixtures().join(vendor))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expect.toml").exists())
        .collect();
    folders.sort();
    folders
}

fn read_case(folder: &Path) -> Case {
    toml::from_str(&fs::read_to_string(folder.join("expect.toml")).unwrap())
        .unwrap_or_else(|why| panic!("{}: {why}", folder.display()))
}

fn trust(folder: &Path, now: Timestamp) -> TrustedCerts {
    let own = folder.join("metadata.xml");
    let path = if own.exists() { own } else { folder.parent().unwrap().join("metadata.xml") };
    let idp = metadata::read(&fs::read_to_string(path).unwrap(), now).unwrap();
    TrustedCerts::from_pem_or_der_base64(&idp.certificates).unwrap()
}

fn judge(bytes: &[u8], case: &Case, trust: &TrustedCerts) -> Result<AcceptedIdentity, Refusal> {
    judge_since(bytes, case, trust, None)
}

fn judge_since(
    bytes: &[u8],
    case: &Case,
    trust: &TrustedCerts,
    authenticated_since: Option<Timestamp>,
) -> Result<AcceptedIdentity, Refusal> {
    let expectation = Expectation {
        connection: ConnectionId::from_uuid(uuid_of(7)),
        idp_entity_id: &case.idp_entity_id,
        audience: &case.audience,
        acs_url: &case.acs_url,
        requested: case.in_response_to.clone().map_or(Requested::Unsolicited, Requested::InResponseTo),
        authenticated_since,
        clock_skew_secs: case.clock_skew_secs.unwrap_or(vestibule_saml::CLOCK_SKEW_SECS_DEFAULT),
        attribute_map: &AttributeMap::default(),
        groups_attribute: None,
    };
    receive(&STANDARD.encode(bytes), &Limits::default())?.verify(trust)?.accept(&expectation, case.now)
}

fn uuid_of(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

/// `None` if the outcome is as written in the case's `expect.toml`.
fn disagreement(folder: &Path) -> Option<String> {
    let case = read_case(folder);
    let bytes = fs::read(folder.join("response.xml")).unwrap();
    let outcome = judge(&bytes, &case, &trust(folder, case.now));
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    match (outcome, case.code) {
        (Ok(identity), None) => {
            let expected = case.identity.unwrap_or_else(|| panic!("{name}: says no identity"));
            identity_disagrees(&identity, &expected).map(|field| format!("{name}: {field}: {identity:?}"))
        }
        (Err(refusal), Some(code)) => {
            let standing = match refusal.standing {
                Standing::Stranger => "stranger",
                Standing::Proven => "proven",
            };
            let same = refusal.code == code && case.standing.is_none_or(|expected| expected == standing);
            (!same).then(|| {
                format!("{name}: expected {code}, was {} {standing} {:?}", refusal.code, refusal.facts)
            })
        }
        (Ok(_), Some(code)) => Some(format!("{name}: ACCEPTED, expected {code}")),
        (Err(refusal), None) => Some(format!("{name}: refused {} {:?}", refusal.code, refusal.facts)),
    }
}

fn identity_disagrees(got: &AcceptedIdentity, want: &Identity) -> Option<&'static str> {
    let checks = [
        ("subject", got.subject == want.subject),
        ("email", got.email == want.email),
        ("given_name", want.given_name.is_none() || got.given_name == want.given_name),
        ("family_name", want.family_name.is_none() || got.family_name == want.family_name),
        ("display_name", want.display_name.is_none() || got.display_name == want.display_name),
        ("groups", want.groups.as_ref().is_none_or(|groups| *groups == got.groups)),
        ("auth_time", want.auth_time.is_none_or(|at| at == got.auth_time)),
        ("until", want.until.is_none() || got.until == want.until),
        ("single_use_key", want.single_use_key.as_ref().is_none_or(|key| *key == got.single_use_key)),
        ("single_use_until", want.single_use_until.is_none_or(|until| until == got.single_use_until)),
    ];
    checks.into_iter().find(|check| !check.1).map(|check| check.0)
}

#[test]
fn every_fixture_is_judged_as_it_says() {
    let folders: Vec<_> = ["okta", "entra", "evil"].into_iter().flat_map(case_folders).collect();
    assert!(folders.len() > 100, "the folders were not found");
    let wrong: Vec<_> = folders.iter().filter_map(|folder| disagreement(folder)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), folders.len(), wrong.join("\n"));
}

#[test]
fn no_single_changed_byte_of_a_signed_document_is_accepted_as_another_person() {
    let folder = fixtures().join("okta/both_signed");
    let case = read_case(&folder);
    let trust = trust(&folder, case.now);
    let bytes = fs::read(folder.join("response.xml")).unwrap();
    let original = judge(&bytes, &case, &trust).unwrap();
    for at in (0..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        if let Ok(identity) = judge(&changed, &case, &trust) {
            assert_eq!(identity, original, "byte {at}");
        }
        if let Ok(identity) = judge(&bytes[..at], &case, &trust) {
            assert_eq!(identity, original, "cut at {at}");
        }
    }
}

#[test]
fn the_form_value_is_strict_base64_but_for_white_space() {
    let posted = |value: &str| receive(value, &Limits::default()).err().map(|refusal| refusal.code);
    assert_eq!(posted("PGEv\r\nPg=="), None);
    assert_eq!(posted("PGEvPg"), Some("saml.base64_malformed"), "without padding");
    assert_eq!(posted("PGEvPh=="), Some("saml.base64_malformed"), "with stray bits");
    assert_eq!(posted("PGEv-g=="), Some("saml.base64_malformed"), "of another alphabet");
    assert_eq!(posted(&"A".repeat(512 * 1024 + 1)), Some("saml.too_large"));
}

#[test]
fn a_valid_document_becomes_invalid_at_another_connection() {
    let folder = fixtures().join("okta/both_signed");
    let case = read_case(&folder);
    let bytes = fs::read(folder.join("response.xml")).unwrap();
    let other = trust(&fixtures().join("entra/both_signed"), case.now);
    assert_eq!(judge(&bytes, &case, &other).unwrap_err().code, "saml.signature_invalid");
}

#[test]
fn a_recent_sign_in_that_was_asked_for_holds_to_the_second() {
    let folder = case_folders("okta").remove(0);
    let (case, bytes) = (read_case(&folder), fs::read(folder.join("response.xml")).unwrap());
    let trust = trust(&folder, case.now);
    let at = judge(&bytes, &case, &trust).unwrap().auth_time;
    let skew = i64::from(case.clock_skew_secs.unwrap_or(vestibule_saml::CLOCK_SKEW_SECS_DEFAULT));
    let code = |since| judge_since(&bytes, &case, &trust, Some(since)).map(|_| ()).map_err(|r| r.code);
    assert_eq!(code(at.plus_secs(skew)), Ok(()));
    assert_eq!(code(at.plus_secs(skew + 1)), Err("saml.authentication_too_old"));
}

#[test]
fn trust_cannot_be_empty_weak_or_expired() {
    let code = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        TrustedCerts::from_pem_or_der_base64(&texts).err().map(|refusal| refusal.code)
    };
    assert_eq!(code(&[]), Some("saml.no_trusted_certificate"));
    assert_eq!(code(&["-----BEGIN NOTHING-----"]), Some("saml.no_trusted_certificate"));
    for malformed in ["", " ", "AAAA", "????"] {
        assert_eq!(code(&[malformed]), Some("saml.certificate_malformed"), "{malformed:?}");
    }
    let pem = |name: &str| fs::read_to_string(fixtures().join("evil/certificates").join(name)).unwrap();
    assert_eq!(code(&[&pem("rsa1024.pem")]), Some("saml.certificate_key_too_small"));
    assert_eq!(code(&[&pem("p521.pem")]), Some("saml.certificate_key_unsupported"));
    assert_eq!(code(&[&pem("secp256k1.pem")]), Some("saml.certificate_key_unsupported"));
}

#[test]
fn metadata_that_would_leave_a_connection_without_trust_is_refused() {
    let code =
        |texts: &[String]| TrustedCerts::from_pem_or_der_base64(texts).err().map(|refusal| refusal.code);
    let xml = fs::read_to_string(fixtures().join("okta/metadata.xml")).unwrap();
    let now = Timestamp::parse_rfc3339("2026-11-21T10:00:05Z").unwrap();
    let idp = metadata::read(&xml, now).unwrap();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", idp.certificates[0]);
    assert_eq!(code(&[pem, idp.certificates[0].clone()]), None);
    let der = STANDARD.decode(&idp.certificates[0]).unwrap();
    let variant = |n: u8| STANDARD.encode([&der[..der.len() - 1], &[n]].concat());
    assert_eq!(code(&(0..8).map(variant).collect::<Vec<_>>()), None);
    assert_eq!(code(&(0..9).map(variant).collect::<Vec<_>>()), Some("saml.too_many_certificates"));

    let refused = |xml: &str, now| metadata::read(xml, now).err().map(|refusal| refusal.code);
    let end = idp.not_after[0];
    assert_eq!(refused(&xml, end.minus_secs(1)), None);
    assert_eq!(refused(&xml, end), Some("saml.metadata_certificates_expired"));
    let encryption = xml.replace("use=\"signing\"", "use=\"encryption\"");
    assert_eq!(refused(&encryption, now), Some("saml.metadata_no_signing_certificate"));
    assert_eq!(refused(&xml.replace(" use=\"signing\"", ""), now), None);
    let script = xml.replace("https://idp.example.com/okta/sso", "javascript:alert(1)");
    assert_eq!(refused(&script, now), Some("saml.metadata_url_refused"));
    assert_eq!(refused(&xml.replace("SingleSignOnService", "X"), now), Some("saml.metadata_no_sso_url"));
    assert_eq!(refused(&xml.replace("entityID", "entityId"), now), Some("saml.metadata_entity_id"));
    let (head, entity) = xml.split_once('\n').unwrap();
    let list = |entities: &str| {
        let open = "<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">";
        format!("{head}{open}{entities}</md:EntitiesDescriptor>")
    };
    assert_eq!(refused(&list(entity), now), None);
    assert_eq!(refused(&list(&entity.repeat(2)), now), Some("saml.metadata_many_idps"));
    assert_eq!(refused("<a/>", now), Some("saml.metadata_not_an_idp"));
    let until = xml.replace(" entityID", " validUntil=\"2026-11-21T10:00:05Z\" entityID");
    assert_eq!(refused(&until, now), Some("saml.metadata_expired"));
    assert_eq!(refused(&until, now.minus_secs(1)), None);
    assert_eq!(idp.entity_id, "http://www.okta.com/exk1fxp8q2vjwZ0rP5d7");
    assert_eq!(idp.sso_post_url.as_deref(), Some("https://idp.example.com/okta/sso"));
}

#[test]
fn our_own_metadata_is_escaped_and_is_no_idp() {
    let xml = metadata::write_sp("https://sso.example/m?a=1&b=\"", "https://sso.example/acs");
    assert!(xml.contains("entityID=\"https://sso.example/m?a=1&amp;b=&quot;\""));
    let refusal = metadata::read(&xml, Timestamp::from_secs(0)).unwrap_err();
    assert_eq!(refusal.code, "saml.metadata_not_an_idp");
}
