//! What customers' identity providers tell us of their people's sessions: a logout token, a Global Token
//! Revocation, a Security Event Token. Each answers as its own text says: OpenID Connect Back-Channel Logout
//! 2.8, draft-parecki-oauth-global-token-revocation 3, RFC 8935 2.

use super::{
    DoorKind, Entry,
    Made::Plain,
    doors::bearer,
    guard::{facts, limited},
    oauth_error, shielded,
    token::{Body, form, whole},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web::{self, Data, Path},
};
use broker::{
    FlowError, Gateway,
    signals::{self, Obeyed, Signal},
};
use model::{
    Refusal, TokenDigest,
    ids::{ConnectionId, KeyId},
};
use serde_json::json;

pub const ROUTES: &[Entry] = &[
    Entry {
        method: Method::POST,
        path: "/oidc/{con}/backchannel-logout",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(logout)),
    },
    Entry {
        method: Method::POST,
        path: "/signals/{con}/global-token-revocation",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(revocation)),
    },
    Entry {
        method: Method::POST,
        path: "/signals/{con}/events",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(event)),
    },
];

/// Does a program ask here, and no browser?
pub(super) fn is_here(path: &str) -> bool {
    path.starts_with("/signals/") || (path.starts_with("/oidc/") && path.contains("/backchannel-logout"))
}

/// No signal is as large as this; the judges have bounds of their own.
const BODY_BYTES_MAX: usize = 32 * 1024;

/// A body that is not too large.
fn bounded(body: &Body) -> Result<&[u8], FlowError> {
    let body = whole(body)?;
    if body.len() > BODY_BYTES_MAX {
        return Err(FlowError::invalid("oauth.invalid_request", "body", "the body is too large"));
    }
    Ok(body)
}

fn of_kind(req: &HttpRequest, kind: &'static str) -> Result<(), FlowError> {
    let said = req.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let named = said.split(';').next().unwrap_or_default().trim();
    if named.eq_ignore_ascii_case(kind) {
        return Ok(());
    }
    Err(FlowError::invalid("oauth.invalid_request", "content-type", format!("send {kind}")))
}

/// Heard, counted against the connection's own limit, and obeyed.
async fn told(
    req: &HttpRequest,
    gw: &Data<Gateway>,
    connection: &str,
    signal: Signal,
) -> Result<Obeyed, FlowError> {
    let connection: ConnectionId = connection.parse().map_err(|_| FlowError::Missing)?;
    let (story, call) = (gw.get_ref().clone(), facts(req).call);
    let heard = shielded(async move { signals::hear(&story, connection, signal, &call).await }).await?;
    // The signature is proven: from here on it costs commits.
    let bucket = (KeyId::from_uuid(connection.uuid()), TokenDigest::of(&connection.to_string()));
    limited(req, gw, &heard.scope, (bucket.0, &bucket.1)).await?;
    let story = gw.get_ref().clone();
    shielded(async move { signals::obey(&story, heard).await }).await
}

async fn logout(req: HttpRequest, con: Path<String>, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let answer = async {
        bounded(&body)?;
        let mut form = form(&req, &body)?;
        let missing =
            || FlowError::invalid("oauth.invalid_request", "logout_token", "logout_token is missing");
        let token = form.remove("logout_token").ok_or_else(missing)?;
        told(&req, &gw, &con, Signal::Logout { token }).await
    };
    match answer.await {
        // Whoever has no session here has none.
        Ok(Obeyed::Done | Obeyed::Unknown) => empty(StatusCode::OK),
        Err(error) => oauth_shaped(&error, StatusCode::BAD_REQUEST),
    }
}

