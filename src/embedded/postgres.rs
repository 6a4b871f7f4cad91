//! The private cluster: made once, whole or not at all, then started and waited for. Decides what
//! to do about what a killed process left; never deletes a cluster that was finished.

use super::{
    EmbeddedError, EmbeddedOptions, Place, at, folder,
    keeper::{self, Keeper},
    last_words, log_file,
    programs::{self, Guise},
    short,
};
use rustix::process::Signal;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

const START_MAX: Duration = Duration::from_secs(60);
/// A killed process' Postgres gets a fast shutdown from the kernel; it writes a checkpoint first.
const PREDECESSOR_MAX: Duration = Duration::from_secs(20);
/// The log is written in files of this size, and a new one is filled with zeroes while every commit waits: of the
/// usual 16 MB, 11 to 23 ms.
const WAL_SEGMENT_MB: u32 = 1;
/// The server's own login makes roles and owns its database; it is no superuser, because
/// policies do not hold a superuser.
const LOGIN: &str = "CREATE ROLE vestibule LOGIN CREATEROLE;\nCREATE DATABASE vestibule OWNER vestibule;\n";

const fn failed(why: String) -> EmbeddedError {
    EmbeddedError::Failed { what: "PostgreSQL", why }
}

/// Makes the cluster if there is none, starts it, waits until it takes connections.
pub(super) fn start(
    place: &Place,
    keeper: &Keeper,
    options: &EmbeddedOptions,
) -> Result<(Child, String), EmbeddedError> {
    let home = home(&place.data, place.guise, options.progress)?;
    let cluster = home.join("postgres");
    let major = fs::read_to_string(cluster.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
    let bin = programs::postgres(major)?;
    if major.is_none() {
        (options.progress)("making a private Postgres cluster (about 2 s, once)");
        create(place, &bin, &home, options.durable)?;
    }
    if let Some(owner) = place.guise.owner() {
        programs::hand_over(&cluster, owner).map_err(at(&cluster))?;
    }
    await_predecessor(&cluster, options.progress)?;

    let (log_path, log) = log_file(place, "postgres.log")?;
    let mut command = place.guise.command(&bin.join("postgres"), "INT");
    command.arg("-D").arg(&cluster).arg("-k").arg(&place.sockets);
    for setting in ["listen_addresses=", "port=5432", "unix_socket_permissions=0700", "max_connections=200"] {
        command.args(["-c", setting]);
    }
    command.args(["-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "logging_collector=off"]);
    // initdb would derive both from the segments' size, and a small log means many checkpoints.
    command.args(["-c", "min_wal_size=80MB", "-c", "max_wal_size=1GB"]);
    if !options.durable {
        command.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
    }
    command.stdout(log.try_clone().map_err(at(&log_path))?).stderr(log);
    let mut child = keeper.spawn(command).map_err(at(&bin))?;
    let mut ended = false;
    let up = keeper::wait_until(START_MAX, || {
        ended = !matches!(child.try_wait(), Ok(None));
        ended || ready(&cluster, child.id())
    });
    if up && !ended {
        let url = format!("postgres://vestibule@localhost/vestibule?host={}", place.sockets.display());
        return Ok((child, url));
    }
    keeper::end(&mut child, Signal::INT, Duration::from_secs(5));
    Err(failed(last_words(&log_path)))
}

/// Removes a cluster, finished or not.
pub(super) fn remove(data: &Path, guise: Guise) -> Result<(), EmbeddedError> {
    let home = home(data, guise, |_| {})?;
    await_predecessor(&home.join("postgres"), |_| {})?;
    clear(&home.join("postgres"))?;
    clear(&home.join("postgres.new"))
}

fn clear(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_dir_all(path) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(at(path)(why)),
        _ => Ok(()),
    }
}

/// The folder the cluster lies in: the data folder, unless Postgres runs as a user who cannot get
/// there (a checkout under /root, in a container).
fn home(data: &Path, guise: Guise, progress: fn(&str)) -> Result<PathBuf, EmbeddedError> {
    let Guise::Other { .. } = guise else { return Ok(data.into()) };
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        // Others may pass through, to a path they know; they may not look around.
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).map_err(at(path))
    };
    mode(data)?;
    if guise.reaches(data) {
        return Ok(data.into());
    }
    let elsewhere = folder(&elsewhere(data))?;
    mode(&elsewhere)?;
    progress(&format!(
        "Postgres runs as another user, who cannot reach {}: its cluster is in {}",
        data.display(),
        elsewhere.display()
    ));
    Ok(elsewhere)
}

