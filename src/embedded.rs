//! A private Postgres and Redis in the data folder, for the demo, for tests and for a small
//! installation: the engines of production, on unix sockets only we can reach, ended with the
//! process however it ends, and started again when one dies under it. Never touches a cluster it did not
//! make. One process per data folder: a lock file that the system itself lets go says who.

mod keeper;
mod postgres;
mod programs;
mod warden;

use keeper::{Keeper, TICK};
pub use programs::Guise;
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};
use warden::{Held, Kind, Warden};

#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    pub data_dir: PathBuf,
    pub postgres: bool,
    pub redis: bool,
    /// false for tests alone: a crash of the machine may then lose the cluster.
    pub durable: bool,
    /// The command that holds the folder: what another process is told.
    pub holder: &'static str,
    /// Told of anything that takes a while.
    pub progress: fn(&str),
}

impl EmbeddedOptions {
    /// Both engines, durable, silent.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            postgres: true,
            redis: true,
            durable: true,
            holder: "vestibule",
            progress: |_| {},
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error("{what} is not installed; {next}")]
    Absent { what: &'static str, next: &'static str },
    #[error(
        "the data folder holds a cluster of PostgreSQL {wanted}, which is not installed; install it, or dump and start afresh"
    )]
    Version { wanted: u32 },
    #[error(
        "the data folder {folder} is in use by pid {holder}; stop it, or use another: VESTIBULE_DATA_DIR=…"
    )]
    InUse { folder: PathBuf, holder: String },
    #[error("{what} did not start: {why}")]
    Failed { what: &'static str, why: String },
    #[error("cannot use {path}: {why}")]
    Io { path: PathBuf, why: io::Error },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_path_buf();
    move |why| EmbeddedError::Io { path, why }
}

/// The running engines. Dropping it ends them.
#[derive(Debug)]
pub struct Embedded {
    /// `postgres://vestibule@localhost/vestibule?host=…`: a login that makes roles but is no superuser.
    pub database_url: Option<String>,
    /// `unix:///…`.
    pub redis_url: Option<String>,
    /// Whether it was this process that started the Redis.
    started_redis: bool,
    warden: Option<Warden>,
    /// Ours to remove, when it is not in the data folder.
    sockets: Option<PathBuf>,
    // Last: the lock is let go when the children have ended.
    _lock: Option<File>,
}

/// A unix socket's path must be shorter than this, its file name included.
const SOCKET_PATH_MAX: usize = 107;
/// The longest name in it: Postgres' socket and its lock.
const SOCKET_NAME: usize = "/.s.PGSQL.5432.lock".len();
const REDIS_START_MAX: Duration = Duration::from_secs(10);

/// What the folders of one data folder are.
struct Place {
    data: PathBuf,
    sockets: PathBuf,
    guise: Guise,
}

impl Embedded {
    /// Starts what is asked for and waits until it answers. Blocks: about 2 s for a new folder, 0.3 s
    /// for one that is there. What a killed process left behind is waited for and taken over.
    ///
    /// # Errors
    /// Programs absent, the folder in use by another process, an engine that does not start.
    pub fn start(options: &EmbeddedOptions) -> Result<Self, EmbeddedError> {
        Self::start_as(options, Guise::detect())
    }

    fn start_as(options: &EmbeddedOptions, guise: Guise) -> Result<Self, EmbeddedError> {
        let data = folder(&options.data_dir)?;
        let lock = lock(&data, options.holder)?;
        let sockets = sockets(&data, guise)?;
        let place = Place { data, sockets, guise };
        let note = place.data.join(ADDRESSES);
        let logs = folder(&place.data.join("logs"))?;
        let mut engines = Self {
            database_url: None,
            redis_url: None,
            started_redis: options.redis,
            warden: None,
            sockets: Some(place.sockets.clone()).filter(|folder| !folder.starts_with(&place.data)),
            _lock: Some(lock),
        };
        let wanted = [(Kind::Redis, options.redis), (Kind::Postgres, options.postgres)];
        let kinds: Vec<Kind> =
            wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(kind, _)| kind).collect();
        for kind in &kinds {
            // Behind it comes what the engine says in this process' life, of each of its starts.
            let log = logs.join(kind.log());
            File::create(&log).map_err(at(&log))?;
        }
        let keeper = Keeper::new().map_err(at(&place.data))?;
        let (warden, urls) = Warden::start(Held { place, options: options.clone(), keeper }, &kinds)?;
        engines.warden = Some(warden);
        for (kind, url) in kinds.into_iter().zip(urls) {
            match kind {
                Kind::Redis => engines.redis_url = Some(url),
                Kind::Postgres => engines.database_url = Some(url),
            }
        }
        let told = [&engines.database_url, &engines.redis_url].map(|url| url.clone().unwrap_or_default());
        fs::write(&note, told.join("\n")).map_err(at(&note))?;
        Ok(engines)
    }

    /// The engines of a data folder, whoever runs them: starts them, or, when another process of ours
    /// holds the folder, speaks to its engines and leaves them running.
    ///
    /// # Errors
    /// As `start`.
    pub fn join_or_start(options: &EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let held = match Self::start(options) {
            Err(held @ EmbeddedError::InUse { .. }) => held,
            other => return other,
        };
        let Ok(text) = fs::read_to_string(options.data_dir.join(ADDRESSES)) else { return Err(held) };
        let mut urls = text.split('\n').map(|url| Some(url.to_owned()).filter(|url| !url.is_empty()));
        let (database_url, redis_url) = (urls.next().flatten(), urls.next().flatten());
        Ok(Self { database_url, redis_url, started_redis: false, warden: None, sockets: None, _lock: None })
    }

    /// Has this data folder a cluster? Makes nothing.
    ///
    /// # Errors
    /// The folder cannot be looked into.
    pub fn has_cluster(data_dir: &Path) -> Result<bool, EmbeddedError> {
        match data_dir.canonicalize() {
            Ok(data) => Ok(postgres::has_cluster(&data)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(why) => Err(at(data_dir)(why)),
        }
    }

    /// Did this process start the Redis? Then it holds nothing yet.
    pub const fn started_redis(&self) -> bool {
        self.started_redis
    }

    /// Refuses a data folder that another process holds; starts nothing.
    ///
    /// # Errors
    /// The folder is in use, or cannot be used.
    pub fn refuse_held(data_dir: &Path) -> Result<(), EmbeddedError> {
        lock(&folder(data_dir)?, "vestibule").map(drop)
    }

    /// Removes the engines' data, and only that, from a data folder nobody uses.
    ///
    /// # Errors
    /// The folder is in use, or a file cannot be removed.
    pub fn reset(data_dir: &Path) -> Result<(), EmbeddedError> {
        let data = folder(data_dir)?;
        let _lock = lock(&data, "vestibule")?;
        postgres::remove(&data, Guise::detect())
    }
}

