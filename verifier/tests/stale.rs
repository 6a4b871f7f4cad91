//! When nothing is heard: what each mode does, at a partition of the feed and of everything.

use crate::fake::{Asked, Gateway, until};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use vestibule_verifier::{Denied, Mode, Verifier};

/// A verifier that heard the gateway once, and does not any more.
async fn cut_off(mode: Mode) -> (Gateway, Verifier) {
    let gateway = Gateway::start().await;
    let verifier = gateway.builder().mode(mode).start().await.unwrap();
    assert!(verifier.verify(&gateway.token(json!({}))).await.is_ok());
    gateway.set(|state| state.feed = false);
    (gateway, verifier)
}

#[tokio::test]
async fn strict_asks_after_two_seconds_and_refuses_when_it_cannot() {
    let (gateway, verifier) = cut_off(Mode::Strict).await;
    let (token, start) = (gateway.token(json!({})), Instant::now());
    assert_eq!(gateway.count("/oauth2/introspect"), 0);
    gateway.set(|state| state.asked = Asked::Fails);
    until(4, async || verifier.verify(&token).await == Err(Denied::Unavailable)).await;
    assert!(start.elapsed() < Duration::from_millis(3_500), "{:?}", start.elapsed());
    assert!(verifier.health().is_stale);
    gateway.set(|state| state.asked = Asked::Inactive);
    assert_eq!(verifier.verify(&token).await, Err(Denied::Inactive));
    gateway.set(|state| state.asked = Asked::AboutAnother);
    assert_eq!(verifier.verify(&token).await, Err(Denied::Unavailable));
    gateway.set(|state| state.asked = Asked::Hangs);
    let asked = Instant::now();
    assert_eq!(verifier.verify(&token).await, Err(Denied::Unavailable));
    assert!(asked.elapsed() < Duration::from_secs(3), "a hanging gateway is waited for two seconds");
    gateway.set(|state| state.asked = Asked::Active);
    let claims = verifier.verify(&token).await.unwrap();
    assert_eq!(verifier.check(&claims), Err(Denied::Unavailable), "a check asks nobody");
    // What the gateway said is good for as long as one's own knowledge would be.
    let count = gateway.count("/oauth2/introspect");
    gateway.set(|state| state.asked = Asked::Inactive);
    assert!(verifier.verify(&token).await.is_ok());
    assert_eq!(gateway.count("/oauth2/introspect"), count);
    assert!(
        verifier.verify(&gateway.token(json!({"jti": "evt_2"}))).await.is_err(),
        "said of that token alone"
    );
    sleep(Duration::from_millis(2_100)).await;
    assert_eq!(verifier.verify(&token).await, Err(Denied::Inactive));
    // And when the feed is back, it is enough again.
    gateway.set(|state| (state.feed, state.asked) = (true, Asked::Fails));
    until(20, async || verifier.verify(&token).await.is_ok()).await;
    assert!(!verifier.health().is_stale);
}

#[tokio::test]
async fn bounded_trusts_itself_for_its_bound() {
    let gateway = Gateway::start().await;
    let bound = Duration::from_secs(4);
    let verifier = gateway.builder().staleness_max(bound).start().await.unwrap();
    let token = gateway.token(json!({}));
    gateway.set(|state| (state.feed, state.asked) = (false, Asked::Fails));
    let start = Instant::now();
    let took = until(8, async || verifier.verify(&token).await == Err(Denied::Unavailable)).await;
    assert!(took > Duration::from_millis(2_500), "{took:?}");
    assert!(start.elapsed() < Duration::from_secs(6));
    assert_eq!(Mode::default().staleness_max(), Some(Duration::from_secs(30)));
    assert_eq!(Mode::Strict.staleness_max(), Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn best_effort_refuses_nobody_for_staleness_but_everybody_known_to_be_revoked() {
    let gateway = Gateway::start().await;
    gateway.revoke("org_1", 6, "usr:usr_2", "terminate");
    let verifier = gateway.builder().mode(Mode::BestEffort).start().await.unwrap();
    gateway.set(|state| (state.feed, state.asked) = (false, Asked::Inactive));
    sleep(Duration::from_secs(3)).await;
    assert!(verifier.verify(&gateway.token(json!({}))).await.is_ok());
    assert!(verifier.verify(&gateway.token(json!({"sub": "usr_2"}))).await.is_err());
    assert_eq!(gateway.count("/oauth2/introspect"), 0);
}

/// Before the first word from the gateway nothing is known, and no mode but the last vouches.
#[tokio::test]
async fn a_verifier_that_never_heard_anything_says_so() {
    let gateway = Gateway::start().await;
    gateway.set(|state| (state.feed, state.asked) = (false, Asked::Fails));
    let token = gateway.token(json!({}));
    for (mode, passes) in [(Mode::Strict, false), (Mode::Bounded, false), (Mode::BestEffort, true)] {
        let verifier = gateway.builder().mode(mode).build().unwrap();
        until(3, async || verifier.health().keys == 1).await;
        assert_eq!(verifier.verify(&token).await.is_ok(), passes, "{mode:?}");
        let health = verifier.health();
        assert!(health.is_stale && health.staleness.is_none(), "{mode:?}");
    }
}

/// What may have been forgotten cannot be judged by marks: a token older than revocations are kept.
#[tokio::test]
async fn a_token_older_than_the_memory_is_asked_about() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let now = crate::fake::tokens::now();
    gateway.set(|state| state.asked = Asked::Inactive);
    let old = gateway.token(json!({"iat": now - 3_700, "exp": now + 60, "auth_time": now - 3_700}));
    assert_eq!(verifier.verify(&old).await, Err(Denied::Inactive));
    let young = gateway.token(json!({"iat": now - 3_500, "exp": now + 60, "auth_time": now - 3_700}));
    assert!(verifier.verify(&young).await.is_ok());
}
