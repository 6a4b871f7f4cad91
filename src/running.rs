//! A gateway that serves, and how it ends.

use actix_web::dev::ServerHandle;
use broker::Gateway;
use std::{net::SocketAddr, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// A gateway that serves.
pub struct Running {
    pub addr: SocketAddr,
    pub gateway: Gateway,
    pub(crate) server: ServerHandle,
    pub(crate) ops: Option<ServerHandle>,
    pub(crate) ended: JoinHandle<std::io::Result<()>>,
    pub(crate) jobs: JoinHandle<()>,
    pub(crate) stop: watch::Sender<bool>,
}

impl Running {
    /// Stops taking connections, lets those that are served end, then the jobs.
    pub async fn stop(self) {
        self.gateway.feed.close();
        self.gateway.db.keep_to_own().await;
        self.server.stop(true).await;
        let _ = self.stop.send(true);
        let _ = self.jobs.await;
        if let Some(ops) = self.ops {
            ops.stop(true).await;
        }
        let _ = self.ended.await;
        self.gateway.db.close().await;
    }

    /// Waits until the server ends by itself.
    pub async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }
}

/// Waits for the sign to end: SIGTERM or Ctrl-C.
pub async fn told_to_stop() {
    let mut term = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(term) => term,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("draining");
    tokio::time::sleep(Duration::from_millis(1)).await;
}
