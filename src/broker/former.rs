//! What becomes of the session that a browser has in an org, when somebody signs in there by that browser: none is
//! left behind that nobody holds the handle of (docs/adr/0023).

use crate::{FlowError, Gateway, inspect::over};
use model::{
    ids::{ConnectionId, SessionId, UserId},
    record::{Act, AuditEvent},
    revocation::{Action, Scope},
};
use store::{Revoked, SessionOf, TenantTx, scopes_of};

pub(crate) enum Former {
    /// There was none, or it was over.
    None,
    /// The same person by the same connection: it goes on, by another handle.
    Raised(SessionId),
    /// Somebody else's, or by another connection: it ends in the same commit.
    Ended(SessionOf, Revoked),
}

impl Former {
    pub(crate) const fn raised(&self) -> Option<SessionId> {
        match self {
            Self::Raised(id) => Some(*id),
            Self::None | Self::Ended(..) => None,
        }
    }
}

/// The session, with its person locked: `user` is already. Before anything is revoked: whoever revokes takes the
/// org's head last.
pub(crate) async fn lock(
    tx: &mut TenantTx,
    former: Option<SessionId>,
    user: UserId,
) -> Result<Option<SessionOf>, FlowError> {
    let Some(id) = former else { return Ok(None) };
    let held = tx.session(id).await?;
    if let Some(held) = held
        && held.user != user
    {
        tx.lock_user(held.user).await?;
    }
    Ok(held)
}

/// Decides, and ends what is to end. The admission was read before: whatever is revoked later ends a session that is
/// raised here too.
pub(crate) async fn settle(
    gw: &Gateway,
    tx: &mut TenantTx,
    held: Option<SessionOf>,
    (user, connection): (UserId, ConnectionId),
) -> Result<Former, FlowError> {
    let Some(held) = held else { return Ok(Former::None) };
    let named = scopes_of(held.id, held.user, held.connection, None);
    let row = tx.mint_row(held.id, &named, gw.lifetimes.session_absolute_secs, &[]).await?;
    let Some(row) = row else { return Ok(Former::None) };
    if over(&row, row.terminated, row.session.rs, tx.now()).is_some() {
        return Ok(Former::None);
    }
    if held.user == user && held.connection == connection {
        return Ok(Former::Raised(held.id));
    }
    tx.end_session(held.id).await?;
    let revoked = tx.revoke(Scope::Session(held.id), Action::Terminate, "replaced").await?;
    Ok(Former::Ended(held, revoked))
}

/// For the record.
pub(crate) fn ended(held: SessionOf) -> AuditEvent {
    AuditEvent::done(Act::SessionEnded)
        .on("session", held.id)
        .value("user", held.user.to_string())
        .value("why", "replaced")
}
