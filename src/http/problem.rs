//! `/api`'s dialect of an error: RFC 9457 problem details with a stable `code`.

use super::guard::facts;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use broker::FlowError;
use model::quota::Quota;
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, sync::LazyLock};

/// The credential is no app's, where an app asks.
const INVALID_CLIENT: &str = "oauth.invalid_client";

/// The fact that is told as the detail.
const DETAIL: &str = "detail";

/// An error on its way to an API caller.
#[derive(Debug)]
pub struct Problem {
    error: FlowError,
    request_id: String,
}

/// Problem details (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Details<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    /// Stable: docs/REFUSALS.md has a row for each.
    code: &'a str,
    /// For whoever reads it; it may change.
    detail: String,
    /// The field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "&str")]
    field: Option<&'a str>,
    /// What was expected and received, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    facts: BTreeMap<&'a str, &'a str>,
    request_id: &'a str,
}

impl Problem {
    pub fn of(req: &HttpRequest, error: FlowError) -> Self {
        Self { error, request_id: facts(req).call.request_id }
    }

    pub fn response(&self) -> HttpResponse {
        let (status, title, field, detail) = self.parts();
        if status.is_server_error() {
            tracing::error!(request_id = %self.request_id, error = %self.error, "request failed");
        }
        let facts =
            if let FlowError::Refused(refusal) = &self.error { refusal.facts.as_slice() } else { &[] };
        // What stands as the detail is no fact besides.
        let facts = facts.iter().filter(|(name, _)| *name != DETAIL);
        let code = self.error.code();
        let body = Details {
            r#type: format!("about:blank#{code}"),
            title,
            status: status.as_u16(),
            code,
            detail,
            field,
            facts: facts.map(|(name, value)| (*name, value.as_str())).collect(),
            request_id: &self.request_id,
        };
        let mut response = HttpResponse::build(status);
        if let FlowError::Busy { retry_after_secs } | FlowError::Limited { retry_after_secs } = &self.error {
            response.insert_header(("Retry-After", retry_after_secs.to_string()));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = if code == INVALID_CLIENT { "Basic" } else { "Bearer" };
            response.insert_header(("WWW-Authenticate", format!("{scheme} realm=\"vestibule\"")));
        }
        response.content_type("application/problem+json").json(body)
    }

    fn parts(&self) -> (StatusCode, &'static str, Option<&str>, String) {
        match &self.error {
            FlowError::Refused(refusal) if refusal.code == "api.unauthorized" => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                None,
                detail(refusal).unwrap_or("Send a valid key as a bearer token.").to_owned(),
            ),
            FlowError::Refused(refusal) if refusal.code == INVALID_CLIENT => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                None,
                "Send the app's client_id and client_secret by HTTP Basic, or its client assertion as the bearer.".to_owned(),
            ),
            FlowError::Refused(refusal) if refusal.code.starts_with("oauth.assertion_") => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                None,
                "Send a client assertion as the bearer, a new one each time.".to_owned(),
            ),
            FlowError::Refused(refusal) if refusal.code == "api.scope_missing" => {
                (StatusCode::FORBIDDEN, "Forbidden", None, facts_text(refusal))
            }
            FlowError::Refused(refusal) if Quota::of_code(refusal.code).is_some() => {
                (StatusCode::CONFLICT, "Quota reached", None, room(refusal))
            }
            FlowError::Refused(refusal) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Refused", None, facts_text(refusal))
            }
            FlowError::Missing => {
                (StatusCode::NOT_FOUND, "Not found", None, "There is no such thing here.".to_owned())
            }
            FlowError::Closed(model::org::OrgState::Suspended) => {
                (StatusCode::FORBIDDEN, "Org suspended", None, "The org is suspended.".to_owned())
            }
            FlowError::Closed(_) => {
                (StatusCode::NOT_FOUND, "Not found", None, "There is no such thing here.".to_owned())
            }
            FlowError::Conflict { detail, .. } => (StatusCode::CONFLICT, "Conflict", None, detail.clone()),
            FlowError::Invalid { code, field, detail } if *code == super::admin::TOO_LARGE => {
                (StatusCode::PAYLOAD_TOO_LARGE, "Too large", Some(field.as_ref()), detail.clone())
            }
            FlowError::Invalid { code, field, detail } if *code == super::METHOD => {
                (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", Some(field.as_ref()), detail.clone())
            }
            FlowError::Invalid { field, detail, .. } => {
                (StatusCode::BAD_REQUEST, "Invalid request", Some(field.as_ref()), detail.clone())
            }
            FlowError::Limited { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
                None,
                "Wait for Retry-After; X-RateLimit headers on every answer say what is left.".to_owned(),
            ),
            FlowError::Busy { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "Busy", None, "Try again shortly.".to_owned())
            }
            FlowError::InDoubt => (
                StatusCode::SERVICE_UNAVAILABLE,
                "In doubt",
                None,
                "It may have happened: look before you ask again.".to_owned(),
            ),
            FlowError::Fault(_) | FlowError::Rehearsed(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
                None,
                "Something failed on our side; quote the request id.".to_owned(),
            ),
        }
    }
}

fn facts_text(refusal: &model::Refusal) -> String {
    let facts: Vec<String> = refusal.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    if facts.is_empty() { row(refusal.code).unwrap_or(refusal.code).to_owned() } else { facts.join("; ") }
}

/// What docs/REFUSALS.md says of each code: what happened, and what to do.
static ROWS: LazyLock<BTreeMap<&str, String>> = LazyLock::new(|| {
    let lines = include_str!("../../docs/REFUSALS.md").lines();
    let cells = lines.filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    let row = |(code, rest): (&'static str, &str)| {
        let mut parts = rest.splitn(3, " | ").skip(1);
        Some((code, format!("{} {}", parts.next()?, parts.next()?)))
    };
    cells.filter_map(row).collect()
});

/// For a refusal that has no facts to tell.
fn row(code: &str) -> Option<&'static str> {
    ROWS.get(code).map(String::as_str)
}

fn detail(refusal: &model::Refusal) -> Option<&str> {
    refusal.facts.iter().find(|(name, _)| *name == DETAIL).map(|(_, said)| said.as_str())
}

fn room(refusal: &model::Refusal) -> String {
    format!("{}. Remove one, or have the plan raised.", detail(refusal).unwrap_or_default())
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl actix_web::ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.parts().0
    }
    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Refusal;

    #[test]
    fn a_refusal_without_facts_says_what_happened_and_what_to_do() {
        for (code, happened, helps) in [
            ("api.idempotency_key_reused", "was used for another request", "Take a fresh key per request."),
            ("connection.not_rehearsed", "An org key wants to enable", "Ask the operator"),
            ("saml.metadata_expired", "validUntil has passed.", "Take the metadata anew."),
        ] {
            let said = facts_text(&Refusal::proven(code));
            assert!(said.contains(happened) && said.contains(helps), "{code}: {said}");
        }
        assert_eq!(facts_text(&Refusal::proven("x.y").with("received", "z")), "received: z");
    }

    /// What is told alone cannot point at the row above.
    #[test]
    fn no_row_of_this_face_leans_on_another() {
        let rows = include_str!("../../docs/REFUSALS.md").lines().filter(|line| line.starts_with("| `"));
        let ours = rows.filter(|line| line.split(" | ").nth(1).is_some_and(|who| who.contains("api")));
        let leaning: Vec<&str> = ours.filter(|line| line.ends_with("| The same. |")).collect();
        assert!(leaning.is_empty() && ROWS.len() > 300, "{} {leaning:?}", ROWS.len());
    }
}
