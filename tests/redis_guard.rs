//! A Redis that lost what it held is noticed and filled again; one that would forget by itself is refused.
//! A gateway of its own, over a Redis of its own.

use crate::house::Site;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

struct Redis {
    folder: tempfile::TempDir,
    child: Child,
}

impl Redis {
    fn start(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--maxmemory-policy", policy]);
        command.arg("--unixsocket").arg(folder.path().join("r.sock")).arg("--dir").arg(folder.path());
        let redis = Self { child: command.stdout(Stdio::null()).spawn().unwrap(), folder };
        let start = Instant::now();
        while redis.say("PING").is_none() {
            assert!(start.elapsed() < Duration::from_secs(10), "redis does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        redis
    }
    fn socket(&self) -> PathBuf {
        self.folder.path().join("r.sock")
    }
    fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
    /// The answer's first line, or the value behind it.
    fn say(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next()?.ok()?;
        if first.starts_with('$') && first != "$-1" { lines.next()?.ok() } else { Some(first) }
    }
    async fn comes(&self, command: &str, wanted: &str) {
        let start = Instant::now();
        while self.say(command).as_deref() != Some(wanted) {
            assert!(start.elapsed() < Duration::from_secs(20), "{command}: never {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let redis = Redis::start("noeviction");
    let house = Site { redis_url: Some(redis.url()), ..Site::named("guard") }.open();
    let tenant = house.tenant().await;
    let (status, said) =
        house.api("POST", &tenant.org_key, &format!("/orgs/{}/revoke", tenant.slug), None).await;
    assert!(status < 300, "{status} {said}");
    let watermark = format!("HGET ep:{{{}}} org", tenant.org);
    redis.comes(&watermark, "1").await;
    redis.comes("EXISTS guard", ":1").await;
    let first = redis.say("HGET guard generation").unwrap();
    let before = losses("emptied");
    assert_eq!(redis.say("FLUSHALL").unwrap(), "+OK");
    redis.comes(&watermark, "1").await;
    redis.comes("EXISTS guard", ":1").await;
    assert!(losses("emptied") > before);
    let second = stands_still(&redis).await;
    assert_ne!(second, first);
    let before = losses("rewound");
    assert_eq!(redis.say(&format!("DEL ep:{{{}}}", tenant.org)).unwrap(), ":1");
    assert_eq!(redis.say("HSET guard beat -1").unwrap(), ":0");
    redis.comes(&watermark, "1").await;
    assert!(losses("rewound") > before);
}

/// A Redis that may evict would forget a watermark and never say so.
#[test]
fn a_redis_that_evicts_is_refused_at_the_start() {
    let redis = Redis::start("allkeys-lru");
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["serve"])
        .env("REDIS_URL", redis.url())
        .env("VESTIBULE_LISTEN", "127.0.0.1:0")
        .env("VESTIBULE_DATA_DIR", data.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let run = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success() && said.contains("maxmemory-policy allkeys-lru"), "{said}");
}
