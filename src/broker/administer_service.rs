//! Service accounts: what an org's own programs fetch tokens as. A secret is shown once; what ends one, or takes
//! a role away, is a revocation, so that tokens that are out die at once.

use crate::{
    FlowError, Gateway,
    administer::{PRINTABLE, Page, ROLES, given, known_roles, name_of, one_of},
    revoke,
};
use model::{
    Secret, TokenDigest,
    ids::{self, KeyId, ServiceId},
    quota::HELD_MAX,
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use store::{
    Administrator, Credential, Holder, NewCredential, NewServiceAccount as Row, OrgScope, ServiceAccount,
    ServiceChange, TenantRead, TenantTx,
};
use token::credential::{UnboundKind, bearer};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: String,
    /// Of `GET /api/v1/roles`.
    #[serde(default)]
    #[schemars(extend("items" = one_of(ROLES.iter().map(|role| role.name))))]
    pub roles: Vec<String>,
    /// The `aud` of its tokens where it does not ask for another: the audience of an app that serves the org.
    /// Left out: the only such audience, if there is one.
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub audience: Option<String>,
}

/// What of it changes; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountPatch {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: Option<String>,
    #[schemars(extend("items" = one_of(ROLES.iter().map(|role| role.name))))]
    pub roles: Option<Vec<String>>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>", length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub audience: Option<Option<String>>,
}

/// Secrets that live at once: the one in use, and the one that follows.
const SECRETS_MAX: usize = 2;

fn distinct(mut roles: Vec<String>) -> Result<Vec<String>, FlowError> {
    known_roles(&roles)?;
    roles.sort();
    roles.dedup();
    Ok(roles)
}

async fn audience_of(tx: &mut TenantRead, text: &str) -> Result<String, FlowError> {
    let audience = name_of("audience", text)?;
    if tx.audience(&audience).await?.is_some() {
        return Ok(audience);
    }
    let right = "the audience of an app that serves this org";
    Err(FlowError::invalid("service_account.audience", "audience", right))
}

/// Makes an account with its first secret. Errors: `api.name_malformed`, `role.unknown`,
/// `service_account.audience`, `api.too_many`.
pub async fn create(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewServiceAccount,
) -> Result<(ServiceAccount, Secret<String>), FlowError> {
    let (name, roles) = (name_of("name", &body.name)?, distinct(body.roles)?);
    let mut tx = gw.db.write(scope, "service_account.create").await?;
    if tx.count_service_accounts().await? >= HELD_MAX {
        let most = format!("an org holds at most {HELD_MAX} of these");
        return Err(FlowError::conflict("api.too_many", most));
    }
    let audience = match &body.audience {
        Some(text) => Some(audience_of(&mut tx, text).await?),
        None => None,
    };
    let id = ServiceId::new(scope.now(), gw.chance.as_ref());
    let new = Row { id, name: &name, roles: &roles, audience: audience.as_deref() };
    tx.create_service_account(&new).await?;
    let (key, secret) = keep_secret(gw, &mut tx, id).await?;
    let made = tx.service_account(id).await?.ok_or(FlowError::Missing)?;
    let event = AuditEvent::done(Act::ServiceAccountCreated).on("service_account", id).value(
        "after",
        json!({"name": name, "roles": roles, "audience": audience, "secret": key, "made_by": scope.door().key}),
    );
    tx.commit(Record::of(event)).await?;
    Ok((made, secret))
}

async fn keep_secret(
    gw: &Gateway,
    tx: &mut TenantTx,
    id: ServiceId,
) -> Result<(KeyId, Secret<String>), FlowError> {
    let secret = bearer(UnboundKind::ClientSecret, gw.chance.as_ref());
    let key = KeyId::new(tx.now(), gw.chance.as_ref());
    let new = NewCredential {
        id: key,
        holder: Holder::ServiceAccount(id),
        name: "secret",
        digest: &TokenDigest::of(secret.reveal()),
        scopes: &[],
        expires_at: None,
    };
    tx.create_credential(&new, None).await?;
    Ok((key, secret))
}

pub async fn list(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    page: Page<ids::Service>,
) -> Result<Vec<ServiceAccount>, FlowError> {
    Ok(gw.db.read(scope, "service_account.list").await?.service_accounts(page.after, page.rows()).await?)
}

pub async fn read(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ServiceId,
) -> Result<ServiceAccount, FlowError> {
    gw.db.read(scope, "service_account.read").await?.service_account(id).await?.ok_or(FlowError::Missing)
}

