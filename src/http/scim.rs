//! `/scim/v2` and, for directories that want the org in the path, `/orgs/{slug}/scim/v2`: the same
//! service. Takes a request apart, calls one provisioning story, renders its result or its refusal
//! in SCIM's own dialect. The token is asked for before a body is read. RFC 7644 3, 4 and 8.

mod bulk;
mod discovery;
mod render;
mod search;

use super::{DoorKind, Entry, Made::Plain, doors, guard::facts, scim_error, shielded};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web::{self, Data, Payload},
};
use broker::{FlowError, Gateway, provision::Asked, provision_group, provision_user};
use render::{empty, group, one, unless_known, user};
use scim::{Problem, Projection, ScimError, dialect::BODY_BYTES_MAX};
use std::str::FromStr;
use store::{Door, OrgScope, ScimClient};

const fn at(method: Method, path: &'static str, door: DoorKind, route: fn() -> actix_web::Route) -> Entry {
    Entry { method, path, door, made: Plain(route) }
}

const fn held(method: Method, path: &'static str, route: fn() -> actix_web::Route) -> Entry {
    at(method, path, DoorKind::Scim, route)
}

const fn open(path: &'static str) -> Entry {
    at(Method::GET, path, DoorKind::Open, || web::route().to(discovery::discovery))
}

