//! The platform's own secrets, sealed at rest: the refresh key; and platform keys.

use crate::{Db, Error, PlatformAct, PlatformActor, Result, platform_record::note};
use model::{Secret, Timestamp, TokenDigest, ids::KeyId};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

impl Db {
    /// The named secret; made by `birth` and kept if there is none yet. Two processes that start at
    /// once agree: the first row wins and both read it.
    pub async fn platform_secret(
        &self,
        name: &str,
        now: Timestamp,
        birth: impl FnOnce() -> Secret<Vec<u8>>,
    ) -> Result<Secret<Vec<u8>>> {
        if let Some(found) = self.read_secret(name).await? {
            return Ok(found);
        }
        let sealed =
            self.seals.seal("platform.secret", name.as_bytes(), birth().reveal(), self.chance.as_ref())?;
        sqlx::query(
            "INSERT INTO platform_secrets (name, sealed, created_at)
             VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(sealed)
        .bind(OffsetDateTime::from(now))
        .execute(&self.pool)
        .await?;
        self.read_secret(name).await?.ok_or(Error::Corrupt("platform secret"))
    }

    /// A secret that somebody has made before.
    pub async fn platform_secret_if_any(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>> {
        self.read_secret(name).await
    }

    async fn read_secret(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>> {
        let sealed: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT sealed FROM platform_secrets WHERE name = $1")
                .bind(name)
                .fetch_optional(&self.pool)
                .await?;
        sealed
            .map(|blob| {
                self.seals.open("platform.secret", name.as_bytes(), &blob).map_err(|_| Error::SealedByAnother)
            })
            .transpose()
    }

    /// Keeps the digest of a new platform key.
    pub async fn create_platform_key(
        &self,
        act: PlatformAct<'_>,
        id: KeyId,
        name: &str,
        digest: &TokenDigest,
    ) -> Result<()> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        sqlx::query(
            "INSERT INTO platform_keys (key_id, name, digest, created_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(id.uuid())
        .bind(name)
        .bind(digest.bytes().as_slice())
        .bind(OffsetDateTime::from(act.at))
        .execute(&mut *tx)
        .await?;
        note(&mut tx, self.chance.as_ref(), act, "platform_key.created", &id.to_string()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The platform's keys in the order of their birth, revoked ones among them.
    pub async fn platform_keys(
        &self,
        _by: PlatformActor,
        after: Option<KeyId>,
        limit: i64,
    ) -> Result<Vec<PlatformKey>> {
        let rows: Vec<(Uuid, String, OffsetDateTime, Option<OffsetDateTime>)> = sqlx::query_as(
            "SELECT key_id, name, created_at, revoked_at
               FROM platform_keys
              WHERE $1::uuid IS NULL OR key_id > $1
              ORDER BY key_id
              LIMIT $2",
        )
        .bind(after.map(|id| id.uuid()))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let key =
            |(id, name, created_at, revoked_at): (Uuid, String, OffsetDateTime, Option<_>)| PlatformKey {
                id: KeyId::from_uuid(id),
                name,
                created_at: created_at.into(),
                revoked_at: revoked_at.map(Timestamp::from),
            };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Revokes a living platform key; the last one as `last` says.
    pub async fn revoke_platform_key(
        &self,
        act: PlatformAct<'_>,
        id: KeyId,
        last: LastKey,
    ) -> Result<KeyEnd> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        // Locked, so that two keys which end each other do not both go.
        let living: Vec<Uuid> = sqlx::query_scalar(
            "SELECT key_id FROM platform_keys WHERE revoked_at IS NULL ORDER BY key_id FOR UPDATE",
        )
        .fetch_all(&mut *tx)
        .await?;
        if !living.contains(&id.uuid()) {
            return Ok(KeyEnd::Unknown);
        }
        let left = living.len().saturating_sub(1);
        match last {
            LastKey::Kept if left == 0 => return Ok(KeyEnd::Last),
            LastKey::Kept | LastKey::Revoked => {}
        }
        sqlx::query("UPDATE platform_keys SET revoked_at = $2 WHERE key_id = $1")
            .bind(id.uuid())
            .bind(OffsetDateTime::from(act.at))
            .execute(&mut *tx)
            .await?;
        note(&mut tx, self.chance.as_ref(), act, "platform_key.revoked", &id.to_string()).await?;
        tx.commit().await?;
        Ok(KeyEnd::Revoked { left })
    }
}

/// A platform key as it is listed: never its digest.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PlatformKey {
    pub id: KeyId,
    pub name: String,
    pub created_at: Timestamp,
    /// `null` while it is good.
    pub revoked_at: Option<Timestamp>,
}

/// What becomes of a platform key when no other lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastKey {
    Kept,
    Revoked,
}

/// What came of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEnd {
    /// So many others live.
    Revoked { left: usize },
    /// There is no such key, or it is revoked already.
    Unknown,
    /// No other key lives.
    Last,
}
