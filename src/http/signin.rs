//! The browser's half: authorize, the two answers from upstream, sign-out. An error goes back to the
//! app only when client and redirect URI have been verified; otherwise it is a page with a reference.

use super::{
    DoorKind, Entry,
    Made::Plain,
    back::{Back, add_attempt, answered, cookies, ended, see_other, sessions},
    guard::{Facts, facts},
    pages, shielded,
    token::{Body, pairs, whole},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{self, Data, Path},
};
use broker::{
    FlowError, Gateway, arrive,
    attempt::{self, AppRequest},
    begin::{self, Begun, Wishes},
    finish_oidc::{self, CallbackAnswer},
    finish_saml::{self, Finished, PostedAnswer},
    resource,
};
use model::{
    Refusal,
    ids::{AppId, AttemptId, ConnectionId},
};
use std::{cell::Cell, collections::BTreeMap};
use store::App;
use token::code::Challenge;

pub const ROUTES: &[Entry] = &[
    Entry {
        method: Method::GET,
        path: "/oauth2/authorize",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(authorize)),
    },
    Entry {
        method: Method::POST,
        path: "/oauth2/authorize",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(authorize)),
    },
    Entry {
        method: Method::POST,
        path: "/saml/{con}/acs",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(acs)),
    },
    Entry {
        method: Method::GET,
        path: "/saml/{con}/metadata",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(metadata)),
    },
    Entry {
        method: Method::GET,
        path: "/oidc/{con}/callback",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(callback)),
    },
    Entry {
        method: Method::GET,
        path: "/oidc/{con}/initiate",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(initiate)),
    },
    Entry {
        method: Method::GET,
        path: "/assets/style.css",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(style)),
    },
    Entry {
        method: Method::GET,
        path: "/assets/continue.js",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(continue_js)),
    },
];

/// What a client may ask for. The person at the browser could write anything else into the request, so
/// what is not understood is left out (OIDC Core 3.1.2.1), and the token's answer says what was given.
pub const SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

fn understood(scope: &str) -> String {
    let asked: Vec<&str> = scope.split(' ').collect();
    SCOPES.into_iter().filter(|known| asked.contains(known)).collect::<Vec<_>>().join(" ")
}

/// The app's own words travel in the attempt's cookie.
const CARRIED_BYTES_MAX: usize = 2 * 1024;

/// 32 KiB of parameters is more than any client sends.
const QUERY_BYTES_MAX: usize = 32 * 1024;

async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header(("Cache-Control", "public, max-age=3600"))
        .body(pages::STYLE)
}

async fn continue_js() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .insert_header(("Cache-Control", "public, max-age=3600"))
        .body(pages::CONTINUE_JS)
}

async fn authorize(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let text = match *req.method() {
        Method::POST => whole(&body).map(|body| body.to_vec()),
        _ => Ok(req.query_string().as_bytes().to_vec()),
    };
    let answer = match text {
        Ok(text) => try_authorize(&req, &gw, &text).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(response) => response,
        Err(error) => pages::refused(&req, &error),
    }
}

/// `Err` is for the page; an error the app may see is already a redirect in `Ok`.
async fn try_authorize(
    req: &HttpRequest,
    gw: &Data<Gateway>,
    text: &[u8],
) -> Result<HttpResponse, FlowError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(FlowError::invalid("oauth.invalid_request", "query", "too long"));
    }
    let asked = pairs(text)?;
    let id: AppId = asked
        .get("client_id")
        .and_then(|id| id.parse().ok())
        .ok_or(Refusal::stranger("oauth.unknown_client"))?;
    let app = gw.db.app(id).await?.ok_or(Refusal::stranger("oauth.unknown_client"))?;
    let redirect_uri = asked
        .get("redirect_uri")
        .filter(|uri| app.redirect_uris.iter().any(|known| same_redirect(known, uri)))
        .ok_or(Refusal::stranger("oauth.redirect_uri_unknown"))?
        .clone();
    let back = Back {
        redirect_uri: redirect_uri.clone(),
        state: asked.get("state").cloned(),
        form_post: asked.get("response_mode").map(String::as_str) == Some("form_post"),
        issuer: gw.links.issuer().to_owned(),
    };
    match authorize_verified(req, gw, &app, &asked, &back).await {
        Ok(response) => Ok(response),
        // What the person can mend here stays here; all else goes back to the app.
        Err(error @ (FlowError::Fault(_) | FlowError::InDoubt | FlowError::Busy { .. })) => Err(error),
        Err(error) => Ok(back.error(&error)),
    }
}