pub const ROUTES: &[Entry] = &[
    held(Method::GET, "/scim/v2", || web::route().to(search::everything)),
    held(Method::GET, "/scim/v2/", || web::route().to(search::everything)),
    held(Method::POST, "/scim/v2/Bulk", || web::route().to(bulk::bulk)),
    held(Method::POST, "/scim/v2/.search", || web::route().to(search::search_everything)),
    held(Method::POST, "/scim/v2/Users/.search", || web::route().to(search::search_users)),
    held(Method::POST, "/scim/v2/Groups/.search", || web::route().to(search::search_groups)),
    held(Method::GET, "/scim/v2/Users", || web::route().to(search::users)),
    held(Method::POST, "/scim/v2/Users", || web::route().to(create_user)),
    held(Method::GET, "/scim/v2/Users/{id}", || web::route().to(get_user)),
    held(Method::PUT, "/scim/v2/Users/{id}", || web::route().to(change_user)),
    held(Method::PATCH, "/scim/v2/Users/{id}", || web::route().to(change_user)),
    held(Method::DELETE, "/scim/v2/Users/{id}", || web::route().to(delete_user)),
    held(Method::GET, "/scim/v2/Groups", || web::route().to(search::groups)),
    held(Method::POST, "/scim/v2/Groups", || web::route().to(create_group)),
    held(Method::GET, "/scim/v2/Groups/{id}", || web::route().to(get_group)),
    held(Method::PUT, "/scim/v2/Groups/{id}", || web::route().to(change_group)),
    held(Method::PATCH, "/scim/v2/Groups/{id}", || web::route().to(change_group)),
    held(Method::DELETE, "/scim/v2/Groups/{id}", || web::route().to(delete_group)),
    open("/scim/v2/ServiceProviderConfig"),
    open("/scim/v2/ResourceTypes"),
    open("/scim/v2/ResourceTypes/{id}"),
    open("/scim/v2/Schemas"),
    open("/scim/v2/Schemas/{id}"),
    held(Method::GET, "/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::POST, "/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::PUT, "/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::PATCH, "/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::DELETE, "/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::GET, "/orgs/{slug}/scim/v2", || web::route().to(search::everything)),
    held(Method::GET, "/orgs/{slug}/scim/v2/", || web::route().to(search::everything)),
    held(Method::POST, "/orgs/{slug}/scim/v2/Bulk", || web::route().to(bulk::bulk)),
    held(Method::POST, "/orgs/{slug}/scim/v2/.search", || web::route().to(search::search_everything)),
    held(Method::POST, "/orgs/{slug}/scim/v2/Users/.search", || web::route().to(search::search_users)),
    held(Method::POST, "/orgs/{slug}/scim/v2/Groups/.search", || web::route().to(search::search_groups)),
    held(Method::GET, "/orgs/{slug}/scim/v2/Users", || web::route().to(search::users)),
    held(Method::POST, "/orgs/{slug}/scim/v2/Users", || web::route().to(create_user)),
    held(Method::GET, "/orgs/{slug}/scim/v2/Users/{id}", || web::route().to(get_user)),
    held(Method::PUT, "/orgs/{slug}/scim/v2/Users/{id}", || web::route().to(change_user)),
    held(Method::PATCH, "/orgs/{slug}/scim/v2/Users/{id}", || web::route().to(change_user)),
    held(Method::DELETE, "/orgs/{slug}/scim/v2/Users/{id}", || web::route().to(delete_user)),
    held(Method::GET, "/orgs/{slug}/scim/v2/Groups", || web::route().to(search::groups)),
    held(Method::POST, "/orgs/{slug}/scim/v2/Groups", || web::route().to(create_group)),
    held(Method::GET, "/orgs/{slug}/scim/v2/Groups/{id}", || web::route().to(get_group)),
    held(Method::PUT, "/orgs/{slug}/scim/v2/Groups/{id}", || web::route().to(change_group)),
    held(Method::PATCH, "/orgs/{slug}/scim/v2/Groups/{id}", || web::route().to(change_group)),
    held(Method::DELETE, "/orgs/{slug}/scim/v2/Groups/{id}", || web::route().to(delete_group)),
    open("/orgs/{slug}/scim/v2/ServiceProviderConfig"),
    open("/orgs/{slug}/scim/v2/ResourceTypes"),
    open("/orgs/{slug}/scim/v2/ResourceTypes/{id}"),
    open("/orgs/{slug}/scim/v2/Schemas"),
    open("/orgs/{slug}/scim/v2/Schemas/{id}"),
    held(Method::GET, "/orgs/{slug}/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::POST, "/orgs/{slug}/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::PUT, "/orgs/{slug}/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::PATCH, "/orgs/{slug}/scim/{tail:.*}", || web::route().to(not_here)),
    held(Method::DELETE, "/orgs/{slug}/scim/{tail:.*}", || web::route().to(not_here)),
];

/// A directory past its door.
struct Caller {
    gw: Data<Gateway>,
    scope: OrgScope<ScimClient>,
    /// Absolute URL of the service as this caller addresses it.
    base: String,
    /// Would change something, and is not to.
    rehearses: bool,
    /// The resource that is asked for.
    about: String,
}

impl Caller {
    async fn enter(req: &HttpRequest, gw: Data<Gateway>) -> Result<Self, FlowError> {
        let slug = req.match_info().get("slug");
        let scope = doors::scim(req, &gw, slug).await?;
        let base = base(&gw, slug);
        // A route of one resource would take it for an id.
        let is_search = super::plain(req.path()).ends_with("/.search");
        if is_search && req.method() != Method::POST {
            return Err(ScimError::of(Problem::MethodNotAllowed, ".search is asked by POST").into());
        }
        let rehearses = scope.door().is_rehearsal() && req.method() != Method::GET && !is_search;
        Ok(Self { gw, scope, base, rehearses, about: resource(req) })
    }
    /// Runs a story to its end, in the org's span. A rehearsal that comes back would have changed nothing.
    fn runs<T: Send + 'static>(
        &self,
        story: impl Future<Output = Result<T, FlowError>> + Send + 'static,
    ) -> impl Future<Output = Result<T, scim_error::Refused>> {
        let running = shielded(story);
        async {
            let done = match running.await {
                Ok(_) if self.rehearses => Err(FlowError::Rehearsed(None)),
                done => done,
            };
            done.map_err(|error| scim_error::Refused::about(error, &self.about))
        }
    }
    fn outside(&self) -> (Data<Gateway>, OrgScope<ScimClient>) {
        (self.gw.clone(), self.scope.clone())
    }
}

fn base(gw: &Gateway, slug: Option<&str>) -> String {
    slug.map_or_else(|| gw.links.scim_base(), |slug| gw.links.at(&format!("/orgs/{slug}/scim/v2")))
}

/// How the resource that a request is about is called.
fn resource(req: &HttpRequest) -> String {
    let path = req.match_pattern().unwrap_or_default();
    let kind = match () {
        () if path.contains("/Users") => "User",
        () if path.contains("/Groups") => "Group",
        () => "Resource",
    };
    let id = req.match_info().get("id").map(|id| id.chars().take(40).collect::<String>());
    id.map_or_else(|| kind.to_owned(), |id| format!("{kind} {id}"))
}

/// An id that is not one names nothing.
fn id<T: FromStr>(req: &HttpRequest) -> Result<T, FlowError> {
    req.match_info().get("id").and_then(|text| text.parse().ok()).ok_or(FlowError::Missing)
}

fn header_of(req: &HttpRequest, name: header::HeaderName) -> Option<String> {
    req.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn asked(req: &HttpRequest) -> Result<Asked, FlowError> {
    let projection = search::query(req, &["attributes", "excludedAttributes"])?.projection;
    Ok(Asked { if_match: header_of(req, header::IF_MATCH), projection, ..Asked::default() })
}

/// The body, bounded here and again by the judge.
async fn body(payload: Payload) -> Result<Vec<u8>, FlowError> {
    match payload.to_bytes_limited(BODY_BYTES_MAX).await {
        Ok(Ok(bytes)) => Ok(bytes.to_vec()),
        Ok(Err(_)) => Err(ScimError::of(Problem::BodyLate, "the body did not arrive whole in time").into()),
        Err(_) => Err(ScimError::of(Problem::BodyTooLarge, format!("at most {BODY_BYTES_MAX} bytes")).into()),
    }
}

type Answer = Result<HttpResponse, scim_error::Refused>;

async fn create_user(req: HttpRequest, gw: Data<Gateway>, payload: Payload) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let (asked, body) = (asked(&req)?, body(payload).await?);
    let projection = asked.projection.clone();
    let (gw, scope) = caller.outside();
    let seat = caller.runs(async move { provision_user::create(&gw, &scope, &body, &asked).await }).await?;
    let (meta, resource) = user(&caller.base, &seat, &projection);
    Ok(one(StatusCode::CREATED, &meta, &resource))
}

async fn get_user(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let (id, projection) = (id(&req)?, asked(&req)?.projection);
    let (gw, scope) = caller.outside();
    let wanted = projection.clone();
    let seat = caller.runs(async move { provision_user::get(&gw, &scope, id, &wanted).await }).await?;
    let (meta, resource) = user(&caller.base, &seat, &projection);
    Ok(unless_known(&req, &meta, &resource))
}

async fn change_user(req: HttpRequest, gw: Data<Gateway>, payload: Payload) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let (id, asked, body) = (id(&req)?, asked(&req)?, body(payload).await?);
    let projection = asked.projection.clone();
    let (gw, scope) = caller.outside();
    let seat = match *req.method() {
        Method::PUT => {
            let story = async move { provision_user::replace(&gw, &scope, id, &body, &asked).await };
            caller.runs(story).await?
        }
        _ => caller.runs(async move { provision_user::patch(&gw, &scope, id, &body, &asked).await }).await?,
    };
    let (meta, resource) = user(&caller.base, &seat, &projection);
    Ok(one(StatusCode::OK, &meta, &resource))
}

