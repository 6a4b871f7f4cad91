//! A customer's identity provider says that somebody's sessions are over: by a logout token, a Global Token
//! Revocation (Okta's Universal Logout) or a Security Event Token. Each is heard at one connection, in three
//! beats: its keys are read, its signature is judged, and what it ends is one transaction, by the one story
//! (`revoke`). Only people and sessions of that connection are meant, whatever it calls them.

use crate::{FlowError, Gateway, counted::SIGNALS, refusals, revoke, signal_source::Heeded};
use model::{
    Refusal, Timestamp,
    ids::{ConnectionId, DeprovisioningId, UserId},
    record::{Act, AuditEvent, Record},
    refusal::Standing,
    revocation::{Action, Scope},
};
use oidc::{
    provider::Jwks,
    signal::{
        About, Event, Expected, Happened, Once, Who, event_token, logout_token, revocation_body,
        revocation_token,
    },
};
use std::collections::BTreeSet;
use store::{Call, ConnectionState, OrgScope, Revoked, TenantTx, Upstream, Visitor};

/// Sessions of one person that are ended one by one; above it one row for the person is cheaper, and right.
const SESSIONS_ONE_BY_ONE: i64 = 200;
/// People of one address. Two is a mistake of the directory's already.
const PEOPLE_MAX: i64 = 10;

/// What came, as the face took it apart.
#[derive(Debug)]
pub enum Signal {
    /// OpenID Connect Back-Channel Logout 1.0, 2.5.
    Logout { token: String },
    /// draft-parecki-oauth-global-token-revocation, 3.
    Revocation { token: String, body: Vec<u8> },
    /// RFC 8935, 2.
    Event { token: String },
}

impl Signal {
    const fn form(&self) -> &'static str {
        match self {
            Self::Logout { .. } => "logout",
            Self::Revocation { .. } => "revocation",
            Self::Event { .. } => "event",
        }
    }
}

/// Believed: this connection's identity provider said it. What was wrong beside the signature is known, and
/// written down when it is obeyed.
#[derive(Debug)]
pub struct Heard {
    pub scope: OrgScope<Upstream>,
    form: &'static str,
    said: Result<Said, Refusal>,
    /// Whose subjects are this connection's.
    names: Vec<String>,
}

#[derive(Debug)]
struct Said {
    once: Once,
    what: What,
    /// An event's URI; of the others their form.
    kind: String,
}

