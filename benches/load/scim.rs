//! SCIM create and `active:false` over 32 orgs and in one, and the same statements by pgbench, in one run.

use crate::{
    gateway::{CLIENTS, Cost, Gateway, Until},
    stage::{post, text},
    table::{head, row},
    wire::Wire,
};
use hyper::{Method, body::Bytes};
use model::ids::{DirectoryId, OrgId};
use serde_json::{Value, json};
use std::{
    process::Command,
    sync::{Arc, Mutex},
};

const ORGS: usize = 32;

/// An org with one directory, whose guard is off.
#[derive(Clone)]
pub struct Org {
    pub wire: Arc<Wire>,
    pub org: OrgId,
    pub directory: DirectoryId,
    pub token: String,
}

impl Org {
    pub async fn make(gateway: &Gateway, http: &reqwest::Client, key: &str, slug: &str) -> Self {
        let api = format!("{}/api/v1/orgs", gateway.base);
        post(http, api, key, json!({"slug": slug, "name": "SCIM"})).await;
        Self::at(gateway, http, key, slug).await
    }

    /// An org that is there is given a directory.
    pub async fn at(gateway: &Gateway, http: &reqwest::Client, key: &str, slug: &str) -> Self {
        let api = format!("{}/api/v1/orgs", gateway.base);
        let found = http.get(format!("{api}/{slug}")).bearer_auth(key).send().await.unwrap();
        let org = text(&found.json().await.unwrap(), "id");
        let body = json!({"name": "Okta", "blast_guard": "off"});
        let directory = text(&post(http, format!("{api}/{org}/directories"), key, body).await, "id");
        let tokens = format!("{api}/{org}/directories/{directory}/tokens");
        let token = text(&post(http, tokens, key, json!({})).await, "token");
        Self {
            wire: Arc::new(Wire::to(&gateway.base)),
            org: org.parse().unwrap(),
            directory: directory.parse().unwrap(),
            token,
        }
    }

    /// The status and what is said. `path` is below the service's own.
    pub async fn asks(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Bytes) {
        let (bearer, path) = (format!("Bearer {}", self.token), format!("/scim/v2{path}"));
        let said = [("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
        let body = body.map(ToString::to_string);
        let headers = if body.is_some() { &said[..] } else { &said[..1] };
        let answer = self.wire.ask(method, &path, headers, body.unwrap_or_default().as_bytes()).await;
        (answer.0.as_u16(), answer.1)
    }

    /// What is answered, which has this status.
    pub async fn scim(&self, method: Method, path: &str, body: Option<&Value>, wanted: u16) -> Value {
        let (status, said) = self.asks(method, path, body).await;
        assert_eq!(status, wanted, "{path}: {said:?}");
        if said.is_empty() { Value::Null } else { serde_json::from_slice(&said).unwrap() }
    }

    /// Whom `userName eq` finds.
    pub async fn find(&self, name: &str) -> u64 {
        let filter =
            form_urlencoded::byte_serialize(format!("userName eq \"{name}\"").as_bytes()).collect::<String>();
        let path = format!("/Users?filter={filter}&startIndex=1&count=100");
        self.scim(Method::GET, &path, None, 200).await["totalResults"].as_u64().unwrap()
    }

    /// A person as Okta sends one; answers the id.
    pub async fn create(&self, name: &str) -> String {
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name,
            "externalId": format!("00u{name}"), "active": true, "locale": "en-US", "groups": [],
            "name": {"givenName": "Ada", "familyName": "Lovelace"}, "displayName": "Ada Lovelace",
            "emails": [{"value": name, "type": "work", "primary": true}]});
        text(&self.scim(Method::POST, "/Users", Some(&body), 201).await, "id")
    }

    /// Asks for somebody new, of whom it says the name alone; the status.
    pub async fn asks_for_one_more(&self) -> u16 {
        let name = format!("{}@more.example", uuid::Uuid::now_v7());
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name});
        self.asks(Method::POST, "/Users", Some(&body)).await.0
    }

    pub async fn patch(&self, path: &str, operations: &Value, wanted: u16) {
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": operations});
        self.scim(Method::PATCH, path, Some(&body), wanted).await;
    }
}

