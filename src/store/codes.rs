//! One-time codes: what a sign-in leaves for the app that sent the browser here. The session is another
//! room's (`sessions`), which makes the first code of a session with it.

use crate::{AppClient, Db, OrgScope, Result, SignIn, TenantTx};
use model::{
    Timestamp, TokenDigest,
    ids::{AppId, ConnectionId, FamilyId, SessionId, UserId},
};
use sqlx::types::Json;
use std::fmt::Write;
use time::OffsetDateTime;
use uuid::Uuid;

pub struct NewCode<'a> {
    pub digest: &'a TokenDigest,
    pub session: SessionId,
    pub user: UserId,
    pub app: AppId,
    pub redirect_uri: &'a str,
    pub code_challenge: &'a str,
    pub nonce: Option<&'a str>,
    pub scope: &'a str,
    /// What the app's access tokens are for, where not for itself.
    pub resource: Option<&'a str>,
    /// The sign-in that it comes from.
    pub said: SignIn,
    pub rs: i64,
    pub expires_at: Timestamp,
}

/// A code, locked for the one who redeems it.
#[derive(Clone, Debug)]
pub struct CodeRow {
    pub session: SessionId,
    pub user: UserId,
    pub connection: ConnectionId,
    pub app: AppId,
    pub redirect_uri: String,
    pub code_challenge: String,
    pub nonce: Option<String>,
    pub scope: String,
    pub resource: Option<String>,
    /// The sign-in that it comes from; none in codes from before this was kept.
    pub said: Option<SignIn>,
    pub rs: i64,
    pub expires_at: Timestamp,
    pub redeemed_at: Option<Timestamp>,
    pub family: Option<FamilyId>,
}

#[derive(sqlx::FromRow)]
struct StoredCode {
    ses_id: Uuid,
    user_id: Uuid,
    con_id: Uuid,
    app_id: Uuid,
    redirect_uri: String,
    code_challenge: String,
    nonce: Option<String>,
    scope: String,
    rs: i64,
    expires_micros: i64,
    redeemed_micros: Option<i64>,
    fam_id: Option<Uuid>,
    resource: Option<String>,
    said: Option<Json<SignIn>>,
}

impl StoredCode {
    fn code(self) -> CodeRow {
        CodeRow {
            session: SessionId::from_uuid(self.ses_id),
            user: UserId::from_uuid(self.user_id),
            connection: ConnectionId::from_uuid(self.con_id),
            app: AppId::from_uuid(self.app_id),
            redirect_uri: self.redirect_uri,
            code_challenge: self.code_challenge,
            nonce: self.nonce,
            scope: self.scope,
            resource: self.resource,
            said: self.said.map(|said| said.0),
            rs: self.rs,
            expires_at: Timestamp::from_micros(self.expires_micros),
            redeemed_at: self.redeemed_micros.map(Timestamp::from_micros),
            family: self.fam_id.map(FamilyId::from_uuid),
        }
    }
}

impl Db {
    /// A writing transaction and the code in it, locked after its person (FOR SHARE): of any number of redeemers
    /// one goes first and the others then see it redeemed.
    pub async fn write_to_code(
        &self,
        scope: &OrgScope<AppClient>,
        name: &'static str,
        digest: &TokenDigest,
    ) -> Result<(TenantTx, Option<CodeRow>)> {
        let mut hex = String::with_capacity(64);
        for byte in digest.bytes() {
            let _ = write!(hex, "{byte:02x}");
        }
        let question = format!(
            "SELECT *, micros(expires_at) AS expires_micros, micros(redeemed_at) AS redeemed_micros
               FROM lock_code('\\x{hex}')"
        );
        let (tx, row) = self.write_asking::<_, StoredCode>(scope, name, &question).await?;
        Ok((tx, row.map(StoredCode::code)))
    }
}

impl TenantTx {
    pub async fn create_code(&mut self, new: &NewCode<'_>) -> Result<()> {
        let org = self.org().uuid();
        sqlx::query(
            "INSERT INTO codes (org_id, digest, ses_id, user_id, app_id, redirect_uri, code_challenge, nonce, scope,
                                rs, expires_at, resource, said)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(org)
        .bind(new.digest.bytes().as_slice())
        .bind(new.session.uuid())
        .bind(new.user.uuid())
        .bind(new.app.uuid())
        .bind(new.redirect_uri)
        .bind(new.code_challenge)
        .bind(new.nonce)
        .bind(new.scope)
        .bind(new.rs)
        .bind(OffsetDateTime::from(new.expires_at))
        .bind(new.resource)
        .bind(Json(&new.said))
        .execute(self.sql())
        .await?;
        Ok(())
    }
}
