//! The one story behind every ending: whoever asks, the state change, the revocation and the record
//! are one transaction; after its commit Redis is told, and if the process dies before that, a job
//! tells it.

use crate::{FlowError, Gateway, counted::REVOCATION_LAG};
use model::{
    ids::{DeprovisioningId, DirectoryId, SessionId, UserId},
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use store::{Administrator, Call, Client, Door, Job, OrgScope, Revoked, TenantTx};

/// What ends a person: written inside the caller's own transaction, which has the person locked.
pub struct Ended {
    pub revoked: Revoked,
    pub receipt: DeprovisioningId,
    pub about: Scope,
}

/// Ends every session and token of a person, with its receipt; by a directory, or by somebody else. The
/// caller commits.
pub async fn end_person(
    gw: &Gateway,
    tx: &mut TenantTx,
    user: UserId,
    cause: &'static str,
    directory: Option<DirectoryId>,
) -> Result<Ended, FlowError> {
    let about = Scope::User(user);
    let revoked = tx.revoke(about, Action::Terminate, cause).await?;
    // Who is minted for has the person locked too, so what is minted from here on finds the revocation. A request that
    // came while this one waited for that lock has had its token.
    let dead_after = gw.now().plus_secs(gw.lifetimes.access_token_secs);
    let receipt = tx.write_receipt(user, &revoked, (cause, directory), dead_after).await?;
    Ok(Ended { revoked, receipt, about })
}

/// Above this many losers one row for the whole org is cheaper, and right: it makes everybody's
/// tokens be fetched anew.
const REASSERTED_ONE_BY_ONE: usize = 50;

/// Makes those who lost a team or role fetch their access tokens anew. The caller commits, then tells.
pub(crate) async fn reassert_losers(
    tx: &mut TenantTx,
    lost: &[UserId],
    reason: &'static str,
) -> Result<Vec<(Scope, Revoked)>, FlowError> {
    let about: Vec<Scope> = if lost.len() > REASSERTED_ONE_BY_ONE {
        vec![Scope::Org]
    } else {
        lost.iter().map(|id| Scope::User(*id)).collect()
    };
    let mut revoked = Vec::with_capacity(about.len());
    for scope in about {
        revoked.push((scope, tx.revoke(scope, Action::Reassert, reason).await?));
    }
    Ok(revoked)
}

/// After the commit: the feed and Redis now, the receipt's last lines and the jobs' list soon. What fails here
/// is done again by the job; Postgres refuses already.
pub async fn tell<D: Door + Clone>(
    gw: &Gateway,
    scope: &OrgScope<D>,
    about: Scope,
    revoked: Revoked,
    receipt: Option<DeprovisioningId>,
) {
    let committed_at = gw.now();
    gw.feed.wake();
    // A reassert ends no session, and sessions are all that Redis is asked about.
    let reached_at = match (&gw.live, revoked.action) {
        (_, Action::Reassert) => Some(committed_at),
        (Some(live), Action::Terminate) => match live.raise(scope, &about, revoked.seq).await {
            Ok(()) => {
                let reached_at = gw.now();
                let lag = reached_at.micros().saturating_sub(scope.now().micros());
                REVOCATION_LAG.note([], u64::try_from(lag).unwrap_or(0));
                Some(reached_at)
            }
            Err(error) => {
                tracing::warn!(%error, org = %scope.org(), "revocation not in redis yet; a job will bring it");
                None
            }
        },
        (None, Action::Terminate) => None,
    };
    let (gw, scope) = (gw.clone(), scope.clone());
    tokio::spawn(async move {
        let noted = async {
            let mut tx = gw.db.write_after(&scope, "revocation.told").await?;
            if let Some(receipt) = receipt {
                tx.note_reached(receipt, committed_at, reached_at).await?;
            }
            if reached_at.is_some() {
                tx.settle("revocation", revoked.item()).await?;
            }
            tx.commit_housekeeping().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "receipt not completed");
        }
    });
}

/// An administrator ends all of a person's sessions; the person may sign in again.
pub async fn user(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    user: UserId,
) -> Result<DeprovisioningId, FlowError> {
    let mut tx = gw.db.write(scope, "revoke.user").await?;
    tx.lock_user(user).await?.ok_or(FlowError::Missing)?;
    let ended = end_person(gw, &mut tx, user, "administrator", None).await?;
    tx.commit(Record::of(AuditEvent::done(Act::UserSessionsRevoked).on("user", user))).await?;
    tell(gw, scope, ended.about, ended.revoked, Some(ended.receipt)).await;
    Ok(ended.receipt)
}

/// An administrator ends one session.
pub async fn session(gw: &Gateway, scope: &OrgScope<Administrator>, id: SessionId) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "revoke.session").await?;
    let session = tx.session(id).await?.ok_or(FlowError::Missing)?;
    tx.lock_user(session.user).await?;
    tx.end_session(id).await?;
    let about = Scope::Session(id);
    let revoked = tx.revoke(about, Action::Terminate, "administrator").await?;
    let event =
        AuditEvent::done(Act::SessionRevoked).on("session", id).value("user", session.user.to_string());
    tx.commit(Record::of(event)).await?;
    tell(gw, scope, about, revoked, None).await;
    Ok(())
}

/// The whole org: every session, family and token, by one row.
pub async fn org(gw: &Gateway, scope: &OrgScope<Administrator>) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "revoke.org").await?;
    let revoked = tx.revoke(Scope::Org, Action::Terminate, "administrator").await?;
    tx.commit(Record::of(AuditEvent::done(Act::OrgSessionsRevoked).on("org", scope.org()))).await?;
    tell(gw, scope, Scope::Org, revoked, None).await;
    Ok(())
}

/// Ends what each app held here that serves this org no more; the app itself is told by the feed and by its
/// back-channel. One commit an app.
pub async fn left(gw: &Gateway, scope: &OrgScope<Job>) -> Result<(), FlowError> {
    loop {
        let mut tx = gw.db.write(scope, "revoke.app_left").await?;
        let Some(app) = tx.take_left_app().await? else { return Ok(()) };
        let about = Scope::App(app);
        let revoked = tx.revoke(about, Action::Terminate, "app_left").await?;
        tx.commit(Record::of(AuditEvent::done(Act::OrgAppLeft).on("app", app))).await?;
        tell(gw, scope, about, revoked, None).await;
    }
}

/// RFC 7009: an app gives back a refresh token. The family ends, and the session's access tokens
/// must be fetched anew by whoever still holds a family. An unknown or foreign token is no error.
pub async fn refresh_token(gw: &Gateway, client: &Client, text: &str, call: &Call) -> Result<(), FlowError> {
    let Ok(presented) = gw.refresh_key.open(text) else { return Ok(()) };
    let app = &client.app;
    let scope = match client.open(presented.org, call) {
        Ok(scope) => scope,
        Err(store::GateError::Store(error)) => return Err(error.into()),
        Err(store::GateError::Unknown | store::GateError::Closed(_)) => return Ok(()),
    };
    let (mut tx, locked) = gw.db.write_to_family(&scope, "revoke.refresh_token", presented.family).await?;
    let Some((family, _)) = locked.filter(|(family, _)| family.app == app.id) else { return Ok(()) };
    tx.end_family(family.id).await?;
    let about = Scope::Session(family.session);
    let revoked = tx.revoke(about, Action::Reassert, "token_revoked").await?;
    let event = AuditEvent::done(Act::TokenRevoked).on("user", family.user).value("app", app.id.to_string());
    tx.commit(Record::of(event)).await?;
    tell(gw, &scope, about, revoked, None).await;
    Ok(())
}
