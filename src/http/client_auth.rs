//! What a client shows of itself, and in which of the ways: a secret in the header or in the body, an
//! assertion that it has signed, or its name alone. One way, never two.

use super::{doors::bearer, guard::facts, token::Form};
use actix_web::{HttpRequest, http::header};
use base64::{Engine, engine::general_purpose::STANDARD};
use broker::{
    FlowError, Gateway,
    client::{self, Proof, Standing},
};
use model::{
    Refusal,
    ids::{AppId, OrgId},
};
use store::{AuthMethod, Client};
use token::client_assertion;

/// Who a client says it is, and by what it proves it.
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) by: By,
}

pub(super) enum By {
    Nothing,
    Secret(String),
    Assertion(String),
}

impl By {
    fn proof(&self) -> Proof<'_> {
        match self {
            Self::Nothing => Proof::Nothing,
            Self::Secret(secret) => Proof::Secret(secret),
            Self::Assertion(jwt) => Proof::Assertion(jwt),
        }
    }
}

pub(super) fn wrong() -> FlowError {
    Refusal::stranger("oauth.invalid_client").into()
}

fn two_ways(field: &'static str) -> FlowError {
    FlowError::invalid("oauth.invalid_request", field, "one way of authenticating, not two")
}

/// RFC 6749 2.3, RFC 7521 4.2. Errors: `oauth.invalid_request` for two ways at once or another kind of
/// assertion, `oauth.invalid_client` for one that cannot be read, or that names another client beside it.
pub(super) fn shown(req: &HttpRequest, form: &Form) -> Result<Shown, FlowError> {
    let basic = req
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let (secret, assertion) = (form.get("client_secret"), form.get("client_assertion"));
    let id = form.get("client_id").cloned();
    if assertion.is_none() && form.contains_key("client_assertion_type") {
        return Err(FlowError::invalid("oauth.invalid_request", "client_assertion", "it is missing"));
    }
    match (basic, secret, assertion) {
        (Some(_), Some(_), _) | (_, Some(_), Some(_)) => Err(two_ways("client_secret")),
        (Some(_), None, Some(_)) => Err(two_ways("client_assertion")),
        (Some((_, value)), None, None) => {
            let pair = STANDARD.decode(value.trim()).ok().and_then(|b| String::from_utf8(b).ok());
            let pair = pair.ok_or_else(wrong)?;
            let (own, secret) = pair.split_once(':').ok_or_else(wrong)?;
            let own = decoded(own);
            if id.is_some_and(|id| id != own) {
                return Err(wrong());
            }
            Ok(Shown { id: own, by: By::Secret(decoded(secret)) })
        }
        (None, Some(secret), None) => Ok(Shown { id: id.ok_or_else(wrong)?, by: By::Secret(secret.clone()) }),
        (None, None, Some(jwt)) => {
            if form.get("client_assertion_type").map(String::as_str) != Some(client_assertion::TYPE) {
                let right = client_assertion::TYPE;
                return Err(FlowError::invalid("oauth.invalid_request", "client_assertion_type", right));
            }
            asserted(jwt, id)
        }
        (None, None, None) => Ok(Shown { id: id.ok_or_else(wrong)?, by: By::Nothing }),
    }
}

/// An assertion names its client; `client_id` beside it says the same or nothing (RFC 7521 4.2).
fn asserted(jwt: &str, id: Option<String>) -> Result<Shown, FlowError> {
    let named = client_assertion::named(jwt).ok_or_else(wrong)?.to_string();
    if id.is_some_and(|id| id != named) {
        return Err(wrong());
    }
    Ok(Shown { id: named, by: By::Assertion(jwt.to_owned()) })
}

/// One form-encoded value: `&` and `=` are letters like any other here.
fn decoded(text: &str) -> String {
    let plain = text.replace('&', "%26");
    let joined = format!("x={plain}");
    form_urlencoded::parse(joined.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The app that has shown this. `org` is the one that its request names.
pub(super) async fn proven(
    req: &HttpRequest,
    gw: &Gateway,
    shown: &Shown,
    org: Option<OrgId>,
) -> Result<Client, FlowError> {
    let id: AppId = shown.id.parse().map_err(|_| wrong())?;
    client::authenticate(gw, id, shown.by.proof(), org, &facts(req).call).await
}

/// The app of a request, authenticated as it is registered.
pub(super) async fn client(
    req: &HttpRequest,
    gw: &Gateway,
    form: &Form,
    org: Option<OrgId>,
) -> Result<Client, FlowError> {
    proven(req, gw, &shown(req, form)?, org).await
}

/// An app that can prove itself: a public client has nothing to do it by.
pub(super) fn not_public(client: Client) -> Result<Client, FlowError> {
    if client.app.auth_method == AuthMethod::None { Err(wrong()) } else { Ok(client) }
}

/// An app that proves itself in the header: by its secret (Basic), or by an assertion (Bearer), because a GET has
/// no form to put one in. Errors: `oauth.invalid_client`, `oauth.assertion_…`.
pub(super) async fn confidential(req: &HttpRequest, gw: &Gateway) -> Result<(Client, Standing), FlowError> {
    let shown = match bearer(req) {
        Some(jwt) => asserted(jwt, None)?,
        None => shown(req, &Form::new())?,
    };
    let client = not_public(proven(req, gw, &shown, None).await?)?;
    let standing = Standing::of(&client.app, shown.by.proof());
    Ok((client, standing))
}
