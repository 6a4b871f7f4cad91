//! Whole walks against a gateway in its own process: operations per CPU-second of that process, its
//! memory, its start. Run: `cargo bench -p vestibule --bench load [-- seconds-per-path [orgs]]`.
//! The clients share the machine: read the CPU column, not the wall column.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring instrument: what fails ends it"
)]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use idp_fixtures::{Person, ResponseParams, SamlIdp, SamlIdpSettings, ServiceProvider};
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-long";
const CLIENTS: usize = 16;
const CALLBACK: &str = "http://localhost:1/callback";

struct Gateway {
    child: Child,
    base: String,
    data: tempfile::TempDir,
    ready_ms: f64,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn command(data: &std::path::Path, base: &str, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command
        .env("VESTIBULE_PUBLIC_URL", base)
        .env("VESTIBULE_LISTEN", format!("127.0.0.1:{port}"))
        .env("VESTIBULE_DATA_DIR", data)
        .env("VESTIBULE_LOG__LEVEL", "error")
        .env("VESTIBULE_EGRESS__ALLOW_LOOPBACK", "true");
    command
}

/// CPU of the process in clock ticks, and its resident memory in KiB.
fn usage(pid: u32) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let rss = rss.trim().trim_end_matches(" kB").trim().parse().unwrap();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap(), rss)
}

