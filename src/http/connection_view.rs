//! Connections and directories as they are shown: each with what the customer has to enter at the identity
//! provider, and never with its secret.

use broker::{FlowError, Links, begin::SamlConfig, begin_oidc::OidcConfig};
use model::{Timestamp, ids::ConnectionId};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Connection, ConnectionKind, ConnectionState};

#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "Connection")]
pub enum ConnectionView {
    Saml(SamlConnection),
    Oidc(OidcConnection),
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline, title = "SamlConnection")]
pub struct SamlConnection {
    id: ConnectionId,
    name: String,
    state: ConnectionState,
    created_at: Timestamp,
    config: SamlConfig,
    /// What the identity provider has to be told of us.
    sp: SamlServiceProvider,
}

#[derive(Serialize, JsonSchema)]
pub struct SamlServiceProvider {
    entity_id: String,
    acs_url: String,
    metadata_url: String,
    #[serde(flatten)]
    signals: SignalEndpoints,
}

/// Where the identity provider may say that somebody's sessions are over.
#[derive(Serialize, JsonSchema)]
struct SignalEndpoints {
    /// Global Token Revocation: Okta's Universal Logout.
    global_token_revocation_url: String,
    /// Shared Signals, by push (RFC 8935).
    signals_url: String,
}

impl SignalEndpoints {
    fn of(links: &Links, id: ConnectionId) -> Self {
        Self {
            global_token_revocation_url: links.revocation_endpoint(id),
            signals_url: links.events_endpoint(id),
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline, title = "OidcConnection")]
pub struct OidcConnection {
    id: ConnectionId,
    name: String,
    state: ConnectionState,
    created_at: Timestamp,
    config: OidcConfig,
    /// What the provider has to be told of us.
    sp: OidcRelyingParty,
}

#[derive(Serialize, JsonSchema)]
pub struct OidcRelyingParty {
    callback_url: String,
    /// OpenID Connect Back-Channel Logout 1.0.
    backchannel_logout_url: String,
    #[serde(flatten)]
    signals: SignalEndpoints,
}

impl ConnectionView {
    /// Errors: `internal`, when what is stored cannot be read.
    pub fn of(links: &Links, connection: &Connection) -> Result<Self, FlowError> {
        let Connection { id, state, created_at, .. } = *connection;
        let name = connection.name.clone();
        Ok(match connection.kind {
            ConnectionKind::Saml => Self::Saml(SamlConnection {
                id,
                name,
                state,
                created_at,
                config: SamlConfig::of(connection)?,
                sp: SamlServiceProvider {
                    entity_id: links.saml_entity_id(id),
                    acs_url: links.saml_acs(id),
                    metadata_url: links.saml_entity_id(id),
                    signals: SignalEndpoints::of(links, id),
                },
            }),
            ConnectionKind::Oidc => Self::Oidc(OidcConnection {
                id,
                name,
                state,
                created_at,
                config: OidcConfig::of(connection)?,
                sp: OidcRelyingParty {
                    callback_url: links.oidc_callback(id),
                    backchannel_logout_url: links.backchannel_logout(id),
                    signals: SignalEndpoints::of(links, id),
                },
            }),
        })
    }

    pub const fn id(&self) -> ConnectionId {
        match self {
            Self::Saml(saml) => saml.id,
            Self::Oidc(oidc) => oidc.id,
        }
    }
}