/// Byte for byte; a native app's loopback port excepted (RFC 8252 7.3).
fn same_redirect(known: &str, given: &str) -> bool {
    if known == given {
        return true;
    }
    let split = |uri: &str| -> Option<(String, String)> {
        let rest = uri.strip_prefix("http://127.0.0.1").or_else(|| uri.strip_prefix("http://[::1]"))?;
        let host = uri.strip_suffix(rest)?.to_owned();
        let path = match rest.strip_prefix(':') {
            Some(port_on) => {
                let digits = port_on.bytes().take_while(u8::is_ascii_digit).count();
                port_on.get(digits..)?
            }
            None => rest,
        };
        path.starts_with('/').then(|| (host, path.to_owned()))
    };
    split(known).is_some_and(|known| split(given) == Some(known))
}

async fn authorize_verified(
    req: &HttpRequest,
    gw: &Data<Gateway>,
    app: &App,
    asked: &BTreeMap<String, String>,
    back: &Back,
) -> Result<HttpResponse, FlowError> {
    let get = |name: &str| asked.get(name).cloned().filter(|v| !v.is_empty());
    let invalid = |field, detail: &str| FlowError::invalid("oauth.invalid_request", field, detail);
    if get("response_type").as_deref() != Some("code") {
        return Err(Refusal::stranger("oauth.unsupported_response_type").into());
    }
    // OIDC Core 3.1.2.6 has an error for each, and an app may ask again without.
    if asked.contains_key("request") {
        return Err(Refusal::stranger("oauth.request_not_supported").into());
    }
    if asked.contains_key("request_uri") {
        return Err(Refusal::stranger("oauth.request_uri_not_supported").into());
    }
    if get("response_mode").is_some_and(|mode| mode != "query" && mode != "form_post") {
        return Err(invalid("response_mode", "query or form_post"));
    }
    if get("code_challenge_method").as_deref() != Some("S256") {
        return Err(invalid("code_challenge_method", "PKCE with S256 is required"));
    }
    let challenge = Challenge::parse(&get("code_challenge").unwrap_or_default())
        .map_err(|_| invalid("code_challenge", "43 characters of base64url are required"))?;
    let max_age_secs = get("max_age")
        .map(|text| {
            text.parse::<i64>().ok().filter(|secs| *secs >= 0).ok_or_else(|| invalid("max_age", "seconds"))
        })
        .transpose()?;
    let connection = get("connection")
        .map(|text| text.parse::<ConnectionId>().map_err(|_| Refusal::stranger("login.no_connection")))
        .transpose()?;
    let wishes = Wishes {
        organization: get("organization"),
        connection,
        login_hint: get("login_hint"),
        domain_hint: get("domain_hint"),
        prompt: get("prompt"),
        max_age_secs,
        acr_values: get("acr_values")
            .map(|list| list.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect())
            .unwrap_or_default(),
        ui_locales: get("ui_locales"),
        id_token_hint: get("id_token_hint"),
    };
    let carried = [&back.state, &get("nonce"), &get("scope"), &get("acr_values")];
    if carried.into_iter().flatten().map(String::len).sum::<usize>() > CARRIED_BYTES_MAX {
        return Err(invalid("state", "state, nonce, scope and acr_values have room for 2 KiB together"));
    }
    let request = AppRequest {
        app: app.id,
        redirect_uri: back.redirect_uri.clone(),
        state: back.state.clone(),
        nonce: get("nonce"),
        code_challenge: challenge.as_str().to_owned(),
        scope: understood(&get("scope").unwrap_or_else(|| "openid".to_owned())),
        resource: get("resource").map(|uri| resource::checked(&uri).map(str::to_owned)).transpose()?,
        form_post: back.form_post,
    };
    let Facts { call, host_org } = facts(req);
    let sessions = sessions(req, gw);
    let (story, own_app) = (gw.get_ref().clone(), app.clone());
    let begun = shielded(async move {
        begin::begin(&story, &own_app, request, wishes, host_org.as_ref(), &sessions, &call).await
    })
    .await?;
    Ok(match begun {
        Begun::Redirect { url, attempt } => {
            let mut response = see_other(&url);
            add_attempt(req, gw, &mut response, attempt);
            response
        }
        Begun::Post { url, fields, attempt } => {
            let mut response = pages::auto_post(&url, &fields);
            add_attempt(req, gw, &mut response, attempt);
            response
        }
        Begun::AskEmail { unknown } => pages::ask_email(&app.name, asked, unknown.as_deref()),
        Begun::Choose { connections } => pages::choose(asked, &connections),
        Begun::Accounts { accounts } => pages::accounts(&app.name, asked, &accounts),
        Begun::Answered(admitted) => answered(req, gw, *admitted),
    })
}

