//! A server on 127.0.0.1 in the caller's runtime. Binding comes first, because an identity provider
//! must know its own address before it can describe itself; dropping [`Running`] stops it.
//! The address is spelled `localhost`, so that cookies of the demo's parties are same-site.

use crate::FixtureError;
use actix_web::{App, HttpServer, dev::ServerHandle, web::ServiceConfig};
use std::net::TcpListener;

/// A server that runs until this is dropped.
pub struct Running {
    base_url: String,
    handle: ServerHandle,
}

impl Running {
    /// `http://localhost:PORT`, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The command is sent by the call; what it returns only waits for the end.
        drop(self.handle.stop(false));
    }
}

pub(crate) struct Bound {
    listener: TcpListener,
    pub(crate) base_url: String,
}

/// Opens the port; 0 takes any free one.
pub(crate) fn bind(port: u16) -> Result<Bound, FixtureError> {
    let failed = |source| FixtureError::Listen { port, source };
    let listener = TcpListener::bind(("127.0.0.1", port)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok(Bound { listener, base_url: format!("http://localhost:{port}") })
}

impl Bound {
    pub(crate) fn serve<F>(self, routes: F) -> Result<Running, FixtureError>
    where
        F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    {
        let port = self.listener.local_addr().map_or(0, |a| a.port());
        let server = HttpServer::new(move || App::new().configure(routes.clone()))
            .workers(1)
            .disable_signals()
            .listen(self.listener)
            .map_err(|source| FixtureError::Listen { port, source })?
            .run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Running { base_url: self.base_url, handle })
    }
}
