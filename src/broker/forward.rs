//! A reverse proxy asks, before each request that it lets on to an app: who is this? Answered from Postgres' truth,
//! by an access token for that very app. Never by a browser's session: behind a proxy its cookie would reach every
//! app there, and be good for a token of any other.

use crate::{
    FlowError, Gateway,
    inspect::{self, Live},
};
use model::{
    Refusal,
    ids::{AppId, OrgId},
};
use store::{App, Call};

/// What the proxy asks with.
#[derive(Clone, Debug)]
pub struct Passage {
    pub app: AppId,
    /// Of these roles one is needed; none named: anybody may pass.
    pub roles: Vec<String>,
    pub bearer: Option<String>,
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
    let known = match &asked.bearer {
        Some(jwt) => by_token(gw, &app, jwt, call).await.map_err(stopped)?,
        None => None,
    };
    match known {
        Some(passed)
            if asked.roles.is_empty() || asked.roles.iter().any(|role| passed.roles.contains(role)) =>
        {
            Ok(passed)
        }
        Some(_) => Err(stopped(Refusal::proven("forward.role").into())),
        None => {
            let error = Refusal::stranger("forward.signed_out").into();
            Err(Stopped { error, sign_in: app.initiate_login_uri })
        }
    }
}

async fn by_token(gw: &Gateway, app: &App, jwt: &str, call: &Call) -> Result<Option<Passed>, FlowError> {
    let Some(claims) = inspect::read(gw, jwt, call).await? else { return Ok(None) };
    // One that this app asked for, and that is for another, opens nothing here.
    if claims.audience != app.audience {
        return Ok(None);
    }
    let Some(client) = gw.db.client(app.id, Some(claims.org)).await? else { return Ok(None) };
    Ok(inspect::introspect(gw, &client, claims, call).await?.map(|live| match live {
        Live::Person(live) => Passed {
            subject: live.row.session.user.to_string(),
            org: live.claims.org,
            team_ids: live.row.team_ids.iter().map(ToString::to_string).collect(),
            roles: live.row.roles.clone(),
            session: Some(live.row.session.id.to_string()),
            email: live.row.email.clone(),
        },
        Live::Service(live) => Passed {
            subject: live.service.to_string(),
            org: live.claims.org,
            team_ids: Vec::new(),
            roles: live.claims.roles.clone(),
            session: None,
            email: None,
        },
    }))
}
