//! Apps: the platform's OAuth clients. A secret is shown once; a redirect URI is checked here, because
//! at sign-in it is only compared, byte for byte.

use crate::{
    FlowError, Gateway,
    administer::{Loopback, Page, name_of, web_url},
};
use model::{
    Secret, TokenDigest,
    ids::{self, AppId, OrgId},
};
use serde::Deserialize;
use store::{App, AuthMethod, Call, NewApp as Row, Operator};
use token::credential::{UnboundKind, bearer};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    pub name: String,
    pub redirect_uris: Vec<String>,
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    pub orgs: Option<Served>,
    pub audience: Option<String>,
    pub token_endpoint_auth_method: Option<String>,
    pub refresh_grace_secs: Option<i64>,
    pub initiate_login_uri: Option<String>,
}

/// `"all"`, or a list of org ids.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Served {
    Word(String),
    Orgs(Vec<OrgId>),
}

const URIS_MAX: usize = 50;
const SERVED_MAX: usize = 10_000;
/// How long an answer that was lost may be asked for again.
const GRACE_SECS: std::ops::RangeInclusive<i64> = 0..=60;
const CONFIDENTIAL_GRACE_SECS: i64 = 10;

/// Makes an app. Errors: `api.url_refused`, `app.redirect_uris`, `app.orgs`, `app.auth_method`,
/// `app.refresh_grace`, `api.name_malformed`.
pub async fn create(
    gw: &Gateway,
    by: Operator,
    body: NewApp,
    call: &Call,
) -> Result<(App, Option<Secret<String>>), FlowError> {
    let (all_orgs, orgs) = match body.orgs {
        None => (true, Vec::new()),
        Some(Served::Word(word)) if word == "all" => (true, Vec::new()),
        Some(Served::Orgs(orgs)) if orgs.len() <= SERVED_MAX => (false, orgs),
        Some(Served::Word(_) | Served::Orgs(_)) => return Err(orgs_wrong()),
    };
    uris("redirect_uris", &body.redirect_uris)?;
    uris("post_logout_redirect_uris", &body.post_logout_redirect_uris)?;
    if let Some(uri) = &body.initiate_login_uri {
        web_url("initiate_login_uri", uri, Loopback::Allowed)?;
    }
    if body.redirect_uris.is_empty() {
        return Err(FlowError::invalid("app.redirect_uris", "redirect_uris", "one at least"));
    }
    let method = body.token_endpoint_auth_method.as_deref().unwrap_or("client_secret_basic");
    let auth_method = AuthMethod::parse(method).ok_or_else(|| {
        let right = "client_secret_basic, client_secret_post or none";
        FlowError::invalid("app.auth_method", "token_endpoint_auth_method", right)
    })?;
    let (secret, usual_grace) = match auth_method {
        AuthMethod::None => (None, 0),
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
            (Some(bearer(UnboundKind::ClientSecret, gw.chance.as_ref())), CONFIDENTIAL_GRACE_SECS)
        }
    };
    let refresh_grace_secs = body.refresh_grace_secs.unwrap_or(usual_grace);
    if !GRACE_SECS.contains(&refresh_grace_secs) {
        return Err(FlowError::invalid("app.refresh_grace", "refresh_grace_secs", "from 0 to 60"));
    }
    let id = AppId::new(call.at, gw.chance.as_ref());
    let app = App {
        id,
        name: name_of("name", &body.name)?,
        audience: body.audience.map_or(Ok(id.to_string()), |a| name_of("audience", &a))?,
        redirect_uris: body.redirect_uris,
        post_logout_redirect_uris: body.post_logout_redirect_uris,
        auth_method,
        secret: secret.as_ref().map(|text| TokenDigest::of(text.reveal())),
        all_orgs,
        refresh_grace_secs,
        initiate_login_uri: body.initiate_login_uri,
    };
    match gw.db.create_app(by, &Row { app: &app, orgs: &orgs }, &call.request_id, call.at).await {
        Err(store::Error::Conflict(_)) => Err(orgs_wrong()),
        other => Ok(other.map(|()| (app, secret))?),
    }
}

fn orgs_wrong() -> FlowError {
    FlowError::invalid("app.orgs", "orgs", "\"all\", or a list of ids of orgs that exist, each once")
}

fn uris(field: &'static str, uris: &[String]) -> Result<(), FlowError> {
    if uris.len() > URIS_MAX {
        return Err(FlowError::invalid("app.redirect_uris", field, format!("at most {URIS_MAX}")));
    }
    uris.iter().try_for_each(|uri| web_url(field, uri, Loopback::Allowed))
}

pub async fn list(gw: &Gateway, by: Operator, page: Page<ids::App>) -> Result<Vec<App>, FlowError> {
    Ok(gw.db.apps(by, page.after, page.rows()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orgs_are_all_or_a_list_of_ids() {
        let read = |orgs: &str| {
            serde_json::from_str::<NewApp>(&format!(
                r#"{{"name":"a","redirect_uris":["https://a.example/cb"],"orgs":{orgs}}}"#
            ))
        };
        assert!(matches!(read("\"all\"").unwrap().orgs, Some(Served::Word(_))));
        assert!(matches!(read("[]").unwrap().orgs, Some(Served::Orgs(_))));
        assert!(read("[\"usr_00000000000000000000000000\"]").is_err(), "another kind's id");
        assert!(read("7").is_err());
    }

    #[test]
    fn redirect_uris_are_bounded() {
        let uri = "https://a.example/cb".to_owned();
        assert!(uris("redirect_uris", &vec![uri.clone(); URIS_MAX]).is_ok());
        let over = uris("redirect_uris", &vec![uri; URIS_MAX + 1]);
        assert_eq!(over.unwrap_err().code(), "app.redirect_uris");
    }
}
