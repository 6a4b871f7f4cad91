//! An OpenID provider that looks like Entra from outside: discovery, JWKS, authorization code with PKCE
//! S256, ID tokens by RS256, userinfo. It keeps a sign-in session per browser, so that `prompt`,
//! `max_age` and `login_hint` mean something. Clients are set up by [`OidcIdp::set_client`].
//! OIDC Core 3.1, Discovery 1.0, RFC 7636, RFC 9207.

use crate::{
    FixtureError, Person, Running,
    id_token::{self, Grant, OidcFault},
    instrument::{self, random_token},
    oidc_authorize, oidc_token, pages,
    people::People,
    server,
    signing::SigningKey,
};
use actix_web::{HttpResponse, web};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Timestamp;
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// More than any test or demo has at once; beyond it the table starts afresh.
const KEPT_MAX: usize = 10_000;

/// An app registration at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcClient {
    pub client_id: String,
    pub client_secret: String,
    /// Compared byte for byte.
    pub redirect_uris: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct OidcIdpSettings {
    /// 0: any free port.
    pub listen_port: u16,
    pub people: Vec<Person>,
    pub clients: Vec<OidcClient>,
}

pub struct OidcIdp {
    running: Running,
    op: Arc<Op>,
}

pub(crate) struct Op {
    pub(crate) issuer: String,
    pub(crate) people: People,
    key: SigningKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clients: Vec<OidcClient>,
    codes: HashMap<String, Grant>,
    access_tokens: HashMap<String, Grant>,
    sessions: HashMap<String, Session>,
    fault: Option<OidcFault>,
    claims: Map<String, Value>,
    access_claims: Option<Map<String, Value>>,
}

/// Who is signed in at the provider in one browser, and since when.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) login: String,
    pub(crate) auth_time: Timestamp,
}

impl OidcIdp {
    /// Makes a key, opens the port, answers from now on. The issuer is the base URL.
    pub async fn start(settings: OidcIdpSettings) -> Result<Self, FixtureError> {
        let bound = server::bind(settings.listen_port)?;
        let op = Arc::new(Op {
            issuer: bound.base_url.clone(),
            people: People::new(settings.people),
            key: SigningKey::made("A stand-in for Entra").await?,
            state: Mutex::new(State { clients: settings.clients, ..State::default() }),
        });
        let shared = web::Data::from(Arc::clone(&op));
        let running = bound.serve(move |config| {
            config
                .app_data(shared.clone())
                .configure(pages::assets)
                .route("/.well-known/openid-configuration", web::get().to(discovery))
                .route("/jwks", web::get().to(jwks))
                .route("/authorize", web::get().to(oidc_authorize::ask))
                .route("/authorize", web::post().to(oidc_authorize::sign_in))
                .route("/token", web::post().to(oidc_token::token))
                .route("/introspect", web::post().to(oidc_token::introspect))
                .route("/userinfo", web::get().to(oidc_token::userinfo));
        })?;
        Ok(Self { running, op })
    }

