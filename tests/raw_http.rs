//! A client that sends what no client would, and the judge of what comes back: never our fault, in the
//! caller's own dialect, with a code that docs/REFUSALS.md knows.

use crate::house::House;
use serde_json::Value;
use std::{sync::LazyLock, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longer than any answer may take, with a machine's slowest day in it.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// One request, byte by byte.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    pub method: String,
    pub target: Vec<u8>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct Said {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Said {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Raw {
    /// For a report: what was sent, not all of it.
    pub fn shown(&self) -> String {
        let short = |bytes: &[u8]| {
            let text: String = bytes.iter().take(160).map(|b| char::from(*b)).collect();
            text.escape_default().to_string()
        };
        let headers: Vec<_> = self.headers.iter().filter(|(n, _)| n != "Authorization").collect();
        format!(
            "{} {} {headers:?} {}",
            self.method,
            short(&self.target),
            self.body.as_deref().map(short).unwrap_or_default()
        )
    }

    /// Sends it on a connection of its own. `None`: nothing came back in time.
    pub async fn send(&self, house: &House) -> Option<Said> {
        tokio::time::timeout(ANSWER_MAX, self.exchange(house)).await.ok()
    }

    async fn exchange(&self, house: &House) -> Said {
        let place = house.base.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(place.replace("localhost", "127.0.0.1")).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let mut head = self.method.clone().into_bytes();
        head.push(b' ');
        head.extend(&self.target);
        head.extend(format!(" HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n").bytes());
        for (name, value) in &self.headers {
            head.extend(format!("{name}: {value}\r\n").bytes());
        }
        let body = self.body.clone();
        if let Some(body) = &body {
            head.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        head.extend(b"\r\n");
        // A server that refuses may stop reading: what it answered counts, not that we could not go on.
        let sending = async move {
            let _ = writer.write_all(&head).await;
            let _ = writer.write_all(&body.unwrap_or_default()).await;
            let _ = writer.flush().await;
            writer
        };
        // Not to the end of the connection: after a refusal the server lingers on it.
        let reading = async {
            let (mut bytes, mut some) = (Vec::new(), [0; 16 * 1024]);
            while self.method == "HEAD" || !arrived(&bytes) {
                match reader.read(&mut some).await {
                    Ok(read @ 1..) => bytes.extend(&some[..read]),
                    Ok(0) | Err(_) => break,
                }
            }
            bytes
        };
        let mut sending = std::pin::pin!(sending);
        let mut reading = std::pin::pin!(reading);
        let bytes = tokio::select! {
            bytes = &mut reading => bytes,
            _writer = &mut sending => reading.await,
        };
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers = lines
            .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        Said { status, headers, body: body.to_owned() }
    }
}

/// Is this a whole answer, by its Content-Length? One without lasts until the connection ends.
fn arrived(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() - end - 4 >= length)
}

/// Who is asking, by the path: each is answered in their own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Api,
    Scim,
    OAuth,
    /// RFC 8935.
    Events,
    Browser,
}

pub fn dialect(path: &str) -> Dialect {
    let scim = path
        .strip_prefix("/orgs/")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, r)| r.starts_with("scim/"));
    if path.starts_with("/api/") {
        Dialect::Api
    } else if path.starts_with("/scim/") || scim {
        Dialect::Scim
    } else if path.starts_with("/signals/") && path.ends_with("/events") {
        Dialect::Events
    } else if ["/signals/", "/ssf/", "/forward-auth"].iter().any(|begin| path.starts_with(begin))
        || path.ends_with("/backchannel-logout")
        || (path.starts_with("/oauth2/")
            && !path.starts_with("/oauth2/authorize")
            && !path.starts_with("/oauth2/logout"))
    {
        Dialect::OAuth
    } else {
        Dialect::Browser
    }
}

static CODES: LazyLock<String> = LazyLock::new(|| {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/REFUSALS.md");
    std::fs::read_to_string(path).unwrap()
});

fn listed(code: &str) -> bool {
    !code.is_empty() && CODES.contains(&format!("| `{code}` |"))
}

/// What RFC 6749 5.2, RFC 6750 3.1 and OpenID Connect name.
const OAUTH: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_token",
    "access_denied",
    "temporarily_unavailable",
];

/// What RFC 8935 2.4 names.
const SET: &[&str] = &[
    "invalid_request",
    "invalid_key",
    "invalid_issuer",
    "invalid_audience",
    "authentication_failed",
    "access_denied",
];

/// What is wrong with an answer, if anything is. `said` is to a request at this path.
pub fn fault(path: &str, said: &Said) -> Option<String> {
    let dialect = dialect(path);
    match said.status {
        // Not a request at all: the server has read no path that it could answer by.
        400 | 414 | 431 if said.body.is_empty() && said.header("X-Request-Id").is_empty() => return None,
        501 if dialect == Dialect::Scim => {}
        429 => return Some("limited: what stands behind the door was not reached".to_owned()),
        200..=499 => {}
        other => return Some(format!("status {other}")),
    }
    if said.header("X-Request-Id").is_empty() {
        return Some("no X-Request-Id".to_owned());
    }
    if said.status < 400 {
        return None;
    }
    let (kind, json) = (said.header("Content-Type"), said.json());
    let whole = match dialect {
        Dialect::Api => {
            kind == "application/problem+json"
                && json["status"] == said.status
                && listed(json["code"].as_str().unwrap_or_default())
        }
        Dialect::Scim => {
            let code = json["detail"].as_str().and_then(|d| d.rsplit_once('[')?.1.strip_suffix(']'));
            kind == "application/scim+json"
                && json["status"].as_str() == Some(said.status.to_string().as_str())
                && json["schemas"][0] == "urn:ietf:params:scim:api:messages:2.0:Error"
                && listed(code.unwrap_or_default())
        }
        Dialect::OAuth => {
            kind == "application/json" && OAUTH.contains(&json["error"].as_str().unwrap_or_default())
        }
        Dialect::Events => {
            let err = json["err"].as_str().or(json["error"].as_str()).unwrap_or_default();
            kind == "application/json" && [SET, OAUTH].iter().any(|words| words.contains(&err))
        }
        Dialect::Browser => {
            kind.starts_with("text/html") && (said.status == 404 || listed(said.header("X-Vestibule-Code")))
        }
    };
    (!whole)
        .then(|| format!("{} as {kind:?}: {}", said.status, said.body.chars().take(200).collect::<String>()))
}
