//! Before any handler: the request's id, which org its host belongs to, and after it the headers
//! that every answer wears.

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{self, BodySize, BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use broker::{FlowError, Gateway, gateway::host_name};
use model::{
    TokenDigest,
    ids::{EventId, KeyId},
};
use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};
use store::{Call, Door, GateError, OrgRef, OrgScope, ScimClient, ServiceGrant, live::Quota};
use tokio::{sync::Semaphore, time::sleep};
use tracing::{Instrument, Span, field::Empty};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a request is held, at least, that comes before the wait is over; so many are at once, the others are
/// answered at once.
const HELD_FOR: Duration = Duration::from_millis(100);
static HELD: Semaphore = Semaphore::const_new(1_024);
/// They are answered together, this far apart: a thread that wakes for each of them is in everybody's way.
const ANSWERED_EVERY: Duration = Duration::from_millis(20);
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What is known of a request before its handler runs.
#[derive(Clone, Debug)]
pub struct Facts {
    pub call: Call,
    /// The org whose own host this is.
    pub host_org: Option<OrgRef>,
}

/// The facts that the guard left. Every request passes the guard, so a request without them is made
/// up: it gets ones that open nothing.
pub fn facts(req: &HttpRequest) -> Facts {
    req.extensions().get::<Facts>().cloned().unwrap_or_else(|| Facts {
        call: Call {
            request_id: "unguarded".to_owned(),
            ip: None,
            user_agent: None,
            at: model::Timestamp::from_secs(0),
        },
        host_org: None,
    })
}

/// Takes one request out of the buckets of a proven credential and its org. Without Redis nothing
/// is limited. Errors: `rate_limited`.
pub async fn limited<D: Door>(
    req: &HttpRequest,
    gw: &Gateway,
    scope: &OrgScope<D>,
    credential: (KeyId, &TokenDigest),
) -> Result<(), FlowError> {
    let Some(live) = &gw.live else { return Ok(()) };
    let Some(quota) = live.throttle(scope, credential, &gw.rates).await else { return Ok(()) };
    told(req, quota)
}

/// The same for a service account, whose secret was proven. Errors: `rate_limited`.
pub async fn limited_service(
    req: &HttpRequest,
    gw: &Gateway,
    grant: &ServiceGrant,
    digest: &TokenDigest,
) -> Result<(), FlowError> {
    let Some(live) = &gw.live else { return Ok(()) };
    let Some(quota) = live.throttle_service(grant, digest, &gw.rates).await else { return Ok(()) };
    told(req, quota)
}

/// Before any look-up: a credential that was proven and told to wait, and asks before that is over, is told so again
/// after a moment: who asks anew with each answer, on however many connections, costs little. Errors: `rate_limited`.
pub async fn waited(req: &HttpRequest, gw: &Gateway, digest: &TokenDigest) -> Result<(), FlowError> {
    let Some(waiter) = gw.live.as_ref().and_then(|live| live.waits(digest)) else { return Ok(()) };
    if let Ok(_place) = HELD.try_acquire() {
        sleep(held_for(BEGAN.elapsed())).await;
    }
    // Whoever hung up meanwhile is no entry of the log, which would be one of its own.
    super::witness::waits(req, &waiter);
    wait(req, waiter.quota)
}

/// How long one is held that comes so long after the first.
fn held_for(since: Duration) -> Duration {
    let (due, every) = (since.saturating_add(HELD_FOR), ANSWERED_EVERY.as_nanos());
    let past = u64::try_from(due.as_nanos() % every).unwrap_or(0);
    HELD_FOR.saturating_add(ANSWERED_EVERY).saturating_sub(Duration::from_nanos(past))
}

/// Where as many requests of an org's directories wait as may, a credential that asks often is told to wait as well, and
/// costs as little from then on; one that asks seldom has its place in the line. Errors: `rate_limited`.
pub fn in_line(
    req: &HttpRequest,
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    digest: &TokenDigest,
) -> Result<(), FlowError> {
    let Some(live) = gw.live.as_ref().filter(|live| live.asks_often(digest)) else { return Ok(()) };
    if !gw.db.is_backed_up(scope) {
        return Ok(());
    }
    let quota = req.extensions().get::<Quota>().copied();
    wait(req, live.stand_off(scope, digest, quota).quota)
}

/// Refuses, with what is known of the buckets.
fn wait(req: &HttpRequest, quota: Option<Quota>) -> Result<(), FlowError> {
    if let Some(quota) = quota {
        told(req, quota)?;
    }
    Err(FlowError::Limited { retry_after_secs: 1 })
}

fn told(req: &HttpRequest, quota: Quota) -> Result<(), FlowError> {
    req.extensions_mut().insert(quota);
    match quota.retry_after_secs {
        None => Ok(()),
        Some(retry_after_secs) => Err(FlowError::Limited { retry_after_secs }),
    }
}

