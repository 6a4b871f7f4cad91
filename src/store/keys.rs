//! The platform's own secrets, sealed at rest: signing keys, the refresh key; and platform keys.

use crate::{Db, Error, Result};
use model::{Secret, Timestamp, TokenDigest, ids::KeyId};
use time::OffsetDateTime;

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
        id: KeyId,
        name: &str,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO platform_keys (key_id, name, digest, created_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(id.uuid())
        .bind(name)
        .bind(digest.bytes().as_slice())
        .bind(OffsetDateTime::from(now))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
