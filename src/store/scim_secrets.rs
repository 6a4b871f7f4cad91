//! What a directory fetches its own access tokens with: the secrets of its OAuth client, and the tokens,
//! which end with the secret that fetched them. And when any credential was last used.

use crate::{Result, TenantTx};
use model::{
    Timestamp, TokenDigest,
    ids::{DirectoryId, KeyId},
};
use time::OffsetDateTime;
use uuid::Uuid;

pub struct NewScimAccess<'a> {
    pub id: KeyId,
    pub holder: DirectoryId,
    /// The secret it was fetched with.
    pub parent: KeyId,
    pub digest: &'a TokenDigest,
    pub scopes: &'a [String],
    pub expires_at: Timestamp,
}

impl TenantTx {
    /// Keeps a fetched token; of those that this secret fetched, the newest `most` live on.
    pub async fn create_scim_access(&mut self, new: &NewScimAccess<'_>, most: i64) -> Result<Timestamp> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let ends: OffsetDateTime = sqlx::query_scalar(
            "WITH ended AS (
                 UPDATE credentials
                    SET revoked_at = $8
                  WHERE key_id IN (SELECT key_id FROM credentials
                                    WHERE parent_id = $4 AND revoked_at IS NULL AND expires_at > $8
                                    ORDER BY key_id DESC
                                   OFFSET $9)
             )
             INSERT INTO credentials (org_id, key_id, kind, holder_id, parent_id, name, digest, scopes, created_at,
                                      expires_at)
             VALUES ($1, $2, 'scim_access', $3, $4, 'fetched', $5, $6, $8,
                     LEAST($7, (SELECT expires_at FROM credentials WHERE key_id = $4)))
             RETURNING expires_at",
        )
        .bind(org)
        .bind(new.id.uuid())
        .bind(new.holder.uuid())
        .bind(new.parent.uuid())
        .bind(new.digest.bytes().as_slice())
        .bind(new.scopes)
        .bind(OffsetDateTime::from(new.expires_at))
        .bind(now)
        .bind(most.saturating_sub(1))
        .fetch_one(self.sql())
        .await?;
        Ok(ends.into())
    }

    /// Ends what this secret fetched. The secret's door is shut before: whoever is inside by a token of its, one that
    /// another has replaced too, holds that door.
    pub(crate) async fn end_fetched_with(&mut self, parent: KeyId) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query("UPDATE credentials SET revoked_at = $2 WHERE parent_id = $1 AND revoked_at IS NULL")
            .bind(parent.uuid())
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(())
    }

    /// Notes the last use of each; what is revoked meanwhile keeps it, too.
    pub async fn note_uses(&mut self, uses: &[(KeyId, Timestamp)]) -> Result<()> {
        let keys: Vec<Uuid> = uses.iter().map(|(key, _)| key.uuid()).collect();
        let at: Vec<OffsetDateTime> = uses.iter().map(|(_, at)| OffsetDateTime::from(*at)).collect();
        sqlx::query(
            "UPDATE credentials c
                SET last_used_at = u.at
               FROM UNNEST($1::uuid[], $2::timestamptz[]) AS u(key_id, at)
              WHERE c.key_id = u.key_id
                AND (c.last_used_at IS NULL OR c.last_used_at < u.at)",
        )
        .bind(keys)
        .bind(at)
        .execute(self.sql())
        .await?;
        Ok(())
    }
}
