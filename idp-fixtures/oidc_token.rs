//! The token, introspection and userinfo endpoints. A code is spent by the first attempt to redeem it and bound to
//! client, redirect URI and PKCE verifier (RFC 6749 4.1.3, RFC 7636 4.6).

use crate::{id_token, instrument, oidc_idp::Op};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::AUTHORIZATION},
    web,
};
use aws_lc_rs::{constant_time, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use openidconnect::url::form_urlencoded;
use serde::Deserialize;
use serde_json::json;

/// RFC 6749 4.1.2 allows ten minutes; Entra's codes live as long.
const CODE_SECS: i64 = 600;

#[derive(Deserialize)]
pub(crate) struct TokenRequest {
    grant_type: String,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

fn error(status: StatusCode, code: &str) -> HttpResponse {
    HttpResponse::build(status).insert_header(("Cache-Control", "no-store")).json(json!({"error": code}))
}

/// Client id and secret, form-urlencoded inside Basic (RFC 6749 2.3.1).
fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode =
        |part: &str| form_urlencoded::parse(part.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}

/// The id of a client that gave its secret.
fn authenticated(op: &Op, given: Option<(String, String)>) -> Option<String> {
    let (client_id, secret) = given?;
    let client = op.client(&client_id)?;
    let (known, given) = (client.client_secret.as_bytes(), secret.as_bytes());
    constant_time::verify_slices_are_equal(known, given).ok().map(|()| client_id)
}

fn verifier_fits(verifier: Option<&str>, challenge: &str) -> bool {
    verifier
        .is_some_and(|v| URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, v.as_bytes())) == challenge)
}

pub(crate) async fn token(
    op: web::Data<Op>,
    request: HttpRequest,
    form: web::Form<TokenRequest>,
) -> HttpResponse {
    let form = form.into_inner();
    let posted = form.client_id.zip(form.client_secret);
    let Some(client_id) = authenticated(&op, basic(&request).or(posted)) else {
        return error(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    if form.grant_type != "authorization_code" {
        return error(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let now = instrument::now();
    let grant = form.code.and_then(|code| op.take_code(&code)).filter(|g| {
        g.client_id == client_id
            && form.redirect_uri.as_deref() == Some(g.redirect_uri.as_str())
            && now < g.issued_at.plus_secs(CODE_SECS)
            && verifier_fits(form.code_verifier.as_deref(), &g.challenge)
    });
    let Some((person, grant)) = grant.and_then(|g| Some((op.people.find(&g.login)?, g))) else {
        return error(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    match op.issue(&person, id_token::Grant { issued_at: now, ..grant }) {
        Err(why) => HttpResponse::InternalServerError().body(why.to_string()),
        Ok((access_token, id_token)) => {
            HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(json!({
                "token_type": "Bearer",
                "expires_in": 3600,
                "scope": "openid profile email",
                "access_token": access_token,
                "id_token": id_token,
            }))
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Introspect {
    token: String,
}

/// RFC 7662: a token of another client is as unknown as one that never was.
pub(crate) async fn introspect(
    op: web::Data<Op>,
    request: HttpRequest,
    form: web::Form<Introspect>,
) -> HttpResponse {
    let Some(client_id) = authenticated(&op, basic(&request)) else {
        return error(StatusCode::UNAUTHORIZED, "invalid_client");
    };
    let active = op.granted(&form.token).is_some_and(|g| g.client_id == client_id);
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(json!({"active": active}))
}

pub(crate) async fn userinfo(op: web::Data<Op>, request: HttpRequest) -> HttpResponse {
    let token = request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
    let found = token.and_then(|t| op.granted(t)).and_then(|g| Some((op.people.find(&g.login)?, g)));
    match found {
        None => error(StatusCode::UNAUTHORIZED, "invalid_token"),
        Some((person, grant)) => HttpResponse::Ok().json(json!({
            "sub": person.stable_id(&grant.client_id),
            "email": person.email,
            "name": person.display_name(),
            "given_name": person.given_name,
            "family_name": person.family_name,
        })),
    }
}
