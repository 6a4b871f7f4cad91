//! Answers that are huge, slow, or nonsense: each is given up in time, none is believed, and nothing
//! is vouched for meanwhile.

use crate::fake::{AUDIENCE, Gateway, SECRET, until};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};
use vestibule_verifier::{Denied, StartError, Verifier};

async fn not_caught_up(gateway: &Gateway, why: &str) {
    match gateway.builder().start().await.err() {
        Some(StartError::Late(said)) => assert!(said.contains(why), "{said}, not {why}"),
        other => panic!("{other:?}, not {why}"),
    }
}

#[tokio::test]
async fn pages_that_are_none_lead_nowhere_or_are_too_large_are_not_believed() {
    let page = |more: bool, cursor: &str, padding: usize| {
        let data =
            vec![json!({"org": "org_1", "seq": 6, "scope": "usr:usr_1", "action": "terminate"}); padding];
        json!({"data": data, "cursor": cursor, "gap": false, "more": more, "keeps_secs": 3_600}).to_string()
    };
    let table = [
        ("<html>".to_owned(), "none of Vestibule's"),
        (page(false, "", 0), "none of Vestibule's"),
        (page(true, "1.0", 0), "no way to them"),
        (page(false, "1.1", 80_000), "larger than"),
    ];
    let all = table.map(|(page, why)| async move {
        let gateway = Gateway::start().await;
        gateway.set(|state| state.page = Some(page));
        not_caught_up(&gateway, why).await;
        // Errors are waited out: no storm of requests.
        assert!(gateway.count("/api/v1/revocations") < 20, "{why}");
    });
    let [a, b, c, d] = all;
    tokio::join!(a, b, c, d);
}

#[tokio::test]
async fn keys_from_elsewhere_or_of_no_shape_are_no_keys() {
    let elsewhere = async {
        let gateway = Gateway::start().await;
        gateway.set(|state| state.jwks_uri = Some("http://127.0.0.1:1/jwks".into()));
        not_caught_up(&gateway, "outside the issuer's origin").await;
        assert_eq!(gateway.count("/oauth2/jwks"), 0);
    };
    let too_many = async {
        let gateway = Gateway::start().await;
        let key = gateway.signer.jwk();
        gateway.set(|state| state.keys = vec![key; 33]);
        not_caught_up(&gateway, "no key set").await;
        assert_eq!(gateway.verifierless().await, Err(Denied::Unavailable));
    };
    tokio::join!(elsewhere, too_many);
}

impl Gateway {
    /// A good token at a verifier that could not start.
    async fn verifierless(&self) -> Result<(), Denied> {
        self.builder().build().unwrap().verify(&self.token(json!({}))).await.map(drop)
    }
}

/// A server that sends endlessly, or a byte now and then, is left.
#[tokio::test]
async fn an_endless_answer_and_a_dripping_one_are_left() {
    for (chunk, pause) in
        [(vec![b' '; 64 * 1024], Duration::ZERO), (b" ".to_vec(), Duration::from_millis(200))]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let (sent, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (sending, leaving) = (sent.clone(), left.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (chunk, sent, left) = (chunk.clone(), sending.clone(), leaving.clone());
                tokio::spawn(async move {
                    let _ = socket.read(&mut [0; 4_096]).await;
                    let _ =
                        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{").await;
                    while socket.write_all(&chunk).await.is_ok() {
                        sent.fetch_add(chunk.len(), Ordering::Relaxed);
                        sleep(pause).await;
                    }
                    left.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        let start = Instant::now();
        let verifier = Verifier::builder(&base, AUDIENCE).client(AUDIENCE, SECRET).build().unwrap();
        until(8, async || left.load(Ordering::Relaxed) > 0).await;
        assert!(start.elapsed() < Duration::from_secs(7));
        // What was under way in the sockets' buffers counts too.
        assert!(sent.load(Ordering::Relaxed) < 40 << 20);
        assert!(verifier.health().is_stale);
    }
}