    pub fn base_url(&self) -> &str {
        self.running.base_url()
    }
    pub fn issuer(&self) -> &str {
        &self.op.issuer
    }
    /// Adds a client, or replaces the one with the same id.
    pub fn set_client(&self, client: OidcClient) {
        self.op.with(|s| {
            s.clients.retain(|c| c.client_id != client.client_id);
            s.clients.push(client);
        });
    }
    /// Adds a person, or changes the one with the same login.
    pub fn put_person(&self, person: Person) {
        self.op.people.put(person);
    }
    /// Spoils every ID token from now on; `None` is honest again.
    pub fn set_fault(&self, fault: Option<OidcFault>) {
        self.op.with(|s| s.fault = fault);
    }
    /// Makes access tokens readable (RFC 9068) from now on: `iss aud sub iat exp jti` and these, which
    /// win over the honest ones. `None`: opaque again.
    pub fn set_access_claims(&self, claims: Option<Map<String, Value>>) {
        self.op.with(|s| s.access_claims = claims);
    }
    /// Ends every access token at once: introspection says so, userinfo refuses.
    pub fn revoke_access_tokens(&self) {
        self.op.with(|s| s.access_tokens.clear());
    }
    /// Signs a token of any kind: the header is given `alg` and `kid`, unless it has them.
    pub fn sign(&self, mut header: Map<String, Value>, claims: &Value) -> Result<String, FixtureError> {
        let own = [("alg", json!("RS256")), ("kid", json!(self.op.key.kid))];
        for (name, value) in own {
            header.entry(name).or_insert(value);
        }
        let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
        let message = format!("{}.{}", part(&Value::Object(header).to_string()), part(&claims.to_string()));
        let signature = self.op.key.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
    /// Where its keys are.
    pub fn jwks_url(&self) -> String {
        format!("{}/jwks", self.base_url())
    }
    /// The subject by which a client knows this person.
    pub fn subject(&self, login: &str, client_id: &str) -> Option<String> {
        Some(self.op.people.find(login)?.stable_id(client_id))
    }
    /// Writes `value` into every ID token from now on in place of the honest claim; null leaves it out.
    pub fn set_claim(&self, name: &str, value: Value) {
        self.op.with(|s| drop(s.claims.insert(name.to_owned(), value)));
    }
}

impl Op {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
    pub(crate) fn client(&self, client_id: &str) -> Option<OidcClient> {
        self.with(|s| s.clients.iter().find(|c| c.client_id == client_id).cloned())
    }
    pub(crate) fn keep_code(&self, grant: Grant) -> String {
        let code = random_token();
        self.with(|s| keep(&mut s.codes, code.clone(), grant));
        code
    }
    /// A code works once, whatever comes of it.
    pub(crate) fn take_code(&self, code: &str) -> Option<Grant> {
        self.with(|s| s.codes.remove(code))
    }
    pub(crate) fn keep_session(&self, login: &str) -> (String, Session) {
        let (id, session) =
            (random_token(), Session { login: login.to_owned(), auth_time: instrument::now() });
        self.with(|s| keep(&mut s.sessions, id.clone(), session.clone()));
        (id, session)
    }
    pub(crate) fn session(&self, id: &str) -> Option<Session> {
        self.with(|s| s.sessions.get(id).cloned())
    }
    pub(crate) fn granted(&self, access_token: &str) -> Option<Grant> {
        self.with(|s| s.access_tokens.get(access_token).cloned())
    }
    fn access_token(&self, person: &Person, grant: &Grant) -> Result<String, FixtureError> {
        let Some(own) = self.with(|s| s.access_claims.clone()) else { return Ok(random_token()) };
        let mut claims = id_token::claims(&self.issuer, person, grant, "");
        claims.retain(|name, _| matches!(name.as_str(), "iss" | "aud" | "sub" | "iat" | "exp"));
        drop(claims.insert("jti".to_owned(), json!(random_token())));
        claims.extend(own);
        id_token::sign_access_token(&self.key, claims)
    }
    /// An access token and the ID token beside it.
    pub(crate) fn issue(&self, person: &Person, grant: Grant) -> Result<(String, String), FixtureError> {
        let access_token = self.access_token(person, &grant)?;
        let mut claims = id_token::claims(&self.issuer, person, &grant, &access_token);
        let (fault, own) = self.with(|s| {
            keep(&mut s.access_tokens, access_token.clone(), grant);
            (s.fault, s.claims.clone())
        });
        claims.extend(own);
        claims.retain(|_, v| !v.is_null());
        Ok((access_token, id_token::sign(&self.key, claims, fault)?))
    }
}

fn keep<T>(table: &mut HashMap<String, T>, key: String, value: T) {
    if table.len() >= KEPT_MAX {
        table.clear();
    }
    table.insert(key, value);
}

async fn discovery(op: web::Data<Op>) -> HttpResponse {
    let issuer = &op.issuer;
    HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "email", "name", "given_name",
            "family_name", "groups", "oid", "tid"
        ],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(op: web::Data<Op>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"keys": [op.key.jwk()]}))
}
