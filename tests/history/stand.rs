//! What the history is played on: the built gateway in a process of its own, its Postgres and Redis, and three
//! verifiers behind a line that can be cut. Everything can be killed.

use crate::{line::Line, redis::Redis};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use vestibule::embedded::{Embedded, EmbeddedOptions};
use vestibule_verifier::{Mode, Verifier};

/// Everything stands up again within it, or the run is over.
const STANDS_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

pub struct Stand {
    folder: tempfile::TempDir,
    pub redis: Redis,
    pub line: Line,
    port: u16,
    gateway: Option<Child>,
    pub database_url: String,
    // Last: it ends when nobody needs it any more.
    postgres: Option<Embedded>,
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.kill_gateway();
    }
}

impl Stand {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let postgres = postgres(folder.path());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (told, ports) = tokio::sync::watch::channel(port);
        let line = Line::open(ports).await;
        drop(told);
        let database_url = postgres.database_url.clone().unwrap();
        let mut stand = Self {
            folder,
            redis: Redis::start(),
            line,
            port,
            gateway: None,
            database_url,
            postgres: Some(postgres),
        };
        assert!(stand.command("migrate").status().unwrap().success(), "the migrations run");
        stand.start_gateway();
        stand.is_ready().await;
        stand
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command
            .args(word.split(' '))
            .env("VESTIBULE_PUBLIC_URL", &self.line.url)
            .env("VESTIBULE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("VESTIBULE_DATA_DIR", self.folder.path().join("data"))
            .env("VESTIBULE_LOG__LEVEL", std::env::var("HISTORY_LOG").unwrap_or_else(|_| "off".to_owned()))
            .env("VESTIBULE_EGRESS__ALLOW_LOOPBACK", "true")
            .env("VESTIBULE_LIMITS__CREDENTIAL_REQUESTS_PER_SEC", "100000")
            .env("VESTIBULE_LIMITS__ORG_REQUESTS_PER_SEC", "100000")
            .env("DATABASE_URL", &self.database_url)
            .env("REDIS_URL", self.redis.url())
            .stdin(Stdio::null());
        command
    }

    /// The gateway's own address, past the line.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it calls itself.
    pub fn host(&self) -> String {
        self.line.url.replace("http://", "")
    }

    pub fn start_gateway(&mut self) {
        self.gateway = Some(self.command("serve").spawn().unwrap());
    }

    pub fn kill_gateway(&mut self) {
        if let Some(mut child) = self.gateway.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub async fn is_ready(&self) {
        let start = Instant::now();
        let http = crate::people::http(&self.host());
        let url = format!("{}/readyz", self.base());
        while !http.get(&url).send().await.is_ok_and(|said| said.status().is_success()) {
            assert!(start.elapsed() < STANDS_MAX, "the gateway is not ready");
            tokio::time::sleep(LOOK).await;
        }
    }

    pub fn platform_key(&self) -> String {
        let made = self.command("keys create --platform --name history").output().unwrap();
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Copies Postgres' files, while it stands still.
    pub async fn back_up(&mut self) {
        self.copy("engine/postgres", "backup");
        self.is_ready().await;
    }

    /// Postgres is as it was when it was copied.
    pub fn restore(&mut self) {
        self.copy("backup", "engine/postgres");
    }

    fn copy(&mut self, from: &str, to: &str) {
        self.postgres = None;
        let [from, to] = [from, to].map(|name| self.folder.path().join(name));
        let _ = std::fs::remove_dir_all(&to);
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
        self.postgres = Some(postgres(self.folder.path()));
    }

    pub fn recover(&self) {
        let done = self.command("recover --yes").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn postmaster(&self) -> PathBuf {
        self.folder.path().join("engine/postgres/postmaster.pid")
    }

    /// Killed, and back: its keeper starts it again. When it answers.
    pub async fn kill_postgres(&self) {
        let pid = |text: String| text.lines().next().and_then(|line| line.trim().parse().ok());
        let pid = std::fs::read_to_string(self.postmaster()).ok().and_then(pid).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        let start = Instant::now();
        // Its children are the last to go.
        tokio::time::sleep(Duration::from_millis(100)).await;
        while self.sql().await.is_none() {
            assert!(start.elapsed() < STANDS_MAX, "Postgres is not started again");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where a commit that revokes can be held.
    pub async fn prepare(&self) {
        let trigger = "SET ROLE vst_owner;
            CREATE FUNCTION vst.history_hold() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER history_hold AFTER INSERT ON vst.revocations
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION vst.history_hold()";
        sqlx::raw_sql(trigger).execute(&mut self.sql().await.unwrap()).await.unwrap();
    }

    /// How many revocations are committed.
    pub async fn revoked(&self) -> i64 {
        let mut sql = self.sql().await.unwrap();
        sqlx::raw_sql("SET ROLE vst_owner").execute(&mut sql).await.unwrap();
        let count = "SELECT count(*) FROM vst.revocation_feed";
        sqlx::query_scalar(count).fetch_one(&mut sql).await.unwrap()
    }

    pub async fn sql(&self) -> Option<PgConnection> {
        PgConnection::connect(&self.database_url).await.ok()
    }

    /// A verifier of this mode, for this app, on the other end of the line.
    pub async fn verifier(&self, app: &(String, String), mode: Mode) -> Verifier {
        let builder = Verifier::builder(&self.line.url, &app.0).client(&app.0, &app.1).mode(mode);
        let builder = match mode {
            Mode::Bounded => builder.staleness_max(crate::BOUNDS.bounded),
            Mode::Strict | Mode::BestEffort => builder,
        };
        builder.start().await.expect("the verifier starts")
    }
}

fn postgres(folder: &std::path::Path) -> Embedded {
    Embedded::start(&EmbeddedOptions { redis: false, ..EmbeddedOptions::new(folder.join("engine")) }).unwrap()
}

/// Holds the gateway at a labelled point: a lock that its own statement waits for.
pub struct Hold {
    sql: PgConnection,
    watch: PgConnection,
}

impl Hold {
    /// `statement` takes the lock.
    pub async fn at(stand: &Stand, statement: &'static str) -> Self {
        let (mut sql, watch) = (stand.sql().await.unwrap(), stand.sql().await.unwrap());
        sqlx::raw_sql(statement).execute(&mut sql).await.unwrap();
        Self { sql, watch }
    }

    /// Until somebody stands at the point; false when nobody came.
    pub async fn is_reached(&mut self) -> bool {
        let waiting = "SELECT count(*) FROM pg_stat_activity
              WHERE pid IN (SELECT pid FROM pg_locks WHERE NOT granted)";
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut self.watch).await.unwrap();
            if count > 0 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        false
    }

    pub async fn release(self) {
        self.sql.close().await.unwrap();
        self.watch.close().await.unwrap();
    }
}
