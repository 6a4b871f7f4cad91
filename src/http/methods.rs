//! By which methods a path is served, from the route table: what `Allow` says (RFC 9110 10.2.1).

use super::{Entry, routes};
use actix_web::{
    HttpResponse,
    dev::ResourceDef,
    http::header::{self, HeaderValue},
};
use std::sync::LazyLock;

/// Every place of the table that is one. What catches a whole prefix serves nothing there.
static PLACES: LazyLock<Vec<(ResourceDef, &'static Entry)>> = LazyLock::new(|| {
    let places = routes().filter(|entry| !entry.path.contains(":.*}"));
    places.map(|entry| (ResourceDef::new(entry.path), entry)).collect()
});

/// The methods of a path, in the table's order; `None` where nothing is. A place of that very name goes
/// before one with a parameter: `/Users/.search` is no user.
pub fn allowed(path: &str) -> Option<String> {
    let mut here: Vec<_> = PLACES.iter().filter(|(place, _)| place.is_match(path)).collect();
    let is_named = |entry: &Entry| !entry.path.ends_with('}');
    if here.iter().any(|(_, entry)| is_named(entry)) {
        here.retain(|(_, entry)| is_named(entry));
    }
    let mut methods: Vec<&str> = Vec::new();
    for (_, entry) in here {
        let by = entry.method.as_str();
        if !methods.contains(&by) {
            methods.push(by);
            // What is read by GET is asked for by HEAD (RFC 9110 9.1).
            methods.extend((by == "GET").then_some("HEAD"));
        }
    }
    (!methods.is_empty()).then(|| methods.join(", "))
}

/// Says them on a 405.
pub fn told(mut response: HttpResponse, allowed: &str) -> HttpResponse {
    if let Ok(allow) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
