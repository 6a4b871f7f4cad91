//! From the commit of a deactivation to its refusal at the apps' verifiers: 200 and 1,000 of them, all connected to
//! one gateway, all in this process. The commit's instant is the receipt's; a verifier is asked each millisecond,
//! so that is how coarse the figures are. The verifiers share the machine with the gateway.

use crate::{
    gateway::{Gateway, Limits, Progress, client, percentile, start},
    scim::Org,
    stage::{PEOPLE, Stage, TENANTS, email, set, slug, text},
    table::{head, row},
};
use model::Timestamp;
use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use vestibule::seams::{Clock, SystemClock};
use vestibule_verifier::{Claims, Mode, Verifier, Way};

const VERIFIERS: [usize; 2] = [200, 1_000];
/// Verifiers that start at once.
const START_AT_ONCE: usize = 25;
const LOOK: Duration = Duration::from_millis(1);
/// Later is never, and ends the stage.
const DENIED_MAX: Duration = Duration::from_secs(10);

/// Somebody with a directory.
struct Person {
    org: Org,
    id: String,
}

pub async fn run() {
    // A stream is a file here and one at the gateway, which inherits this.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let gateway = start(Limits::None).await;
    let (key, http) = (gateway.platform_key(), client());
    let stage = set(&gateway, &key, 1).await;
    let mut people = Vec::new();
    for n in 0..TENANTS {
        let org = Org::at(&gateway, &http, &key, &slug(n)).await;
        for person in 0..PEOPLE {
            people.push((n + person * TENANTS, org.clone(), email(&slug(n), person)));
        }
    }
    // In the order of `Stage::login`.
    people.sort_by_key(|(n, ..)| *n);
    let mut made = Vec::new();
    for (_, org, name) in people {
        made.push(Person { id: org.create(&name).await, org });
    }
    head(&format!("{} deactivations, one after the other: commit → denied at a verifier", made.len()));
    let mut verifiers = Vec::new();
    for count in VERIFIERS {
        more(&gateway, &stage, &mut verifiers, count).await;
        measure(&gateway, &stage, &key, &made, &verifiers).await;
    }
}

/// As many as that, each with a stream of its own.
async fn more(gateway: &Gateway, stage: &Stage, verifiers: &mut Vec<Verifier>, count: usize) {
    let mut progress = Progress::new("verifiers");
    while verifiers.len() < count {
        let mut starting = JoinSet::new();
        for _ in 0..START_AT_ONCE.min(count - verifiers.len()) {
            let (id, secret) = &stage.app;
            let builder = Verifier::builder(&gateway.base, id).client(id, secret).mode(Mode::Strict);
            starting.spawn(builder.start());
        }
        while let Some(started) = starting.join_next().await {
            verifiers.push(started.unwrap().unwrap());
        }
        progress.tell(verifiers.len() as u64, Some(count as u64));
    }
    let begun = Instant::now();
    while !verifiers.iter().all(|one| one.health().way == Way::Stream) {
        assert!(begun.elapsed() < DENIED_MAX, "not every verifier has a stream");
        tokio::time::sleep(LOOK).await;
    }
}

async fn measure(gateway: &Gateway, stage: &Stage, key: &str, people: &[Person], verifiers: &[Verifier]) {
    let (mut micros, mut slowest) = (Vec::new(), Vec::new());
    let mut progress = Progress::new("deactivations");
    for (n, person) in people.iter().enumerate() {
        let token = text(&stage.login(n).await, "access_token");
        let claims = claims(verifiers, &token).await;
        let active = |active: bool| json!([{"op": "replace", "value": {"active": active}}]);
        let path = format!("/Users/{}", person.id);
        let patched = {
            let (org, path, gone) = (person.org.clone(), path.clone(), active(false));
            tokio::spawn(async move { org.patch(&path, &gone, 200).await })
        };
        let denied = denied(verifiers, &claims).await;
        patched.await.unwrap();
        let committed = committed(gateway, stage, key, person).await;
        // A clock's grain may put the end before its own commit.
        let took = denied.iter().map(|at| u64::try_from(at.micros() - committed.micros()).unwrap_or(0));
        slowest.push(took.clone().max().unwrap_or(0));
        micros.extend(took);
        person.org.patch(&path, &active(true), 200).await;
        progress.tell(n as u64 + 1, Some(people.len() as u64));
    }
    drop(progress);
    let ours = format!(
        "p50 {:.1} p99 {:.1} p99.9 {:.1} ms; the last of all p50 {:.1} ms; {:.1} MB",
        percentile(&micros, 50.0),
        percentile(&micros, 99.0),
        percentile(&micros, 99.9),
        percentile(&slowest, 50.0),
        gateway.rss_mb(),
    );
    let what = format!("{} verifiers", verifiers.len());
    row(&what, &ours, "one fsync, then memory", "none publishes one", "50, 250, 1,000 ms");
}

/// The token, as each of them has judged it.
async fn claims(verifiers: &[Verifier], token: &str) -> Claims {
    let mut claims = None;
    for one in verifiers {
        claims = Some(one.verify(token).await.expect("it lives"));
    }
    claims.expect("a verifier")
}

/// When each of them refused it first.
async fn denied(verifiers: &[Verifier], claims: &Claims) -> Vec<Timestamp> {
    let (begun, mut instants) = (Instant::now(), Vec::new());
    let mut waiting: Vec<&Verifier> = verifiers.iter().collect();
    while !waiting.is_empty() {
        waiting.retain(|one| {
            let lives = one.check(claims).is_ok();
            if !lives {
                instants.push(SystemClock.now());
            }
            lives
        });
        assert!(begun.elapsed() < DENIED_MAX, "{} verifiers do not hear", waiting.len());
        tokio::time::sleep(LOOK).await;
    }
    instants
}

/// When the newest of the person's endings was committed, as its receipt says.
async fn committed(gateway: &Gateway, stage: &Stage, key: &str, person: &Person) -> Timestamp {
    let (org, id) = (person.org.org, &person.id);
    let url = format!("{}/api/v1/orgs/{org}/users/{id}/deprovisionings?limit=1", gateway.base);
    let begun = Instant::now();
    loop {
        let sent = stage.http.request(Method::GET, &url).bearer_auth(key).send().await.unwrap();
        let list: serde_json::Value = sent.json().await.unwrap();
        if let Some(at) = list["data"][0]["committed_at"].as_str() {
            return Timestamp::parse_rfc3339(at).unwrap();
        }
        assert!(begun.elapsed() < DENIED_MAX, "no receipt: {list}");
        tokio::time::sleep(LOOK).await;
    }
}
