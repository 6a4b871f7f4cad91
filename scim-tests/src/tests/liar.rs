//! A server in this process that speaks just enough SCIM to be wrong in: it makes, reads and deletes
//! users and groups, announces everything, and otherwise lies as it is told.

use crate::{look, wire::encode};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How it lies. The first four do so from the first request on, the others only beyond making,
/// reading and deleting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// 200 and `{}` to everything.
    Agrees,
    /// 500 and a page of HTML.
    Breaks,
    /// 404.
    KnowsNothing,
    /// 400 with a scimType.
    Refuses,
    /// Answers 200 with the resource as it was, and every list with everything.
    DoesNothing,
    /// 500.
    Stumbles,
    /// 400.
    Declines,
    /// 404.
    Denies,
    /// 200 with an empty list.
    FindsNobody,
    /// As `DoesNothing`, and gives nothing that was made a second time.
    Forgets,
    /// Says that it has deleted, and keeps everything; finds by name.
    Hoards,
    /// Keeps what the other tenant has, lists it, and says why.
    Guards,
    /// Serves every value backwards, puts everybody into every group, and announces limits of nothing.
    Mangles,
}

impl Lie {
    /// All that are wrong in what the cases look at.
    pub(super) const ALL: [Self; 12] = [
        Self::Agrees,
        Self::Breaks,
        Self::KnowsNothing,
        Self::Refuses,
        Self::DoesNothing,
        Self::Stumbles,
        Self::Declines,
        Self::Denies,
        Self::FindsNobody,
        Self::Forgets,
        Self::Hoards,
        Self::Mangles,
    ];
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// It keeps much and shows little, so that the tests end soon.
const SHOWN_MAX: usize = 12;
const BODY_BYTES_MAX: usize = 1 << 20;

type Store = Arc<Mutex<BTreeMap<String, Value>>>;

struct Heard {
    method: String,
    path: String,
    authorized: bool,
    is_other: bool,
    body: Value,
}

struct Said {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Server {
    pub(super) async fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = Store::default();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let store = store.clone();
                tokio::spawn(async move { serve(stream, lie, &store, address).await });
            }
        });
        Self { address, task }
    }
}

async fn serve(stream: TcpStream, lie: Lie, store: &Store, address: SocketAddr) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let heard = hear(&mut stream).await?;
        let said = answer(lie, store, &heard, address);
        let kind = if lie == Lie::Breaks { "text/html" } else { "application/scim+json" };
        let location = said.location.map(|at| format!("Location: {at}\r\n")).unwrap_or_default();
        let tag = if lie == Lie::Mangles { "" } else { "ETag: W/\"1\"\r\n" };
        let whole = format!(
            "HTTP/1.1 {} Said\r\nContent-Type: {kind}\r\n{tag}{location}Content-Length: {}\r\n\r\n{}",
            said.status,
            said.body.len(),
            said.body
        );
        stream.write_all(whole.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
    }
}

async fn hear(stream: &mut BufReader<TcpStream>) -> Option<Heard> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut authorized, mut is_other) = (0, false, false);
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let header = header.trim();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        is_other |= value.ends_with("right-token-of-two");
        authorized |= name.eq_ignore_ascii_case("authorization");
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    // What is huge is not kept: every list would hold it.
    let body = if length > BODY_BYTES_MAX {
        Value::Null
    } else {
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    };
    Some(Heard { method, path, authorized, is_other, body })
}

fn say(status: u16, body: &Value) -> Said {
    Said { status, location: None, body: body.to_string() }
}

fn error(status: u16, kind: &str) -> Said {
    let schema = "urn:ietf:params:scim:api:messages:2.0:Error";
    say(
        status,
        &json!({"schemas": [schema], "status": status.to_string(), "scimType": kind, "detail": "so it is"}),
    )
}