fn tell_quota(response: &mut ServiceResponse<impl MessageBody>) {
    let Some(quota) = response.request().extensions().get::<Quota>().copied() else { return };
    let told = [
        ("x-ratelimit-limit", quota.limit),
        ("x-ratelimit-remaining", quota.remaining),
        ("x-ratelimit-reset", quota.reset_secs),
    ];
    for (name, value) in told {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

pub async fn guard(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let gw = req.app_data::<Data<Gateway>>().cloned();
    let request_id = req
        .headers()
        .get(REQUEST_ID)
        .and_then(|v| v.to_str().ok())
        .filter(|id| is_request_id(id))
        .map(str::to_owned);
    let (call, host_org, is_own, span) = match &gw {
        Some(gw) => {
            let at = gw.now();
            let call = Call {
                request_id: request_id.unwrap_or_else(|| EventId::new(at, gw.chance.as_ref()).to_string()),
                ip: req.peer_addr().map(|a| a.ip().to_string()),
                user_agent: req
                    .headers()
                    .get(header::USER_AGENT)
                    .and_then(|v| v.to_str().ok())
                    .map(|ua| ua.chars().take(300).collect()),
                at,
            };
            // The Host header alone: what a proxy forwards may be anybody's word.
            let host =
                req.uri().authority().map_or_else(|| host_header(&req), |authority| authority.as_str());
            let (name, span) = (host_name(host), span(&req, &call.request_id));
            let is_own = name == gw.links.host();
            // What is answered for an app goes to the app's own host, which speaks for no org.
            let org = if is_own || is_for_app(req.path()) {
                None
            } else {
                host_org(gw, &name, &call).instrument(span.clone()).await
            };
            (call, org, is_own, span)
        }
        None => {
            return next.call(req).await.map(ServiceResponse::map_into_right_body::<BoxBody>);
        }
    };
    let (began, method) = (Instant::now(), req.method().clone());
    // HEAD is a GET whose answer is sent without its body (RFC 9110 9.3.2): the same doors, scopes and
    // effects. The server below knows what was asked, and sends the head alone.
    if method == Method::HEAD {
        req.head_mut().method = Method::GET;
    }
    let id = HeaderValue::from_str(&call.request_id).unwrap_or(HeaderValue::from_static("invalid"));
    req.extensions_mut().insert(Facts { call, host_org });
    let mut response = next.call(req).instrument(span.clone()).await?;
    tell_quota(&mut response);
    let status = response.status().as_u16();
    let pattern = response.request().match_pattern();
    tracing::record_all!(span, status = status, route = pattern.as_deref());
    super::metrics::count(&method, pattern.as_deref(), status, began.elapsed());
    if status == 405
        && !response.headers().contains_key(header::ALLOW)
        && let Some(allowed) = super::methods::allowed(response.request().path())
        && let Ok(allowed) = HeaderValue::from_str(&allowed)
    {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if gw.is_some_and(|gw| gw.links.is_https()) && !pattern.as_deref().is_some_and(is_for_app) {
        let said = HeaderValue::from_static(transport_security(is_own));
        headers.insert(header::STRICT_TRANSPORT_SECURITY, said);
    }
    // A stream would be waited for, to send nothing of it.
    if method == Method::HEAD && response.response().body().size() == BodySize::Stream {
        return Ok(response.map_body(|_, _| EitherBody::left(BoxBody::new(body::None::new()))));
    }
    Ok(response.map_into_right_body())
}

/// What every line of this request's log says. The gate fills in the org, of which plan (`tier`) and
/// region, when a door has opened. An error's span, so that no level of the log leaves it out.
fn span(req: &ServiceRequest, request_id: &str) -> Span {
    tracing::error_span!(
        "request",
        request_id,
        method = req.method().as_str(),
        route = Empty,
        org = Empty,
        tier = Empty,
        region = Empty,
        status = Empty
    )
}

fn host_header(req: &ServiceRequest) -> &str {
    req.headers().get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The contract's form of a caller's own request id.
fn is_request_id(id: &str) -> bool {
    (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A proxy passes the answer on as the app's own: what of transport holds for that host is the app's to say.
fn is_for_app(path: &str) -> bool {
    path.starts_with("/proxy/") || path.starts_with("/forward-auth")
}

/// RFC 6797 6.1. What stands below the public URL's own host is the operator's; below an org's host are
/// names of the customer's, and they are not ours to bind.
const fn transport_security(is_own: bool) -> &'static str {
    if is_own { "max-age=31536000; includeSubDomains" } else { "max-age=31536000" }
}

async fn host_org(gw: &Gateway, name: &str, call: &Call) -> Option<OrgRef> {
    if name == "localhost" || name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    match gw.db.visitor_by_host(name, call).await {
        Ok(scope) => Some(OrgRef::Id(scope.org())),
        Err(GateError::Closed(_) | GateError::Unknown) => None,
        Err(GateError::Store(error)) => {
            tracing::error!(%error, "host not resolved");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_held_is_answered_together_with_others_and_not_before() {
        for millis in [0, 1, 19, 20, 21, 99, 100, 123_456] {
            let since = Duration::from_millis(millis) + Duration::from_micros(7);
            let held = held_for(since);
            assert!((HELD_FOR..=HELD_FOR + ANSWERED_EVERY).contains(&held), "{held:?}");
            assert_eq!((since + held).as_nanos() % ANSWERED_EVERY.as_nanos(), 0);
        }
    }
}
