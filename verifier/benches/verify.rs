//! What a request pays for the verifier, against the one thing nobody can leave out at first: the raw
//! ES256 verification of as many bytes. Prints medians in microseconds: `cargo bench -p vestibule-verifier`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench stops at the first surprise, and uses a part of the tests' gateway"
)]

#[path = "../tests/fake/mod.rs"]
mod fake;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fake::Gateway;
use serde_json::json;
use std::{hint::black_box, time::Instant};
use vestibule_verifier::Verifier;

const ROUNDS: usize = 5_000;
const REVOCATIONS: u64 = 100_000;
/// Checks a round: one alone is as short as a look at the clock.
const BATCH: usize = 100;

fn median(mut micros: Vec<f64>) -> f64 {
    micros.sort_by(f64::total_cmp);
    micros[micros.len() / 2]
}

fn line(name: &str, floor: f64, ours: f64) {
    println!("{name:<44}{ours:>10.2}{:>10.3}", ours / floor);
}

async fn verified(verifier: &Verifier, tokens: &[String]) -> f64 {
    let mut micros = Vec::new();
    for token in tokens.iter().cycle().take(ROUNDS) {
        let start = Instant::now();
        black_box(verifier.verify(token).await.unwrap());
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    median(micros)
}

fn checked(verifier: &Verifier, claims: &vestibule_verifier::Claims) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(verifier.check(black_box(claims))).unwrap();
        }
        start.elapsed().as_secs_f64() * 1e6 / BATCH as f64
    });
    median(rounds.collect())
}

#[tokio::main]
async fn main() {
    let gateway = Gateway::start().await;
    let tokens: Vec<String> = (0..ROUNDS).map(|n| gateway.token(json!({"jti": n.to_string()}))).collect();
    let jwk = gateway.signer.jwk();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], part("x"), part("y")].concat());
    let raw = tokens.iter().map(|token| {
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let start = Instant::now();
        key.verify(input.as_bytes(), &signature).unwrap();
        start.elapsed().as_secs_f64() * 1e6
    });
    let floor = median(raw.collect());
    println!("{:<44}{:>10}{:>10}", "a token of 700 bytes", "us", "x raw");
    line("raw ES256 verification", floor, floor);

    let none = gateway.builder().cached_tokens_max(0).start().await.unwrap();
    line("verify, never seen before", floor, verified(&none, &tokens).await);
    let cached = gateway.verifier().await;
    verified(&cached, &tokens[..1]).await;
    line("verify, its signature remembered", floor, verified(&cached, &tokens[..1]).await);
    let claims = cached.verify(&tokens[0]).await.unwrap();
    line("check, no revocations", floor, checked(&cached, &claims));

    gateway.set(|state| state.page_max = 10_000);
    for n in 0..REVOCATIONS {
        // A tenth of them in the token's own org.
        let org = if n % 10 == 0 { "org_1".to_owned() } else { format!("org_{}", n % 1_000) };
        gateway.revoke(&org, 6 + n, &format!("usr:usr_{}", n + 2), "terminate");
    }
    let start = Instant::now();
    let full = gateway.builder().build().unwrap();
    while full.caught_up().await.is_err() {}
    let took = start.elapsed();
    assert_eq!(full.health().watermarks as u64, REVOCATIONS);
    line("check, 100,000 revocations", floor, checked(&full, &claims));
    line("verify, remembered, 100,000 revocations", floor, verified(&full, &tokens[..1]).await);
    println!("from nothing to 100,000 revocations, the test gateway's part with it: {} ms", took.as_millis());
}
