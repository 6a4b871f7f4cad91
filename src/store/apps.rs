//! Apps: the platform's own OAuth clients, no customer's data, so outside the enclosure. Which orgs
//! an app serves is in `app_orgs`, or all of them.

use crate::{Db, Door, Operator, OrgScope, Result};
use model::{
    SigningAlg, Timestamp, TokenDigest,
    claims::ExtraClaim,
    ids::{AppId, OrgId},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::types::Json;
use time::OffsetDateTime;
use token::client_keys::ClientKeys;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    None,
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
}

impl AuthMethod {
    pub const ALL: [Self; 4] =
        [Self::None, Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == text)
    }
}

/// The columns of a `StoredApp`.
macro_rules! app_columns {
    () => {
        "app_id, name, audience, redirect_uris, post_logout_redirect_uris, auth_method, secret_digest,
         old_secret_digest, old_secret_until, all_orgs, refresh_grace_secs, initiate_login_uri, backchannel_logout_uri,
         signing_alg, jwks, claims, resources"
    };
}
pub(crate) use app_columns;

#[derive(Clone, Debug)]
pub struct App {
    pub id: AppId,
    pub name: String,
    pub audience: String,
    pub redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub auth_method: AuthMethod,
    pub secret: Option<TokenDigest>,
    /// The one before, and until when it is good too.
    pub old_secret: Option<(TokenDigest, Timestamp)>,
    pub all_orgs: bool,
    pub refresh_grace_secs: i64,
    /// Where the app begins a sign-in by itself (OIDC Core 4).
    pub initiate_login_uri: Option<String>,
    /// Where it is told that a session ended (OpenID Connect Back-Channel Logout 1.0).
    pub backchannel_logout_uri: Option<String>,
    /// Of its access, ID and logout tokens.
    pub signing_alg: SigningAlg,
    /// By which it proves itself, with `private_key_jwt`.
    pub keys: Option<ClientKeys>,
    /// What it has in its access tokens besides.
    pub claims: Vec<ExtraClaim>,
    /// The audiences of other apps for which it may ask for a token (RFC 8707).
    pub resources: Vec<String>,
}

impl App {
    /// Is this one of the secrets that are good now?
    pub fn knows(&self, secret: &TokenDigest, now: Timestamp) -> bool {
        let old = self.old_secret.as_ref().filter(|(_, until)| now < *until).map(|(digest, _)| digest);
        self.secret.as_ref() == Some(secret) || old == Some(secret)
    }
    /// Its keys, as they are now.
    pub fn key_set(&self) -> Option<TokenDigest> {
        let shown = serde_json::to_string(&self.keys.as_ref()?.jwks()).ok()?;
        Some(TokenDigest::of(&shown))
    }
}

/// Which orgs an app serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    All,
    These(Vec<OrgId>),
}

/// What of an app changes; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct AppChange {
    pub name: Option<String>,
    pub redirect_uris: Option<Vec<String>>,
    pub post_logout_redirect_uris: Option<Vec<String>>,
    pub serves: Option<Serves>,
    pub refresh_grace_secs: Option<i64>,
    pub initiate_login_uri: Option<Option<String>>,
    pub backchannel_logout_uri: Option<Option<String>>,
    pub signing_alg: Option<SigningAlg>,
    pub keys: Option<ClientKeys>,
    pub claims: Option<Vec<ExtraClaim>>,
    pub resources: Option<Vec<String>>,
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
    old_secret_digest: Option<Vec<u8>>,
    old_secret_until: Option<OffsetDateTime>,
    all_orgs: bool,
    refresh_grace_secs: i32,
    initiate_login_uri: Option<String>,
    backchannel_logout_uri: Option<String>,
    signing_alg: String,
    jwks: Option<Json<Vec<Map<String, Value>>>>,
    claims: Vec<String>,
    resources: Vec<String>,
}

/// How keys are kept.
pub(crate) fn jwks(keys: Option<&ClientKeys>) -> Option<Json<Vec<Map<String, Value>>>> {
    keys.map(|keys| Json(keys.jwks()))
}

/// The chosen claims, as they are kept.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<ExtraClaim>> {
    let read = |name: &String| ExtraClaim::parse(name).ok_or(crate::Error::Corrupt("extra claim"));
    names.iter().map(read).collect()
}

