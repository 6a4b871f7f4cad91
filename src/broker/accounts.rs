//! The sessions that one browser holds, one an org: whom a chooser offers, which of them answers an app that names
//! no org, and what a person sees of their own.

use crate::{FlowError, Gateway, end::end_session, inspect, inspect::BrowserSession, redeem::name_of};
use model::{
    Refusal, Timestamp,
    ids::{OrgId, SessionId, UserId},
};
use std::collections::{BTreeMap, btree_map::Entry};
use store::{App, Call, GateError, OrgRef, SessionRow, live::Seen};

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
    let mut opened = Vec::new();
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
        opened.push((scope, cookie.digest));
    }
    let seen = match &gw.live {
        Some(live) => live.sessions(&opened).await,
        None => opened.iter().map(|_| Seen::Unknown).collect(),
    };
    let mut accounts = Vec::new();
    for ((scope, digest), seen) in opened.into_iter().zip(seen) {
        let Some(row) = inspect::living_if(gw, (&scope, &digest), &seen, &[]).await? else { continue };
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
    pub(crate) fn is(&self, session: &SessionRow, now: Timestamp) -> bool {
        // A provider whose clock is ahead makes no session younger; and no session is of this very instant.
        let since = session.auth_time.min(session.created_at);
        self.max_age_secs.is_none_or(|max| max > 0 && now.secs() - since.secs() <= max)
            && meets(self.acr_values, session.acr.as_deref())
            && self.user.is_none_or(|user| user == session.user)
    }
}

/// Is this one of the contexts that were asked for? Where none was, any is.
pub(crate) fn meets(acr_values: &[String], acr: Option<&str>) -> bool {
    acr_values.is_empty() || acr.is_some_and(|acr| acr_values.iter().any(|asked| asked == acr))
}

/// One org of a browser: whose it is, and all sessions that the person has there, of whatever browser.
#[derive(Clone, Debug)]
pub struct Own {
    pub account: Account,
    pub sessions: Vec<OwnSession>,
}

#[derive(Clone, Debug)]
pub struct OwnSession {
    pub id: SessionId,
    /// The connection that it came by.
    pub by: String,
    pub created_at: Timestamp,
    pub seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub is_this: bool,
}

/// Which of a person's own sessions are to end.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    One(SessionId),
    /// All but this browser's.
    Others,
}

/// What a person sees of their own, in each org that this browser is signed in to.
pub async fn own(gw: &Gateway, cookies: &[BrowserSession], call: &Call) -> Result<Vec<Own>, FlowError> {
    let mut all = Vec::new();
    for account in living(gw, cookies, None, call).await? {
        let scope = gw.db.subject(account.org, account.user, account.session, call).await?;
        let mut tx = gw.db.read(&scope, "account.sessions").await?;
        let rows = tx.live_sessions(account.user, gw.lifetimes.session_absolute_secs).await?;
        let mut names: BTreeMap<_, String> = BTreeMap::new();
        let mut sessions = Vec::new();
        for row in rows {
            let by = match names.entry(row.connection.uuid()) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(new) => {
                    let name = tx.connection(row.connection).await?.map(|connection| connection.name);
                    new.insert(name.unwrap_or_default()).clone()
                }
            };
            sessions.push(OwnSession {
                id: row.id,
                by,
                created_at: row.created_at,
                seen_at: row.seen_at,
                expires_at: row.expires_at,
                is_this: row.id == account.session,
            });
        }
        all.push(Own { account, sessions });
    }
    Ok(all)
}

/// Ends sessions of the person whom this browser is in that org; nobody else's. Errors: `Missing`, where the browser
/// has no session there.
pub async fn end(
    gw: &Gateway,
    cookies: &[BrowserSession],
    org: OrgId,
    ending: Ending,
    call: &Call,
) -> Result<(), FlowError> {
    let cookies: Vec<_> = cookies.iter().filter(|cookie| cookie.org == org).cloned().collect();
    let own = own(gw, &cookies, call).await?.pop().ok_or(FlowError::Missing)?;
    let is_meant = |session: &&OwnSession| match ending {
        Ending::One(id) => session.id == id,
        Ending::Others => !session.is_this,
    };
    for session in own.sessions.iter().filter(is_meant) {
        end_session(gw, (org, own.account.user, session.id), call).await?;
    }
    Ok(())
}
