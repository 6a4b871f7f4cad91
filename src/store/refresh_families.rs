//! Refresh families: one row a family, whose generation says which token is the live one. The token
//! itself is derived from it (HMAC), so that a lost answer can be given again, and a restart
//! forgets no rotation.

use crate::{Result, TenantTx};
use model::{
    Timestamp, TokenDigest,
    ids::{AppId, ConnectionId, FamilyId, SessionId, UserId},
};
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct FamilyRow {
    pub id: FamilyId,
    pub session: SessionId,
    pub user: UserId,
    pub app: AppId,
    pub scope: String,
    /// What its access tokens are for, where not for the app itself.
    pub resource: Option<String>,
    pub rs: i64,
    pub generation: u32,
    pub successor_used: bool,
    pub rotated_at: Timestamp,
    pub expires_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct StoredFamily {
    fam_id: Uuid,
    ses_id: Uuid,
    user_id: Uuid,
    con_id: Uuid,
    app_id: Uuid,
    scope: String,
    rs: i64,
    generation: i64,
    successor_used: bool,
    rotated_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
    resource: Option<String>,
}

impl TenantTx {
    /// The family, and the code it comes from used up, in one statement.
    pub async fn create_family(&mut self, family: &FamilyRow, code: &TokenDigest) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "WITH used AS (
                 UPDATE codes SET redeemed_at = $11, fam_id = $2 WHERE digest = $12
             )
             INSERT INTO refresh_families (org_id, fam_id, ses_id, user_id, app_id, scope, rs, generation,
                                           rotated_at, expires_at, resource)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $13)",
        )
        .bind(org)
        .bind(family.id.uuid())
        .bind(family.session.uuid())
        .bind(family.user.uuid())
        .bind(family.app.uuid())
        .bind(&family.scope)
        .bind(family.rs)
        .bind(i64::from(family.generation))
        .bind(OffsetDateTime::from(family.rotated_at))
        .bind(OffsetDateTime::from(family.expires_at))
        .bind(now)
        .bind(code.bytes().as_slice())
        .bind(&family.resource)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// The family, locked after its person (FOR SHARE), and the connection its session came by: refreshes
    /// of one family happen one after another.
    pub async fn lock_family(&mut self, id: FamilyId) -> Result<Option<(FamilyRow, ConnectionId)>> {
        let row: Option<StoredFamily> = sqlx::query_as("SELECT * FROM lock_family($1)")
            .bind(id.uuid())
            .fetch_optional(self.sql())
            .await?;
        row.map(|row| {
            let family = FamilyRow {
                id: FamilyId::from_uuid(row.fam_id),
                session: SessionId::from_uuid(row.ses_id),
                user: UserId::from_uuid(row.user_id),
                app: AppId::from_uuid(row.app_id),
                scope: row.scope,
                resource: row.resource,
                rs: row.rs,
                generation: u32::try_from(row.generation).map_err(|_| crate::Error::Corrupt("generation"))?,
                successor_used: row.successor_used,
                rotated_at: row.rotated_at.into(),
                expires_at: row.expires_at.into(),
                ended_at: row.ended_at.map(Timestamp::from),
            };
            Ok((family, ConnectionId::from_uuid(row.con_id)))
        })
        .transpose()
    }

    /// Moves the family on to `next`, whose token has not been used yet.
    pub async fn rotate_family(&mut self, id: FamilyId, next: u32) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query("UPDATE refresh_families SET generation = $2, successor_used = false, rotated_at = $3 WHERE fam_id = $1")
            .bind(id.uuid())
            .bind(i64::from(next))
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(())
    }

    pub async fn end_family(&mut self, id: FamilyId) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query("UPDATE refresh_families SET ended_at = $2 WHERE fam_id = $1 AND ended_at IS NULL")
            .bind(id.uuid())
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(())
    }
}
