//! How the provisioning service answers: resources with their entity tags, lists, nothing at all.
//! RFC 7644 3.1, 3.14, 8.1.

use super::header_of;
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
};
use broker::{provision_group::GroupView, provision_user::Seat};
use scim::{Meta, Projection, Reference};
use serde_json::Value;

pub(super) fn json(mut response: HttpResponseBuilder, body: &Value) -> HttpResponse {
    response
        .insert_header((header::CONTENT_TYPE, scim::MEDIA_TYPE))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body.to_string())
}

/// One resource, with its entity tag; a new one with its address.
pub(super) fn one(status: StatusCode, meta: &Meta, resource: &Value) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response.insert_header((header::ETAG, scim::etag(meta.version)));
    if status == StatusCode::CREATED {
        response.insert_header((header::LOCATION, meta.location.as_str()));
    }
    json(response, resource)
}

pub(super) fn empty(status: StatusCode, version: Option<i64>) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if let Some(version) = version {
        response.insert_header((header::ETAG, scim::etag(version)));
    }
    response.finish()
}

/// 304 when the client has this version (RFC 7644 3.14).
pub(super) fn unless_known(req: &HttpRequest, meta: &Meta, resource: &Value) -> HttpResponse {
    match header_of(req, header::IF_NONE_MATCH) {
        Some(known) if scim::etag_matches(&known, meta.version) => {
            empty(StatusCode::NOT_MODIFIED, Some(meta.version))
        }
        Some(_) | None => one(StatusCode::OK, meta, resource),
    }
}

pub(super) fn user(base: &str, seat: &Seat, projection: &Projection) -> (Meta, Value) {
    let id = seat.user.id.to_string();
    let meta = Meta {
        created: seat.user.created_at,
        modified: seat.user.modified_at,
        version: seat.user.version,
        location: format!("{base}/Users/{id}"),
    };
    let groups: Vec<Reference> = seat
        .groups
        .iter()
        .map(|one| Reference {
            id: one.group.to_string(),
            display: one.display.clone(),
            location: format!("{base}/Groups/{}", one.group),
        })
        .collect();
    let resource = scim::user::render(&id, &seat.document, &meta, &groups, projection);
    (meta, resource)
}

pub(super) fn group(base: &str, view: &GroupView, projection: &Projection) -> (Meta, Value) {
    let id = view.group.id.to_string();
    let meta = Meta {
        created: view.group.created_at,
        modified: view.group.modified_at,
        version: view.group.version,
        location: format!("{base}/Groups/{id}"),
    };
    let members: Option<Vec<Reference>> = view.members.as_ref().map(|members| {
        let member = |one: &store::Membership| Reference {
            id: one.user.to_string(),
            display: None,
            location: format!("{base}/Users/{}", one.user),
        };
        members.iter().map(member).collect()
    });
    let labels = (view.group.display_name.as_str(), view.group.external_id.as_deref());
    let resource = scim::group::render(&id, labels, &meta, members.as_deref(), projection);
    (meta, resource)
}
