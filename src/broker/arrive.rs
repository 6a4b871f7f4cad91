//! Somebody comes from their company's portal, unasked (IdP-initiated). Nothing of such an arrival is a
//! session: an answer that this browser never asked for may be anybody's, put there to sign a person in
//! as somebody else. It is verified, used up, written down, and answered by the apps that begin a sign-in
//! of their own; the identity provider, where the person is signed in already, then answers at once.

use crate::{FlowError, Gateway, admit, attempt::LoginAttempt, begin_oidc::OidcConfig};
use model::{
    Refusal,
    ids::{AttemptId, ConnectionId},
    record::{Act, AuditEvent, Record, Usage},
    user::AcceptedIdentity,
};
use store::{App, Call, ConnectionKind, ConnectionState, OrgRef, OrgScope, Visitor};
use url::Url;

/// What the page shows: where one can go on from here.
#[derive(Debug)]
pub struct Arrival {
    pub org_name: String,
    pub apps: Vec<StartingPoint>,
}

/// An app, and the address at which it begins a sign-in for this org (OIDC Core 4).
#[derive(Debug)]
pub struct StartingPoint {
    pub name: String,
    pub url: String,
}

/// By a signed Response to no request of ours, at a connection that allows that.
pub(crate) async fn by_saml(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    identity: &AcceptedIdentity,
) -> Result<Arrival, FlowError> {
    let mut tx = gw.db.write(scope, "login.arrive").await?;
    let enabled =
        tx.connection(identity.connection).await?.is_some_and(|c| c.state == ConnectionState::Enabled);
    let key = format!("{}:{}", identity.connection, identity.single_use_key);
    let refused = if !enabled {
        Some(Refusal::proven("login.connection_disabled"))
    } else if tx.first_use(&[(key.clone(), identity.single_use_until)]).await?.is_none() {
        Some(Refusal::proven("login.replayed").with("id", &identity.single_use_key))
    } else {
        None
    };
    if let Some(refusal) = refused {
        drop(tx);
        admit::record_refusal(gw, scope, identity.connection, &refusal, Some(&identity.subject)).await?;
        return Err(refusal.into());
    }
    let org_name = tx.own_org().await?.name;
    let event = AuditEvent::done(Act::LoginArrived)
        .on("connection", identity.connection)
        .value("subject", identity.subject.clone());
    let arrived = Usage { meter: "auth.arrival", natural_key: key, value: 1 };
    tx.commit(Record::of(event).metered(arrived)).await?;
    let hint = identity.email.as_deref().unwrap_or(&identity.subject);
    starting_points(gw, scope, org_name, hint.contains('@').then_some(hint)).await
}

/// By the provider's word alone (`/oidc/{con}/initiate`): it proves nothing, so nothing is written.
/// `iss`, when it is said, must be the connection's own.
pub async fn by_oidc(
    gw: &Gateway,
    connection: ConnectionId,
    iss: Option<&str>,
    login_hint: Option<&str>,
    host_org: Option<&OrgRef>,
    call: &Call,
) -> Result<Arrival, FlowError> {
    let scope = gw.db.visitor_by_connection(connection, call).await?;
    if let Some(host_org) = host_org
        && gw.db.visitor(host_org, call).await?.org() != scope.org()
    {
        return Err(FlowError::Missing);
    }
    let mut tx = gw.db.read(&scope, "login.arrive").await?;
    let found = tx.connection(connection).await?.filter(|c| c.kind == ConnectionKind::Oidc);
    let found = found.ok_or(FlowError::Missing)?;
    if found.state != ConnectionState::Enabled {
        return Err(Refusal::stranger("login.connection_disabled").into());
    }
    if iss.is_some_and(|iss| OidcConfig::of(&found).is_ok_and(|config| config.issuer != iss)) {
        return Err(Refusal::stranger("oidc.initiate_issuer").into());
    }
    let org_name = tx.own_org().await?.name;
    drop(tx);
    starting_points(gw, &scope, org_name, login_hint).await
}

/// Where a sign-in that failed is begun again: at the app that this browser's own attempt was for, if the app
/// begins sign-ins of its own. Nobody can put another's address here: the attempt is sealed, and the address is
/// the app's as it is registered.
pub async fn way_back(
    gw: &Gateway,
    attempt: AttemptId,
    cookie: Option<&str>,
    call: &Call,
) -> Option<StartingPoint> {
    let attempt = LoginAttempt::unsealed(gw, attempt, cookie)?;
    let scope = gw.db.visitor(&OrgRef::Id(attempt.org), call).await.ok()?;
    let app = gw.db.client(attempt.asked.app, Some(attempt.org)).await.ok()??.app;
    starting_point(gw, &scope, None, app)
}

fn starting_point(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    login_hint: Option<&str>,
    app: App,
) -> Option<StartingPoint> {
    let mut url = Url::parse(&app.initiate_login_uri?).ok()?;
    url.query_pairs_mut()
        .append_pair("iss", gw.links.issuer())
        .append_pair("organization", &scope.facts().slug)
        .extend_pairs(login_hint.map(|hint| ("login_hint", hint)));
    Some(StartingPoint { name: app.name, url: url.into() })
}

async fn starting_points(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    org_name: String,
    login_hint: Option<&str>,
) -> Result<Arrival, FlowError> {
    let apps = gw.db.starting_points(scope).await?;
    let point = |app| starting_point(gw, scope, login_hint, app);
    Ok(Arrival { org_name, apps: apps.into_iter().filter_map(point).collect() })
}
