//! Whole walks against a gateway in its own process: operations per CPU-second of that process, its
//! memory, its start; beside them the limit where there is one: the same statements by pgbench, a raw
//! GET of Redis. Run: `cargo bench -p vestibule --bench load [-- --secs 5 scim sync …]`; with
//! `DATABASE_URL` and `REDIS_URL` it uses those. The clients share the machine: read the CPU column.
//! Limits and peers that are not measured here are those of two shared cores (EPYC), loopback, no TLS.
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

mod args;
mod check;
mod crowd;
mod gateway;
mod large;
mod latency;
mod noisy;
mod scim;
mod stage;
mod sync;
mod table;
mod wire;

use args::Args;
use gateway::{CLIENTS, Gateway, Limits, Until, start};
use stage::{set, text};
use std::sync::Arc;
use table::{head, row};

#[tokio::main]
async fn main() {
    let args = Args::read();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average at the start: {}", load.trim());
    if args.apart {
        gateway::stand_apart();
    }
    if ["signin", "scim", "sync", "members", "deactivate", "filter"].iter().any(|stage| args.wants(stage)) {
        let gateway = start(Limits::None).await;
        println!("ready after {:.0} ms, {:.1} MB idle", gateway.ready_ms, gateway.rss_mb());
        let (key, http) = (gateway.platform_key(), gateway::client());
        if args.wants("signin") {
            sign_ins(&gateway, &key, &args).await;
        }
        if args.wants("scim") {
            scim::run(&gateway, &http, &key, args.secs).await;
        }
        if ["sync", "members", "deactivate"].iter().any(|stage| args.wants(stage)) {
            sync::run(&gateway, &http, &key, &args).await;
        }
        if args.wants("filter") {
            large::run(&gateway, &http, &key, &args).await;
        }
    }
    if args.wants("latency") {
        latency::run().await;
    }
    if args.wants("noisy") {
        noisy::run(args.secs).await;
    }
    if args.wants("crowd") {
        crowd::run().await;
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\nload average at the end: {}", load.trim());
}

async fn sign_ins(gateway: &Gateway, key: &str, args: &Args) {
    let (orgs, until) = (args.orgs, Until::Secs(args.secs));
    let stage = Arc::new(set(gateway, key, orgs).await);
    stage.login(0).await;
    head(&format!("{orgs} orgs, {CLIENTS} clients"));
    let s = stage.clone();
    let whole = gateway.cost("whole SAML login", CLIENTS, until, move |n| {
        let s = s.clone();
        async move { drop(s.login(n as usize).await) }
    });
    row("whole SAML login", &whole.await.told(), "~5,500 /cpu-s", "saml-jackson 38", "1,500 /cpu-s");
    let access = text(&stage.login(0).await, "access_token");
    let (s, token) = (stage.clone(), access.clone());
    let asked = gateway.cost("introspection", CLIENTS, until, move |_| {
        let (s, token) = (s.clone(), token.clone());
        async move { assert_eq!(s.as_app("/oauth2/introspect", &[("token", &token)]).await["active"], true) }
    });
    row("introspection", &asked.await.told(), "~12,000 /cpu-s", "oidc-provider 4,400", "8,000 /cpu-s");
    let (s, pass) = (stage.clone(), stage.pass(0).await);
    let url = format!("{}/forward-auth?app={}", stage.base, stage.app.0);
    let let_on = gateway.cost("/forward-auth by a pass", CLIENTS, until, move |_| {
        let (s, pass, url) = (s.clone(), pass.clone(), url.clone());
        async move {
            let answer = s.http.get(url).header("cookie", pass).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 200);
        }
    });
    row("/forward-auth by a pass", &let_on.await.told(), "as introspection", "", "as introspection");
    let s = stage.clone();
    let keys = gateway.cost("JWKS", CLIENTS, until, move |_| {
        let s = s.clone();
        async move { drop(s.http.get(format!("{}/oauth2/jwks", s.base)).send().await.unwrap().bytes().await) }
    });
    row("JWKS", &keys.await.told(), "115,000 /cpu-s", "glewlwyd 33,000", "80,000 /cpu-s");
    let s = stage.clone();
    let fetched = gateway.cost("client credentials", CLIENTS, until, move |_| {
        let s = s.clone();
        async move {
            let form = [("grant_type", "client_credentials")];
            text(&s.as_client(&s.service, "/oauth2/token", &form).await, "access_token");
        }
    });
    let told = fetched.await.told();
    row("client credentials", &told, "~35,000 /cpu-s", "oidc-provider 3,100", "15,000 /cpu-s");
    refreshes(gateway, &stage, until).await;
    check::run(gateway, args.secs).await;
}

async fn refreshes(gateway: &Gateway, stage: &Arc<stage::Stage>, until: Until) {
    let mut held = Vec::new();
    for n in 0..CLIENTS * 4 {
        held.push(tokio::sync::Mutex::new(text(&stage.login(n).await, "refresh_token")));
    }
    let (s, held) = (stage.clone(), Arc::new(held));
    let refreshed = gateway.cost("refresh with rotation", CLIENTS, until, move |n| {
        let (s, held) = (s.clone(), held.clone());
        async move {
            let mut token = held[n as usize % held.len()].lock().await;
            let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
            let next = s.as_app("/oauth2/token", &form).await;
            *token = text(&next, "refresh_token");
        }
    });
    let told = refreshed.await.told();
    row("refresh with rotation", &told, "~25,000 /cpu-s", "oidc-provider 1,087", "8,000 /cpu-s");
}
