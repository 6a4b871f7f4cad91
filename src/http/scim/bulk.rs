//! `POST /Bulk`: many requests in one, each answered as it would have been by itself. RFC 7644 3.7.

use super::{Answer, Caller, body, render};
use crate::http::{doors::DRY_RUN, scim_error};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Payload},
};
use broker::{
    FlowError, Gateway,
    provision_bulk::{self, Done},
};
use scim::bulk::{self, Method, RESPONSE_URN};
use serde_json::{Map, Value, json};
use store::{BulkSeen, FailureSeen};

pub(super) async fn bulk(req: HttpRequest, gw: Data<Gateway>, payload: Payload) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let body = body(payload).await?;
    let (gw, scope) = caller.outside();
    // Each operation of a rehearsal says itself what it would have done.
    let story = async move {
        let asked = bulk::parse(&body).map_err(FlowError::from)?;
        provision_bulk::run(&gw, &scope, asked).await
    };
    let done = super::shielded(story).await?;
    let operations: Vec<Value> = done.iter().map(|one| told(&caller.base, one)).collect();
    let said = json!({"schemas": [RESPONSE_URN], "Operations": operations});
    let mut response = HttpResponse::Ok();
    response.extensions_mut().insert(seen(&done));
    if caller.rehearses {
        response.insert_header(("preference-applied", DRY_RUN));
    }
    Ok(render::json(response, &said))
}

/// Failures that the request log keeps.
const FAILURES_SEEN_MAX: usize = 100;

/// For the request log. What a dry run would have done has not failed.
fn seen(done: &[Done]) -> BulkSeen {
    let failure = |(index, one): (usize, &Done)| match &one.outcome {
        Ok(_) | Err(FlowError::Rehearsed(_)) => None,
        Err(error) => {
            let said = scim_error::rendered(error);
            Some(FailureSeen {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                method: one.method.as_str().to_owned(),
                resource: one.kind.name().to_owned(),
                status: said.status,
                code: said.code.to_owned(),
                detail: said.said(),
            })
        }
    };
    let mut failures: Vec<FailureSeen> = done.iter().enumerate().filter_map(failure).collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let failed = count(failures.len());
    failures.truncate(FAILURES_SEEN_MAX);
    BulkSeen { operations: count(done.len()), failed, failures }
}

fn told(base: &str, done: &Done) -> Value {
    let mut said = Map::new();
    said.insert("method".to_owned(), json!(done.method.as_str()));
    if let Some(name) = &done.bulk_id {
        said.insert("bulkId".to_owned(), json!(name));
    }
    match &done.outcome {
        Ok(outcome) => {
            let status = match (done.method, outcome.version) {
                (Method::Post, _) => StatusCode::CREATED,
                (_, None) => StatusCode::NO_CONTENT,
                (_, Some(_)) => StatusCode::OK,
            };
            said.insert("status".to_owned(), json!(status.as_str()));
            let location = format!("{base}{}/{}", done.kind.endpoint(), outcome.id);
            said.insert("location".to_owned(), json!(location));
            if let Some(version) = outcome.version {
                said.insert("version".to_owned(), json!(scim::etag(version)));
            }
        }
        Err(error) => {
            let (status, response) = scim_error::told(error);
            said.insert("status".to_owned(), json!(status.to_string()));
            said.insert("response".to_owned(), response);
        }
    }
    Value::Object(said)
}
