//! Directories, their tokens, and the org's own keys: each shown once and kept as a digest. An org's
//! key gives away no more than it holds.

use crate::{
    FlowError, Gateway,
    administer::{KEY_SCOPES, PRINTABLE, Page, holds_all, name_of, one_of, room},
    blast_guard::AskedGuard,
    quota,
};
use model::{
    Secret, Timestamp, TokenDigest,
    ids::{self, DirectoryId, KeyId},
    record::{Act, AuditEvent, Record},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use store::{Administrator, Credential, Directory, Holder, NewCredential, OrgScope, TenantRead};
use token::credential::{OrgBoundKind, UnboundKind, bearer, org_bearer};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDirectory {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: String,
    /// Who runs it, such as `okta`: for those who read it.
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub provider: Option<String>,
    /// How many people it may take away within an hour; left out, 20 percent and at least 10. `"off"` switches
    /// the guard off.
    pub blast_guard: Option<AskedGuard>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// `token`, if it is left out.
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: Option<String>,
    /// Without it the token does not end by itself.
    #[schemars(range(min = *TOKEN_DAYS.start(), max = *TOKEN_DAYS.end()))]
    pub expires_in_days: Option<i64>,
    /// Of `SCIM_SCOPES`; left out, everything.
    pub scopes: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: String,
    /// What it is good for; `*` is all of it.
    #[schemars(length(min = 1), extend("items" = one_of(KEY_SCOPES.iter().copied())))]
    pub scopes: Vec<String>,
    /// A time to come. Without it the key ends with the org key that makes it, or not by itself.
    pub expires_at: Option<Timestamp>,
}

/// A credential at its birth, the only time its text is known.
#[derive(Debug)]
pub struct Born {
    pub id: KeyId,
    pub text: Secret<String>,
    pub expires_at: Option<Timestamp>,
}

/// Ten years: longer is a token without an end, which is had by leaving it out.
const TOKEN_DAYS: std::ops::RangeInclusive<i64> = 1..=3_650;

pub async fn create(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewDirectory,
) -> Result<Directory, FlowError> {
    let name = name_of("name", &body.name)?;
    let provider = body.provider.as_deref().map(|p| name_of("provider", p)).transpose()?;
    let guard = body.blast_guard.map(AskedGuard::checked).transpose()?;
    let id = DirectoryId::new(scope.now(), gw.chance.as_ref());
    let tx = gw.db.write(scope, "directory.create").await?;
    let (mut tx, room) = quota::admit(gw, scope, tx).await?;
    tx.create_directory(room, id, &name, provider.as_deref()).await?;
    if let Some(guard) = guard {
        let (percent, at_least) = guard.columns();
        tx.set_guard(id, percent, at_least).await?;
    }
    let created = tx.directory(id).await?.ok_or(FlowError::Missing)?;
    let event = AuditEvent::done(Act::DirectoryCreated)
        .on("directory", id)
        .value("after", json!({"name": name, "provider": provider, "blast_guard": guard}));
    tx.commit(Record::of(event)).await?;
    Ok(created)
}

pub async fn list(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    page: Page<ids::Directory>,
) -> Result<Vec<Directory>, FlowError> {
    Ok(page.of(gw.db.read(scope, "directory.list").await?.directories().await?, |d| d.id))
}

pub async fn read(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: DirectoryId,
) -> Result<Directory, FlowError> {
    gw.db.read(scope, "directory.read").await?.directory(id).await?.ok_or(FlowError::Missing)
}

/// What a directory's credential may be held to.
pub const SCIM_SCOPES: [&str; 4] = ["users:read", "users:write", "groups:read", "groups:write"];
/// Secrets of a directory's OAuth client that live at once: the one in use, and the one that follows.
const SECRETS_MAX: usize = 2;

/// A bearer token for the directory's SCIM client. Errors: `directory.token_days`, `directory.scope_unknown`.
pub async fn create_token(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    directory: DirectoryId,
    body: NewToken,
) -> Result<Born, FlowError> {
    let text = org_bearer(OrgBoundKind::Scim, scope.org(), gw.chance.as_ref());
    keep(gw, scope, Holder::Directory(directory), wanted(scope.now(), "token", body, text)?).await
}

/// A secret for the directory's OAuth client, whose id is the directory's own. Errors as of `create_token`,
/// and `directory.two_secrets`.
pub async fn create_secret(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    directory: DirectoryId,
    body: NewToken,
) -> Result<Born, FlowError> {
    let text = bearer(UnboundKind::ClientSecret, gw.chance.as_ref());
    keep(gw, scope, Holder::DirectorysClient(directory), wanted(scope.now(), "client", body, text)?).await
}

fn wanted(now: Timestamp, name: &str, body: NewToken, text: Secret<String>) -> Result<Wanted, FlowError> {
    if body.expires_in_days.is_some_and(|days| !TOKEN_DAYS.contains(&days)) {
        return Err(FlowError::invalid("directory.token_days", "expires_in_days", "from 1 to 3650"));
    }
    let name = name_of("name", body.name.as_deref().unwrap_or(name))?;
    if body.scopes.as_ref().is_some_and(Vec::is_empty) {
        let right = "one scope at least; left out, it may do everything";
        return Err(FlowError::invalid("directory.scopes_empty", "scopes", right));
    }
    let mut scopes = body.scopes.unwrap_or_default();
    scopes.sort();
    scopes.dedup();
    if let Some(unknown) = scopes.iter().find(|scope| !SCIM_SCOPES.contains(&scope.as_str())) {
        let right = format!("{unknown:.40} is none of: {}", SCIM_SCOPES.join(" "));
        return Err(FlowError::invalid("directory.scope_unknown", "scopes", right));
    }
    let expires_at = body.expires_in_days.map(|days| now.plus_secs(days.saturating_mul(86_400)));
    Ok(Wanted { name, scopes, expires_at, text })
}

/// An org's own key. One that an org key makes ends with it at the latest. Errors: `quota.keys`, `key.scope_unknown`,
/// `key.scopes_empty`, `key.expired`, `key.outlives_maker`, and `api.scope_missing` when an org key would
/// give away what it does not hold.
pub async fn create_key(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewKey,
) -> Result<Born, FlowError> {
    let name = name_of("name", &body.name)?;
    let scopes = key_scopes(scope.door(), body.scopes)?;
    if body.expires_at.is_some_and(|end| end <= scope.now()) {
        return Err(FlowError::invalid("key.expired", "expires_at", "a time to come"));
    }
    let text = org_bearer(OrgBoundKind::OrgKey, scope.org(), gw.chance.as_ref());
    keep(gw, scope, Holder::Org, Wanted { name, scopes, expires_at: body.expires_at, text }).await
}

/// When a key ends that this maker makes: as wanted, and with its maker unless it is said sooner.
fn end_of(wanted: Option<Timestamp>, maker: Option<Timestamp>) -> Result<Option<Timestamp>, FlowError> {
    match (wanted, maker) {
        (Some(wanted), Some(maker)) if wanted > maker => {
            let right = format!("not after {maker}, when the key that makes it ends");
            Err(FlowError::invalid("key.outlives_maker", "expires_at", right))
        }
        (Some(end), _) | (None, Some(end)) => Ok(Some(end)),
        (None, None) => Ok(None),
    }
}

fn key_scopes(door: &Administrator, mut scopes: Vec<String>) -> Result<Vec<String>, FlowError> {
    scopes.sort();
    scopes.dedup();
    if scopes.is_empty() {
        return Err(FlowError::invalid("key.scopes_empty", "scopes", "one scope at least"));
    }
    if let Some(unknown) = scopes.iter().find(|s| !KEY_SCOPES.contains(&s.as_str())) {
        let right = format!("{unknown:.40} is none of: {}", KEY_SCOPES.join(" "));
        return Err(FlowError::invalid("key.scope_unknown", "scopes", right));
    }
    holds_all(door, scopes.iter().map(String::as_str))?;
    Ok(scopes)
}

struct Wanted {
    name: String,
    scopes: Vec<String>,
    expires_at: Option<Timestamp>,
    text: Secret<String>,
}

/// Is there such a holder? A directory has to be the org's; the org itself is.
async fn holder_exists(tx: &mut TenantRead, holder: Holder) -> Result<(), FlowError> {
    match holder.directory() {
        Some(directory) => tx.directory(directory).await?.map(|_| ()).ok_or(FlowError::Missing),
        None => Ok(()),
    }
}

async fn keep(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    holder: Holder,
    wanted: Wanted,
) -> Result<Born, FlowError> {
    let id = KeyId::new(scope.now(), gw.chance.as_ref());
    let mut tx = gw.db.write(scope, "credential.create").await?;
    if let Some(directory) = holder.directory()
        && !tx.hold_directory(directory).await?
    {
        return Err(FlowError::Missing);
    }
    let mut own = None;
    if holder == Holder::Org {
        let (admitted, room) = quota::admit(gw, scope, tx).await?;
        (tx, own) = (admitted, Some(room));
    }
    let held = tx.credentials(holder).await?;
    if own.is_none() {
        room(held.len())?;
    }
    let living = held.iter().filter(|one| one.expires_at.is_none_or(|end| end > scope.now())).count();
    if matches!(holder, Holder::DirectorysClient(_)) && living >= SECRETS_MAX {
        let detail = "two secrets live already: revoke the one that is no longer used";
        return Err(FlowError::Conflict { code: "directory.two_secrets", detail: detail.to_owned() });
    }
    let maker = held.iter().find(|one| holder == Holder::Org && one.id == scope.door().key);
    let expires_at = end_of(wanted.expires_at, maker.and_then(|maker| maker.expires_at))?;
    let digest = TokenDigest::of(wanted.text.reveal());
    let new =
        NewCredential { id, holder, name: &wanted.name, digest: &digest, scopes: &wanted.scopes, expires_at };
    tx.create_credential(&new, own).await?;
    let event = AuditEvent::done(made(holder))
        .on("key", id)
        .value(
            "after",
            json!({
                "name": wanted.name, "directory": holder.directory(), "scopes": wanted.scopes, "expires_at": expires_at,
                "made_by": scope.door().key,
            }),
        );
    tx.commit(Record::of(event)).await?;
    Ok(Born { id, text: wanted.text, expires_at })
}

const fn made(holder: Holder) -> Act {
    match holder {
        Holder::Org => Act::KeyCreated,
        Holder::Directory(_) => Act::DirectoryTokenCreated,
        Holder::DirectorysClient(_) => Act::DirectorySecretCreated,
        Holder::ServiceAccount(_) => Act::ServiceAccountSecretCreated,
    }
}

/// Live tokens or secrets of a directory, or the org's keys: never their text.
pub async fn credentials(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    holder: Holder,
    page: Page<ids::Credential>,
) -> Result<Vec<Credential>, FlowError> {
    let mut tx = gw.db.read(scope, "credential.list").await?;
    holder_exists(&mut tx, holder).await?;
    Ok(page.of(tx.credentials(holder).await?, |c| c.id))
}

/// Good for nothing from the commit on.
pub async fn revoke_credential(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    holder: Holder,
    id: KeyId,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "credential.revoke").await?;
    if !tx.revoke_credential(holder, id).await? {
        return Err(FlowError::Missing);
    }
    let event = match holder {
        Holder::Org => AuditEvent::done(Act::KeyRevoked),
        Holder::Directory(directory) => {
            AuditEvent::done(Act::DirectoryTokenRevoked).value("directory", directory.to_string())
        }
        Holder::DirectorysClient(directory) => {
            AuditEvent::done(Act::DirectorySecretRevoked).value("directory", directory.to_string())
        }
        Holder::ServiceAccount(account) => {
            AuditEvent::done(Act::ServiceAccountSecretRevoked).value("service_account", account.to_string())
        }
    };
    Ok(tx.commit(Record::of(event.on("key", id))).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::AdminKind;

    fn door(kind: AdminKind, scopes: &[&str]) -> Administrator {
        let scopes = scopes.iter().map(|s| (*s).to_owned()).collect();
        Administrator { kind, key: KeyId::from_uuid(uuid::Uuid::nil()), scopes }
    }

    #[test]
    fn a_key_ends_with_its_maker_at_the_latest() {
        let at = |secs| Some(Timestamp::from_secs(secs));
        assert_eq!(end_of(None, at(9)).unwrap(), at(9));
        assert_eq!(end_of(at(9), at(9)).unwrap(), at(9));
        assert_eq!(end_of(at(10), at(9)).unwrap_err().code(), "key.outlives_maker");
        assert_eq!((end_of(at(10), None).unwrap(), end_of(None, None).unwrap()), (at(10), None));
    }

    #[test]
    fn a_key_gives_away_no_more_than_it_holds() {
        let want = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let org = door(AdminKind::Org, &["keys:write", "users:read"]);
        assert_eq!(key_scopes(&org, want(&["users:read", "users:read"])).unwrap(), ["users:read"]);
        for more in ["*", "users:write"] {
            assert_eq!(key_scopes(&org, want(&[more])).unwrap_err().code(), "api.scope_missing");
        }
        assert!(key_scopes(&door(AdminKind::Org, &["*"]), want(&["users:write"])).is_ok());
        let platform = door(AdminKind::Platform, &["*"]);
        assert!(key_scopes(&platform, want(&["*"])).is_ok());
        assert_eq!(key_scopes(&platform, want(&["users:*"])).unwrap_err().code(), "key.scope_unknown");
        assert_eq!(key_scopes(&platform, Vec::new()).unwrap_err().code(), "key.scopes_empty");
    }
}
