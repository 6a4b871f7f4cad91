//! What the demo's app does with its issuer: discovery, the code exchange, refresh, introspection, and
//! the two verifications: the ID token by `openidconnect`, the access token (RFC 9068) by its issuer's
//! JWK set. It knows the issuer by its URL alone and trusts nothing that no signature covers.

use crate::{FixtureError, RpSettings, instrument::http_error};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use openidconnect::url::form_urlencoded;
use openidconnect::{
    AccessTokenHash, AdditionalProviderMetadata, AuthorizationCode, ClientId, ClientSecret, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse,
    PkceCodeVerifier, ProviderMetadata, RedirectUrl, RefreshToken, TokenResponse,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod, CoreGrantType,
        CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode,
        CoreResponseType, CoreSubjectIdentifierType, CoreTokenResponse,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What discovery says beyond OpenID Connect's own fields (RFC 8414).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct More {
    introspection_endpoint: Option<String>,
}
impl AdditionalProviderMetadata for More {}

type Metadata = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

pub(crate) type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The issuer as this app sees it.
pub(crate) struct Issuer {
    http: reqwest::Client,
    settings: RpSettings,
    metadata: Metadata,
    pub(crate) client: Client,
}

/// What a sign-in or a refresh left.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) id_claims: Value,
    pub(crate) access_token: String,
    /// `None`: the access token is opaque, which is its issuer's right.
    pub(crate) access_claims: Option<Value>,
    pub(crate) refresh_token: Option<String>,
}

