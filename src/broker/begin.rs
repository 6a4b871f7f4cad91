//! A sign-in begins: an app sent the browser here. Find the org, then either answer from a session
//! that lives, or send the browser to the org's identity provider with an attempt sealed into it.

use crate::{
    FlowError, Gateway,
    accounts::{self, Account, Enough, Picked},
    admit::{self, Admitted},
    attempt::{AppRequest, LoginAttempt, SealedAttempt},
    find_seat::SeatRule,
    inspect::{self, BrowserSession},
    signal_source::SignalSource,
};
use model::{
    Refusal,
    ids::{AttemptId, ConnectionId, OrgId, UserId, random32},
};
use saml::request::{AuthnRequestParams, build, post_form_value, redirect_url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{App, Call, Connection, ConnectionKind, GateError, OrgRef, OrgScope, Visitor};
use token::logout::read_hint;

/// What the request for sign-in named, besides what the app needs back.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    pub organization: Option<String>,
    pub connection: Option<ConnectionId>,
    pub login_hint: Option<String>,
    pub domain_hint: Option<String>,
    pub prompt: Option<String>,
    pub max_age_secs: Option<i64>,
    /// Any of these is enough.
    pub acr_values: Vec<String>,
    pub ui_locales: Option<String>,
    /// An ID token of ours, of the person whom the app means.
    pub id_token_hint: Option<String>,
}

/// Contexts that one request asks for, and how long one is.
const ACR_VALUES_MAX: usize = 8;
const ACR_BYTES_MAX: usize = 256;

impl Wishes {
    /// `prompt` is a list (OIDC Core 3.1.2.1).
    pub fn prompts(&self, word: &str) -> bool {
        self.prompt.as_deref().unwrap_or_default().split(' ').any(|asked| asked == word)
    }
}

