//! A gateway in a process of its own, and what a path costs it.

use std::{
    net::TcpListener,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub const CLIENTS: usize = 16;

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

pub fn command(data: &std::path::Path, base: &str, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command
        .env("VESTIBULE_PUBLIC_URL", base)
        .env("VESTIBULE_LISTEN", format!("127.0.0.1:{port}"))
        .env("VESTIBULE_DATA_DIR", data)
        .env("VESTIBULE_LOG__LEVEL", "error")
        .env("VESTIBULE_EGRESS__ALLOW_LOOPBACK", "true")
        .env("VESTIBULE_LIMITS__CREDENTIAL_REQUESTS_PER_SEC", "100000")
        .env("VESTIBULE_LIMITS__ORG_REQUESTS_PER_SEC", "100000");
    command
}

/// CPU of the process in clock ticks, and its resident memory in KiB.
pub fn usage(pid: u32) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let rss = rss.trim().trim_end_matches(" kB").trim().parse().unwrap();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap(), rss)
}

impl Gateway {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    pub fn port(&self) -> u16 {
        self.base.rsplit(':').next().unwrap().parse().unwrap()
    }
}

/// Runs `work` from all clients for a while; how many were done, and in how many seconds.
pub async fn drive<F>(secs: u64, work: impl Fn(u64) -> F + Clone + Send + Sync + 'static) -> (f64, f64)
where
    F: Future<Output = ()> + Send,
{
    let (start, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (work, done) = (work.clone(), done.clone());
            tokio::spawn(async move {
                while start.elapsed() < Duration::from_secs(secs) {
                    work(done.fetch_add(1, Ordering::Relaxed)).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    (done.load(Ordering::Relaxed) as f64, start.elapsed().as_secs_f64())
}

/// The same, printed with what it cost the gateway; answers how many a second.
pub async fn measure<F>(
    name: &str,
    gateway: &Gateway,
    secs: u64,
    work: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) -> f64
where
    F: Future<Output = ()> + Send,
{
    let (before, _) = usage(gateway.pid());
    let (n, wall) = drive(secs, work).await;
    let (after, rss) = usage(gateway.pid());
    let cpu = (after - before) as f64 / 100.0;
    println!(
        "{name:<28} {:>8.0} /cpu-s {:>8.0} /s {:>8.1} MB resident",
        n / cpu.max(0.01),
        n / wall,
        rss as f64 / 1024.0
    );
    n / wall
}

pub async fn start() -> Gateway {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (base, data) = (format!("http://localhost:{port}"), tempfile::tempdir().unwrap());
    let migrated = command(data.path(), &base, port).arg("migrate").status().unwrap();
    assert!(migrated.success());
    let began = Instant::now();
    let child = command(data.path(), &base, port).arg("serve").spawn().unwrap();
    let http = client();
    loop {
        if http.get(format!("{base}/readyz")).send().await.is_ok_and(|a| a.status().is_success()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Gateway { child, base, data, ready_ms: began.elapsed().as_secs_f64() * 1_000.0 }
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
