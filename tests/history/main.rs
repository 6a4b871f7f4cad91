//! A history of clients that sign in, refresh, call, introspect and revoke, while things break, is judged: no yes
//! after an acknowledged revocation beyond the mode's bound, and no such revocation lost. What is done when, and what
//! breaks, is drawn from a seed. How soon all is back is told.
//!
//!   cargo test -p vestibule --test history                      seeds 1 to 20
//!   cargo test -p vestibule --test history -- --seeds 2000      as many as that
//!   cargo test -p vestibule --test history -- --seed 17         that one again
//!
//! `HISTORY_LOG=info` shows what the gateway says.
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an instrument: what fails ends it; the unit tests of its rooms run in tests/main.rs"
)]

mod judge;
#[path = "../house/line.rs"]
mod line;
mod people;
mod plan;
#[path = "../house/redis.rs"]
mod redis;
mod scene;
mod stand;

use judge::{Asked, Bounds, Outcome};
use plan::{Plan, Trouble};
use std::{collections::BTreeMap, time::Duration};
use vestibule_verifier::Mode;

/// The bounded mode is made tighter than its 30 s, or a run would take a minute.
pub const BOUNDS: Bounds = Bounds {
    strict: Duration::from_secs(2),
    bounded: Duration::from_secs(3),
    // It promises no bound; a machine that is busy with other things must not break one that is none.
    connected: Duration::from_secs(10),
};

#[derive(Default)]
struct Sum {
    runs: usize,
    ops: usize,
    revocations: usize,
    faults: usize,
    recovery: Duration,
    latest: [Duration; 3],
}

/// Of what is tested with everything else.
const SEEDS: u64 = 20;

/// The seeds that the words ask for; none where they name tests, for here is none with a name.
fn seeds() -> Vec<u64> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |word: &str| {
        let at = words.iter().position(|one| one == word)?;
        Some(
            words
                .get(at + 1)
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or_else(|| panic!("{word} takes a number")),
        )
    };
    if let Some(seed) = number("--seed") {
        return vec![seed];
    }
    let named = if words.is_empty() { SEEDS } else { 0 };
    (1..=number("--seeds").unwrap_or(named)).collect()
}

fn main() {
    let seeds = seeds();
    if seeds.is_empty() {
        return;
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let is_right = runtime.block_on(run(&seeds));
    drop(runtime);
    if !is_right {
        std::process::exit(1);
    }
}

async fn run(seeds: &[u64]) -> bool {
    let mut stand = stand::Stand::start().await;
    stand.prepare().await;
    let mut people = people::People::new(&stand).await;
    let app = people.app.clone();
    let modes = [Mode::Strict, Mode::Bounded, Mode::BestEffort];
    let mut verifiers = Vec::new();
    for mode in modes {
        verifiers.push(stand.verifier(&app, mode).await);
    }
    let verifiers: [_; 3] = verifiers.try_into().unwrap_or_else(|_| panic!("three"));
    let mut is_right = true;
    let mut sums: BTreeMap<Trouble, Sum> = BTreeMap::new();
    for seed in seeds {
        let plan = Plan::of(*seed);
        people.settle(*seed).await;
        let scene = scene::Scene::new(people.clone(), verifiers.clone());
        let played = scene::play(&mut stand, scene, &plan).await;
        let faults = played.history.judge(&BOUNDS);
        let yes = played.history.ops.iter().filter(|op| op.outcome == Outcome::Ok).count();
        let ended = played.history.revocations.iter().filter(|one| one.acknowledged.is_some()).count();
        assert!(yes > 5 && ended > 0, "seed {seed} says nothing: {yes} yes, {ended} revocations");
        for fault in &faults {
            println!("seed {seed}, {}: {fault:?} {}", plan.trouble.as_str(), played.history.told(fault));
        }
        // How soon it recovers is a figure, and no fault: 5 s is the aim, a restore aside. That it does is looked at.
        is_right &= faults.is_empty();
        let sum = sums.entry(plan.trouble).or_default();
        sum.runs += 1;
        sum.ops += played.history.ops.len() + played.history.families.len();
        sum.revocations += ended;
        sum.faults += faults.len();
        for (latest, asked) in sum.latest.iter_mut().zip([Asked::Strict, Asked::Bounded, Asked::BestEffort]) {
            *latest = played.history.latest_yes(asked).max(*latest);
        }
        sum.recovery = sum.recovery.max(played.recovery);
    }
    println!(
        "{:<40} | {:>5} | {:>7} | {:>11} | {:>6} | {:>8} | latest yes after an end, in s: strict, bounded, best effort",
        "what broke", "runs", "asked", "revocations", "faults", "recovery"
    );
    for (trouble, sum) in &sums {
        let [strict, bounded, best] = sum.latest.map(|latest| latest.as_secs_f64());
        println!(
            "{:<40} | {:>5} | {:>7} | {:>11} | {:>6} | {:>6.1} s | {strict:.3}, {bounded:.3}, {best:.3}",
            trouble.as_str(),
            sum.runs,
            sum.ops,
            sum.revocations,
            sum.faults,
            sum.recovery.as_secs_f64()
        );
    }
    is_right
}
