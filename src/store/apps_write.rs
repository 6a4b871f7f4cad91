//! What makes, changes and ends an app, each with the platform's own record of it in one commit. An app
//! that is gone is no client: its codes, refresh tokens and access tokens have nobody to answer to.

use crate::{
    AppChange, Changed, Db, NewApp, PlatformAct, Result, Serves,
    apps::jwks,
    apps_left::{leave, lock_app, may_serve},
    platform_record::note,
};
use model::{
    SigningAlg, Timestamp, TokenDigest,
    claims::ExtraClaim,
    ids::{AppId, OrgId},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

impl Db {
    pub async fn create_app(&self, act: PlatformAct<'_>, new: &NewApp<'_>) -> Result<()> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        let app = new.app;
        sqlx::query(
            "INSERT INTO apps (app_id, name, audience, redirect_uris, post_logout_redirect_uris, auth_method,
                               secret_digest, all_orgs, refresh_grace_secs, created_at, initiate_login_uri,
                               backchannel_logout_uri, signing_alg, jwks, claims, resources)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(app.id.uuid())
        .bind(&app.name)
        .bind(&app.audience)
        .bind(&app.redirect_uris)
        .bind(&app.post_logout_redirect_uris)
        .bind(app.auth_method.as_str())
        .bind(app.secret.as_ref().map(|d| d.bytes().as_slice()))
        .bind(app.all_orgs)
        .bind(i32::try_from(app.refresh_grace_secs).unwrap_or(0))
        .bind(OffsetDateTime::from(act.at))
        .bind(&app.initiate_login_uri)
        .bind(&app.backchannel_logout_uri)
        .bind(app.signing_alg.as_str())
        .bind(jwks(app.keys.as_ref()))
        .bind(names(&app.claims))
        .bind(&app.resources)
        .execute(&mut *tx)
        .await?;
        insert_orgs(&mut tx, app.id, new.orgs).await?;
        note(&mut tx, self.chance.as_ref(), act, "app.created", &app.id.to_string()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What it leaves is noted in the same commit, for `broker::revoke::left`.
    pub async fn change_app(&self, act: PlatformAct<'_>, id: AppId, change: &AppChange) -> Result<Changed> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        let Some(all_orgs) = lock_app(&mut tx, id).await? else { return Ok(Changed::Missing) };
        if let Some(serves) = &change.serves {
            if !may_serve(&mut tx, id, serves).await? {
                return Ok(Changed::Leaving);
            }
            leave(&mut tx, (id, all_orgs), serves, act.at).await?;
        }
        let grace = change.refresh_grace_secs.map(|secs| i32::try_from(secs).unwrap_or(0));
        sqlx::query(
            "UPDATE apps
                SET name = COALESCE($2, name),
                    redirect_uris = COALESCE($3, redirect_uris),
                    post_logout_redirect_uris = COALESCE($4, post_logout_redirect_uris),
                    all_orgs = COALESCE($5, all_orgs),
                    refresh_grace_secs = COALESCE($6, refresh_grace_secs),
                    initiate_login_uri = CASE WHEN $7 THEN $8 ELSE initiate_login_uri END,
                    backchannel_logout_uri = CASE WHEN $9 THEN $10 ELSE backchannel_logout_uri END,
                    signing_alg = COALESCE($11, signing_alg),
                    jwks = COALESCE($12, jwks),
                    claims = COALESCE($13, claims),
                    resources = COALESCE($14, resources)
              WHERE app_id = $1",
        )
        .bind(id.uuid())
        .bind(&change.name)
        .bind(&change.redirect_uris)
        .bind(&change.post_logout_redirect_uris)
        .bind(change.serves.as_ref().map(|serves| *serves == Serves::All))
        .bind(grace)
        .bind(change.initiate_login_uri.is_some())
        .bind(change.initiate_login_uri.clone().flatten())
        .bind(change.backchannel_logout_uri.is_some())
        .bind(change.backchannel_logout_uri.clone().flatten())
        .bind(change.signing_alg.map(SigningAlg::as_str))
        .bind(jwks(change.keys.as_ref()))
        .bind(change.claims.as_deref().map(names))
        .bind(&change.resources)
        .execute(&mut *tx)
        .await?;
        if let Some(serves) = &change.serves {
            sqlx::query("DELETE FROM app_orgs WHERE app_id = $1").bind(id.uuid()).execute(&mut *tx).await?;
            match serves {
                Serves::All => {}
                Serves::These(orgs) => insert_orgs(&mut tx, id, orgs).await?,
            }
        }
        note(&mut tx, self.chance.as_ref(), act, "app.changed", &id.to_string()).await?;
        tx.commit().await?;
        Ok(Changed::Done)
    }

    /// The secret becomes the old one, good until `old_until`; an older one ends now. False when there is
    /// no such app, or it has no secret.
    pub async fn rotate_app_secret(
        &self,
        act: PlatformAct<'_>,
        id: AppId,
        secret: &TokenDigest,
        old_until: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        let rotated = sqlx::query(
            "UPDATE apps
                SET old_secret_digest = secret_digest, old_secret_until = $3, secret_digest = $2
              WHERE app_id = $1
                AND secret_digest IS NOT NULL",
        )
        .bind(id.uuid())
        .bind(secret.bytes().as_slice())
        .bind(OffsetDateTime::from(old_until))
        .execute(&mut *tx)
        .await?;
        if rotated.rows_affected() == 0 {
            return Ok(false);
        }
        note(&mut tx, self.chance.as_ref(), act, "app.secret_rotated", &id.to_string()).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends the old secret now. False when there is no such app, or it has no secret.
    pub async fn retire_app_secret(&self, act: PlatformAct<'_>, id: AppId) -> Result<bool> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        let retired = sqlx::query(
            "UPDATE apps
                SET old_secret_digest = NULL, old_secret_until = NULL
              WHERE app_id = $1
                AND secret_digest IS NOT NULL",
        )
        .bind(id.uuid())
        .execute(&mut *tx)
        .await?;
        if retired.rows_affected() == 0 {
            return Ok(false);
        }
        note(&mut tx, self.chance.as_ref(), act, "app.old_secret_retired", &id.to_string()).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// It leaves every org. False when there is no such app.
    pub async fn delete_app(&self, act: PlatformAct<'_>, id: AppId) -> Result<bool> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        let Some(all_orgs) = lock_app(&mut tx, id).await? else { return Ok(false) };
        leave(&mut tx, (id, all_orgs), &Serves::These(Vec::new()), act.at).await?;
        sqlx::query("DELETE FROM apps WHERE app_id = $1").bind(id.uuid()).execute(&mut *tx).await?;
        note(&mut tx, self.chance.as_ref(), act, "app.deleted", &id.to_string()).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn names(claims: &[ExtraClaim]) -> Vec<&'static str> {
    claims.iter().map(|claim| claim.as_str()).collect()
}

async fn insert_orgs(sql: &mut PgConnection, app: AppId, orgs: &[OrgId]) -> Result<()> {
    let orgs: Vec<Uuid> = orgs.iter().map(|org| org.uuid()).collect();
    sqlx::query("INSERT INTO app_orgs (app_id, org_id) SELECT $1, UNNEST($2::uuid[])")
        .bind(app.uuid())
        .bind(orgs)
        .execute(sql)
        .await?;
    Ok(())
}
