//! The way to the operator's own collector of traces. Not for what a customer names: it may stand on an
//! inner address, because the operator set it. Bounded in time and in what it reads, follows no redirect.
//! The exporter's thread waits here; the request itself runs on the process's runtime.

use broker::counted::EXPORTS;
use model::Secret;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::{pin::Pin, time::Duration};
use tokio::runtime::Handle;

/// A collector that is slower is as good as away; the next batch comes in 5 s.
const PATIENCE: Duration = Duration::from_secs(3);
/// An answer says how many spans were refused: a few dozen bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Collector {
    client: reqwest::Client,
    runtime: Handle,
}

impl Collector {
    /// `headers` go along with every request; a name or value that is none is refused. Call it inside the
    /// runtime that shall send.
    ///
    /// # Errors
    /// Text for the operator, without any value.
    pub(crate) fn new(headers: &[(String, Secret<String>)]) -> Result<Self, String> {
        let mut default = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().map_err(|_| format!("{name}: no header's name"))?;
            let mut value =
                HeaderValue::from_str(value.reveal()).map_err(|_| format!("{name}: no header's value"))?;
            value.set_sensitive(true);
            default.insert(name, value);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the operator's collector, which may be an inner address"
        )]
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(super::tls().map_err(|why| why.to_string())?)
            .default_headers(default)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(|why| why.to_string())?;
        let runtime = Handle::try_current().map_err(|why| why.to_string())?;
        Ok(Self { client, runtime })
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let request = reqwest::Request::try_from(request)?;
            let mut answer = client.execute(request).await.map_err(reqwest::Error::without_url)?;
            let status = answer.status();
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                body.extend_from_slice(&chunk);
                body.truncate(ANSWER_BYTES_MAX);
            }
            let mut response = Response::new(Bytes::from(body));
            *response.status_mut() = status;
            Ok::<_, HttpError>(response)
        });
        Box::pin(async move {
            let done = sent.await.map_err(HttpError::from).and_then(|done| done);
            match &done {
                Ok(answer) if answer.status().is_success() => EXPORTS.add(["done"], 1),
                Ok(answer) => {
                    EXPORTS.add(["refused"], 1);
                    tracing::warn!(status = answer.status().as_u16(), "the collector of traces refused");
                }
                Err(error) => {
                    EXPORTS.add(["failed"], 1);
                    tracing::warn!(%error, "the collector of traces is out of reach");
                }
            }
            done
        })
    }
}
