//! `/forward-auth`: what nginx (`auth_request`), Traefik (`forwardAuth`) and Envoy (`ext_authz`) ask before they let a
//! request on to an app. 200 with who it is, 401 for nobody, 403 for somebody who may not. The proxy names the app
//! in `X-Vestibule-App`, or, where it cannot set headers of its own, as `app` in the query.

use super::{
    DoorKind, Entry,
    Made::Plain,
    back::see_other,
    doors::bearer,
    guard::facts,
    oauth_error,
    proxy::{self, header},
    shielded,
    token::pairs,
};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, StatusCode, header::HeaderValue},
    web::{self, Data},
};
use broker::{
    FlowError, Gateway,
    forward::{self, Held, Passage, Passed, Stopped},
};
use model::Refusal;
use serde_json::json;

const fn at(method: Method, path: &'static str) -> Entry {
    Entry { method, path, door: DoorKind::Open, made: Plain(|| web::route().to(pass)) }
}

/// Envoy asks by the method of the request that it holds, below our path.
pub const ROUTES: &[Entry] = &[
    at(Method::GET, PATH),
    at(Method::GET, "/forward-auth/{tail:.*}"),
    at(Method::POST, "/forward-auth/{tail:.*}"),
    at(Method::PUT, "/forward-auth/{tail:.*}"),
    at(Method::PATCH, "/forward-auth/{tail:.*}"),
    at(Method::DELETE, "/forward-auth/{tail:.*}"),
];

const PATH: &str = "/forward-auth";

/// The proxy asks that a browser which is nobody be sent to sign in: its own answer goes on to the browser.
const REDIRECT: &str = "redirect";

async fn pass(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    let (asked, redirects) = match asked(&req) {
        Ok(asked) => asked,
        Err(error) => return stopped(&Stopped { error, sign_in: None }),
    };
    let (story, call) = (gw.get_ref().clone(), facts(&req).call);
    let judged = shielded(async move { Ok::<_, FlowError>(forward::pass(&story, asked, &call).await) }).await;
    match judged {
        Ok(Ok(who)) => passed(&who),
        Ok(Err(Stopped { error, sign_in: Some(url) }))
            if redirects && error.code() == "forward.signed_out" =>
        {
            see_other(&url)
        }
        Ok(Err(who)) => stopped(&who),
        Err(error) => stopped(&Stopped { error, sign_in: None }),
    }
}

/// What the proxy asks, and whether a browser may be sent to sign in by our answer.
fn asked(req: &HttpRequest) -> Result<(Passage, bool), FlowError> {
    // Below our path method, path and query are the held request's own.
    let is_ours = req.match_info().get("tail").is_none();
    let query = if is_ours { pairs(req.query_string().as_bytes())? } else { Default::default() };
    let said = |name: &str| -> Option<String> {
        let in_header = || header(req, &format!("x-vestibule-{}", name.replace('_', "-")));
        // The query is the proxy's own; a header may be one that it let through.
        let said = query.get(name).map(String::as_str).or_else(in_header);
        said.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let app = said("app").and_then(|id| id.parse().ok());
    let told = |names: [&str; 2]| names.into_iter().find_map(|name| header(req, name)).map(str::to_owned);
    let (method, target) = if is_ours {
        let method = told(["x-forwarded-method", "x-original-method"]).unwrap_or_else(|| "GET".to_owned());
        (method, told(["x-forwarded-uri", "x-original-uri"]))
    } else {
        let target = req.uri().path_and_query().and_then(|whole| whole.as_str().strip_prefix(PATH));
        (req.method().to_string(), target.map(str::to_owned))
    };
    let reads = ["GET", "HEAD"].contains(&method.as_str());
    let held = Held {
        hosts: proxy::hosts(req),
        target,
        pass: proxy::shown_pass(req),
        changes_from_elsewhere: !reads && header(req, "sec-fetch-site") == Some("cross-site"),
    };
    let redirects = said("sign_in").as_deref() == Some(REDIRECT) && reads && proxy::is_navigation(req);
    let passage = Passage {
        app: app.ok_or_else(|| FlowError::from(Refusal::stranger("forward.app")))?,
        roles: said("role")
            .map(|list| list.split(',').map(|role| role.trim().to_owned()).collect())
            .unwrap_or_default(),
        bearer: bearer(req).map(str::to_owned),
        held,
    };
    Ok((passage, redirects))
}

/// A header of the answer, always there: a proxy that passes it on leaves nothing of the client's in its place. What no
/// header can hold is empty.
fn tell(response: &mut HttpResponseBuilder, name: &'static str, value: &str) {
    response.insert_header((name, HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))));
}

fn passed(who: &Passed) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header(("Cache-Control", "no-store"));
    tell(&mut response, "X-Vestibule-User", &who.subject);
    tell(&mut response, "X-Vestibule-Org", &who.org.to_string());
    tell(&mut response, "X-Vestibule-Teams", &who.team_ids.join(","));
    tell(&mut response, "X-Vestibule-Roles", &who.roles.join(","));
    tell(&mut response, "X-Vestibule-Session", who.session.as_deref().unwrap_or_default());
    tell(&mut response, "X-Vestibule-Email", who.email.as_deref().unwrap_or_default());
    response.finish()
}

fn stopped(who: &Stopped) -> HttpResponse {
    let code = who.error.code();
    let (status, error) = match code {
        "forward.app" => (StatusCode::BAD_REQUEST, "invalid_request"),
        "forward.role" | "forward.cross_site" => (StatusCode::FORBIDDEN, "access_denied"),
        "forward.signed_out" => (StatusCode::UNAUTHORIZED, "invalid_token"),
        _ => return oauth_error::response(&who.error),
    };
    let mut response = HttpResponse::build(status);
    response.insert_header(("Cache-Control", "no-store")).insert_header(("X-Vestibule-Code", code));
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header(("WWW-Authenticate", "Bearer realm=\"vestibule\""));
        if let Some(url) = &who.sign_in {
            tell(&mut response, "X-Vestibule-Sign-In", url);
        }
    }
    response.json(json!({"error": error, "error_description": code}))
}
