//! The directories of many orgs crowd, each as fast as it is served, and now and then somebody signs in: what paces a
//! directory is not there yet when they come.

use crate::{
    gateway::{Limits, Progress, client, percentile, start},
    scim::Org,
    stage::{Stage, set},
    table::{head, row},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const ORGS: usize = 20;
/// Requests of each that are under way at once.
const AT_ONCE: usize = 16;
const SIGN_INS: usize = 20;
/// Longer than somebody is taken to be here.
const BETWEEN: Duration = Duration::from_secs(2);

pub async fn run() {
    let gateway = start(Limits::Usual).await;
    let (key, http) = (gateway.platform_key(), client());
    let stage = set(&gateway, &key, 1).await;
    let mut orgs = Vec::new();
    for n in 0..ORGS {
        orgs.push(Org::make(&gateway, &http, &key, &format!("crowd{n}")).await);
    }
    head(&format!("a sign-in every {} s beside the directories of {ORGS} orgs", BETWEEN.as_secs()));
    let quiet = sign_ins(&stage, "nobody else").await;
    let (served, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut crowd = JoinSet::new();
    for (org, _) in orgs.iter().flat_map(|org| (0..AT_ONCE).map(move |n| (org.clone(), n))) {
        let (served, refused) = (served.clone(), refused.clone());
        crowd.spawn(async move {
            loop {
                let status = org.asks_for_one_more().await;
                let count = if status == 201 { &served } else { &refused };
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(BETWEEN).await;
    let (began, before) = (Instant::now(), served.load(Ordering::Relaxed));
    let crowded = sign_ins(&stage, "beside them").await;
    let rate = (served.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    drop(crowd);
    let ours = format!(
        "p50 {:.0} ms, at most {:.0}; alone {:.0} and {:.0}",
        percentile(&crowded, 50.0),
        percentile(&crowded, 100.0),
        percentile(&quiet, 50.0),
        percentile(&quiet, 100.0)
    );
    row("sign-in", &ours, "", "", "reported");
    let ours = format!("{rate:.0} creations /s served, {} requests refused", refused.load(Ordering::Relaxed));
    row("the directories", &ours, "", "", "25 /s each");
}

async fn sign_ins(stage: &Stage, beside: &str) -> Vec<u64> {
    let mut micros = Vec::new();
    let mut progress = Progress::new(&format!("sign-ins, {beside}"));
    for n in 0..SIGN_INS {
        tokio::time::sleep(BETWEEN).await;
        let began = Instant::now();
        stage.login(n).await;
        micros.push(u64::try_from(began.elapsed().as_micros()).unwrap());
        progress.tell(n as u64 + 1, Some(SIGN_INS as u64));
    }
    micros
}
