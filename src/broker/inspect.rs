//! Is this token, is this session still good? Answered from Postgres' truth in one trip:
//! introspection, userinfo, and the browser's own session at `/oauth2/authorize`.

use crate::{FlowError, Gateway, redeem::given};
use model::{
    Refusal, TokenDigest,
    claims::ExtraClaim,
    ids::{OrgId, ServiceId},
    revocation::Scope,
};
use store::{Call, Client, Door, GateError, MintRow, OrgScope, Visitor, live::Seen, scopes_of};
use token::{
    access::{self, AccessClaims, Person, Whose},
    credential::{CredentialKind, CredentialText},
};

/// A browser's cookie, well-formed and no more.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    pub org: OrgId,
    pub digest: TokenDigest,
}

impl BrowserSession {
    pub fn read(cookie: &str) -> Option<Self> {
        let text = CredentialText::parse(CredentialKind::Session, cookie).ok()?;
        Some(Self { org: text.org?, digest: text.digest })
    }
}

/// A token that is good now, and what stands behind it.
#[derive(Debug)]
pub enum Live {
    Person(Box<LivePerson>),
    Service(Box<LiveService>),
}

#[derive(Debug)]
pub struct LivePerson {
    pub claims: AccessClaims,
    pub person: Person,
    pub row: MintRow,
}

#[derive(Debug)]
pub struct LiveService {
    pub claims: AccessClaims,
    pub service: ServiceId,
    pub name: String,
}

/// Why a session or token is over, or `None` while it lives. `born` is its own stamp.
pub fn over(row: &MintRow, watermark: i64, born: i64, now: model::Timestamp) -> Option<&'static str> {
    if !row.active {
        Some("user_inactive")
    } else if row.session.ended_at.is_some() {
        Some("session_ended")
    } else if row.session.expires_at <= now {
        Some("session_expired")
    } else if watermark > born {
        Some("revoked")
    } else if !row.connection_enabled {
        Some("connection_disabled")
    } else {
        None
    }
}

/// The browser's session at this org, if it lives and was used within the idle time, and all that a token of it
/// would say, what is chosen besides among it.
pub async fn living(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    cookie: &BrowserSession,
    chosen: &[ExtraClaim],
) -> Result<Option<MintRow>, FlowError> {
    if cookie.org != scope.org() {
        return Ok(None);
    }
    let seen = match &gw.live {
        Some(live) => live.session(scope, &cookie.digest).await,
        None => Seen::Unknown,
    };
    living_if(gw, (scope, &cookie.digest), &seen, chosen).await
}

/// The same, where Redis was asked before; what it takes for alive is asked of Postgres.
pub(crate) async fn living_if(
    gw: &Gateway,
    (scope, digest): (&OrgScope<Visitor>, &TokenDigest),
    seen: &Seen,
    chosen: &[ExtraClaim],
) -> Result<Option<MintRow>, FlowError> {
    if *seen == Seen::Dead {
        return Ok(None);
    }
    let mut tx = gw.db.read(scope, "session.check").await?;
    let Some(session) = tx.session_by_digest(digest).await? else { return Ok(None) };
    let named = scopes_of(session.id, session.user, session.connection, None);
    let absolute_secs = gw.lifetimes.session_absolute_secs;
    let Some(row) = tx.mint_row(session.id, &named, absolute_secs, chosen).await? else { return Ok(None) };
    let now = scope.now();
    let alive = over(&row, row.terminated, row.session.rs, now).is_none();
    let idle_secs = row.idle_secs.map_or(gw.lifetimes.session_idle_secs, i64::from);
    let idle = now.secs() - row.session.seen_at.secs() >= idle_secs;
    Ok((alive && !idle).then_some(row))
}

/// What a token of ours says of itself: its signature and times hold, and no more.
pub async fn read(gw: &Gateway, jwt: &str, call: &Call) -> Result<Option<AccessClaims>, FlowError> {
    let ring = gw.keys.ring(&gw.db).await?;
    Ok(access::verify(jwt, &ring, gw.links.issuer(), call.at).ok())
}

