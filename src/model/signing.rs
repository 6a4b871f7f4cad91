//! How a token is signed, and how a signing key lives: the words that the database, an app's registration
//! and a token's header share.

use schemars::JsonSchema;
use serde::Serialize;

/// By its name in a JWS header (RFC 7518 3.1, RFC 8037 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub enum SigningAlg {
    #[serde(rename = "ES256")]
    Es256,
    /// With Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlg {
    pub const ALL: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// Byte for byte: these names are case-sensitive (RFC 7515 4.1.1).
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == text)
    }
}

/// Where in its life a signing key is. The first three are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Known to whoever verifies, before it signs.
    Next,
    /// Signs.
    Current,
    /// Signs no more; what it signed is good until its end.
    Retiring,
    /// Good for nothing, and nothing it signed is.
    Withdrawn,
}

impl KeyState {
    pub const ALL: [Self; 4] = [Self::Next, Self::Current, Self::Retiring, Self::Withdrawn];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Retiring => "retiring",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
