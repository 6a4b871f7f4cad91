//! A SAML Response arrives at a connection's assertion consumer service. It is held to this
//! browser, org, connection and request; trust is read now, not when the sign-in began; only signed
//! bytes are read.

use crate::{
    FlowError, Gateway,
    admit::{self, Outcome, Terms},
    arrive::{self, Arrival},
    attempt::LoginAttempt,
    begin::SamlConfig,
    refusals,
};
use model::{
    Refusal, Timestamp,
    ids::{AttemptId, ConnectionId},
    user::AcceptedIdentity,
};
use saml::{Expectation, Limits, Requested, TrustedCerts};
use store::{Call, ConnectionKind, ConnectionState, OrgRef, OrgScope, Visitor};

/// The POST as the face took it apart.
pub struct PostedAnswer<'a> {
    pub connection: ConnectionId,
    pub saml_response: &'a str,
    pub relay_state: Option<&'a str>,
    /// The attempt's cookie of this browser, by its name.
    pub cookie: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The org that owns the request's host, if one does.
    pub host_org: Option<&'a OrgRef>,
}

/// A Response of this size is judged in less time than another thread takes to wake.
const JUDGED_HERE_BYTES: usize = 32 * 1024;

/// Where a Response leads.
#[derive(Debug)]
pub enum Finished {
    Judged(Outcome),
    /// Nobody asked for it, and the connection allows that: no session, but a way on.
    Arrived(Arrival),
}

pub async fn finish(gw: &Gateway, posted: PostedAnswer<'_>, call: &Call) -> Result<Finished, FlowError> {
    let scope = gw.db.visitor_by_connection(posted.connection, call).await?;
    if let Some(host_org) = posted.host_org
        && gw.db.visitor(host_org, call).await?.org() != scope.org()
    {
        return Err(FlowError::Missing);
    }
    let connection = posted.connection;
    let done = judged(gw, &scope, posted, call).await;
    refusals::note(gw, &scope, connection, "saml", &done);
    done
}

async fn judged(
    gw: &Gateway,
    scope: &OrgScope<Visitor>,
    posted: PostedAnswer<'_>,
    call: &Call,
) -> Result<Finished, FlowError> {
    let asked_for = posted.relay_state.and_then(|text| text.parse::<AttemptId>().ok());
    let attempt = asked_for.map(|id| {
        let cookie = (posted.cookie)(&crate::attempt::cookie_name(id));
        LoginAttempt::open(gw, id, cookie.as_deref(), posted.connection, call.at)
    });
    let attempt = attempt.transpose()?;
    // The seal binds attempt to connection, the connection to its org; asked again all the same.
    if attempt.as_ref().is_some_and(|attempt| attempt.org != scope.org()) {
        return Err(Refusal::stranger("login.attempt_other_org").into());
    }
    let connection = gw
        .db
        .connection(scope, posted.connection)
        .await?
        .filter(|c| c.kind == ConnectionKind::Saml)
        .ok_or(FlowError::Missing)?;
    if connection.state != ConnectionState::Enabled {
        return Err(Refusal::stranger("login.connection_disabled").into());
    }
    let config = SamlConfig::of(&connection)?;
    let requested = match &attempt {
        Some(attempt) => Requested::InResponseTo(attempt.request_id.clone()),
        None if config.allow_idp_initiated => Requested::Unsolicited,
        None => return Err(Refusal::stranger("login.attempt_unknown").into()),
    };
    let seats = config.seats();
    let (form_value, size) = (posted.saml_response.to_owned(), posted.saml_response.len());
    let links = gw.links.clone();
    let (con, now) = (connection.id, call.at);
    let asked = Asked { requested, since: attempt.as_ref().and_then(|a| a.authenticated_since(now)) };
    let judge = move || judge(&form_value, &config, asked, con, &links, now);
    let judged = if size <= JUDGED_HERE_BYTES {
        judge()
    } else {
        tokio::task::spawn_blocking(judge).await.map_err(|e| FlowError::Fault(e.to_string()))?
    };
    match (judged, attempt) {
        (Ok(identity), Some(attempt)) => {
            let terms = Terms::of(attempt, "saml", seats);
            Ok(Finished::Judged(admit::admit(gw, scope, identity, terms).await?))
        }
        (Ok(identity), None) => Ok(Finished::Arrived(arrive::by_saml(gw, scope, &identity).await?)),
        (Err(refusal), _) => {
            admit::record_refusal(gw, scope, posted.connection, &refusal, None).await?;
            Err(refusal.into())
        }
    }
}

/// What the answer must answer.
struct Asked {
    requested: Requested,
    /// The person was authenticated at or after this instant.
    since: Option<Timestamp>,
}

fn judge(
    form_value: &str,
    config: &SamlConfig,
    asked: Asked,
    connection: ConnectionId,
    links: &crate::Links,
    now: Timestamp,
) -> Result<AcceptedIdentity, Refusal> {
    let trust = TrustedCerts::from_pem_or_der_base64(&config.certificates)?;
    let attribute_map = config.attribute_map.map();
    let (audience, acs_url) = (links.saml_entity_id(connection), links.saml_acs(connection));
    let expect = Expectation {
        connection,
        idp_entity_id: &config.idp_entity_id,
        audience: &audience,
        acs_url: &acs_url,
        requested: asked.requested,
        authenticated_since: asked.since,
        clock_skew_secs: saml::CLOCK_SKEW_SECS_DEFAULT,
        attribute_map: &attribute_map,
        groups_attribute: config.groups_attribute.as_deref(),
    };
    saml::receive(form_value, &Limits::default())?.verify(&trust)?.accept(&expect, now)
}
