//! The sessions that one browser holds, one an org: whom a chooser offers, which of them answers an app that names
//! no org, and what a person sees of their own.

use crate::{FlowError, Gateway, inspect, inspect::BrowserSession, redeem::name_of};
use model::{
    Refusal,
    ids::{OrgId, SessionId, UserId},
};
use store::{App, Call, GateError, OrgRef, SessionRow};

/// So many orgs one browser is signed in to; a cookie each.
pub const SESSIONS_MAX: usize = 8;

/// A session that lives, and whose it is.
#[derive(Clone, Debug)]
pub struct Account {
    pub org: OrgId,
    pub org_name: String,
    pub user: UserId,
    pub session: SessionId,
    /// As the person is known: the email, or else the user name.
    pub known_as: String,
    pub name: Option<String>,
}

/// Which of a browser's sessions may answer, where the app named no org.
pub enum Picked {
    /// None lives.
    Nobody,
    One(OrgId),
    Several(Vec<Account>),
}

/// The browser's sessions that live, in the order of their orgs; with an app, in the orgs that it serves.
pub async fn living(
    gw: &Gateway,
    sessions: &[BrowserSession],
    app: Option<&App>,
    call: &Call,
) -> Result<Vec<Account>, FlowError> {
    let mut accounts = Vec::new();
    for cookie in sessions.iter().take(SESSIONS_MAX) {
        let scope = match gw.db.visitor(&OrgRef::Id(cookie.org), call).await {
            Ok(scope) => scope,
            Err(GateError::Unknown | GateError::Closed(_)) => continue,
            Err(GateError::Store(error)) => return Err(error.into()),
        };
        if let Some(app) = app
            && !gw.db.app_serves(app, scope.org()).await?
        {
            continue;
        }
        let Some(row) = inspect::living(gw, &scope, cookie).await? else { continue };
        let org = gw.db.read(&scope, "account.org").await?.own_org().await?;
        let name = name_of(&row);
        accounts.push(Account {
            org: org.id,
            org_name: org.name,
            user: row.session.user,
            session: row.session.id,
            known_as: row.email.unwrap_or(row.user_name),
            name,
        });
    }
    Ok(accounts)
}

/// Who answers an app that named no org and hinted at nobody. Errors: `oauth.account_selection_required` where
/// nobody may be asked (OIDC Core 3.1.2.6).
pub(crate) async fn pick(
    gw: &Gateway,
    sessions: &[BrowserSession],
    app: &App,
    (silent, choosing): (bool, bool),
    call: &Call,
) -> Result<Picked, FlowError> {
    let mut accounts = living(gw, sessions, Some(app), call).await?;
    Ok(match accounts.len() {
        0 => Picked::Nobody,
        1 if !choosing => accounts.pop().map_or(Picked::Nobody, |one| Picked::One(one.org)),
        _ if silent => return Err(Refusal::stranger("oauth.account_selection_required").into()),
        _ => Picked::Several(accounts),
    })
}

/// What a session must be to answer without a sign-in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Enough<'a> {
    pub max_age_secs: Option<i64>,
    pub acr_values: &'a [String],
    /// The person whom the app means.
    pub user: Option<UserId>,
}

impl Enough<'_> {
    /// Is it recent, strong and the right one (OIDC Core 3.1.2.1, RFC 9470 4)?
    pub(crate) fn is(&self, session: &SessionRow, now: model::Timestamp) -> bool {
        self.max_age_secs.is_none_or(|max| now.secs() - session.auth_time.secs() <= max)
            && meets(self.acr_values, session.acr.as_deref())
            && self.user.is_none_or(|user| user == session.user)
    }
}

/// Is this one of the contexts that were asked for? Where none was, any is.
pub(crate) fn meets(acr_values: &[String], acr: Option<&str>) -> bool {
    acr_values.is_empty() || acr.is_some_and(|acr| acr_values.iter().any(|asked| asked == acr))
}
