//! Connections: read from metadata, by hand or by discovery, kept as the judges' own types. A
//! connection starts as a draft. What it trusts is fixed by whoever may enable it, and an identity
//! provider is never exchanged under its people: that would be another connection.

use crate::{
    FlowError, Gateway, OutboundRequest,
    administer::{Loopback, PRINTABLE, Page, WEB_URL, name_of, web_url},
    begin::{AttributeNames, SamlConfig},
    begin_oidc::OidcConfig,
    providers::{discover, transport},
    quota, revoke,
    signal_source::SignalSource,
};
use model::{
    Refusal, Secret, Timestamp,
    ids::{self, ConnectionId},
    members::Members,
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{
    AdminKind, Administrator, Connection, ConnectionKind, ConnectionState, NewConnection as Row, OrgScope,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewConnection {
    Saml(NewSaml),
    Oidc(NewOidc),
}

/// The identity provider by its metadata, by its metadata's address, or by hand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, title = "NewSaml")]
pub struct NewSaml {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: String,
    pub metadata_xml: Option<String>,
    /// Read once, now.
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub metadata_url: Option<String>,
    /// By hand, with `sso_url` and `certificates`.
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub idp_entity_id: Option<String>,
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub sso_url: Option<String>,
    /// X.509 certificates that sign, as PEM or base64 DER.
    #[schemars(length(min = 1))]
    pub certificates: Option<Vec<String>>,
    pub attribute_map: Option<Members<AttributeNames>>,
    /// The attribute that holds the person's groups.
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub groups_attribute: Option<String>,
    /// Does a sign-in make a seat for whom none is known? Left out: while no directory provisions.
    pub jit: Option<bool>,
    /// Is the subject a directory's `externalId`?
    pub subject_is_external_id: Option<bool>,
    /// May a sign-in begin at the identity provider?
    pub allow_idp_initiated: Option<bool>,
    /// Who may tell us that a person's sessions are over.
    pub signals: Option<Members<SignalSource>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, title = "NewOidc")]
pub struct NewOidc {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: String,
    /// Its `/.well-known/openid-configuration` is read now, and must name this very issuer.
    #[schemars(url)]
    pub issuer: String,
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub client_id: String,
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub client_secret: String,
    /// The claim that holds the person's groups.
    #[schemars(length(min = 1, max = ENTITY_ID_CHARS_MAX), regex(pattern = PRINTABLE))]
    pub groups_claim: Option<String>,
    /// Does a sign-in make a seat for whom none is known? Left out: while no directory provisions.
    pub jit: Option<bool>,
    /// Is the subject a directory's `externalId`?
    pub subject_is_external_id: Option<bool>,
    /// Does an email without `email_verified` count as verified?
    pub trust_email: Option<bool>,
    /// Who may tell us that a person's sessions are over, where it is not the issuer itself.
    pub signals: Option<Members<SignalSource>>,
}

/// Core 8.3.6; the same bound for a client id.
pub(crate) const ENTITY_ID_CHARS_MAX: usize = 1_024;
/// How much is shown of what is no metadata.
const SHOWN_CHARS_MAX: usize = 60;

/// Who the identity provider is and by which keys it speaks.
pub(crate) struct Trust {
    pub(crate) entity_id: String,
    pub(crate) redirect_url: Option<String>,
    pub(crate) post_url: Option<String>,
    pub(crate) certificates: Vec<String>,
}

pub(crate) fn source_error() -> FlowError {
    let right = "exactly one of metadata_xml, metadata_url, or idp_entity_id with sso_url and certificates";
    FlowError::invalid("connection.metadata_source", "metadata_xml", right)
}

pub(crate) async fn metadata(
    gw: &Gateway,
    xml: Option<String>,
    url: Option<String>,
    now: Timestamp,
) -> Result<Option<Trust>, FlowError> {
    let xml = match (xml, url) {
        (Some(_), Some(_)) => return Err(source_error()),
        (None, None) => return Ok(None),
        (Some(xml), None) => xml,
        (None, Some(url)) => fetch(gw, url).await?,
    };
    let read = saml::metadata::read(&xml, now)?;
    Ok(Some(Trust {
        entity_id: read.entity_id,
        redirect_url: read.sso_redirect_url,
        post_url: read.sso_post_url,
        certificates: read.certificates,
    }))
}

async fn fetch(gw: &Gateway, url: String) -> Result<String, FlowError> {
    web_url("metadata_url", &url, if gw.allow_loopback { Loopback::Allowed } else { Loopback::Refused })?;
    let unreachable = |why: String| {
        FlowError::from(Refusal::proven("connection.metadata_unreachable").with("url", &url).with("why", why))
    };
    let asked = OutboundRequest { url: url.clone(), ..OutboundRequest::default() };
    let answer = gw.outbound.send(asked).await.map_err(|fault| unreachable(fault.to_string()))?;
    if answer.status != 200 {
        return Err(unreachable(answer.said()));
    }
    let text = String::from_utf8(answer.body).map_err(|_| unreachable("not UTF-8".to_owned()))?;
    if is_xml(&text) {
        return Ok(text);
    }
    let begins: String = text.trim().chars().take(SHOWN_CHARS_MAX).collect();
    Err(Refusal::proven("connection.metadata_not_xml").with("url", url).with("received", begins).into())
}

/// Told by its first word, whatever the content type says: identity providers send several. A sign-in
/// page in the metadata's place is the usual mistake, and would be refused for its doctype.
fn is_xml(text: &str) -> bool {
    let begin: String = text.trim_start_matches('\u{feff}').trim_start().chars().take(14).collect();
    let begin = begin.to_ascii_lowercase();
    begin.starts_with('<') && !begin.starts_with("<html") && !begin.starts_with("<!doctype html")
}

/// By hand: the certificates are read here, so that a bad one is refused now and not at a sign-in.
pub(crate) fn by_hand(entity_id: &str, sso_url: &str, certificates: Vec<String>) -> Result<Trust, FlowError> {
    text_of("idp_entity_id", entity_id)?;
    web_url("sso_url", sso_url, Loopback::Allowed)?;
    saml::TrustedCerts::from_pem_or_der_base64(&certificates)?;
    Ok(Trust {
        entity_id: entity_id.to_owned(),
        redirect_url: Some(sso_url.to_owned()),
        post_url: None,
        certificates,
    })
}

pub(crate) fn text_of(field: &'static str, text: &str) -> Result<(), FlowError> {
    if text.trim().is_empty() || text.len() > ENTITY_ID_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(FlowError::invalid("connection.text_malformed", field, "1 to 1024 printable characters"));
    }
    Ok(())
}