/// The engines' addresses, for other commands on the same data folder.
const ADDRESSES: &str = "embedded.urls";

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.warden.take());
        if let Some(sockets) = &self.sockets {
            // What stays is emptied at the next start.
            let _ = fs::remove_dir_all(sockets);
        }
    }
}

/// Makes a folder only we can enter, and gives its full path.
fn folder(path: &Path) -> Result<PathBuf, EmbeddedError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))?;
    path.canonicalize().map_err(at(path))
}

fn lock(data: &Path, holder: &str) -> Result<File, EmbeddedError> {
    let path = data.join("vestibule.lock");
    let mut options = File::options();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut told = String::new();
            file.read_to_string(&mut told).map_err(at(&path))?;
            return Err(EmbeddedError::InUse { folder: data.into(), holder: told.trim().into() });
        }
        Err(TryLockError::Error(why)) => return Err(at(&path)(why)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(at(&path))?;
    writeln!(file, "{} ({holder})", std::process::id()).map_err(at(&path))?;
    Ok(file)
}

/// The folder of the sockets: in the data folder, or, where that path is too long, needs quoting or
/// is out of Postgres' reach, a private one in /tmp named after it. Emptied: its users are gone.
fn sockets(data: &Path, guise: Guise) -> Result<PathBuf, EmbeddedError> {
    let near = data.join("run");
    let text = near.to_str().unwrap_or(" ");
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let fits = text.len() + SOCKET_NAME < SOCKET_PATH_MAX;
    let apart = matches!(guise, Guise::Other { .. });
    let path =
        if plain && fits && !apart { near } else { PathBuf::from(format!("/tmp/vst-{}", short(data))) };
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(at(&path)(why)),
        _ => {}
    }
    // In /tmp somebody else may have put a folder or a link of that name there first.
    let about = fs::symlink_metadata(&path).map_err(at(&path))?;
    let ours = rustix::process::geteuid().as_raw();
    let known = about.uid() == ours || guise.owner().is_some_and(|(uid, _)| uid == about.uid());
    if !about.is_dir() || !known || about.permissions().mode() & 0o077 != 0 {
        let why = "is not a private folder of ours; remove it";
        return Err(at(&path)(io::Error::new(io::ErrorKind::PermissionDenied, why)));
    }
    for entry in fs::read_dir(&path).map_err(at(&path))? {
        let left = entry.map_err(at(&path))?.path();
        fs::remove_file(&left).map_err(at(&left))?;
    }
    if let Some(owner) = guise.owner() {
        programs::hand_over(&path, owner).map_err(at(&path))?;
    }
    Ok(path)
}

/// 16 hex digits that name a path.
fn short(path: &Path) -> String {
    let digest = model::TokenDigest::of(&path.to_string_lossy());
    digest.bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn log_path(place: &Place, name: &str) -> PathBuf {
    place.data.join("logs").join(name)
}

fn log_file(place: &Place, name: &str) -> Result<(PathBuf, File), EmbeddedError> {
    let path = log_path(place, name);
    let file = File::options().append(true).create(true).open(&path).map_err(at(&path))?;
    Ok((path, file))
}

/// The end of a log, where an engine says why it did not start.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(4).collect();
    lines.reverse();
    format!("{} (all of it in {})", lines.join(" | "), log.display())
}

fn start_redis(place: &Place, keeper: &Keeper) -> Result<(Child, String), EmbeddedError> {
    let program = programs::redis()?;
    let socket = place.sockets.join("redis.sock");
    let (log_path, log) = log_file(place, "redis.log")?;
    // KILL: a redis that is told to end removes its socket, which by then is its successor's.
    let mut command = Guise::Own.command(&program, "KILL");
    command.args(["--port", "0", "--unixsocketperm", "700", "--save", "", "--appendonly", "no"]);
    command.args(["--maxmemory-policy", "noeviction", "--daemonize", "no", "--unixsocket"]).arg(&socket);
    command.arg("--dir").arg(&place.data);
    command.stdout(log.try_clone().map_err(at(&log_path))?).stderr(log);
    let mut child = keeper.spawn(command).map_err(at(&program))?;
    let mut ended = false;
    let up = keeper::wait_until(REDIS_START_MAX, || {
        ended = !matches!(child.try_wait(), Ok(None));
        ended || answers(&socket)
    });
    if up && !ended {
        return Ok((child, format!("unix://{}", socket.display())));
    }
    keeper::end(&mut child, rustix::process::Signal::KILL, TICK);
    Err(EmbeddedError::Failed { what: "Redis", why: last_words(&log_path) })
}

fn answers(socket: &Path) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests;
