//! The grant `client_credentials` (RFC 6749 4.4): a directory fetches a token for SCIM, a service account one for
//! an app. Whose id it is says which; an app has no such grant.

use super::{
    client_auth::{By, Shown, shown, wrong},
    doors,
    guard::{facts, limited_service, waited},
    shielded,
    token::Form,
};
use actix_web::{HttpRequest, HttpResponse};
use broker::{FlowError, Gateway, scim_access, service_token};
use model::{
    Refusal,
    ids::{DirectoryId, ServiceId},
};
use serde_json::{Value, json};
use token::credential::{CredentialKind, CredentialText};

pub(super) async fn fetch(req: &HttpRequest, gw: &Gateway, form: &Form) -> Result<HttpResponse, FlowError> {
    let Shown { id, by } = shown(req, form)?;
    if let Ok(service) = id.parse() {
        return for_an_app(req, gw, form, service, &by).await;
    }
    // An app has no such grant.
    let unsupported = |_| FlowError::from(Refusal::stranger("oauth.unsupported_grant_type"));
    let client = id.parse::<DirectoryId>().map_err(unsupported)?;
    let By::Secret(secret) = by else { return Err(wrong()) };
    let scope = doors::scim_secret(req, gw, client, &secret).await?;
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
    service: ServiceId,
    by: &By,
) -> Result<HttpResponse, FlowError> {
    let By::Secret(secret) = by else { return Err(wrong()) };
    let asked = service_token::Asked {
        resource: form.get("resource").map(String::as_str),
        scope: form.get("scope").map(String::as_str),
    };
    let secret = CredentialText::parse(CredentialKind::ClientSecret, secret).map_err(|_| wrong())?.digest;
    waited(req, gw, &secret).await?;
    let call = facts(req).call;
    let grant = service_token::prove(gw, service, &secret, asked, &call).await?;
    limited_service(req, gw, &grant, &secret).await?;
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
