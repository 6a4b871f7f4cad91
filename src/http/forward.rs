//! `/forward-auth`: what nginx (`auth_request`), Traefik (`forwardAuth`) and Envoy (`ext_authz`) ask before they let a
//! request on to an app. 200 with who it is, 401 for nobody, 403 for somebody who may not. The proxy names the app
//! in `X-Vestibule-App`, or, where it cannot set headers of its own, as `app` in the query.

use super::{DoorKind, Entry, Made::Plain, doors::bearer, guard::facts, oauth_error, shielded, token::pairs};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, StatusCode, header::HeaderValue},
    web::{self, Data},
};
use broker::{
    FlowError, Gateway,
    forward::{self, Passage, Passed, Stopped},
};
use model::Refusal;
use serde_json::json;

const fn at(method: Method, path: &'static str) -> Entry {
    Entry { method, path, door: DoorKind::Open, made: Plain(|| web::route().to(pass)) }
}

/// Envoy asks by the method of the request that it holds, below our path.
pub const ROUTES: &[Entry] = &[
    at(Method::GET, "/forward-auth"),
    at(Method::GET, "/forward-auth/{tail:.*}"),
    at(Method::POST, "/forward-auth/{tail:.*}"),
    at(Method::PUT, "/forward-auth/{tail:.*}"),
    at(Method::PATCH, "/forward-auth/{tail:.*}"),
    at(Method::DELETE, "/forward-auth/{tail:.*}"),
];

async fn pass(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    let asked = match asked(&req) {
        Ok(asked) => asked,
        Err(error) => return stopped(&Stopped { error, sign_in: None }, &gw),
    };
    let (story, call) = (gw.get_ref().clone(), facts(&req).call);
    let judged = shielded(async move { Ok::<_, FlowError>(forward::pass(&story, asked, &call).await) }).await;
    match judged {
        Ok(Ok(who)) => passed(&who),
        Ok(Err(who)) => stopped(&who, &gw),
        Err(error) => stopped(&Stopped { error, sign_in: None }, &gw),
    }
}

fn asked(req: &HttpRequest) -> Result<Passage, FlowError> {
    // Below our path the query is the held request's own.
    let is_ours = req.match_info().get("tail").is_none();
    let query = if is_ours { pairs(req.query_string().as_bytes())? } else { Default::default() };
    let said = |name: &str| -> Option<String> {
        let header =
            || req.headers().get(format!("x-vestibule-{name}")).and_then(|value| value.to_str().ok());
        // The query is the proxy's own; a header may be one that it let through.
        let said = query.get(name).map(String::as_str).or_else(header);
        said.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let app = said("app").and_then(|id| id.parse().ok());
    Ok(Passage {
        app: app.ok_or_else(|| FlowError::from(Refusal::stranger("forward.app")))?,
        roles: said("role")
            .map(|list| list.split(',').map(|role| role.trim().to_owned()).collect())
            .unwrap_or_default(),
        bearer: bearer(req).map(str::to_owned),
    })
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

fn stopped(who: &Stopped, gw: &Gateway) -> HttpResponse {
    let code = who.error.code();
    let (status, error) = match code {
        "forward.app" => (StatusCode::BAD_REQUEST, "invalid_request"),
        "forward.role" => (StatusCode::FORBIDDEN, "access_denied"),
        "forward.signed_out" => (StatusCode::UNAUTHORIZED, "invalid_token"),
        _ => return oauth_error::response(&who.error),
    };
    let mut response = HttpResponse::build(status);
    response.insert_header(("Cache-Control", "no-store")).insert_header(("X-Vestibule-Code", code));
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header(("WWW-Authenticate", "Bearer realm=\"vestibule\""));
        if let Some(start) = &who.sign_in {
            let joint = if start.contains('?') { '&' } else { '?' };
            let mut query = form_urlencoded::Serializer::new(String::new());
            let query = query.append_pair("iss", gw.links.issuer()).finish();
            tell(&mut response, "X-Vestibule-Sign-In", &format!("{start}{joint}{query}"));
        }
    }
    response.json(json!({"error": error, "error_description": code}))
}
