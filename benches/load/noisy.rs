//! One org asks 50 times its share while the others go on: how much longer do their sign-ins take? The
//! share is the 25 requests a second that a directory is promised; the limits are the usual ones. The noise is
//! made by a thread that runs when nobody else wants to, as if on a machine of its own: without that it takes the
//! processor from those who are measured by being sent. What it takes still, as many requests that cost the
//! gateway nothing (GET /healthz) show beside it.

use crate::{
    gateway::{Limits, Progress, client, percentile, start},
    scim::Org,
    stage::{Stage, set},
    table::{head, row},
};
use hyper::Method;
use serde_json::json;
use std::{
    fs::read_link,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    task::JoinHandle,
    time::{interval, sleep},
};

const SHARE_PER_SEC: u64 = 25;
const NOISE_PER_SEC: u64 = 50 * SHARE_PER_SEC;
/// Noise that is under way at once; what does not find a place is not sent.
const UNDER_WAY_MAX: usize = 1_024;
const LOGINS_PER_SEC: u64 = 20;
const PATCHES_PER_SEC: u64 = 20;
/// Each round is quiet, beside it and noisy, and short: the machine's moods fall on all three.
const ROUNDS: usize = 12;
const SETTLES: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Noise {
    None,
    Scim,
    Nothing,
}

#[derive(Default)]
struct Told {
    sent: AtomicU64,
    served: AtomicU64,
    limited: AtomicU64,
    put_off: AtomicU64,
    other: AtomicU64,
}

pub async fn run(secs: u64) {
    let gateway = start(Limits::Usual).await;
    let (key, http) = (gateway.platform_key(), client());
    let stage = Arc::new(set(&gateway, &key, 1).await);
    let (loud, calm) =
        (Org::make(&gateway, &http, &key, "loud").await, Org::make(&gateway, &http, &key, "calm").await);
    let victim = calm.create("ada@calm.example").await;
    for n in 0..32 {
        stage.login(n).await;
    }
    head(&format!("{LOGINS_PER_SEC} sign-ins and {PATCHES_PER_SEC} PATCHes a second beside {NOISE_PER_SEC}"));
    let told = Arc::new(Told::default());
    let (before, mut peak, mut noisy_secs) = (gateway.rss_mb(), 0.0_f64, 0.0);
    let mut progress = Progress::new("noisy org, rounds");
    let others = Others::begin(&stage, &calm, &victim);
    let elsewhere = elsewhere().await;
    for round in 0..ROUNDS {
        for (n, noise) in [Noise::None, Noise::Nothing, Noise::Scim].into_iter().enumerate() {
            // What was asked for is answered before the next begins, and the buckets fill. Nobody counts, and
            // nobody pauses: who comes after a silence is another matter.
            sleep(SETTLES).await;
            let (began, places) = (Instant::now(), Arc::new(Semaphore::new(UNDER_WAY_MAX)));
            let noise_made = make(elsewhere, noise, &loud, &told, &places, Duration::from_secs(secs));
            others.count_as(Some(n));
            sleep(Duration::from_secs(secs)).await;
            others.count_as(None);
            if let Some(noise_made) = noise_made {
                noise_made.abort();
            }
            if noise == Noise::Scim {
                noisy_secs += began.elapsed().as_secs_f64();
            }
            peak = peak.max(gateway.rss_mb());
            progress.tell((round * 3 + n) as u64, Some(3 * ROUNDS as u64));
            drop(places.acquire_many(UNDER_WAY_MAX as u32).await.unwrap());
        }
    }
    let (logins, patches) = others.end().await;
    drop(progress);
    for (what, [quiet, beside, noisy]) in [("others' sign-in", &logins), ("others' PATCH", &patches)] {
        for percent in [50.0, 99.0] {
            let of = |micros: &[u64]| percentile(micros, percent);
            let (quiet, noisy, beside) = (of(quiet), of(noisy), of(beside));
            let ours = format!("quiet {quiet:.1} ms, noisy {noisy:.1} ms: {:.2} of it", noisy / quiet);
            let limit = format!("as many at /healthz {beside:.1} ms: {:.2}", beside / quiet);
            row(
                &format!("{what}, p{percent:.0}"),
                &ours,
                &limit,
                "",
                if percent > 90.0 { "1.10 of it" } else { "" },
            );
        }
    }
    let each = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / noisy_secs;
    let ours = format!(
        "{:.0} /s sent, {:.0} served, {:.0} told 429, {:.0} told 503, {:.0} other",
        each(&told.sent),
        each(&told.served),
        each(&told.limited),
        each(&told.put_off),
        each(&told.other)
    );
    row("the loud org", &ours, "", "", "25 /s served");
    let ours = format!("{before:.0} MB before, {peak:.0} at most, {:.0} after", gateway.rss_mb());
    row("  memory of the gateway", &ours, "", "", "50 MB");
}

