//! A gateway as the verifier meets it: discovery, keys, introspection and the feed, on a plain socket,
//! each of which can be told to misbehave.

pub mod tokens;

use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokens::Signer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use vestibule_verifier::{Builder, Verifier};

pub const AUDIENCE: &str = "app_1";
pub const SECRET: &str = "vst_cs_a b:c&d";

/// How streams behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    Work,
    /// Open, and nothing comes: a proxy that keeps everything to itself.
    Mute,
    /// Not even the answer's head comes.
    Headless,
    Refused,
    /// One heartbeat, and the end.
    Short,
}

/// How introspection answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Active,
    Inactive,
    Fails,
    Hangs,
    AboutAnother,
}

pub struct State {
    pub issuer: Option<String>,
    pub jwks_uri: Option<String>,
    pub keys: Vec<Value>,
    pub jwks_age_secs: u64,
    pub jwks_fails: bool,
    pub streams: Streams,
    pub asked: Asked,
    /// The whole feed: false and it hangs, as behind a partition.
    pub feed: bool,
    /// The body of every page, whatever it is.
    pub page: Option<String>,
    pub page_max: usize,
    /// Of which life the database is; another one forgets every cursor.
    pub life: u32,
    pub secret: String,
    /// Instead of the secret: the app's public key (Ed25519), and what of its assertions was used.
    pub key: Option<Vec<u8>>,
    pub used: Vec<Value>,
    pub acks_fail: bool,
    revocations: Vec<Value>,
    pub acks: Vec<(Instant, String)>,
    /// Requests by path and query.
    pub seen: Vec<String>,
    counts: HashMap<String, usize>,
}

#[derive(Clone)]
pub struct Gateway {
    pub base: String,
    pub signer: Arc<Signer>,
    pub state: Arc<Mutex<State>>,
}