/// What the browser does next.
pub enum Begun {
    /// Off to the identity provider, with the attempt's cookie.
    Redirect { url: String, attempt: SealedAttempt },
    /// The same by a form that posts itself (SAML's HTTP-POST binding).
    Post { url: String, fields: Vec<(&'static str, String)>, attempt: SealedAttempt },
    /// Nobody can tell the org yet: ask for the work email.
    AskEmail { unknown: Option<String> },
    /// The org has several ways in, and nobody has said which: ask, in the order they were made.
    Choose { connections: Vec<(ConnectionId, String)> },
    /// Several sessions live, or the app wants the person to say which: ask.
    Accounts { accounts: Vec<Account> },
    /// A session lives already: straight back to the app.
    Answered(Box<Admitted>),
}

/// How a SAML connection speaks: what is kept of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SamlConfig {
    pub idp_entity_id: String,
    pub sso_redirect_url: Option<String>,
    pub sso_post_url: Option<String>,
    pub certificates: Vec<String>,
    #[serde(default)]
    pub attribute_map: AttributeNames,
    #[serde(default)]
    pub groups_attribute: Option<String>,
    /// Absent: a sign-in makes a seat while no directory provisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub jit: Option<bool>,
    #[serde(default)]
    pub subject_is_external_id: bool,
    #[serde(default)]
    pub allow_idp_initiated: bool,
    /// Who tells us of the end of its people's sessions; absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SignalSource")]
    pub signals: Option<SignalSource>,
}

/// Which attribute carries what, where the connection says so; else the names that Okta, Entra,
/// Google and ADFS use.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeNames {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

impl AttributeNames {
    pub fn map(&self) -> saml::AttributeMap {
        let usual = saml::AttributeMap::default();
        let or = |named: &Option<String>, usual: Vec<String>| named.clone().map_or(usual, |name| vec![name]);
        saml::AttributeMap {
            email: or(&self.email, usual.email),
            given_name: or(&self.given_name, usual.given_name),
            family_name: or(&self.family_name, usual.family_name),
            display_name: or(&self.display_name, usual.display_name),
        }
    }
}

impl SamlConfig {
    pub const fn seats(&self) -> SeatRule {
        SeatRule { jit: self.jit, subject_is_external_id: self.subject_is_external_id }
    }
    pub fn of(connection: &Connection) -> Result<Self, FlowError> {
        serde_json::from_value(connection.config.clone())
            .map_err(|e| FlowError::Fault(format!("connection {}: {e}", connection.id)))
    }
}

/// Reads the org from whatever names it, host first: a host that belongs to an org speaks for no other.
pub async fn find_org(
    gw: &Gateway,
    host_org: Option<&OrgRef>,
    wishes: &Wishes,
    call: &Call,
) -> Result<Option<OrgScope<Visitor>>, FlowError> {
    let by_wish = match (&wishes.organization, wishes.connection) {
        (Some(named), _) => Some(gw.db.visitor(&OrgRef::read(named), call).await?),
        (None, Some(connection)) => Some(gw.db.visitor_by_connection(connection, call).await?),
        (None, None) => None,
    };
    if let Some(host_org) = host_org {
        let by_host = gw.db.visitor(host_org, call).await?;
        return match by_wish {
            Some(wished) if wished.org() != by_host.org() => Err(FlowError::Missing),
            Some(_) | None => Ok(Some(by_host)),
        };
    }
    if by_wish.is_some() {
        return Ok(by_wish);
    }
    let domain = wishes.login_hint.as_deref().and_then(domain_of).or(wishes.domain_hint.clone());
    match domain {
        Some(domain) => match gw.db.visitor_by_domain(&domain.to_lowercase(), call).await {
            Ok(scope) => Ok(Some(scope)),
            Err(GateError::Unknown | GateError::Closed(_)) => Ok(None),
            Err(other) => Err(other.into()),
        },
        None => Ok(None),
    }
}

/// The domain of an email address, as it stands.
pub fn domain_of(email: &str) -> Option<String> {
    let (local, domain) = email.trim().rsplit_once('@')?;
    (!local.is_empty() && domain.contains('.') && !domain.contains(char::is_whitespace))
        .then(|| domain.to_lowercase())
}

/// An org that is closed, or that the app does not serve, is for a stranger no other than one that is not.
fn as_unknown(error: FlowError) -> FlowError {
    if let FlowError::Closed(state) = error {
        tracing::info!(state = state.as_str(), "sign-in at an org that is closed");
        return FlowError::Missing;
    }
    error
}

/// The person whom the hint means, and their org. It may have expired: it proves nothing, and opens nothing.
async fn hinted(gw: &Gateway, app: &App, wishes: &mut Wishes) -> Result<Option<UserId>, FlowError> {
    let Some(jwt) = wishes.id_token_hint.take() else { return Ok(None) };
    let hint = read_hint(&jwt, &*gw.keys.ring(&gw.db).await?, gw.links.issuer())
        .ok()
        .filter(|hint| hint.client_id == app.id);
    let invalid = |detail| FlowError::invalid("oauth.invalid_request", "id_token_hint", detail);
    let hint = hint.ok_or_else(|| invalid("not an ID token that we gave to this app"))?;
    wishes.organization.get_or_insert_with(|| hint.org.to_string());
    Ok(Some(hint.user))
}

/// What is said twice over, or too long.
fn checked(wishes: &Wishes) -> Result<(), FlowError> {
    let invalid = |field, detail| Err(FlowError::invalid("oauth.invalid_request", field, detail));
    if wishes.prompts("none") && wishes.prompt.as_deref() != Some("none") {
        return invalid("prompt", "none goes with no other");
    }
    let long = wishes.acr_values.iter().any(|acr| acr.len() > ACR_BYTES_MAX);
    if long || wishes.acr_values.len() > ACR_VALUES_MAX {
        return invalid("acr_values", "at most 8, of 256 bytes each");
    }
    Ok(())
}

/// `app` and `asked` are checked before: the redirect URI is one of the app's. `sessions` are the browser's, one an
/// org.
pub async fn begin(
    gw: &Gateway,
    app: &App,
    asked: AppRequest,
    mut wishes: Wishes,
    host_org: Option<&OrgRef>,
    sessions: &[BrowserSession],
    call: &Call,
) -> Result<Begun, FlowError> {
    checked(&wishes)?;
    let expected = hinted(gw, app, &mut wishes).await?;
    let named = host_org.is_some() || wishes.organization.is_some() || wishes.connection.is_some();
    let (silent, choosing) = (wishes.prompts("none"), wishes.prompts("select_account"));
    let sought = find_org(gw, host_org, &wishes, call).await.map_err(as_unknown);
    if matches!(sought, Err(FlowError::Missing)) {
        // Takes as long as to learn that the app does not serve an org that is there.
        gw.db.app_serves(app, OrgId::from_uuid(uuid::Uuid::nil())).await?;
    }
    let mut found = sought?;
    if let Some(scope) = &found
        && !gw.db.app_serves(app, scope.org()).await?
    {
        tracing::info!(org = %scope.org(), app = %app.id, "the app does not serve this org");
        found = None;
    }
    if found.is_none() && !named && wishes.login_hint.is_none() && !wishes.prompts("login") {
        match accounts::pick(gw, sessions, app, (silent, choosing), call).await? {
            Picked::Nobody => {}
            Picked::One(org) => found = Some(gw.db.visitor(&OrgRef::Id(org), call).await?),
            Picked::Several(accounts) => return Ok(Begun::Accounts { accounts }),
        }
    }
    let scope = match found {
        Some(scope) => scope,
        None if named => return Err(FlowError::Missing),
        None if silent => return Err(Refusal::stranger("oauth.login_required").into()),
        None => return Ok(Begun::AskEmail { unknown: wishes.login_hint }),
    };
    crate::resource::authorized(gw, &scope, app, asked.resource.as_deref()).await?;
    let session = sessions.iter().find(|session| session.org == scope.org());
    if !wishes.prompts("login")
        && let Some(session) = session
    {
        let enough =
            Enough { max_age_secs: wishes.max_age_secs, acr_values: &wishes.acr_values, user: expected };
        if choosing {
            let accounts = accounts::living(gw, std::slice::from_ref(session), Some(app), call).await?;
            if !accounts.is_empty() {
                return Ok(Begun::Accounts { accounts });
            }
        } else if let Some(live) = inspect::living(gw, &scope, session, &[]).await?
            && enough.is(&live.session, call.at)
        {
            let admitted = admit::answer_again(gw, &scope, &asked, (&live.session, live.head)).await?;
            return Ok(Begun::Answered(Box::new(admitted)));
        }
    }
    if silent {
        return Err(Refusal::stranger("oauth.login_required").into());
    }
    let (mut ways, rs) = gw.db.ways_in(&scope, wishes.connection).await?;
    if ways.len() > 1 {
        return Ok(Begun::Choose { connections: ways.into_iter().map(|c| (c.id, c.name)).collect() });
    }
    let connection = ways.pop().ok_or(Refusal::stranger("login.no_connection"))?;
    // The answer may come by another site's form, which brings no such cookie.
    let former = match session {
        Some(session) => {
            gw.db.read(&scope, "session.former").await?.session_by_digest(&session.digest).await?
        }
        None => None,
    };
    let attempt = LoginAttempt {
        id: AttemptId::new(call.at, gw.chance.as_ref()),
        org: scope.org(),
        connection: connection.id,
        request_id: request_id(gw),
        state: None,
        pkce_verifier: None,
        asked,
        max_age_secs: wishes.max_age_secs,
        acr_values: wishes.acr_values.clone(),
        expected,
        former: former.map(|session| session.id),
        anew: wishes.prompts("login"),
        rs,
        begun_at: call.at,
        expires_at: call.at.plus_secs(gw.lifetimes.attempt_secs),
    };
    match connection.kind {
        ConnectionKind::Saml => begin_saml(gw, &connection, attempt, &wishes),
        ConnectionKind::Oidc => crate::begin_oidc::begin(gw, &connection, attempt, &wishes).await,
    }
}

/// An NCName of 256 random bits: it must not begin with a digit.
fn request_id(gw: &Gateway) -> String {
    let hex: String = random32(gw.chance.as_ref()).iter().map(|b| format!("{b:02x}")).collect();
    format!("_{hex}")
}

fn begin_saml(
    gw: &Gateway,
    connection: &Connection,
    attempt: LoginAttempt,
    wishes: &Wishes,
) -> Result<Begun, FlowError> {
    let config = SamlConfig::of(connection)?;
    // SAML asks for no age: only a person who signs in anew is sure to be recent enough.
    let force = attempt.anew || attempt.max_age_secs.is_some();
    let (issuer, acs_url) = (gw.links.saml_entity_id(connection.id), gw.links.saml_acs(connection.id));
    let relay_state = attempt.id.to_string();
    let request = |destination: &str| {
        build(&AuthnRequestParams {
            id: &attempt.request_id,
            issuer: &issuer,
            acs_url: &acs_url,
            destination,
            issue_instant: attempt.begun_at,
            force_authn: force,
            authn_contexts: &wishes.acr_values,
        })
    };
    let sealed = attempt.seal(gw)?;
    match (&config.sso_redirect_url, &config.sso_post_url) {
        (Some(url), _) => {
            Ok(Begun::Redirect { url: redirect_url(url, &request(url), &relay_state), attempt: sealed })
        }
        (None, Some(url)) => Ok(Begun::Post {
            url: url.clone(),
            fields: vec![("SAMLRequest", post_form_value(&request(url))), ("RelayState", relay_state)],
            attempt: sealed,
        }),
        (None, None) => Err(FlowError::Fault(format!("connection {} has no sign-on URL", connection.id))),
    }
}
