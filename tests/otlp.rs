//! Traces reach a collector, with the service's name, the credential and the request's span; and a
//! collector that never answers holds up neither a request nor the end of the process.

use crate::house::now;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

/// What the collector was sent: request line and headers, and the body.
type Sent = (String, Vec<u8>);

fn read(stream: &TcpStream) -> Option<Sent> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&lower);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A collector; `answers` says whether it ever does.
fn collector(answers: bool) -> (String, Receiver<Sent>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let Some(sent) = read(&stream) else { continue };
            let _ = tell.send(sent);
            if answers {
                let _ =
                    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            } else {
                open.push(stream);
            }
        }
    });
    (url, told)
}

/// A server of its own process, as an operator runs it.
pub struct Served {
    child: Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Served {
    /// With these settings besides; stores of its own.
    pub async fn start(more: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .arg("serve")
            .env("VESTIBULE_PUBLIC_URL", format!("http://localhost:{port}"))
            .env("VESTIBULE_LISTEN", format!("127.0.0.1:{port}"))
            .env("VESTIBULE_DATA_DIR", data.path())
            .env("VESTIBULE_LOG__LEVEL", "warn")
            .envs(more.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let served = Self { child, url: format!("http://127.0.0.1:{port}/healthz"), _data: data };
        let start = Instant::now();
        while !served.asked("first-look").await {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        served
    }
    pub fn url(&self, path: &str) -> String {
        self.url.replace("/healthz", path)
    }
    pub async fn asked(&self, id: &str) -> bool {
        let http = &crate::house::house().http;
        http.get(&self.url).header("x-request-id", id).send().await.is_ok_and(|answer| answer.status() == 200)
    }
    /// Told to stop: how long it took, and what it said.
    pub fn stopped(mut self) -> (Duration, String) {
        let pid = rustix::process::Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        let start = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.success(), "{said}");
        (start.elapsed(), said)
    }
}

async fn traced(endpoint: &str) -> Served {
    Served::start(&[
        ("VESTIBULE_TELEMETRY__OTLP_ENDPOINT", endpoint),
        ("VESTIBULE_TELEMETRY__OTLP_HEADERS", "authorization=Bearer canary"),
        ("VESTIBULE_TELEMETRY__SERVICE_NAME", "gate-of-the-test"),
    ])
    .await
}

fn holds(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_span_reaches_the_collector_and_the_credential_nothing_else() {
    let (url, told) = collector(true);
    let served = traced(&url).await;
    let id = format!("otlp-{}", now().micros());
    assert!(served.asked(&id).await);
    let (_, said) = served.stopped();
    assert!(!said.contains("canary"), "{said}");
    let sent: Vec<Sent> = told.try_iter().collect();
    let (head, body) =
        sent.iter().find(|(_, body)| holds(body, &id)).expect("the span arrives before the end");
    assert!(head.starts_with("post /v1/traces "), "{head}");
    assert!(
        head.contains("authorization: bearer canary") && head.contains("application/x-protobuf"),
        "{head}"
    );
    for part in ["gate-of-the-test", "request_id", "/healthz", "service.version"] {
        assert!(holds(body, part), "no {part}");
    }
    assert!(!sent.iter().any(|(_, body)| holds(body, "canary")));
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_up_nothing() {
    let (url, told) = collector(false);
    let served = traced(&url).await;
    let start = Instant::now();
    assert!(served.asked("hanging-collector").await);
    assert!(start.elapsed() < Duration::from_secs(1), "a request waited: {:?}", start.elapsed());
    let (took, said) = served.stopped();
    assert!(took < Duration::from_secs(5), "the end waited {took:?}");
    assert!(!said.contains("canary"), "{said}");
    assert!(told.try_iter().next().is_some(), "it was tried");
}
