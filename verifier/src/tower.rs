//! A layer for tower, and so for axum, tonic and hyper: each request below it has a verified caller.

use crate::{Denied, Require, Verified, Verifier, door::Door};
use http::{HeaderValue, Request, Response, StatusCode, header};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Verifies the bearer token of each request and puts [`Verified`] among its extensions; what does not
/// pass is answered with an empty body, `WWW-Authenticate` and `Retry-After`.
#[derive(Clone, Debug)]
pub struct VerifyLayer(Door);

impl VerifyLayer {
    /// A good token is asked for, and nothing more.
    pub fn new(verifier: Verifier) -> Self {
        Self(Door::new(verifier))
    }

    /// And this too.
    #[must_use]
    pub fn require(mut self, require: Require) -> Self {
        self.0.require = require;
        self
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify { inner, door: self.0.clone() }
    }
}

/// A service behind a [`VerifyLayer`].
#[derive(Clone, Debug)]
pub struct Verify<S> {
    inner: S,
    door: Door,
}

impl<S, In, Out> Service<Request<In>> for Verify<S>
where
    S: Service<Request<In>, Response = Response<Out>> + Clone + Send + 'static,
    S::Future: Send,
    In: Send + 'static,
    Out: Default,
{
    type Response = Response<Out>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Out>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        // The one that is ready is called, and its copy stays.
        let copy = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, copy);
        let door = self.door.clone();
        Box::pin(async move {
            let headers = request.headers().get_all(header::AUTHORIZATION);
            let admitted = door.admit(headers.iter().map(HeaderValue::as_bytes)).await;
            match admitted {
                Ok(claims) => {
                    request.extensions_mut().insert(Verified(claims));
                    ready.call(request).await
                }
                Err(denied) => Ok(response(&denied)),
            }
        })
    }
}

/// The answer to who does not pass.
pub fn response<B: Default>(denied: &Denied) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::from_u16(denied.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(value) = denied.www_authenticate().and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    if let Some(secs) = denied.retry_after_secs() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}
