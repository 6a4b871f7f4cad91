//! The keys a connection trusts. X.509 is only their envelope: the key is read, the rest of the
//! certificate is not (SAML Metadata Interoperability Profile 2.6.1); who is trusted was decided by the
//! administrator who stored it. RSA from 2048 bits, ECDSA on P-256 and P-384; anything else is refused
//! by name. An empty set cannot be made, so "no certificate" can never come to mean "no check".

use base64::{Engine, engine::general_purpose::STANDARD};
use der::{
    AnyRef, Decode, Reader, SliceReader, Tag,
    asn1::{BitStringRef, GeneralizedTime, ObjectIdentifier, UintRef, UtcTime},
};
use model::{Refusal, Timestamp};

/// A key being rolled over is two; IdPs with per-node keys list a handful. Each costs one try.
const CERTIFICATES_MAX: usize = 8;
const CERTIFICATE_CHARS_MAX: usize = 16 * 1024;
const RSA_BITS_MIN: usize = 2048;
/// What aws-lc verifies with.
const RSA_BITS_MAX: usize = 8192;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// The certificates whose keys may sign for a connection: one at least.
#[derive(Clone, Debug)]
pub struct TrustedCerts(Vec<Certificate>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) kind: KeyKind,
    /// `SubjectPublicKeyInfo`, DER.
    pub(crate) key: Vec<u8>,
    pub(crate) der: Vec<u8>,
    pub(crate) not_after: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    P384,
}

impl TrustedCerts {
    /// Each text is PEM (several blocks allowed) or the base64 of one DER certificate, as metadata
    /// carries it. Errors: `saml.no_trusted_certificate`, `saml.too_many_certificates`,
    /// `saml.certificate_malformed`, `saml.certificate_key_unsupported`, `saml.certificate_key_too_small`.
    pub fn from_pem_or_der_base64(texts: &[String]) -> Result<Self, Refusal> {
        let mut trusted = Vec::new();
        for text in texts {
            for der in ders(text)? {
                let certificate = Certificate::read(der)?;
                if !trusted.contains(&certificate) {
                    trusted.push(certificate);
                }
                if trusted.len() > CERTIFICATES_MAX {
                    return Err(Refusal::stranger("saml.too_many_certificates"));
                }
            }
        }
        if trusted.is_empty() {
            return Err(Refusal::stranger("saml.no_trusted_certificate"));
        }
        Ok(Self(trusted))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.0.iter()
    }
}

impl Certificate {
    pub(crate) fn read(der: Vec<u8>) -> Result<Self, Refusal> {
        let (key, not_after) = outline(&der)
            .map_err(|why| Refusal::stranger("saml.certificate_malformed").with("reason", why))?;
        let (kind, key) = (key_kind(key)?, key.to_vec());
        Ok(Self { kind, key, der, not_after })
    }
    /// From the text of a `ds:X509Certificate`, or PEM of one certificate.
    pub(crate) fn from_text(text: &str) -> Result<Self, Refusal> {
        let der = ders(text)?.into_iter().next().ok_or(Refusal::stranger("saml.certificate_malformed"))?;
        Self::read(der)
    }
    pub(crate) fn to_base64(&self) -> String {
        STANDARD.encode(&self.der)
    }
}

fn ders(text: &str) -> Result<Vec<Vec<u8>>, Refusal> {
    let malformed = Refusal::stranger("saml.certificate_malformed");
    if text.len() > CERTIFICATE_CHARS_MAX * CERTIFICATES_MAX {
        return Err(malformed);
    }
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    if !text.contains("-----") {
        return Ok(vec![crate::decode_base64(text).filter(|der| !der.is_empty()).ok_or(malformed)?]);
    }
    text.split(BEGIN)
        .skip(1)
        .map(|block| {
            let body = block.split_once(END).map(|(body, _)| body);
            body.and_then(crate::decode_base64).ok_or(malformed.clone())
        })
        .collect()
}

