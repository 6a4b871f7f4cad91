//! A browser's pass at one app, for the proxy before it: given for a code as tokens are, and good for being asked
//! about at `/forward-auth` and for nothing else. Behind it stands a refresh family, so whatever ends those ends it;
//! each use asks Postgres, as a refresh does (ADR 25).

use crate::{
    FlowError, Gateway,
    counted::TOKENS,
    inspect::over,
    redeem::{Redemption, as_grant, issued, named_org, use_up},
};
use model::{
    Refusal, Secret, Timestamp,
    ids::AppId,
    record::{Act, AuditEvent, Record},
};
use store::{Call, Client, GateError, MintRow, OrgScope, PassRow, Subject, TOUCHED_SECS, scopes_of};
use token::{pass::Pass, refresh::Family};

/// A new pass, and how long it can live at most.
pub struct Given {
    pub text: Secret<String>,
    pub lives_secs: i64,
}

/// A pass for a code, in the name of an app that has proven nothing: the caller has seen to it that the code is one
/// for a proxy's callback, and the verifier our own. Errors: those of a redemption.
pub(crate) async fn redeem(
    gw: &Gateway,
    app: AppId,
    grant: Redemption<'_>,
    call: &Call,
) -> Result<Given, FlowError> {
    let org = named_org(grant.code).ok_or(Refusal::stranger("oauth.invalid_grant"))?;
    let client = gw.db.client(app, Some(org)).await?.ok_or(FlowError::Missing)?;
    let scope = as_grant(client.open_unproven(org, call))?;
    let used = use_up(gw, &client.app, &scope, &grant).await?;
    let pass = Pass {
        org,
        family: used.family.id,
        session: used.row.session.id,
        user: used.row.session.user,
        connection: used.row.session.connection,
    };
    let lives_secs = used.family.expires_at.secs() - call.at.secs();
    used.tx.commit(issued(&used.row, &client.app, "pass")).await?;
    TOKENS.add(["pass"], 1);
    Ok(Given { text: gw.pass_key.issue(&pass), lives_secs })
}

/// Whom this pass lets on to this app now. Another app's, one that is over, an app that serves the org no more: all
/// the same `None`.
pub(crate) async fn living(
    gw: &Gateway,
    client: &Client,
    pass: &Pass,
    call: &Call,
) -> Result<Option<MintRow>, FlowError> {
    let Some(scope) = opened(client, pass, call)? else { return Ok(None) };
    let named = scopes_of(pass.session, pass.user, pass.connection, Some(client.app.id));
    let row = gw.db.pass_row(&scope, pass.family, &named, gw.lifetimes.session_absolute_secs).await?;
    let Some(row) = row.filter(|row| is_living(gw, row, (pass, client.app.id), call.at)) else {
        return Ok(None);
    };
    // Of a short idle time a minute would be too much.
    let grain = TOUCHED_SECS.min(idle_secs(gw, &row) / 4);
    if call.at >= row.used_at.plus_secs(grain)
        && let Err(error) = note_use(gw, &scope, pass, grain).await
    {
        tracing::warn!(?error, org = %pass.org, "the use of a pass was not noted");
    }
    Ok(Some(row.minted))
}

/// Where the org says how long a browser's session may go unused, the same holds for its pass.
fn idle_secs(gw: &Gateway, row: &PassRow) -> i64 {
    let usual = gw.lifetimes.refresh_idle_secs;
    row.minted.idle_secs.map_or(usual, |secs| usual.min(secs.into()))
}

/// As for a refresh: a reassert only has roles and teams read anew, and they are.
fn is_living(gw: &Gateway, row: &PassRow, (pass, app): (&Pass, AppId), now: Timestamp) -> bool {
    let session = &row.minted.session;
    let family = Family {
        client_id: row.app,
        generation: 0,
        rotated_at: row.used_at,
        successor_used: false,
        expires_at: row.expires_at,
        idle_expires_at: row.used_at.plus_secs(idle_secs(gw, row)),
        ended: row.ended_at,
    };
    let is_bound = (session.id, session.user, session.connection)
        == (pass.session, pass.user, pass.connection)
        && family.client_id == app;
    is_bound && !family.is_over(now) && over(&row.minted, row.minted.terminated, row.rs, now).is_none()
}

/// On the seat of whose pass it is: whoever shows one has proven it.
fn opened(client: &Client, pass: &Pass, call: &Call) -> Result<Option<OrgScope<Subject>>, FlowError> {
    match client.subject(pass.org, pass.user, pass.session, call) {
        Ok(scope) => Ok(Some(scope)),
        Err(GateError::Unknown | GateError::Closed(_)) => Ok(None),
        Err(GateError::Store(error)) => Err(error.into()),
    }
}

async fn note_use(
    gw: &Gateway,
    scope: &OrgScope<Subject>,
    pass: &Pass,
    grain: i64,
) -> Result<(), store::Error> {
    let mut tx = gw.db.write_after(scope, "pass.used").await?;
    tx.touch_family(pass.family, grain).await?;
    tx.commit_housekeeping().await
}

/// The person gives it back. What is none, another app's, or over already ends nothing.
pub(crate) async fn end(gw: &Gateway, app: AppId, text: &str, call: &Call) -> Result<(), FlowError> {
    let Ok(pass) = gw.pass_key.open(text) else { return Ok(()) };
    let Some(client) = gw.db.client(app, Some(pass.org)).await? else { return Ok(()) };
    let Some(scope) = opened(&client, &pass, call)? else { return Ok(()) };
    let (mut tx, locked) = gw.db.write_to_family(&scope, "pass.end", pass.family).await?;
    let own = locked.filter(|(family, _)| family.app == app && family.ended_at.is_none());
    let Some((family, _)) = own else { return Ok(()) };
    tx.end_family(family.id).await?;
    let event = AuditEvent::done(Act::TokenRevoked).on("user", family.user).value("app", app.to_string());
    tx.commit(Record::of(event)).await?;
    Ok(())
}