/// Runs `work` from all clients for a while; prints what it cost the gateway.
async fn measure<F>(
    name: &str,
    gateway: &Gateway,
    secs: u64,
    work: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let (before, _) = usage(gateway.child.id());
    let (start, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (work, done) = (work.clone(), done.clone());
            tokio::spawn(async move {
                while start.elapsed() < Duration::from_secs(secs) {
                    work(done.fetch_add(1, Ordering::Relaxed)).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let wall = start.elapsed().as_secs_f64();
    let (after, rss) = usage(gateway.child.id());
    let (cpu, n) = ((after - before) as f64 / 100.0, done.load(Ordering::Relaxed) as f64);
    println!(
        "{name:<28} {:>8.0} /cpu-s {:>8.0} /s {:>8.1} MB resident",
        n / cpu.max(0.01),
        n / wall,
        rss as f64 / 1024.0
    );
}

async fn start() -> Gateway {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (base, data) = (format!("http://localhost:{port}"), tempfile::tempdir().unwrap());
    let migrated = command(data.path(), &base, port).arg("migrate").status().unwrap();
    assert!(migrated.success());
    let began = Instant::now();
    let child = command(data.path(), &base, port).arg("serve").spawn().unwrap();
    let http = client();
    loop {
        if http.get(format!("{base}/readyz")).send().await.is_ok_and(|a| a.status().is_success()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Gateway { child, base, data, ready_ms: began.elapsed().as_secs_f64() * 1_000.0 }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// An org with everything a login needs.
struct Stage {
    http: reqwest::Client,
    base: String,
    idp: SamlIdp,
    connection: String,
    app: (String, String),
    scim_token: String,
}

async fn post(http: &reqwest::Client, url: String, key: &str, body: Value) -> Value {
    let sent =
        http.post(url).bearer_auth(key).header("content-type", "application/json").body(body.to_string());
    let text = sent.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

async fn set(gateway: &Gateway, key: &str, orgs: usize) -> Stage {
    let http = client();
    let api = |path: &str| format!("{}/api/v1{path}", gateway.base);
    for n in 1..orgs {
        post(&http, api("/orgs"), key, json!({"slug": format!("other{n}"), "name": format!("Other {n}")}))
            .await;
    }
    post(&http, api("/orgs"), key, json!({"slug": "acme", "name": "Acme"})).await;
    let domain = json!({"name": "acme.example", "trusted": true});
    post(&http, api("/orgs/acme/domains"), key, domain).await;
    let people = vec![Person::new("ada@acme.example", "pw", "Ada", "Lovelace")];
    let idp = SamlIdp::start(SamlIdpSettings { people, ..SamlIdpSettings::default() }).await.unwrap();
    let connection = json!({"type": "saml", "name": "Okta", "metadata_xml": idp.metadata_xml()});
    let made = post(&http, api("/orgs/acme/connections"), key, connection).await;
    let connection = text(&made, "id");
    post(&http, api(&format!("/orgs/acme/connections/{connection}/enable")), key, json!({})).await;
    idp.set_sp(ServiceProvider {
        entity_id: text(&made["sp"], "entity_id"),
        acs_url: text(&made["sp"], "acs_url"),
    });
    let app = json!({"name": "load", "redirect_uris": [CALLBACK]});
    let app = post(&http, api("/apps"), key, app).await;
    let directory = post(&http, api("/orgs/acme/directories"), key, json!({"name": "Okta"})).await;
    let tokens = api(&format!("/orgs/acme/directories/{}/tokens", text(&directory, "id")));
    let scim = post(&http, tokens, key, json!({})).await;
    Stage {
        http,
        base: gateway.base.clone(),
        idp,
        connection,
        app: (text(&app, "client_id"), text(&app, "client_secret")),
        scim_token: text(&scim, "token"),
    }
}

impl Stage {
    async fn as_app(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let sent = self
            .http
            .post(format!("{}{path}", self.base))
            .basic_auth(&self.app.0, Some(&self.app.1))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let answer = sent.send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null)
    }

    /// Authorize, ACS, token: the gateway's three requests of a SAML sign-in.
    async fn login(&self) -> Value {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, VERIFIER.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest.as_ref());
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("client_id", self.app.0.as_str()),
                ("redirect_uri", CALLBACK),
                ("response_type", "code"),
                ("scope", "openid offline_access"),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
                ("organization", "acme"),
            ])
            .finish();
        let sent = self.http.get(format!("{}/oauth2/authorize?{query}", self.base)).send().await.unwrap();
        let header = |name: &str| sent.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let (location, cookie) = (header("location"), header("set-cookie"));
        let upstream: Vec<(String, String)> =
            form_urlencoded::parse(location.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
        let find = |name: &str| upstream.iter().find(|(n, _)| n == name).unwrap().1.clone();
        let request_id = request_id(&find("SAMLRequest"));
        let acs = format!("{}/saml/{}/acs", self.base, self.connection);
        let audience = format!("{}/saml/{}/metadata", self.base, self.connection);
        let params = ResponseParams::new(&acs, &audience, Some(&request_id), idp_fixtures::now());
        let response = self.idp.response_for("ada@acme.example", &params).unwrap();
        let form = [("SAMLResponse", response.as_str()), ("RelayState", &find("RelayState"))];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let sent = self
            .http
            .post(&acs)
            .header("cookie", cookie.split(';').next().unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        let Some(location) = sent.headers().get("location") else {
            panic!("refused: {} {:?}", sent.status(), sent.headers().get("x-vestibule-code"))
        };
        let location = location.to_str().unwrap().to_owned();
        let code = form_urlencoded::parse(location.split_once('?').unwrap().1.as_bytes())
            .find(|(n, _)| n == "code")
            .unwrap()
            .1
            .into_owned();
        let form = [("grant_type", "authorization_code"), ("code", &code), ("code_verifier", VERIFIER)];
        let tokens = self.as_app("/oauth2/token", &form).await;
        assert!(tokens["access_token"].is_string(), "{tokens}");
        tokens
    }
}

/// The ID inside a deflated AuthnRequest.
fn request_id(deflated: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(deflated).unwrap();
    let xml = String::from_utf8(miniz_oxide::inflate::decompress_to_vec(&bytes).unwrap()).unwrap();
    xml.split(" ID=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (secs, orgs) = (numbers.first().copied().unwrap_or(5) as u64, numbers.get(1).copied().unwrap_or(10));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let gateway = start().await;
    let (_, idle) = usage(gateway.child.id());
    println!(
        "ready after {:.0} ms (its private stores included), {:.1} MB idle",
        gateway.ready_ms,
        idle as f64 / 1024.0
    );
    let port: u16 = gateway.base.rsplit(':').next().unwrap().parse().unwrap();
    let made = command(gateway.data.path(), &gateway.base, port)
        .args(["keys", "create", "--platform", "--name", "load"])
        .output()
        .unwrap();
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let stage = Arc::new(set(&gateway, &key, orgs).await);
    println!("{orgs} orgs, {CLIENTS} clients, {secs} s each");
    let s = stage.clone();
    measure("whole SAML login", &gateway, secs, move |_| {
        let s = s.clone();
        async move { drop(s.login().await) }
    })
    .await;
    let access = text(&stage.login().await, "access_token");
    let (s, token) = (stage.clone(), access.clone());
    measure("introspection", &gateway, secs, move |_| {
        let (s, token) = (s.clone(), token.clone());
        async move { assert_eq!(s.as_app("/oauth2/introspect", &[("token", &token)]).await["active"], true) }
    })
    .await;
    let s = stage.clone();
    measure("JWKS", &gateway, secs, move |_| {
        let s = s.clone();
        async move { drop(s.http.get(format!("{}/oauth2/jwks", s.base)).send().await.unwrap().bytes().await) }
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..CLIENTS * 4 {
        held.push(tokio::sync::Mutex::new(text(&stage.login().await, "refresh_token")));
    }
    let (s, held) = (stage.clone(), Arc::new(held));
    measure("refresh with rotation", &gateway, secs, move |n| {
        let (s, held) = (s.clone(), held.clone());
        async move {
            let mut token = held[n as usize % held.len()].lock().await;
            let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
            let next = s.as_app("/oauth2/token", &form).await;
            *token = text(&next, "refresh_token");
        }
    })
    .await;
    let s = stage.clone();
    measure("SCIM create", &gateway, secs, move |n| {
        let s = s.clone();
        async move {
            let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": format!("user{n}@acme.example"), "active": true,
                "emails": [{"value": format!("user{n}@acme.example"), "type": "work", "primary": true}]});
            let sent = s
                .http
                .post(format!("{}/scim/v2/Users", s.base))
                .bearer_auth(&s.scim_token)
                .header("content-type", "application/scim+json")
                .body(body.to_string());
            assert_eq!(sent.send().await.unwrap().status().as_u16(), 201);
        }
    })
    .await;
}
