//! A service account fetches its access token (RFC 6749 4.4). Everything the token says, and everything that may
//! forbid it, is read by one statement; nothing is written, so nothing is recorded but the secret's last use.

use crate::{FlowError, Gateway, counted::TOKENS, extra_claims::extra, resource};
use model::{
    Refusal, TokenDigest,
    ids::{EventId, ServiceId},
    org::Passage,
};
use store::{Call, ServiceGrant};
use token::mint::{ServiceSnapshot, mint_service};

pub struct Fetched {
    pub access_token: String,
    pub expires_in_secs: i64,
}

/// What a token is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub resource: Option<&'a str>,
    pub scope: Option<&'a str>,
}

/// Whose secret it is, and all that its token would say. Errors: `oauth.invalid_client` for any that is not this
/// account's, or good no more, and for an org that is suspended; `oauth.invalid_target`.
pub async fn prove(
    gw: &Gateway,
    id: ServiceId,
    secret: &TokenDigest,
    asked: Asked<'_>,
    call: &Call,
) -> Result<ServiceGrant, FlowError> {
    let resource = asked.resource.map(resource::checked).transpose()?;
    let found = gw.db.service_grant(id, secret, resource, call.at).await?;
    let wrong = || Refusal::stranger("oauth.invalid_client");
    let grant = found.filter(|grant| grant.state.admits(Passage::SignIn)).ok_or_else(wrong)?;
    gw.uses.note(grant.org, grant.key, call.at);
    Ok(grant)
}

/// Errors: `oauth.invalid_scope`, because scopes are about people; `oauth.invalid_target`.
pub async fn fetch(
    gw: &Gateway,
    id: ServiceId,
    grant: ServiceGrant,
    asked: Asked<'_>,
    call: &Call,
) -> Result<Fetched, FlowError> {
    if let Some(scope) = asked.scope.filter(|scope| !scope.trim().is_empty()) {
        return Err(Refusal::proven("oauth.invalid_scope").with("scope", format!("{scope:.40}")).into());
    }
    let [audience] = grant.audiences.as_slice() else { return Err(resource::refused()) };
    // In no team.
    let extra = extra(&grant.claims, &grant.roles, Some(Vec::new()), grant.entitlements);
    let snapshot = ServiceSnapshot {
        issuer: gw.links.issuer(),
        audience,
        org: grant.org,
        service: id,
        roles: &grant.roles,
        rs: grant.head,
        extra: &extra,
    };
    let jti = EventId::new(call.at, gw.chance.as_ref()).to_string();
    let ring = gw.keys.ready(&gw.db, grant.alg).await?;
    let key = gw.keys.signer(&ring, grant.alg)?;
    let minted = mint_service(&snapshot, key, &jti, call.at, gw.lifetimes.access_token_secs)
        .map_err(|fault| FlowError::Fault(fault.to_string()))?;
    TOKENS.add(["client_credentials"], 1);
    Ok(Fetched { access_token: minted.jwt, expires_in_secs: minted.expires_in_secs })
}
