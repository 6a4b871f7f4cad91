//! A connection is changed: what is given, and nothing under its people's feet. Other metadata must be
//! the same identity provider's; what an enabled connection trusts is not an org key's to change.

use crate::{
    FlowError, Gateway,
    administer::{PRINTABLE, WEB_URL, given, name_of},
    administer_connection::{
        ENTITY_ID_CHARS_MAX, as_json, by_hand, may_decide_trust, metadata, read, source_error, text_of,
    },
    begin::{AttributeNames, SamlConfig},
    begin_oidc::OidcConfig,
    signal_source::SignalSource,
};
use model::{
    Refusal, Secret, Timestamp,
    ids::ConnectionId,
    members::Members,
    record::{Act, AuditEvent, Record},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Administrator, Connection, ConnectionKind, ConnectionState, OrgScope};

/// What may change: of either kind, then of SAML, then of OIDC.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionPatch {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: Option<String>,
    pub jit: Option<bool>,
    pub subject_is_external_id: Option<bool>,
    pub metadata_xml: Option<String>,
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub metadata_url: Option<String>,
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub sso_url: Option<String>,
    #[schemars(length(min = 1))]
    pub certificates: Option<Vec<String>>,
    pub attribute_map: Option<Members<AttributeNames>>,
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub groups_attribute: Option<String>,
    pub allow_idp_initiated: Option<bool>,
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub client_id: Option<String>,
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub client_secret: Option<String>,
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub groups_claim: Option<String>,
    pub trust_email: Option<bool>,
    /// Who may tell us that a person's sessions are over. `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<Members<SignalSource>>")]
    pub signals: Option<Option<Members<SignalSource>>>,
}

/// Changes what is given. Errors: as `create`; `connection.idp_changed` when the metadata is another
/// identity provider's; `connection.not_rehearsed` when an org key changes what an enabled connection
/// trusts; `connection.other_kind` for a field of the other protocol.
pub async fn change(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ConnectionId,
    patch: ConnectionPatch,
) -> Result<Connection, FlowError> {
    let before = read(gw, scope, id).await?;
    let name = patch.name.as_deref().map_or(Ok(before.name.clone()), |n| name_of("name", n))?;
    let secret = patch.client_secret.clone().map(Secret::new);
    if let Some(secret) = &secret {
        text_of("client_secret", secret.reveal())?;
    }
    let (config, trust_changes) = match before.kind {
        ConnectionKind::Saml => changed_saml(gw, &before, patch, scope.now()).await?,
        ConnectionKind::Oidc => changed_oidc(gw, &before, patch)?,
    };
    let mut tx = gw.db.write(scope, "connection.change").await?;
    let current = tx.lock_connection(id).await?.ok_or(FlowError::Missing)?;
    if current.config != before.config {
        return Err(FlowError::conflict("connection.changed_meanwhile", "read it again, then change it"));
    }
    if (trust_changes || secret.is_some()) && current.state == ConnectionState::Enabled {
        may_decide_trust(scope)?;
    }
    tx.change_connection(id, &name, &config).await?;
    if let Some(secret) = &secret {
        tx.set_connection_secret(id, secret).await?;
    }
    let after = tx.connection(id).await?.ok_or(FlowError::Missing)?;
    let event = AuditEvent::done(Act::ConnectionChanged)
        .on("connection", id)
        .value("before", json!({"name": before.name, "config": before.config}))
        .value("after", json!({"name": after.name, "config": after.config}))
        .value("secret_changed", secret.is_some());
    tx.commit(Record::of(event)).await?;
    Ok(after)
}

fn other_kind(field: &'static str) -> FlowError {
    FlowError::invalid("connection.other_kind", field, "a field of this connection's own protocol")
}