impl Gateway {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let signer = Arc::new(Signer::es256("k1"));
        let state = State {
            issuer: None,
            jwks_uri: None,
            keys: vec![signer.jwk()],
            jwks_age_secs: 300,
            jwks_fails: false,
            streams: Streams::Work,
            asked: Asked::Active,
            feed: true,
            page: None,
            page_max: 100,
            life: 1,
            secret: SECRET.into(),
            key: None,
            used: Vec::new(),
            acks_fail: false,
            revocations: Vec::new(),
            acks: Vec::new(),
            seen: Vec::new(),
            counts: HashMap::new(),
        };
        let gateway = Self { base, signer, state: Arc::new(Mutex::new(state)) };
        let serving = gateway.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let gateway = serving.clone();
                tokio::spawn(async move {
                    let _ = gateway.serve(socket).await;
                });
            }
        });
        gateway
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    pub fn builder(&self) -> Builder {
        Verifier::builder(&self.base, AUDIENCE).client(AUDIENCE, SECRET)
    }

    pub async fn verifier(&self) -> Verifier {
        self.builder().start().await.expect("the verifier starts")
    }

    pub fn revoke(&self, org: &str, seq: u64, scope: &str, action: &str) {
        let row = json!({"org": org, "seq": seq, "scope": scope, "action": action});
        self.set(|state| state.revocations.push(row));
    }

    /// How often a path was asked.
    pub fn count(&self, path: &str) -> usize {
        self.state.lock().unwrap().counts.get(path).copied().unwrap_or_default()
    }

    /// A token of the default person, with other claims.
    pub fn token(&self, more: Value) -> String {
        self.signer.token(&tokens::claims(&self.base, more))
    }

    async fn serve(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let Some((head, body)) = read(&mut socket).await? else { return Ok(()) };
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        self.set(|state| {
            state.seen.push(target.clone());
            *state.counts.entry(path.to_owned()).or_default() += 1;
        });
        match path {
            "/.well-known/openid-configuration" => self.discovery(&mut socket).await,
            "/oauth2/jwks" => self.jwks(&mut socket).await,
            "/oauth2/introspect" => self.introspect(&mut socket, &head, &body).await,
            "/api/v1/revocations/acks" => self.ack(&mut socket, &head, &body).await,
            "/api/v1/revocations" => self.revocations(&mut socket, &head, query).await,
            _ => answer(&mut socket, 404, "", "{}").await,
        }
    }

    async fn discovery(&self, socket: &mut TcpStream) -> std::io::Result<()> {
        let document = {
            let state = self.state.lock().unwrap();
            json!({
                "issuer": state.issuer.as_ref().unwrap_or(&self.base),
                "jwks_uri": state.jwks_uri.clone().unwrap_or(format!("{}/oauth2/jwks", self.base)),
                "introspection_endpoint": format!("{}/oauth2/introspect", self.base),
            })
        };
        answer(socket, 200, "", &document.to_string()).await
    }

    async fn jwks(&self, socket: &mut TcpStream) -> std::io::Result<()> {
        let (keys, age) = {
            let state = self.state.lock().unwrap();
            if state.jwks_fails {
                (String::new(), None)
            } else {
                (json!({"keys": state.keys}).to_string(), Some(state.jwks_age_secs))
            }
        };
        let Some(age) = age else { return answer(socket, 500, "", "{}").await };
        answer(socket, 200, &format!("cache-control: public, max-age={age}\r\n"), &keys).await
    }

    fn is_client(&self, head: &str, body: &str) -> bool {
        let key = self.state.lock().unwrap().key.clone();
        if let Some(key) = key {
            let Some(jwt) = tokens::assertion(head, body) else { return false };
            let mut state = self.state.lock().unwrap();
            let jti = tokens::asserted(jwt, &key, (AUDIENCE, &self.base));
            let is_new = jti.as_ref().is_some_and(|jti| !state.used.contains(jti));
            state.used.extend(jti);
            return is_new;
        }
        use base64::{Engine, engine::general_purpose::STANDARD};
        // Form-encoded by hand: RFC 6749 2.3.1.
        let secret = self.state.lock().unwrap().secret.clone();
        let encoded = secret.replace(':', "%3A").replace('&', "%26").replace(' ', "+");
        let value = STANDARD.encode(format!("{AUDIENCE}:{encoded}"));
        head.lines().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Basic {value}")))
    }

    async fn introspect(&self, socket: &mut TcpStream, head: &str, body: &str) -> std::io::Result<()> {
        let asked = self.state.lock().unwrap().asked;
        if !self.is_client(head, body) {
            return answer(socket, 401, "", "{}").await;
        }
        let token = body.strip_prefix("token=").expect("a token is asked about").split('&').next().unwrap();
        let said = match asked {
            Asked::Active => json!({"active": true, "jti": tokens::said(token)["jti"]}),
            Asked::AboutAnother => json!({"active": true, "jti": "another"}),
            Asked::Inactive => json!({"active": false}),
            Asked::Fails => return answer(socket, 500, "", "{}").await,
            Asked::Hangs => {
                sleep(Duration::from_secs(60)).await;
                return Ok(());
            }
        };
        answer(socket, 200, "", &said.to_string()).await
    }

    async fn ack(&self, socket: &mut TcpStream, head: &str, body: &str) -> std::io::Result<()> {
        if !self.is_client(head, "") {
            return answer(socket, 401, "", "{}").await;
        }
        if self.state.lock().unwrap().acks_fail {
            return answer(socket, 500, "", "{}").await;
        }
        let said: Value = serde_json::from_str(body).unwrap();
        let cursor = said["cursor"].as_str().unwrap().to_owned();
        assert_eq!(said["verifier"].as_str().unwrap().len(), 22, "a word of its own");
        self.set(|state| state.acks.push((Instant::now(), cursor)));
        answer(socket, 204, "", "").await
    }

    /// A page after a cursor `life.position`.
    fn page(&self, after: Option<&str>) -> Value {
        let state = self.state.lock().unwrap();
        let known = after.and_then(|cursor| {
            let (life, at) = cursor.split_once('.')?;
            (life == state.life.to_string()).then(|| at.parse::<usize>().ok())?
        });
        let from = known.unwrap_or(0);
        let rows = state.revocations.get(from..).unwrap_or_default();
        let data: Vec<_> = rows.iter().take(state.page_max).cloned().collect();
        let to = from + data.len();
        json!({
            "more": data.len() < rows.len(),
            "data": data,
            "cursor": format!("{}.{to}", state.life),
            "gap": after.is_some() && known.is_none(),
            "keeps_secs": 3_600,
        })
    }

    async fn revocations(&self, socket: &mut TcpStream, head: &str, query: &str) -> std::io::Result<()> {
        let (feed, streams, page) = {
            let state = self.state.lock().unwrap();
            (state.feed, state.streams, state.page.clone())
        };
        if !feed {
            sleep(Duration::from_secs(60)).await;
            return Ok(());
        }
        if !self.is_client(head, "") {
            return answer(socket, 401, "", "{}").await;
        }
        let param = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let after = param("after");
        if head.to_ascii_lowercase().contains("accept: text/event-stream") {
            assert!(head.contains(&format!("last-event-id: {}", after.as_deref().unwrap())));
            return self.stream(socket, streams, after).await;
        }
        if after.as_deref().is_some_and(|cursor| !cursor.contains('.')) {
            return answer(socket, 400, "", "{}").await;
        }
        if let Some(page) = page {
            return answer(socket, 200, "", &page).await;
        }
        let until = Instant::now() + Duration::from_secs(param("wait_secs").unwrap().parse().unwrap());
        loop {
            if !self.state.lock().unwrap().feed {
                sleep(Duration::from_secs(60)).await;
            }
            let page = self.page(after.as_deref());
            if page["data"] != json!([]) || page["gap"] == json!(true) || Instant::now() >= until {
                return answer(socket, 200, "", &page.to_string()).await;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stream(
        &self,
        socket: &mut TcpStream,
        streams: Streams,
        mut after: Option<String>,
    ) -> std::io::Result<()> {
        match streams {
            Streams::Work | Streams::Mute | Streams::Short => {}
            Streams::Headless => sleep(Duration::from_secs(60)).await,
            Streams::Refused => return answer(socket, 406, "", "{}").await,
        }
        socket
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            .await?;
        let mut beat_at = Instant::now();
        let life = self.state.lock().unwrap().life;
        loop {
            let (feed, ends) = {
                let state = self.state.lock().unwrap();
                (state.feed, state.streams == Streams::Refused || state.page.is_some() || state.life != life)
            };
            if streams == Streams::Mute || !feed {
                // Bytes, but no event.
                socket.write_all(b": x\n").await?;
                sleep(Duration::from_millis(200)).await;
                continue;
            }
            if ends {
                return Ok(());
            }
            let page = self.page(after.as_deref());
            let cursor = page["cursor"].as_str().unwrap().to_owned();
            if page["data"] != json!([]) || page["gap"] == json!(true) {
                let event = format!("event: revocations\nid: {cursor}\ndata: {page}\n\n");
                socket.write_all(event.as_bytes()).await?;
            }
            after = Some(cursor.clone());
            if Instant::now() >= beat_at {
                let event = format!("event: heartbeat\ndata: {}\n\n", json!({"cursor": cursor}));
                socket.write_all(event.as_bytes()).await?;
                beat_at += Duration::from_secs(1);
            }
            if streams == Streams::Short {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn read(socket: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4_096];
        let n = socket.read(&mut part).await?;
        if n == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(Some((head.to_owned(), body.to_owned())));
            }
        }
    }
}

pub async fn answer(socket: &mut TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await
}

/// Waits until it holds, for `secs` at most; answers how long it took.
pub async fn until(secs: u64, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(secs), "not within {secs} s");
        sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}
