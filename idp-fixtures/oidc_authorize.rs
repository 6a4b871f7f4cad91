//! The authorization endpoint: judge the request, ask for a password unless this browser's session will
//! do, answer with a code. Nothing goes back to the client before client and redirect URI are known
//! (OIDC Core 3.1.2.6).

use crate::{
    id_token::Grant,
    instrument,
    oidc_idp::{Op, Session},
    pages::{self, LoginPage},
};
use actix_web::{HttpRequest, HttpResponse, cookie::Cookie, cookie::SameSite, http::header::LOCATION, web};
use openidconnect::url::Url;
use serde::Deserialize;

const SESSION_COOKIE: &str = "entra_session";
/// base64url of a SHA-256 (RFC 7636, 4.2).
const CHALLENGE_CHARS: usize = 43;

#[derive(Deserialize)]
struct Authorize {
    client_id: String,
    redirect_uri: String,
    response_type: Option<String>,
    response_mode: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    prompt: Option<String>,
    login_hint: Option<String>,
    max_age: Option<i64>,
}

impl Authorize {
    /// A query string whose client and redirect URI are registered; anything else is told to the person.
    fn read(op: &Op, query: &str) -> Result<Self, String> {
        let asked = web::Query::<Self>::from_query(query)
            .map_err(|e| format!("The request cannot be read: {e}."))?
            .into_inner();
        let client = op.client(&asked.client_id).ok_or_else(|| {
            format!("No client has the id {}: register the app here first.", asked.client_id)
        })?;
        if !client.redirect_uris.contains(&asked.redirect_uri) {
            return Err(format!("{} is not a redirect URI of this client.", asked.redirect_uri));
        }
        Ok(asked)
    }

    /// What is wrong with it, in the words of RFC 6749 4.1.2.1.
    fn judge(&self) -> Result<(), &'static str> {
        let scopes = self.scope.as_deref().unwrap_or_default();
        if self.response_type.as_deref() != Some("code") {
            Err("unsupported_response_type")
        } else if !scopes.split(' ').any(|s| s == "openid") {
            Err("invalid_scope")
        } else if self.code_challenge_method.as_deref() != Some("S256")
            || self.code_challenge.as_ref().map(String::len) != Some(CHALLENGE_CHARS)
            || !matches!(self.response_mode.as_deref(), None | Some("query" | "form_post"))
            || self.max_age.is_some_and(|secs| secs < 0)
        {
            Err("invalid_request")
        } else {
            Ok(())
        }
    }

    fn prompts(&self, word: &str) -> bool {
        self.prompt.as_deref().unwrap_or_default().split(' ').any(|p| p == word)
    }

    /// Whether a session of this browser answers the request without asking.
    fn satisfied_by(&self, session: &Session) -> bool {
        let age_secs = instrument::now().secs().saturating_sub(session.auth_time.secs());
        let fresh = self.max_age.is_none_or(|max| age_secs <= max);
        let same = self.login_hint.as_ref().is_none_or(|hint| hint.eq_ignore_ascii_case(&session.login));
        fresh && same && !self.prompts("login") && !self.prompts("select_account")
    }

    fn respond(&self, op: &Op, name: &str, value: &str) -> HttpResponse {
        let mut fields = vec![(name, value), ("iss", op.issuer.as_str())];
        if let Some(state) = &self.state {
            fields.push(("state", state));
        }
        if self.response_mode.as_deref() == Some("form_post") {
            return pages::post_on(&self.redirect_uri, &fields);
        }
        match Url::parse(&self.redirect_uri) {
            Err(why) => pages::refused("This request was refused", &format!("The redirect URI: {why}.")),
            Ok(mut url) => {
                url.query_pairs_mut().extend_pairs(fields);
                HttpResponse::SeeOther().insert_header((LOCATION, url.as_str())).finish()
            }
        }
    }

    fn grant(&self, op: &Op, session: Session) -> HttpResponse {
        let code = op.keep_code(Grant {
            client_id: self.client_id.clone(),
            redirect_uri: self.redirect_uri.clone(),
            challenge: self.code_challenge.clone().unwrap_or_default(),
            nonce: self.nonce.clone(),
            login: session.login,
            auth_time: session.auth_time,
            issued_at: instrument::now(),
        });
        self.respond(op, "code", &code)
    }
}

fn login_form(op: &Op, query: &str, login: &str, failed: bool) -> HttpResponse {
    LoginPage {
        name: "A stand-in for Entra",
        action: "/authorize",
        hidden: &[("request", query)],
        login,
        people: &op.people.all(),
        failed,
    }
    .render()
}

pub(crate) async fn ask(op: web::Data<Op>, request: HttpRequest) -> HttpResponse {
    let query = request.query_string();
    let asked = match Authorize::read(&op, query) {
        Ok(asked) => asked,
        Err(why) => return pages::refused("This request was refused", &why),
    };
    if let Err(error) = asked.judge() {
        return asked.respond(&op, "error", error);
    }
    let session = request.cookie(SESSION_COOKIE).and_then(|c| op.session(c.value()));
    match session.filter(|s| asked.satisfied_by(s)) {
        Some(session) => asked.grant(&op, session),
        None if asked.prompts("none") => asked.respond(&op, "error", "login_required"),
        None => login_form(&op, query, asked.login_hint.as_deref().unwrap_or_default(), false),
    }
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    request: String,
    login: String,
    password: String,
}

pub(crate) async fn sign_in(op: web::Data<Op>, form: web::Form<Credentials>) -> HttpResponse {
    let asked = match Authorize::read(&op, &form.request) {
        Ok(asked) => asked,
        Err(why) => return pages::refused("This request was refused", &why),
    };
    if let Err(error) = asked.judge() {
        return asked.respond(&op, "error", error);
    }
    let Some(person) = op.people.with_password(&form.login, &form.password) else {
        return login_form(&op, &form.request, &form.login, true);
    };
    let (id, session) = op.keep_session(&person.login);
    let mut response = asked.grant(&op, session);
    let cookie = Cookie::build(SESSION_COOKIE, id).path("/").http_only(true).same_site(SameSite::Lax);
    match response.add_cookie(&cookie.finish()) {
        Ok(()) => response,
        Err(why) => HttpResponse::InternalServerError().body(why.to_string()),
    }
}