async fn changed_saml(
    gw: &Gateway,
    before: &Connection,
    patch: ConnectionPatch,
    now: Timestamp,
) -> Result<(Value, bool), FlowError> {
    let given = [
        ("client_id", patch.client_id.is_some()),
        ("client_secret", patch.client_secret.is_some()),
        ("groups_claim", patch.groups_claim.is_some()),
        ("trust_email", patch.trust_email.is_some()),
    ];
    if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(other_kind(field));
    }
    let mut config = SamlConfig::of(before)?;
    let by_metadata = metadata(gw, patch.metadata_xml, patch.metadata_url, now).await?;
    let by_hand_too = patch.sso_url.is_some() || patch.certificates.is_some();
    let trust = match (by_metadata, by_hand_too) {
        (Some(_), true) => return Err(source_error()),
        (Some(trust), false) => Some(trust),
        (None, true) => {
            let certificates = patch.certificates.unwrap_or_else(|| config.certificates.clone());
            let url = patch.sso_url.or(config.sso_redirect_url.clone()).or(config.sso_post_url.clone());
            let url = url.unwrap_or_default();
            let keeps_post = config.sso_redirect_url.is_none() && config.sso_post_url.as_ref() == Some(&url);
            let mut trust = by_hand(&config.idp_entity_id, &url, certificates)?;
            if keeps_post {
                (trust.redirect_url, trust.post_url) = (None, Some(url));
            }
            Some(trust)
        }
        (None, false) => None,
    };
    let trust_changes = trust.is_some()
        || patch.allow_idp_initiated.is_some()
        || patch.attribute_map.is_some()
        || patch.signals.is_some()
        || patch.subject_is_external_id.is_some();
    config.signals = SignalSource::changed(gw, config.signals, patch.signals)?;
    if let Some(trust) = trust {
        if trust.entity_id != config.idp_entity_id {
            return Err(Refusal::proven("connection.idp_changed")
                .with("expected", &config.idp_entity_id)
                .with("received", &trust.entity_id)
                .into());
        }
        config.sso_redirect_url = trust.redirect_url;
        config.sso_post_url = trust.post_url;
        config.certificates = trust.certificates;
    }
    if let Some(name) = patch.groups_attribute {
        text_of("groups_attribute", &name)?;
        config.groups_attribute = Some(name);
    }
    config.attribute_map = patch.attribute_map.map_or(config.attribute_map, |Members(names)| names);
    config.jit = patch.jit.or(config.jit);
    config.subject_is_external_id = patch.subject_is_external_id.unwrap_or(config.subject_is_external_id);
    config.allow_idp_initiated = patch.allow_idp_initiated.unwrap_or(config.allow_idp_initiated);
    Ok((as_json(config)?, trust_changes))
}

fn changed_oidc(
    gw: &Gateway,
    before: &Connection,
    patch: ConnectionPatch,
) -> Result<(Value, bool), FlowError> {
    let given = [
        ("metadata_xml", patch.metadata_xml.is_some()),
        ("metadata_url", patch.metadata_url.is_some()),
        ("sso_url", patch.sso_url.is_some()),
        ("certificates", patch.certificates.is_some()),
        ("attribute_map", patch.attribute_map.is_some()),
        ("groups_attribute", patch.groups_attribute.is_some()),
        ("allow_idp_initiated", patch.allow_idp_initiated.is_some()),
    ];
    if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(other_kind(field));
    }
    let mut config = OidcConfig::of(before)?;
    let trust_changes = patch.client_id.is_some()
        || patch.trust_email.is_some()
        || patch.signals.is_some()
        || patch.subject_is_external_id.is_some();
    config.signals = SignalSource::changed(gw, config.signals, patch.signals)?;
    if let Some(client_id) = patch.client_id {
        text_of("client_id", &client_id)?;
        config.client_id = client_id;
    }
    if let Some(name) = patch.groups_claim {
        text_of("groups_claim", &name)?;
        config.groups_claim = Some(name);
    }
    config.jit = patch.jit.or(config.jit);
    config.subject_is_external_id = patch.subject_is_external_id.unwrap_or(config.subject_is_external_id);
    config.trust_email = patch.trust_email.unwrap_or(config.trust_email);
    Ok((as_json(config)?, trust_changes))
}
