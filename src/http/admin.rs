//! What every handler of `/api/v1` does alike: ask the door, read the body and refuse what it does not
//! know, run the story to its end, give a repeated key its answer again. The credential
//! is looked at before anything else of the request.

use super::{
    DoorKind,
    client_auth::confidential,
    doors,
    guard::facts,
    openapi::{Operation, Verb, operations},
    problem::Problem,
    shielded,
    told::{Reply, Told},
};
use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::StatusCode,
    web::{self, Bytes, Data},
};
use broker::{
    FlowError, Gateway,
    feed::Follower,
    idempotent::{self, Answer, Key},
};
use model::{
    Timestamp,
    ids::{Id, Kind},
    members::Members,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
    future::{Ready, ready},
    sync::Arc,
};
use store::{Administrator, Call, Door, Operator, OrgRef, OrgScope};

/// The most that a body may have, `limits.body_bytes_max`.
#[derive(Clone, Copy, Debug)]
pub struct BodyBytesMax(pub usize);

pub(super) const TOO_LARGE: &str = "api.body_too_large";
/// What an error repeats of the caller's own words.
const ECHO_CHARS_MAX: usize = 200;

/// One request, taken apart.
pub struct Ask {
    pub(super) req: HttpRequest,
    pub(super) gw: Arc<Gateway>,
    operation: &'static Operation,
    query: Vec<(String, String)>,
    payload: Cell<Option<web::Payload>>,
    body: OnceCell<Body>,
}

/// A body as it arrived.
enum Body {
    Whole(Bytes),
    TooLarge { bytes_max: usize },
    Late,
}

impl FromRequest for Ask {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Self::begun(req, payload))
    }
}

impl Ask {
    fn begun(req: &HttpRequest, payload: &mut Payload) -> Result<Self, Problem> {
        let fault = |why: &str| Problem::of(req, FlowError::Fault(why.to_owned()));
        let payload =
            web::Payload::from_request(req, payload).into_inner().map_err(|_| fault("no payload"))?;
        let gw = req.app_data::<Data<Gateway>>().cloned().ok_or_else(|| fault("no gateway"))?;
        let pattern = req.match_pattern().unwrap_or_default();
        let operation = operations()
            .find(|o| o.path == pattern && o.verb.as_str() == req.method().as_str())
            .ok_or_else(|| fault("no such operation"))?;
        let query = form_urlencoded::parse(req.query_string().as_bytes()).into_owned().collect();
        let (payload, body) = (Cell::new(Some(payload)), OnceCell::new());
        Ok(Self { gw: gw.into_inner(), operation, query, payload, body, req: req.clone() })
    }
}

impl Ask {
    pub(super) fn refuse(&self, error: impl Into<FlowError>) -> Problem {
        Problem::of(&self.req, error.into())
    }

    pub fn call(&self) -> Call {
        facts(&self.req).call
    }

    pub fn gateway(&self) -> Arc<Gateway> {
        self.gw.clone()
    }

    /// The org in the path, through the door that the table names.
    pub async fn org(&self) -> Result<OrgScope<Administrator>, Problem> {
        let org = self.text("org");
        let scope = match self.operation.door {
            DoorKind::Platform => {
                let by = self.platform().await?;
                self.gw
                    .db
                    .administrator(by, &OrgRef::read(org), &self.call())
                    .await
                    .map_err(|e| self.refuse(e))
            }
            DoorKind::Org | DoorKind::Open | DoorKind::Client | DoorKind::Bearer | DoorKind::Scim => {
                doors::administrator(&self.req, &self.gw, org, self.operation.scope)
                    .await
                    .map_err(|e| self.refuse(e))
            }
        }?;
        self.known_query()?;
        self.read_body().await;
        Ok(scope)
    }

    pub async fn platform(&self) -> Result<Operator, Problem> {
        let by = doors::platform(&self.req, &self.gw).await.map_err(|e| self.refuse(e))?;
        self.known_query()?;
        self.read_body().await;
        Ok(by)
    }

