//! A person leaves by themselves: the browser's session ends, everywhere. By our own page, or by an app that
//! sent them here (OpenID Connect RP-Initiated Logout 1.0).

use crate::{FlowError, Gateway, inspect::BrowserSession, revoke};
use model::{
    Refusal,
    ids::{AppId, OrgId, SessionId, UserId},
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use store::{App, Call, GateError, OrgRef};
use token::logout::{Hint, read_hint};

/// What an app sent a person here with.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    pub id_token_hint: Option<String>,
    pub client_id: Option<String>,
    pub post_logout_redirect_uri: Option<String>,
    /// The person said so, on our own page.
    pub confirmed: bool,
    /// What the browser has came along: it is no form that another site posts, which brings no cookie.
    pub brings_cookies: bool,
}

/// Where a person who leaves goes on.
#[derive(Debug)]
pub enum Left {
    /// Nobody proved which session is meant, or it is not this browser's: ask the person.
    Ask,
    /// What this browser has in these orgs is over. Back to the app, if it named a place of its own.
    Over { back: Option<String>, orgs: Vec<OrgId> },
}

/// Judges what the app said, then ends the session it means: the hint's at once, where this browser has it, and
/// otherwise all of this browser's, when the person confirms. An ID token alone ends nothing: others have seen it,
/// and RP-Initiated Logout 1.0, 2 has the person asked unless it belongs to the session that is here. A browser
/// that has none is let go, for there is nothing to ask about.
///
/// # Errors
/// `logout.hint`, `logout.client`, `logout.redirect_uri`: the person goes nowhere, and no session ends.
pub async fn leave(
    gw: &Gateway,
    leaving: &Leaving,
    cookies: &[BrowserSession],
    call: &Call,
) -> Result<Left, FlowError> {
    let ring = gw.keys.ring(&gw.db).await?;
    let hint = leaving.id_token_hint.as_deref().map(|jwt| read_hint(jwt, &ring, gw.links.issuer()));
    let hint = hint.transpose().map_err(|_| Refusal::stranger("logout.hint"))?;
    let named = leaving.client_id.as_deref().map(str::parse::<AppId>).transpose();
    let named = named.map_err(|_| Refusal::stranger("logout.client"))?;
    if let (Some(hint), Some(named)) = (&hint, named)
        && hint.client_id != named
    {
        return Err(Refusal::stranger("logout.client").into());
    }
    let app = match named.or(hint.map(|hint| hint.client_id)) {
        Some(id) => Some(gw.db.app(id).await?.ok_or_else(|| Refusal::stranger("logout.client"))?),
        None => None,
    };
    let back = back(leaving.post_logout_redirect_uri.as_deref(), app.as_ref())?;
    let mut here = Vec::new();
    for cookie in cookies {
        here.extend(session_of(gw, cookie, call).await?);
    }
    if let Some(hint) = hint {
        if here.iter().any(|(org, _, session)| *org == hint.org && *session == hint.session) {
            end_hinted(gw, hint, call).await?;
            return Ok(Left::Over { back, orgs: vec![hint.org] });
        }
        if here.is_empty() && leaving.brings_cookies {
            return Ok(Left::Over { back, orgs: Vec::new() });
        }
    }
    if !leaving.confirmed {
        return Ok(Left::Ask);
    }
    let orgs = here.iter().map(|(org, _, _)| *org).collect();
    for found in here {
        end_session(gw, found, call).await?;
    }
    Ok(Left::Over { back, orgs })
}

/// Byte for byte one of the app's own.
fn back(asked: Option<&str>, app: Option<&App>) -> Result<Option<String>, FlowError> {
    let Some(asked) = asked else { return Ok(None) };
    let own = app.is_some_and(|app| app.post_logout_redirect_uris.iter().any(|uri| uri == asked));
    if own { Ok(Some(asked.to_owned())) } else { Err(Refusal::stranger("logout.redirect_uri").into()) }
}

/// Whose session this cookie names, if there is one still.
async fn session_of(
    gw: &Gateway,
    cookie: &BrowserSession,
    call: &Call,
) -> Result<Option<(OrgId, UserId, SessionId)>, FlowError> {
    let scope = match gw.db.visitor(&OrgRef::Id(cookie.org), call).await {
        Ok(scope) => scope,
        Err(GateError::Unknown | GateError::Closed(_)) => return Ok(None),
        Err(GateError::Store(error)) => return Err(error.into()),
    };
    let found = gw.db.read(&scope, "session.find").await?.session_by_digest(&cookie.digest).await?;
    Ok(found.map(|session| (cookie.org, session.user, session.id)))
}

async fn end_hinted(gw: &Gateway, hint: Hint, call: &Call) -> Result<(), FlowError> {
    match end_session(gw, (hint.org, hint.user, hint.session), call).await {
        // An org that is closed has no session left to end.
        Err(FlowError::Missing | FlowError::Closed(_)) => Ok(()),
        done => done,
    }
}

/// Ends the session of this cookie; an unknown one is already over.
pub async fn end(gw: &Gateway, cookie: &BrowserSession, call: &Call) -> Result<(), FlowError> {
    let Some(found) = session_of(gw, cookie, call).await? else { return Ok(()) };
    end_session(gw, found, call).await?;
    let scope = gw.db.subject(found.0, found.1, found.2, call).await?;
    if let Some(live) = &gw.live
        && let Err(error) = live.drop_session(&scope, &cookie.digest).await
    {
        tracing::debug!(%error, "session left in redis; its watermark kills it");
    }
    Ok(())
}

/// Ends a person's own session; one that is over stays so, and so does anybody else's.
pub(crate) async fn end_session(
    gw: &Gateway,
    (org, user, session): (OrgId, UserId, SessionId),
    call: &Call,
) -> Result<(), FlowError> {
    let scope = gw.db.subject(org, user, session, call).await?;
    let mut tx = gw.db.write(&scope, "session.end").await?;
    tx.lock_user(user).await?;
    if !tx.end_session(session).await? {
        return Ok(());
    }
    let about = Scope::Session(session);
    let revoked = tx.revoke(about, Action::Terminate, "signed_out").await?;
    tx.commit(Record::of(AuditEvent::done(Act::SessionEnded).on("session", session))).await?;
    revoke::tell(gw, &scope, about, revoked, None).await;
    Ok(())
}
