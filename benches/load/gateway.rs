//! A gateway in a process of its own, and what a path costs it.

use std::{
    io::{IsTerminal, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Clients at once, where a stage does not say otherwise.
pub const CLIENTS: usize = 16;
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often progress is told: on a terminal in one line, else in lines.
const TELL: [Duration; 2] = [Duration::from_millis(400), Duration::from_secs(5)];

pub struct Gateway {
    child: Child,
    pub base: String,
    pub data: tempfile::TempDir,
    pub ready_ms: f64,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// May a credential ask as often as it likes, or as often as in life?
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    None,
    Usual,
}

/// The core of the gateway and its stores, and that of the clients.
const CORES: [&str; 2] = ["0", "1"];
static IS_APART: AtomicBool = AtomicBool::new(false);

/// From now on the clients have a core, and a gateway that starts has the other with its stores: what the clients cost
/// is not in the gateway's way.
pub fn stand_apart() {
    let own = std::process::id().to_string();
    let set = Command::new("taskset").args(["-acp", CORES[1], &own]).stdout(Stdio::null()).status();
    assert!(set.is_ok_and(|status| status.success()), "--apart asks for util-linux's taskset and two cores");
    IS_APART.store(true, Ordering::Relaxed);
}

pub fn command(data: &Path, base: &str, port: u16) -> Command {
    let binary = env!("CARGO_BIN_EXE_vestibule");
    let mut command = if IS_APART.load(Ordering::Relaxed) {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", CORES[0], binary]);
        pinned
    } else {
        Command::new(binary)
    };
    command
        .env("VESTIBULE_PUBLIC_URL", base)
        .env("VESTIBULE_LISTEN", format!("127.0.0.1:{port}"))
        .env("VESTIBULE_DATA_DIR", data)
        .env("VESTIBULE_LOG__LEVEL", "error")
        .env("VESTIBULE_EGRESS__ALLOW_LOOPBACK", "true");
    command
}

fn ticks(pid: u32, fields: std::ops::Range<usize>) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let all: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    fields.map(|n| all.get(n)?.parse::<u64>().ok()).sum()
}

/// CPU of the process in clock ticks, and its resident memory in KiB.
pub fn usage(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let rss = rss.trim().trim_end_matches(" kB").trim().parse().unwrap();
    (ticks(pid, 11..13).unwrap(), rss)
}

impl Gateway {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    pub fn port(&self) -> u16 {
        self.base.rsplit(':').next().unwrap().parse().unwrap()
    }
    pub fn rss_mb(&self) -> f64 {
        usage(self.pid()).1 as f64 / 1_024.0
    }

    /// CPU of its private Postgres in clock ticks: the server, those that it has, those that have ended.
    pub fn postgres_ticks(&self) -> u64 {
        let file = std::fs::read_to_string(self.data.path().join("postgres/postmaster.pid"));
        let pid = file.ok().and_then(|text| text.lines().next()?.trim().parse::<u32>().ok());
        let Some(pid) = pid else { return 0 };
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|one| one.file_name().to_str()?.parse::<u32>().ok());
        let children = pids.filter(|one| ticks(*one, 1..2) == Some(u64::from(pid)));
        let theirs: u64 = children.filter_map(|one| ticks(one, 11..13)).sum();
        theirs + ticks(pid, 11..15).unwrap_or(0)
    }

    /// The address of its database, for a client of ours.
    pub fn database(&self) -> String {
        std::env::var("DATABASE_URL").unwrap_or_else(|_| {
            let sockets = self.data.path().join("run");
            format!("postgres://vestibule@localhost/vestibule?host={}", sockets.display())
        })
    }

    /// Runs `work` from so many clients, and looks at what it costs.
    pub async fn cost<F>(
        &self,
        name: &str,
        clients: usize,
        until: Until,
        work: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
    ) -> Cost
    where
        F: Future<Output = ()> + Send,
    {
        let (pid, own) = (self.pid(), std::process::id());
        let ((cpu, before), postgres, spent) = (usage(pid), self.postgres_ticks(), usage(own).0);
        let peak = Arc::new(AtomicU64::new(before));
        let seen = peak.clone();
        let looking = tokio::spawn(async move {
            loop {
                seen.fetch_max(usage(pid).1, Ordering::Relaxed);
                tokio::time::sleep(LOOK).await;
            }
        });
        let ran = drive(name, clients, until, work).await;
        looking.abort();
        Cost {
            ran,
            cpu: (usage(pid).0 - cpu) as f64 / 100.0,
            postgres: (self.postgres_ticks() - postgres) as f64 / 100.0,
            clients: (usage(own).0 - spent) as f64 / 100.0,
            peak_mb: peak.load(Ordering::Relaxed) as f64 / 1_024.0,
        }
    }
}

/// When a stage is over.
#[derive(Clone, Copy)]
pub enum Until {
    Secs(u64),
    Done(u64),
}