    /// The app that asks, and by what it does.
    pub async fn client(&self) -> Result<Follower, Problem> {
        let (client, standing) = confidential(&self.req, &self.gw).await.map_err(|e| self.refuse(e))?;
        self.known_query()?;
        self.read_body().await;
        Ok(Follower { app: client.app.id, standing })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.req.headers().get(name)?.to_str().ok()
    }

    /// Behind the door: what a stranger sends is not kept in memory.
    async fn read_body(&self) {
        let Some(payload) = self.payload.take() else { return };
        // Without a setting nothing is read.
        let bytes_max = self.req.app_data::<BodyBytesMax>().map_or(0, |setting| setting.0);
        let body = match payload.to_bytes_limited(bytes_max).await {
            Ok(Ok(bytes)) => Body::Whole(bytes),
            Ok(Err(_)) => Body::Late,
            Err(_) => Body::TooLarge { bytes_max },
        };
        // Taken once, so set once.
        let _ = self.body.set(body);
    }

    fn bytes(&self) -> Result<&[u8], FlowError> {
        match self.body.get() {
            Some(Body::Whole(bytes)) => Ok(bytes),
            Some(Body::TooLarge { bytes_max }) => {
                let most = format!("at most {bytes_max} bytes");
                Err(FlowError::invalid(TOO_LARGE, "body", most))
            }
            Some(Body::Late) => {
                Err(FlowError::invalid("api.body_late", "body", "it did not arrive whole in time"))
            }
            None => Err(FlowError::Fault("the body was asked for before the door".to_owned())),
        }
    }

    fn known_query(&self) -> Result<(), Problem> {
        for (at, (name, value)) in self.query.iter().enumerate() {
            if value.contains('\0') {
                return Err(self.refuse(FlowError::invalid(
                    "api.query_malformed",
                    echo(name),
                    "no NUL byte",
                )));
            }
            if !self.operation.query.contains(&name.as_str()) {
                let right = match self.operation.query {
                    [] => "this call takes no parameters".to_owned(),
                    known => format!("this call knows: {}", known.join(", ")),
                };
                return Err(self.refuse(FlowError::invalid("api.query_unknown", echo(name), right)));
            }
            if self.query.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(self.refuse(FlowError::invalid("api.query_twice", echo(name), "once")));
            }
        }
        Ok(())
    }

    /// A part of the path, as it stands.
    pub fn text(&self, name: &str) -> &str {
        self.req.match_info().get(name).unwrap_or_default()
    }

    /// An id in the path; what is no id names nothing.
    pub fn id<K: Kind>(&self, name: &str) -> Result<Id<K>, Problem> {
        self.text(name).parse().map_err(|_| self.refuse(FlowError::Missing))
    }

    pub fn query(&self, name: &str) -> Option<String> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    pub fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let read = |text: String| Timestamp::parse_rfc3339(&text);
        self.query(name).map(read).transpose().map_err(|_| self.wrong(name, "an RFC 3339 time with its zone"))
    }

    /// A query field that cannot be read.
    pub fn wrong(&self, field: &'static str, right: &'static str) -> Problem {
        self.refuse(FlowError::invalid("api.query_malformed", field, right))
    }

    /// The body, an object. Unknown fields are refused by name.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.read::<Members<T>>().map(|Members(read)| read)
    }

    /// The body, a list.
    pub fn items<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.read()
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let bytes = self.bytes().map_err(|error| self.refuse(error))?;
        serde_json::from_slice(bytes).map_err(|error| self.refuse(misread(&error.to_string())))
    }

    fn key(&self) -> Result<Option<Key>, FlowError> {
        if self.operation.verb != Verb::Post {
            return Ok(None);
        }
        let Some(header) = self.req.headers().get("Idempotency-Key") else { return Ok(None) };
        let body = self.bytes()?;
        let asked = format!("{} {}\n{}", self.req.method(), self.req.uri(), String::from_utf8_lossy(body));
        Key::read(header.to_str().unwrap_or_default(), &asked).map(Some)
    }

    /// Runs a story to its end and renders what it gave; a repeated key gets its first answer.
    pub async fn answer<D, T, F, Fut>(&self, scope: OrgScope<D>, story: F) -> Reply<T>
    where
        D: Door + Clone,
        T: Serialize,
        F: FnOnce(Arc<Gateway>, OrgScope<D>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, FlowError>> + Send,
    {
        let key = self.key().map_err(|e| self.refuse(e))?;
        let (gw, status) = (self.gw.clone(), self.operation.status);
        let answer = shielded(async move {
            let told = story(gw.clone(), scope.clone());
            let rendered = async move { rendered(status, &told.await?) };
            match key {
                Some(key) => idempotent::once(&gw, &scope, &key, rendered).await,
                None => rendered.await,
            }
        })
        .await
        .map_err(|e| self.refuse(e))?;
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        response.insert_header(("Cache-Control", "no-store"));
        Ok(Told::assertion(match answer.body.is_empty() {
            true => response.finish(),
            false => response.content_type("application/json").body(answer.body),
        }))
    }

    /// Runs a story whose result needs its own rendering.
    pub fn told<T: Send + 'static>(
        &self,
        story: impl Future<Output = Result<T, FlowError>> + Send + 'static,
    ) -> impl Future<Output = Result<T, Problem>> {
        let running = shielded(story);
        async { running.await.map_err(|e| self.refuse(e)) }
    }
}

