//! How revocations arrive: at once, after a lost connection, after a gap, and through proxies that do
//! not let streams through.

use crate::fake::{Gateway, Streams, until};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use vestibule_verifier::{Action, Denied, Fault, Mode, StartError, Way};

#[tokio::test]
async fn a_revocation_bites_at_once_by_each_scope_a_token_names() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let mut seq = 5;
    for scope in ["org", "usr:usr_1", "ses:ses_1", "app:app_1", "con:con_1"] {
        let token = gateway.token(json!({"rs": seq}));
        let newer = gateway.token(json!({"rs": seq + 1}));
        let claims = verifier.verify(&token).await.unwrap();
        seq += 1;
        gateway.revoke("org_2", seq + 100, scope, "terminate");
        gateway.revoke("org_1", seq + 100, &format!("{scope}0"), "terminate");
        gateway.revoke("org_1", seq, scope, "terminate");
        let took = until(2, async || verifier.verify(&token).await.is_err()).await;
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert_eq!(verifier.verify(&token).await, Err(Denied::Revoked(Action::Terminate)), "{scope}");
        assert_eq!(verifier.check(&claims), Err(Denied::Revoked(Action::Terminate)));
        if scope == "org" {
            // The scope `org0` is of no kind that is known: it is held against the whole org.
            break;
        }
        assert!(verifier.verify(&newer).await.is_ok(), "born after it");
    }
}

#[tokio::test]
async fn other_people_other_orgs_and_later_tokens_live() {
    let gateway = Gateway::start().await;
    for scope in ["usr:usr_1", "ses:ses_1", "app:app_1", "con:con_1"] {
        gateway.revoke("org_2", 9, scope, "terminate");
        gateway.revoke("org_1", 9, &format!("{scope}0"), "terminate");
        gateway.revoke("org_1", 5, scope, "terminate");
    }
    gateway.revoke("org_3", 9, "org", "reassert");
    let verifier = gateway.verifier().await;
    assert_eq!(verifier.health().watermarks, 13);
    assert!(verifier.verify(&gateway.token(json!({}))).await.is_ok());
    let reassert = gateway.token(json!({"org_id": "org_3"}));
    assert_eq!(verifier.verify(&reassert).await, Err(Denied::Revoked(Action::Reassert)));
    assert!(verifier.verify(&gateway.token(json!({"org_id": "org_3", "rs": 9}))).await.is_ok());
    // What is not understood is held against all that it may be about.
    gateway.revoke("org_4", 9, "team:team_1", "terminate");
    gateway.revoke("org_5", 9, "usr:usr_1", "dissolve");
    for org in ["org_4", "org_5"] {
        until(2, async || verifier.verify(&gateway.token(json!({"org_id": org}))).await.is_err()).await;
    }
}

#[tokio::test]
async fn everything_kept_is_known_before_the_start_is_over() {
    let gateway = Gateway::start().await;
    gateway.set(|state| state.page_max = 7);
    for n in 0..100 {
        gateway.revoke("org_1", 6 + n, &format!("usr:usr_{n}"), "terminate");
    }
    let verifier = gateway.verifier().await;
    for n in [0, 50, 99] {
        let token = gateway.token(json!({"sub": format!("usr_{n}")}));
        assert_eq!(verifier.verify(&token).await, Err(Denied::Revoked(Action::Terminate)), "{n}");
    }
    assert!(verifier.verify(&gateway.token(json!({"sub": "usr_100"}))).await.is_ok());
    assert_eq!(verifier.health().watermarks, 100);
}

#[tokio::test]
async fn what_was_taken_in_is_acknowledged_at_most_once_a_second() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    for n in 0..30 {
        gateway.revoke("org_1", 6 + n, &format!("usr:usr_{n}"), "terminate");
        sleep(Duration::from_millis(50)).await;
    }
    let acks = || gateway.state.lock().unwrap().acks.clone();
    until(4, async || acks().last().is_some_and(|(_, cursor)| cursor == "1.30")).await;
    let acks = acks();
    assert!(acks.len() <= 4, "{acks:?}");
    for pair in acks.windows(2) {
        assert!(pair[1].0 - pair[0].0 > Duration::from_millis(900), "{acks:?}");
    }
    // A failure of it is none of the verifier's.
    gateway.set(|state| state.acks_fail = true);
    gateway.revoke("org_1", 99, "org", "terminate");
    until(2, async || verifier.verify(&gateway.token(json!({}))).await.is_err()).await;
    sleep(Duration::from_millis(1_200)).await;
    assert!(!verifier.health().is_stale);
}

