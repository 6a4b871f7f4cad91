//! Sees what directories ask of `/scim` and what they are answered, and hands it to the request log: also
//! what no handler sees (too many requests, a body that is too long, another method), and a connection that
//! breaks before the answer. What showed no credential of a directory is nobody's, and is not kept. It keeps the
//! chunks that a handler reads, reads none itself, and lets nothing wait.

use super::{doors, guard::facts};
use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{Method, header},
    middleware::Next,
    web::{Bytes, Data},
};
use broker::Gateway;
use futures_core::Stream;
use model::ids::{DirectoryId, Id, KeyId, Kind, LoggedId, OrgId};
use scim::{Problem, ScimError, dialect, redact};
use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};
use store::{
    BulkSeen, Call, KeptBody, NewLogged, OrgScope, RequestBodies, RequestHead, ScimClient, live::Waiter,
};

/// Of each body.
const BODY_KEPT_BYTES: usize = 16 * 1_024;
const PATH_KEPT_BYTES: usize = 512;
const QUERY_KEPT_BYTES: usize = 2_048;
/// Of a user agent or a refusal's words, which are bounded in characters already.
const LINE_KEPT_BYTES: usize = 2_048;
const METHOD_KEPT_BYTES: usize = 20;
/// Whom a request names, of each kind.
const NAMED_MAX: usize = 100;
/// A body is heard this far: one that is longer than may be is still shown from its beginning.
const HEARD_BYTES_MAX: usize = dialect::BODY_BYTES_MAX;

/// Whose request it is.
#[derive(Clone, Copy)]
struct Proven {
    org: OrgId,
    directory: DirectoryId,
    key: KeyId,
}

impl Proven {
    fn by(scope: &OrgScope<ScimClient>) -> Self {
        Self { org: scope.org(), directory: scope.door().directory, key: scope.door().key }
    }
}

/// Where the door says whose it is.
#[derive(Clone, Default)]
struct Badge(Rc<Cell<Option<Proven>>>);

/// Says that this request showed a directory's credential.
pub(super) fn proven(req: &HttpRequest, scope: &OrgScope<ScimClient>) {
    if let Some(badge) = req.extensions().get::<Badge>() {
        badge.0.set(Some(Proven::by(scope)));
    }
}

/// Says that a directory's credential was shown which was proven before, and waits.
pub(super) fn waits(req: &HttpRequest, waiter: &Waiter) {
    if let (Some(badge), Some(directory)) = (req.extensions().get::<Badge>(), waiter.directory) {
        badge.0.set(Some(Proven { org: waiter.org, directory, key: waiter.key }));
    }
}

/// How many resources a list has: left on the answer by whoever lists.
pub(super) struct Found(pub(super) u64);

#[derive(Default)]
struct Heard {
    chunks: Vec<Bytes>,
    bytes: usize,
}

/// A body that is overheard while a handler reads it.
struct Overheard {
    payload: Payload,
    heard: Rc<RefCell<Heard>>,
}

impl Stream for Overheard {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.payload).poll_next(cx);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            let mut heard = self.heard.borrow_mut();
            if heard.bytes <= HEARD_BYTES_MAX {
                heard.chunks.push(chunk.clone());
            }
            heard.bytes = heard.bytes.saturating_add(chunk.len());
        }
        polled
    }
}

/// One request, until it is answered.
struct Seen {
    gw: Data<Gateway>,
    call: Call,
    method: Method,
    path: String,
    query: String,
    dry_run: bool,
    began: Instant,
    badge: Badge,
    heard: Rc<RefCell<Heard>>,
    is_told: bool,
}

/// What it was answered.
struct Answered {
    status: u16,
    refusal: Option<ScimError>,
    found: Option<i64>,
    bulk: Option<BulkSeen>,
    location: String,
    body: Bytes,
}

pub async fn witness(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let gw = req.app_data::<Data<Gateway>>().filter(|_| super::of_scim(req.path())).cloned();
    let Some(gw) = gw else { return Ok(next.call(req).await?.map_into_left_body()) };
    let seen = Seen::begin(&mut req, gw);
    let response = next.call(req).await?;
    let mut body = Bytes::new();
    let response = response.map_body(|_, whole| match whole.try_into_bytes() {
        Ok(bytes) => {
            body = bytes.clone();
            BoxBody::new(bytes)
        }
        Err(streamed) => BoxBody::new(streamed),
    });
    seen.end(&response, body);
    Ok(response.map_into_right_body())
}

