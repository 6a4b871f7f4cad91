//! The authorization code flow as seen by the client: the URL we send a browser to, the answer that
//! comes back in one, the form we post for tokens and its response. Always `state`, `nonce` and PKCE
//! S256; `iss` is held to the pinned provider. OIDC Core 3.1.2, RFC 6749 4.1, RFC 7636, RFC 9207.

use crate::{
    provider::Provider,
    strict::{encode, object},
};
use aws_lc_rs::{constant_time, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use model::{Chance, Refusal, Secret, ids::random32};
use openidconnect::{
    AuthUrl, AuthenticationContextClass, AuthenticationFlow, ClientId, CsrfToken, EmptyExtraTokenFields,
    IssuerUrl, LoginHint, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    Scope, StandardTokenResponse,
    core::{CoreAuthPrompt, CoreClient, CoreJsonWebKeySet, CoreResponseType, CoreTokenType},
    url::{Url, form_urlencoded},
};
use serde_json::Value;
use std::{borrow::Cow, time::Duration};

/// A callback with a code of 4 KiB is the longest we have heard of.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// A token response with three tokens and a thousand groups.
pub const TOKEN_RESPONSE_BYTES_MAX: usize = 256 * 1024;

/// The three values that tie an answer to its question. They are sealed into the login attempt.
#[derive(Debug, Clone)]
pub struct Ties {
    pub state: Secret<String>,
    pub nonce: Secret<String>,
    pub pkce_verifier: Secret<String>,
}

impl Ties {
    /// 256 fresh random bits each; the verifier is the 43 characters of RFC 7636 4.1.
    pub fn new(chance: &dyn Chance) -> Self {
        let text = || Secret::new(encode(&random32(chance)));
        Self { state: text(), nonce: text(), pkce_verifier: text() }
    }
}

/// What to ask of the provider, beside the ties.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    pub client_id: &'a str,
    pub redirect_uri: &'a str,
    /// Beyond `openid`.
    pub scopes: &'a [&'a str],
    pub login_hint: Option<&'a str>,
    pub prompt: Option<Prompt>,
    pub max_age_secs: Option<u32>,
    pub acr_values: &'a [String],
    /// The languages that the person reads, as the app said.
    pub ui_locales: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prompt {
    None,
    Login,
    Consent,
    SelectAccount,
}

/// The URL to send the browser to.
///
/// # Errors
/// `oidc.redirect_uri`: not a URL.
pub fn authorization_url(provider: &Provider, ask: &Ask<'_>, ties: &Ties) -> Result<Url, Refusal> {
    let redirect = RedirectUrl::new(ask.redirect_uri.to_owned())
        .map_err(|_| Refusal::stranger("oidc.redirect_uri").with("received", ask.redirect_uri))?;
    let issuer =
        IssuerUrl::new(provider.issuer.clone()).map_err(|_| Refusal::stranger("oidc.issuer_mismatch"))?;
    let client =
        CoreClient::new(ClientId::new(ask.client_id.to_owned()), issuer, CoreJsonWebKeySet::new(vec![]))
            .set_auth_uri(AuthUrl::from_url(provider.authorization_endpoint.clone()));
    let (state, nonce) = (ties.state.reveal().clone(), ties.nonce.reveal().clone());
    let verifier = PkceCodeVerifier::new(ties.pkce_verifier.reveal().clone());
    let mut request = client
        .authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            || CsrfToken::new(state),
            || Nonce::new(nonce),
        )
        .set_redirect_uri(Cow::Owned(redirect))
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
        .add_scopes(ask.scopes.iter().map(|scope| Scope::new((*scope).to_owned())));
    if let Some(hint) = ask.login_hint {
        request = request.set_login_hint(LoginHint::new(hint.to_owned()));
    }
    if let Some(prompt) = ask.prompt {
        request = request.add_prompt(match prompt {
            Prompt::None => CoreAuthPrompt::None,
            Prompt::Login => CoreAuthPrompt::Login,
            Prompt::Consent => CoreAuthPrompt::Consent,
            Prompt::SelectAccount => CoreAuthPrompt::SelectAccount,
        });
    }
    if let Some(secs) = ask.max_age_secs {
        request = request.set_max_age(Duration::from_secs(secs.into()));
    }
    for acr in ask.acr_values {
        request = request.add_auth_context_value(AuthenticationContextClass::new(acr.clone()));
    }
    if let Some(locales) = ask.ui_locales {
        request = request.add_extra_param("ui_locales", locales.to_owned());
    }
    Ok(request.url().0)
}

/// The answer in the browser's query or form, parsed but not yet believed. `state` says which login
/// attempt to open.
#[derive(Debug)]
pub struct Answer {
    pub state: String,
    iss: Option<String>,
    outcome: Result<Secret<String>, String>,
}