/// How long each took, of those that began in each phase.
type Took = [Vec<u64>; 3];

/// The others, who go on all the time.
struct Others {
    phase: Arc<AtomicUsize>,
    signing: JoinHandle<Took>,
    patching: JoinHandle<Took>,
}

impl Others {
    const UNCOUNTED: usize = usize::MAX;
    const OVER: usize = usize::MAX - 1;

    fn begin(stage: &Arc<Stage>, calm: &Org, victim: &str) -> Self {
        let phase = Arc::new(AtomicUsize::new(Self::UNCOUNTED));
        let (stage, calm, path) = (stage.clone(), calm.clone(), format!("/Users/{victim}"));
        let signing = paced(LOGINS_PER_SEC, phase.clone(), move |n| login(stage.clone(), n));
        let patching = paced(PATCHES_PER_SEC, phase.clone(), move |n| patch(calm.clone(), path.clone(), n));
        Self { phase, signing: tokio::spawn(signing), patching: tokio::spawn(patching) }
    }
    fn count_as(&self, phase: Option<usize>) {
        self.phase.store(phase.unwrap_or(Self::UNCOUNTED), Ordering::Relaxed);
    }
    async fn end(self) -> (Took, Took) {
        self.phase.store(Self::OVER, Ordering::Relaxed);
        (self.signing.await.unwrap(), self.patching.await.unwrap())
    }
}

/// Starts work at an even pace whether or not the last is done.
async fn paced<F>(per_sec: u64, phase: Arc<AtomicUsize>, work: impl Fn(usize) -> F + Send) -> Took
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tick = interval(Duration::from_micros(1_000_000 / per_sec));
    let mut running = Vec::new();
    for n in 0.. {
        tick.tick().await;
        let (began, work, counts_as) = (Instant::now(), work(n), phase.load(Ordering::Relaxed));
        if counts_as == Others::OVER {
            break;
        }
        running.push(tokio::spawn(async move {
            work.await;
            (counts_as, u64::try_from(began.elapsed().as_micros()).unwrap())
        }));
    }
    let mut took = Took::default();
    for one in running {
        let (counts_as, micros) = one.await.unwrap();
        if let Some(of) = took.get_mut(counts_as) {
            of.push(micros);
        }
    }
    took
}

async fn login(stage: Arc<Stage>, n: usize) {
    drop(stage.login(n).await);
}

async fn patch(org: Org, path: String, n: usize) {
    let title = json!([{"op": "replace", "path": "title", "value": format!("Analyst {n}")}]);
    org.patch(&path, &title, 200).await;
}

/// One thread, which runs when nobody else on this machine wants to (`SCHED_IDLE`), until the process ends.
async fn elsewhere() -> &'static Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let runtime = Box::leak(Box::new(runtime));
    let thread = runtime.spawn(async { read_link("/proc/thread-self").unwrap() }).await.unwrap();
    let idle = Command::new("chrt").args(["--idle", "-p", "0"]).arg(thread.file_name().unwrap()).status();
    assert!(idle.is_ok_and(|status| status.success()), "noisy asks for util-linux's chrt");
    runtime
}

/// The noise, until it is ended. Sent at an even pace as well; what is answered after `lasts` is not counted.
fn make(
    elsewhere: &Runtime,
    noise: Noise,
    loud: &Org,
    told: &Arc<Told>,
    places: &Arc<Semaphore>,
    lasts: Duration,
) -> Option<JoinHandle<()>> {
    if noise == Noise::None {
        return None;
    }
    let (loud, told, places) = (loud.clone(), told.clone(), places.clone());
    let ends = Instant::now() + lasts;
    Some(elsewhere.spawn(async move {
        let mut tick = interval(Duration::from_micros(1_000_000 / NOISE_PER_SEC));
        for n in 0_u64.. {
            tick.tick().await;
            let Ok(place) = places.clone().try_acquire_owned() else { continue };
            let (told, loud) = (told.clone(), loud.clone());
            tokio::spawn(async move {
                let status = match noise {
                    Noise::Scim => loud_request(&loud, n).await,
                    Noise::None | Noise::Nothing => {
                        loud.wire.ask(Method::GET, "/healthz", &[], &[]).await.0.as_u16()
                    }
                };
                drop(place);
                if noise == Noise::Scim && Instant::now() < ends {
                    let count = match status {
                        200..=299 => &told.served,
                        429 => &told.limited,
                        503 => &told.put_off,
                        _ => &told.other,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    told.sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }))
}

/// Look-ups and creations, as a first synchronisation has them; the status.
async fn loud_request(loud: &Org, n: u64) -> u16 {
    if n.is_multiple_of(2) {
        let path = format!("/Users?filter=userName+eq+%22user{n}@loud.example%22&startIndex=1&count=100");
        return loud.asks(Method::GET, &path, None).await.0;
    }
    loud.asks_for_one_more().await
}
