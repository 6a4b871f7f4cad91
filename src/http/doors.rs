//! The doors: from a request's credential to a scope. A credential of another kind, of another org,
//! expired or revoked is unknown here, and all of these look the same from outside.

use super::{
    guard::{facts, in_line, limited, waited},
    witness,
};
use actix_web::{
    HttpRequest,
    http::{Method, header},
};
use broker::{FlowError, Gateway};
use model::{Refusal, ids::DirectoryId};
use scim::{Problem, ScimError};
use store::{AdminKind, Administrator, GateError, Operator, OrgRef, OrgScope, ScimClient, ScimForm};
use token::credential::{CredentialKind, CredentialText};

/// The bearer credential of the Authorization header.
pub fn bearer(req: &HttpRequest) -> Option<&str> {
    let value = req.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn unauthorized() -> FlowError {
    Refusal::stranger("api.unauthorized").into()
}

fn shut(error: GateError) -> FlowError {
    match error {
        GateError::Unknown => unauthorized(),
        GateError::Closed(_) | GateError::Store(_) => error.into(),
    }
}

/// What a SCIM request is about: the scopes that its credential needs, by resource and method. What is
/// about neither people nor groups (Bulk, /Me) asks for its own.
fn needed(req: &HttpRequest) -> &'static [&'static str] {
    // The route's own pattern: a path may be spelled in more than one way.
    let pattern = req.match_pattern().unwrap_or_default();
    let path = pattern.as_str();
    let reads = req.method() == Method::GET || path.ends_with("/.search");
    let below = path.split_once("/scim/v2/").map_or("", |(_, below)| below);
    match (below.split('/').next().unwrap_or_default(), reads) {
        ("Users", true) => &["users:read"],
        ("Users", false) => &["users:write"],
        ("Groups", true) => &["groups:read"],
        ("Groups", false) => &["groups:write"],
        // The service itself: a search of everything.
        ("" | ".search", _) => &["users:read", "groups:read"],
        _ => &[],
    }
}

/// The directory whose OAuth client shows this secret: to fetch a token, and for nothing else. Errors:
/// `oauth.invalid_client`, whatever is wrong.
pub async fn scim_secret(
    req: &HttpRequest,
    gw: &Gateway,
    client: DirectoryId,
    secret: &str,
) -> Result<OrgScope<ScimClient>, FlowError> {
    let wrong = || FlowError::from(Refusal::stranger("oauth.invalid_client"));
    let credential = CredentialText::parse(CredentialKind::ClientSecret, secret).map_err(|_| wrong())?;
    waited(req, gw, &credential.digest).await?;
    let opened = gw.db.scim_client(&credential.digest, ScimForm::Secret, &facts(req).call).await;
    let scope = opened.map_err(|error| match error {
        GateError::Unknown | GateError::Closed(_) => wrong(),
        GateError::Store(error) => error.into(),
    })?;
    if scope.door().directory != client {
        return Err(wrong());
    }
    limited(req, gw, &scope, (scope.door().key, &credential.digest)).await?;
    gw.uses.note(scope.org(), scope.door().key, scope.now());
    Ok(scope)
}

/// A directory's credential, well-formed and no more.
pub(super) fn shown(req: &HttpRequest) -> Result<(CredentialText, ScimForm), FlowError> {
    let text = bearer(req).ok_or_else(unauthorized)?;
    let kinds = [CredentialKind::Scim, CredentialKind::ScimAccess];
    let credential = CredentialText::parse_any(&kinds, text).map_err(|_| unauthorized())?;
    let form = match credential.kind {
        CredentialKind::ScimAccess => ScimForm::Fetched,
        _ => ScimForm::Bearer,
    };
    Ok((credential, form))
}

/// The token names its org in the clear; the look-up is what proves it.
pub(super) fn agrees(credential: &CredentialText, scope: &OrgScope<ScimClient>, slug: Option<&str>) -> bool {
    credential.org == Some(scope.org()) && slug.is_none_or(|slug| slug == scope.facts().slug)
}

