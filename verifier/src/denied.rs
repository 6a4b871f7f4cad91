//! Why a request does not pass, and what it is answered: status, `WWW-Authenticate` (RFC 6750 3,
//! RFC 9470 3) and `Retry-After`. Never a word of the token itself.

use crate::Action;

/// Seconds after which a caller may try again when the verifier is stale and cannot ask.
pub const RETRY_AFTER_SECS: u64 = 2;

/// What is wrong with a token, whoever holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Above [`TOKEN_BYTES_MAX`](crate::TOKEN_BYTES_MAX).
    #[error("longer than any token of the issuer")]
    TooLong,
    /// No compact JWS of three canonical parts with two JSON objects in it.
    #[error("not a signed token")]
    Malformed,
    /// Another `alg` or `typ` than the key's and an access token's, or any further header member.
    #[error("not the header of an access token")]
    Header,
    /// The `kid` is not in the JWKS, asked anew.
    #[error("signed by a key that the issuer does not publish")]
    UnknownKey,
    /// The key does not verify it.
    #[error("the signature is not the issuer's")]
    Signature,
    /// The named claim is missing or of a wrong type.
    #[error("the claim {0} is missing or malformed")]
    Claim(&'static str),
    /// `iss` is not the issuer, byte for byte.
    #[error("another issuer's")]
    Issuer,
    /// `aud` does not have the app's.
    #[error("for another audience")]
    Audience,
    /// Now is `exp`, or later.
    #[error("expired")]
    Expired,
    /// Issued, or good, in the future only.
    #[error("not good yet")]
    NotYet,
    /// Sender-constrained (`cnf`): nobody may show it as a bearer's (RFC 9449 7.2).
    #[error("bound to a key, and shown without proof of it")]
    Bound,
}

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No bearer token at all. 401, and no error code: RFC 6750 3.1.
    #[error("no access token")]
    Missing,
    /// Two `Authorization` headers, or one that is no bearer's in form. 400.
    #[error("not one bearer token")]
    Ambiguous,
    /// 401.
    #[error("the access token is {0}")]
    Token(Fault),
    /// 401. After `Reassert` a refresh gives a good token, after `Terminate` a new sign-in alone.
    #[error("the access token was revoked")]
    Revoked(Action),
    /// The gateway, asked, says that the token is not good. 401.
    #[error("the access token is not active")]
    Inactive,
    /// Whether the token was revoked cannot be known now. 503.
    #[error("revocations cannot be known now")]
    Unavailable,
    /// A scope is missing; the text is what is needed, as in `scope`. 403.
    #[error("the access token lacks a scope")]
    Scope(String),
    /// None of the roles that would do. 403.
    #[error("the person lacks a role")]
    Role,
    /// Signed in too weakly or too long ago: RFC 9470. 401.
    #[error("a stronger or fresher sign-in is needed")]
    Authentication {
        /// Space-separated, when the class is what is missing.
        acr_values: Option<String>,
        /// When the sign-in is too old.
        max_age_secs: Option<u64>,
    },
}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Self::Token(fault)
    }
}

impl Denied {
    /// Stable text for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token.missing",
            Self::Ambiguous => "token.ambiguous",
            Self::Token(fault) => match fault {
                Fault::TooLong => "token.too_long",
                Fault::Malformed => "token.malformed",
                Fault::Header => "token.header",
                Fault::UnknownKey => "token.unknown_key",
                Fault::Signature => "token.signature",
                Fault::Claim(_) => "token.claim",
                Fault::Issuer => "token.issuer",
                Fault::Audience => "token.audience",
                Fault::Expired => "token.expired",
                Fault::NotYet => "token.not_yet",
                Fault::Bound => "token.bound",
            },
            Self::Revoked(_) => "token.revoked",
            Self::Inactive => "token.inactive",
            Self::Unavailable => "verifier.stale",
            Self::Scope(_) => "scope.missing",
            Self::Role => "role.missing",
            Self::Authentication { .. } => "authentication.insufficient",
        }
    }

    /// The status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Missing
            | Self::Token(_)
            | Self::Revoked(_)
            | Self::Inactive
            | Self::Authentication { .. } => 401,
            Self::Ambiguous => 400,
            Self::Scope(_) | Self::Role => 403,
            Self::Unavailable => 503,
        }
    }

    /// `Retry-After` of the answer, in seconds.
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::Unavailable => Some(RETRY_AFTER_SECS),
            Self::Missing
            | Self::Ambiguous
            | Self::Token(_)
            | Self::Revoked(_)
            | Self::Inactive
            | Self::Scope(_)
            | Self::Role
            | Self::Authentication { .. } => None,
        }
    }

    /// `WWW-Authenticate` of the answer.
    pub fn www_authenticate(&self) -> Option<String> {
        let error = match self {
            Self::Missing => return Some("Bearer".to_owned()),
            Self::Unavailable => return None,
            Self::Ambiguous => "invalid_request",
            Self::Token(_) | Self::Revoked(_) | Self::Inactive => "invalid_token",
            Self::Scope(_) | Self::Role => "insufficient_scope",
            Self::Authentication { .. } => "insufficient_user_authentication",
        };
        let mut text =
            format!("Bearer error=\"{error}\", error_description=\"{}\"", quoted(&self.to_string()));
        match self {
            Self::Scope(scope) => text.push_str(&format!(", scope=\"{}\"", quoted(scope))),
            Self::Authentication { acr_values, max_age_secs } => {
                if let Some(values) = acr_values {
                    text.push_str(&format!(", acr_values=\"{}\"", quoted(values)));
                }
                if let Some(secs) = max_age_secs {
                    text.push_str(&format!(", max_age=\"{secs}\""));
                }
            }
            Self::Missing
            | Self::Ambiguous
            | Self::Token(_)
            | Self::Revoked(_)
            | Self::Inactive
            | Self::Unavailable
            | Self::Role => {}
        }
        Some(text)
    }
}