fn answer(lie: Lie, store: &Store, heard: &Heard, address: SocketAddr) -> Said {
    match lie {
        Lie::Agrees => return say(200, &json!({})),
        Lie::Breaks => return Said { status: 500, location: None, body: "<html>".into() },
        Lie::KnowsNothing => return error(404, "none"),
        Lie::Refuses => return error(400, "invalidFilter"),
        _ => {}
    }
    let mut store = store.lock().unwrap();
    let path = heard.path.trim_start_matches("/scim").split('?').next().unwrap_or_default().to_owned();
    let makes = matches!(path.as_str(), "/Users" | "/Groups") && heard.method == "POST" && heard.authorized;
    let known = store.get(&path).cloned();
    let name = look::text(&heard.body, "userName");
    let taken = !name.is_empty() && store.values().any(|one| look::text(one, "userName") == name);
    match (heard.method.as_str(), known) {
        ("POST", _) if makes && taken && lie == Lie::Hoards => error(409, "uniqueness"),
        ("POST", _) if makes && heard.body.is_object() => make(lie, &mut store, &path, &heard.body, address),
        ("GET", Some(resource)) if lie == Lie::Mangles => say(200, &mangled(&resource, &store)),
        ("GET", Some(resource)) => say(200, &resource),
        ("DELETE", Some(resource)) if lie == Lie::Mangles => say(200, &resource),
        ("DELETE", Some(_)) if lie == Lie::Guards && heard.is_other => {
            say(403, &json!({"status": "403", "detail": "so many may go within an hour"}))
        }
        ("DELETE", Some(_)) => {
            if lie != Lie::Hoards {
                store.remove(&path);
            }
            Said { status: 204, location: None, body: String::new() }
        }
        ("GET", None) if document(&path).is_some() => {
            let mut document = document(&path).unwrap_or_default();
            if lie == Lie::Mangles && path == "/ServiceProviderConfig" {
                look::merge(
                    &mut document,
                    &json!({"bulk": {"supported": true, "maxOperations": 0},
                    "pagination": {"cursor": "perhaps"}}),
                );
            }
            say(200, &document)
        }
        ("GET", None) if lie == Lie::Guards => {
            say(200, &list(store.values().filter(|_| heard.is_other).cloned().collect()))
        }
        ("GET", None) if lie == Lie::Hoards => {
            let asked = |name: &str| !name.is_empty() && heard.path.contains(&encode(name));
            let named = |one: &&Value| asked(look::text(one, "userName"));
            say(200, &list(store.values().filter(named).cloned().collect()))
        }
        (_, known) => beyond(lie, &store, known),
    }
}

/// What it says to everything else.
fn beyond(lie: Lie, store: &BTreeMap<String, Value>, known: Option<Value>) -> Said {
    match lie {
        Lie::Stumbles => error(500, "none"),
        Lie::Declines => error(400, "invalidSyntax"),
        Lie::Denies => error(404, "none"),
        Lie::FindsNobody => say(200, &list(Vec::new())),
        _ => match known {
            Some(resource) => say(200, &resource),
            None => say(200, &list(store.values().take(SHOWN_MAX).cloned().collect())),
        },
    }
}

fn make(
    lie: Lie,
    store: &mut BTreeMap<String, Value>,
    path: &str,
    body: &Value,
    address: SocketAddr,
) -> Said {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let id = format!("{:032x}", MADE.fetch_add(1, Ordering::Relaxed));
    let at = format!("http://{address}/scim{path}/{id}");
    let mut resource = body.clone();
    let kind = path.trim_start_matches('/').trim_end_matches('s');
    let meta = json!({"resourceType": kind, "location": at, "version": "W/\"1\"",
        "created": "2026-01-01T00:00:00Z", "lastModified": "2026-01-01T00:00:00Z"});
    if let Some(members) = resource.as_object_mut() {
        members.insert("id".into(), id.clone().into());
        members.insert("meta".into(), meta);
    }
    if lie != Lie::Forgets || store.is_empty() {
        store.insert(format!("{path}/{id}"), resource.clone());
    }
    if lie == Lie::Mangles && path == "/Groups" {
        look::merge(&mut resource, &json!({"members": everybody(store)}));
    }
    Said { location: Some(at), ..say(201, &resource) }
}