/// What was done, in seconds of the clock, and how long each took, in microseconds.
pub struct Ran {
    pub n: f64,
    pub wall: f64,
    pub micros: Vec<u64>,
}

/// The same with CPU-seconds of the gateway, of Postgres, and of the clients, which share the machine.
pub struct Cost {
    pub ran: Ran,
    pub cpu: f64,
    pub postgres: f64,
    pub clients: f64,
    pub peak_mb: f64,
}

impl Ran {
    pub fn rate(&self) -> f64 {
        self.n / self.wall
    }
    /// Milliseconds.
    pub fn at(&self, percent: f64) -> f64 {
        percentile(&self.micros, percent)
    }
}

impl Cost {
    pub fn per_cpu(&self) -> f64 {
        self.ran.n / self.cpu.max(0.01)
    }
    pub fn told(&self) -> String {
        format!(
            "{:.0} /cpu-s, {:.0} /s, p50 {:.1} p99 {:.1} ms; Postgres {:.0} /cpu-s",
            self.per_cpu(),
            self.ran.rate(),
            self.ran.at(50.0),
            self.ran.at(99.0),
            self.ran.n / self.postgres.max(0.01)
        )
    }
}

/// Of microseconds, in milliseconds.
pub fn percentile(micros: &[u64], percent: f64) -> f64 {
    let mut sorted = micros.to_vec();
    sorted.sort_unstable();
    let at = (percent / 100.0 * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).map_or(0.0, |micros| *micros as f64 / 1_000.0)
}

/// Says on stderr how far a stage is.
pub struct Progress {
    name: String,
    start: Instant,
    told: Instant,
    line: bool,
}

impl Progress {
    pub fn new(name: &str) -> Self {
        let (now, line) = (Instant::now(), std::io::stderr().is_terminal());
        Self { name: name.to_owned(), start: now, told: now, line }
    }
    pub fn tell(&mut self, done: u64, of: Option<u64>) {
        if self.told.elapsed() < TELL[usize::from(!self.line)] {
            return;
        }
        self.told = Instant::now();
        let secs = self.start.elapsed().as_secs_f64();
        let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
        let text = format!("{}: {done}{of}, {:.0} /s, {secs:.0} s", self.name, done as f64 / secs.max(0.001));
        if self.line {
            eprint!("\r\x1b[K{text}");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.line {
            eprint!("\r\x1b[K");
        }
    }
}

/// Runs `work` from so many clients; it is handed numbers from 0.
pub async fn drive<F>(
    name: &str,
    clients: usize,
    until: Until,
    work: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) -> Ran
where
    F: Future<Output = ()> + Send,
{
    let (start, next, done) = (Instant::now(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let running: Vec<_> = (0..clients)
        .map(|_| {
            let (work, next, done) = (work.clone(), next.clone(), done.clone());
            tokio::spawn(async move {
                let mut micros = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let goes_on = match until {
                        Until::Secs(secs) => start.elapsed() < Duration::from_secs(secs),
                        Until::Done(count) => n < count,
                    };
                    if !goes_on {
                        return micros;
                    }
                    let began = Instant::now();
                    work(n).await;
                    micros.push(u64::try_from(began.elapsed().as_micros()).unwrap());
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let of = match until {
        Until::Secs(_) => None,
        Until::Done(count) => Some(count),
    };
    let mut progress = Progress::new(name);
    while !running.iter().all(|one| one.is_finished()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        progress.tell(done.load(Ordering::Relaxed), of);
    }
    let mut micros = Vec::new();
    for client in running {
        micros.extend(client.await.unwrap());
    }
    Ran { n: micros.len() as f64, wall: start.elapsed().as_secs_f64(), micros }
}

async fn ready(base: &str) {
    let http = client();
    while !http.get(format!("{base}/readyz")).send().await.is_ok_and(|a| a.status().is_success()) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn start(limits: Limits) -> Gateway {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (base, data) = (format!("http://localhost:{port}"), tempfile::tempdir().unwrap());
    // The first start makes the private cluster; the second is a start as any other.
    let mut first = command(data.path(), &base, port).arg("serve").spawn().unwrap();
    ready(&base).await;
    let _ = Command::new("kill").arg(first.id().to_string()).status();
    let _ = first.wait();
    let mut serve = command(data.path(), &base, port);
    if limits == Limits::None {
        serve
            .env("VESTIBULE_LIMITS__CREDENTIAL_REQUESTS_PER_SEC", "100000")
            .env("VESTIBULE_LIMITS__ORG_REQUESTS_PER_SEC", "100000");
    }
    let began = Instant::now();
    let child = serve.arg("serve").spawn().unwrap();
    ready(&base).await;
    Gateway { child, base, data, ready_ms: began.elapsed().as_secs_f64() * 1_000.0 }
}

impl Gateway {
    /// A platform key, made at the command line.
    pub fn platform_key(&self) -> String {
        let made = command(self.data.path(), &self.base, self.port())
            .args(["keys", "create", "--platform", "--name", "load"])
            .output()
            .unwrap();
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
