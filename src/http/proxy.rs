//! `/proxy/{app}/…`: what a proxy sends here as `/_vestibule/…` of an app's own host. A browser signs in there for a
//! pass, and gives it back. Every cookie is the app's host's. Of the hosts that a request names none is believed.

use super::{
    DoorKind, Entry,
    Made::Plain,
    back::{DROPPED_MAX, add_cookie, cookies_of, drop_lax, is_own, lax, see_other},
    guard::facts,
    pages_proxy::{self, Place},
    shielded,
    token::pairs,
};
use actix_web::{
    HttpRequest, HttpResponse, Route,
    cookie::time::Duration,
    http::Method,
    web::{self, Data, Path},
};
use broker::{
    FlowError, Gateway,
    forward::ShownPass,
    proxy::{self, Answer, Front, Kept, split_query},
};
use model::{Refusal, ids::AttemptId};
use std::collections::BTreeMap;
use store::App;

const fn at(method: Method, path: &'static str, make: fn() -> Route) -> Entry {
    Entry { method, path, door: DoorKind::Open, made: Plain(make) }
}

pub const ROUTES: &[Entry] = &[
    at(Method::GET, "/proxy/{app}/sign-in", || web::route().to(sign_in)),
    at(Method::GET, "/proxy/{app}/callback", || web::route().to(callback)),
    at(Method::GET, "/proxy/{app}/sign-out", || web::route().to(sign_out)),
    at(Method::POST, "/proxy/{app}/sign-out", || web::route().to(sign_out)),
];

const PASS_COOKIE: &str = "vestibule-pass";
/// An attempt's cookie: this, and its id.
const ATTEMPT_COOKIE: &str = "vestibule-";
/// Attempts that one browser keeps at once at one app: with the longest paths 6 KiB of cookies.
const ATTEMPTS_MAX: usize = 3;
/// Beyond the path there is little to say: an org, a hint.
const ASKED_BYTES_MAX: usize = 2 * 1024;

pub(super) fn header<'a>(req: &'a HttpRequest, name: &str) -> Option<&'a str> {
    req.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The hosts that a request names: its own, and the one that a proxy says it was for.
pub(super) fn hosts(req: &HttpRequest) -> Vec<String> {
    let own = req.uri().authority().map(|authority| authority.as_str()).or_else(|| header(req, "host"));
    own.into_iter().chain(header(req, "x-forwarded-host")).map(str::to_owned).collect()
}

/// Does a browser go there itself? One that does not say so may.
pub(super) fn is_navigation(req: &HttpRequest) -> bool {
    header(req, "sec-fetch-dest").is_none_or(|dest| dest == "document")
}

/// The pass that a browser sends along.
pub(super) fn shown_pass(req: &HttpRequest) -> Option<ShownPass> {
    let of = |is_https| {
        let text = cookies_of(req, is_https).remove(PASS_COOKIE)?;
        Some(ShownPass { text, is_of_https: is_https })
    };
    of(true).or_else(|| of(false))
}

async fn sign_in(req: HttpRequest, path: Path<String>, gw: Data<Gateway>) -> HttpResponse {
    let begun = async {
        let (before, to) = split_query(req.query_string());
        if before.len() > ASKED_BYTES_MAX {
            return Err(FlowError::invalid("oauth.invalid_request", "query", "too long"));
        }
        let mut asked = pairs(before.as_bytes())?;
        // Another site may lead here, and not to an org or person of its choice.
        if !is_own(&req) {
            asked.clear();
        }
        let (app, front) = proxy::front_of(&gw, &path, &hosts(&req)).await?;
        // A picture or a call of a page's own: nobody is there to sign in, and each would leave its cookie.
        if !is_navigation(&req) || is_early(&req) {
            return Err(Refusal::stranger("forward.signed_out").into());
        }
        let (url, kept) = proxy::begin(&gw, (&app, &front), to, &asked, facts(&req).call.at)?;
        let mut response = see_other(&url);
        keep(&req, &gw, &front, &mut response, kept);
        Ok(response)
    };
    match begun.await {
        Ok(response) => response,
        Err(error) => pages_proxy::refused(&req, &gw, &error, Place::Nowhere),
    }
}

