//! Apps: the platform's own OAuth clients, no customer's data, so outside the enclosure. Which orgs
//! an app serves is in `app_orgs`, or all of them.

use crate::{Db, Door, Operator, OrgScope, Result};
use model::{
    Timestamp, TokenDigest,
    ids::{AppId, EventId, OrgId},
};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    None,
    ClientSecretBasic,
    ClientSecretPost,
}

impl AuthMethod {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::ClientSecretBasic, Self::ClientSecretPost].into_iter().find(|m| m.as_str() == text)
    }
}

#[derive(Clone, Debug)]
pub struct App {
    pub id: AppId,
    pub name: String,
    pub audience: String,
    pub redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub auth_method: AuthMethod,
    pub secret: Option<TokenDigest>,
    pub all_orgs: bool,
    pub refresh_grace_secs: i64,
    /// Where the app begins a sign-in by itself (OIDC Core 4).
    pub initiate_login_uri: Option<String>,
}

pub struct NewApp<'a> {
    pub app: &'a App,
    pub orgs: &'a [OrgId],
}

#[derive(sqlx::FromRow)]
pub(crate) struct StoredApp {
    app_id: Uuid,
    name: String,
    audience: String,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    auth_method: String,
    secret_digest: Option<Vec<u8>>,
    all_orgs: bool,
    refresh_grace_secs: i32,
    initiate_login_uri: Option<String>,
}

impl StoredApp {
    pub(crate) fn app(self) -> Result<App> {
        Ok(App {
            id: AppId::from_uuid(self.app_id),
            name: self.name,
            audience: self.audience,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            auth_method: AuthMethod::parse(&self.auth_method).ok_or(crate::Error::Corrupt("auth method"))?,
            secret: self
                .secret_digest
                .map(|bytes| bytes.try_into().map(TokenDigest::from_bytes))
                .transpose()
                .map_err(|_| crate::Error::Corrupt("app secret"))?,
            all_orgs: self.all_orgs,
            refresh_grace_secs: self.refresh_grace_secs.into(),
            initiate_login_uri: self.initiate_login_uri,
        })
    }
}

impl Db {
    pub async fn app(&self, id: AppId) -> Result<Option<App>> {
        let row: Option<StoredApp> = sqlx::query_as(
            "SELECT app_id, name, audience, redirect_uris, post_logout_redirect_uris, auth_method,
                    secret_digest, all_orgs, refresh_grace_secs, initiate_login_uri
               FROM apps
              WHERE app_id = $1",
        )
        .bind(id.uuid())
        .fetch_optional(&self.pool)
        .await?;
        row.map(StoredApp::app).transpose()
    }

    pub async fn apps(&self, _by: Operator, after: Option<AppId>, limit: i64) -> Result<Vec<App>> {
        let rows: Vec<StoredApp> = sqlx::query_as(
            "SELECT app_id, name, audience, redirect_uris, post_logout_redirect_uris, auth_method,
                    secret_digest, all_orgs, refresh_grace_secs, initiate_login_uri
               FROM apps
              WHERE $1::uuid IS NULL OR app_id > $1
              ORDER BY app_id
              LIMIT $2",
        )
        .bind(after.map(|id| id.uuid()))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(StoredApp::app).collect()
    }

    pub async fn app_serves(&self, app: &App, org: OrgId) -> Result<bool> {
        if app.all_orgs {
            return Ok(true);
        }
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM app_orgs WHERE app_id = $1 AND org_id = $2)")
            .bind(app.id.uuid())
            .bind(org.uuid())
            .fetch_one(&self.pool)
            .await?)
    }

    /// The apps of an org that can begin a sign-in by themselves, by name.
    pub async fn starting_points<D: Door>(&self, scope: &OrgScope<D>) -> Result<Vec<App>> {
        let rows: Vec<StoredApp> = sqlx::query_as(
            "SELECT app_id, name, audience, redirect_uris, post_logout_redirect_uris, auth_method,
                    secret_digest, all_orgs, refresh_grace_secs, initiate_login_uri
               FROM apps a
              WHERE initiate_login_uri IS NOT NULL
                AND (all_orgs
                     OR EXISTS (SELECT 1 FROM app_orgs o WHERE o.app_id = a.app_id AND o.org_id = $1))
              ORDER BY name, app_id
              LIMIT 50",
        )
        .bind(scope.org().uuid())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(StoredApp::app).collect()
    }

    /// Creates an app and writes the platform's own record of it, in one commit.
    pub async fn create_app(
        &self,
        by: Operator,
        new: &NewApp<'_>,
        request_id: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin("BEGIN".to_owned()).await?;
        let app = new.app;
        sqlx::query(
            "INSERT INTO apps (app_id, name, audience, redirect_uris, post_logout_redirect_uris, auth_method,
                               secret_digest, all_orgs, refresh_grace_secs, created_at, initiate_login_uri)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
        .bind(OffsetDateTime::from(now))
        .bind(&app.initiate_login_uri)
        .execute(&mut *tx)
        .await?;
        for org in new.orgs {
            sqlx::query("INSERT INTO app_orgs (app_id, org_id) VALUES ($1, $2)")
                .bind(app.id.uuid())
                .bind(org.uuid())
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "INSERT INTO platform_events (evt_id, at, actor, action, target, request_id)
             VALUES ($1, $2, $3, 'app.created', $4, $5)",
        )
        .bind(EventId::new(now, self.chance.as_ref()).uuid())
        .bind(OffsetDateTime::from(now))
        .bind(by.key.to_string())
        .bind(app.id.to_string())
        .bind(request_id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}
