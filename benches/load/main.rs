//! Whole walks against a gateway in its own process: operations per CPU-second of that process, its
//! memory, its start; beside them the limit where there is one: the same statements by pgbench, a raw
//! GET of Redis. Run: `cargo bench -p vestibule --bench load [-- seconds-per-path [orgs]]`; with
//! `DATABASE_URL` and `REDIS_URL` it uses those. The clients share the machine: read the CPU column.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a measuring instrument: what fails ends it"
)]

mod check;
mod gateway;
mod scim;
mod stage;

use gateway::{CLIENTS, command, measure, start, usage};
use stage::{set, text};
use std::sync::Arc;

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (secs, orgs) = (numbers.first().copied().unwrap_or(5) as u64, numbers.get(1).copied().unwrap_or(10));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let gateway = start().await;
    let (_, idle) = usage(gateway.pid());
    println!("ready after {:.0} ms, {:.1} MB idle", gateway.ready_ms, idle as f64 / 1024.0);
    let made = command(gateway.data.path(), &gateway.base, gateway.port())
        .args(["keys", "create", "--platform", "--name", "load"])
        .output()
        .unwrap();
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let stage = Arc::new(set(&gateway, &key, orgs).await);
    stage.login(0).await;
    println!("{orgs} orgs, {CLIENTS} clients, {secs} s each");

    let s = stage.clone();
    measure("whole SAML login", &gateway, secs, move |n| {
        let s = s.clone();
        async move { drop(s.login(n as usize).await) }
    })
    .await;
    let access = text(&stage.login(0).await, "access_token");
    let (s, token) = (stage.clone(), access.clone());
    measure("introspection", &gateway, secs, move |_| {
        let (s, token) = (s.clone(), token.clone());
        async move { assert_eq!(s.as_app("/oauth2/introspect", &[("token", &token)]).await["active"], true) }
    })
    .await;
    let s = stage.clone();
    measure("JWKS", &gateway, secs, move |_| {
        let s = s.clone();
        async move { drop(s.http.get(format!("{}/oauth2/jwks", s.base)).send().await.unwrap().bytes().await) }
    })
    .await;
    refreshes(&gateway, &stage, secs).await;
    scim::run(&gateway, &stage.http, &key, secs).await;
    check::run(&gateway, secs).await;
}

async fn refreshes(gateway: &gateway::Gateway, stage: &Arc<stage::Stage>, secs: u64) {
    let mut held = Vec::new();
    for n in 0..CLIENTS * 4 {
        held.push(tokio::sync::Mutex::new(text(&stage.login(n).await, "refresh_token")));
    }
    let (s, held) = (stage.clone(), Arc::new(held));
    measure("refresh with rotation", gateway, secs, move |n| {
        let (s, held) = (s.clone(), held.clone());
        async move {
            let mut token = held[n as usize % held.len()].lock().await;
            let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
            let next = s.as_app("/oauth2/token", &form).await;
            *token = text(&next, "refresh_token");
        }
    })
    .await;
}