/// An access token for an app that asks about it. A token of another app's audience, of an org the
/// app does not serve, dead or malformed: all the same `None`.
pub async fn introspect(
    gw: &Gateway,
    client: &Client,
    claims: AccessClaims,
    call: &Call,
) -> Result<Option<Live>, FlowError> {
    let own = match &claims.whose {
        Whose::Person(person) => person.client_id == client.app.id,
        Whose::Service(_) => false,
    };
    if !own && claims.audience != client.app.audience {
        return Ok(None);
    }
    // A token that this app may ask about and another was given: that one has to be there still.
    if let Whose::Person(person) = &claims.whose
        && !own
    {
        match gw.db.client(person.client_id, Some(claims.org)).await?.map(|app| app.open(claims.org, call)) {
            Some(Ok(_)) => {}
            None | Some(Err(GateError::Unknown | GateError::Closed(_))) => return Ok(None),
            Some(Err(GateError::Store(error))) => return Err(error.into()),
        }
    }
    let scope = match client.open(claims.org, call) {
        Ok(scope) => scope,
        Err(GateError::Unknown | GateError::Closed(_)) => return Ok(None),
        Err(GateError::Store(error)) => return Err(error.into()),
    };
    match claims.whose.clone() {
        Whose::Person(person) => {
            Ok(alive(gw, &scope, claims, *person).await?.map(|live| Live::Person(Box::new(live))))
        }
        Whose::Service(service) => {
            // For this app, whose own end is its end too.
            let named =
                [Scope::Org, Scope::Service(service), Scope::App(client.app.id)].map(|one| one.to_string());
            let row = gw.db.service_row(&scope, service, &named).await?;
            let living = row.filter(|row| row.revoked <= claims.rs);
            Ok(living.map(|row| Live::Service(Box::new(LiveService { claims, service, name: row.name }))))
        }
    }
}

/// The bearer of an access token, about themselves. Errors: `token.…`; `token.scope` without `openid`,
/// `token.no_person` for a service account's, `token.audience` for one that is for another app.
pub async fn userinfo(gw: &Gateway, jwt: &str, call: &Call) -> Result<LivePerson, FlowError> {
    let ring = gw.keys.ring(&gw.db).await?;
    let claims = access::verify(jwt, &ring, gw.links.issuer(), call.at)?;
    let person = match claims.whose.clone() {
        Whose::Person(person) => *person,
        Whose::Service(_) => return Err(Refusal::proven("token.no_person").into()),
    };
    if !given(&person.scope, "openid") {
        return Err(Refusal::proven("token.scope").with("needed", "openid").into());
    }
    let gone = || FlowError::from(Refusal::proven("token.revoked"));
    let client = gw.db.client(person.client_id, Some(claims.org)).await?.ok_or_else(gone)?;
    // Made for another app's interface: whoever it is shown to there must not learn more by it here.
    if claims.audience != client.app.audience {
        return Err(Refusal::proven("token.audience").into());
    }
    let scope = match client.subject(claims.org, person.user, person.session, call) {
        Ok(scope) => scope,
        Err(GateError::Unknown | GateError::Closed(_)) => return Err(gone()),
        Err(GateError::Store(error)) => return Err(error.into()),
    };
    alive(gw, &scope, claims, person).await?.ok_or_else(gone)
}

async fn alive<D: Door>(
    gw: &Gateway,
    scope: &OrgScope<D>,
    claims: AccessClaims,
    person: Person,
) -> Result<Option<LivePerson>, FlowError> {
    let named = scopes_of(person.session, person.user, person.connection, Some(person.client_id));
    let absolute_secs = gw.lifetimes.session_absolute_secs;
    let row = gw.db.mint_row(scope, person.session, &named, absolute_secs).await?;
    let Some(row) = row else { return Ok(None) };
    let bound = row.session.user == person.user && row.session.connection == person.connection;
    if !bound || over(&row, row.revoked, claims.rs, scope.now()).is_some() {
        return Ok(None);
    }
    Ok(Some(LivePerson { claims, person, row }))
}
