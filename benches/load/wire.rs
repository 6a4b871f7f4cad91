//! A client that costs the machine little: it runs on the two cores that carry the service as well, and what it
//! takes the service has not. HTTP/1.1 without redirects, cookies or a pool's timers; each request drives its own
//! connection.

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1::{Connection, SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use std::{pin::Pin, sync::Mutex};
use tokio::net::TcpStream;

type Io = TokioIo<TcpStream>;

struct Line {
    asks: SendRequest<Full<Bytes>>,
    runs: Pin<Box<Connection<Io, Full<Bytes>>>>,
}

/// Connections to one service, as many as requests are under way.
pub struct Wire {
    /// Host and port.
    at: String,
    idle: Mutex<Vec<Line>>,
}

impl Wire {
    /// To what serves at `http://host:port`.
    pub fn to(base: &str) -> Self {
        Self { at: base.strip_prefix("http://").unwrap().to_owned(), idle: Mutex::default() }
    }

    async fn line(&self) -> Line {
        let stream = TcpStream::connect(&self.at).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (asks, runs) = handshake(TokioIo::new(stream)).await.unwrap();
        Line { asks, runs: Box::pin(runs) }
    }

    /// Asks once, and again where the connection had been closed while it lay idle. `path` begins with a slash.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (StatusCode, Bytes) {
        let idle = self.idle.lock().unwrap().pop();
        if let Some(line) = idle
            && let Ok(answer) = self.ask_on(line, &method, path, headers, body).await
        {
            return answer;
        }
        let line = self.line().await;
        self.ask_on(line, &method, path, headers, body).await.unwrap()
    }

    async fn ask_on(
        &self,
        Line { mut asks, mut runs }: Line,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> hyper::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.at);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let mut asked = Box::pin(async move {
            let answer = asks.send_request(request).await?;
            let (status, body) = (answer.status(), answer.into_body().collect().await?.to_bytes());
            Ok(((status, body), asks))
        });
        let answered = tokio::select! {
            biased;
            answer = &mut asked => Some(answer),
            _ = &mut runs => None,
        };
        // It ends before its answer only if it was closed: what waits for it is told when it is gone.
        let Some(answered) = answered else {
            drop(runs);
            return asked.await.map(|(answer, _)| answer);
        };
        let (answer, asks) = answered?;
        if !asks.is_closed() {
            self.idle.lock().unwrap().push(Line { asks, runs });
        }
        Ok(answer)
    }
}