fn keep(req: &HttpRequest, gw: &Gateway, front: &Front, response: &mut HttpResponse, kept: Kept) {
    let names: Vec<String> = cookies_of(req, front.is_https()).into_keys().collect();
    let read = |name: &String| name.strip_prefix(ATTEMPT_COOKIE)?.parse().ok();
    let mut held: Vec<AttemptId> = names.iter().filter_map(read).collect();
    // Ids sort by their birth.
    held.sort_by_key(|id| id.uuid());
    let over = (held.len() + 1).saturating_sub(ATTEMPTS_MAX).min(DROPPED_MAX);
    held.iter().take(over).for_each(|id| forget(front, response, *id));
    let mut cookie = lax(front.is_https(), &format!("{ATTEMPT_COOKIE}{}", kept.id), kept.sealed);
    cookie.set_max_age(Duration::seconds(gw.lifetimes.attempt_secs));
    add_cookie(response, &cookie);
}

fn forget(front: &Front, response: &mut HttpResponse, id: AttemptId) {
    drop_lax(front.is_https(), response, &format!("{ATTEMPT_COOKIE}{id}"));
}

async fn callback(req: HttpRequest, path: Path<String>, gw: Data<Gateway>) -> HttpResponse {
    match try_callback(&req, &path, &gw).await {
        Ok(response) => response,
        Err((error, to)) => {
            let to = to.unwrap_or_else(|| "/".to_owned());
            pages_proxy::refused(&req, &gw, &error, Place::SignIn(&to))
        }
    }
}

async fn try_callback(
    req: &HttpRequest,
    app: &str,
    gw: &Data<Gateway>,
) -> Result<HttpResponse, (FlowError, Option<String>)> {
    let plain = |error: FlowError| (error, None);
    let said = pairs(req.query_string().as_bytes()).map_err(plain)?;
    let (app, front) = proxy::front_of(gw, app, &hosts(req)).await.map_err(plain)?;
    let id = proxy::named(&said);
    let cookie = id.and_then(|id| cookies_of(req, front.is_https()).remove(&format!("{ATTEMPT_COOKIE}{id}")));
    let (story, call, asked) = (gw.get_ref().clone(), facts(req).call, (app, front.clone()));
    let finished = shielded(async move {
        let answer = Answer { said: &said, cookie: cookie.as_deref() };
        Ok(proxy::finish(&story, (&asked.0, &asked.1), answer, &call).await)
    });
    let (given, to) = finished.await.map_err(plain)??;
    let mut response = see_other(&front.at(&to));
    let mut pass = lax(front.is_https(), PASS_COOKIE, given.text.reveal().clone());
    pass.set_max_age(Duration::seconds(given.lives_secs));
    add_cookie(&mut response, &pass);
    id.into_iter().for_each(|id| forget(&front, &mut response, id));
    Ok(response)
}

/// Does a browser fetch it before anybody asks for it?
fn is_early(req: &HttpRequest) -> bool {
    ["sec-purpose", "purpose"].iter().any(|name| header(req, name).is_some())
}

/// A link of the app's own page ends the pass at once. What comes from elsewhere, a mail among it, and what a browser
/// fetches before it is asked for, ends nothing: the person is asked.
fn is_meant(req: &HttpRequest) -> bool {
    match *req.method() {
        Method::POST => is_own(req),
        _ => header(req, "sec-fetch-site") == Some("same-origin") && is_navigation(req) && !is_early(req),
    }
}

async fn sign_out(req: HttpRequest, path: Path<String>, gw: Data<Gateway>) -> HttpResponse {
    match try_sign_out(&req, &path, &gw).await {
        Ok(response) => response,
        Err(error) => pages_proxy::refused(&req, &gw, &error, Place::SignOut),
    }
}

async fn try_sign_out(req: &HttpRequest, app: &str, gw: &Data<Gateway>) -> Result<HttpResponse, FlowError> {
    let (app, front) = proxy::front_of(gw, app, &hosts(req)).await?;
    if !is_meant(req) {
        return Ok(pages_proxy::sign_out(gw, &app.name));
    }
    let mut jar: BTreeMap<String, String> = cookies_of(req, front.is_https());
    let pass = jar.remove(PASS_COOKIE);
    let (story, call, asked): (Gateway, _, (App, Front)) =
        (gw.get_ref().clone(), facts(req).call, (app, front.clone()));
    let left =
        shielded(async move { proxy::leave(&story, (&asked.0, &asked.1), pass.as_deref(), &call).await });
    let mut response = see_other(&left.await?);
    drop_lax(front.is_https(), &mut response, PASS_COOKIE);
    Ok(response)
}
