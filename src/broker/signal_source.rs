//! Who may tell us, for a connection, that a person's sessions are over, and by which keys. An OpenID
//! provider's own keys stand in its discovery document; a SAML identity provider has none for this, so the
//! connection names them, as does one whose events come from another issuer than its sign-ins.

use crate::{
    FlowError, Gateway,
    administer::PRINTABLE,
    administer::{WEB_URL, called_url},
    administer_connection::{ENTITY_ID_CHARS_MAX, text_of},
    begin::SamlConfig,
    begin_oidc::OidcConfig,
};
use model::{Refusal, Timestamp, ids::ConnectionId, members::Members};
use oidc::provider::Jwks;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::{Connection, ConnectionKind};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalSource {
    /// The `iss` of what it signs.
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub issuer: String,
    /// Where its keys are, as a JWK set.
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub jwks_url: String,
    /// The `aud` of its events, where that is not the address they are sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub audience: Option<String>,
}

impl SignalSource {
    /// As an administrator may give it. Errors: `api.url_refused`, `connection.text_malformed`.
    pub(crate) fn held(self, gw: &Gateway) -> Result<Self, FlowError> {
        text_of("signals.issuer", &self.issuer)?;
        self.audience.as_deref().map_or(Ok(()), |audience| text_of("signals.audience", audience))?;
        called_url(gw, "signals.jwks_url", &self.jwks_url)?;
        Ok(self)
    }

    /// What is given replaces what was; `null` takes it away.
    pub(crate) fn changed(
        gw: &Gateway,
        before: Option<Self>,
        given: Option<Option<Members<Self>>>,
    ) -> Result<Option<Self>, FlowError> {
        match given {
            None => Ok(before),
            Some(given) => given.map(|source| source.0.held(gw)).transpose(),
        }
    }
}

/// Whom a connection listens to.
pub(crate) struct Heeded {
    connection: ConnectionId,
    pub(crate) issuer: String,
    /// Where the provider knows us as a client.
    pub(crate) client_id: Option<String>,
    /// What its people's identities are of: a subject in another's name is nobody's.
    pub(crate) names: Vec<String>,
    pub(crate) audience: Option<String>,
    keys: Keys,
}

enum Keys {
    Provider(Box<OidcConfig>),
    At(String),
}

impl Heeded {
    /// The issuer that signs people in, and no other: for logout tokens. None for SAML.
    pub(crate) fn provider(connection: &Connection) -> Result<Option<Self>, FlowError> {
        match connection.kind {
            ConnectionKind::Saml => Ok(None),
            ConnectionKind::Oidc => {
                let config = OidcConfig::of(connection)?;
                Ok(Some(Self {
                    connection: connection.id,
                    issuer: config.issuer.clone(),
                    client_id: Some(config.client_id.clone()),
                    names: vec![config.issuer.clone()],
                    audience: None,
                    keys: Keys::Provider(Box::new(config)),
                }))
            }
        }
    }

    /// Whoever the connection names for signals, or else its provider. None: nobody is named.
    pub(crate) fn signaller(connection: &Connection) -> Result<Option<Self>, FlowError> {
        let (source, own_name, client_id) = match connection.kind {
            ConnectionKind::Saml => {
                let config = SamlConfig::of(connection)?;
                (config.signals, config.idp_entity_id, None)
            }
            ConnectionKind::Oidc => {
                let config = OidcConfig::of(connection)?;
                (config.signals, config.issuer, Some(config.client_id))
            }
        };
        let Some(source) = source else { return Self::provider(connection) };
        Ok(Some(Self {
            connection: connection.id,
            names: vec![own_name, source.issuer.clone()],
            issuer: source.issuer,
            client_id,
            audience: source.audience,
            keys: Keys::At(source.jwks_url),
        }))
    }

    /// Its keys; `anew`: those that are kept verified nothing.
    pub(crate) async fn keys(&self, gw: &Gateway, now: Timestamp, anew: bool) -> Result<Arc<Jwks>, Refusal> {
        match &self.keys {
            Keys::At(url) => {
                gw.providers.keys_at(self.connection, url, gw.outbound.as_ref(), (now, anew)).await
            }
            Keys::Provider(config) => {
                let wanted = gw.wanted(self.connection, config, now);
                let provider = gw.providers.provider(&wanted).await?;
                gw.providers.keys(&wanted, &provider, anew).await
            }
        }
    }
}
