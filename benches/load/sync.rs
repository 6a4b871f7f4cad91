//! A directory's first synchronisation: each person is looked up and created, then the groups come with
//! their members. And what one member more and one leaver cost in the directory that it leaves.

use crate::{
    args::Args,
    gateway::{Gateway, Until, percentile},
    scim::Org,
    stage::text,
    table::{head, row},
};
use hyper::Method;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

/// Connections of the directory.
const CLIENTS: usize = 32;
/// Members of each group that comes with the first synchronisation.
const MEMBERS: usize = 20;
/// Members of one request that fills the large group.
const BATCH: usize = 1_000;
/// How often each of two things is done in turn, to compare them.
const TURNS: usize = 200;

pub async fn run(gateway: &Gateway, http: &reqwest::Client, key: &str, args: &Args) {
    let org = Org::make(gateway, http, key, "sync").await;
    head(&format!("one org, {CLIENTS} connections"));
    let people = Arc::new(first(gateway, &org, args).await);
    if args.wants("sync") {
        groups(gateway, &org, &people, args.groups).await;
    }
    if args.wants("members") {
        members(gateway, &org, &people, args.large).await;
    }
    if args.wants("deactivate") {
        deactivate(gateway, &org, &people).await;
    }
}

async fn first(gateway: &Gateway, org: &Org, args: &Args) -> Vec<String> {
    let (made, finds) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (o, m, f, before) = (org.clone(), made.clone(), finds.clone(), gateway.rss_mb());
    let name = format!("first synchronisation, {} people", args.users);
    let cost = gateway
        .cost(&name, CLIENTS, Until::Done(args.users), move |n| {
            let (o, m, f) = (o.clone(), m.clone(), f.clone());
            async move {
                let (name, began) = (format!("user{n}@sync.example"), Instant::now());
                assert_eq!(o.find(&name).await, 0);
                f.lock().unwrap().push(u64::try_from(began.elapsed().as_micros()).unwrap());
                let id = o.create(&name).await;
                m.lock().unwrap().push(id);
            }
        })
        .await;
    let finds = std::mem::take(&mut *finds.lock().unwrap());
    let ours = format!(
        "{:.0} s ({:.0} /s), gateway {:.0}, Postgres {:.0} and clients {:.0} cpu-s; look-up p50 {:.1} p99 {:.1}, both p50 {:.1} p99 {:.1} ms",
        cost.ran.wall,
        cost.ran.rate(),
        cost.cpu,
        cost.postgres,
        cost.clients,
        percentile(&finds, 50.0),
        percentile(&finds, 99.0),
        cost.ran.at(50.0),
        cost.ran.at(99.0)
    );
    let share = args.users as f64 / 100_000.0;
    let scaled = |secs: f64| format!("{:.0} s", secs * share);
    row(&name, &ours, &scaled(16.0), &format!("saml-jackson ~{}", scaled(600.0)), &scaled(120.0));
    memory("  memory of the gateway", before, cost.peak_mb, gateway);
    std::mem::take(&mut *made.lock().unwrap())
}

fn memory(what: &str, before: f64, peak: f64, gateway: &Gateway) {
    let ours = format!("{before:.0} MB before, {peak:.0} at most, {:.0} after", gateway.rss_mb());
    row(what, &ours, "", "Rauthy 77 MB loaded", "50 MB");
}

fn entry(id: &str) -> Value {
    json!({"value": id})
}

async fn groups(gateway: &Gateway, org: &Org, people: &Arc<Vec<String>>, count: u64) {
    let (o, p) = (org.clone(), people.clone());
    let name = format!("{count} groups of {MEMBERS}");
    let cost = gateway
        .cost(&name, CLIENTS, Until::Done(count), move |n| {
            let (o, p) = (o.clone(), p.clone());
            async move {
                let at = n as usize * MEMBERS;
                let members: Vec<Value> =
                    (0..MEMBERS).map(|one| entry(&p[(at + one * 7) % p.len()])).collect();
                let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                    "displayName": format!("Group {n}"), "members": members});
                o.scim(Method::POST, "/Groups", Some(&body), 201).await;
            }
        })
        .await;
    row(&name, &format!("{:.0} s; {}", cost.ran.wall, cost.told()), "", "", "reported");
}

