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
    accounts::SESSIONS_MAX,
    admit::{Admitted, Outcome},
    attempt::{self, AppRequest, SealedAttempt},
    inspect::BrowserSession,
};
use model::ids::{AttemptId, OrgId};
use std::collections::BTreeMap;

/// A session's cookie: this, and its org's id.
const SESSION_COOKIE: &str = "vst_session_";

/// Browsers take a cookie of such a name from its own host alone, over https.
const HOST_BOUND: &str = "__Host-";

/// The way back to the app.
pub(super) struct Back {
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) form_post: bool,
    pub(super) issuer: String,
}

impl Back {
    pub(super) fn of(gw: &Gateway, asked: AppRequest) -> Self {
        let AppRequest { redirect_uri, state, form_post, .. } = asked;
        Self { redirect_uri, state, form_post, issuer: gw.links.issuer().to_owned() }
    }

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

pub(super) fn answered(req: &HttpRequest, gw: &Gateway, admitted: Admitted) -> HttpResponse {
    let org = admitted.org;
    let mut response = Back::of(gw, admitted.asked).send(vec![("code", admitted.code.reveal().clone())]);
    if let Some((value, lives_secs)) = admitted.cookie {
        let mut held: Vec<OrgId> = sessions(req, gw).iter().map(|session| session.org).collect();
        held.retain(|other| *other != org);
        let over = (held.len() + 1).saturating_sub(SESSIONS_MAX);
        held.iter().take(over).for_each(|other| drop_session(gw, &mut response, *other));
        let value = value.reveal().clone();
        let mut cookie = lax(gw.links.is_https(), &session_cookie(org), value);
        cookie.set_max_age(Duration::seconds(lives_secs));
        add_cookie(&mut response, &cookie);
    }
    response
}

/// Attempts that one browser keeps at once: so many tabs. Older ones are taken away, lest their cookies
/// outgrow what proxies let through.
const ATTEMPTS_MAX: usize = 5;
/// So many cookies one answer takes back: proxies bound the head of an answer.
pub(super) const DROPPED_MAX: usize = 8;

pub(super) fn add_attempt(
    req: &HttpRequest,
    gw: &Gateway,
    response: &mut HttpResponse,
    attempt: SealedAttempt,
) {
    // Ids sort by their birth.
    let mut held: Vec<AttemptId> = cookies(req, gw).keys().filter_map(|name| attempt::id_of(name)).collect();
    held.sort_by_key(|id| id.uuid());
    let over = (held.len() + 1).saturating_sub(ATTEMPTS_MAX).min(DROPPED_MAX);
    held.iter().take(over).for_each(|id| drop_attempt(gw, response, *id));
    // A SAML answer is a cross-site POST: only None lets the cookie come along. On a loopback http
    // URL browsers refuse None without Secure, and every party there is on one site.
    let same_site = if gw.links.is_https() { SameSite::None } else { SameSite::Lax };
    let mut cookie = lax(gw.links.is_https(), &attempt.cookie_name, attempt.cookie_value);
    cookie.set_same_site(same_site);
    cookie.set_max_age(Duration::seconds(gw.lifetimes.attempt_secs));
    add_cookie(response, &cookie);
}

/// Takes an attempt's cookie back.
fn drop_attempt(gw: &Gateway, response: &mut HttpResponse, id: AttemptId) {
    let mut gone = lax(gw.links.is_https(), &attempt::cookie_name(id), String::new());
    gone.set_same_site(if gw.links.is_https() { SameSite::None } else { SameSite::Lax });
    gone.make_removal();
    add_cookie(response, &gone);
}

/// How an answer that was accepted goes back: with a code, or with what is missing.
pub(super) fn ended(req: &HttpRequest, gw: &Gateway, outcome: Outcome) -> HttpResponse {
    match outcome {
        Outcome::Admitted(admitted) => answered(req, gw, *admitted),
        Outcome::Declined { asked, refusal } => Back::of(gw, *asked).error(&refusal.into()),
    }
}

fn session_cookie(org: OrgId) -> String {
    format!("{SESSION_COOKIE}{org}")
}

/// Takes the cookie of the session in this org back.
pub(super) fn drop_session(gw: &Gateway, response: &mut HttpResponse, org: OrgId) {
    drop_lax(gw.links.is_https(), response, &session_cookie(org));
}

/// A cookie of one host alone, for its whole origin; over https by a name that no sibling of the host can set.
pub(super) fn lax(is_https: bool, name: &str, value: String) -> Cookie<'static> {
    let name = if is_https { format!("{HOST_BOUND}{name}") } else { name.to_owned() };
    Cookie::build(name, value).path("/").http_only(true).secure(is_https).same_site(SameSite::Lax).finish()
}

/// Takes it back.
pub(super) fn drop_lax(is_https: bool, response: &mut HttpResponse, name: &str) {
    let mut gone = lax(is_https, name, String::new());
    gone.make_removal();
    add_cookie(response, &gone);
}

pub(super) fn add_cookie(response: &mut HttpResponse, cookie: &Cookie<'_>) {
    if response.add_cookie(cookie).is_err() {
        tracing::error!("a cookie could not be set");
    }
}

/// The request's cookies of ours, without the prefix.
pub(super) fn cookies(req: &HttpRequest, gw: &Gateway) -> BTreeMap<String, String> {
    cookies_of(req, gw.links.is_https())
}

/// Those of an origin with https or without, as they were sent: nothing is decoded (`%5F_Host-` is no `__Host-`),
/// and a name that comes twice is nobody's: a browser sends ours once. Between pairs stand spaces (RFC 6265 4.2.1) and
/// nothing else: behind another kind of white space a sibling host may set a name that only looks like ours.
pub(super) fn cookies_of(req: &HttpRequest, is_https: bool) -> BTreeMap<String, String> {
    let prefix = if is_https { HOST_BOUND } else { "" };
    let mut seen: BTreeMap<String, Option<String>> = BTreeMap::new();
    let pairs = req.headers().get_all(header::COOKIE).flat_map(|line| line.as_bytes().split(|b| *b == b';'));
    for pair in pairs.filter_map(|pair| std::str::from_utf8(pair).ok()) {
        let Some((name, value)) = pair.trim_matches([' ', '\t']).split_once('=') else { continue };
        if let Some(name) = name.strip_prefix(prefix) {
            let first = !seen.contains_key(name);
            seen.insert(name.to_owned(), first.then(|| value.to_owned()));
        }
    }
    seen.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Does this request come from a page of ours, or from the person? A browser says so; who does not say is none, and
/// brings no cookie that a page elsewhere could have sent. `SameSite` alone lets siblings of our host through.
pub(super) fn is_own(req: &HttpRequest) -> bool {
    let from = req.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    from.is_none_or(|from| from == "same-origin" || from == "none")
}

/// This browser's sessions, one an org: cookies that are well-formed, each under the name of the org that it says.
pub(super) fn sessions(req: &HttpRequest, gw: &Gateway) -> Vec<BrowserSession> {
    let jar = cookies(req, gw);
    let named = jar.iter().filter_map(|(name, value)| Some((name.strip_prefix(SESSION_COOKIE)?, value)));
    let read = named.filter_map(|(org, value)| {
        BrowserSession::read(value).filter(|session| session.org.to_string() == org)
    });
    read.take(SESSIONS_MAX).collect()
}
