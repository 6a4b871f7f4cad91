//! The one join of every protocol: an accepted identity becomes a seat, a session and a one-time
//! code, in one transaction, or nothing does. What was true when the sign-in began is asked again
//! here: the connection enabled, the person active, nothing revoked meanwhile.

use crate::{
    FlowError, Gateway,
    accounts::meets,
    attempt::{AppRequest, LoginAttempt},
    find_seat::{SeatRule, find_seat},
    former::{self, Former},
    quota, revoke,
};
use model::{
    Refusal, Secret, Timestamp,
    ids::{AttemptId, ConnectionId, OrgId, SessionId, UserId},
    record::{Act, AuditEvent, Record, Usage},
    refusal::Standing,
    revocation::{Action, Scope},
    user::{AcceptedIdentity, normalised},
};
use store::{Admission, Adopted, NewCode, NewSession, OrgScope, SessionRow, TenantTx, User, Visitor};
use token::{
    code,
    credential::{OrgBoundKind, org_bearer},
};

/// What goes back with the browser.
#[derive(Debug)]
pub struct Admitted {
    pub org: OrgId,
    pub asked: AppRequest,
    pub code: Secret<String>,
    /// The new session's cookie value and how long it lives; absent when the old one goes on.
    pub cookie: Option<(Secret<String>, i64)>,
}

/// How a sign-in whose answer was accepted ends.
#[derive(Debug)]
pub enum Outcome {
    Admitted(Box<Admitted>),
    /// Not what the app asked for: it is told so (`oauth.login_required`, `oauth.unmet_authentication`).
    Declined {
        asked: Box<AppRequest>,
        refusal: Refusal,
    },
}

/// What the sign-in was begun with, as `admit` needs it.
pub struct Terms {
    pub asked: AppRequest,
    /// Of these contexts one must have been used; none named: any will do.
    acr_values: Vec<String>,
    /// The person whom the app means.
    expected: Option<UserId>,
    /// What this browser had in the org when it began.
    former: Option<SessionId>,
    pub protocol: &'static str,
    pub seats: SeatRule,
    /// The attempt's own stamp: dead if the org, connection or person was terminated since.
    pub rs: i64,
    /// The attempt admits once, and is remembered while its cookie could open.
    attempt: (AttemptId, Timestamp),
}

impl Terms {
    pub fn of(attempt: LoginAttempt, protocol: &'static str, seats: SeatRule) -> Self {
        let once = (attempt.id, attempt.expires_at);
        let (asked, rs) = (attempt.asked, attempt.rs);
        Self {
            asked,
            acr_values: attempt.acr_values,
            expected: attempt.expected,
            former: attempt.former,
            protocol,
            seats,
            rs,
            attempt: once,
        }
    }
}

/// Admits, or writes down the refusal: whoever got here proved itself by a valid signature, so a
/// refusal is an event of its own commit.
pub async fn admit(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    identity: AcceptedIdentity,
    terms: Terms,
) -> Result<Outcome, FlowError> {
    let connection = identity.connection;
    for _ in 0..ATTEMPTS {
        match try_admit(gw, scope, &identity, &terms).await {
            Ok(Some(admitted)) => return Ok(Outcome::Admitted(Box::new(admitted))),
            Ok(None) => {}
            Err(FlowError::Refused(refusal)) => {
                record_refusal(gw, scope, connection, &refusal, Some(&identity.subject)).await?;
                if refusal.code == LOGIN_REQUIRED || refusal.code == UNMET {
                    return Ok(Outcome::Declined { asked: Box::new(terms.asked), refusal });
                }
                let error = refusal.into();
                quota::refused(gw, scope, &error).await;
                return Err(error);
            }
            Err(other) => return Err(other),
        }
    }
    Err(FlowError::Busy { retry_after_secs: 1 })
}

const LOGIN_REQUIRED: &str = "oauth.login_required";
const UNMET: &str = "oauth.unmet_authentication";

/// Two first sign-ins of one person, at one instant: the one that lost looks again, and finds the seat.
const ATTEMPTS: usize = 3;

