//! A compact JWS (RFC 7515 3.1) taken apart: length, form, header. What is behind the signature is
//! handed out only together with the key that verified it.

use crate::{
    denied::Fault,
    json::{self, Json},
    keys::Key,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// A token with 200 teams is under 8 KiB; anything longer is not the issuer's, and costs no parse.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The two spellings of an access token's type (RFC 9068 2.1).
const TYPES: [&str; 2] = ["at+jwt", "application/at+jwt"];

/// A token that is well-formed and no more.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
    alg: String,
    pub(crate) kid: String,
}

/// Unpadded base64url whose unused bits are zero: a second spelling would be a second token.
fn decode(part: &str) -> Result<Vec<u8>, Fault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Malformed)
}

impl<'a> Parsed<'a> {
    /// # Errors
    /// `TooLong`, `Malformed`, and `Header` for any header but `alg`, `kid` and an access token's `typ`:
    /// no `crit`, `jwk`, `jku`, `x5c`, `x5u` or `zip` can say anything.
    pub(crate) fn read(token: &'a str) -> Result<Self, Fault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Fault::Malformed)?;
        if payload.contains('.') {
            return Err(Fault::Malformed);
        }
        let mut header = json::object(&decode(header)?).ok_or(Fault::Malformed)?;
        let mut text = |name| match header.remove(name) {
            Some(Json::Text(text)) => Ok(text),
            _ => Err(Fault::Header),
        };
        let (alg, kid, typ) = (text("alg")?, text("kid")?, text("typ")?);
        if !header.is_empty() || !TYPES.contains(&typ.as_str()) {
            return Err(Fault::Header);
        }
        Ok(Self { signed, payload, signature: decode(signature)?, alg, kid })
    }

    /// The payload, when this key verifies the signature by the key's own algorithm.
    ///
    /// # Errors
    /// `Header` when the header names another algorithm, `Signature`; `Malformed` for a payload that is no
    /// canonical base64url.
    pub(crate) fn verify(&self, key: &Key) -> Result<Vec<u8>, Fault> {
        if self.alg != key.algorithm().as_str() {
            return Err(Fault::Header);
        }
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(Fault::Signature);
        }
        decode(self.payload)
    }
}
