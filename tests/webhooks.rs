//! Webhooks from end to end: an act of the API is told to a real server over HTTP, signed as
//! Standard Webhooks says, again and again until it answers 2xx or the delivery is dead.

use crate::{
    administer::{an_org, operate},
    house::{
        House, house,
        served::{Asked, Reply, Served},
        walk::text,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use model::{Timestamp, ids::OrgId};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};
use vestibule::jobs::deliver;

/// HMAC-SHA256 written out (RFC 2104), so that the product's own signer is not its judge.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA256, digest};
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |with: u8| block.iter().map(|b| b ^ with).collect::<Vec<u8>>();
    let inner = digest(&SHA256, &[padded(0x36), message.to_vec()].concat());
    digest(&SHA256, &[padded(0x5c), inner.as_ref().to_vec()].concat()).as_ref().to_vec()
}

/// Does this secret stand behind one of the request's signatures?
fn signed_by(secret: &str, asked: &Asked) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let head = format!("{}.{}.", asked.header("webhook-id"), asked.header("webhook-timestamp"));
    let right =
        format!("v1,{}", STANDARD.encode(hmac_sha256(&key, &[head.as_bytes(), &asked.body].concat())));
    asked.header("webhook-signature").split(' ').any(|one| one == right)
}

struct Hook {
    org: String,
    id: String,
    secret: String,
}

