//! Rate limits, at a node of their own that shares the stores of the run: buckets per credential and
//! per org, told on every limited answer, refused in the caller's dialect, open when Redis is away.

use crate::house::{House, Site, Tenant, house, walk::text};
use model::TokenDigest;
use serde_json::{Value, json};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

const PER_SEC: u32 = 25;
/// Five seconds' worth.
const BUCKET: usize = 125;

/// A second node, with the least that a setting allows.
pub fn strict() -> &'static House {
    static NODE: OnceLock<&'static House> = OnceLock::new();
    NODE.get_or_init(|| {
        let public_url = Some(house().base.clone());
        Site { requests_per_sec: PER_SEC, public_url, ..Site::named("test") }.open()
    })
}

pub struct Answer {
    status: u16,
    took: Duration,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answer {
    fn number(&self, name: &str) -> i64 {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers));
        value.to_str().unwrap().parse().unwrap()
    }
}

async fn get(node: &House, key: &str, path: &str) -> Answer {
    let began = Instant::now();
    let sent = node.http.get(node.url(path)).bearer_auth(key).send().await.unwrap();
    let took = began.elapsed();
    let (status, headers) = (sent.status().as_u16(), sent.headers().clone());
    let text = sent.text().await.unwrap();
    Answer { status, took, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

fn teams(tenant: &Tenant) -> String {
    format!("/api/v1/orgs/{}/teams", tenant.org)
}

/// As many as come at once, and how many of them were refused.
pub async fn flood(node: &'static House, key: &str, path: &str, count: usize) -> Vec<Answer> {
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (key, path) = (key.to_owned(), path.to_owned());
        asked.spawn(async move { get(node, &key, &path).await });
    }
    asked.join_all().await
}

/// An answer that Redis had a word in: on a machine with much to do one may go through uncounted.
async fn counted(node: &House, tenant: &Tenant) -> Answer {
    for _ in 0..5 {
        let answer = get(node, &tenant.org_key, &teams(tenant)).await;
        if answer.headers.contains_key("x-ratelimit-limit") {
            return answer;
        }
    }
    panic!("nothing is counted");
}

pub fn refused(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == 429).count()
}

#[tokio::test]
async fn a_bucket_runs_dry_is_told_and_fills_again() {
    let node = strict();
    let tenant = node.tenant().await;
    let first = counted(node, &tenant).await;
    assert_eq!((first.status, first.number("x-ratelimit-limit")), (200, 125));
    assert!((120..=124).contains(&first.number("x-ratelimit-remaining")));
    assert_eq!(first.number("x-ratelimit-reset"), 1);
    // A machine with much to do may be so slow that the bucket fills as fast as it is emptied.
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.extend(flood(node, &tenant.org_key, &teams(&tenant), 2 * BUCKET).await);
        if refused(&answers) > 0 {
            break;
        }
    }
    let over = refused(&answers);
    assert!(over > 0 && answers.len() - over >= BUCKET - 1, "{over} of {}", answers.len());
    let told: Vec<_> =
        answers.iter().filter(|answer| answer.headers.contains_key("x-ratelimit-limit")).collect();
    assert!(told.len() > BUCKET);
    for answer in told {
        assert!(answer.number("x-ratelimit-remaining") >= 0 && answer.number("x-ratelimit-reset") <= 5);
        match answer.status {
            200 => assert!(answer.headers.get("retry-after").is_none()),
            429 => {
                assert_eq!(
                    (text(&answer.body, "code"), answer.number("x-ratelimit-remaining")),
                    ("rate_limited", 0)
                );
                assert_eq!(answer.headers["content-type"], "application/problem+json");
                assert_eq!(answer.number("retry-after"), 1);
            }
            other => panic!("{other} {}", answer.body),
        }
    }
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(get(node, &tenant.org_key, &teams(&tenant)).await.status, 200, "Retry-After keeps its word");
}

/// Who asks anew with each answer asks no more often than that.
#[tokio::test]
async fn who_asks_again_before_the_wait_is_over_is_held_for_a_moment() {
    let node = strict();
    let tenant = node.tenant().await;
    flood(node, &tenant.org_key, &teams(&tenant), 2 * BUCKET).await;
    // A few at a time: so few are answered sooner where nobody is held.
    for _ in 0..50 {
        let answers = flood(node, &tenant.org_key, &teams(&tenant), 12).await;
        if answers.iter().any(|answer| answer.status == 429 && answer.took >= Duration::from_millis(100)) {
            return;
        }
    }
    panic!("nobody was held");
}