async fn revocation(req: HttpRequest, con: Path<String>, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let answer = async {
        of_kind(&req, "application/json")?;
        let body = bounded(&body)?.to_vec();
        let token = bearer(&req).ok_or_else(|| Refusal::stranger("signals.malformed"))?.to_owned();
        told(&req, &gw, &con, Signal::Revocation { token, body }).await
    };
    match answer.await {
        Ok(Obeyed::Done) => empty(StatusCode::NO_CONTENT),
        Ok(Obeyed::Unknown) => {
            no_store(StatusCode::NOT_FOUND, &json!({"error": "not_found", "error_description": "not_found"}))
        }
        Err(error) if error.code() == "signals.body" => oauth_shaped(&error, StatusCode::BAD_REQUEST),
        Err(error @ FlowError::Refused(_)) => {
            let mut response = oauth_shaped(&error, StatusCode::UNAUTHORIZED);
            let how = header::HeaderValue::from_static("Bearer realm=\"vestibule\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
            response
        }
        Err(error) => oauth_shaped(&error, StatusCode::BAD_REQUEST),
    }
}

async fn event(req: HttpRequest, con: Path<String>, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let answer = async {
        of_kind(&req, "application/secevent+jwt")?;
        let token = std::str::from_utf8(bounded(&body)?).map(|text| text.trim().to_owned());
        let token = token.map_err(|_| Refusal::stranger("signals.malformed"))?;
        told(&req, &gw, &con, Signal::Event { token }).await
    };
    match answer.await {
        Ok(Obeyed::Done | Obeyed::Unknown) => empty(StatusCode::ACCEPTED),
        Err(error) => {
            let status = status_of(&error, StatusCode::BAD_REQUEST);
            let said = json!({"err": set_error(&error), "description": error.code()});
            retried(&error, no_store(status, &said))
        }
    }
}

/// RFC 8935 2.4.
fn set_error(error: &FlowError) -> &'static str {
    match error.code() {
        "signals.signature"
        | "signals.header"
        | "oidc.provider_unreachable"
        | "oidc.jwks_malformed"
        | "oidc.jwks_empty" => "invalid_key",
        "signals.issuer" => "invalid_issuer",
        "signals.audience" => "invalid_audience",
        "signals.not_configured" => "authentication_failed",
        _ => "invalid_request",
    }
}

/// Of what is the sender's to mend, `refused`.
fn status_of(error: &FlowError, refused: StatusCode) -> StatusCode {
    match error {
        // Its keys could not be had: that may be so for a moment.
        FlowError::Refused(refusal) if refusal.code == "oidc.provider_unreachable" => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        FlowError::Refused(_) => refused,
        FlowError::Invalid { .. } | FlowError::Conflict { .. } => StatusCode::BAD_REQUEST,
        FlowError::Missing | FlowError::Closed(_) => StatusCode::NOT_FOUND,
        FlowError::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
        FlowError::Busy { .. } | FlowError::InDoubt => StatusCode::SERVICE_UNAVAILABLE,
        FlowError::Fault(_) | FlowError::Rehearsed(_) => {
            tracing::error!(%error, "a signal was not obeyed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn oauth_shaped(error: &FlowError, refused: StatusCode) -> HttpResponse {
    let word = match error {
        FlowError::Refused(_) => "invalid_request",
        other => oauth_error::code(other),
    };
    let said = json!({"error": word, "error_description": error.code()});
    retried(error, no_store(status_of(error, refused), &said))
}

fn retried(error: &FlowError, mut response: HttpResponse) -> HttpResponse {
    let secs = match error {
        FlowError::Limited { retry_after_secs } | FlowError::Busy { retry_after_secs } => *retry_after_secs,
        FlowError::InDoubt => 1,
        FlowError::Refused(_)
        | FlowError::Missing
        | FlowError::Closed(_)
        | FlowError::Conflict { .. }
        | FlowError::Invalid { .. }
        | FlowError::Rehearsed(_)
        | FlowError::Fault(_) => return response,
    };
    response.headers_mut().insert(header::RETRY_AFTER, secs.into());
    response
}

fn no_store(status: StatusCode, said: &serde_json::Value) -> HttpResponse {
    HttpResponse::build(status).insert_header(("Cache-Control", "no-store")).json(said)
}

fn empty(status: StatusCode) -> HttpResponse {
    HttpResponse::build(status).insert_header(("Cache-Control", "no-store")).finish()
}