impl Seen {
    fn begin(req: &mut ServiceRequest, gw: Data<Gateway>) -> Self {
        let (badge, heard) = (Badge::default(), Rc::<RefCell<Heard>>::default());
        match req.take_payload() {
            Payload::None => {}
            payload => {
                let overheard = Overheard { payload, heard: heard.clone() };
                req.set_payload(Payload::Stream { payload: Box::pin(overheard) });
            }
        }
        req.extensions_mut().insert(badge.clone());
        Self {
            gw,
            call: facts(req.request()).call,
            method: req.method().clone(),
            path: req.path().to_owned(),
            query: req.query_string().to_owned(),
            dry_run: doors::wants_rehearsal(req.request()),
            began: Instant::now(),
            badge,
            heard,
            is_told: false,
        }
    }

    fn end(mut self, response: &ServiceResponse<BoxBody>, body: Bytes) {
        self.is_told = true;
        let (request, answer) = (response.request(), response.response());
        let extensions = answer.extensions();
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let answered = Answered {
            status: answer.status().as_u16(),
            refusal: extensions.get::<ScimError>().cloned(),
            found: extensions.get::<Found>().map(|found| i64::try_from(found.0).unwrap_or(i64::MAX)),
            bulk: extensions.get::<BulkSeen>().cloned(),
            location: location.unwrap_or_default().to_owned(),
            body,
        };
        if let Some(proven) = self.badge.0.get() {
            let entry = || self.entry(proven, Some(&answered));
            if answered.refusal.as_ref().is_some_and(|refusal| refusal.code == Problem::Throttled.code()) {
                self.gw.requests.add_throttled(proven.org, proven.directory, entry);
            } else {
                self.gw.requests.add(proven.org, entry());
            }
            return;
        }
        // Where nobody asks for a credential, as at discovery, it is looked up when all is answered.
        let shown = doors::shown(request).ok().filter(|_| answered.status != 401);
        let Some((credential, form)) = shown else { return };
        let slug = request.match_info().get("slug").map(str::to_owned);
        actix_web::rt::spawn(async move {
            let opened = self.gw.db.scim_client_of_late(&credential.digest, form, &self.call).await;
            if let Ok(scope) = opened.as_ref()
                && doors::agrees(&credential, scope, slug.as_deref())
            {
                let proven = Proven::by(scope);
                self.gw.requests.add(proven.org, self.entry(proven, Some(&answered)));
            }
        });
    }