#[tokio::test]
async fn a_lost_stream_is_resumed_where_it_ended() {
    let gateway = Gateway::start().await;
    gateway.revoke("org_1", 6, "usr:usr_6", "terminate");
    let verifier = gateway.verifier().await;
    until(2, async || verifier.health().way == Way::Stream).await;
    gateway.set(|state| state.streams = Streams::Refused);
    until(4, async || verifier.health().way != Way::Stream).await;
    gateway.set(|state| state.streams = Streams::Work);
    gateway.revoke("org_1", 7, "usr:usr_1", "terminate");
    until(4, async || verifier.verify(&gateway.token(json!({}))).await.is_err()).await;
    let seen = gateway.state.lock().unwrap().seen.clone();
    let feed: Vec<&String> =
        seen.iter().filter(|target| target.starts_with("/api/v1/revocations?")).collect();
    assert!(!feed[0].contains("after="), "{feed:?}");
    assert!(feed[1..].iter().all(|target| target.contains("after=1.")), "{feed:?}");
}

#[tokio::test]
async fn after_a_gap_everything_is_sent_again_and_nothing_known_is_dropped() {
    let gateway = Gateway::start().await;
    gateway.revoke("org_1", 6, "usr:usr_1", "terminate");
    let verifier = gateway.verifier().await;
    let dead = gateway.token(json!({}));
    assert!(verifier.verify(&dead).await.is_err());
    // Another life of the database, which never heard of the first revocation, and tells of 20 others slowly.
    gateway.set(|state| {
        state.life = 2;
        state.page_max = 1;
        state.asked = crate::fake::Asked::Fails;
    });
    for n in 0..20 {
        gateway.revoke("org_2", 6 + n, &format!("usr:usr_{n}"), "terminate");
    }
    let last = gateway.token(json!({"org_id": "org_2", "sub": "usr_19"}));
    until(5, async || verifier.verify(&last).await == Err(Denied::Revoked(Action::Terminate))).await;
    until(2, async || !verifier.health().is_stale).await;
    assert_eq!(verifier.verify(&dead).await, Err(Denied::Revoked(Action::Terminate)));
    assert!(verifier.verify(&gateway.token(json!({"sub": "usr_x"}))).await.is_ok());
}

/// While the pages after a gap are still coming, nothing is vouched for.
#[tokio::test]
async fn in_a_gap_the_verifier_is_stale_until_it_is_filled() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let token = gateway.token(json!({}));
    assert!(verifier.verify(&token).await.is_ok());
    let page = json!({"data": [], "cursor": "2.1", "gap": true, "more": true, "keeps_secs": 3_600});
    gateway.set(|state| {
        state.asked = crate::fake::Asked::Fails;
        state.page = Some(page.to_string());
        state.life = 2;
    });
    until(3, async || verifier.verify(&token).await == Err(Denied::Unavailable)).await;
    assert_eq!(verifier.health().staleness, None);
    gateway.set(|state| state.page = None);
    until(12, async || verifier.verify(&token).await.is_ok()).await;
}

/// A cursor that the gateway does not read any more is no reason to ask with it for ever.
#[tokio::test]
async fn with_a_cursor_that_is_none_any_more_it_begins_anew() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let dead = gateway.token(json!({}));
    let page = json!({"data": [], "cursor": "old", "gap": false, "more": false, "keeps_secs": 3_600});
    gateway.set(|state| state.page = Some(page.to_string()));
    until(3, async || gateway.state.lock().unwrap().seen.iter().any(|target| target.contains("after=old")))
        .await;
    gateway.revoke("org_1", 6, "usr:usr_1", "terminate");
    gateway.set(|state| state.page = None);
    until(12, async || verifier.verify(&dead).await.is_err()).await;
}

async fn by_polls(streams: Streams, within_secs: u64) {
    let gateway = Gateway::start().await;
    gateway.set(|state| state.streams = streams);
    let verifier = gateway.builder().mode(Mode::Strict).start().await.unwrap();
    until(within_secs, async || verifier.health().way == Way::Polls).await;
    let asked = gateway.count("/oauth2/introspect");
    for n in 0..3 {
        let token = gateway.token(json!({"sub": format!("usr_{n}")}));
        assert!(verifier.verify(&token).await.is_ok(), "{streams:?}");
        sleep(Duration::from_millis(1_100)).await;
        assert!(verifier.verify(&token).await.is_ok(), "{streams:?}");
        gateway.revoke("org_1", 6 + n, &format!("usr:usr_{n}"), "terminate");
        let took = until(2, async || verifier.verify(&token).await.is_err()).await;
        assert!(took < Duration::from_millis(500), "{streams:?}: {took:?}");
    }
    assert_eq!(gateway.count("/oauth2/introspect"), asked, "polls are fresh enough for 2 s");
}

#[tokio::test]
async fn where_streams_do_not_get_through_long_polls_do() {
    let started = Instant::now();
    tokio::join!(
        by_polls(Streams::Mute, 6),
        by_polls(Streams::Headless, 8),
        by_polls(Streams::Refused, 2),
        by_polls(Streams::Short, 4),
    );
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// A gateway that is started again and again cuts its streams short, and no proxy does.
#[tokio::test]
async fn a_gateway_that_went_away_is_followed_by_stream_again() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    for _ in 0..5 {
        until(3, async || verifier.health().way == Way::Stream).await;
        gateway.set(|state| state.page = Some("away".to_owned()));
        until(3, async || verifier.health().way == Way::Nothing).await;
        sleep(Duration::from_millis(300)).await;
        gateway.set(|state| state.page = None);
    }
    until(3, async || verifier.health().way == Way::Stream).await;
}

