//! A Redis that lost what it held is noticed and filled again; one that would forget by itself is refused.
//! A gateway of its own, over a Redis of its own.

use crate::{
    house::{Site, redis::Redis},
    start_refused::refused,
};
use std::time::{Duration, Instant};

async fn comes(redis: &Redis, command: &str, wanted: &str) {
    let start = Instant::now();
    while redis.say(command).as_deref() != Some(wanted) {
        assert!(start.elapsed() < Duration::from_secs(20), "{command}: never {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn losses(how: &str) -> u64 {
    let losses = broker::counted::REDIS_LOSSES.read();
    losses.into_iter().find(|([known], _)| *known == how).map_or(0, |(_, number)| number)
}

/// The generation, which stays over a round of the guard.
async fn stands_still(redis: &Redis) -> String {
    let generation = || redis.say("HGET guard generation").unwrap();
    let before = generation();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(generation(), before, "nothing was lost");
    before
}

/// Emptied, or put back to an older state: each org's watermarks come again, under a new generation.
#[tokio::test]
async fn what_redis_lost_is_noticed_and_brought_again() {
    let redis = Redis::start();
    let house = Site { redis_url: Some(redis.url()), ..Site::named("guard") }.open();
    let tenant = house.tenant().await;
    let (status, said) =
        house.api("POST", &tenant.org_key, &format!("/orgs/{}/revoke", tenant.slug), None).await;
    assert!(status < 300, "{status} {said}");
    let watermark = format!("HGET ep:{{{}}} org", tenant.org);
    comes(&redis, &watermark, "1").await;
    comes(&redis, "EXISTS guard", ":1").await;
    let first = redis.say("HGET guard generation").unwrap();
    let before = losses("emptied");
    assert_eq!(redis.say("FLUSHALL").unwrap(), "+OK");
    comes(&redis, &watermark, "1").await;
    comes(&redis, "EXISTS guard", ":1").await;
    assert!(losses("emptied") > before);
    let second = stands_still(&redis).await;
    assert_ne!(second, first);
    let before = losses("rewound");
    assert_eq!(redis.say(&format!("DEL ep:{{{}}}", tenant.org)).unwrap(), ":1");
    assert_eq!(redis.say("HSET guard beat -1").unwrap(), ":0");
    comes(&redis, &watermark, "1").await;
    assert!(losses("rewound") > before);
}

/// A Redis that may evict would forget a watermark and never say so.
#[test]
fn a_redis_that_evicts_is_refused_at_the_start() {
    let redis = Redis::with_policy("allkeys-lru");
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let said = refused(&["serve"], &[("REDIS_URL", &redis.url()), ("VESTIBULE_DATA_DIR", folder)]);
    assert!(said.contains("maxmemory-policy allkeys-lru"), "{said}");
}
