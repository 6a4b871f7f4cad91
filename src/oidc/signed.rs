//! What a customer's identity provider signs besides ID tokens: form, header and signature. A key is one of
//! the connection's own key set and no other; the header names it, and brings none. RFC 7515, RFC 8725.

use crate::{
    provider::{Jwks, is_known},
    strict::{Claims, decode, object},
};
use model::Refusal;
use openidconnect::{
    JsonWebKey,
    core::{CoreJsonWebKey, CoreJwsSigningAlgorithm},
};
use serde_json::{Map, Value};

/// No such token has a list of groups in it; 16 KiB is ten times the largest.
pub(crate) const SIGNAL_BYTES_MAX: usize = 16 * 1024;

/// Anybody may post such a token, and each key that could have signed it costs a check. Of several keys a token
/// names its own (OpenID Connect Core 10.1); where it does not, or many have one name, the first few are tried.
pub(crate) const KEYS_TRIED_MAX: usize = 4;

/// The `typ` that a token must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Typ {
    pub(crate) name: &'static str,
    /// Tokens without any are taken, too.
    pub(crate) may_lack: bool,
}

/// The claims of a token that one of these keys has signed.
///
/// # Errors
/// `signals.malformed` (also too long), `signals.header` (an algorithm that is symmetric, none or unknown, a
/// foreign `typ`, or `crit`, `jwk`, `jku`, `x5u`, …), `signals.signature`.
pub(crate) fn open(jwt: &str, typ: Typ, jwks: &Jwks) -> Result<Claims, Refusal> {
    let malformed = || Refusal::stranger("signals.malformed");
    if jwt.len() > SIGNAL_BYTES_MAX {
        return Err(malformed());
    }
    let parts: Vec<&str> = jwt.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { return Err(malformed()) };
    let members = |part: &str| decode(part).and_then(|bytes| object(&bytes)).ok_or_else(malformed);
    let (head, claims) = (members(header)?, members(payload)?);
    let algorithm = check_header(&head, typ)?;
    let signature = decode(signature).ok_or_else(malformed)?;
    let kid = head.get("kid").and_then(Value::as_str);
    let message = format!("{header}.{payload}");
    let named = |key: &&CoreJsonWebKey| match (kid, key.key_id()) {
        (Some(kid), Some(own)) => kid == own.as_str(),
        // Whoever names a key has named it in its set, too; one that has no name may be of a set of one.
        (Some(_), None) => jwks.0.keys().len() == 1,
        (None, _) => true,
    };
    let verifies =
        |key: &CoreJsonWebKey| key.verify_signature(&algorithm, message.as_bytes(), &signature).is_ok();
    if jwks.0.keys().iter().filter(named).take(KEYS_TRIED_MAX).any(verifies) {
        Ok(Claims(claims))
    } else {
        Err(Refusal::stranger("signals.signature"))
    }
}

fn check_header(header: &Map<String, Value>, typ: Typ) -> Result<CoreJwsSigningAlgorithm, Refusal> {
    let refusal = |member: &str| Refusal::stranger("signals.header").with("member", member);
    for (name, value) in header {
        if !["alg", "typ", "kid", "x5t", "x5t#S256"].contains(&name.as_str()) || !value.is_string() {
            return Err(refusal(name));
        }
    }
    let member = |name| header.get(name).and_then(Value::as_str);
    let is_right = match member("typ") {
        // RFC 7515 4.1.9: a media type, whose "application/" may be left out.
        Some(said) => {
            let said = said.to_ascii_lowercase();
            said.strip_prefix("application/").unwrap_or(&said) == typ.name
        }
        None => typ.may_lack,
    };
    if !is_right {
        return Err(refusal("typ"));
    }
    let named = header.get("alg").cloned().and_then(|alg| serde_json::from_value(alg).ok());
    named.filter(is_known).ok_or_else(|| refusal("alg"))
}
