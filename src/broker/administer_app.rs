//! Apps: the platform's OAuth clients. A secret is shown once; a redirect URI is checked here, because
//! at sign-in it is only compared, byte for byte.

use crate::{
    FlowError, Gateway,
    administer::{Loopback, PRINTABLE, Page, WEB_URL, called_url, name_of, web_url},
    app_keys::{KeySet, jwks_wrong, keys_of},
    resource, signing_keys,
};
use model::{
    Secret, SigningAlg, Timestamp, TokenDigest,
    claims::ExtraClaim,
    ids::{self, AppId, OrgId},
    members::Members,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de::IgnoredAny};
use std::borrow::Cow;
use store::{App, AuthMethod, Call, NewApp as Row, Operator, PlatformAct, Serves};
use token::credential::{UnboundKind, bearer};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: String,
    /// Compared byte for byte, but for the port of a loopback address. One of the path `/_vestibule/callback` has the
    /// proxy before the app sign browsers in at that origin.
    #[schemars(length(min = 1, max = URIS_MAX), inner(url, length(max = 2048), regex(pattern = WEB_URL)))]
    pub redirect_uris: Vec<String>,
    #[serde(default)]
    #[schemars(length(max = URIS_MAX), inner(url, length(max = 2048), regex(pattern = WEB_URL)))]
    pub post_logout_redirect_uris: Vec<String>,
    pub orgs: Option<Served>,
    /// The `aud` of its access tokens; its own id, if it is left out.
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub audience: Option<String>,
    /// `client_secret_basic`, if it is left out; a public client has `none`, one with `jwks` has `private_key_jwt`.
    #[schemars(with = "Option<AuthMethod>")]
    pub token_endpoint_auth_method: Option<String>,
    /// What it has in its access tokens besides, each once.
    #[serde(default)]
    #[schemars(length(max = 3))]
    pub claims: Vec<ExtraClaim>,
    /// The audiences of other apps for which it may ask for a token, by `resource` (RFC 8707), each once.
    #[serde(default)]
    #[schemars(length(max = RESOURCES_MAX), inner(url, length(max = 200), regex(pattern = PRINTABLE)))]
    pub resources: Vec<String>,
    /// Its public keys, for `private_key_jwt` and for nothing else.
    pub jwks: Option<Members<KeySet>>,
    /// How long a refresh token that was used gives the same answer again; left out: 10, without a secret 0.
    #[schemars(range(min = *GRACE_SECS.start(), max = *GRACE_SECS.end()))]
    pub refresh_grace_secs: Option<i64>,
    /// Where the app begins a sign-in by itself (OIDC Core 4).
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub initiate_login_uri: Option<String>,
    /// Where the app is told that a session ended (OpenID Connect Back-Channel Logout 1.0).
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub backchannel_logout_uri: Option<String>,
    /// By which its access, ID and logout tokens are signed; `ES256`, if it is left out.
    #[schemars(with = "Option<SigningAlg>")]
    pub id_token_signed_response_alg: Option<String>,
}

/// Without `retire_old`, a new secret is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    #[serde(default)]
    pub retire_old: bool,
}

/// `"all"`, or a list of org ids and slugs. What is neither is read too, to be refused in plain words.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Served {
    Word(String),
    Orgs(Vec<String>),
    Other(IgnoredAny),
}

impl JsonSchema for Served {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Served".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`all`, or ids and slugs of orgs that exist, each once.",
            "anyOf": [
                {"type": "string", "const": "all"},
                {"type": "array", "maxItems": SERVED_MAX, "uniqueItems": true, "items": {"type": "string"}},
            ],
        })
    }
}

pub(crate) const URIS_MAX: usize = 50;
pub(crate) const RESOURCES_MAX: usize = 50;
const SERVED_MAX: usize = 10_000;
/// How long an answer that was lost may be asked for again.
pub(crate) const GRACE_SECS: std::ops::RangeInclusive<i64> = 0..=60;
const CONFIDENTIAL_GRACE_SECS: i64 = 10;

/// How long the secret before goes on beside a new one.
const OLD_SECRET_SECS: i64 = 24 * 3_600;

