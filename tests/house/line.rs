//! A way between an app and the gateway, which can be cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::timeout,
};

pub struct Line {
    pub url: String,
    pub cut: Arc<AtomicBool>,
}

impl Line {
    /// To whatever port it is told of.
    pub async fn open(ports: tokio::sync::watch::Receiver<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (is_cut, port) = (is_cut.clone(), *ports.borrow());
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let mut carried = Box::pin(copy_bidirectional(&mut near, &mut far));
                    while !is_cut.load(Ordering::Relaxed) {
                        if timeout(Duration::from_millis(20), &mut carried).await.is_ok() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, cut }
    }
}