async fn saml_config(gw: &Gateway, body: NewSaml, now: Timestamp) -> Result<SamlConfig, FlowError> {
    let trust = match metadata(gw, body.metadata_xml, body.metadata_url, now).await? {
        Some(trust) => {
            if body.idp_entity_id.is_some() || body.sso_url.is_some() || body.certificates.is_some() {
                return Err(source_error());
            }
            trust
        }
        None => match (body.idp_entity_id, body.sso_url, body.certificates) {
            (Some(entity_id), Some(sso_url), Some(certificates)) => {
                by_hand(&entity_id, &sso_url, certificates)?
            }
            _ => return Err(source_error()),
        },
    };
    body.groups_attribute.as_deref().map_or(Ok(()), |name| text_of("groups_attribute", name))?;
    Ok(SamlConfig {
        idp_entity_id: trust.entity_id,
        sso_redirect_url: trust.redirect_url,
        sso_post_url: trust.post_url,
        certificates: trust.certificates,
        attribute_map: body.attribute_map.map(|named| named.0).unwrap_or_default(),
        groups_attribute: body.groups_attribute,
        jit: body.jit,
        subject_is_external_id: body.subject_is_external_id.unwrap_or(false),
        allow_idp_initiated: body.allow_idp_initiated.unwrap_or(false),
        signals: body.signals.map(|source| source.0.held(gw)).transpose()?,
    })
}

async fn oidc_config(gw: &Gateway, body: NewOidc) -> Result<(OidcConfig, Secret<String>), FlowError> {
    let secret = Secret::new(body.client_secret);
    text_of("client_id", &body.client_id)?;
    text_of("client_secret", secret.reveal())?;
    body.groups_claim.as_deref().map_or(Ok(()), |name| text_of("groups_claim", name))?;
    let signals = body.signals.map(|source| source.0.held(gw)).transpose()?;
    let provider = discover(gw.outbound.as_ref(), transport(gw), &body.issuer).await?;
    let config = OidcConfig {
        issuer: body.issuer,
        client_id: body.client_id,
        jit: body.jit,
        subject_is_external_id: body.subject_is_external_id.unwrap_or(false),
        trust_email: body.trust_email.unwrap_or(false),
        groups_claim: body.groups_claim,
        hosts: provider.hosts(),
        signals,
    };
    Ok((config, secret))
}

pub(crate) fn as_json(config: impl serde::Serialize) -> Result<Value, FlowError> {
    serde_json::to_value(config).map_err(|e| FlowError::Fault(e.to_string()))
}

