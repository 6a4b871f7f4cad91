//! `/oauth2`'s dialect of an error: RFC 6749 5.2.

use actix_web::{HttpResponse, http::StatusCode};
use broker::FlowError;
use serde_json::json;

/// The OAuth error code of one of ours.
pub fn code(error: &FlowError) -> &'static str {
    match error {
        FlowError::Refused(refusal) => match refusal.code {
            "oauth.invalid_client" => "invalid_client",
            "oauth.invalid_grant" => "invalid_grant",
            "oauth.invalid_scope" => "invalid_scope",
            "oauth.invalid_target" => "invalid_target",
            "oauth.login_required" => "login_required",
            "oauth.account_selection_required" => "account_selection_required",
            "oauth.unmet_authentication" => "unmet_authentication_requirements",
            "oauth.unauthorized_client" => "unauthorized_client",
            "oauth.unsupported_grant_type" => "unsupported_grant_type",
            "oauth.request_not_supported" => "request_not_supported",
            "oauth.request_uri_not_supported" => "request_uri_not_supported",
            "token.scope" => "insufficient_scope",
            code if code.starts_with("oauth.assertion_") => "invalid_client",
            code if code.starts_with("token.") => "invalid_token",
            code if code.starts_with("oauth.") => "invalid_request",
            _ => "access_denied",
        },
        FlowError::Missing | FlowError::Closed(_) => "access_denied",
        FlowError::Invalid { .. } => "invalid_request",
        FlowError::Conflict { .. } => "invalid_request",
        FlowError::Busy { .. } | FlowError::InDoubt | FlowError::Limited { .. } => "temporarily_unavailable",
        FlowError::Fault(_) | FlowError::Rehearsed(_) => "server_error",
    }
}

/// Nothing is at this path, or not by this method.
pub fn nowhere(error: &FlowError) -> HttpResponse {
    let status =
        if error.code() == super::METHOD { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_FOUND };
    HttpResponse::build(status)
        .insert_header(("Cache-Control", "no-store"))
        .json(json!({"error": "invalid_request", "error_description": error.code()}))
}

pub fn response(error: &FlowError) -> HttpResponse {
    let code = code(error);
    let status = match code {
        _ if matches!(error, FlowError::Limited { .. }) => StatusCode::TOO_MANY_REQUESTS,
        "invalid_client" | "invalid_token" => StatusCode::UNAUTHORIZED,
        "insufficient_scope" => StatusCode::FORBIDDEN,
        "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "server_error" => {
            tracing::error!(%error, "token endpoint failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = HttpResponse::build(status);
    match code {
        "invalid_client" => response.insert_header(("WWW-Authenticate", "Basic realm=\"vestibule\"")),
        "invalid_token" => response
            .insert_header(("WWW-Authenticate", "Bearer realm=\"vestibule\", error=\"invalid_token\"")),
        // RFC 6750 3.1. Only userinfo asks for a scope.
        "insufficient_scope" => response.insert_header((
            "WWW-Authenticate",
            "Bearer realm=\"vestibule\", error=\"insufficient_scope\", scope=\"openid\"",
        )),
        "temporarily_unavailable" => {
            let secs = match error {
                FlowError::Limited { retry_after_secs } | FlowError::Busy { retry_after_secs } => {
                    *retry_after_secs
                }
                _ => 1,
            };
            response.insert_header(("Retry-After", secs.to_string()))
        }
        _ => &mut response,
    };
    let description = match error {
        FlowError::Invalid { detail, .. } => detail.clone(),
        _ => error.code().to_owned(),
    };
    response
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Pragma", "no-cache"))
        .json(json!({"error": code, "error_description": description}))
}
