//! The browser's half: authorize, the two answers from upstream, sign-out. An error goes back to the
//! app only when client and redirect URI have been verified; otherwise it is a page with a reference.

use super::{
    DoorKind, Entry,
    guard::{Facts, facts},
    oauth_error, pages, shielded,
    token::pairs,
};
use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::{Method, header},
    web::{self, Bytes, Data, Path},
};
use broker::{
    FlowError, Gateway,
    admit::Admitted,
    attempt::{AppRequest, SealedAttempt},
    begin::{self, Begun, Wishes},
    end,
    finish_oidc::{self, CallbackAnswer},
    finish_saml::{self, PostedAnswer},
    inspect::BrowserSession,
};
use model::{
    Refusal,
    ids::{AppId, ConnectionId},
};
use std::collections::BTreeMap;
use store::App;
use token::code::Challenge;

pub const ROUTES: &[Entry] = &[
    Entry {
        method: Method::GET,
        path: "/oauth2/authorize",
        door: DoorKind::Open,
        route: || web::route().to(authorize),
    },
    Entry {
        method: Method::POST,
        path: "/oauth2/authorize",
        door: DoorKind::Open,
        route: || web::route().to(authorize),
    },
    Entry {
        method: Method::POST,
        path: "/saml/{con}/acs",
        door: DoorKind::Open,
        route: || web::route().to(acs),
    },
    Entry {
        method: Method::GET,
        path: "/saml/{con}/metadata",
        door: DoorKind::Open,
        route: || web::route().to(metadata),
    },
    Entry {
        method: Method::GET,
        path: "/oidc/{con}/callback",
        door: DoorKind::Open,
        route: || web::route().to(callback),
    },
    Entry {
        method: Method::GET,
        path: "/logout",
        door: DoorKind::Open,
        route: || web::route().to(logout_page),
    },
    Entry { method: Method::POST, path: "/logout", door: DoorKind::Open, route: || web::route().to(logout) },
    Entry {
        method: Method::GET,
        path: "/assets/style.css",
        door: DoorKind::Open,
        route: || web::route().to(style),
    },
    Entry {
        method: Method::GET,
        path: "/assets/continue.js",
        door: DoorKind::Open,
        route: || web::route().to(continue_js),
    },
];

/// 32 KiB of parameters is more than any client sends.
const QUERY_BYTES_MAX: usize = 32 * 1024;
const SESSION_COOKIE: &str = "vst_session";

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

async fn authorize(req: HttpRequest, body: Bytes, gw: Data<Gateway>) -> HttpResponse {
    let text =
        if req.method() == Method::POST { body.to_vec() } else { req.query_string().as_bytes().to_vec() };
    match try_authorize(&req, &gw, &text).await {
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
        Err(error @ (FlowError::Fault(_) | FlowError::Busy { .. })) => Err(error),
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
    if asked.contains_key("request") || asked.contains_key("request_uri") {
        return Err(invalid("request", "request objects are not supported"));
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
        acr_values: get("acr_values"),
    };
    let request = AppRequest {
        app: app.id,
        redirect_uri: back.redirect_uri.clone(),
        state: back.state.clone(),
        nonce: get("nonce"),
        code_challenge: challenge.as_str().to_owned(),
        scope: get("scope").unwrap_or_else(|| "openid".to_owned()),
        form_post: back.form_post,
    };
    let Facts { call, host_org } = facts(req);
    let session = req.cookie(&cookie_name(gw, SESSION_COOKIE)).and_then(|c| BrowserSession::read(c.value()));
    let (story, own_app) = (gw.get_ref().clone(), app.clone());
    let begun = shielded(async move {
        begin::begin(&story, &own_app, request, wishes, host_org.as_ref(), session.as_ref(), &call).await
    })
    .await?;
    Ok(match begun {
        Begun::Redirect { url, attempt } => {
            let mut response = see_other(&url);
            add_attempt(gw, &mut response, attempt);
            response
        }
        Begun::Post { url, fields, attempt } => {
            let mut response = pages::auto_post(&url, &fields);
            add_attempt(gw, &mut response, attempt);
            response
        }
        Begun::AskEmail { unknown } => pages::ask_email(asked, unknown.as_deref()),
        Begun::Answered(admitted) => answered(gw, *admitted),
    })
}

/// The way back to the app.
struct Back {
    redirect_uri: String,
    state: Option<String>,
    form_post: bool,
    issuer: String,
}

impl Back {
    fn error(&self, error: &FlowError) -> HttpResponse {
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

    fn send(&self, mut fields: Vec<(&'static str, String)>) -> HttpResponse {
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
fn see_other(url: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, url))
        .insert_header(("Cache-Control", "no-store"))
        .finish()
}

fn answered(gw: &Gateway, admitted: Admitted) -> HttpResponse {
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

fn add_attempt(gw: &Gateway, response: &mut HttpResponse, attempt: SealedAttempt) {
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

fn add_cookie(response: &mut HttpResponse, cookie: &Cookie<'_>) {
    if response.add_cookie(cookie).is_err() {
        tracing::error!("a cookie could not be set");
    }
}

fn cookie_name(gw: &Gateway, name: &str) -> String {
    if gw.links.is_https() { format!("__Host-{name}") } else { name.to_owned() }
}

/// All cookies of the request, by name, without our prefix.
fn cookies(req: &HttpRequest, gw: &Gateway) -> BTreeMap<String, String> {
    let Ok(all) = req.cookies() else { return BTreeMap::new() };
    let prefix = if gw.links.is_https() { "__Host-" } else { "" };
    all.iter()
        .filter_map(|c| Some((c.name().strip_prefix(prefix)?.to_owned(), c.value().to_owned())))
        .collect()
}

async fn acs(req: HttpRequest, path: Path<String>, body: Bytes, gw: Data<Gateway>) -> HttpResponse {
    let finished = async {
        let connection: ConnectionId = path.parse().map_err(|_| FlowError::Missing)?;
        let form = super::token::form(&req, &body)?;
        let answer = form.get("SAMLResponse").cloned().ok_or_else(|| {
            FlowError::invalid("saml.response_missing", "SAMLResponse", "the form has no SAMLResponse")
        })?;
        let relay_state = form.get("RelayState").cloned();
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
        Ok(admitted) => answered(&gw, admitted),
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
        Ok(admitted) => answered(&gw, admitted),
        Err(error) => pages::refused(&req, &error),
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

async fn logout_page() -> HttpResponse {
    pages::sign_out()
}

async fn logout(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    let name = cookie_name(&gw, SESSION_COOKIE);
    let cookie = req.cookie(&name).and_then(|c| BrowserSession::read(c.value()));
    if let Some(cookie) = cookie {
        let (story, call) = (gw.get_ref().clone(), facts(&req).call);
        match shielded(async move { end::end(&story, &cookie, &call).await }).await {
            Ok(()) | Err(FlowError::Missing | FlowError::Closed(_)) => {}
            Err(error) => return pages::refused(&req, &error),
        }
    }
    let mut response = pages::signed_out();
    let mut gone = Cookie::build(name, "")
        .path("/")
        .http_only(true)
        .secure(gw.links.is_https())
        .same_site(SameSite::Lax)
        .finish();
    gone.make_removal();
    add_cookie(&mut response, &gone);
    response
}
