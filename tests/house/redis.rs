//! A Redis of a test's own: told to stop, hang, come back, or start from a dump.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub struct Redis {
    folder: tempfile::TempDir,
    policy: &'static str,
    child: Option<Child>,
}

impl Redis {
    pub fn start() -> Self {
        Self::with_policy("noeviction")
    }
    /// With another `maxmemory-policy`.
    pub fn with_policy(policy: &'static str) -> Self {
        let mut redis = Self { folder: tempfile::tempdir().unwrap(), policy, child: None };
        redis.restart();
        redis
    }
    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
    pub fn dump(&self) -> PathBuf {
        self.folder.path().join("dump.rdb")
    }
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
    /// Starts from the dump that lies there, if one does.
    pub fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--maxmemory-policy", self.policy]);
        command.arg("--unixsocket").arg(self.socket()).arg("--dir").arg(self.folder.path());
        self.child = Some(command.stdout(Stdio::null()).spawn().unwrap());
        let start = Instant::now();
        while self.say("PING").is_none_or(|said| said != "+PONG") {
            assert!(start.elapsed() < Duration::from_secs(10), "redis does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    /// The answer's first line, or the value behind it.
    pub fn say(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next()?.ok()?;
        if first.starts_with('$') && first != "$-1" { lines.next()?.ok() } else { Some(first) }
    }
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
    }
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