/// What would wait for seconds, because people of another org are here, is told to come again, like what asks too often:
/// long before any limit of this house.
#[tokio::test]
async fn a_directory_whose_line_is_full_is_throttled() {
    let house = house();
    let (loud, other) = (house.tenant().await, house.tenant().await);
    let users = "/scim/v2/Users?count=1";
    let (mut answers, mut is_held, mut is_served) = (Vec::new(), false, false);
    let tokens = format!("/orgs/{}/directories/{}/tokens", loud.org, loud.directory);
    let (_, second) = house.api("POST", &loud.org_key, &tokens, Some(json!({}))).await;
    let (live, digest) = (house.gw.live.as_ref().unwrap(), TokenDigest::of(&loud.scim_token));
    for _ in 0..5 {
        assert_eq!(get(house, &other.org_key, &teams(&other)).await.status, 200);
        let token = loud.scim_token.clone();
        let flooding = tokio::spawn(async move { flood(house, &token, users, 200).await });
        while !flooding.is_finished() {
            is_held |= live.waits(&digest).is_some();
            if is_held && !is_served {
                assert_eq!(
                    get(house, text(&second, "token"), users).await.status,
                    200,
                    "who asks seldom has a place"
                );
                is_served = true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answers.extend(flooding.await.unwrap());
        if refused(&answers) > 0 {
            break;
        }
    }
    assert!(is_held && is_served, "its next request is held like one that comes too early");
    let (over, served): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 429);
    assert!(!over.is_empty() && served.len() >= 64, "{} of {}", over.len(), answers.len());
    assert!(served.iter().all(|answer| answer.status == 200), "nobody waits in vain");
    for answer in over {
        assert!(text(&answer.body, "detail").contains("scim.throttled"), "{}", answer.body);
        assert_eq!(answer.number("retry-after"), 1);
    }
    let mut told = answers.iter().filter(|answer| answer.headers.contains_key("x-ratelimit-limit"));
    let remains = |answer: &Answer| (answer.status == 429) == (answer.number("x-ratelimit-remaining") == 0);
    assert!(told.all(remains), "a limit that has room, and no room for it");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(get(house, &loud.scim_token, users).await.status, 200);
}

/// Requests that a node was granted together are told of one by one.
#[tokio::test]
async fn what_remains_falls_by_one_with_each_request() {
    const ASKED: i64 = 40;
    let node = strict();
    let tenant = node.tenant().await;
    let (first, began) = (counted(node, &tenant).await, Instant::now());
    for _ in 1..ASKED {
        assert_eq!(get(node, &tenant.org_key, &teams(&tenant)).await.status, 200);
    }
    let last = counted(node, &tenant).await;
    let fell = first.number("x-ratelimit-remaining") - last.number("x-ratelimit-remaining");
    let filled = i64::from(PER_SEC) * (began.elapsed().as_millis() as i64 + 999) / 1_000 + 1;
    assert!((ASKED - filled..=ASKED + 4).contains(&fell), "{fell} of {ASKED}, and {filled} came back");
}

#[tokio::test]
async fn an_orgs_credentials_share_its_bucket_and_no_other_org_feels_it() {
    let node = strict();
    let (loud, quiet) = (node.tenant().await, node.tenant().await);
    let users = "/scim/v2/Users?count=1";
    let own = teams(&loud);
    let (mut by_key, mut by_token) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let key = flood(node, &loud.org_key, &own, BUCKET);
        let (key, token) = tokio::join!(key, flood(node, &loud.scim_token, users, BUCKET));
        by_key.extend(key);
        by_token.extend(token);
        if refused(&by_key) + refused(&by_token) > 0 {
            break;
        }
    }
    let over = refused(&by_key) + refused(&by_token);
    assert!(over > 0, "neither alone is too much, both together are");
    let fresh = get(node, &loud.scim_token, users).await;
    assert!([200, 429].contains(&fresh.status));
    let others = flood(node, &quiet.org_key, &teams(&quiet), 50).await;
    assert_eq!(refused(&others), 0, "another org has its own");
    let dialect = by_token.iter().chain([&fresh]).find(|answer| answer.status == 429);
    let dialect = match dialect {
        Some(answer) => answer,
        None => {
            let more = flood(node, &loud.scim_token, users, 8 * BUCKET).await;
            &*Box::leak(Box::new(more.into_iter().find(|answer| answer.status == 429).unwrap()))
        }
    };
    assert_eq!(dialect.body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!(dialect.body["status"], json!("429"));
    assert!(text(&dialect.body, "detail").contains("scim.throttled"));
    assert!(dialect.number("retry-after") >= 1 && dialect.headers["content-type"] == "application/scim+json");
}

#[tokio::test]
async fn what_is_not_proven_takes_nothing_from_anybody() {
    let node = strict();
    let tenant = node.tenant().await;
    let (kept, last) = tenant.org_key.split_at(tenant.org_key.len() - 1);
    let forged = format!("{kept}{}", if last == "x" { "y" } else { "x" });
    for answer in flood(node, &forged, &teams(&tenant), BUCKET).await {
        assert_eq!(answer.status, 401);
        assert!(answer.headers.get("x-ratelimit-limit").is_none());
    }
    let other = node.tenant().await;
    for answer in flood(node, &other.org_key, &teams(&tenant), 20).await {
        assert_eq!(answer.status, 404, "another org's key");
        assert!(answer.headers.get("x-ratelimit-limit").is_none(), "as an unknown org would answer");
    }
    assert!(counted(node, &tenant).await.number("x-ratelimit-remaining") >= 120);
    let platform = get(node, &node.platform_key, &teams(&tenant)).await;
    assert!(
        platform.status == 200 && platform.headers.get("x-ratelimit-limit").is_none(),
        "the operator's own"
    );
}

/// At the token endpoint too, in its own dialect.
#[tokio::test]
async fn a_service_account_fetches_as_often_as_its_secret_may() {
    let node = strict();
    let tenant = node.tenant().await;
    let new = json!({"name": "export", "audience": tenant.app.id});
    let path = format!("/orgs/{}/service-accounts", tenant.org);
    let (status, made) = node.api("POST", &tenant.org_key, &path, Some(new)).await;
    assert_eq!(status, 201, "{made}");
    let (id, secret) = (text(&made, "client_id").to_owned(), text(&made, "client_secret").to_owned());
    let fetch = |secret: String| {
        let request = node.http.post(node.url("/oauth2/token")).basic_auth(id.clone(), Some(secret));
        let form = request.header("content-type", "application/x-www-form-urlencoded");
        async move {
            let began = Instant::now();
            let sent = form.body("grant_type=client_credentials").send().await.unwrap();
            let (status, headers) = (sent.status().as_u16(), sent.headers().clone());
            Answer { status, took: began.elapsed(), headers, body: sent.json().await.unwrap() }
        }
    };
    let mut forged = secret.clone();
    forged.replace_range(10..11, if &secret[10..11] == "x" { "y" } else { "x" });
    let wrong = fetch(forged).await;
    assert_eq!(
        (wrong.status, wrong.headers.get("x-ratelimit-limit")),
        (401, None),
        "not proven, not counted"
    );
    let mut answers = Vec::new();
    for _ in 0..10 {
        let mut asked = tokio::task::JoinSet::new();
        (0..2 * BUCKET).for_each(|_| drop(asked.spawn(fetch(secret.clone()))));
        answers.extend(asked.join_all().await);
        if refused(&answers) > 0 {
            break;
        }
    }
    let over: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(
        !over.is_empty() && answers.len() - over.len() >= BUCKET - 1,
        "{} of {}",
        over.len(),
        answers.len()
    );
    for answer in over {
        assert_eq!(answer.body["error_description"], "rate_limited");
        assert_eq!((answer.number("x-ratelimit-remaining"), answer.number("retry-after")), (0, 1));
    }
    let given = answers.iter().filter(|answer| answer.headers.contains_key("x-ratelimit-limit"));
    assert!(given.count() > BUCKET, "every one is told");
    assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status)));
}