fn everybody(store: &BTreeMap<String, Value>) -> Vec<Value> {
    let user = |one: &Value| json!({"value": look::text(one, "id"), "display": look::text(one, "userName")});
    store.values().rev().take(SHOWN_MAX).map(user).collect()
}

/// Every text backwards, every boolean turned; a group has everybody in it.
fn mangled(resource: &Value, store: &BTreeMap<String, Value>) -> Value {
    match resource {
        Value::String(text) => text.chars().rev().collect::<String>().into(),
        Value::Bool(flag) => (!flag).into(),
        Value::Array(list) => list.iter().skip(1).map(|one| mangled(one, store)).collect(),
        Value::Object(members) => {
            let mut members: serde_json::Map<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), mangled(value, store))).collect();
            if !members.contains_key("userName") && members.contains_key("displayName") {
                members.insert("members".into(), everybody(store).into());
            }
            Value::Object(members)
        }
        other => other.clone(),
    }
}

fn list(resources: Vec<Value>) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": resources.len(),
        "startIndex": 1, "itemsPerPage": resources.len(), "Resources": resources})
}

/// The discovery documents: everything is announced.
fn document(path: &str) -> Option<Value> {
    let yes = json!({"supported": true});
    match path {
        "/ServiceProviderConfig" => Some(json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
            "patch": yes, "sort": yes, "etag": yes, "changePassword": yes,
            "filter": {"supported": true, "maxResults": 1},
            "bulk": {"supported": true, "maxOperations": 3, "maxPayloadSize": 5000},
            "pagination": {"cursor": true, "index": true}, "authenticationSchemes": [],
        })),
        "/ResourceTypes" => Some(list(vec![
            json!({"schema": crate::server::USER, "id": "User", "endpoint": "/Users",
                "schemaExtensions": [{"schema": crate::server::ENTERPRISE, "required": false}]}),
            json!({"schema": crate::server::GROUP, "id": "Group", "endpoint": "/Groups"}),
        ])),
        "/Schemas" => Some(list(vec![
            schema(crate::server::USER, USER_ATTRIBUTES),
            schema(crate::server::GROUP, &["displayName", "members[value,$ref,type,display]"]),
            schema(
                crate::server::ENTERPRISE,
                &["employeeNumber", "costCenter", "department", "manager{value}"],
            ),
        ])),
        _ => None,
    }
}

const USER_ATTRIBUTES: &[&str] = &[
    "userName",
    "displayName",
    "nickName",
    "title",
    "userType",
    "locale",
    "preferredLanguage",
    "profileUrl",
    "timezone",
    "active",
    "name{formatted,familyName,givenName,middleName}",
    "emails[value,type,primary,display]",
    "phoneNumbers[value,type,primary]",
    "addresses[formatted,type,country]",
    "roles[value,type,primary]",
    "groups[value]",
];

/// A schema from names: `name{…}` is complex, `emails[…]` a list of such.
fn schema(id: &str, names: &[&str]) -> Value {
    let attributes: Vec<Value> = names
        .iter()
        .map(|text| {
            let (name, subs) = text.split_once(['{', '[']).unwrap_or((text, ""));
            let subs: Vec<Value> = subs
                .trim_end_matches(['}', ']'])
                .split(',')
                .filter(|sub| !sub.is_empty())
                .map(|sub| json!({"name": sub, "type": "string", "mutability": "immutable"}))
                .collect();
            let kind = if subs.is_empty() { "string" } else { "complex" };
            json!({"name": name, "type": kind, "multiValued": text.contains('['), "subAttributes": subs,
                "required": name == "userName", "caseExact": false})
        })
        .collect();
    json!({"id": id, "name": id, "attributes": attributes})
}
