//! The demo's app, a plain OpenID relying party, and what the gateway knows of it.

use super::Stopped;
use crate::{
    seams::{Clock, SystemChance, SystemClock},
    wiring::StartError,
};
use broker::Gateway;
use idp_fixtures::{RelyingParty, RpSettings};
use model::{TokenDigest, ids::AppId};
use store::{App, AuthMethod, NewApp, Operator, PlatformAct};
use token::credential::{UnboundKind, bearer};

const NAME: &str = "Demo app";
/// Among so many it is looked for.
const APPS_SEEN: i64 = 1_000;

/// Starts the app: as the one of an earlier start, by a new secret, if there is one.
pub(super) async fn start(gw: &Gateway, operator: Operator, port: u16) -> Result<RelyingParty, Stopped> {
    let (now, secret) = (SystemClock.now(), bearer(UnboundKind::ClientSecret, &SystemChance));
    let (digest, redirect_uris) =
        (TokenDigest::of(secret.reveal()), vec![format!("http://localhost:{port}/callback")]);
    let act = PlatformAct { by: operator.into(), request_id: "demo-set-up", at: now };
    let known = gw.db.apps(operator, None, APPS_SEEN).await.map_err(StartError::from)?;
    let known = known.into_iter().find(|app| app.name == NAME && app.redirect_uris == redirect_uris);
    let id = match known {
        Some(app) => {
            gw.db.rotate_app_secret(act, app.id, &digest, now).await.map_err(StartError::from)?;
            app.id
        }
        None => make(gw, act, digest, redirect_uris, port).await?,
    };
    let settings = RpSettings {
        port,
        issuer: gw.links.issuer().to_owned(),
        client_id: id.to_string(),
        client_secret: secret.reveal().clone(),
        scopes: vec!["offline_access".to_owned()],
        ..RpSettings::default()
    };
    Ok(RelyingParty::start(settings).await?)
}

async fn make(
    gw: &Gateway,
    act: PlatformAct<'_>,
    secret: TokenDigest,
    redirect_uris: Vec<String>,
    port: u16,
) -> Result<AppId, Stopped> {
    let id = AppId::new(act.at, &SystemChance);
    let app = App {
        id,
        name: NAME.to_owned(),
        audience: id.to_string(),
        redirect_uris,
        post_logout_redirect_uris: Vec::new(),
        auth_method: AuthMethod::ClientSecretBasic,
        secret: Some(secret),
        old_secret: None,
        all_orgs: true,
        refresh_grace_secs: 0,
        backchannel_logout_uri: None,
        signing_alg: model::SigningAlg::Es256,
        keys: None,
        claims: Vec::new(),
        resources: Vec::new(),
        initiate_login_uri: Some(format!("http://localhost:{port}/sign-in")),
    };
    let new = NewApp { app: &app, orgs: &[] };
    gw.db.create_app(act, &new).await.map_err(StartError::from)?;
    Ok(id)
}