#[tokio::test]
async fn without_redis_nothing_is_limited_and_nobody_waits() {
    let public_url = Some(house().base.clone());
    // Nobody listens there.
    let redis_url = Some("redis://127.0.0.1:1".to_owned());
    let node = Site { requests_per_sec: PER_SEC, redis_url, public_url, ..Site::named("test") }.open();
    let tenant = node.tenant().await;
    let began = Instant::now();
    let one = get(node, &tenant.org_key, &teams(&tenant)).await;
    assert!(one.status == 200 && began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(one.headers.get("x-ratelimit-limit").is_none());
    assert_eq!(refused(&flood(node, &tenant.org_key, &teams(&tenant), 2 * BUCKET).await), 0);
}

/// `limits.body_bytes_max` holds on the administration's bodies too: at the bound and one beyond.
#[tokio::test]
async fn a_body_over_the_setting_is_too_large_by_name() {
    let tenant = house().tenant().await;
    let bytes_max = vestibule::settings::Settings::default().limits.body_bytes_max;
    let frame = json!({"name": ""}).to_string().len();
    for (bytes, wanted) in [(bytes_max, false), (bytes_max + 1, true)] {
        let body = json!({"name": "x".repeat(bytes - frame)});
        let (status, said) =
            house().api("POST", &tenant.org_key, &format!("/orgs/{}/teams", tenant.slug), Some(body)).await;
        assert_eq!(
            (status == 413, said["code"] == "api.body_too_large"),
            (wanted, wanted),
            "{status} {said}"
        );
        assert!(status >= 400);
    }
}