/// Makes an app, and the key that signs for it, when it is the first to ask for its algorithm. Errors:
/// `api.url_refused`, `app.redirect_uris`, `app.orgs`, `app.auth_method`, `app.resources`, `app.jwks`, `app.signing_alg`,
/// `app.refresh_grace`, `api.name_malformed`.
pub async fn create(
    gw: &Gateway,
    by: Operator,
    body: NewApp,
    call: &Call,
) -> Result<(Shown, Option<Secret<String>>), FlowError> {
    let serves = served(gw, by, body.orgs.unwrap_or_else(|| Served::Word("all".to_owned()))).await?;
    redirects(&body.redirect_uris)?;
    uris("post_logout_redirect_uris", &body.post_logout_redirect_uris)?;
    if let Some(uri) = &body.initiate_login_uri {
        web_url("initiate_login_uri", uri, Loopback::Allowed)?;
    }
    if let Some(uri) = &body.backchannel_logout_uri {
        told_at(gw, uri)?;
    }
    let method = body.token_endpoint_auth_method.as_deref().unwrap_or("client_secret_basic");
    let auth_method = AuthMethod::parse(method).ok_or_else(|| {
        let right = "client_secret_basic, client_secret_post, private_key_jwt or none";
        FlowError::invalid("app.auth_method", "token_endpoint_auth_method", right)
    })?;
    let signing_alg = signed_by(body.id_token_signed_response_alg.as_deref())?.unwrap_or(SigningAlg::Es256);
    let (secret, usual_grace) = match auth_method {
        AuthMethod::None => (None, 0),
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
            (Some(bearer(UnboundKind::ClientSecret, gw.chance.as_ref())), CONFIDENTIAL_GRACE_SECS)
        }
        AuthMethod::PrivateKeyJwt => (None, CONFIDENTIAL_GRACE_SECS),
    };
    let keys = match (auth_method == AuthMethod::PrivateKeyJwt, body.jwks) {
        (true, Some(set)) => Some(keys_of(set.0)?),
        (false, None) => None,
        (true, None) => return Err(jwks_wrong("its public keys, for private_key_jwt")),
        (false, Some(_)) => return Err(jwks_wrong("for private_key_jwt alone")),
    };
    let id = AppId::new(call.at, gw.chance.as_ref());
    let app = App {
        id,
        name: name_of("name", &body.name)?,
        audience: body.audience.map_or(Ok(id.to_string()), |a| name_of("audience", &a))?,
        redirect_uris: body.redirect_uris,
        post_logout_redirect_uris: body.post_logout_redirect_uris,
        auth_method,
        secret: secret.as_ref().map(|text| TokenDigest::of(text.reveal())),
        old_secret: None,
        all_orgs: serves == Serves::All,
        refresh_grace_secs: grace(body.refresh_grace_secs.unwrap_or(usual_grace))?,
        initiate_login_uri: body.initiate_login_uri,
        backchannel_logout_uri: body.backchannel_logout_uri,
        signing_alg,
        keys,
        claims: distinct(body.claims)?,
        resources: resources(body.resources)?,
    };
    signing_keys::have(gw, act(by, call), signing_alg).await?;
    let orgs: &[OrgId] = match &serves {
        Serves::All => &[],
        Serves::These(orgs) => orgs,
    };
    gw.db.create_app(act(by, call), &Row { app: &app, orgs }).await?;
    Ok((Shown { app, serves }, secret))
}

/// An app and the orgs it serves.
#[derive(Debug)]
pub struct Shown {
    pub app: App,
    pub serves: Serves,
}

pub async fn read(gw: &Gateway, by: Operator, id: AppId) -> Result<Shown, FlowError> {
    let app = gw.db.app(id).await?.ok_or(FlowError::Missing)?;
    let serves = gw.db.serves(by, &app).await?;
    Ok(Shown { app, serves })
}

/// A new secret, shown once, and until when the one before is good too; or, with `retire_old`, the end of
/// the one before. Errors: `app.no_secret`.
pub async fn rotate(
    gw: &Gateway,
    by: Operator,
    id: AppId,
    asked: Rotation,
    call: &Call,
) -> Result<Option<(Secret<String>, Timestamp)>, FlowError> {
    if gw.db.app(id).await?.ok_or(FlowError::Missing)?.secret.is_none() {
        return Err(FlowError::conflict("app.no_secret", "the app authenticates without a secret"));
    }
    let (done, given) = if asked.retire_old {
        (gw.db.retire_app_secret(act(by, call), id).await?, None)
    } else {
        let secret = bearer(UnboundKind::ClientSecret, gw.chance.as_ref());
        let until = call.at.plus_secs(OLD_SECRET_SECS);
        let digest = TokenDigest::of(secret.reveal());
        (gw.db.rotate_app_secret(act(by, call), id, &digest, until).await?, Some((secret, until)))
    };
    if done { Ok(given) } else { Err(FlowError::Missing) }
}

pub(crate) fn signed_by(asked: Option<&str>) -> Result<Option<SigningAlg>, FlowError> {
    let read = |name| {
        let right = "ES256, EdDSA or RS256";
        SigningAlg::parse(name)
            .ok_or_else(|| FlowError::invalid("app.signing_alg", "id_token_signed_response_alg", right))
    };
    asked.map(read).transpose()
}