fn rendered(status: u16, told: &impl Serialize) -> Result<Answer, FlowError> {
    let body = if status == 204 { Ok(String::new()) } else { serde_json::to_string(told) };
    Ok(Answer { status, body: body.map_err(|e| FlowError::Fault(e.to_string()))? })
}

fn echo(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(ECHO_CHARS_MAX).collect()
}

/// serde names the field in its own words; they are taken apart here and pinned by a test.
fn misread(error: &str) -> FlowError {
    let named =
        |lead: &str| error.split_once(lead).and_then(|(_, rest)| rest.split_once('`')).map(|(n, _)| n);
    let (code, field): (_, Cow<'static, str>) = if let Some(name) = named("unknown field `") {
        ("api.field_unknown", echo(name).into())
    } else if let Some(name) = named("missing field `") {
        ("api.field_missing", echo(name).into())
    } else if let Some(name) = named("duplicate field `") {
        ("api.field_twice", echo(name).into())
    } else {
        ("api.body_malformed", "body".into())
    };
    FlowError::invalid(code, field, echo(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::{administer_connection::NewConnection, administer_people::NewTeam};
    use serde_json::json;

    fn field_and_code<T: DeserializeOwned>(text: &str) -> (String, &'static str) {
        let Err(error) = serde_json::from_str::<T>(text) else { panic!("read") };
        match misread(&error.to_string()) {
            FlowError::Invalid { code, field, .. } => (field.into_owned(), code),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_field_at_fault_is_named() {
        let team = field_and_code::<NewTeam>;
        assert_eq!(team(r#"{"slug":"a","name":"b","x":1}"#), ("x".into(), "api.field_unknown"));
        assert_eq!(team(r#"{"slug":"a"}"#), ("name".into(), "api.field_missing"));
        assert_eq!(team(r#"{"slug":"a","slug":"b","name":"c"}"#), ("slug".into(), "api.field_twice"));
        assert_eq!(team("{"), ("body".into(), "api.body_malformed"));
        assert_eq!(team(""), ("body".into(), "api.body_malformed"));
        let connection = field_and_code::<NewConnection>;
        let more = r#"{"type":"saml","name":"a","allow_everything":true}"#;
        assert_eq!(connection(more), ("allow_everything".into(), "api.field_unknown"));
        assert_eq!(connection(r#"{"name":"a"}"#), ("type".into(), "api.field_missing"));
    }

    #[test]
    fn a_done_deed_without_content_has_no_body() {
        assert_eq!(rendered(204, &()).unwrap(), Answer { status: 204, body: String::new() });
        assert_eq!(rendered(201, &json!({"id": 1})).unwrap().body, r#"{"id":1}"#);
    }
}
