//! The demo's app: a plain OpenID Connect relying party that knows its issuer by discovery alone. It
//! shows what it was told (org, teams, roles, claims) and, at every look, whether the issuer still
//! stands by it: a deactivation is seen here within two seconds. Discovery happens at the first sign-in,
//! so the app may start before its issuer.

use crate::{
    FixtureError, Running,
    app_tokens::{Issuer, Tokens, ends_before},
    instrument::{http_client, now, random_token},
    pages::{self, html},
    server,
};
use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite},
    http::{StatusCode, header::LOCATION},
    web,
};
use openidconnect::{
    CsrfToken, LoginHint, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope, core::CoreAuthenticationFlow,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

const SESSION_COOKIE: &str = "demo_app_session";
const ATTEMPT_COOKIE: &str = "demo_app_attempt";
/// More than a demo has at once; beyond it the table starts afresh.
const KEPT_MAX: usize = 10_000;
/// How long before its end an access token is renewed.
const RENEW_SECS: i64 = 20;

/// `Default` is an app with nothing filled in.
#[derive(Clone, Debug, Default)]
pub struct RpSettings {
    /// 0: any free port.
    pub port: u16,
    pub issuer: String,
    pub client_id: String,
    pub client_secret: String,
    /// `None`: `{base_url}/callback`.
    pub redirect_uri: Option<String>,
    /// What the access token's `aud` must hold; `None`: the client id.
    pub audience: Option<String>,
    /// Asked for besides `openid profile email`.
    pub scopes: Vec<String>,
}

pub struct RelyingParty {
    running: Running,
    settings: RpSettings,
    redirect_uri: String,
}

struct App {
    settings: RpSettings,
    redirect_uri: String,
    http: reqwest::Client,
    issuer: tokio::sync::OnceCell<Issuer>,
    attempts: Mutex<HashMap<String, Attempt>>,
    sessions: Mutex<HashMap<String, Tokens>>,
}

/// Kept from the redirect to the callback, and bound to the browser by its cookie.
struct Attempt {
    cookie: String,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

impl RelyingParty {
    /// Opens the port, answers from now on.
    pub async fn start(settings: RpSettings) -> Result<Self, FixtureError> {
        let bound = server::bind(settings.port)?;
        let redirect_uri =
            settings.redirect_uri.clone().unwrap_or_else(|| format!("{}/callback", bound.base_url));
        let kept = RpSettings { redirect_uri: Some(redirect_uri.clone()), ..settings.clone() };
        let app = web::Data::from(Arc::new(App {
            http: http_client()?,
            redirect_uri: redirect_uri.clone(),
            settings,
            issuer: tokio::sync::OnceCell::new(),
            attempts: Mutex::default(),
            sessions: Mutex::default(),
        }));
        let running = bound.serve(move |config| {
            config
                .app_data(app.clone())
                .configure(pages::assets)
                .route("/", web::get().to(home))
                .route("/sign-in", web::get().to(sign_in))
                .route("/callback", web::get().to(callback))
                .route("/session.json", web::get().to(session_json))
                .route("/sign-out", web::post().to(sign_out));
        })?;
        Ok(Self { running, settings: kept, redirect_uri })
    }
    pub fn base_url(&self) -> &str {
        self.running.base_url()
    }
    /// Its registration, with the redirect URI filled in: for the desk and the walk.
    pub fn settings(&self) -> &RpSettings {
        &self.settings
    }
    /// What to register at the issuer.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }
}

impl App {
    async fn issuer(&self) -> Result<&Issuer, FixtureError> {
        let discover = || Issuer::discover(self.http.clone(), self.settings.clone(), &self.redirect_uri);
        self.issuer.get_or_try_init(discover).await
    }

    /// This browser's tokens, renewed when they are about to end, and the issuer's word on them.
    async fn look(&self, request: &HttpRequest) -> Option<(Tokens, Result<Option<Value>, String>)> {
        let id = request.cookie(SESSION_COOKIE)?.value().to_owned();
        let mut tokens = lock(&self.sessions).get(&id).cloned()?;
        let issuer = match self.issuer().await {
            Ok(issuer) => issuer,
            Err(why) => return Some((tokens, Err(why.to_string()))),
        };
        if tokens.refresh_token.is_some()
            && ends_before(tokens.access_claims.as_ref(), now().secs().saturating_add(RENEW_SECS))
            && let Ok(renewed) = issuer.refresh(&tokens).await
        {
            tokens = renewed;
            lock(&self.sessions).insert(id, tokens.clone());
        }
        let live = issuer.introspect(&tokens.access_token).await;
        Some((tokens, live))
    }
}

fn lock<T>(table: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep<T>(table: &Mutex<HashMap<String, T>>, key: String, value: T) {
    let mut table = lock(table);
    if table.len() >= KEPT_MAX {
        table.clear();
    }
    table.insert(key, value);
}

fn cookie(name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build(name, value).path("/").http_only(true).same_site(SameSite::Lax).finish()
}

#[derive(Deserialize)]
struct SignIn {
    #[serde(alias = "login_hint")]
    email: Option<String>,
    organization: Option<String>,
    prompt: Option<String>,
}

/// Sends the browser to the issuer with PKCE, nonce and state.
async fn sign_in(app: web::Data<App>, asked: web::Query<SignIn>) -> HttpResponse {
    let issuer = match app.issuer().await {
        Ok(issuer) => issuer,
        Err(why) => {
            let what = format!(
                "The identity gateway could not be read: {why}. Start it, then press Back and try again."
            );
            return pages::refused("Sign-in is not possible now", &what);
        }
    };
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let mut url = issuer.client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
    url = url
        .set_pkce_challenge(challenge)
        .add_scope(Scope::new("profile".into()))
        .add_scope(Scope::new("email".into()));
    for scope in &app.settings.scopes {
        url = url.add_scope(Scope::new(scope.clone()));
    }
    let given = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());
    if let Some(email) = given(&asked.email) {
        url = url.set_login_hint(LoginHint::new(email));
    }
    if let Some(organization) = given(&asked.organization) {
        url = url.add_extra_param("organization", organization);
    }
    if let Some(prompt) = given(&asked.prompt) {
        url = url.add_extra_param("prompt", prompt);
    }
    let (url, state, nonce) = url.url();
    let binding = random_token();
    keep(&app.attempts, state.secret().clone(), Attempt { cookie: binding.clone(), nonce, verifier });
    HttpResponse::SeeOther()
        .cookie(cookie(ATTEMPT_COOKIE, binding))
        .insert_header((LOCATION, url.as_str()))
        .finish()
}

#[derive(Deserialize)]
struct Callback {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    iss: Option<String>,
}

async fn callback(app: web::Data<App>, request: HttpRequest, answer: web::Query<Callback>) -> HttpResponse {
    match finish(&app, &request, answer.into_inner()).await {
        Err(why) => pages::refused("You are not signed in", &why),
        Ok(tokens) => {
            let id = random_token();
            keep(&app.sessions, id.clone(), tokens);
            HttpResponse::SeeOther()
                .cookie(cookie(SESSION_COOKIE, id))
                .insert_header((LOCATION, "/"))
                .finish()
        }
    }
}

async fn finish(app: &App, request: &HttpRequest, answer: Callback) -> Result<Tokens, String> {
    let attempt = answer.state.and_then(|state| lock(&app.attempts).remove(&state));
    let bound = request.cookie(ATTEMPT_COOKIE).map(|c| c.value().to_owned());
    let attempt = attempt.filter(|a| bound.as_ref() == Some(&a.cookie)).ok_or(
        "This answer belongs to no sign-in that this browser began. Go back to the app and sign in.",
    )?;
    if let Some(error) = answer.error {
        let more = answer.error_description.map_or_else(String::new, |d| format!(": {d}"));
        return Err(format!("The identity gateway answered {error}{more}."));
    }
    // RFC 9207: an answer of another issuer is another issuer's.
    if answer.iss.is_some_and(|iss| iss != app.settings.issuer) {
        return Err("The answer comes from another issuer.".to_owned());
    }
    let code = answer.code.ok_or("The answer holds no code.")?;
    let issuer = app.issuer().await.map_err(|e| e.to_string())?;
    issuer.redeem(code, attempt.verifier.into_secret(), &attempt.nonce).await
}

async fn home(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    match app.look(&request).await {
        None => pages::page(StatusCode::OK, "Demo app", "", SIGN_IN),
        Some((tokens, live)) => signed_in(&tokens, &live),
    }
}

const SIGN_IN: &str = "<h1>Demo app</h1><p>An app that leaves signing in to its identity gateway.</p>\
    <form method=\"get\" action=\"/sign-in\"><label for=\"email\">Work email</label>\
    <input id=\"email\" name=\"email\" type=\"email\" inputmode=\"email\" autocomplete=\"email\" required autofocus>\
    <button type=\"submit\">Sign in</button></form>";

fn signed_in(tokens: &Tokens, live: &Result<Option<Value>, String>) -> HttpResponse {
    let name =
        ["name", "email", "sub"].iter().find_map(|n| tokens.id_claims.get(n)?.as_str()).unwrap_or("you");
    let active = matches!(live, Ok(Some(answer)) if answer.get("active") == Some(&json!(true)));
    let verdict = match live {
        Ok(Some(_)) if active => {
            "<p class=\"good\" role=\"status\">✓ Active: the gateway stands by this session.</p>".to_owned()
        }
        Ok(Some(_)) => {
            "<p class=\"bad\" role=\"status\">✕ Ended: the gateway no longer stands by this session. \
                        Sign in again to go on.</p>"
                .to_owned()
        }
        Ok(None) => "<p class=\"muted\" role=\"status\">This issuer offers no introspection.</p>".to_owned(),
        Err(why) => {
            format!("<p class=\"bad\" role=\"status\">The gateway could not be asked: {}</p>", html(why))
        }
    };
    let access = match &tokens.access_claims {
        None => "<p>The access token is opaque: only its issuer reads it.</p>".to_owned(),
        // A real app would never show it; here it is for whoever wants to check one with their own code.
        Some(claims) => format!(
            "{}<details><summary>The token itself</summary><pre>{}</pre></details>",
            table(claims, &["org_id", "team_ids", "roles"]),
            html(&tokens.access_token)
        ),
    };
    let body = format!(
        "<h1>Signed in as {}</h1><div data-idle data-active=\"{active}\">{verdict}</div><h2>Access token, verified</h2>{access}\
         <h2>ID token, verified</h2>{}<form method=\"post\" action=\"/sign-out\">\
         <button type=\"submit\">Sign out of this app</button></form><script src=\"/live.js\" defer></script>",
        html(name),
        table(&tokens.id_claims, &["email", "name"]),
    );
    pages::page(StatusCode::OK, "Demo app", "wide", &body)
}

/// Claims as rows, those in `first` leading.
fn table(claims: &Value, first: &[&str]) -> String {
    let Some(claims) = claims.as_object() else { return String::new() };
    let row = |name: &str, value: &Value| {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", html(name), html(&shown))
    };
    let leading = first.iter().filter_map(|n| claims.get(*n).map(|v| row(n, v)));
    let others = claims.iter().filter(|(n, _)| !first.contains(&n.as_str())).map(|(n, v)| row(n, v));
    format!("<table>{}</table>", leading.chain(others).collect::<String>())
}

/// The session for a script: `signed_in`, `active` (null when the issuer cannot say), both tokens' claims.
async fn session_json(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let body = match app.look(&request).await {
        None => json!({"signed_in": false}),
        Some((tokens, live)) => json!({
            "signed_in": true,
            "active": live.as_ref().ok().and_then(|l| l.as_ref()?.get("active").cloned()),
            "introspection": live.as_ref().ok(),
            "introspection_error": live.as_ref().err(),
            "id_token": tokens.id_claims,
            "access_token": tokens.access_claims,
        }),
    };
    HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body)
}

async fn sign_out(app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    if let Some(id) = request.cookie(SESSION_COOKIE) {
        drop(lock(&app.sessions).remove(id.value()));
    }
    let mut gone = cookie(SESSION_COOKIE, String::new());
    gone.make_removal();
    HttpResponse::SeeOther().cookie(gone).insert_header((LOCATION, "/")).finish()
}
