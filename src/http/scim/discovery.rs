//! Discovery (RFC 7644 4): what this server can do. It is the same for everybody, so anybody may ask; it
//! is not filtered.

use super::{Answer, base, render::json};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use broker::{FlowError, Gateway};
use scim::{Problem, ScimError, schema, schema::EntityTags};

pub(super) async fn discovery(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    if form_urlencoded::parse(req.query_string().as_bytes())
        .any(|(name, _)| name.eq_ignore_ascii_case("filter"))
    {
        return Err(FlowError::from(ScimError::of(Problem::Forbidden, "discovery is not filtered")).into());
    }
    let base = base(&gw, req.match_info().get("slug"));
    let parts: Vec<&str> = req.path().split('/').rev().take(2).collect();
    let document = match parts.as_slice() {
        ["ServiceProviderConfig", _] => Some(schema::service_provider_config(&base, EntityTags::Obeyed)),
        ["ResourceTypes", _] => Some(schema::resource_types(&base)),
        ["Schemas", _] => Some(schema::schemas(&base)),
        [_, "ResourceTypes"] => schema::resource_type(&base, req.match_info().get("id").unwrap_or_default()),
        _ => schema::schema(&base, req.match_info().get("id").unwrap_or_default()),
    };
    Ok(json(HttpResponse::Ok(), &document.ok_or(FlowError::Missing)?))
}