/// A new key is found by the first token that names it; strangers' inventions cost one fetch in ten
/// seconds; a key withdrawn ends what it verified.
#[tokio::test]
async fn keys_come_and_go() {
    use crate::fake::tokens::{Signer, claims};
    let gateway = Gateway::start().await;
    gateway.set(|state| state.jwks_age_secs = 3_600);
    let verifier = gateway.verifier().await;
    let old = gateway.token(json!({}));
    assert!(verifier.verify(&old).await.is_ok());
    let next = Signer::es256("k2");
    gateway.set(|state| state.keys = vec![next.jwk()]);
    for n in 0..50 {
        let stranger = Signer::es256(&format!("s{n}")).token(&claims(&gateway.base, json!({})));
        assert_eq!(verifier.verify(&stranger).await, Err(Denied::Token(Fault::UnknownKey)));
    }
    assert_eq!(gateway.count("/oauth2/jwks"), 1);
    let young = next.token(&claims(&gateway.base, json!({})));
    assert!(verifier.verify(&old).await.is_ok(), "remembered, as long as its key is");
    sleep(Duration::from_secs(10)).await;
    let all = (0..8).map(|_| verifier.verify(&young)).collect::<Vec<_>>();
    for each in all {
        assert!(each.await.is_ok());
    }
    assert_eq!(gateway.count("/oauth2/jwks"), 2);
    assert_eq!(verifier.verify(&old).await, Err(Denied::Token(Fault::UnknownKey)), "its key is gone");
}

/// `max-age` is obeyed, ten seconds at least: without any token a withdrawn key goes.
#[tokio::test]
async fn keys_are_fetched_again_when_they_are_no_longer_good() {
    let gateway = Gateway::start().await;
    gateway.set(|state| state.jwks_age_secs = 0);
    let verifier = gateway.verifier().await;
    let token = gateway.token(json!({}));
    assert!(verifier.verify(&token).await.is_ok());
    gateway.set(|state| state.keys = vec![]);
    let took = until(12, async || verifier.verify(&token).await.is_err()).await;
    assert!(took > Duration::from_secs(8), "{took:?}");
}

/// Keys that cannot be fetched again are taken for granted for ten seconds. Then the gateway is asked about each
/// token: it knows whose key was withdrawn.
#[tokio::test]
async fn keys_that_cannot_be_fetched_again_vouch_for_no_token_by_themselves() {
    let gateway = Gateway::start().await;
    gateway.set(|state| state.jwks_age_secs = 0);
    let verifier = gateway.verifier().await;
    let token = gateway.token(json!({}));
    assert!(verifier.verify(&token).await.is_ok());
    gateway.set(|state| {
        state.jwks_fails = true;
        state.asked = crate::fake::Asked::Inactive;
    });
    let took = until(35, async || verifier.verify(&token).await == Err(Denied::Inactive)).await;
    assert!(took > Duration::from_secs(18), "{took:?}");
    gateway.set(|state| state.jwks_fails = false);
    until(12, async || verifier.verify(&token).await.is_ok()).await;
}

#[tokio::test]
async fn a_wrong_issuer_or_client_is_said_at_once() {
    let gateway = Gateway::start().await;
    let slash = format!("{}/", gateway.base);
    gateway.set(|state| state.issuer = Some(slash.clone()));
    assert_eq!(gateway.builder().start().await.err(), Some(StartError::AnotherIssuer(slash)));
    gateway.set(|state| state.issuer = None);
    let wrong = gateway.builder().client("app_1", "wrong").start().await.err();
    assert_eq!(wrong, Some(StartError::WrongClient));
    // A verifier that was built waits for better days, and vouches for nobody until then.
    gateway.set(|state| state.secret = "other".into());
    let built = gateway.builder().build().unwrap();
    assert_eq!(built.caught_up().await, Err(StartError::WrongClient));
    assert_eq!(built.verify(&gateway.token(json!({}))).await, Err(Denied::Unavailable));
    gateway.set(|state| state.secret = crate::fake::SECRET.into());
    until(12, async || !built.health().is_stale).await;
    assert!(built.verify(&gateway.token(json!({}))).await.is_ok());
    assert_eq!(built.caught_up().await, Ok(()));
}

#[tokio::test]
async fn the_last_clone_ends_the_connection() {
    let gateway = Gateway::start().await;
    let verifier = gateway.verifier().await;
    let clone = verifier.clone();
    drop(verifier);
    assert!(clone.verify(&gateway.token(json!({}))).await.is_ok());
    drop(clone);
    sleep(Duration::from_millis(100)).await;
    let before = gateway.state.lock().unwrap().seen.len();
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(gateway.state.lock().unwrap().seen.len(), before);
}