async fn delete_user(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let (id, asked) = (id(&req)?, asked(&req)?);
    let (gw, scope) = caller.outside();
    caller.runs(async move { provision_user::delete(&gw, &scope, id, &asked).await }).await?;
    Ok(empty(StatusCode::NO_CONTENT, None))
}

async fn create_group(req: HttpRequest, gw: Data<Gateway>, payload: Payload) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let (asked, body) = (asked(&req)?, body(payload).await?);
    let projection = asked.projection.clone();
    let (gw, scope) = caller.outside();
    let view = caller.runs(async move { provision_group::create(&gw, &scope, &body, &asked).await }).await?;
    let (meta, resource) = group(&caller.base, &view, &projection);
    Ok(one(StatusCode::CREATED, &meta, &resource))
}

async fn get_group(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let (id, projection) = (id(&req)?, asked(&req)?.projection);
    let (gw, scope) = caller.outside();
    let wanted = projection.clone();
    let view = caller.runs(async move { provision_group::get(&gw, &scope, id, &wanted).await }).await?;
    let (meta, resource) = group(&caller.base, &view, &projection);
    Ok(unless_known(&req, &meta, &resource))
}

/// A PATCH of a group answers 204 unless the client names attributes: what it changed it knows, and
/// the members of a large group are not read for one that joins.
async fn change_group(req: HttpRequest, gw: Data<Gateway>, payload: Payload) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let (id, mut asked, body) = (id(&req)?, asked(&req)?, body(payload).await?);
    let silent = *req.method() == Method::PATCH && asked.projection == Projection::All;
    if silent {
        asked.projection = Projection::parse(None, Some("members")).map_err(FlowError::from)?;
    }
    let projection = asked.projection.clone();
    let (gw, scope) = caller.outside();
    let view = match *req.method() {
        Method::PUT => {
            let story = async move { provision_group::replace(&gw, &scope, id, &body, &asked).await };
            caller.runs(story).await?
        }
        _ => caller.runs(async move { provision_group::patch(&gw, &scope, id, &body, &asked).await }).await?,
    };
    if silent {
        return Ok(empty(StatusCode::NO_CONTENT, Some(view.group.version)));
    }
    let (meta, resource) = group(&caller.base, &view, &projection);
    Ok(one(StatusCode::OK, &meta, &resource))
}

async fn delete_group(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let (id, asked) = (id(&req)?, asked(&req)?);
    let (gw, scope) = caller.outside();
    caller.runs(async move { provision_group::delete(&gw, &scope, id, &asked).await }).await?;
    Ok(empty(StatusCode::NO_CONTENT, None))
}

/// Everything else under the prefix: known but not served, known but not by this method, or unknown.
async fn not_here(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    Caller::enter(&req, gw).await?;
    let tail: Vec<&str> = req.match_info().get("tail").unwrap_or_default().split('/').collect();
    let problem = match tail.as_slice() {
        ["v2", "Me"] => Some((Problem::NotServed, "/Me is not served: a directory is nobody's seat")),
        _ => None,
    };
    tracing::debug!(request_id = %facts(&req).call.request_id, "nothing served at this path");
    match problem {
        Some((problem, detail)) => Err(FlowError::from(ScimError::of(problem, detail)).into()),
        None => Ok(super::nowhere(&req)),
    }
}