pub async fn run(gateway: &Gateway, http: &reqwest::Client, key: &str, secs: u64) {
    let mut orgs = Vec::new();
    for n in 0..ORGS {
        orgs.push(Org::make(gateway, http, key, &format!("scim{n}")).await);
    }
    head(&format!("SCIM, {CLIENTS} clients"));
    for (orgs, aim) in [(&orgs[..], "3,000 /cpu-s; half of pgbench"), (&orgs[..1], "reported")] {
        let of = if orgs.len() == 1 { "in one org".to_owned() } else { format!("over {} orgs", orgs.len()) };
        let (orgs, made) = (Arc::new(orgs.to_vec()), Arc::new(Mutex::new(Vec::new())));
        let (o, m, tag) = (orgs.clone(), made.clone(), orgs.len());
        let creates = gateway
            .cost(&format!("create {of}"), CLIENTS, Until::Secs(secs), move |n| {
                let (o, m) = (o.clone(), m.clone());
                async move {
                    let at = n as usize % o.len();
                    let id = o[at].create(&format!("user{n}@acme{tag}.example")).await;
                    m.lock().unwrap().push((at, id));
                }
            })
            .await;
        let time = format!("--time={secs}");
        let limit = pgbench(gateway, &orgs, include_str!("create.sql"), &[&time]);
        beside(&format!("create {of}"), &creates, limit, "saml-jackson 307", aim);
        let (o, m) = (orgs.clone(), made.clone());
        let count = made.lock().unwrap().len() as u64;
        let patches = gateway
            .cost(&format!("active:false {of}"), CLIENTS, Until::Done(count), move |_| {
                let (at, id) = m.lock().unwrap().pop().unwrap();
                let org = o[at].clone();
                async move {
                    let operations = json!([{"op": "replace", "value": {"active": false}}]);
                    org.patch(&format!("/Users/{id}"), &operations, 200).await;
                }
            })
            .await;
        pgbench(gateway, &orgs, include_str!("fill.sql"), &["--transactions=1", "--client=1"]);
        let limit = pgbench(gateway, &orgs, include_str!("deactivate.sql"), &[&time]);
        beside(&format!("active:false {of}"), &patches, limit, "saml-jackson 505", aim);
    }
}

fn beside(what: &str, ours: &Cost, pgbench: f64, peer: &str, aim: &str) {
    let limit = format!("pgbench {pgbench:.0} /s: {:.2} of it", ours.ran.rate() / pgbench);
    row(what, &ours.told(), &limit, peer, aim);
}

/// Transactions a second of pgbench, by the server's own role and as many clients, a script an org.
fn pgbench(gateway: &Gateway, orgs: &[Org], script: &str, how: &[&str]) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let once = how.iter().any(|word| word.starts_with("--transactions"));
    let mut runs = Vec::new();
    for (n, org) in orgs.iter().enumerate() {
        let filled = script
            .replace("{org}", &org.org.uuid().to_string())
            .replace("{dir}", &org.directory.uuid().to_string())
            .replace("{digest}", &hex(model::TokenDigest::of(&org.token).bytes()));
        let path = folder.path().join(format!("{n}.sql"));
        std::fs::write(&path, filled).unwrap();
        runs.push(path);
    }
    // What fills runs once for each org, what measures takes the orgs by lot.
    let batches: Vec<&[std::path::PathBuf]> = if once { runs.chunks(1).collect() } else { vec![&runs] };
    let mut tps = 0.0;
    for batch in batches {
        let mut command = Command::new("pgbench");
        command.args(["--no-vacuum", "--protocol=prepared"]);
        if !once {
            command.args(["--jobs=2".to_owned(), format!("--client={CLIENTS}")]);
        }
        command.args(how);
        command.args(batch.iter().flat_map(|path| ["--file".as_ref(), path.as_os_str()]));
        let done =
            command.env("PGOPTIONS", "-c role=vst_app -c search_path=vst").arg(gateway.database()).output();
        let done = done.expect("pgbench is installed");
        let said = String::from_utf8_lossy(&done.stdout);
        let told = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        tps = told.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&done.stderr)));
    }
    tps
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
