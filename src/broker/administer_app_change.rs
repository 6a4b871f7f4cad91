//! An app changes, and ends. What it held in an org that it leaves is ended there, before it can come back.

use crate::{
    FlowError, Gateway,
    administer::{Loopback, PRINTABLE, WEB_URL, given, name_of, web_url},
    administer_app::{
        GRACE_SECS, RESOURCES_MAX, Served, Shown, URIS_MAX, act, distinct, grace, read, redirects, resources,
        served, signed_by, told_at, uris,
    },
    app_keys::{KeySet, jwks_wrong, keys_of},
    revoke, signing_keys,
};
use model::{SigningAlg, claims::ExtraClaim, ids::AppId, members::Members};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{AppChange, Call, Changed, GateError, Operator, Serves};

/// What of an app changes; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppPatch {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: Option<String>,
    #[schemars(length(min = 1, max = URIS_MAX), inner(url, length(max = 2048), regex(pattern = WEB_URL)))]
    pub redirect_uris: Option<Vec<String>>,
    #[schemars(length(max = URIS_MAX), inner(url, length(max = 2048), regex(pattern = WEB_URL)))]
    pub post_logout_redirect_uris: Option<Vec<String>>,
    pub orgs: Option<Served>,
    /// All that it has in its access tokens besides, from the next token on.
    #[schemars(length(max = 3))]
    pub claims: Option<Vec<ExtraClaim>>,
    /// All for which it may ask from now on; tokens for others are refreshed no more.
    #[schemars(length(max = RESOURCES_MAX), inner(url, length(max = 200), regex(pattern = PRINTABLE)))]
    pub resources: Option<Vec<String>>,
    /// All its public keys from now on, of an app with `private_key_jwt`.
    pub jwks: Option<Members<KeySet>>,
    #[schemars(range(min = *GRACE_SECS.start(), max = *GRACE_SECS.end()))]
    pub refresh_grace_secs: Option<i64>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>", url, length(max = 2048), regex(pattern = WEB_URL))]
    pub initiate_login_uri: Option<Option<String>>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>", url, length(max = 2048), regex(pattern = WEB_URL))]
    pub backchannel_logout_uri: Option<Option<String>>,
    /// By which its access, ID and logout tokens are signed from now on.
    #[schemars(with = "Option<SigningAlg>")]
    pub id_token_signed_response_alg: Option<String>,
}

/// Orgs in which an app that leaves is ended before its change is answered: some 5 ms each.
const LEFT_AT_ONCE: i64 = 20;

/// Changes what is given. An org that is served no more refuses this app's tokens at once, and those that it
/// held are dead there when it comes back. Errors: those of `create`; `busy` where it comes back before that is
/// written.
pub async fn change(
    gw: &Gateway,
    by: Operator,
    id: AppId,
    patch: AppPatch,
    call: &Call,
) -> Result<Shown, FlowError> {
    patch.redirect_uris.as_deref().map_or(Ok(()), redirects)?;
    patch.post_logout_redirect_uris.as_deref().map_or(Ok(()), |u| uris("post_logout_redirect_uris", u))?;
    if let Some(Some(uri)) = &patch.initiate_login_uri {
        web_url("initiate_login_uri", uri, Loopback::Allowed)?;
    }
    if let Some(Some(uri)) = &patch.backchannel_logout_uri {
        told_at(gw, uri)?;
    }
    let serves = match patch.orgs {
        Some(orgs) => Some(served(gw, by, orgs).await?),
        None => None,
    };
    let keys = patch.jwks.map(|set| keys_of(set.0)).transpose()?;
    if keys.is_some() && gw.db.app(id).await?.ok_or(FlowError::Missing)?.keys.is_none() {
        return Err(jwks_wrong("for private_key_jwt alone"));
    }
    let change = AppChange {
        name: patch.name.as_deref().map(|name| name_of("name", name)).transpose()?,
        redirect_uris: patch.redirect_uris,
        post_logout_redirect_uris: patch.post_logout_redirect_uris,
        serves,
        refresh_grace_secs: patch.refresh_grace_secs.map(grace).transpose()?,
        initiate_login_uri: patch.initiate_login_uri,
        backchannel_logout_uri: patch.backchannel_logout_uri,
        signing_alg: signed_by(patch.id_token_signed_response_alg.as_deref())?,
        keys,
        claims: patch.claims.map(distinct).transpose()?,
        resources: patch.resources.map(resources).transpose()?,
    };
    if let Some(alg) = change.signing_alg {
        // Only an app that is there has a key made for it.
        read(gw, by, id).await?;
        signing_keys::have(gw, act(by, call), alg).await?;
    }
    let mut done = gw.db.change_app(act(by, call), id, &change).await?;
    if let (Changed::Leaving, Some(serves)) = (done, &change.serves) {
        end_left(gw, by, id, serves).await?;
        done = gw.db.change_app(act(by, call), id, &change).await?;
    }
    match done {
        Changed::Done => {
            leave_now(gw, by, id).await;
            read(gw, by, id).await
        }
        Changed::Missing => Err(FlowError::Missing),
        Changed::Leaving => Err(FlowError::Busy { retry_after_secs: 1 }),
    }
}

/// Ends what the app held in the first of these orgs that it has left.
async fn end_left(gw: &Gateway, by: Operator, id: AppId, of: &Serves) -> Result<(), FlowError> {
    for org in gw.db.orgs_left(by, id, of, LEFT_AT_ONCE).await? {
        match gw.db.job("app_left", org, &gw.own_call()).await {
            Ok(scope) => revoke::left(gw, &scope).await?,
            Err(GateError::Unknown | GateError::Closed(_)) => {}
            Err(GateError::Store(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// So that tokens are dead everywhere before the change is answered, where it leaves a few orgs; the others, and what
/// fails here, are the job's (`jobs::apps_left`).
async fn leave_now(gw: &Gateway, by: Operator, id: AppId) {
    if let Err(error) = end_left(gw, by, id, &Serves::All).await {
        tracing::warn!(%error, app = %id, "what the app held where it serves no more is not ended yet; a job will");
    }
}

/// Ends an app: it is no client any more, and none of its codes and tokens is good for anything here.
pub async fn delete(gw: &Gateway, by: Operator, id: AppId, call: &Call) -> Result<(), FlowError> {
    if !gw.db.delete_app(act(by, call), id).await? {
        return Err(FlowError::Missing);
    }
    leave_now(gw, by, id).await;
    Ok(())
}
