//! A person leaves by themselves: the browser's session ends, everywhere.

use crate::{FlowError, Gateway, inspect::BrowserSession, revoke};
use model::{
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use store::{Call, OrgRef};

/// Ends the session of this cookie; an unknown one is already over.
pub async fn end(gw: &Gateway, cookie: &BrowserSession, call: &Call) -> Result<(), FlowError> {
    let scope = gw.db.visitor(&OrgRef::Id(cookie.org), call).await?;
    let Some(session) = gw.db.read(&scope, "session.find").await?.session_by_digest(&cookie.digest).await?
    else {
        return Ok(());
    };
    let scope = gw.db.subject(cookie.org, session.user, session.id, call).await?;
    let mut tx = gw.db.write(&scope, "session.end").await?;
    tx.lock_user(session.user).await?;
    if !tx.end_session(session.id).await? {
        return Ok(());
    }
    let about = Scope::Session(session.id);
    let revoked = tx.revoke(about, Action::Terminate, "signed_out").await?;
    tx.commit(Record::of(AuditEvent::done(Act::SessionEnded).on("session", session.id))).await?;
    revoke::tell(gw, &scope, about, revoked, None).await;
    if let Some(live) = &gw.live
        && let Err(error) = live.drop_session(&scope, &cookie.digest).await
    {
        tracing::debug!(%error, "session left in redis; its watermark kills it");
    }
    Ok(())
}