/// One exchange for `openidconnect`, which brings no HTTP client here.
async fn call(http: &reqwest::Client, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let answer = http.execute(reqwest::Request::try_from(request)?).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = HttpResponse::new(answer.bytes().await?.to_vec());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

impl Issuer {
    /// Asks the issuer's discovery document, as every app does that is configured by its URL alone.
    ///
    /// Errors: `Http` naming the issuer when it does not answer or describes another.
    pub(crate) async fn discover(
        http: reqwest::Client,
        settings: RpSettings,
        redirect_uri: &str,
    ) -> Result<Self, FixtureError> {
        let failed = |reason: String| FixtureError::Http { url: settings.issuer.clone(), reason };
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(|e| failed(e.to_string()))?;
        let metadata = Metadata::discover_async(issuer, &|request| call(&http, request))
            .await
            .map_err(|e| failed(chain(&e)))?;
        let client = CoreClient::from_provider_metadata(
            metadata.clone(),
            ClientId::new(settings.client_id.clone()),
            Some(ClientSecret::new(settings.client_secret.clone())),
        )
        .set_redirect_uri(RedirectUrl::new(redirect_uri.to_owned()).map_err(|e| failed(e.to_string()))?);
        Ok(Self { http, settings, metadata, client })
    }

    /// Redeems a code; both tokens are verified before anything of them is shown.
    pub(crate) async fn redeem(
        &self,
        code: String,
        verifier: String,
        nonce: &Nonce,
    ) -> Result<Tokens, String> {
        let answer = self
            .client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|e| e.to_string())?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&|request| call(&self.http, request))
            .await
            .map_err(|e| format!("The code was not redeemed: {}", chain(&e)))?;
        let token = answer.id_token().ok_or("The answer holds no ID token.")?;
        let verifier = self.client.id_token_verifier();
        let claims =
            token.claims(&verifier, nonce).map_err(|e| format!("The ID token was refused: {}", chain(&e)))?;
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(|e| e.to_string())?;
            let key = token.signing_key(&verifier).map_err(|e| e.to_string())?;
            let actual = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
            if actual.map_err(|e| e.to_string())? != *expected {
                return Err("The ID token was refused: at_hash belongs to another access token.".to_owned());
            }
        }
        // Verified just above; read again for the claims that openidconnect has no field for.
        let id_claims = payload(&token.to_string()).ok_or("The ID token has no payload.")?;
        self.tokens(&answer, id_claims).await
    }

    /// Trades the refresh token; the person stays who the ID token said.
    pub(crate) async fn refresh(&self, old: &Tokens) -> Result<Tokens, String> {
        let refresh = old.refresh_token.clone().ok_or("There is no refresh token.")?;
        let answer = self
            .client
            .exchange_refresh_token(&RefreshToken::new(refresh))
            .map_err(|e| e.to_string())?
            .request_async(&|request| call(&self.http, request))
            .await
            .map_err(|e| format!("The refresh was refused: {}", chain(&e)))?;
        self.tokens(&answer, old.id_claims.clone()).await
    }

    async fn tokens(&self, answer: &CoreTokenResponse, id_claims: Value) -> Result<Tokens, String> {
        let access_token = answer.access_token().secret().clone();
        let access_claims = self.access_claims(&access_token).await?;
        let refresh_token = answer.refresh_token().map(|t| t.secret().clone());
        Ok(Tokens { id_claims, access_token, access_claims, refresh_token })
    }

    /// RFC 9068, section 4: signature by the issuer's key, `typ`, `iss`, `aud`, `exp`.
    async fn access_claims(&self, token: &str) -> Result<Option<Value>, String> {
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Ok(None) };
        let refused = |why: &str| format!("The access token was refused: {why}");
        if header.typ.as_deref() != Some("at+jwt") {
            return Err(refused("its typ is not at+jwt."));
        }
        if !matches!(header.alg, Algorithm::ES256 | Algorithm::EdDSA | Algorithm::PS256 | Algorithm::RS256) {
            return Err(refused("its algorithm is not an asymmetric one of ours."));
        }
        let url = self.metadata.jwks_uri().as_str();
        let answer = self.http.get(url).send().await.map_err(|e| http_error(url, &e).to_string())?;
        let keys: JwkSet = answer.json().await.map_err(|e| http_error(url, &e).to_string())?;
        let key = header.kid.as_deref().and_then(|kid| keys.find(kid));
        let key = key.ok_or_else(|| refused("no key of its issuer has this kid."))?;
        let key = DecodingKey::from_jwk(key).map_err(|e| refused(&e.to_string()))?;
        let mut rules = Validation::new(header.alg);
        rules.set_issuer(&[self.metadata.issuer().as_str()]);
        rules.set_audience(&[self.settings.audience.as_deref().unwrap_or(&self.settings.client_id)]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.leeway = 0;
        let read = jsonwebtoken::decode::<Value>(token, &key, &rules).map_err(|e| refused(&e.to_string()))?;
        Ok(Some(read.claims))
    }

    /// Asks the issuer whether the token is good at this moment (RFC 7662). `Ok(None)`: it offers no
    /// introspection.
    pub(crate) async fn introspect(&self, token: &str) -> Result<Option<Value>, String> {
        let Some(url) = &self.metadata.additional_metadata().introspection_endpoint else { return Ok(None) };
        let RpSettings { client_id, client_secret, .. } = &self.settings;
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("token", token), ("token_type_hint", "access_token")])
            .finish();
        // RFC 6749 2.3.1: both are form-encoded before Basic encodes them.
        let encode = |part: &str| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
        let request =
            self.http.post(url).basic_auth(encode(client_id), Some(encode(client_secret))).body(body);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = request.send().await.map_err(|e| http_error(url, &e).to_string())?;
        if !answer.status().is_success() {
            return Err(format!("{url} answered {}", answer.status()));
        }
        answer.json().await.map(Some).map_err(|e| http_error(url, &e).to_string())
    }
}

/// The middle part of a JWT, unverified.
fn payload(token: &str) -> Option<Value> {
    let middle = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle).ok()?).ok()
}

/// Whether an access token's `exp` is so near that a page had better refresh first.
pub(crate) fn ends_before(claims: Option<&Value>, at_secs: i64) -> bool {
    claims.and_then(|c| c.get("exp")).unwrap_or(&json!(i64::MAX)).as_i64().is_some_and(|exp| exp < at_secs)
}

/// An error with its causes: openidconnect's outermost sentence names none.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
