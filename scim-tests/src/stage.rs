//! Where one case plays: it sends, remembers what was said for the report, makes users and groups
//! under names of its own, and takes away again whatever the case has made.

use crate::{
    case::{Exchange, Failure, Stop},
    expect,
    left::LeftBehind,
    look,
    server::{ENTERPRISE, GROUP, Server, USER},
    troupe::Troupe,
    wire::{Answer, Credential, Request, Wire},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::JoinSet,
};

/// What all cases of a run share.
pub struct Bench {
    pub wire: Wire,
    pub server: Server,
    /// Of the e-mail addresses and user names made.
    pub domain: String,
    /// Begins every name made, so that two runs at once never meet.
    pub tag: String,
    /// How many creations of one name the race sends.
    pub burst: usize,
    pub troupe: OnceCell<Result<Troupe, Box<Failure>>>,
}

/// A resource to be taken away at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub credential: Credential,
    pub path: String,
}

pub struct Stage {
    pub bench: Arc<Bench>,
    /// Unique in the run; within every name that the case makes.
    pub tag: String,
    vars: BTreeMap<String, Value>,
    made: Vec<Made>,
    pub last: Option<Exchange>,
    /// Lines that are a SHOULD and were not met.
    pub missed: Vec<Failure>,
}

const MESSAGES: &str = "urn:ietf:params:scim:api:messages:2.0:";
/// Shorthands for URNs in scripts.
const URNS: [(&str, &str); 3] = [("User", USER), ("Group", GROUP), ("Enterprise", ENTERPRISE)];
const MESSAGE_NAMES: [&str; 6] =
    ["PatchOp", "BulkRequest", "BulkResponse", "SearchRequest", "ListResponse", "Error"];
/// Requests of a burst under way at a time: below the usual limit of open files.
const AT_ONCE: usize = 200;
/// Longest text that `${repeat:…}` makes.
const REPEATED_BYTES_MAX: usize = 24 << 20;

/// The URN of a message: `message("PatchOp")`.
pub fn message(name: &str) -> String {
    format!("{MESSAGES}{name}")
}

impl Stage {
    pub fn new(bench: Arc<Bench>, number: usize) -> Self {
        let tag = format!("{}-{number}", bench.tag);
        let mut vars: BTreeMap<String, Value> = BTreeMap::new();
        vars.extend(URNS.iter().map(|(name, urn)| ((*name).to_owned(), Value::from(*urn))));
        vars.extend(MESSAGE_NAMES.iter().map(|name| ((*name).to_owned(), message(name).into())));
        vars.insert("tag".into(), tag.clone().into());
        vars.insert("domain".into(), bench.domain.clone().into());
        vars.insert("base".into(), bench.wire.settings().base.clone().into());
        Self { bench, tag, vars, made: Vec::new(), last: None, missed: Vec::new() }
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.vars.insert(name.to_owned(), value);
    }

    /// A value set before, by its place: `ada.id`.
    pub fn get(&self, place: &str) -> Option<String> {
        let (name, path) = place.split_once('.').unwrap_or((place, "$"));
        let root = self.vars.get(name)?;
        let (path, _) = look::Path::parse(path).ok()?;
        path.find(root).first().map(|value| look::plain(value))
    }

    /// The text with every `${place}`, `${json:place}` (escaped for use within a JSON string) and
    /// `${repeat:N:text}` filled in; in its text, `%7D` is a closing brace.
    pub fn fill(&self, text: &str) -> Result<String, Stop> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (place, after) = after.split_once('}').ok_or_else(|| self.mistake("an open ${"))?;
            out.push_str(before);
            out.push_str(&self.value_of(place)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value_of(&self, place: &str) -> Result<String, Stop> {
        if let Some(repeat) = place.strip_prefix("repeat:") {
            let (times, what) = repeat.split_once(':').unwrap_or((repeat, "x"));
            let times: usize = times.parse().map_err(|_| self.mistake(place))?;
            let what = what.replace("%7D", "}");
            return Ok(what.repeat(times.min(REPEATED_BYTES_MAX / what.len().max(1))));
        }
        if let Some(place) = place.strip_prefix("json:") {
            let value = self.get(place).ok_or_else(|| self.mistake(place))?;
            let quoted = Value::from(value).to_string();
            return Ok(quoted
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
                .unwrap_or_default()
                .to_owned());
        }
        self.get(place).ok_or_else(|| self.blocked(&format!("{place} in an answer before"), "nothing"))
    }

    fn failure(&self, expected: &str, found: &str) -> Box<Failure> {
        let found = expect::shorten(found);
        Box::new(Failure { expected: expected.into(), found, exchange: self.last.clone() })
    }
    pub fn failed(&self, expected: &str, found: &str) -> Stop {
        Stop::Failed(self.failure(expected, found))
    }
    pub fn blocked(&self, expected: &str, found: &str) -> Stop {
        Stop::Blocked(self.failure(expected, found))
    }
    /// The case itself is wrong, not the server.
    pub fn mistake(&self, what: &str) -> Stop {
        self.blocked("a case without mistakes", what)
    }
    /// `Err` unless `met`.
    pub fn hold(&self, met: bool, expected: &str, found: &str) -> Result<(), Stop> {
        if met { Ok(()) } else { Err(self.failed(expected, found)) }
    }
    /// Notes an unmet SHOULD, and goes on.
    pub fn wish(&mut self, met: bool, expected: &str, found: &str) {
        if !met {
            self.missed.push(*self.failure(expected, found));
        }
    }

    /// Sends; no answer at all is the case's failure.
    pub async fn send(&mut self, mut request: Request) -> Result<Arc<Answer>, Stop> {
        request.path = self.bench.server.place(&request.path);
        let answer = self.bench.wire.send(&request).await.map(Arc::new);
        self.last = Some(Exchange { request: request.clone(), answer: answer.clone() });
        match answer {
            Ok(answer) => {
                self.remember(&request, &answer);
                Ok(answer)
            }
            Err(why) => Err(self.failed("an answer", &why)),
        }
    }

    /// Sends what must succeed before the case can say anything.
    pub async fn prepare(&mut self, request: Request) -> Result<Arc<Answer>, Stop> {
        let what = format!("{} {} to succeed first", request.method, request.path);
        match self.send(request).await {
            Ok(answer) if answer.is_success() => Ok(answer),
            Ok(answer) => Err(self.blocked(&what, &format!("{} {}", answer.status, answer.text))),
            Err(Stop::Failed(failure)) => Err(Stop::Blocked(failure)),
            Err(other) => Err(other),
        }
    }

    /// Sends all of them, many at a time, and remembers what they made.
    pub async fn burst(&mut self, mut requests: Vec<Request>) -> Vec<Result<Arc<Answer>, String>> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut running = JoinSet::new();
        for request in &mut requests {
            request.path = self.bench.server.place(&request.path);
            let (bench, places, request) = (self.bench.clone(), places.clone(), request.clone());
            running.spawn(async move {
                let _place = places.acquire().await;
                let answer = bench.wire.send(&request).await.map(Arc::new);
                (request, answer)
            });
        }
        let mut answers = Vec::new();
        while let Some(done) = running.join_next().await {
            let Ok((request, answer)) = done else {
                answers.push(Err("the runner lost it".into()));
                continue;
            };
            if let Ok(answer) = &answer {
                self.remember(&request, answer);
            }
            self.last = Some(Exchange { request, answer: answer.clone() });
            answers.push(answer);
        }
        answers
    }