/// The page of a sign-in that failed. Where this browser began it, the page leads back to the app it was for.
async fn failed(
    req: &HttpRequest,
    gw: &Data<Gateway>,
    attempt: Option<AttemptId>,
    error: &FlowError,
) -> HttpResponse {
    let Some(id) = attempt else { return pages::refused(req, error) };
    let cookie = cookies(req, gw).remove(&attempt::cookie_name(id));
    let back = arrive::way_back(gw, id, cookie.as_deref(), &facts(req).call).await;
    pages::not_signed_in(req, error, back.as_ref())
}

async fn acs(req: HttpRequest, path: Path<String>, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let asked = Cell::new(None);
    let finished = async {
        let connection: ConnectionId = path.parse().map_err(|_| FlowError::Missing)?;
        let form = super::token::form(&req, &body)?;
        let answer = form.get("SAMLResponse").cloned().ok_or_else(|| {
            FlowError::invalid("saml.response_missing", "SAMLResponse", "the form has no SAMLResponse")
        })?;
        let relay_state = form.get("RelayState").cloned();
        asked.set(relay_state.as_deref().and_then(|text| text.parse().ok()));
        let (Facts { call, host_org }, jar) = (facts(&req), cookies(&req, &gw));
        let story = gw.get_ref().clone();
        shielded(async move {
            let cookie = |name: &str| jar.get(name).cloned();
            let posted = PostedAnswer {
                connection,
                saml_response: &answer,
                relay_state: relay_state.as_deref(),
                cookie: &cookie,
                host_org: host_org.as_ref(),
            };
            finish_saml::finish(&story, posted, &call).await
        })
        .await
    };
    match finished.await {
        Ok(Finished::Judged(outcome)) => ended(&req, &gw, outcome),
        Ok(Finished::Arrived(arrival)) => pages::arrived(&arrival),
        Err(error) => failed(&req, &gw, asked.get(), &error).await,
    }
}

/// Third-party initiated login (OIDC Core 4): the provider's tile.
async fn initiate(req: HttpRequest, path: Path<String>, gw: Data<Gateway>) -> HttpResponse {
    let arrived = async {
        let connection: ConnectionId = path.parse().map_err(|_| FlowError::Missing)?;
        let said = pairs(req.query_string().as_bytes())?;
        let Facts { call, host_org } = facts(&req);
        let story = gw.get_ref().clone();
        shielded(async move {
            let (iss, hint) = (said.get("iss"), said.get("login_hint"));
            let (iss, hint) = (iss.map(String::as_str), hint.map(String::as_str));
            arrive::by_oidc(&story, connection, iss, hint, host_org.as_ref(), &call).await
        })
        .await
    };
    match arrived.await {
        Ok(arrival) => pages::arrived(&arrival),
        Err(error) => pages::refused(&req, &error),
    }
}

async fn callback(req: HttpRequest, path: Path<String>, gw: Data<Gateway>) -> HttpResponse {
    let finished = async {
        let connection: ConnectionId = path.parse().map_err(|_| FlowError::Missing)?;
        let query = req.query_string().to_owned();
        let (Facts { call, host_org }, jar) = (facts(&req), cookies(&req, &gw));
        let story = gw.get_ref().clone();
        shielded(async move {
            let cookie = |name: &str| jar.get(name).cloned();
            let answer =
                CallbackAnswer { connection, query: &query, cookie: &cookie, host_org: host_org.as_ref() };
            finish_oidc::finish(&story, answer, &call).await
        })
        .await
    };
    match finished.await {
        Ok(outcome) => ended(&req, &gw, outcome),
        Err(error) => {
            let said = pairs(req.query_string().as_bytes()).unwrap_or_default();
            let id = said.get("state").and_then(|state| state.split_once('.'));
            failed(&req, &gw, id.and_then(|(id, _)| id.parse().ok()), &error).await
        }
    }
}

/// Our SP metadata at this connection; the URL is our entity id.
async fn metadata(req: HttpRequest, path: Path<String>, gw: Data<Gateway>) -> HttpResponse {
    let found = async {
        let connection: ConnectionId = path.parse().map_err(|_| FlowError::Missing)?;
        gw.db.visitor_by_connection(connection, &facts(&req).call).await?;
        Ok::<_, FlowError>(connection)
    };
    match found.await {
        Ok(con) => HttpResponse::Ok()
            .content_type("application/samlmetadata+xml")
            .body(saml::metadata::write_sp(&gw.links.saml_entity_id(con), &gw.links.saml_acs(con))),
        Err(error) => pages::refused(&req, &error),
    }
}
