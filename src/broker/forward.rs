//! A reverse proxy asks, before each request that it lets on to an app: who is this? Answered from Postgres' truth, by
//! an access token for that very app, or by the pass that a browser has at it (`pass`, ADR 25). Never by a browser's
//! session: behind a proxy its cookie would reach every app there, and be good for a token of any other.

use crate::{
    FlowError, Gateway,
    inspect::{self, Live},
    pass,
    proxy::{self, Front},
};
use model::{
    Refusal,
    ids::{AppId, OrgId},
};
use store::{App, Call, Client, MintRow};
use token::{access::AccessClaims, pass::Pass};
use url::Url;

/// What the proxy asks with.
#[derive(Clone, Debug)]
pub struct Passage {
    pub app: AppId,
    /// Of these roles one is needed; none named: anybody may pass.
    pub roles: Vec<String>,
    pub bearer: Option<String>,
    pub held: Held,
}

/// What the proxy tells of the request that it holds. Nobody vouches for it: it opens nothing.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The hosts that it names, the likeliest first.
    pub hosts: Vec<String>,
    /// Path and query.
    pub target: Option<String>,
    pub pass: Option<ShownPass>,
    /// Another site's page has a browser change something.
    pub changes_from_elsewhere: bool,
}

#[derive(Clone, Debug)]
pub struct ShownPass {
    pub text: String,
    /// It came under the name that https alone can set (`__Host-`).
    pub is_of_https: bool,
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

/// What came along to be recognised by.
enum Shown {
    Token(AccessClaims),
    Pass(Pass),
    Nothing,
}

/// Lets pass or stops. A token that came along decides alone.
///
/// # Errors
/// `forward.app`: no such app. `forward.signed_out`: nothing that is good for this app came along. `forward.role`:
/// whoever it is has none of the roles. `forward.cross_site`: it is somebody, and another site's page who acts.
pub async fn pass(gw: &Gateway, asked: Passage, call: &Call) -> Result<Passed, Stopped> {
    let stopped = |error: FlowError| Stopped { error, sign_in: None };
    let shown = shown(gw, &asked, call).await.map_err(stopped)?;
    let org = match &shown {
        Shown::Token(claims) => Some(claims.org),
        Shown::Pass(pass) => Some(pass.org),
        Shown::Nothing => None,
    };
    let client = match gw.db.client(asked.app, org).await {
        Ok(Some(client)) => client,
        Ok(None) => return Err(stopped(Refusal::stranger("forward.app").into())),
        Err(error) => return Err(stopped(error.into())),
    };
    let front = proxy::front(&client.app, &asked.held.hosts);
    let known = match shown {
        Shown::Token(claims) => by_token(gw, &client, claims, call).await,
        Shown::Pass(pass) => by_pass(gw, (&client, front.as_ref()), &pass, &asked.held, call).await,
        Shown::Nothing => Ok(None),
    };
    match known.map_err(stopped)? {
        Some(passed)
            if asked.roles.is_empty() || asked.roles.iter().any(|role| passed.roles.contains(role)) =>
        {
            Ok(passed)
        }
        Some(_) => Err(stopped(Refusal::proven("forward.role").into())),
        None => {
            let error = Refusal::stranger("forward.signed_out").into();
            let to = asked.held.target.as_deref().unwrap_or_default();
            let sign_in = front.map(|front| front.sign_in(to)).or_else(|| own_start(gw, &client.app));
            Err(Stopped { error, sign_in })
        }
    }
}

/// Its form and signature hold, and no more.
async fn shown(gw: &Gateway, asked: &Passage, call: &Call) -> Result<Shown, FlowError> {
    if let Some(jwt) = &asked.bearer {
        return Ok(inspect::read(gw, jwt, call).await?.map_or(Shown::Nothing, Shown::Token));
    }
    let pass = asked.held.pass.as_ref().and_then(|shown| gw.pass_key.open(&shown.text).ok());
    Ok(pass.map_or(Shown::Nothing, Shown::Pass))
}

/// Where the app begins a sign-in by itself (OIDC Core 4).
fn own_start(gw: &Gateway, app: &App) -> Option<String> {
    let mut url = Url::parse(app.initiate_login_uri.as_deref()?).ok()?;
    url.query_pairs_mut().append_pair("iss", gw.links.issuer());
    Some(url.into())
}

async fn by_pass(
    gw: &Gateway,
    (client, front): (&Client, Option<&Front>),
    pass: &Pass,
    held: &Held,
    call: &Call,
) -> Result<Option<Passed>, FlowError> {
    // Under the plain name a sibling of an https host could have put its own.
    let by_its_name = held.pass.as_ref().map(|shown| shown.is_of_https) == front.map(Front::is_https);
    if !by_its_name {
        return Ok(None);
    }
    let Some(row) = pass::living(gw, client, pass, call).await? else { return Ok(None) };
    // The cookie is Lax: a browser that keeps to it sends none of these.
    if held.changes_from_elsewhere {
        return Err(Refusal::proven("forward.cross_site").into());
    }
    Ok(Some(person(pass.org, &row)))
}

async fn by_token(
    gw: &Gateway,
    client: &Client,
    claims: AccessClaims,
    call: &Call,
) -> Result<Option<Passed>, FlowError> {
    // One that this app asked for, and that is for another, opens nothing here.
    if claims.audience != client.app.audience {
        return Ok(None);
    }
    Ok(inspect::introspect(gw, client, claims, call).await?.map(|live| match live {
        Live::Person(live) => person(live.claims.org, &live.row),
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

/// As they are now.
fn person(org: OrgId, row: &MintRow) -> Passed {
    Passed {
        subject: row.session.user.to_string(),
        org,
        team_ids: row.team_ids.iter().map(ToString::to_string).collect(),
        roles: row.roles.clone(),
        session: Some(row.session.id.to_string()),
        email: row.email.clone(),
    }
}