fn digest(bytes: Vec<u8>) -> Result<TokenDigest> {
    bytes.try_into().map(TokenDigest::from_bytes).map_err(|_| crate::Error::Corrupt("app secret"))
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
            secret: self.secret_digest.map(digest).transpose()?,
            old_secret: match (self.old_secret_digest, self.old_secret_until) {
                (Some(bytes), Some(until)) => Some((digest(bytes)?, until.into())),
                _ => None,
            },
            all_orgs: self.all_orgs,
            refresh_grace_secs: self.refresh_grace_secs.into(),
            initiate_login_uri: self.initiate_login_uri,
            backchannel_logout_uri: self.backchannel_logout_uri,
            signing_alg: SigningAlg::parse(&self.signing_alg).ok_or(crate::Error::Corrupt("signing alg"))?,
            keys: self
                .jwks
                .map(|Json(keys)| ClientKeys::read(&keys).map_err(|_| crate::Error::Corrupt("app keys")))
                .transpose()?,
            claims: chosen(&self.claims)?,
            resources: self.resources,
        })
    }
}

impl Db {
    pub async fn app(&self, id: AppId) -> Result<Option<App>> {
        let row: Option<StoredApp> = sqlx::query_as(concat!(
            "SELECT ",
            crate::apps::app_columns!(),
            "
               FROM apps
              WHERE app_id = $1"
        ))
        .bind(id.uuid())
        .fetch_optional(&self.pool)
        .await?;
        row.map(StoredApp::app).transpose()
    }

    pub async fn apps(&self, _by: Operator, after: Option<AppId>, limit: i64) -> Result<Vec<App>> {
        let rows: Vec<StoredApp> = sqlx::query_as(concat!(
            "SELECT ",
            crate::apps::app_columns!(),
            "
               FROM apps
              WHERE $1::uuid IS NULL OR app_id > $1
              ORDER BY app_id
              LIMIT $2"
        ))
        .bind(after.map(|id| id.uuid()))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(StoredApp::app).collect()
    }

    /// Remembers a client assertion's `jti`, until then; false when this app has used it before. One that is
    /// shown on two nodes at once is used on one.
    pub async fn first_assertion(&self, app: AppId, jti: &TokenDigest, until: Timestamp) -> Result<bool> {
        let kept = sqlx::query(
            "INSERT INTO app_assertions (app_id, digest, until)
             VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(app.uuid())
        .bind(jti.bytes().as_slice())
        .bind(OffsetDateTime::from(until))
        .execute(&self.pool)
        .await?;
        Ok(kept.rows_affected() == 1)
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
        let rows: Vec<StoredApp> = sqlx::query_as(concat!(
            "SELECT ",
            crate::apps::app_columns!(),
            "
               FROM apps a
              WHERE initiate_login_uri IS NOT NULL
                AND (all_orgs
                     OR EXISTS (SELECT 1 FROM app_orgs o WHERE o.app_id = a.app_id AND o.org_id = $1))
              ORDER BY name, app_id
              LIMIT 50"
        ))
        .bind(scope.org().uuid())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(StoredApp::app).collect()
    }

    /// Which orgs an app serves, by its row and its list.
    pub async fn serves(&self, _by: Operator, app: &App) -> Result<Serves> {
        self.serves_of(app).await
    }

    pub(crate) async fn serves_of(&self, app: &App) -> Result<Serves> {
        if app.all_orgs {
            return Ok(Serves::All);
        }
        let orgs: Vec<Uuid> =
            sqlx::query_scalar("SELECT org_id FROM app_orgs WHERE app_id = $1 ORDER BY org_id")
                .bind(app.id.uuid())
                .fetch_all(&self.pool)
                .await?;
        Ok(Serves::These(orgs.into_iter().map(OrgId::from_uuid).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_secret_is_good_until_its_second_and_the_new_one_after_it() {
        let (old, new) = (TokenDigest::of("old"), TokenDigest::of("new"));
        let end = Timestamp::from_secs(1_000);
        let app = App {
            id: AppId::from_uuid(Uuid::nil()),
            name: String::new(),
            audience: String::new(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            auth_method: AuthMethod::ClientSecretBasic,
            secret: Some(new),
            old_secret: Some((old, end)),
            all_orgs: true,
            refresh_grace_secs: 0,
            initiate_login_uri: None,
            backchannel_logout_uri: None,
            signing_alg: SigningAlg::Es256,
            keys: None,
            claims: Vec::new(),
            resources: Vec::new(),
        };
        assert!(app.knows(&old, end.plus_secs(-1)) && !app.knows(&old, end));
        assert!(app.knows(&new, end.plus_secs(-1)) && app.knows(&new, end));
        assert!(!app.knows(&TokenDigest::of("other"), end.plus_secs(-1)));
    }
}