/// `None`: another sign-in made the seat meanwhile, and everything here is undone.
async fn try_admit(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    identity: &AcceptedIdentity,
    terms: &Terms,
) -> Result<Option<Admitted>, FlowError> {
    let now = scope.now();
    let mut tx = gw.db.write(scope, "login.admit").await?;
    if !identity.groups.is_empty() {
        tx.share_mappings().await?;
    }
    // The answer once, and one answer to a question: a provider may sign two.
    let answer = (format!("{}:{}", identity.connection, identity.single_use_key), identity.single_use_until);
    let (attempt, attempt_until) = terms.attempt;
    if tx.first_use(&[answer, (format!("att:{attempt}"), attempt_until)]).await?.is_none() {
        return Err(Refusal::proven("login.replayed").with("id", &identity.single_use_key).into());
    }
    // What was asked for upstream is what must have come back (RFC 9470 5).
    if !meets(&terms.acr_values, identity.acr.as_deref()) {
        let said = identity.acr.clone().unwrap_or_else(|| "nothing".to_owned());
        return Err(Refusal::proven(UNMET).with("acr", said).into());
    }
    let Some((user, adopted)) = find_seat(&mut tx, gw, identity, terms.seats).await? else { return Ok(None) };
    if terms.expected.is_some_and(|expected| expected != user.id) {
        return Err(Refusal::proven(LOGIN_REQUIRED).with("user", user.id).into());
    }
    if !user.active {
        return Err(Refusal::proven("login.user_inactive").with("user", user.id).into());
    }
    let held = former::lock(&mut tx, terms.former, user.id).await?;
    let named =
        [Scope::Org, Scope::User(user.id), Scope::Connection(identity.connection)].map(|s| s.to_string());
    let admission = tx.admission(identity.connection, &named, user.id, &identity.groups).await?;
    if !admission.connection_enabled {
        return Err(Refusal::proven("login.connection_disabled").into());
    }
    if admission.as_of.terminated > terms.rs {
        return Err(Refusal::proven("login.revoked_meanwhile").with("user", user.id).into());
    }
    // What the groups no longer give, older access tokens must not say either.
    let lost = user.directory.is_none()
        && tx.regroup_by_sign_in(user.id, &admission.gifts, identity.connection).await?;
    if lost {
        tx.revoke(Scope::User(user.id), Action::Reassert, "groups_at_sign_in").await?;
    }
    let former = former::settle(gw, &mut tx, held, (user.id, identity.connection)).await?;
    let (session, cookie, code) =
        open_session(gw, &mut tx, identity, &terms.asked, (user.id, &admission, &former)).await?;
    let mut record = accepted_record(&user, identity, terms, (adopted, &former), &session);
    if let Former::Ended(ended, _) = &former {
        record = record.and(former::ended(*ended));
    }
    if lost {
        record = record.and(AuditEvent::done(Act::UserGroupsLost).on("user", user.id));
    }
    tx.commit(record).await?;
    if let Former::Ended(ended, revoked) = former {
        revoke::tell(gw, scope, Scope::Session(ended.id), revoked, None).await;
    }
    let text = cookie.reveal().clone();
    if let Some(live) = &gw.live {
        let digest = model::TokenDigest::of(&text);
        if let Err(error) = live.put_session(scope, &digest, &session).await {
            tracing::warn!(%error, "session not kept in redis; postgres has it");
        }
    }
    let lives_secs = session.expires_at.secs() - now.secs();
    Ok(Some(Admitted {
        org: scope.org(),
        asked: terms.asked.clone(),
        code,
        cookie: Some((cookie, lives_secs)),
    }))
}

/// Another app, the same living session: a code without a new sign-in. `head` is of the instant at which the
/// session was found alive: what ended the app's own things before then does not end this code.
pub async fn answer_again(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    asked: &AppRequest,
    (session, head): (&SessionRow, i64),
) -> Result<Admitted, FlowError> {
    let mut tx = gw.db.write(scope, "login.answer_again").await?;
    tx.touch_session(session.id).await?;
    let code = code::issue(tx.org(), gw.chance.as_ref());
    let (_, digest) = code::parse(code.reveal())?;
    let code_row = NewCode { rs: head, ..code_of(gw, asked, session, &digest, tx.now()) };
    tx.create_code(&code_row).await?;
    let event = AuditEvent::done(Act::LoginContinued)
        .on("user", session.user)
        .value("session", session.id.to_string())
        .value("app", asked.app.to_string());
    tx.commit(Record::of(event)).await?;
    Ok(Admitted { org: scope.org(), asked: asked.clone(), code, cookie: None })
}