impl Hook {
    async fn at(house: &House, org: &str, url: &str) -> Self {
        let new = json!({"url": url, "events": ["domain.verified"]});
        let (status, made) = operate(house, "POST", &format!("/orgs/{org}/webhooks"), Some(new)).await;
        assert_eq!(status, 201, "{made}");
        Self {
            org: org.to_owned(),
            id: text(&made, "id").to_owned(),
            secret: text(&made, "secret").to_owned(),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/orgs/{}/webhooks/{}{rest}", self.org, self.id)
    }

    /// Newest first.
    async fn deliveries(&self, house: &House, query: &str) -> Vec<Value> {
        let (status, list) = operate(house, "GET", &self.path(&format!("/deliveries{query}")), None).await;
        assert_eq!(status, 200, "{list}");
        list["data"].as_array().unwrap().clone()
    }

    /// The one delivery, once its attempts are noted.
    async fn after(&self, house: &House, attempts: i64) -> Value {
        for _ in 0..800 {
            let found = self.deliveries(house, "").await;
            let noted = |d: &&Value| {
                d["attempts"] == attempts
                    && (attempts == 0 || !d["last_error"].is_null() || d["state"] == "delivered")
            };
            if let Some(one) = found.iter().find(noted) {
                return one.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{attempts} attempts wanted: {:?}", self.deliveries(house, "").await);
    }

    fn org_id(&self) -> OrgId {
        self.org.parse().unwrap()
    }
}

/// An act that a webhook is told of.
async fn happen(house: &House, org: &str, name: &str) {
    let body = json!({"name": format!("{name}.{}.example", org.replace('_', "-")), "trusted": true});
    let (status, said) = operate(house, "POST", &format!("/orgs/{org}/domains"), Some(body)).await;
    assert_eq!(status, 201, "{said}");
}

/// A batch of this org's deliveries, at a time of the test's own.
async fn batch_at(house: &'static House, hook: &Hook, clock: fn() -> Timestamp) {
    let (gw, org) = (broker::Gateway { clock, ..house.gw.clone() }, hook.org_id());
    house.on(async move { deliver::org_batch(&gw, org).await.unwrap() }).await;
}

fn time(value: &Value, name: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text(value, name)).unwrap()
}

#[tokio::test]
async fn an_act_is_told_signed_and_once() {
    let house = house();
    let org = an_org(house).await;
    let receiver = Served::start(|_| Reply::status(204)).await;
    let hook = Hook::at(house, &org, &format!("{}/hook?a=b", receiver.url)).await;
    happen(house, &org, "one").await;
    let asked = receiver.wait_for(1).await.remove(0);
    assert!(signed_by(&hook.secret, &asked), "{asked:?}");
    let other = format!("whsec_{}", STANDARD.encode([7; 32]));
    assert!(!signed_by(&other, &asked), "another secret does not");
    let changed = Asked { body: [&asked.body[..], b" "].concat(), ..asked.clone() };
    assert!(!signed_by(&hook.secret, &changed), "nor another body");
    assert_eq!((asked.path.as_str(), asked.header("content-type")), ("/hook?a=b", "application/json"));
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(text(&body, "type"), "domain.verified");
    assert!(text(&body["data"]["values"], "name").starts_with("one."));
    time(&body, "timestamp");
    let told = hook.after(house, 1).await;
    assert_eq!((text(&told, "id"), text(&told, "state")), (asked.header("webhook-id"), "delivered"));
    assert_eq!(told["last_status"], json!(204));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(receiver.seen().len(), 1, "a delivered one does not come again");
    let (_, team) =
        operate(house, "POST", &format!("/orgs/{org}/teams"), Some(json!({"slug": "t", "name": "T"}))).await;
    assert!(team["id"].is_string());
    assert_eq!(hook.deliveries(house, "").await.len(), 1, "nothing else was asked for");
}

#[tokio::test]
async fn a_failed_one_comes_again_later_and_later_until_it_is_dead_and_is_replayed() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let clock: fn() -> Timestamp = || Timestamp::from_micros(NOW.load(Ordering::Relaxed));
    let house = house();
    let org = an_org(house).await;
    let receiver = Served::start(|_| Reply::status(500)).await;
    let hook = Hook::at(house, &org, &receiver.url).await;
    happen(house, &org, "one").await;
    let mut waiting = hook.after(house, 1).await;
    let mut pauses = Vec::new();
    let mut began = time(&receiver_time(&receiver, 0), "at");
    for attempt in 2..=14 {
        let due = time(&waiting, "next_attempt_at");
        pauses.push(due.secs() - began.secs());
        NOW.store(due.minus_secs(1).micros(), Ordering::Relaxed);
        batch_at(house, &hook, clock).await;
        assert_eq!(receiver.seen().len(), attempt - 1, "not before its time");
        NOW.store(due.micros(), Ordering::Relaxed);
        batch_at(house, &hook, clock).await;
        assert_eq!(receiver.seen().len(), attempt);
        began = due;
        waiting = hook.after(house, i64::try_from(attempt).unwrap()).await;
    }
    let wanted = [5, 30, 60, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 36_000, 36_000, 43_200];
    // The first attempt is by the machine's clock, read before the request and after it.
    assert!((5..=7).contains(&pauses[0]), "{pauses:?}");
    assert_eq!(pauses[1..], wanted[1..]);
    assert_eq!((text(&waiting, "state"), text(&waiting, "last_error")), ("dead", "answered with status 500"));
    let dead = hook.deliveries(house, "?state=dead").await;
    assert_eq!((dead.len(), &dead[0]["last_status"]), (1, &json!(500)));
    let ids: BTreeSet<_> = receiver.seen().iter().map(|a| a.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 1, "one id for all attempts");
    let stamps: BTreeSet<_> =
        receiver.seen().iter().map(|a| a.header("webhook-timestamp").to_owned()).collect();
    assert_eq!(stamps.len(), 14, "each attempt is signed at its own time");
    assert!(receiver.seen().iter().all(|asked| signed_by(&hook.secret, asked)));
    receiver.answer(|_| Reply::status(200));
    let replay = hook.path(&format!("/deliveries/{}/replay", text(&waiting, "id")));
    assert_eq!(operate(house, "POST", &replay, None).await.0, 202);
    let again = receiver.wait_for(15).await.remove(14);
    assert!(ids.contains(again.header("webhook-id")) && signed_by(&hook.secret, &again));
    hook.after(house, 1).await;
    assert_eq!(operate(house, "POST", &replay, None).await.0, 404, "it is delivered");
    assert!(hook.deliveries(house, "?state=dead").await.is_empty());
}

/// When the receiver was asked the nth time, by the request's own word.
fn receiver_time(receiver: &Served, n: usize) -> Value {
    let secs: i64 = receiver.seen()[n].header("webhook-timestamp").parse().unwrap();
    json!({"at": Timestamp::from_secs(secs)})
}

#[tokio::test]
async fn a_crash_between_the_send_and_its_note_sends_the_same_id_again() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let clock: fn() -> Timestamp = || Timestamp::from_micros(NOW.load(Ordering::Relaxed));
    let house = house();
    let org = an_org(house).await;
    let receiver = Served::start(|_| Reply::status(503)).await;
    let hook = Hook::at(house, &org, &receiver.url).await;
    happen(house, &org, "one").await;
    let due = time(&hook.after(house, 1).await, "next_attempt_at");
    // The receiver has taken it, and its answer finds nobody: the process has died.
    receiver.answer(|_| Reply::status(200).after(Duration::from_secs(60)));
    NOW.store(due.micros(), Ordering::Relaxed);
    let gw = broker::Gateway { clock, ..house.gw.clone() };
    let org_id = hook.org_id();
    let died = house
        .on(async move {
            tokio::time::timeout(Duration::from_millis(700), deliver::org_batch(&gw, org_id)).await.is_err()
        })
        .await;
    assert!(died);
    assert_eq!(receiver.wait_for(2).await.len(), 2);
    receiver.answer(|_| Reply::status(200));
    NOW.store(due.plus_secs(29).micros(), Ordering::Relaxed);
    batch_at(house, &hook, clock).await;
    assert_eq!(receiver.seen().len(), 2, "claimed: it may still be under way");
    NOW.store(due.plus_secs(31).micros(), Ordering::Relaxed);
    batch_at(house, &hook, clock).await;
    let seen = receiver.wait_for(3).await;
    let ids: BTreeSet<_> = seen.iter().map(|a| a.header("webhook-id").to_owned()).collect();
    assert_eq!((seen.len(), ids.len()), (3, 1));
    assert_eq!(text(&hook.after(house, 3).await, "state"), "delivered");
}

