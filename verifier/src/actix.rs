//! A middleware and an extractor for actix-web 4: each request behind it has a verified caller.

use crate::{Denied, Require, Verified, Verifier, door::Door};
use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform},
    error::ErrorInternalServerError,
    http::{StatusCode, header},
};
use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Verifies the bearer token of each request, for [`Verified`] to be extracted; what does not pass is
/// answered with an empty body, `WWW-Authenticate` and `Retry-After`.
#[derive(Clone, Debug)]
pub struct Verify(Door);

impl Verify {
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

impl<S, B> Transform<S, ServiceRequest> for Verify
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = Verifying<S>;
    type InitError = ();
    type Future = Ready<Result<Verifying<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Verifying { service: Rc::new(service), door: Rc::new(self.0.clone()) }))
    }
}

/// A service behind [`Verify`].
#[derive(Debug)]
pub struct Verifying<S> {
    service: Rc<S>,
    door: Rc<Door>,
}

impl<S, B> Service<ServiceRequest> for Verifying<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (service, door) = (self.service.clone(), self.door.clone());
        Box::pin(async move {
            let headers = request.headers().get_all(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
            let admitted = door.admit(headers).await;
            match admitted {
                Ok(claims) => {
                    request.extensions_mut().insert(Verified(claims));
                    service.call(request).await.map(ServiceResponse::map_into_left_body)
                }
                Err(denied) => Ok(request.into_response(denied.error_response()).map_into_right_body()),
            }
        })
    }
}

/// The caller, verified by the middleware before. On a route without [`Verify`] it is an error of the
/// program, answered 500.
impl FromRequest for Verified {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = request.extensions().get::<Self>().cloned();
        ready(found.ok_or_else(|| {
            tracing::error!(path = request.path(), "a verified caller is asked for where nothing verifies");
            ErrorInternalServerError("")
        }))
    }
}

/// For handlers that judge further, by [`Require::check`] or [`Verifier::check`].
impl ResponseError for Denied {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::UNAUTHORIZED)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(text) = self.www_authenticate() {
            response.insert_header((header::WWW_AUTHENTICATE, text));
        }
        if let Some(secs) = self.retry_after_secs() {
            response.insert_header((header::RETRY_AFTER, secs.to_string()));
        }
        response.finish()
    }
}