    /// Puts down what a successful request has made.
    fn remember(&mut self, request: &Request, answer: &Answer) {
        if request.method != "POST" || !answer.is_success() || request.path.contains(".search") {
            return;
        }
        let endpoint = request.path.split('?').next().unwrap_or_default();
        let credential = request.credential;
        let id = look::text(answer.body(), "id");
        if !id.is_empty() {
            self.made.push(Made { credential, path: format!("{endpoint}/{id}") });
        } else if let Some(location) = answer.header("location").filter(|_| answer.status == 201) {
            self.made.push(Made { credential, path: location.to_owned() });
        }
        // Everything that a Bulk answer says was created.
        let operations = look::member(answer.body(), "Operations").and_then(Value::as_array);
        for one in operations.into_iter().flatten() {
            let created = look::text(one, "method").eq_ignore_ascii_case("POST");
            let location = look::text(one, "location");
            if created && !location.is_empty() {
                self.made.push(Made { credential, path: location.to_owned() });
            }
        }
    }

    /// A user's body: the usual one, with the members of `with` over it.
    pub fn user_body(&self, name: &str, with: &Value) -> Value {
        let user_name = format!("{}-{name}@{}", self.tag, self.bench.domain);
        let mut body = json!({
            "schemas": [USER], "userName": user_name, "displayName": format!("{name} of {}", self.tag),
            "name": {"givenName": name, "familyName": "Tester"}, "active": true,
            "emails": [{"value": user_name, "type": "work", "primary": true}],
        });
        look::merge(&mut body, with);
        if with.get("schemas").is_none() && look::member(with, ENTERPRISE).is_some() {
            look::merge(&mut body, &json!({"schemas": [USER, ENTERPRISE]}));
        }
        body
    }

    /// Makes a user; `${name.id}` and the rest of it are known from then on.
    pub async fn user(&mut self, name: &str, with: &Value, credential: Credential) -> Result<Value, Stop> {
        let body = self.user_body(name, with);
        self.make(name, "/Users", &body, credential).await
    }

    /// Makes a group with these members' ids.
    pub async fn group(
        &mut self,
        name: &str,
        with: &Value,
        members: &[String],
        credential: Credential,
    ) -> Result<Value, Stop> {
        let mut body = json!({"schemas": [GROUP], "displayName": format!("{} {name}", self.tag)});
        if !members.is_empty() {
            let list: Vec<Value> = members.iter().map(|id| json!({"value": id, "type": "User"})).collect();
            look::merge(&mut body, &json!({"members": list}));
        }
        look::merge(&mut body, with);
        self.make(name, "/Groups", &body, credential).await
    }

    async fn make(
        &mut self,
        name: &str,
        endpoint: &str,
        body: &Value,
        credential: Credential,
    ) -> Result<Value, Stop> {
        let answer = self.prepare(Request::new("POST", endpoint).json(body).by(credential)).await?;
        // What a server leaves out of the answer was still sent.
        let mut known = body.clone();
        look::merge(&mut known, answer.body());
        if look::text(&known, "id").is_empty() {
            return Err(self.blocked("an id in the answer to the creation", &answer.text));
        }
        self.set(name, known.clone());
        Ok(known)
    }

    /// Takes away what was made, newest first. Returns what could not be.
    pub async fn clean(&mut self) -> LeftBehind {
        let mut left = LeftBehind::default();
        while let Some(one) = self.made.pop() {
            left.take_away(&self.bench.wire, one.credential, &one.path).await;
        }
        left
    }
}