/// Where else the cluster of a data folder may lie.
fn elsewhere(data: &Path) -> PathBuf {
    Path::new("/var/lib").join(format!("vestibule-{}", short(data)))
}

pub(super) fn has_cluster(data: &Path) -> bool {
    let made = |home: &Path| home.join("postgres").join("PG_VERSION").exists();
    made(data) || made(&elsewhere(data))
}

/// Made beside its place and then renamed: what a kill leaves half done is thrown away next time.
fn create(place: &Place, bin: &Path, home: &Path, durable: bool) -> Result<(), EmbeddedError> {
    let draft = home.join("postgres.new");
    clear(&draft)?;
    folder(&draft)?;
    if let Some(owner) = place.guise.owner() {
        programs::hand_over(&draft, owner).map_err(at(&draft))?;
    }
    let mut initdb = place.guise.command(&bin.join("initdb"), "KILL");
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-D"]).arg(&draft);
    initdb.arg(format!("--wal-segsize={WAL_SEGMENT_MB}"));
    if !durable {
        initdb.arg("--no-sync");
    }
    let done = initdb.output().map_err(at(bin))?;
    if !done.status.success() {
        return Err(failed(format!("initdb: {}", String::from_utf8_lossy(&done.stderr).trim())));
    }
    let mut single = place.guise.command(&bin.join("postgres"), "KILL");
    single.args(["--single", "-c", "exit_on_error=on", "-D"]).arg(&draft).arg("postgres");
    let mut child =
        single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(at(bin))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(LOGIN.as_bytes()).map_err(at(&draft))?;
    }
    let done = child.wait_with_output().map_err(at(bin))?;
    if !done.status.success() {
        return Err(failed(format!("first login: {}", String::from_utf8_lossy(&done.stderr).trim())));
    }
    let cluster = home.join("postgres");
    fs::rename(&draft, &cluster).map_err(at(&cluster))
}

/// Postgres itself writes `ready` into line 8 of its pid file, its pid into line 1.
fn ready(cluster: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines();
    lines.next().is_some_and(|first| first.trim() == pid.to_string())
        && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

/// We hold the lock, so whatever pid file is there is a killed process': wait for its Postgres to
/// finish, then insist. A pid that by now is somebody else's is none of ours: the file goes.
fn await_predecessor(cluster: &Path, progress: fn(&str)) -> Result<(), EmbeddedError> {
    let file = cluster.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else {
        return fs::remove_file(&file).map_err(at(&file));
    };
    let process = PathBuf::from(format!("/proc/{pid}"));
    // Postgres works in its cluster's folder: that, not a name, says that it is ours.
    let runs = || fs::read_link(process.join("cwd")).is_ok_and(|folder| folder == cluster);
    if !runs() {
        return if process.exists() { fs::remove_file(&file).map_err(at(&file)) } else { Ok(()) };
    }
    progress("waiting for the Postgres of a process that was killed");
    if keeper::wait_until(PREDECESSOR_MAX, || !runs()) {
        return Ok(());
    }
    keeper::signal_pid(pid, Signal::QUIT);
    if keeper::wait_until(PREDECESSOR_MAX, || !runs()) {
        return Ok(());
    }
    Err(failed(format!("pid {pid} still runs on {}; end it", cluster.display())))
}
