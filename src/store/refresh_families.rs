//! Refresh families: one row a family, whose generation says which token is the live one. The token
//! itself is derived from it (HMAC), so that a lost answer can be given again, and a restart
//! forgets no rotation.

use crate::{
    Db, Door, Error, MintRow, OrgScope, Result, SignIn, Subject, TenantTx,
    glance::entering,
    sessions::{StoredMint, minted, minting},
    tx::Kept,
};
use model::{
    Timestamp, TokenDigest,
    claims::ExtraClaim,
    ids::{AppId, ConnectionId, FamilyId, SessionId, UserId},
};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

/// How often the use of a pass is noted at most, in seconds.
pub const TOUCHED_SECS: i64 = 60;

#[derive(Clone, Debug)]
pub struct FamilyRow {
    pub id: FamilyId,
    pub session: SessionId,
    pub user: UserId,
    pub app: AppId,
    pub scope: String,
    /// What its access tokens are for, where not for the app itself.
    pub resource: Option<String>,
    /// The sign-in that it comes from; none in families from before this was kept.
    pub said: Option<SignIn>,
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
    rotated_micros: i64,
    expires_micros: i64,
    ended_micros: Option<i64>,
    resource: Option<String>,
    said: Option<Json<SignIn>>,
}

impl StoredFamily {
    fn family(self) -> Result<(FamilyRow, ConnectionId)> {
        let family = FamilyRow {
            id: FamilyId::from_uuid(self.fam_id),
            session: SessionId::from_uuid(self.ses_id),
            user: UserId::from_uuid(self.user_id),
            app: AppId::from_uuid(self.app_id),
            scope: self.scope,
            resource: self.resource,
            rs: self.rs,
            generation: u32::try_from(self.generation).map_err(|_| Error::Corrupt("generation"))?,
            successor_used: self.successor_used,
            said: self.said.map(|said| said.0),
            rotated_at: Timestamp::from_micros(self.rotated_micros),
            expires_at: Timestamp::from_micros(self.expires_micros),
            ended_at: self.ended_micros.map(Timestamp::from_micros),
        };
        Ok((family, ConnectionId::from_uuid(self.con_id)))
    }
}

/// What a pass is judged by, of one instant.
#[derive(Clone, Debug)]
pub struct PassRow {
    pub app: AppId,
    /// The family's own stamp.
    pub rs: i64,
    pub used_at: Timestamp,
    pub expires_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub minted: MintRow,
}

#[derive(sqlx::FromRow)]
struct StoredPass {
    app_id: Uuid,
    born: i64,
    used_at: OffsetDateTime,
    ends_at: OffsetDateTime,
    over_at: Option<OffsetDateTime>,
    #[sqlx(flatten)]
    minted: StoredMint,
}

impl From<StoredPass> for PassRow {
    fn from(row: StoredPass) -> Self {
        Self {
            app: AppId::from_uuid(row.app_id),
            rs: row.born,
            used_at: row.used_at.into(),
            expires_at: row.ends_at.into(),
            ended_at: row.over_at.map(Timestamp::from),
            minted: row.minted.into(),
        }
    }
}

impl Db {
    /// The family that a pass names, and its session's row as of `mint_row`, whose other values these are: in one
    /// trip, without a lock.
    pub async fn pass_row(
        &self,
        scope: &OrgScope<Subject>,
        family: FamilyId,
        named: &[String],
        absolute_secs: i64,
    ) -> Result<Option<PassRow>> {
        let _turn = self.turn(scope, Kept::Nothing).await?;
        let glance = sqlx::query_as(
            "SELECT app_id, born, used_at, ends_at, over_at, (minted).*
               FROM glance_pass($1, $2, $3, $4, $5, $6)",
        );
        let row: Option<StoredPass> = entering(glance, scope)
            .bind(family.uuid())
            .bind(named.to_vec())
            .bind(absolute_secs)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(PassRow::from))
    }

    /// A writing transaction and the family in it, locked after its person (FOR SHARE), with the connection its
    /// session came by: refreshes of one family happen one after another.
    pub async fn write_to_family<D: Door>(
        &self,
        scope: &OrgScope<D>,
        name: &'static str,
        id: FamilyId,
    ) -> Result<(TenantTx, Option<(FamilyRow, ConnectionId)>)> {
        let question = format!(
            "SELECT *, micros(rotated_at) AS rotated_micros, micros(expires_at) AS expires_micros,
                    micros(ended_at) AS ended_micros
               FROM lock_family('{}')",
            id.uuid()
        );
        let (tx, row) = self.write_asking::<_, StoredFamily>(scope, name, &question).await?;
        Ok((tx, row.map(StoredFamily::family).transpose()?))
    }
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
                                           rotated_at, expires_at, resource, said)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $13, $14)",
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
        .bind(family.said.as_ref().map(Json))
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Moves the locked family on to `next`, whose token has not been used yet, and reads what its tokens are
    /// minted from. A refusal that follows drops the transaction, and the family stays as it was. Nothing waits
    /// in this statement, so what it reads is of one instant, as of `mint_row`, whose other values these are.
    pub async fn rotate_family(
        &mut self,
        (family, next): (&FamilyRow, u32),
        named: &[String],
        absolute_secs: i64,
        chosen: &[ExtraClaim],
    ) -> Result<Option<MintRow>> {
        let now = OffsetDateTime::from(self.now());
        let row = minting(
            concat!(
                "WITH rotated AS (
                     UPDATE refresh_families
                        SET generation = $7, successor_used = false, rotated_at = $8
                      WHERE fam_id = $6
                 ) ",
                minted!()
            ),
            family.session,
            (named, absolute_secs, chosen),
        );
        let row = row.bind(family.id.uuid()).bind(i64::from(next)).bind(now);
        Ok(row.fetch_optional(self.sql()).await?.map(MintRow::from))
    }

    /// Notes that a pass of it was used: its idle time begins anew. At most one write in `grain` seconds, so it ends
    /// up to so much early.
    pub async fn touch_family(&mut self, id: FamilyId, grain: i64) -> Result<()> {
        let now = self.now();
        sqlx::query(
            "UPDATE refresh_families
                SET rotated_at = $2
              WHERE fam_id = $1
                AND rotated_at < $3
                AND ended_at IS NULL",
        )
        .bind(id.uuid())
        .bind(OffsetDateTime::from(now))
        .bind(OffsetDateTime::from(now.minus_secs(grain)))
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