#[derive(Debug)]
enum What {
    /// Sessions of the connection, and why.
    Sessions(About, &'static str),
    /// All of a person, and why.
    People(About, &'static str),
    Verification,
    Nothing(&'static str),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obeyed {
    Done,
    /// Nobody here is called so.
    Unknown,
}

/// Judges who spoke. Errors, before a proven signature: `not_found` (no such connection, or not enabled),
/// `signals.not_configured`, `signals.malformed`, `signals.header`, `signals.signature`, those of the keys.
pub async fn hear(
    gw: &Gateway,
    connection: ConnectionId,
    signal: Signal,
    call: &Call,
) -> Result<Heard, FlowError> {
    let scope = gw.db.visitor_by_connection(connection, call).await?;
    let form = signal.form();
    let heard = judged(gw, &scope, connection, &signal, call.at).await;
    match heard {
        Ok((names, said)) => Ok(Heard { scope: scope.proven(connection), form, said, names }),
        Err(error) => {
            if let FlowError::Refused(refusal) = &error {
                tracing::info!(%connection, code = refusal.code, form, "signal refused");
                refusals::count(gw, &scope, connection, refusal);
            }
            note(form, Err(&error));
            Err(error)
        }
    }
}

fn note(form: &'static str, done: Result<(), &FlowError>) {
    let (outcome, code) = match done {
        Ok(()) => ("accepted", ""),
        Err(FlowError::Refused(refusal)) => ("refused", refusal.code),
        Err(FlowError::Missing | FlowError::Closed(_)) => ("refused", "not_found"),
        Err(error) => ("failed", error.code()),
    };
    SIGNALS.add([form, outcome, code], 1);
}

type Judged = (Vec<String>, Result<Said, Refusal>);

async fn judged(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    connection: ConnectionId,
    signal: &Signal,
    now: Timestamp,
) -> Result<Judged, FlowError> {
    let found = gw.db.connection(scope, connection).await?.ok_or(FlowError::Missing)?;
    // What came in by one that is not enabled is over already, and its provider has no more to say.
    if found.state != ConnectionState::Enabled {
        return Err(FlowError::Missing);
    }
    let heeded = match signal {
        Signal::Logout { .. } => Heeded::provider(&found)?,
        Signal::Revocation { .. } | Signal::Event { .. } => Heeded::signaller(&found)?,
    };
    let heeded = heeded.ok_or_else(|| Refusal::stranger("signals.not_configured"))?;
    let kept = heeded.keys(gw, now, false).await?;
    let said = match read(gw, connection, &heeded, signal, (&kept, now)) {
        // The provider may have rolled its keys over since.
        Err(refusal) if refusal.code == "signals.signature" => {
            let anew = heeded.keys(gw, now, true).await?;
            read(gw, connection, &heeded, signal, (&anew, now))
        }
        read => read,
    };
    match said {
        Err(refusal) if refusal.standing == Standing::Stranger => Err(refusal.into()),
        said => Ok((heeded.names, said)),
    }
}

fn read(
    gw: &Gateway,
    connection: ConnectionId,
    heeded: &Heeded,
    signal: &Signal,
    (jwks, now): (&Jwks, Timestamp),
) -> Result<Said, Refusal> {
    let client_id = heeded.client_id.as_deref();
    let from = |audiences| Expected { issuer: &heeded.issuer, audiences };
    let kind = signal.form().to_owned();
    match signal {
        Signal::Logout { token } => {
            let own: Vec<&str> = client_id.into_iter().collect();
            let (about, once) = logout_token(token, jwks, from(&own), now)?;
            Ok(Said { once, what: What::Sessions(about, "backchannel_logout"), kind })
        }
        Signal::Revocation { token, body } => {
            let here = gw.links.revocation_endpoint(connection);
            let once = revocation_token(token, jwks, from(&[&here]), client_id, now)?;
            let about = About { who: Some(revocation_body(body)?), session: None };
            Ok(Said { once, what: What::People(about, "global_token_revocation"), kind })
        }
        Signal::Event { token } => {
            let here = gw.links.events_endpoint(connection);
            let mut own = vec![here.as_str()];
            own.extend(heeded.audience.as_deref());
            own.extend(client_id);
            let Event { kind, happened, about, once } = event_token(token, jwks, from(&own), now)?;
            let what = match (happened, about) {
                (Happened::Verification, _) => What::Verification,
                (Happened::Other, _) => What::Nothing("unknown_event"),
                (Happened::Ended(_), None) => What::Nothing("unread_subject"),
                // One of the provider's sessions is over, and not the person.
                (Happened::Ended(cause), Some(about)) if about.session.is_some() => {
                    What::Sessions(about, cause)
                }
                (Happened::Ended(cause), Some(about)) => What::People(about, cause),
            };
            Ok(Said { once, what, kind })
        }
    }
}

/// Ends what was said to be over, once. A token that comes again ends nothing: an event is acknowledged as
/// it was before (RFC 8935 2), the others are refused. Errors: `signals.replayed`, `signals.session_of_many`,
/// and those that came with what was heard.
pub async fn obey(gw: &Gateway, heard: Heard) -> Result<Obeyed, FlowError> {
    let Heard { scope, form, said, names } = heard;
    let done = match said {
        Ok(said) => obeyed(gw, &scope, form, said, &names).await,
        Err(refusal) => Err(refusal.into()),
    };
    note(form, done.as_ref().map(|_| ()));
    if let Err(FlowError::Refused(refusal)) = &done {
        record_refusal(gw, &scope, form, refusal).await?;
    }
    done
}

async fn record_refusal(
    gw: &Gateway,
    scope: &OrgScope<Upstream>,
    form: &'static str,
    refusal: &Refusal,
) -> Result<(), FlowError> {
    let mut event = AuditEvent::refused(Act::SignalRefused)
        .on("connection", scope.door().connection)
        .value("form", form)
        .value("code", refusal.code);
    for (name, value) in &refusal.facts {
        event = event.value(name, value.clone());
    }
    Ok(gw.db.write(scope, "signal.refused").await?.commit(Record::of(event)).await?)
}

/// What a commit has to tell afterwards.
type Told = (Scope, Revoked, Option<DeprovisioningId>);

async fn obeyed(
    gw: &Gateway,
    scope: &OrgScope<Upstream>,
    form: &'static str,
    said: Said,
    names: &[String],
) -> Result<Obeyed, FlowError> {
    let connection = scope.door().connection;
    let mut tx = gw.db.write(scope, "signal.obey").await?;
    let key = format!("signal:{connection}:{form}:{}", said.once.jti);
    if tx.first_use(&[(key, said.once.until)]).await?.is_none() {
        return match form {
            "event" => Ok(Obeyed::Done),
            _ => Err(Refusal::proven("signals.replayed").with("jti", &said.once.jti).into()),
        };
    }
    let on = |act| AuditEvent::done(act).on("connection", connection);
    let of = |event: AuditEvent| event.value("kind", said.kind.clone()).value("jti", said.once.jti.clone());
    let (told, events, obeyed) = match &said.what {
        What::Verification => (Vec::new(), vec![on(Act::SignalVerified)], Obeyed::Done),
        What::Nothing(why) => (Vec::new(), vec![on(Act::SignalIgnored).value("why", *why)], Obeyed::Done),
        What::Sessions(about, cause) => {
            ended_sessions(gw, &mut tx, connection, about, (names, cause)).await?
        }
        What::People(about, cause) => ended_people(gw, &mut tx, connection, about, (names, cause)).await?,
    };
    let mut events = events.into_iter().map(of);
    let nothing = || of(on(Act::SignalIgnored).value("why", "unknown_subject"));
    let mut record = Record::of(events.next().unwrap_or_else(nothing));
    record.more.extend(events);
    tx.commit(record).await?;
    for (about, revoked, receipt) in told {
        revoke::tell(gw, scope, about, revoked, receipt).await;
    }
    Ok(obeyed)
}

type Ends = (Vec<Told>, Vec<AuditEvent>, Obeyed);

/// Whom this connection calls so.
async fn people(
    tx: &mut TenantTx,
    connection: ConnectionId,
    who: &Who,
    names: &[String],
) -> Result<Vec<UserId>, FlowError> {
    let subject = match who {
        // In another issuer's name it may be anybody.
        Who::IssSub { iss, .. } if !names.contains(iss) => return Ok(Vec::new()),
        Who::IssSub { sub, .. } => sub,
        Who::Opaque(id) => id,
        Who::Email(address) => return Ok(tx.users_of_address(connection, address, PEOPLE_MAX).await?),
    };
    Ok(tx.user_of_subject(connection, subject).await?.into_iter().collect())
}

/// Everything of the person, whichever way it came in: sessions, refresh families, and access tokens.
async fn ended_people(
    gw: &Gateway,
    tx: &mut TenantTx,
    connection: ConnectionId,
    about: &About,
    (names, cause): (&[String], &'static str),
) -> Result<Ends, FlowError> {
    let Some(who) = &about.who else { return Ok((Vec::new(), Vec::new(), Obeyed::Unknown)) };
    let found = people(tx, connection, who, names).await?;
    end_all(gw, tx, &found, cause).await
}

async fn end_all(
    gw: &Gateway,
    tx: &mut TenantTx,
    found: &[UserId],
    cause: &'static str,
) -> Result<Ends, FlowError> {
    let (mut told, mut events) = (Vec::new(), Vec::new());
    for user in tx.lock_users(found).await? {
        let ended = revoke::end_person(gw, tx, user, cause, None).await?;
        let event = AuditEvent::done(Act::UserSessionsRevoked).on("user", user);
        events.push(event.value("cause", cause).value("receipt", ended.receipt.to_string()));
        told.push((ended.about, ended.revoked, Some(ended.receipt)));
    }
    let obeyed = if told.is_empty() { Obeyed::Unknown } else { Obeyed::Done };
    Ok((told, events, obeyed))
}

/// Sessions that came in by this connection: of the person, of the provider's session, or of both.
async fn ended_sessions(
    gw: &Gateway,
    tx: &mut TenantTx,
    connection: ConnectionId,
    about: &About,
    (names, cause): (&[String], &'static str),
) -> Result<Ends, FlowError> {
    let unknown = (Vec::new(), Vec::new(), Obeyed::Unknown);
    let user = match &about.who {
        None => None,
        Some(who) => match people(tx, connection, who, names).await?.first() {
            Some(user) => Some(*user),
            None => return Ok(unknown),
        },
    };
    // Whoever signs in at this moment waits, or is found.
    let locked: Vec<UserId> = user.into_iter().collect();
    tx.lock_users(&locked).await?;
    let session = about.session.as_deref();
    let found = tx.sessions_at(connection, user, session, SESSIONS_ONE_BY_ONE.saturating_add(1)).await?;
    if i64::try_from(found.len()).is_ok_and(|count| count > SESSIONS_ONE_BY_ONE) {
        return match (user, session) {
            (Some(user), None) => end_all(gw, tx, &[user], cause).await,
            // No name of one session.
            (Some(_) | None, _) => Err(Refusal::proven("signals.session_of_many").into()),
        };
    }
    let others: BTreeSet<UserId> = found.iter().map(|(_, user)| *user).collect();
    tx.lock_users(&others.into_iter().collect::<Vec<_>>()).await?;
    let (mut told, mut events) = (Vec::new(), Vec::new());
    for (id, user) in found {
        tx.end_session(id).await?;
        let about = Scope::Session(id);
        told.push((about, tx.revoke(about, Action::Terminate, cause).await?, None));
        let event = AuditEvent::done(Act::SessionRevoked).on("session", id);
        events.push(event.value("user", user.to_string()).value("cause", cause));
    }
    let obeyed = if told.is_empty() { Obeyed::Unknown } else { Obeyed::Done };
    Ok((told, events, obeyed))
}
