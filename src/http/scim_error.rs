//! `/scim`'s dialect of an error: RFC 7644 3.12. A judge's refusal keeps its own words, which the
//! administrator reads in the identity provider's console; our own faults say nothing but that.

use super::doors::DRY_RUN;
use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use broker::{FlowError, blast_guard};
use model::record::{AuditEvent, Record};
use scim::{Problem, ScimError};
use serde_json::{Map, Value, json};
use std::fmt;

const HELD: &str = "scim.held";

/// A refusal on its way to a directory.
#[derive(Debug)]
pub struct Refused {
    error: FlowError,
    /// The resource it is about.
    about: Option<String>,
}

impl From<FlowError> for Refused {
    fn from(error: FlowError) -> Self {
        Self { error, about: None }
    }
}

impl Refused {
    pub fn about(error: FlowError, resource: &str) -> Self {
        Self { error, about: Some(resource.to_owned()) }
    }

    fn said(&self) -> ScimError {
        let said = rendered(&self.error);
        match (&self.about, &self.error) {
            // What is not here is answered alike, whatever was asked for.
            (_, FlowError::Missing) | (None, _) => said,
            (Some(resource), _) => said.at(resource),
        }
    }
}

pub(super) fn rendered(error: &FlowError) -> ScimError {
    match error {
        FlowError::Refused(refusal) => match Problem::of_code(refusal.code) {
            Some(problem) => {
                let detail = refusal.facts.iter().find(|(name, _)| *name == "detail");
                ScimError::of(problem, detail.map_or("", |(_, text)| text.as_str()))
            }
            None if refusal.code == "api.unauthorized" => {
                ScimError::of(Problem::Unauthorized, "send a valid token of the directory as a bearer token")
            }
            None => ScimError::of(Problem::Forbidden, refusal.code),
        },
        FlowError::Missing => ScimError::of(Problem::Missing, "there is no such resource here"),
        // A token of an org that is gone is no token.
        FlowError::Closed(_) => ScimError::of(Problem::Unauthorized, "the org does not provision"),
        FlowError::Conflict { .. } => ScimError::of(Problem::Taken, "this is in conflict with what is here"),
        FlowError::Invalid { code, detail, .. } if *code == super::METHOD => {
            ScimError::of(Problem::MethodNotAllowed, detail)
        }
        FlowError::Invalid { detail, .. } => ScimError::of(Problem::ValueWrong, detail),
        FlowError::Limited { .. } => {
            ScimError::of(Problem::Throttled, "too many requests; wait for Retry-After")
        }
        FlowError::Busy { .. } => ScimError::of(Problem::Unavailable, "try again shortly"),
        FlowError::InDoubt => {
            ScimError::of(Problem::Unavailable, "it may have happened: read the resource, then try again")
        }
        FlowError::Fault(_) | FlowError::Rehearsed(_) => {
            ScimError::of(Problem::Internal, "something failed on our side")
        }
    }
}

/// Status and body, for one operation of many.
pub fn told(error: &FlowError) -> (u16, Value) {
    match error {
        FlowError::Rehearsed(record) => (200, rehearsed(record.as_deref())),
        _ => {
            let said = rendered(error);
            if said.status >= 500 && !matches!(error, FlowError::Busy { .. }) {
                tracing::error!(%error, "provisioning failed");
            }
            (said.status, said.render())
        }
    }
}

/// What a dry run would have written: each act, what it is about, and its values.
fn rehearsed(record: Option<&Record>) -> Value {
    let change = |event: &AuditEvent| {
        let target = event.target.as_ref().map(|(kind, id)| json!({"type": kind, "id": id}));
        let values: Map<String, Value> =
            event.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        json!({"action": event.action.as_str(), "target": target, "values": values})
    };
    let changes: Vec<Value> = record.map(|record| record.events().map(change).collect()).unwrap_or_default();
    json!({"schemas": ["urn:vestibule:params:scim:api:messages:2.0:DryRun"], "changes": changes})
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(rendered(&self.error).status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
    fn error_response(&self) -> HttpResponse {
        if let FlowError::Rehearsed(record) = &self.error {
            return HttpResponse::Ok()
                .insert_header(("preference-applied", DRY_RUN))
                .insert_header((header::CONTENT_TYPE, scim::MEDIA_TYPE))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .body(rehearsed(record.as_deref()).to_string());
        }
        let (status, said) = (self.status_code(), self.said());
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self.error, "provisioning failed");
        }
        let mut response = HttpResponse::build(status);
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"vestibule\""));
        }
        if self.error.code() == HELD {
            response.insert_header((header::RETRY_AFTER, blast_guard::RETRY_SECS.to_string()));
        }
        if let FlowError::Busy { retry_after_secs } | FlowError::Limited { retry_after_secs } = &self.error {
            response.insert_header((header::RETRY_AFTER, retry_after_secs.to_string()));
        }
        let body = said.render().to_string();
        // For the request log.
        response.extensions_mut().insert(said);
        response
            .insert_header((header::CONTENT_TYPE, scim::MEDIA_TYPE))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(error: FlowError) -> HttpResponse {
        Refused::from(error).error_response()
    }

    #[test]
    fn every_error_has_its_status_and_the_media_type() {
        for (error, status) in [
            (FlowError::Missing, 404),
            (FlowError::conflict("x", "users_pkey"), 409),
            (FlowError::Busy { retry_after_secs: 1 }, 503),
            (FlowError::Limited { retry_after_secs: 1 }, 429),
            (FlowError::Fault("secret".to_owned()), 500),
            (ScimError::of(Problem::Taken, "userName is taken").into(), 409),
            (ScimError::of(Problem::BodyTooLarge, "").into(), 413),
            (model::Refusal::stranger("api.unauthorized").into(), 401),
        ] {
            let response = answered(error);
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().get("content-type").unwrap(), "application/scim+json");
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
            assert_eq!(response.headers().contains_key("retry-after"), [429, 503].contains(&status));
        }
    }

    #[test]
    fn a_judges_words_arrive_and_ours_do_not() {
        let taken = rendered(&ScimError::of(Problem::Taken, "userName is taken").into());
        assert_eq!((taken.scim_type, taken.detail.as_str()), (Some("uniqueness"), "userName is taken"));
        let fault = rendered(&FlowError::Fault("password is hunter2".to_owned()));
        assert!(!fault.detail.contains("hunter2"));
        let conflict = rendered(&FlowError::conflict("conflict", "users_org_id_user_name_norm_key"));
        assert!(!conflict.detail.contains("users_"));
    }
}
