//! What goes back with the browser: the redirect to the app, by query or by form, and the cookies.
//! The only room that sets one.

use super::{oauth_error, pages};
use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::header,
};
use broker::{
    FlowError, Gateway,
    admit::Admitted,
    attempt::{self, SealedAttempt},
    inspect::BrowserSession,
};
use model::ids::AttemptId;
use std::collections::BTreeMap;

const SESSION_COOKIE: &str = "vst_session";

/// The way back to the app.
pub(super) struct Back {
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) form_post: bool,
    pub(super) issuer: String,
}

impl Back {
    pub(super) fn error(&self, error: &FlowError) -> HttpResponse {
        let description = match error {
            FlowError::Invalid { detail, .. } => detail.clone(),
            other => other.code().to_owned(),
        };
        let code = match error {
            FlowError::Refused(r) if r.code == "oauth.unsupported_response_type" => {
                "unsupported_response_type"
            }
            other => oauth_error::code(other),
        };
        self.send(vec![("error", code.to_owned()), ("error_description", description)])
    }

    pub(super) fn send(&self, mut fields: Vec<(&'static str, String)>) -> HttpResponse {
        fields.extend(self.state.clone().map(|state| ("state", state)));
        fields.push(("iss", self.issuer.clone()));
        if self.form_post {
            return pages::auto_post(&self.redirect_uri, &fields);
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&fields);
        let joint = if self.redirect_uri.contains('?') { '&' } else { '?' };
        see_other(&format!("{}{joint}{}", self.redirect_uri, query.finish()))
    }
}

/// 303, never 307: a POST with credentials is not to be posted on (RFC 9700 4.12).
pub(super) fn see_other(url: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, url))
        .insert_header(("Cache-Control", "no-store"))
        .finish()
}

pub(super) fn answered(gw: &Gateway, admitted: Admitted) -> HttpResponse {
    let back = Back {
        redirect_uri: admitted.asked.redirect_uri,
        state: admitted.asked.state,
        form_post: admitted.asked.form_post,
        issuer: gw.links.issuer().to_owned(),
    };
    let mut response = back.send(vec![("code", admitted.code.reveal().clone())]);
    if let Some((value, lives_secs)) = admitted.cookie {
        let cookie = Cookie::build(cookie_name(gw, SESSION_COOKIE), value.reveal().clone())
            .path("/")
            .http_only(true)
            .secure(gw.links.is_https())
            .same_site(SameSite::Lax)
            .max_age(Duration::seconds(lives_secs))
            .finish();
        add_cookie(&mut response, &cookie);
    }
    response
}

/// Attempts that one browser keeps at once: so many tabs. Older ones are taken away, lest their cookies
/// outgrow what proxies let through.
const ATTEMPTS_MAX: usize = 5;

pub(super) fn add_attempt(
    req: &HttpRequest,
    gw: &Gateway,
    response: &mut HttpResponse,
    attempt: SealedAttempt,
) {
    // Ids sort by their birth.
    let mut held: Vec<AttemptId> = cookies(req, gw).keys().filter_map(|name| attempt::id_of(name)).collect();
    held.sort_by_key(|id| id.uuid());
    let over = (held.len() + 1).saturating_sub(ATTEMPTS_MAX);
    held.iter().take(over).for_each(|id| drop_attempt(gw, response, *id));
    // A SAML answer is a cross-site POST: only None lets the cookie come along. On a loopback http
    // URL browsers refuse None without Secure, and every party there is on one site.
    let same_site = if gw.links.is_https() { SameSite::None } else { SameSite::Lax };
    let cookie = Cookie::build(cookie_name(gw, &attempt.cookie_name), attempt.cookie_value)
        .path("/")
        .http_only(true)
        .secure(gw.links.is_https())
        .same_site(same_site)
        .max_age(Duration::seconds(gw.lifetimes.attempt_secs))
        .finish();
    add_cookie(response, &cookie);
}

/// Takes an attempt's cookie back.
fn drop_attempt(gw: &Gateway, response: &mut HttpResponse, id: AttemptId) {
    let mut gone = Cookie::build(cookie_name(gw, &attempt::cookie_name(id)), "")
        .path("/")
        .http_only(true)
        .secure(gw.links.is_https())
        .same_site(if gw.links.is_https() { SameSite::None } else { SameSite::Lax })
        .finish();
    gone.make_removal();
    add_cookie(response, &gone);
}

/// Takes the session's cookie back.
pub(super) fn drop_session(gw: &Gateway, response: &mut HttpResponse) {
    let mut gone = Cookie::build(cookie_name(gw, SESSION_COOKIE), "")
        .path("/")
        .http_only(true)
        .secure(gw.links.is_https())
        .same_site(SameSite::Lax)
        .finish();
    gone.make_removal();
    add_cookie(response, &gone);
}

fn add_cookie(response: &mut HttpResponse, cookie: &Cookie<'_>) {
    if response.add_cookie(cookie).is_err() {
        tracing::error!("a cookie could not be set");
    }
}

fn cookie_name(gw: &Gateway, name: &str) -> String {
    if gw.links.is_https() { format!("__Host-{name}") } else { name.to_owned() }
}

/// The request's cookies of ours, without the prefix, as they were sent: nothing is decoded (`%5F_Host-`
/// is no `__Host-`), and a name that comes twice is nobody's: a browser sends ours once.
pub(super) fn cookies(req: &HttpRequest, gw: &Gateway) -> BTreeMap<String, String> {
    let prefix = if gw.links.is_https() { "__Host-" } else { "" };
    let mut seen: BTreeMap<String, Option<String>> = BTreeMap::new();
    let pairs = req.headers().get_all(header::COOKIE).flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    for pair in pairs.filter_map(|pair| std::str::from_utf8(pair).ok()) {
        let Some((name, value)) = pair.trim().split_once('=') else { continue };
        if let Some(name) = name.strip_prefix(prefix) {
            let first = !seen.contains_key(name);
            seen.insert(name.to_owned(), first.then(|| value.to_owned()));
        }
    }
    seen.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// This browser's session cookie, if it is well-formed.
pub(super) fn session(req: &HttpRequest, gw: &Gateway) -> Option<BrowserSession> {
    cookies(req, gw).get(SESSION_COOKIE).and_then(|value| BrowserSession::read(value))
}
