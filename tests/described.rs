//! `GET /api/openapi.json` held to the service: each operation is sent as it is described, with its
//! own examples and query fields, on an org and things of its own, and answers the status it promises and
//! the fields that are described. What it says of errors is held to docs/REFUSALS.md.

use crate::{
    administer_calls::all_of,
    administer_platform::another_key,
    house::{
        House, Tenant,
        dns::Zone,
        house,
        served::{Reply, Served},
        shape,
        walk::{claims, text, tokens},
    },
};
use idp_fixtures::{OidcIdp, OidcIdpSettings};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What the examples name, and what stands for it here.
struct Stage {
    tenant: Tenant,
    metadata: Served,
    /// An OpenID issuer, one for all.
    issuer: String,
}

impl Stage {
    async fn set(house: &'static House, issuer: &str) -> Self {
        let tenant = house.tenant().await;
        let xml = tenant.idp.metadata_xml();
        let metadata = Served::start(move |_| Reply::text("application/xml", xml.clone())).await;
        Self { tenant, metadata, issuer: issuer.to_owned() }
    }

    async fn made(&self, house: &House, path: &str, body: Value) -> Value {
        let path = format!("/orgs/{}{path}", self.tenant.org);
        let (status, made) = house.api("POST", &house.platform_key, &path, Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {status} {made}");
        made
    }

    /// An example of the document, with what can be reached instead of what is only named.
    fn real(&self, example: &Value, team: &str) -> Value {
        let xml = self.tenant.idp.metadata_xml();
        let certificate = xml.split("X509Certificate>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let slug = self.tenant.slug.replace("org", "new");
        let escaped = |text: &str| json!(text).to_string().trim_matches('"').to_owned();
        let text = example.to_string();
        let text = text.replace("https://acme.okta.example/metadata", &self.metadata.url);
        let text =
            text.replace("<EntityDescriptor/>", &escaped(&xml)).replace("MIIC…", &escaped(&certificate));
        let text = text.replace("https://login.example/tenant/v2.0", &self.issuer);
        let text = text.replace("team_00000000000000000000000000", team);
        let text = text.replace("org_00000000000000000000000000", &self.tenant.org.to_string());
        let text = text.replace("\"slug\":\"acme\"", &format!("\"slug\":\"{slug}\""));
        let text = text.replace("login.acme.example", &format!("login.{slug}.example"));
        serde_json::from_str(&text).unwrap()
    }

    /// A thing of this org for a parameter of the path.
    async fn thing(
        &self,
        house: &'static House,
        name: &str,
        path: &str,
        example: &Value,
        so_far: &str,
    ) -> String {
        let id = |made: Value| text(&made, "id").to_owned();
        let xml = self.tenant.idp.metadata_xml();
        match name {
            "org" => self.tenant.org.to_string(),
            "con" if example.get("client_id").is_some() => id(self
                .made(
                    house,
                    "/connections",
                    json!({"type": "oidc", "name": "E", "issuer": self.issuer,
                    "client_id": "c", "client_secret": "s"}),
                )
                .await),
            // The one by which the person before it in the path has signed in.
            "con" if path.contains("/identities/") => self.tenant.connection.to_string(),
            "con" => id(self
                .made(house, "/connections", json!({"type": "saml", "name": "O", "metadata_xml": xml}))
                .await),
            // A decision about one that is held opens its guard for a while.
            "dir" if path.contains("{hold}") => {
                id(self.made(house, "/directories", json!({"name": "Held"})).await)
            }
            "dir" => self.tenant.directory.to_string(),
            "hold" => self.hold(house, so_far).await,
            "req" => self.logged(house, so_far).await,
            "key" if path.contains("/platform-keys/") => another_key(house).await.0.to_string(),
            "key" if path.contains("{svc}") || path.contains("{dir}") => {
                id(self.made(house, &format!("/{so_far}"), json!({})).await)
            }
            "key" => id(self.made(house, "/keys", json!({"name": "k", "scopes": ["*"]})).await),
            "app" if example.get("jwks").is_some() => {
                let app = json!({"name": "k", "redirect_uris": ["https://k.example/cb"], "jwks": example["jwks"],
                                 "token_endpoint_auth_method": "private_key_jwt"});
                let (status, made) = house.api("POST", &house.platform_key, "/apps", Some(app)).await;
                assert_eq!(status, 201, "{made}");
                text(&made, "client_id").to_owned()
            }
            "svc" => {
                let made =
                    self.made(house, "/service-accounts", json!({"name": "s", "roles": ["admin"]})).await;
                text(&made, "client_id").to_owned()
            }
            "app" => house.app(0).await.id.to_string(),
            "plan" => {
                let plan = format!("plan-of-{}", self.tenant.slug);
                let none = Some(json!({"quotas": {}}));
                let (status, made) =
                    house.api("PUT", &house.platform_key, &format!("/plans/{plan}"), none).await;
                assert_eq!(status, 200, "{made}");
                plan
            }
            "host" => {
                let host = format!("{}.hosts.example", self.tenant.slug);
                self.made(house, "/hosts", json!({"host": host})).await;
                host
            }
            "dom" => {
                let name = format!("{}.proof.example", self.tenant.slug);
                let made = self.made(house, "/domains", json!({"name": name})).await;
                house.dns.tell(
                    text(&made, "txt_name"),
                    Zone::Texts(vec![vec![text(&made, "txt_value").to_owned()]]),
                );
                id(made)
            }
            "team" => id(self.made(house, "/teams", json!({"slug": "t", "name": "T"})).await),
            "usr" | "ses" => {
                let said = claims(text(&tokens(house, &self.tenant).await, "access_token"));
                text(&said, if name == "usr" { "sub" } else { "sid" }).to_owned()
            }
            "whk" => id(self
                .made(house, "/webhooks", json!({"url": "https://hooks.example/", "events": ["*"]}))
                .await),
            "evt" => self.dead_delivery(house, so_far).await,
            other => panic!("nothing stands for {{{other}}} of {path}"),
        }
    }

    /// A request of this directory's, as soon as it is in the log.
    async fn logged(&self, house: &House, requests: &str) -> String {
        assert_eq!(house.scim("GET", &self.tenant.scim_token, "/scim/v2/Users", None).await.0, 200);
        for _ in 0..100 {
            let path = format!("/orgs/{}/{requests}", self.tenant.org);
            let (_, list) = house.api("GET", &house.platform_key, &path, None).await;
            if let Some(id) = list["data"][0]["id"].as_str() {
                return id.to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("nothing is logged at {requests}");
    }

    /// What the blast guard holds of this directory: the second of two who are to go.
    async fn hold(&self, house: &House, holds: &str) -> String {
        let directory = format!("/{}", holds.trim_end_matches("/holds"));
        let path = format!("/orgs/{}{directory}", self.tenant.org);
        let guard = json!({"blast_guard": {"percent": 1, "at_least": 1}});
        assert_eq!(house.api("PATCH", &house.platform_key, &path, Some(guard)).await.0, 200);
        let token = self.made(house, &format!("{directory}/tokens"), json!({})).await;
        let token = text(&token, "token");
        for (name, status) in [("first", 204), ("second", 429)] {
            let user = json!({"userName": format!("{name}-{}", directory.replace('/', "-"))});
            let (_, made) = house.scim("POST", token, "/scim/v2/Users", Some(user)).await;
            let user = format!("/scim/v2/Users/{}", text(&made, "id"));
            assert_eq!(house.scim("DELETE", token, &user, None).await.0, status);
        }
        let (_, list) = house.api("GET", &house.platform_key, &format!("{path}/holds"), None).await;
        text(&list["data"][0], "id").to_owned()
    }

    /// A delivery of this webhook that is dead: the webhook was shut while it waited.
    async fn dead_delivery(&self, house: &House, deliveries: &str) -> String {
        self.made(
            house,
            "/domains",
            json!({"name": format!("{}.more.example", self.tenant.slug), "trusted": true}),
        )
        .await;
        let (webhook, _) = deliveries.rsplit_once('/').unwrap();
        let webhook = format!("/orgs/{}/{webhook}", self.tenant.org);
        for state in ["disabled", "enabled"] {
            let said = house.api("PATCH", &house.platform_key, &webhook, Some(json!({"state": state}))).await;
            assert_eq!(said.0, 200, "{}", said.1);
        }
        let (_, list) =
            house.api("GET", &house.platform_key, &format!("{webhook}/deliveries?state=dead"), None).await;
        text(&list["data"][0], "id").to_owned()
    }
}

/// A value that each field of a query takes.
fn sample(field: &str, path: &str) -> &'static str {
    match field {
        "limit" => "2",
        "email" => "ada@acme.example",
        "active" | "release" | "failed" => "true",
        "status" => "409",
        "method" => "PATCH",
        "state" if path.ends_with("/holds") => "open",
        "state" => "dead",
        "actor" | "target" | "user" => "usr_00000000000000000000000000",
        "action" => "login.accepted",
        "from" => "2026-01-01T00:00:00Z",
        "to" => "2031-01-01T00:00:00%2B02:00",
        "format" => "csv",
        "metric" => "auth.login",
        "bucket" => "day",
        "after" => "",
        "wait_secs" => "1",
        other => panic!("no sample of ?{other}="),
    }
}

/// Sends one operation as it is described; answers how often it was sent.
async fn try_out(
    house: &'static House,
    issuer: &str,
    (path, verb, operation): (&str, &str, &Value),
) -> usize {
    let promised = operation["responses"].as_object().unwrap().keys().find(|s| s.starts_with('2')).unwrap();
    let bodies = operation["requestBody"]["content"]["application/json"]["examples"].as_object();
    let bodies: Vec<Value> = bodies
        .map_or_else(|| vec![Value::Null], |named| named.values().map(|e| e["value"].clone()).collect());
    let parameters = operation["parameters"].as_array().unwrap();
    let query: Vec<String> = parameters
        .iter()
        .filter(|p| p["in"] == "query" && p["name"] != "cursor")
        .map(|p| format!("{}={}", text(p, "name"), sample(text(p, "name"), path)))
        .collect();
    for body in &bodies {
        let stage = Stage::set(house, issuer).await;
        let mut filled: Vec<String> = Vec::new();
        for part in path.trim_start_matches('/').split('/') {
            let so_far = filled.get(4..).unwrap_or_default().join("/");
            filled.push(match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                Some(name) => stage.thing(house, name, path, body, &so_far).await,
                None => part.to_owned(),
            });
        }
        let target = format!("/{}", filled.get(2..).unwrap_or_default().join("/"));
        prepare(house, verb, path, &target).await;
        let team = if body.to_string().contains("team_0000") {
            stage.thing(house, "team", path, body, "").await
        } else {
            String::new()
        };
        let wanted = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(
            if body.is_null() { vec![] } else { shape::faults(wanted, body) },
            [""; 0],
            "{verb} {path}"
        );
        let sent = (!body.is_null()).then(|| stage.real(body, &team));
        let target = if query.is_empty() { target } else { format!("{target}?{}", query.join("&")) };
        let method = verb.to_uppercase();
        let (status, said) = match operation["security"][0].get("client") {
            Some(_) => house.api_as_app(&method, &stage.tenant.app, &target, sent).await,
            None => house.api(&method, &house.platform_key, &target, sent).await,
        };
        assert_eq!(status.to_string(), *promised, "{verb} {target}: {said}");
        if status == 204 {
            assert_eq!(said, json!(""), "{verb} {path}");
        }
    }
    bodies.len()
}

/// What has to be so before: a restored org deleted, a member who leaves in the team.
async fn prepare(house: &House, verb: &str, path: &str, target: &str) {
    let before = match (verb, path) {
        ("post", path) if path.ends_with("/restore") => Some(("DELETE", target.trim_end_matches("/restore"))),
        ("delete", path) if path.contains("/members/") => Some(("PUT", target)),
        _ => None,
    };
    if let Some((method, target)) = before {
        assert_eq!(house.api(method, &house.platform_key, target, None).await.0, 204);
    }
}

#[tokio::test]
async fn every_operation_does_what_its_description_says() {
    let house = house();
    let sent = house.http.get(house.url("/api/openapi.json")).send().await.unwrap();
    let document: Value = serde_json::from_str(&sent.text().await.unwrap()).unwrap();
    let idp = OidcIdp::start(OidcIdpSettings::default()).await.unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let described = paths.filter(|(path, _)| *path != "/api/openapi.json").flat_map(|(path, verbs)| {
        verbs
            .as_object()
            .unwrap()
            .iter()
            .map(move |(verb, operation)| (path.as_str(), verb.as_str(), operation))
    });
    let described: Vec<_> = described.collect();
    let mut sent = Vec::new();
    for some in described.chunks(6) {
        sent.extend(all_of(some.iter().map(|one| try_out(house, idp.issuer(), *one))).await);
    }
    assert!(sent.len() >= 50 && sent.iter().sum::<usize>() > sent.len(), "{} operations", sent.len());
}

/// Every operation, by method and path.
fn operations() -> impl Iterator<Item = (String, &'static Value)> {
    shape::DOCUMENT["paths"].as_object().unwrap().iter().flat_map(|(path, verbs)| {
        verbs.as_object().unwrap().iter().map(move |(verb, operation)| (format!("{verb} {path}"), operation))
    })
}

#[test]
fn every_operation_is_described_whole() {
    let mut names = BTreeSet::new();
    for (at, operation) in operations() {
        let name = text(operation, "operationId");
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(is_name && names.insert(name), "{at}: operationId {name:?}");
        assert!(!text(operation, "summary").is_empty() && operation["tags"][0].is_string(), "{at}");
        for parameter in operation["parameters"].as_array().unwrap() {
            let described =
                !text(parameter, "description").is_empty() && parameter["schema"]["type"].is_string();
            assert!(described, "{at}: {parameter}");
        }
        let (good, bad): (Vec<_>, Vec<_>) = operation["responses"]
            .as_object()
            .unwrap()
            .iter()
            .partition(|(status, _)| status.starts_with('2'));
        let [(status, answer)] = &good[..] else { panic!("{at}: {good:?}") };
        assert_eq!(*status == "204", answer.get("content").is_none(), "{at}: {answer}");
        assert_eq!(bad.is_empty(), operation.get("security").is_none(), "{at}: {bad:?}");
        assert!(bad.iter().all(|(status, _)| status.parse::<u16>().is_ok()), "{at}: {bad:?}");
    }
    let mut open = Vec::new();
    anything("", &shape::DOCUMENT["components"]["schemas"], &mut open);
    assert_eq!(open, ["/AuditEvent/properties/values/additionalProperties"], "may be anything");
}

/// Where the schemas let in whatever there is.
fn anything(at: &str, schema: &Value, found: &mut Vec<String>) {
    for (name, inner) in schema.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        if *inner == json!({}) && name != "default" || *inner == json!(true) && name == "additionalProperties"
        {
            found.push(at);
        } else {
            anything(&at, inner, found);
        }
    }
}

/// Each code that is described.
fn codes(of: &Value, found: &mut BTreeSet<String>) {
    if let Some(listed) = of.get("x-codes").and_then(Value::as_array) {
        found.extend(listed.iter().map(|code| code.as_str().unwrap().to_owned()));
    }
    let inner: Vec<&Value> = match of {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => return,
    };
    inner.into_iter().for_each(|inner| codes(inner, found));
}

#[test]
fn the_codes_that_are_described_are_those_that_a_caller_meets() {
    let mut described = BTreeSet::new();
    codes(&shape::DOCUMENT, &mut described);
    let met: BTreeSet<String> = crate::docs::rows()
        .into_iter()
        .filter(|(_, cells)| cells[1].split(", ").any(|who| who == "api"))
        .map(|(code, _)| code)
        // What a path answers to a method that is none of its calls.
        .filter(|code| code != vestibule::http::METHOD)
        .collect();
    let unmet: Vec<_> = described.difference(&met).collect();
    let untold: Vec<_> = met.difference(&described).collect();
    assert!(
        unmet.is_empty() && untold.is_empty(),
        "not in REFUSALS.md for `api`: {unmet:?}; of no call: {untold:?}"
    );
}