async fn open_session(
    gw: &Gateway,
    tx: &mut TenantTx,
    identity: &AcceptedIdentity,
    asked: &AppRequest,
    (user, admission, former): (UserId, &Admission, &Former),
) -> Result<(SessionRow, Secret<String>, Secret<String>), FlowError> {
    let (org, now) = (tx.org(), tx.now());
    let absolute = admission.session_absolute_secs.map_or(gw.lifetimes.session_absolute_secs, i64::from);
    let policy = now.plus_secs(absolute);
    let expires_at = identity.until.map_or(policy, |until| until.min(policy));
    if expires_at <= now {
        return Err(Refusal::proven("login.session_already_over").into());
    }
    let raised = former.raised();
    let row = SessionRow {
        id: raised.unwrap_or_else(|| SessionId::new(now, gw.chance.as_ref())),
        user,
        connection: identity.connection,
        rs: admission.as_of.head,
        acr: identity.acr.clone(),
        amr: identity.amr.clone(),
        auth_time: identity.auth_time,
        created_at: now,
        seen_at: now,
        expires_at,
        ended_at: None,
    };
    let cookie = org_bearer(OrgBoundKind::Session, org, gw.chance.as_ref());
    let code = code::issue(org, gw.chance.as_ref());
    let (_, digest) = code::parse(code.reveal())?;
    let new = NewSession {
        id: row.id,
        user,
        connection: identity.connection,
        digest: &model::TokenDigest::of(cookie.reveal()),
        rs: row.rs,
        acr: row.acr.as_deref(),
        amr: &row.amr,
        auth_time: row.auth_time,
        expires_at,
        upstream: identity.session.as_deref(),
    };
    let new_code = code_of(gw, asked, &row, &digest, now);
    if raised.is_some() {
        tx.raise_session(&new).await?;
        tx.create_code(&new_code).await?;
    } else {
        tx.create_session(&new, &new_code).await?;
    }
    Ok((row, cookie, code))
}

fn code_of<'a>(
    gw: &Gateway,
    asked: &'a AppRequest,
    session: &SessionRow,
    digest: &'a model::TokenDigest,
    now: Timestamp,
) -> NewCode<'a> {
    NewCode {
        digest,
        session: session.id,
        user: session.user,
        app: asked.app,
        redirect_uri: &asked.redirect_uri,
        code_challenge: &asked.code_challenge,
        nonce: asked.nonce.as_deref(),
        scope: &asked.scope,
        resource: asked.resource.as_deref(),
        said: session.sign_in(),
        rs: session.rs,
        expires_at: now.plus_secs(gw.lifetimes.code_secs),
    }
}

fn accepted_record(
    user: &User,
    identity: &AcceptedIdentity,
    terms: &Terms,
    (adopted, former): (Adopted, &Former),
    session: &SessionRow,
) -> Record {
    let how = match adopted {
        Adopted::Known => "known",
        Adopted::Bound => "bound",
        Adopted::Made => "made",
    };
    let event = AuditEvent::done(Act::LoginAccepted)
        .on("user", user.id)
        .value("connection", identity.connection.to_string())
        .value("protocol", terms.protocol)
        .value("subject", identity.subject.clone())
        .value("seat", how)
        .value("session", session.id.to_string())
        .value("raised", former.raised().is_some())
        .value("app", terms.asked.app.to_string());
    let (attempt, _) = terms.attempt;
    // A session has one sign-in that opens it, and any number that raise it.
    let sign_in = former.raised().map_or_else(|| session.id.to_string(), |id| format!("{id}:{attempt}"));
    let month: String = session.created_at.to_string().chars().take(7).collect();
    let record = Record::of(event)
        .metered(Usage { meter: "auth.login", natural_key: sign_in, value: 1 })
        .metered(Usage { meter: "auth.mau", natural_key: format!("{}:{month}", user.id), value: 1 });
    match adopted {
        Adopted::Made => record.and(
            AuditEvent::done(Act::UserCreated)
                .on("user", user.id)
                .value("active", user.active)
                .value("connection", identity.connection.to_string()),
        ),
        Adopted::Bound => record.and(
            AuditEvent::done(Act::IdentityBound)
                .on("user", user.id)
                .value("name", normalised(&identity.subject)),
        ),
        Adopted::Known => record,
    }
}

/// Writes down a proven refusal. One before a proven signature is counted in memory (`refusals`).
pub async fn record_refusal(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    connection: ConnectionId,
    refusal: &Refusal,
    subject: Option<&str>,
) -> Result<(), FlowError> {
    match refusal.standing {
        Standing::Stranger => Ok(()),
        Standing::Proven => {
            tracing::info!(%connection, code = refusal.code, "sign-in refused");
            let mut event = AuditEvent::refused(Act::LoginRefused)
                .on("connection", connection)
                .value("code", refusal.code);
            if let Some(subject) = subject {
                event = event.value("subject", subject.to_owned());
            }
            for (name, value) in &refusal.facts {
                event = event.value(name, value.clone());
            }
            gw.db.write(scope, "login.refused").await?.commit(Record::of(event)).await?;
            Ok(())
        }
    }
}
