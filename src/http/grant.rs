//! Which grant a token request asks for (RFC 6749 1.3). It is judged after the client: who has not proven itself is
//! told of nothing else.

use super::token::Form;
use broker::FlowError;
use model::Refusal;

#[derive(Clone, Copy)]
pub(super) enum Grant {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
}

impl Grant {
    pub(super) const ALL: [Self; 3] = [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// Errors: `oauth.invalid_request` for none, `oauth.unsupported_grant_type` for one that is not served.
    pub(super) fn asked(form: &Form) -> Result<Self, FlowError> {
        let name = form.get("grant_type").ok_or_else(|| {
            FlowError::invalid("oauth.invalid_request", "grant_type", "grant_type is missing")
        })?;
        let found = Self::ALL.into_iter().find(|grant| grant.as_str() == name);
        found.ok_or_else(|| Refusal::proven("oauth.unsupported_grant_type").into())
    }
}

/// It is served, and not to this client.
pub(super) fn unauthorized() -> FlowError {
    Refusal::proven("oauth.unauthorized_client").into()
}
