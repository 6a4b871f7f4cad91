//! A sign-in at an OpenID provider begins: discovery, then a request tied to this attempt by state,
//! nonce and PKCE, with a redirect URI of this connection alone.

use crate::{
    FlowError, Gateway, OutboundRequest,
    attempt::LoginAttempt,
    begin::{Begun, Wishes},
};
use model::{Refusal, Secret};
use oidc::{
    code_flow::{Ask, Prompt, Ties, authorization_url},
    provider::{Jwks, Provider, Transport, discovery_url},
};
use serde::{Deserialize, Serialize};
use store::Connection;

/// What an OIDC connection's `config` column holds; the client secret is sealed beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OidcConfig {
    pub issuer: String,
    pub client_id: String,
    #[serde(default = "yes")]
    pub jit: bool,
    #[serde(default)]
    pub groups_claim: Option<String>,
}

const fn yes() -> bool {
    true
}

impl OidcConfig {
    pub fn of(connection: &Connection) -> Result<Self, FlowError> {
        serde_json::from_value(connection.config.clone())
            .map_err(|e| FlowError::Fault(format!("connection {}: {e}", connection.id)))
    }
}

pub(crate) const SCOPES: &[&str] = &["profile", "email"];

pub async fn begin(
    gw: &Gateway,
    connection: &Connection,
    mut attempt: LoginAttempt,
    wishes: &Wishes,
) -> Result<Begun, FlowError> {
    let config = OidcConfig::of(connection)?;
    let provider = discover(gw, &config.issuer).await?;
    let random = Ties::new(gw.chance.as_ref());
    // The attempt's id leads the state, so that the answer finds its cookie.
    let ties = Ties { state: Secret::new(format!("{}.{}", attempt.id, random.state.reveal())), ..random };
    attempt.request_id.clone_from(ties.nonce.reveal());
    attempt.state = Some(ties.state.reveal().clone());
    attempt.pkce_verifier = Some(ties.pkce_verifier.reveal().clone());
    let redirect_uri = gw.links.oidc_callback(connection.id);
    let acr_values: Vec<String> =
        wishes.acr_values.iter().flat_map(|v| v.split(' ')).map(str::to_owned).collect();
    let ask = Ask {
        client_id: &config.client_id,
        redirect_uri: &redirect_uri,
        scopes: SCOPES,
        login_hint: wishes.login_hint.as_deref(),
        prompt: (wishes.prompt.as_deref() == Some("login")).then_some(Prompt::Login),
        max_age_secs: wishes.max_age_secs.and_then(|secs| u32::try_from(secs).ok()),
        acr_values: &acr_values,
    };
    let url = authorization_url(&provider, &ask, &ties)?;
    Ok(Begun::Redirect { url: url.into(), attempt: attempt.seal(gw)? })
}

/// How an issuer's addresses may look.
pub(crate) fn transport(gw: &Gateway) -> Transport {
    if gw.allow_loopback { Transport::LoopbackAllowed } else { Transport::HttpsOnly }
}

/// Fetches the issuer's discovery document and pins it to the issuer's name.
pub async fn discover(gw: &Gateway, issuer: &str) -> Result<Provider, FlowError> {
    let url = discovery_url(issuer, transport(gw))?;
    let document = fetch(gw, url.as_str()).await?;
    Ok(Provider::parse(&document, issuer, transport(gw))?)
}

/// Fetches the provider's keys.
pub async fn keys(gw: &Gateway, provider: &Provider) -> Result<Jwks, FlowError> {
    let document = fetch(gw, provider.jwks_uri.as_str()).await?;
    Ok(Jwks::parse(&document)?)
}

async fn fetch(gw: &Gateway, url: &str) -> Result<Vec<u8>, FlowError> {
    let asked = OutboundRequest { url: url.to_owned(), ..OutboundRequest::default() };
    match gw.outbound.send(asked).await {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        Ok(answer) => Err(unreachable(url, &answer.said())),
        Err(fault) => Err(unreachable(url, &fault.to_string())),
    }
}

pub(crate) fn unreachable(url: &str, why: &str) -> FlowError {
    Refusal::stranger("oidc.provider_unreachable").with("url", url).with("why", why).into()
}
