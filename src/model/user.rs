//! What an identity provider said about a person, once a judge accepted it, and how a
//! user name is compared.

use crate::{Timestamp, ids::ConnectionId};

/// Upstream's word about one person. Made by the `saml` and `oidc` judges alone; everything
/// after (`admit`) treats both protocols alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedIdentity {
    pub connection: ConnectionId,
    /// Stable key of the person at that connection: NameID or `sub`. Never an email by right.
    pub subject: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub groups: Vec<String>,
    /// The authentication context upstream named (`acr`); absent is never invented.
    pub acr: Option<String>,
    pub amr: Vec<String>,
    pub auth_time: Timestamp,
    /// Upstream's own end of the session: SAML `SessionNotOnOrAfter`, OIDC `session_expiry`.
    pub until: Option<Timestamp>,
    /// Upstream's own name of that session (OIDC Front-Channel Logout 1.0, 3: `sid`), by which it may end it.
    pub session: Option<String>,
    /// What makes the answer single-use: the assertion's ID, or the ID token's nonce.
    pub single_use_key: String,
    /// How long that key must be remembered.
    pub single_use_until: Timestamp,
}

/// A user name or email in the one form in which two of them are compared and indexed:
/// white space trimmed, lower-cased by Unicode's simple rule.
pub fn normalised(name: &str) -> String {
    name.trim().to_lowercase()
}
