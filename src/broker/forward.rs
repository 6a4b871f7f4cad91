//! A reverse proxy asks, before each request that it lets on to an app: who is this? Answered from Postgres' truth,
//! by an access token or by the browser's session where gateway and app share a host, and with a token for the app.

use crate::{
    FlowError, Gateway, accounts,
    accounts::Picked,
    inspect::{self, BrowserSession, Live},
    redeem,
    resource::Target,
};
use model::{
    Refusal, Timestamp,
    ids::{AppId, EventId, OrgId},
};
use store::{App, Call, GateError, MintRow, OrgRef, OrgScope, Visitor};
use token::mint::mint_access;

/// A use within this is no news.
const TOUCHED_SECS: i64 = 60;

/// What the proxy asks with.
#[derive(Clone, Debug)]
pub struct Passage {
    pub app: AppId,
    /// The org that is meant, where a browser holds sessions in several.
    pub org: Option<OrgRef>,
    /// Of these roles one is needed; none named: anybody may pass.
    pub roles: Vec<String>,
    pub bearer: Option<String>,
    pub sessions: Vec<BrowserSession>,
}

/// Who passes.
#[derive(Clone, Debug)]
pub struct Passed {
    /// The person's seat, or the service account.
    pub subject: String,
    pub org: OrgId,
    pub team_ids: Vec<String>,
    pub roles: Vec<String>,
    pub session: Option<String>,
    pub email: Option<String>,
    /// An access token for the app: the one that came, or a fresh one of the session.
    pub access_token: String,
}

/// Who does not, and where a browser may sign in.
#[derive(Debug)]
pub struct Stopped {
    pub error: FlowError,
    pub sign_in: Option<String>,
}

/// Lets pass or stops.
///
/// # Errors
/// `forward.app`: no such app. `forward.signed_out`: nothing that is good for this app came along. `forward.role`:
/// whoever it is has none of the roles.
pub async fn pass(gw: &Gateway, asked: Passage, call: &Call) -> Result<Passed, Stopped> {
    let stopped = |error: FlowError| Stopped { error, sign_in: None };
    let app = match gw.db.app(asked.app).await {
        Ok(Some(app)) => app,
        Ok(None) => return Err(stopped(Refusal::stranger("forward.app").into())),
        Err(error) => return Err(stopped(error.into())),
    };
    let sign_in = app.initiate_login_uri.clone();
    let passed = match &asked.bearer {
        Some(jwt) => by_token(gw, &app, jwt, call).await,
        None => by_session(gw, &app, &asked, call).await,
    };
    let passed =
        passed.and_then(|passed| passed.ok_or_else(|| Refusal::stranger("forward.signed_out").into()));
    match passed {
        Ok(passed)
            if asked.roles.is_empty() || asked.roles.iter().any(|role| passed.roles.contains(role)) =>
        {
            Ok(passed)
        }
        Ok(_) => Err(stopped(Refusal::proven("forward.role").into())),
        Err(error) => Err(Stopped { error, sign_in }),
    }
}

async fn by_token(gw: &Gateway, app: &App, jwt: &str, call: &Call) -> Result<Option<Passed>, FlowError> {
    let Some(claims) = inspect::read(gw, jwt, call).await? else { return Ok(None) };
    // One that this app asked for, and that is for another, opens nothing here.
    if claims.audience != app.audience {
        return Ok(None);
    }
    let Some(client) = gw.db.client(app.id, Some(claims.org)).await? else { return Ok(None) };
    let jwt = jwt.to_owned();
    Ok(inspect::introspect(gw, &client, claims, call).await?.map(|live| match live {
        Live::Person(live) => of_row(live.claims.org, &live.row, jwt),
        Live::Service(live) => Passed {
            subject: live.service.to_string(),
            org: live.claims.org,
            team_ids: Vec::new(),
            roles: live.claims.roles.clone(),
            session: None,
            email: None,
            access_token: jwt,
        },
    }))
}

async fn by_session(
    gw: &Gateway,
    app: &App,
    asked: &Passage,
    call: &Call,
) -> Result<Option<Passed>, FlowError> {
    let org = match &asked.org {
        Some(named) => named.clone(),
        // Of several none is taken: another request might have another.
        None => match accounts::pick(gw, &asked.sessions, app, (false, false), call).await? {
            Picked::One(org) => OrgRef::Id(org),
            Picked::Nobody | Picked::Several(_) => return Ok(None),
        },
    };
    let scope = match gw.db.visitor(&org, call).await {
        Ok(scope) => scope,
        Err(GateError::Unknown | GateError::Closed(_)) => return Ok(None),
        Err(GateError::Store(error)) => return Err(error.into()),
    };
    let Some(cookie) = asked.sessions.iter().find(|cookie| cookie.org == scope.org()) else {
        return Ok(None);
    };
    if !gw.db.app_serves(app, scope.org()).await? {
        return Ok(None);
    }
    let Some(row) = inspect::living(gw, &scope, cookie, &app.claims).await? else { return Ok(None) };
    touch(gw, &scope, &row).await?;
    let target = Target { audience: app.audience.clone(), chosen: app.claims.clone() };
    let snapshot = redeem::snapshot(gw, (scope.org(), app.id), &row, ("", &target), None);
    let jti = EventId::new(call.at, gw.chance.as_ref()).to_string();
    let ring = gw.keys.ready(&gw.db, app.signing_alg).await?;
    let key = gw.keys.signer(&ring, app.signing_alg)?;
    let minted = mint_access(&snapshot, key, &jti, call.at, gw.lifetimes.access_token_secs)
        .map_err(|fault| FlowError::Fault(fault.to_string()))?;
    Ok(Some(of_row(scope.org(), &row, minted.jwt)))
}

/// A session that is used through a proxy is used.
async fn touch(gw: &Gateway, scope: &OrgScope<Visitor>, row: &MintRow) -> Result<(), FlowError> {
    let news: Timestamp = row.session.seen_at.plus_secs(TOUCHED_SECS);
    if scope.now() < news {
        return Ok(());
    }
    let mut tx = gw.db.write(scope, "forward.touch").await?;
    tx.touch_session(row.session.id).await?;
    Ok(tx.commit_housekeeping().await?)
}

fn of_row(org: OrgId, row: &MintRow, access_token: String) -> Passed {
    Passed {
        subject: row.session.user.to_string(),
        org,
        team_ids: row.team_ids.iter().map(ToString::to_string).collect(),
        roles: row.roles.clone(),
        session: Some(row.session.id.to_string()),
        email: row.email.clone(),
        access_token,
    }
}