#[tokio::test]
async fn a_new_secret_signs_beside_the_old_one_for_a_day() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let clock: fn() -> Timestamp = || Timestamp::from_micros(NOW.load(Ordering::Relaxed));
    let house = house();
    let org = an_org(house).await;
    let receiver = Served::start(|_| Reply::status(500)).await;
    let hook = Hook::at(house, &org, &receiver.url).await;
    let (status, fresh) = operate(house, "POST", &hook.path("/rotate-secret"), None).await;
    assert_eq!(status, 200, "{fresh}");
    let new = text(&fresh, "secret");
    assert_ne!(new, hook.secret);
    happen(house, &org, "one").await;
    let both = receiver.wait_for(1).await.remove(0);
    assert!(signed_by(new, &both) && signed_by(&hook.secret, &both));
    hook.after(house, 1).await;
    let until = time(&fresh, "old_secret_until");
    NOW.store(until.minus_secs(1).micros(), Ordering::Relaxed);
    batch_at(house, &hook, clock).await;
    let last = receiver.wait_for(2).await.remove(1);
    assert!(signed_by(new, &last) && signed_by(&hook.secret, &last));
    NOW.store(until.plus_secs(60).micros(), Ordering::Relaxed);
    batch_at(house, &hook, clock).await;
    let later = receiver.wait_for(3).await.remove(2);
    assert!(signed_by(new, &later) && !signed_by(&hook.secret, &later), "the day is over");
    let (_, events) = operate(house, "GET", &format!("/orgs/{org}/audit/events"), None).await;
    assert!(events.to_string().contains("webhook.secret_rotated") && !events.to_string().contains("whsec_"));
    assert_eq!(
        operate(house, "GET", &format!("/orgs/{org}/webhooks"), None).await.1.to_string().find("whsec_"),
        None
    );
}

