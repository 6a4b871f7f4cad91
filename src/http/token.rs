//! The machine's half of the OAuth provider: token, introspection, revocation, userinfo. Clients
//! prove themselves as `client_auth` says; public clients by PKCE alone.

use super::{
    DoorKind, Entry,
    Made::Plain,
    client_auth::{client, not_public, proven, shown},
    client_credentials::{self, Program},
    doors::bearer,
    grant::{self, Grant},
    guard::facts,
    oauth_error, shielded,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::{self, Bytes, Data},
};
use broker::{
    FlowError, Gateway,
    inspect::{self, Live},
    redeem::{self, Redemption, Tokens},
    refresh, revoke,
};
use model::{Refusal, ids::OrgId};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub const ROUTES: &[Entry] = &[
    Entry {
        method: Method::POST,
        path: "/oauth2/token",
        door: DoorKind::Client,
        made: Plain(|| web::route().to(token)),
    },
    Entry {
        method: Method::POST,
        path: "/oauth2/introspect",
        door: DoorKind::Client,
        made: Plain(|| web::route().to(introspect)),
    },
    Entry {
        method: Method::POST,
        path: "/oauth2/revoke",
        door: DoorKind::Client,
        made: Plain(|| web::route().to(revoke_token)),
    },
    Entry {
        method: Method::GET,
        path: "/oauth2/userinfo",
        door: DoorKind::Bearer,
        made: Plain(|| web::route().to(userinfo)),
    },
    Entry {
        method: Method::POST,
        path: "/oauth2/userinfo",
        door: DoorKind::Bearer,
        made: Plain(|| web::route().to(userinfo)),
    },
];

/// A form's parameters; one that comes twice is an error (OAuth 2.1, 3.2).
pub(super) type Form = BTreeMap<String, String>;

fn invalid(field: &'static str, detail: &str) -> FlowError {
    FlowError::invalid("oauth.invalid_request", field, detail)
}

/// A body, or that it did not arrive whole: that is said in the caller's dialect, not the server's.
pub type Body = Result<Bytes, actix_web::Error>;

pub fn whole(body: &Body) -> Result<&Bytes, FlowError> {
    body.as_ref().map_err(|_| invalid("body", "the body is too large, or broke off"))
}

/// Reads `application/x-www-form-urlencoded`.
pub fn form(req: &HttpRequest, body: &Body) -> Result<Form, FlowError> {
    let kind = req.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err(invalid("content-type", "send application/x-www-form-urlencoded"));
    }
    pairs(whole(body)?)
}

/// The parameters of a form or a query.
pub fn pairs(text: &[u8]) -> Result<Form, FlowError> {
    let mut form = Form::new();
    for (name, value) in form_urlencoded::parse(text) {
        if value.contains('\0') {
            return Err(invalid("parameter", "a NUL byte is in no parameter"));
        }
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(invalid("parameter", "a parameter came twice"));
        }
    }
    Ok(form)
}

async fn token(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let call = facts(&req).call;
    let answer = async {
        let form = form(&req, &body)?;
        let shown = shown(&req, &form)?;
        if let Some(program) = Program::named(&shown.id) {
            return client_credentials::fetch(&req, &gw, &form, (program, &shown.by)).await;
        }
        let client = proven(&req, &gw, &shown, named_org(&gw, &form)).await?;
        let need = |name: &'static str| {
            form.get(name).cloned().ok_or_else(|| invalid(name, &format!("{name} is missing")))
        };
        let gw = gw.get_ref().clone();
        let tokens = match Grant::asked(&form)? {
            Grant::AuthorizationCode => {
                let (code, verifier) = (need("code")?, need("code_verifier")?);
                let (redirect_uri, resource) =
                    (form.get("redirect_uri").cloned(), form.get("resource").cloned());
                shielded(async move {
                    let grant = Redemption {
                        code: &code,
                        redirect_uri: redirect_uri.as_deref(),
                        code_verifier: &verifier,
                        resource: resource.as_deref(),
                    };
                    redeem::redeem(&gw, &client, grant, &call).await
                })
                .await
            }
            Grant::RefreshToken => {
                let (text, resource) = (need("refresh_token")?, form.get("resource").cloned());
                shielded(
                    async move { refresh::refresh(&gw, &client, (&text, resource.as_deref()), &call).await },
                )
                .await
            }
            Grant::ClientCredentials => Err(grant::unauthorized()),
        };
        tokens.map(|tokens| issued(&tokens))
    };
    answer.await.unwrap_or_else(|error| oauth_error::response(&error))
}