pub(crate) fn distinct(mut claims: Vec<ExtraClaim>) -> Result<Vec<ExtraClaim>, FlowError> {
    let given = claims.len();
    claims.sort();
    claims.dedup();
    if claims.len() == given {
        Ok(claims)
    } else {
        Err(FlowError::invalid("app.claims", "claims", "each once"))
    }
}

/// What may be asked for: absolute URIs without a fragment, for nothing else can be (RFC 8707 2).
pub(crate) fn resources(mut uris: Vec<String>) -> Result<Vec<String>, FlowError> {
    let given = uris.len();
    uris.sort();
    uris.dedup();
    if uris.len() == given && given <= RESOURCES_MAX && uris.iter().all(|uri| resource::checked(uri).is_ok())
    {
        return Ok(uris);
    }
    let right = format!("absolute URIs without a fragment, each once, at most {RESOURCES_MAX}");
    Err(FlowError::invalid("app.resources", "resources", right))
}

/// A URL that we shall call ourselves.
pub(crate) fn told_at(gw: &Gateway, uri: &str) -> Result<(), FlowError> {
    called_url(gw, "backchannel_logout_uri", uri)
}

pub(crate) fn act(by: Operator, call: &Call) -> PlatformAct<'_> {
    PlatformAct { by: by.into(), request_id: &call.request_id, at: call.at }
}

pub(crate) async fn served(gw: &Gateway, by: Operator, asked: Served) -> Result<Serves, FlowError> {
    match asked {
        Served::Word(word) if word == "all" => Ok(Serves::All),
        Served::Orgs(names) if names.len() <= SERVED_MAX => {
            let orgs = gw.db.orgs_named(by, &names).await?;
            // Fewer were found than named: one is unknown, or named twice.
            if orgs.len() == names.len() { Ok(Serves::These(orgs)) } else { Err(orgs_wrong()) }
        }
        Served::Word(_) | Served::Orgs(_) | Served::Other(_) => Err(orgs_wrong()),
    }
}

fn orgs_wrong() -> FlowError {
    FlowError::invalid("app.orgs", "orgs", "\"all\", or a list of ids or slugs of orgs that exist, each once")
}

pub(crate) fn grace(secs: i64) -> Result<i64, FlowError> {
    if GRACE_SECS.contains(&secs) {
        Ok(secs)
    } else {
        Err(FlowError::invalid("app.refresh_grace", "refresh_grace_secs", "from 0 to 60"))
    }
}

pub(crate) fn redirects(given: &[String]) -> Result<(), FlowError> {
    if given.is_empty() {
        return Err(FlowError::invalid("app.redirect_uris", "redirect_uris", "one at least"));
    }
    uris("redirect_uris", given)
}

pub(crate) fn uris(field: &'static str, uris: &[String]) -> Result<(), FlowError> {
    if uris.len() > URIS_MAX {
        return Err(FlowError::invalid("app.redirect_uris", field, format!("at most {URIS_MAX}")));
    }
    uris.iter().try_for_each(|uri| web_url(field, uri, Loopback::Allowed))
}

pub async fn list(gw: &Gateway, by: Operator, page: Page<ids::App>) -> Result<Vec<App>, FlowError> {
    Ok(gw.db.apps(by, page.after, page.rows()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orgs_are_all_or_a_list_and_anything_else_is_read_to_be_refused() {
        let read = |orgs: &str| {
            serde_json::from_str::<NewApp>(&format!(
                r#"{{"name":"a","redirect_uris":["https://a.example/cb"],"orgs":{orgs}}}"#
            ))
        };
        assert!(matches!(read("\"all\"").unwrap().orgs, Some(Served::Word(_))));
        assert!(matches!(read("[]").unwrap().orgs, Some(Served::Orgs(_))));
        for strange in ["7", "[7]", "{}"] {
            assert!(matches!(read(strange).unwrap().orgs, Some(Served::Other(_))), "{strange}");
        }
    }

    #[test]
    fn redirect_uris_are_bounded() {
        let uri = "https://a.example/cb".to_owned();
        assert!(uris("redirect_uris", &vec![uri.clone(); URIS_MAX]).is_ok());
        let over = uris("redirect_uris", &vec![uri; URIS_MAX + 1]);
        assert_eq!(over.unwrap_err().code(), "app.redirect_uris");
    }

    #[test]
    fn resources_are_absolute_uris_each_once_and_bounded() {
        let named = |count: usize| (0..count).map(|n| format!("https://api{n}.example")).collect::<Vec<_>>();
        assert!(resources(named(RESOURCES_MAX)).is_ok() && resources(Vec::new()).is_ok());
        let twice = vec!["urn:example:api".to_owned(); 2];
        for wrong in [named(RESOURCES_MAX + 1), twice, vec!["api".to_owned()], vec!["https://a#x".to_owned()]]
        {
            assert_eq!(resources(wrong).unwrap_err().code(), "app.resources");
        }
    }
}