impl Answer {
    /// Reads `application/x-www-form-urlencoded` text. A repeated parameter is refused (OAuth 2.1).
    ///
    /// # Errors
    /// `oidc.answer_malformed`: too long, a parameter twice, no `state`, or not exactly one of
    /// `code` and `error`.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let malformed = || Refusal::stranger("oidc.answer_malformed");
        if query.len() > ANSWER_BYTES_MAX {
            return Err(malformed());
        }
        let (mut state, mut iss, mut code, mut error) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match name.as_ref() {
                "state" => &mut state,
                "iss" => &mut iss,
                "code" => &mut code,
                "error" => &mut error,
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(malformed());
            }
        }
        let outcome = match (code, error) {
            (Some(code), None) if !code.is_empty() => Ok(Secret::new(code)),
            (None, Some(error)) => Err(error),
            _ => return Err(malformed()),
        };
        Ok(Self { state: state.filter(|s| !s.is_empty()).ok_or_else(malformed)?, iss, outcome })
    }

    /// Holds the answer to the attempt it names and to the provider that was asked: a code of
    /// another provider must never be posted to this one's token endpoint (RFC 9700 4.4).
    ///
    /// # Errors
    /// `oidc.state`, `oidc.answer_iss` (another `iss`, or none though promised), `oidc.provider_error`.
    pub fn accept(self, provider: &Provider, ties: &Ties) -> Result<Secret<String>, Refusal> {
        let expected = ties.state.reveal().as_bytes();
        constant_time::verify_slices_are_equal(self.state.as_bytes(), expected)
            .map_err(|_| Refusal::stranger("oidc.state"))?;
        let iss_holds = match &self.iss {
            Some(iss) => *iss == provider.issuer,
            None => !provider.answers_with_iss,
        };
        if !iss_holds {
            let received = self.iss.as_deref().unwrap_or("(none)");
            return Err(Refusal::stranger("oidc.answer_iss")
                .with("expected", &provider.issuer)
                .with("received", received));
        }
        self.outcome.map_err(|error| Refusal::stranger("oidc.provider_error").with("error", error))
    }
}

/// How the client proves itself at the token endpoint.
#[derive(Debug)]
pub enum ClientAuth<'a> {
    /// `client_secret_basic`
    Basic(&'a Secret<String>),
    /// `client_secret_post`
    Post(&'a Secret<String>),
}

/// A POST for the caller to send, `application/x-www-form-urlencoded`.
#[derive(Debug)]
pub struct TokenRequest {
    pub url: Url,
    pub authorization: Option<Secret<String>>,
    pub body: Secret<String>,
}

/// The request that exchanges a code (RFC 6749 4.1.3, 2.3.1; RFC 7636 4.5).
pub fn token_request(
    provider: &Provider,
    ask: &Ask<'_>,
    auth: &ClientAuth<'_>,
    code: &Secret<String>,
    ties: &Ties,
) -> TokenRequest {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code.reveal())
        .append_pair("redirect_uri", ask.redirect_uri)
        .append_pair("code_verifier", ties.pkce_verifier.reveal());
    let escaped = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let authorization = match auth {
        ClientAuth::Basic(secret) => {
            let pair = format!("{}:{}", escaped(ask.client_id), escaped(secret.reveal()));
            Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
        }
        ClientAuth::Post(secret) => {
            form.append_pair("client_id", ask.client_id).append_pair("client_secret", secret.reveal());
            None
        }
    };
    TokenRequest { url: provider.token_endpoint.clone(), authorization, body: Secret::new(form.finish()) }
}

/// The tokens a provider gave.
#[derive(Debug)]
pub struct TokenAnswer {
    pub id_token: Secret<String>,
    pub access_token: Secret<String>,
}

/// Reads the token endpoint's response.
///
/// # Errors
/// `oidc.token_error` (not 200; the fact `error` is the provider's own code), `oidc.token_response`
/// (too long, malformed, or without an ID token).
pub fn token_response(status: u16, body: &[u8]) -> Result<TokenAnswer, Refusal> {
    let malformed = || Refusal::stranger("oidc.token_response");
    if body.len() > TOKEN_RESPONSE_BYTES_MAX {
        return Err(malformed());
    }
    let members = object(body);
    let text = |name| members.as_ref().and_then(|m| m.get(name)).and_then(Value::as_str);
    if status != 200 {
        let error = text("error").unwrap_or("(none)");
        return Err(Refusal::stranger("oidc.token_error").with("status", status).with("error", error));
    }
    let id_token = Secret::new(text("id_token").ok_or_else(malformed)?.to_owned());
    let members = members.ok_or_else(malformed)?;
    let response: StandardTokenResponse<EmptyExtraTokenFields, CoreTokenType> =
        serde_json::from_value(Value::Object(members)).map_err(|_| malformed())?;
    Ok(TokenAnswer { id_token, access_token: Secret::new(response.access_token().secret().clone()) })
}

/// What makes an ID token single-use: the digest of the nonce it answers.
pub(crate) fn single_use_key(nonce: &str) -> String {
    format!("oidc:{}", encode(digest::digest(&digest::SHA256, nonce.as_bytes()).as_ref()))
}

#[cfg(test)]
#[path = "code_flow_tests.rs"]
mod tests;