#[tokio::test]
async fn a_disabled_one_lets_go_of_what_waits_and_a_removed_one_leaves_nothing_behind() {
    let house = house();
    let org = an_org(house).await;
    let receiver = Served::start(|_| Reply::status(500)).await;
    let hook = Hook::at(house, &org, &receiver.url).await;
    happen(house, &org, "one").await;
    hook.after(house, 1).await;
    let state = |state: &str| Some(json!({"state": state}));
    let (status, off) = operate(house, "PATCH", &hook.path(""), state("disabled")).await;
    assert_eq!((status, text(&off, "state")), (200, "disabled"));
    let dead = hook.deliveries(house, "?state=dead").await.remove(0);
    assert_eq!(text(&dead, "last_error"), "the webhook was disabled");
    happen(house, &org, "two").await;
    assert_eq!(hook.deliveries(house, "").await.len(), 1, "nothing is kept for it meanwhile");
    receiver.answer(|_| Reply::status(200));
    assert_eq!(operate(house, "PATCH", &hook.path(""), state("enabled")).await.0, 200);
    let replay = hook.path(&format!("/deliveries/{}/replay", text(&dead, "id")));
    assert_eq!(operate(house, "POST", &replay, None).await.0, 202);
    assert_eq!(receiver.wait_for(2).await.len(), 2);
    assert_eq!(operate(house, "PATCH", &hook.path(""), state("asleep")).await.0, 400);
    receiver.answer(|_| Reply::status(500));
    happen(house, &org, "three").await;
    receiver.wait_for(3).await;
    assert_eq!(operate(house, "DELETE", &hook.path(""), None).await.0, 204);
    let (id, far) = (hook.org_id(), crate::house::now().plus_secs(86_400));
    let due =
        house.on(async move { house.gw.db.orgs_with_due("delivery", far, 10_000).await.unwrap() }).await;
    assert!(!due.contains(&id), "the jobs' list has forgotten it");
}

#[tokio::test]
async fn an_inner_address_is_refused_by_name() {
    let house = house();
    let org = an_org(house).await;
    let list = format!("/orgs/{org}/webhooks");
    let hook = Hook::at(house, &org, "https://hooks.example/in").await;
    for inner in
        ["https://10.0.0.1/", "https://169.254.169.254/latest", "https://[fd00::1]/", "https://0x0a000001/"]
    {
        for (method, path) in [("POST", list.clone()), ("PATCH", hook.path(""))] {
            let (status, said) =
                operate(house, method, &path, Some(json!({"url": inner, "events": ["*"]}))).await;
            assert_eq!((status, text(&said, "code")), (400, "outbound.address_denied"), "{inner}: {said}");
            assert_eq!(text(&said, "field"), "url");
        }
    }
    let (status, said) =
        operate(house, "POST", &list, Some(json!({"url": "http://a.example/", "events": ["*"]}))).await;
    assert_eq!((status, text(&said, "code")), (400, "api.url_refused"));
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody_else_and_is_told_so() {
    let house = house();
    let (slow_org, quick_org) = (an_org(house).await, an_org(house).await);
    let slow = Served::start(|_| Reply::status(200).after(Duration::from_secs(60))).await;
    let quick = Served::start(|_| Reply::status(200)).await;
    let hung = Hook::at(house, &slow_org, &slow.url).await;
    Hook::at(house, &quick_org, &quick.url).await;
    for n in 0..3 {
        happen(house, &slow_org, &format!("n{n}")).await;
    }
    slow.wait_for(3).await;
    let began = std::time::Instant::now();
    happen(house, &quick_org, "one").await;
    quick.wait_for(1).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let late = hung.after(house, 1).await;
    assert!(text(&late, "last_error").starts_with("outbound.timeout: "), "{late}");
    assert_eq!((text(&late, "state"), &late["last_status"]), ("waiting", &Value::Null));
}