/// The org that the request's code or refresh token names.
fn named_org(gw: &Gateway, form: &Form) -> Option<OrgId> {
    match (form.get("code"), form.get("refresh_token").or_else(|| form.get("token"))) {
        (Some(code), None) => redeem::named_org(code),
        (None, Some(token)) => refresh::named_org(gw, token),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

/// RFC 6749 5.1, OIDC Core 3.1.3.3.
#[derive(Serialize)]
struct Issued<'a> {
    access_token: &'a str,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    refresh_token: &'a str,
    scope: &'a str,
    token_type: &'static str,
}

fn issued(tokens: &Tokens) -> HttpResponse {
    let body = Issued {
        access_token: &tokens.access_token,
        expires_in: tokens.expires_in_secs,
        id_token: tokens.id_token.as_deref(),
        refresh_token: tokens.refresh_token.reveal(),
        scope: &tokens.scope,
        token_type: "Bearer",
    };
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Pragma", "no-cache"))
        .json(body)
}

/// RFC 7662. A public client has nothing to prove itself by, so it may not ask.
async fn introspect(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let call = facts(&req).call;
    let answer = async {
        let form = form(&req, &body)?;
        let text = form.get("token").ok_or_else(|| invalid("token", "token is missing"))?;
        let claims = inspect::read(&gw, text, &call).await?;
        let client = not_public(client(&req, &gw, &form, claims.as_ref().map(|claims| claims.org)).await?)?;
        let Some(claims) = claims else { return Ok(None) };
        let gw = gw.get_ref().clone();
        shielded(async move { inspect::introspect(&gw, &client, claims, &call).await }).await
    };
    match answer.await {
        Ok(live) => HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(
            live.map_or_else(|| json!({"active": false}), |live| introspected(&live, gw.links.issuer())),
        ),
        Err(error) => oauth_error::response(&error),
    }
}

fn introspected(live: &Live, issuer: &str) -> Value {
    let claims = match live {
        Live::Person(person) => &person.claims,
        Live::Service(service) => &service.claims,
    };
    let mut said = json!({
        "active": true,
        "iss": issuer,
        "aud": claims.audience,
        "token_type": "Bearer",
        "exp": claims.expires_at.secs(),
        "iat": claims.issued_at.secs(),
        "jti": claims.jti,
        "org_id": claims.org,
        "roles": claims.roles,
        "rs": claims.rs,
    });
    let of_its_kind = match live {
        Live::Person(live) => json!({
            "sub": live.person.user,
            "client_id": live.person.client_id,
            "username": live.row.user_name,
            "scope": live.person.scope,
            "sid": live.person.session,
            "team_ids": live.person.team_ids,
            "con": live.person.connection,
            "auth_time": live.person.auth_time.secs(),
        }),
        Live::Service(live) => {
            json!({"sub": live.service, "client_id": live.service, "username": live.name, "team_ids": []})
        }
    };
    if let (Value::Object(said), Value::Object(more)) = (&mut said, of_its_kind) {
        said.extend(more);
        said.extend(claims.extra.claims());
    }
    said
}

/// RFC 7009: an unknown token is no error.
async fn revoke_token(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let call = facts(&req).call;
    let answer = async {
        let form = form(&req, &body)?;
        let client = client(&req, &gw, &form, named_org(&gw, &form)).await?;
        let text = form.get("token").cloned().ok_or_else(|| invalid("token", "token is missing"))?;
        let gw = gw.get_ref().clone();
        shielded(async move { revoke::refresh_token(&gw, &client, &text, &call).await }).await
    };
    match answer.await {
        Ok(()) => HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).finish(),
        Err(error) => oauth_error::response(&error),
    }
}

/// The access token that a request carries: in the header, or in a form's body (RFC 6750 2.1, 2.2; OIDC Core
/// 5.3.1). One that comes both ways is nobody's to choose between; none is read from the query.
fn presented(req: &HttpRequest, body: &Body) -> Result<String, FlowError> {
    let kind = req.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let posted = *req.method() == Method::POST
        && kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    let in_body = if posted { form(req, body)?.remove("access_token") } else { None };
    match (bearer(req), in_body) {
        (Some(_), Some(_)) => Err(invalid("access_token", "one access token, not two")),
        (Some(token), None) => Ok(token.to_owned()),
        (None, Some(token)) => Ok(token),
        (None, None) => Err(Refusal::stranger("token.missing").into()),
    }
}

/// OIDC Core 5.3: of the person's own claims those that the token's scopes ask for (5.4).
async fn userinfo(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let call = facts(&req).call;
    let jwt = match presented(&req, &body) {
        Ok(jwt) => jwt,
        Err(error) => return oauth_error::response(&error),
    };
    let story = gw.get_ref().clone();
    match shielded(async move { inspect::userinfo(&story, &jwt, &call).await }).await {
        Ok(live) => {
            let mut said = Map::new();
            said.insert("sub".into(), json!(live.person.user));
            said.insert("org_id".into(), json!(live.claims.org));
            said.insert("team_ids".into(), json!(live.row.team_ids));
            said.insert("roles".into(), json!(live.row.roles));
            let optional = [
                ("email", "email", live.row.email.clone()),
                ("profile", "name", redeem::name_of(&live.row)),
                ("profile", "given_name", live.row.given_name.clone()),
                ("profile", "family_name", live.row.family_name.clone()),
            ];
            for (scope, name, value) in optional {
                if let Some(value) = value.filter(|_| redeem::given(&live.person.scope, scope)) {
                    said.insert(name.into(), json!(value));
                }
            }
            HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(said)
        }
        Err(error) => oauth_error::response(&error),
    }
}