/// A directory, by its token alone. `slug` is the path's, when it names one: it must agree. Errors:
/// `api.unauthorized`, `scim.scope_missing`.
pub async fn scim(
    req: &HttpRequest,
    gw: &Gateway,
    slug: Option<&str>,
) -> Result<OrgScope<ScimClient>, FlowError> {
    let (credential, form) = shown(req)?;
    waited(req, gw, &credential.digest).await?;
    let (digest, call, needed) = (&credential.digest, &facts(req).call, needed(req));
    let opened = match needed {
        // Answered without a transaction, or by its own rules.
        [] => gw.db.scim_client(digest, form, call).await,
        _ => gw.db.scim_client_of_late(digest, form, call).await,
    };
    let scope = opened.map_err(shut)?;
    if !agrees(&credential, &scope, slug) {
        return Err(unauthorized());
    }
    witness::proven(req, &scope);
    limited(req, gw, &scope, (scope.door().key, &credential.digest)).await?;
    in_line(req, gw, &scope, &credential.digest)?;
    gw.uses.note(scope.org(), scope.door().key, scope.now());
    if let Some(lacking) = needed.iter().find(|scope_needed| !scope.door().may(scope_needed)) {
        let said = format!("this token has not the scope {lacking}");
        return Err(Refusal::proven("scim.scope_missing").with("detail", said).into());
    }
    // Whoever misspells it would have done what was only to be tried.
    if let Some(unknown) = preferences(req).find(|name| is_ours(name) && !name.eq_ignore_ascii_case(DRY_RUN))
    {
        let said = format!("Prefer: {unknown} is none of ours; {DRY_RUN} is");
        return Err(ScimError::of(Problem::PreferenceUnknown, said).into());
    }
    Ok(if wants_rehearsal(req) { scope.rehearsing() } else { scope })
}

/// `Prefer: vestibule-dry-run` (RFC 7240): judge it, and keep nothing.
pub const DRY_RUN: &str = "vestibule-dry-run";

/// The names of the caller's preferences.
fn preferences(req: &HttpRequest) -> impl Iterator<Item = &str> {
    let lists = req.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(|one| one.split([';', '=']).next()).map(str::trim)
}

/// Preferences of others are passed over (RFC 7240 2).
fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("vestibule") || name.contains("dry-run") || name.contains("dryrun")
}

pub(super) fn wants_rehearsal(req: &HttpRequest) -> bool {
    preferences(req).any(|name| name.eq_ignore_ascii_case(DRY_RUN))
}

/// The platform's operator.
pub async fn platform(req: &HttpRequest, gw: &Gateway) -> Result<Operator, FlowError> {
    let text = bearer(req).ok_or_else(unauthorized)?;
    let kinds = [CredentialKind::Platform, CredentialKind::OrgKey];
    let credential = CredentialText::parse_any(&kinds, text).map_err(|_| unauthorized())?;
    if credential.kind == CredentialKind::OrgKey {
        let said = "An org's key opens what is that org's alone; this asks for a platform key.";
        return Err(Refusal::stranger("api.unauthorized").with("detail", said).into());
    }
    gw.db.platform_key(&credential.digest).await.map_err(shut)
}

/// Whoever administers the org in the path: the platform's key, or that org's own with this scope.
/// Another org's key sees what an unknown org would show.
pub async fn administrator(
    req: &HttpRequest,
    gw: &Gateway,
    org: &str,
    needed: &'static str,
) -> Result<OrgScope<Administrator>, FlowError> {
    let text = bearer(req).ok_or_else(unauthorized)?;
    let kinds = [CredentialKind::Platform, CredentialKind::OrgKey];
    let credential = CredentialText::parse_any(&kinds, text).map_err(|_| unauthorized())?;
    let call = facts(req).call;
    let wanted = OrgRef::read(org);
    let scope = match credential.kind {
        CredentialKind::OrgKey => {
            waited(req, gw, &credential.digest).await?;
            let scope = gw.db.org_key(&credential.digest, &call).await.map_err(shut)?;
            let same = match &wanted {
                OrgRef::Id(id) => *id == scope.org(),
                OrgRef::Slug(slug) => *slug == scope.facts().slug,
            };
            if !same {
                return Err(FlowError::Missing);
            }
            limited(req, gw, &scope, (scope.door().key, &credential.digest)).await?;
            gw.uses.note(scope.org(), scope.door().key, scope.now());
            scope
        }
        _ => {
            let operator = gw.db.platform_key(&credential.digest).await.map_err(shut)?;
            gw.db.administrator(operator, &wanted, &call).await?
        }
    };
    let door = scope.door();
    match door.kind {
        AdminKind::Platform => Ok(scope),
        AdminKind::Org if door.scopes.iter().any(|s| s == needed || s == "*") => Ok(scope),
        AdminKind::Org => Err(Refusal::proven("api.scope_missing").with("needed", needed).into()),
    }
}
