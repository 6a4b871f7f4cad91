//! An OpenID provider's answer arrives at a connection's own redirect URI. The attempt is opened by
//! `state` from this browser; the code is exchanged with no transaction open; then `admit`, word
//! for word as for SAML.

use crate::{
    FlowError, Gateway, OutboundRequest,
    admit::{self, Outcome, Terms},
    attempt::LoginAttempt,
    begin_oidc::{OidcConfig, SCOPES},
    providers::unreachable,
    refusals,
};
use model::{
    Refusal, Secret,
    ids::{AttemptId, ConnectionId},
    user::AcceptedIdentity,
};
use oidc::{
    code_flow::{Answer, Ask, ClientAuth, Ties, token_request, token_response},
    id_token::{self, Expectation},
    provider::Jwks,
};
use store::{Call, Connection, ConnectionKind, ConnectionState, OrgRef, OrgScope, Visitor};

/// The callback as the face took it apart.
pub struct CallbackAnswer<'a> {
    pub connection: ConnectionId,
    /// The raw query, or the form's body.
    pub query: &'a str,
    pub cookie: &'a (dyn Fn(&str) -> Option<String> + Sync),
    pub host_org: Option<&'a OrgRef>,
}

pub async fn finish(gw: &Gateway, callback: CallbackAnswer<'_>, call: &Call) -> Result<Outcome, FlowError> {
    let scope = gw.db.visitor_by_connection(callback.connection, call).await?;
    if let Some(host_org) = callback.host_org
        && gw.db.visitor(host_org, call).await?.org() != scope.org()
    {
        return Err(FlowError::Missing);
    }
    let connection = callback.connection;
    let done = judged(gw, &scope, callback, call).await;
    refusals::note(gw, &scope, connection, "oidc", &done);
    done
}

async fn judged(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    callback: CallbackAnswer<'_>,
    call: &Call,
) -> Result<Outcome, FlowError> {
    let answer = Answer::parse(callback.query)?;
    let attempt = answer
        .state
        .split_once('.')
        .and_then(|(id, _)| id.parse::<AttemptId>().ok())
        .ok_or(Refusal::stranger("login.attempt_unknown"))
        .and_then(|id| {
            let cookie = (callback.cookie)(&crate::attempt::cookie_name(id));
            LoginAttempt::open(gw, id, cookie.as_deref(), callback.connection, call.at)
        })?;
    if attempt.org != scope.org() {
        return Err(Refusal::stranger("login.attempt_other_org").into());
    }
    let connection = gw
        .db
        .connection(scope, callback.connection)
        .await?
        .filter(|c| c.kind == ConnectionKind::Oidc)
        .ok_or(FlowError::Missing)?;
    if connection.state != ConnectionState::Enabled {
        return Err(Refusal::stranger("login.connection_disabled").into());
    }
    let config = OidcConfig::of(&connection)?;
    match exchange(gw, &connection, &config, answer, &attempt, call).await {
        Ok(identity) => {
            let terms = Terms::of(attempt, "oidc", config.seats());
            admit::admit(gw, scope, identity, terms).await
        }
        Err(FlowError::Refused(refusal)) => {
            admit::record_refusal(gw, scope, callback.connection, &refusal, None).await?;
            Err(refusal.into())
        }
        Err(other) => Err(other),
    }
}

async fn exchange(
    gw: &Gateway,
    connection: &Connection,
    config: &OidcConfig,
    answer: Answer,
    attempt: &LoginAttempt,
    call: &Call,
) -> Result<AcceptedIdentity, FlowError> {
    let missing = || FlowError::from(Refusal::stranger("login.attempt_unknown"));
    let ties = Ties {
        state: Secret::new(attempt.state.clone().ok_or_else(missing)?),
        nonce: Secret::new(attempt.request_id.clone()),
        pkce_verifier: Secret::new(attempt.pkce_verifier.clone().ok_or_else(missing)?),
    };
    let wanted = gw.wanted(connection.id, config, call.at);
    let provider = gw.providers.provider(&wanted).await?;
    let code = answer.accept(&provider, &ties)?;
    let redirect_uri = gw.links.oidc_callback(connection.id);
    let ask =
        Ask { client_id: &config.client_id, redirect_uri: &redirect_uri, scopes: SCOPES, ..Ask::default() };
    let secret = connection
        .secret(gw.db.seals())?
        .ok_or_else(|| FlowError::Fault(format!("connection {} has no client secret", connection.id)))?;
    let request = token_request(&provider, &ask, &ClientAuth::Basic(&secret), &code, &ties);
    let url = request.url.to_string();
    let headers = request.authorization.iter().map(|a| ("authorization", a.reveal().clone())).collect();
    let body = Some(("application/x-www-form-urlencoded", request.body.reveal().clone().into_bytes()));
    let response = gw
        .outbound
        .send(OutboundRequest { url: url.clone(), headers, body })
        .await
        .map_err(|fault| unreachable(&url, &fault.to_string()))?;
    let tokens = token_response(response.status, &response.body)?;
    let expect = Expectation {
        connection: connection.id,
        client_id: &config.client_id,
        nonce: &attempt.request_id,
        access_token: tokens.access_token.reveal(),
        begun_at: attempt.begun_at,
        authenticated_since: attempt.authenticated_since(call.at),
        trust_email: config.trust_email,
        groups_claim: config.groups_claim.as_deref(),
    };
    let judge = |keys: &Jwks| id_token::accept(tokens.id_token.reveal(), &provider, keys, &expect, call.at);
    let kept = gw.providers.keys(&wanted, &provider, false).await?;
    match judge(&kept) {
        // The provider may have rolled its keys over since.
        Err(refusal) if refusal.code == "oidc.signature" => {
            Ok(judge(&*gw.providers.keys(&wanted, &provider, true).await?)?)
        }
        judged => Ok(judged?),
    }
}