/// What may stand between quotes in a header: RFC 6750 3, `%x20-21 / %x23-5B / %x5D-7E`.
fn quoted(text: &str) -> String {
    text.chars().filter(|c| (' '..='~').contains(c) && *c != '"' && *c != '\\').collect()
}

/// The token of the `Authorization` headers of a request, each as its bytes: exactly one, `Bearer` in
/// any letter case, one space, and the characters of RFC 6750 2.1.
///
/// # Errors
/// `Missing` without a header or with another scheme; `Ambiguous` with two, or with a malformed one.
pub fn bearer<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Denied> {
    let mut headers = headers.into_iter();
    let one = match (headers.next(), headers.next()) {
        (Some(one), None) => one,
        (Some(_), Some(_)) => return Err(Denied::Ambiguous),
        (None, _) => return Err(Denied::Missing),
    };
    let text = std::str::from_utf8(one).map_err(|_| Denied::Ambiguous)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denied::Missing);
    }
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(is_token) { Err(Denied::Ambiguous) } else { Ok(token) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[&str]) -> Result<String, Denied> {
        bearer(headers.iter().map(|h| h.as_bytes())).map(str::to_owned)
    }

    #[test]
    fn one_header_one_scheme_one_token() {
        assert_eq!(of(&["Bearer a.b.c"]), Ok("a.b.c".into()));
        assert_eq!(of(&["bEARER a-._~+/="]), Ok("a-._~+/=".into()));
        assert_eq!(of(&[]), Err(Denied::Missing));
        assert_eq!(of(&["Basic YTpi"]), Err(Denied::Missing));
        assert_eq!(of(&["DPoP a.b.c"]), Err(Denied::Missing));
        for bad in ["Bearer", "Bearer ", "Bearer  a", "Bearer a b", "Bearer a,b", "Bearer a\tb", "Bearer ä"]
        {
            assert_eq!(of(&[bad]), Err(Denied::Ambiguous), "{bad}");
        }
        assert_eq!(of(&["Bearer a", "Bearer a"]), Err(Denied::Ambiguous), "two heads, two minds");
        assert_eq!(of(&["Basic YTpi", "Bearer a"]), Err(Denied::Ambiguous));
        assert_eq!(of(&["Bearer a", "Bearer a", "Bearer b"]), Err(Denied::Ambiguous));
    }

    #[test]
    fn what_is_answered() {
        let header = |denied: Denied| denied.www_authenticate();
        assert_eq!(header(Denied::Missing).as_deref(), Some("Bearer"), "RFC 6750 3.1");
        assert_eq!(header(Denied::Unavailable), None);
        assert_eq!(Denied::Unavailable.retry_after_secs(), Some(RETRY_AFTER_SECS));
        assert!(header(Fault::Expired.into()).unwrap().starts_with("Bearer error=\"invalid_token\""));
        let scope = header(Denied::Scope("read\" x=\"1\\\r\n".into())).unwrap();
        assert!(scope.ends_with(", scope=\"read x=1\""), "{scope}");
        let step_up = Denied::Authentication { acr_values: Some("phr".into()), max_age_secs: Some(60) };
        assert_eq!(step_up.status(), 401);
        let text = header(step_up).unwrap();
        assert!(text.starts_with("Bearer error=\"insufficient_user_authentication\""), "{text}");
        assert!(text.ends_with(", acr_values=\"phr\", max_age=\"60\""), "{text}");
        assert_eq!(Denied::Scope(String::new()).status(), 403);
        assert_eq!(Denied::Unavailable.status(), 503);
    }
}
