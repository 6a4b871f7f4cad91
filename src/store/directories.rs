//! Directories and the bearer credentials of an org: SCIM tokens and org keys. Only digests are
//! kept; the routing row that a door asks follows by trigger and goes with the revocation.

use crate::{Error, Result, Room, ScimForm, TenantRead, TenantTx, counted};
use model::{
    Timestamp, TokenDigest,
    ids::{DirectoryId, KeyId, OrgId, ServiceId},
};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Directory {
    pub id: DirectoryId,
    pub name: String,
    /// Who runs it, as it was told, such as `okta`.
    pub provider: Option<String>,
    pub created_at: Timestamp,
    /// The blast guard: a share of the org's active people in percent, none when it is off; and how many
    /// may go in any case.
    #[serde(skip)]
    pub guard: (Option<u32>, u32),
}

#[derive(sqlx::FromRow)]
struct StoredDirectory {
    dir_id: Uuid,
    name: String,
    provider: Option<String>,
    created_at: OffsetDateTime,
    guard_percent: Option<i32>,
    guard_at_least: i32,
}

/// A key or token, without its text.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Credential {
    pub id: KeyId,
    pub name: String,
    /// Empty for a directory's token: it is good for SCIM alone.
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    /// `null`: it does not end by itself.
    pub expires_at: Option<Timestamp>,
    /// To the minute; none when it never was.
    pub last_used_at: Option<Timestamp>,
}

/// Whose credential, and what for. A directory's are bearer tokens, or the secrets of its OAuth client; a service
/// account has secrets alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Org,
    Directory(DirectoryId),
    DirectorysClient(DirectoryId),
    ServiceAccount(ServiceId),
}

impl Holder {
    pub const fn directory(self) -> Option<DirectoryId> {
        match self {
            Self::Org | Self::ServiceAccount(_) => None,
            Self::Directory(id) | Self::DirectorysClient(id) => Some(id),
        }
    }

    /// The columns `kind` and `holder_id`.
    fn columns(self, org: OrgId) -> (&'static str, Uuid) {
        match self {
            Self::Org => ("org_key", org.uuid()),
            Self::Directory(id) => (ScimForm::Bearer.as_str(), id.uuid()),
            Self::DirectorysClient(id) => (ScimForm::Secret.as_str(), id.uuid()),
            Self::ServiceAccount(id) => ("service_secret", id.uuid()),
        }
    }
}

pub struct NewCredential<'a> {
    pub id: KeyId,
    pub holder: Holder,
    pub name: &'a str,
    pub digest: &'a TokenDigest,
    pub scopes: &'a [String],
    pub expires_at: Option<Timestamp>,
}

/// `key_id`, `name`, `scopes`, `created_at`, `expires_at`, `last_used_at`.
type CredentialRow =
    (Uuid, String, Vec<String>, OffsetDateTime, Option<OffsetDateTime>, Option<OffsetDateTime>);

impl TenantRead {
    pub async fn directories(&mut self) -> Result<Vec<Directory>> {
        let rows: Vec<StoredDirectory> = sqlx::query_as(
            "SELECT dir_id, name, provider, created_at, guard_percent, guard_at_least
               FROM directories
              ORDER BY dir_id
              LIMIT 200",
        )
        .fetch_all(self.sql())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Directory {
                id: DirectoryId::from_uuid(row.dir_id),
                name: row.name,
                provider: row.provider,
                created_at: row.created_at.into(),
                guard: (
                    row.guard_percent.and_then(|percent| u32::try_from(percent).ok()),
                    u32::try_from(row.guard_at_least).unwrap_or(0),
                ),
            })
            .collect())
    }

    pub async fn directory(&mut self, id: DirectoryId) -> Result<Option<Directory>> {
        Ok(self.directories().await?.into_iter().find(|d| d.id == id))
    }

    /// The holder's credentials that are not revoked.
    pub async fn credentials(&mut self, holder: Holder) -> Result<Vec<Credential>> {
        let (kind, holder) = holder.columns(self.org());
        let rows: Vec<CredentialRow> = sqlx::query_as(
            "SELECT key_id, name, scopes, created_at, expires_at, last_used_at
               FROM credentials
              WHERE holder_id = $1
                AND kind = $2
                AND revoked_at IS NULL
              ORDER BY key_id
              LIMIT 200",
        )
        .bind(holder)
        .bind(kind)
        .fetch_all(self.sql())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, name, scopes, created_at, expires_at, last_used_at)| Credential {
                id: KeyId::from_uuid(id),
                name,
                scopes,
                created_at: created_at.into(),
                expires_at: expires_at.map(Timestamp::from),
                last_used_at: last_used_at.map(Timestamp::from),
            })
            .collect())
    }
}

impl TenantTx {
    /// Waits for whoever is inside by this credential, or by any of this org; nobody enters until the
    /// commit.
    pub(crate) async fn shut_door(&mut self, of: Uuid) -> Result<()> {
        sqlx::query("SELECT pg_advisory_xact_lock(door($1))").bind(of).execute(self.sql()).await?;
        Ok(())
    }

    pub async fn create_directory(
        &mut self,
        _room: Room<counted::Directories>,
        id: DirectoryId,
        name: &str,
        provider: Option<&str>,
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query("INSERT INTO directories (org_id, dir_id, name, provider, created_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(org)
            .bind(id.uuid())
            .bind(name)
            .bind(provider)
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(())
    }

    /// `room` for an org's own key; what a directory holds is not counted by plans.
    pub async fn create_credential(
        &mut self,
        new: &NewCredential<'_>,
        room: Option<Room<counted::Keys>>,
    ) -> Result<()> {
        if new.holder == Holder::Org && room.is_none() {
            return Err(Error::NoRoom);
        }
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let (kind, holder) = new.holder.columns(self.org());
        sqlx::query(
            "INSERT INTO credentials (org_id, key_id, kind, holder_id, name, digest, scopes, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(org)
        .bind(new.id.uuid())
        .bind(kind)
        .bind(holder)
        .bind(new.name)
        .bind(new.digest.bytes().as_slice())
        .bind(new.scopes)
        .bind(now)
        .bind(new.expires_at.map(OffsetDateTime::from))
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Revokes one of the holder's credentials, and what was fetched with it; false when it has no such
    /// live one.
    pub async fn revoke_credential(&mut self, holder: Holder, id: KeyId) -> Result<bool> {
        let (kind, holder) = holder.columns(self.org());
        let now = OffsetDateTime::from(self.now());
        self.shut_door(id.uuid()).await?;
        let gone = sqlx::query(
            "UPDATE credentials SET revoked_at = $3
              WHERE holder_id = $1 AND key_id = $2 AND kind = $4 AND revoked_at IS NULL",
        )
        .bind(holder)
        .bind(id.uuid())
        .bind(now)
        .bind(kind)
        .execute(self.sql())
        .await?;
        self.end_fetched_with(id).await?;
        Ok(gone.rows_affected() == 1)
    }
}