/// Makes a draft. Errors: `connection.metadata_source`, `connection.metadata_unreachable`, `connection.metadata_not_xml`,
/// `connection.text_malformed`, `api.url_refused`, those of `saml::metadata` and of OIDC discovery.
pub async fn create(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewConnection,
) -> Result<Connection, FlowError> {
    let (kind, name, config, secret) = match body {
        NewConnection::Saml(body) => {
            let name = name_of("name", &body.name)?;
            (ConnectionKind::Saml, name, as_json(saml_config(gw, body, scope.now()).await?)?, None)
        }
        NewConnection::Oidc(body) => {
            let name = name_of("name", &body.name)?;
            let (config, secret) = oidc_config(gw, body).await?;
            (ConnectionKind::Oidc, name, as_json(config)?, Some(secret))
        }
    };
    let id = ConnectionId::new(scope.now(), gw.chance.as_ref());
    let tx = gw.db.write(scope, "connection.create").await?;
    let (mut tx, room) = quota::admit(gw, scope, tx).await?;
    let row = Row { id, kind, name: &name, config: &config, secret: secret.as_ref() };
    tx.create_connection(room, &row).await?;
    let created = tx.connection(id).await?.ok_or(FlowError::Missing)?;
    let after = json!({"type": kind, "name": name, "config": config});
    tx.commit(Record::of(
        AuditEvent::done(Act::ConnectionCreated).on("connection", id).value("after", after),
    ))
    .await?;
    Ok(created)
}

pub async fn read(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ConnectionId,
) -> Result<Connection, FlowError> {
    gw.db.read(scope, "connection.read").await?.connection(id).await?.ok_or(FlowError::Missing)
}

pub async fn list(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    page: Page<ids::Connection>,
) -> Result<Vec<Connection>, FlowError> {
    Ok(page.of(gw.db.read(scope, "connection.list").await?.connections().await?, |c| c.id))
}

/// An org's own key may not decide what an enabled connection trusts before a rehearsal has shown
/// that the connection is its own; there the operator has to.
pub(crate) fn may_decide_trust(scope: &OrgScope<Administrator>) -> Result<(), FlowError> {
    match scope.door().kind {
        AdminKind::Platform => Ok(()),
        AdminKind::Org => Err(Refusal::proven("connection.not_rehearsed").into()),
    }
}

/// Lets people sign in by it. Errors: `connection.not_rehearsed` for an org's own key.
pub async fn enable(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ConnectionId,
) -> Result<Connection, FlowError> {
    read(gw, scope, id).await?;
    may_decide_trust(scope)?;
    let mut tx = gw.db.write(scope, "connection.enable").await?;
    // What is enabled is what this answers: an org key that changes it meanwhile waits, and then may not.
    let before = tx.lock_connection(id).await?.ok_or(FlowError::Missing)?;
    tx.set_connection_state(id, ConnectionState::Enabled).await?;
    let after = tx.connection(id).await?.ok_or(FlowError::Missing)?;
    tx.commit(state_record(Act::ConnectionEnabled, &before, after.state)).await?;
    Ok(after)
}

fn state_record(act: Act, before: &Connection, after: ConnectionState) -> Record {
    let event = AuditEvent::done(act)
        .on("connection", before.id)
        .value("before", json!({"state": before.state}))
        .value("after", json!({"state": after}));
    Record::of(event)
}

/// Shuts it, and ends all that came in by it.
pub async fn disable(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ConnectionId,
) -> Result<Connection, FlowError> {
    let mut tx = gw.db.write(scope, "connection.disable").await?;
    let before = tx.lock_connection(id).await?.ok_or(FlowError::Missing)?;
    tx.set_connection_state(id, ConnectionState::Disabled).await?;
    let after = tx.connection(id).await?.ok_or(FlowError::Missing)?;
    let about = Scope::Connection(id);
    let revoked = tx.revoke(about, Action::Terminate, "connection_disabled").await?;
    tx.commit(state_record(Act::ConnectionDisabled, &before, after.state)).await?;
    revoke::tell(gw, scope, about, revoked, None).await;
    Ok(after)
}

/// Removes it for good, with the identities bound by it and the teams and roles it gave; ends all that
/// came in by it.
pub async fn remove(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ConnectionId,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "connection.remove").await?;
    // A sign-in under way gives what it gives before this, or finds the connection gone.
    tx.lock_mappings().await?;
    let before = tx.lock_connection(id).await?.ok_or(FlowError::Missing)?;
    let lost = tx.gifted_by(id).await?;
    tx.lock_users(&lost).await?;
    let about = Scope::Connection(id);
    // The head before what cascades: a person's removal takes them in the same order.
    let mut revoked = revoke::reassert_losers(&mut tx, &lost, "connection_removed").await?;
    revoked.push((about, tx.revoke(about, Action::Terminate, "connection_removed").await?));
    tx.drop_gifts_of(id).await?;
    tx.remove_connection(id).await?;
    let event = AuditEvent::done(Act::ConnectionRemoved)
        .on("connection", id)
        .value("before", json!({"name": before.name, "config": before.config}))
        .value("people_who_lost", lost.len());
    tx.commit(Record::of(event)).await?;
    for (about, revoked) in revoked {
        revoke::tell(gw, scope, about, revoked, None).await;
    }
    Ok(())
}
