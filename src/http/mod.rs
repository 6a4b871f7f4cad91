//! The faces: each takes a request apart, calls one story, and renders its result in the caller's
//! own dialect. The only actix of the house. `ROUTES` is the one route table; the tests walk it.

pub mod account;
pub mod admin;
pub mod admin_apps;
pub mod admin_connections;
pub mod admin_directories;
pub mod admin_keys;
pub mod admin_orgs;
pub mod admin_people;
pub mod admin_plans;
pub mod admin_requests;
pub mod admin_service_accounts;
pub mod audit;
mod back;
mod client_auth;
mod client_credentials;
pub mod connection_view;
pub mod doors;
pub mod feed;
pub mod forward;
mod grant;
pub mod guard;
pub mod late;
pub mod logout;
pub mod methods;
mod metrics;
pub mod oauth_error;
pub mod openapi;
pub mod openapi_document;
mod openapi_parameters;
pub mod ops;
mod paged;
pub mod pages;
mod pages_account;
mod pages_proxy;
pub mod problem;
pub mod proxy;
pub mod scim;
pub mod scim_error;
pub mod signals;
pub mod signin;
pub mod ssf;
mod streamed;
pub mod token;
pub mod told;
pub mod witness;

use actix_web::{HttpRequest, HttpResponse, ResponseError, Route, http::Method, web::ServiceConfig};
use broker::FlowError;
use std::borrow::Cow;

/// Who may pass: what the test of every route × {no credential, another org's, wrong door} expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorKind {
    /// Anybody: the browser's own flows, discovery, health.
    Open,
    /// An authenticated OAuth client.
    Client,
    /// An access token of ours.
    Bearer,
    /// A directory's token.
    Scim,
    /// An org's key or the platform's, at the org its path names.
    Org,
    /// The platform's key alone.
    Platform,
}

/// One line of the route table.
pub struct Entry {
    pub method: Method,
    pub path: &'static str,
    pub door: DoorKind,
    pub made: Made,
}

/// What makes the route. One of `/api/v1` brings the schema of its answer along.
#[derive(Clone, Copy)]
pub enum Made {
    Plain(fn() -> Route),
    Served(fn() -> openapi::Served),
}

impl Made {
    fn route(self) -> Route {
        match self {
            Self::Plain(make) => make(),
            Self::Served(make) => make().route,
        }
    }
}

/// Every route, by face.
pub fn routes() -> impl Iterator<Item = &'static Entry> {
    let faces = [
        ops::ROUTES,
        signin::ROUTES,
        logout::ROUTES,
        account::ROUTES,
        forward::ROUTES,
        proxy::ROUTES,
        signals::ROUTES,
        ssf::ROUTES,
        token::ROUTES,
        scim::ROUTES,
    ];
    faces.into_iter().flatten().chain(openapi::entries())
}

pub fn configure(config: &mut ServiceConfig) {
    // A path is compared with a fixed one at once; patterns are tried one after another.
    let (patterns, fixed): (Vec<_>, Vec<_>) = routes().partition(|entry| entry.path.contains('{'));
    for entry in fixed.into_iter().chain(patterns) {
        config.route(entry.path, entry.made.route().method(entry.method.clone()));
    }
    config.default_service(actix_web::web::to(|req: HttpRequest| async move { nowhere(&req) }));
}

/// A path that is served, by another method.
pub const METHOD: &str = "api.method_not_allowed";

/// No such path (404), or not by this method (405): said as whoever asks there is spoken to.
fn nowhere(req: &HttpRequest) -> HttpResponse {
    match methods::allowed(&plain(req.path())) {
        None => answered(req, FlowError::Missing),
        Some(allowed) => {
            let not_so = FlowError::invalid(METHOD, "method", format!("by {allowed}"));
            methods::told(answered(req, not_so), &allowed)
        }
    }
}

/// Is it the provisioning service's, in one form or the other?
/// A path as the router reads it: an unreserved character stands for itself, written plainly or not (RFC 3986
/// 6.2.2.2). Whatever is decided by a path is decided by this.
fn plain(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return path.into();
    }
    let mut said = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        said.push_str(before);
        let letter = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).map(char::from);
        match letter.filter(|c| c.is_ascii_alphanumeric() || "-._~".contains(*c)) {
            Some(letter) => {
                said.push(letter);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                said.push('%');
                rest = after;
            }
        }
    }
    said.push_str(rest);
    said.into()
}

fn of_scim(path: &str) -> bool {
    let path = plain(path);
    let of_org = path.strip_prefix("/orgs/").and_then(|rest| rest.split_once('/'));
    path.starts_with("/scim/") || of_org.is_some_and(|(_, rest)| rest.starts_with("scim/"))
}

/// What of the provider a browser opens, and no program.
const BROWSERS: [&str; 2] = ["/oauth2/authorize", "/oauth2/logout"];

fn answered(req: &HttpRequest, error: FlowError) -> HttpResponse {
    let path = plain(req.path());
    if of_scim(&path) {
        scim_error::Refused::from(error).error_response()
    } else if path.starts_with("/api/") {
        problem::Problem::of(req, error).response()
    } else if signals::is_here(&path)
        || path.starts_with("/ssf/")
        || path.starts_with("/forward-auth")
        || path.starts_with("/oauth2/") && !BROWSERS.iter().any(|page| path.starts_with(page))
    {
        oauth_error::nowhere(&error)
    } else {
        pages::nowhere(&error)
    }
}

/// The operator's own listener: health, readiness, metrics.
pub fn configure_ops(config: &mut ServiceConfig) {
    for entry in ops::ROUTES.iter().filter(|entry| matches!(entry.path, "/healthz" | "/readyz")) {
        config.route(entry.path, entry.made.route().method(entry.method.clone()));
    }
    config.route("/metrics", actix_web::web::get().to(metrics::metrics));
}

/// Runs a story to its end, whether or not its caller waits: a client that hangs up does not stop a
/// transaction half-way. (A dropped `BEGIN` could otherwise leave an org's transaction to the next
/// borrower of the connection.) It begins at once: a story is tens of kilobytes, and the request that waits for it,
/// or is refused before, has none of them.
pub fn shielded<T: Send + 'static>(
    story: impl Future<Output = Result<T, FlowError>> + Send + 'static,
) -> impl Future<Output = Result<T, FlowError>> + Send {
    use tracing::Instrument;
    let running = tokio::spawn(story.in_current_span());
    async {
        match running.await {
            Ok(done) => done,
            Err(panicked) => Err(FlowError::Fault(panicked.to_string())),
        }
    }
}