/// Other roles, or another audience: its tokens must be fetched anew. Errors as of `create`.
pub async fn change(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ServiceId,
    body: ServiceAccountPatch,
) -> Result<ServiceAccount, FlowError> {
    let mut change = ServiceChange {
        name: body.name.as_deref().map(|name| name_of("name", name)).transpose()?,
        roles: body.roles.map(distinct).transpose()?,
        audience: None,
    };
    let mut tx = gw.db.write(scope, "service_account.change").await?;
    let before = tx.lock_service_account(id).await?.ok_or(FlowError::Missing)?;
    change.audience = match body.audience {
        Some(Some(text)) => Some(Some(audience_of(&mut tx, &text).await?)),
        Some(None) => Some(None),
        None => None,
    };
    tx.change_service_account(id, &change).await?;
    let after = tx.service_account(id).await?.ok_or(FlowError::Missing)?;
    let about = Scope::Service(id);
    let revoked = if before.roles == after.roles && before.audience == after.audience {
        None
    } else {
        Some(tx.revoke(about, Action::Reassert, "service_account_changed").await?)
    };
    let event = AuditEvent::done(Act::ServiceAccountChanged)
        .on("service_account", id)
        .value("before", json!(before))
        .value("after", json!(after));
    tx.commit(Record::of(event)).await?;
    if let Some(revoked) = revoked {
        revoke::tell(gw, scope, about, revoked, None).await;
    }
    Ok(after)
}

/// Ends an account: its secrets, and every token that is out.
pub async fn remove(gw: &Gateway, scope: &OrgScope<Administrator>, id: ServiceId) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "service_account.remove").await?;
    let before = tx.lock_service_account(id).await?.ok_or(FlowError::Missing)?;
    tx.remove_service_account(id).await?;
    let about = Scope::Service(id);
    let revoked = tx.revoke(about, Action::Terminate, "service_account_removed").await?;
    let event =
        AuditEvent::done(Act::ServiceAccountRemoved).on("service_account", id).value("before", json!(before));
    tx.commit(Record::of(event)).await?;
    revoke::tell(gw, scope, about, revoked, None).await;
    Ok(())
}

/// One secret more, shown once. Errors: `service_account.two_secrets`.
pub async fn create_secret(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ServiceId,
) -> Result<(KeyId, Secret<String>), FlowError> {
    let mut tx = gw.db.write(scope, "service_account.create_secret").await?;
    tx.lock_service_account(id).await?.ok_or(FlowError::Missing)?;
    if tx.credentials(Holder::ServiceAccount(id)).await?.len() >= SECRETS_MAX {
        let detail = "two secrets live already: revoke the one that is no longer used";
        return Err(FlowError::conflict("service_account.two_secrets", detail));
    }
    let (key, secret) = keep_secret(gw, &mut tx, id).await?;
    let event = AuditEvent::done(Act::ServiceAccountSecretCreated)
        .on("key", key)
        .value("service_account", id.to_string())
        .value("made_by", scope.door().key.to_string());
    tx.commit(Record::of(event)).await?;
    Ok((key, secret))
}

/// Its secrets, without their text.
pub async fn secrets(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ServiceId,
    page: Page<ids::Credential>,
) -> Result<Vec<Credential>, FlowError> {
    let mut tx = gw.db.read(scope, "service_account.secrets").await?;
    tx.service_account(id).await?.ok_or(FlowError::Missing)?;
    Ok(page.of(tx.credentials(Holder::ServiceAccount(id)).await?, |c| c.id))
}

/// Ends a secret, and every token of the account: no token says which secret fetched it.
pub async fn revoke_secret(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: ServiceId,
    key: KeyId,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "service_account.revoke_secret").await?;
    tx.lock_service_account(id).await?.ok_or(FlowError::Missing)?;
    if !tx.revoke_credential(Holder::ServiceAccount(id), key).await? {
        return Err(FlowError::Missing);
    }
    let about = Scope::Service(id);
    let revoked = tx.revoke(about, Action::Terminate, "service_secret_revoked").await?;
    let event = AuditEvent::done(Act::ServiceAccountSecretRevoked)
        .on("key", key)
        .value("service_account", id.to_string());
    tx.commit(Record::of(event)).await?;
    revoke::tell(gw, scope, about, revoked, None).await;
    Ok(())
}