async fn group(org: &Org, name: &str) -> String {
    let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name});
    format!("/Groups/{}", text(&org.scim(Method::POST, "/Groups", Some(&body), 201).await, "id"))
}

async fn add(org: &Org, group: &str, people: &[String]) {
    let members: Vec<Value> = people.iter().map(|id| entry(id)).collect();
    org.patch(group, &json!([{"op": "add", "path": "members", "value": members}]), 204).await;
}

/// Microseconds of some work.
async fn timed(work: impl Future<Output = ()>) -> u64 {
    let began = Instant::now();
    work.await;
    u64::try_from(began.elapsed().as_micros()).unwrap()
}

async fn members(gateway: &Gateway, org: &Org, people: &Arc<Vec<String>>, large: usize) {
    let large_size = large.min(people.len().saturating_sub(TURNS + 5));
    let (large, small) = (group(org, "Everybody").await, group(org, "Five").await);
    let batches: Vec<Vec<String>> = people[..large_size].chunks(BATCH).map(<[String]>::to_vec).collect();
    let (o, g, b, before) = (org.clone(), large.clone(), Arc::new(batches), gateway.rss_mb());
    let count = b.len() as u64;
    let cost = gateway
        .cost("filling the large group", 1, Until::Done(count), move |n| {
            let (o, g, b) = (o.clone(), g.clone(), b.clone());
            async move { add(&o, &g, &b[n as usize]).await }
        })
        .await;
    let ours = format!("{:.1} s, p50 {:.0} ms each", cost.ran.wall, cost.ran.at(50.0));
    row(&format!("{large_size} members, {BATCH} a request"), &ours, "", "", "reported");
    add(org, &small, &people[..5]).await;
    let (mut added, mut removed) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for turn in 0..TURNS {
        let who = &people[large_size + turn];
        for (n, group) in [&large, &small].into_iter().enumerate() {
            added[n].push(timed(add(org, group, std::slice::from_ref(who))).await);
            let gone = json!([{"op": "remove", "path": format!("members[value eq \"{who}\"]")}]);
            removed[n].push(timed(org.patch(group, &gone, 204)).await);
        }
    }
    for (what, [large, small]) in [("one member more", added), ("one member less", removed)] {
        let (large, small) = (percentile(&large, 50.0), percentile(&small, 50.0));
        let ours =
            format!("p50 {large:.2} ms in {large_size}, {small:.2} ms in 5: {:.2} of it", large / small);
        row(what, &ours, "", "", "the same");
    }
    memory("  memory of the gateway", before, cost.peak_mb.max(gateway.rss_mb()), gateway);
}

/// Each in turn, of another person each time: the machine's moods are the same for both.
async fn deactivate(_gateway: &Gateway, org: &Org, people: &Arc<Vec<String>>) {
    let (mut plain, mut ends) = (Vec::new(), Vec::new());
    for pair in people.chunks(2).rev().take(TURNS).filter(|pair| pair.len() == 2) {
        let title = json!([{"op": "replace", "path": "title", "value": "Analyst"}]);
        plain.push(timed(org.patch(&format!("/Users/{}", pair[0]), &title, 200)).await);
        let off = json!([{"op": "replace", "value": {"active": false}}]);
        ends.push(timed(org.patch(&format!("/Users/{}", pair[1]), &off, 200)).await);
    }
    let (plain, ends) = (percentile(&plain, 50.0), percentile(&ends, 50.0));
    let ours = format!("p50 {ends:.2} ms, of a title {plain:.2} ms: {:.2} ms more", ends - plain);
    row("active:false beside a plain PATCH", &ours, "", "nobody has it", "3 ms more");
}