/// Walks `Certificate` (RFC 5280 4.1) as far as the key: the key's own DER, and notAfter.
fn outline(der: &[u8]) -> der::Result<(&[u8], Timestamp)> {
    let mut outer = SliceReader::new(der)?;
    let found = outer.sequence(|certificate| {
        let found = certificate.sequence(|tbs| {
            let first = AnyRef::decode(tbs)?;
            if matches!(der::Tagged::tag(&first), Tag::ContextSpecific { .. }) {
                AnyRef::decode(tbs)?;
            }
            AnyRef::decode(tbs)?;
            AnyRef::decode(tbs)?;
            let not_after = tbs.sequence(|validity| {
                time(validity)?;
                time(validity)
            })?;
            AnyRef::decode(tbs)?;
            let key = tbs.tlv_bytes()?;
            while !tbs.is_finished() {
                AnyRef::decode(tbs)?;
            }
            Ok((key, not_after))
        })?;
        AnyRef::decode(certificate)?;
        AnyRef::decode(certificate)?;
        Ok(found)
    })?;
    outer.finish(found)
}

fn time<'a>(reader: &mut impl Reader<'a>) -> der::Result<Timestamp> {
    let since_epoch = match reader.peek_tag()? {
        Tag::UtcTime => UtcTime::decode(reader)?.to_unix_duration(),
        _ => GeneralizedTime::decode(reader)?.to_unix_duration(),
    };
    Ok(Timestamp::from_secs(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)))
}

fn key_kind(spki: &[u8]) -> Result<KeyKind, Refusal> {
    let unsupported = |why: &str| Refusal::stranger("saml.certificate_key_unsupported").with("key", why);
    let (algorithm, parameters, bits) =
        key_parts(spki).map_err(|why| Refusal::stranger("saml.certificate_malformed").with("reason", why))?;
    if algorithm == RSA {
        let bits = modulus_bits(bits)
            .map_err(|why| Refusal::stranger("saml.certificate_malformed").with("reason", why))?;
        return match bits {
            RSA_BITS_MIN..=RSA_BITS_MAX => Ok(KeyKind::Rsa),
            0..RSA_BITS_MIN => Err(Refusal::stranger("saml.certificate_key_too_small").with("bits", bits)),
            _ => Err(unsupported("RSA above 8192 bits")),
        };
    }
    if algorithm != EC {
        return Err(unsupported(&algorithm.to_string()));
    }
    match parameters.and_then(|p| p.decode_as::<ObjectIdentifier>().ok()) {
        Some(P256) => Ok(KeyKind::P256),
        Some(P384) => Ok(KeyKind::P384),
        Some(curve) => Err(unsupported(&curve.to_string())),
        None => Err(unsupported("a curve without a name")),
    }
}

fn key_parts(spki: &[u8]) -> der::Result<(ObjectIdentifier, Option<AnyRef<'_>>, &[u8])> {
    let mut outer = SliceReader::new(spki)?;
    let parts = outer.sequence(|spki| {
        let (algorithm, parameters) = spki.sequence(|identifier| {
            let algorithm = ObjectIdentifier::decode(identifier)?;
            let parameters = if identifier.is_finished() { None } else { Some(AnyRef::decode(identifier)?) };
            Ok((algorithm, parameters))
        })?;
        Ok((algorithm, parameters, BitStringRef::decode(spki)?.raw_bytes()))
    })?;
    outer.finish(parts)
}

fn modulus_bits(rsa_public_key: &[u8]) -> der::Result<usize> {
    let mut outer = SliceReader::new(rsa_public_key)?;
    let bits = outer.sequence(|key| {
        let modulus = UintRef::decode(key)?.as_bytes();
        UintRef::decode(key)?;
        let leading = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        Ok((modulus.len() * 8).saturating_sub(leading))
    })?;
    outer.finish(bits)
}
