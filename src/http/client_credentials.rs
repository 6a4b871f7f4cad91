//! The grant `client_credentials` (RFC 6749 4.4): a directory fetches a token for SCIM, a service account one for
//! an app. Whose id it is says which. They have this grant alone, and hear so after they have proven themselves.

use super::{
    client_auth::{By, wrong},
    doors,
    grant::{self, Grant},
    guard::{facts, limited_service, waited},
    shielded,
    token::Form,
};
use actix_web::{HttpRequest, HttpResponse};
use broker::{FlowError, Gateway, scim_access, service_token};
use model::ids::{DirectoryId, ServiceId};
use serde_json::{Value, json};
use token::credential::{CredentialKind, CredentialText};

/// Whose id it is, if it is no app's.
pub(super) enum Program {
    Directory(DirectoryId),
    Service(ServiceId),
}

impl Program {
    pub(super) fn named(id: &str) -> Option<Self> {
        id.parse().map(Self::Service).ok().or_else(|| id.parse().map(Self::Directory).ok())
    }
}

pub(super) async fn fetch(
    req: &HttpRequest,
    gw: &Gateway,
    form: &Form,
    (program, by): (Program, &By),
) -> Result<HttpResponse, FlowError> {
    let By::Secret(secret) = by else { return Err(wrong()) };
    match program {
        Program::Service(service) => for_an_app(req, gw, form, (service, secret)).await,
        Program::Directory(directory) => for_scim(req, gw, form, (directory, secret)).await,
    }
}

fn may(form: &Form) -> Result<(), FlowError> {
    match Grant::asked(form)? {
        Grant::ClientCredentials => Ok(()),
        Grant::AuthorizationCode | Grant::RefreshToken => Err(grant::unauthorized()),
    }
}

async fn for_scim(
    req: &HttpRequest,
    gw: &Gateway,
    form: &Form,
    (directory, secret): (DirectoryId, &str),
) -> Result<HttpResponse, FlowError> {
    let scope = doors::scim_secret(req, gw, directory, secret).await?;
    may(form)?;
    let (gw, asked) = (gw.clone(), form.get("scope").cloned());
    let fetched = shielded(async move { scim_access::fetch(&gw, &scope, asked.as_deref()).await }).await?;
    Ok(given(&json!({
        "access_token": fetched.token.reveal(),
        "token_type": "Bearer",
        "expires_in": fetched.expires_in_secs,
        "scope": fetched.scope,
    })))
}

/// By one trip to Postgres, which changes nothing: it may be broken off.
async fn for_an_app(
    req: &HttpRequest,
    gw: &Gateway,
    form: &Form,
    (service, secret): (ServiceId, &str),
) -> Result<HttpResponse, FlowError> {
    let asked = service_token::Asked {
        resource: form.get("resource").map(String::as_str),
        scope: form.get("scope").map(String::as_str),
    };
    let secret = CredentialText::parse(CredentialKind::ClientSecret, secret).map_err(|_| wrong())?.digest;
    waited(req, gw, &secret).await?;
    let call = facts(req).call;
    let grant = service_token::prove(gw, service, &secret, asked, &call).await?;
    limited_service(req, gw, &grant, &secret).await?;
    may(form)?;
    let fetched = service_token::fetch(gw, service, grant, asked, &call).await?;
    Ok(given(&json!({
        "access_token": fetched.access_token,
        "token_type": "Bearer",
        "expires_in": fetched.expires_in_secs,
    })))
}

fn given(body: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Pragma", "no-cache"))
        .json(body)
}
