//! A sign-in at an OpenID provider begins: discovery, then a request tied to this attempt by state,
//! nonce and PKCE, with a redirect URI of this connection alone.

use crate::{
    FlowError, Gateway,
    attempt::LoginAttempt,
    begin::{Begun, Wishes},
    find_seat::SeatRule,
    signal_source::SignalSource,
};
use model::Secret;
use oidc::code_flow::{Ask, Prompt, Ties, authorization_url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use store::Connection;

/// What is kept of an OpenID Connect connection; its client secret is sealed beside it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OidcConfig {
    pub issuer: String,
    pub client_id: String,
    /// Absent: a sign-in makes a seat while no directory provisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub jit: Option<bool>,
    #[serde(default)]
    pub subject_is_external_id: bool,
    /// An email without `email_verified` counts as verified: nobody but an administrator can write it.
    #[serde(default)]
    pub trust_email: bool,
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// Where the endpoints were when the connection was made.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<String>,
    /// Who tells us of the end of its people's sessions; absent: the issuer itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SignalSource")]
    pub signals: Option<SignalSource>,
}

impl OidcConfig {
    pub const fn seats(&self) -> SeatRule {
        SeatRule { jit: self.jit, subject_is_external_id: self.subject_is_external_id }
    }
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
    let wanted = gw.wanted(connection.id, &config, attempt.begun_at);
    let provider = gw.providers.provider(&wanted).await?;
    let random = Ties::new(gw.chance.as_ref());
    // The attempt's id leads the state, so that the answer finds its cookie.
    let ties = Ties { state: Secret::new(format!("{}.{}", attempt.id, random.state.reveal())), ..random };
    attempt.request_id.clone_from(ties.nonce.reveal());
    attempt.state = Some(ties.state.reveal().clone());
    attempt.pkce_verifier = Some(ties.pkce_verifier.reveal().clone());
    let redirect_uri = gw.links.oidc_callback(connection.id);
    // A provider that is asked for an age has to say when the sign-in was (OIDC Core 2, `auth_time`).
    let max_age_secs = if attempt.anew { Some(0) } else { attempt.max_age_secs };
    let prompt = match () {
        () if attempt.anew => Some(Prompt::Login),
        () if wishes.prompts("select_account") => Some(Prompt::SelectAccount),
        () => None,
    };
    let ask = Ask {
        client_id: &config.client_id,
        redirect_uri: &redirect_uri,
        scopes: SCOPES,
        login_hint: wishes.login_hint.as_deref(),
        prompt,
        max_age_secs: max_age_secs.and_then(|secs| u32::try_from(secs).ok()),
        acr_values: &wishes.acr_values,
        ui_locales: wishes.ui_locales.as_deref(),
    };
    let url = authorization_url(&provider, &ask, &ties)?;
    Ok(Begun::Redirect { url: url.into(), attempt: attempt.seal(gw)? })
}