    fn entry(&self, proven: Proven, answered: Option<&Answered>) -> NewLogged {
        let heard = self.heard.borrow();
        let sent = match heard.chunks.as_slice() {
            [whole] => whole.clone(),
            chunks => Bytes::from(chunks.concat()),
        };
        let query = redact::query(&self.query, QUERY_KEPT_BYTES);
        let request = (heard.bytes > 0).then(|| redact::body(&sent, BODY_KEPT_BYTES));
        let quotable = query.quotable || request.as_ref().is_some_and(|request| request.quotable);
        let shown = |said: &str| redact::detail(said, LINE_KEPT_BYTES, quotable);
        let mut bulk = answered.and_then(|answered| answered.bulk.clone());
        for failure in bulk.iter_mut().flat_map(|bulk| &mut bulk.failures) {
            failure.detail = shown(&failure.detail);
        }
        // What a bulk request made is named in its answer; what another did, by its location.
        let told = answered.filter(|_| bulk.is_some()).map(|answered| answered.body.as_ref());
        let location = answered.map(|answered| answered.location.as_bytes());
        let naming = [self.path.as_bytes(), self.query.as_bytes(), &sent].into_iter();
        let naming: Vec<&[u8]> = naming.chain(told).chain(location).collect();
        let refusal = answered.and_then(|answered| answered.refusal.as_ref());
        let failures = || bulk.iter().flat_map(|bulk| &bulk.failures).map(|one| one.code.as_str());
        let code = refusal.map(|refusal| refusal.code).or_else(|| failures().next()).map(str::to_owned);
        let is_held = |code: &str| code == Problem::Held.code();
        let held = code.as_deref().into_iter().chain(failures()).any(is_held);
        NewLogged {
            id: LoggedId::new(self.call.at, self.gw.chance.as_ref()),
            at: self.call.at,
            directory: proven.directory,
            key: proven.key,
            method: redact::line(self.method.as_str(), METHOD_KEPT_BYTES),
            status: answered.map(|answered| answered.status),
            code,
            request_id: self.call.request_id.clone(),
            duration_ms: i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX),
            dry_run: self.dry_run,
            held,
            lost_before: 0,
            times: 1,
            users: named(&naming),
            head: RequestHead {
                path: redact::line(&self.path, PATH_KEPT_BYTES),
                query: (!self.query.is_empty()).then_some(query.text),
                user_agent: self.call.user_agent.as_deref().map(|text| redact::line(text, LINE_KEPT_BYTES)),
                scim_type: refusal.and_then(|refusal| refusal.scim_type).map(str::to_owned),
                detail: refusal.map(|refusal| shown(&refusal.said())),
                groups: named(&naming),
                found: answered.and_then(|answered| answered.found),
                bulk,
            },
            bodies: RequestBodies {
                request: request.map(|request| kept(request, heard.bytes)),
                answer: answered.and_then(|answered| self.answer(answered, quotable)),
            },
        }
    }

    /// What a read shows is the directory itself: only its refusal is kept.
    fn answer(&self, answered: &Answered, quotable: bool) -> Option<KeptBody> {
        let reads = self.method == Method::GET || self.path.ends_with("/.search");
        let is_told = !answered.body.is_empty() && (answered.status >= 400 || !reads);
        let excerpt = || redact::answer(&answered.body, BODY_KEPT_BYTES, quotable);
        is_told.then(|| kept(excerpt(), answered.body.len()))
    }
}

/// The connection broke: nobody is answered.
impl Drop for Seen {
    fn drop(&mut self) {
        if let Some(proven) = self.badge.0.get().filter(|_| !self.is_told) {
            self.gw.requests.add(proven.org, self.entry(proven, None));
        }
    }
}

/// `bytes` is what was sent, of which this is the beginning.
fn kept(body: redact::Excerpt, bytes: usize) -> KeptBody {
    KeptBody { text: body.text, bytes: u32::try_from(bytes).unwrap_or(u32::MAX), cut: body.cut }
}

/// The ids of a kind in these texts, in their order.
fn named<K: Kind>(texts: &[&[u8]]) -> Vec<Id<K>> {
    let mut found = Vec::new();
    for text in texts {
        let text = String::from_utf8_lossy(text);
        for (at, prefix) in text.match_indices(K::PREFIX) {
            let rest = text.get(at + prefix.len()..).unwrap_or_default();
            let letters = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            let id = text.get(at..at + prefix.len() + letters).and_then(|id| id.parse().ok());
            found.extend(id.filter(|id| !found.contains(id)));
            if found.len() == NAMED_MAX {
                return found;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::{GroupId, UserId};
    use uuid::Uuid;

    #[test]
    fn whom_a_request_names_is_found_once_wherever_it_stands() {
        let [a, b] = [1, 2].map(|n| UserId::from_uuid(Uuid::from_u128(n)));
        let group = GroupId::from_uuid(Uuid::from_u128(3));
        let path = format!("/scim/v2/Groups/{group}");
        let body = format!(r#"{{"path":"members[value eq \"{b}\"]","value":["{a}","{b}","usr_x","{a}0"]}}"#);
        let texts = [path.as_bytes(), body.as_bytes()];
        assert_eq!((named::<model::ids::User>(&texts), named(&texts)), (vec![b, a], vec![group]));
        let many: String = (0..=NAMED_MAX as u128)
            .map(|n| format!("\"{}\",", UserId::from_uuid(Uuid::from_u128(n))))
            .collect();
        assert_eq!(named::<model::ids::User>(&[many.as_bytes()]).len(), NAMED_MAX);
    }
}
