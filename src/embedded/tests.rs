use super::*;
use std::{
    process::{Command, Stdio},
    time::Instant,
};

fn options(folder: &Path) -> EmbeddedOptions {
    EmbeddedOptions { durable: false, ..EmbeddedOptions::new(folder) }
}

fn sql(engines: &Embedded, text: &str) -> String {
    let bin = programs::postgres(None).unwrap();
    let url = engines.database_url.as_ref().unwrap();
    let done = Command::new(bin.join("psql")).args([url, "-XAtqc", text]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().into()
}

#[test]
fn starts_keeps_its_data_and_is_refused_to_a_second_process() {
    let folder = tempfile::tempdir().unwrap();
    let first = Embedded::start(&options(folder.path())).unwrap();
    assert_eq!(sql(&first, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"), "f");
    let log =
        ["SHOW wal_segment_size", "SHOW min_wal_size", "SHOW max_wal_size"].map(|asked| sql(&first, asked));
    assert_eq!(log, ["1MB", "80MB", "1GB"], "small files, and none of fewer checkpoints for it");
    sql(&first, "CREATE TABLE kept AS SELECT 42 AS n");
    let redis = PathBuf::from(first.redis_url.as_ref().unwrap().strip_prefix("unix://").unwrap());
    assert!(answers(&redis));

    let second = Embedded::start(&options(folder.path())).unwrap_err().to_string();
    assert!(second.contains(&format!("in use by pid {} (vestibule);", std::process::id())), "{second}");
    assert!(Embedded::refuse_held(folder.path()).is_err());
    assert!(Embedded::reset(folder.path()).is_err(), "never under a running engine");
    let joined = Embedded::join_or_start(&options(folder.path())).unwrap();
    assert_eq!(sql(&joined, "SELECT n FROM kept"), "42");
    drop(joined);
    assert!(answers(&redis), "who joined does not end what is not its own");

    drop(first);
    assert!(!answers(&redis));
    Embedded::refuse_held(folder.path()).unwrap();
    let again = Embedded::start(&options(folder.path())).unwrap();
    assert_eq!(sql(&again, "SELECT n FROM kept"), "42");
    drop(again);
    Embedded::reset(folder.path()).unwrap();
    assert!(!folder.path().join("postgres").exists());
}

/// Not a test of its own: what the next one starts, and kills.
#[test]
fn held_by_a_process_that_will_be_killed() {
    let Some(folder) = std::env::var_os("HELD_FOLDER") else { return };
    let engines = Embedded::start(&options(Path::new(&folder))).unwrap();
    sql(&engines, "CREATE TABLE kept AS SELECT 7 AS n");
    fs::write(Path::new(&folder).join("held"), "").unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_process_leaves_no_engine_and_loses_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::tests::held_by_a_process_that_will_be_killed"])
        .env("HELD_FOLDER", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(keeper::wait_until(Duration::from_secs(30), || folder.path().join("held").exists()));
    process.kill().unwrap();
    process.wait().unwrap();
    let start = Instant::now();
    let heir = Embedded::start(&options(folder.path())).unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(sql(&heir, "SELECT n FROM kept"), "7");
}

#[test]
fn a_pid_file_left_by_a_crash_is_no_obstacle_and_a_long_path_gets_short_sockets() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a folder, with 'signs'".repeat(5));
    drop(Embedded::start(&options(&folder)).unwrap());
    // A pid that lives but is somebody else's, as after a restart of a container.
    let stale = format!("{}\n/nowhere\n1\n5432\n/tmp\n\n 1 1\nready\n", std::process::id());
    fs::write(folder.join("postgres/postmaster.pid"), stale).unwrap();
    let engines = Embedded::start(&options(&folder)).unwrap();
    assert_eq!(sql(&engines, "SELECT 1"), "1");
    let sockets = engines.database_url.as_ref().unwrap().split_once("host=").unwrap().1.to_owned();
    assert!(sockets.starts_with("/tmp/vst-"), "{sockets}");
    drop(engines);
    assert!(!Path::new(&sockets).exists(), "nothing is left in /tmp");
}

#[test]
fn a_half_made_cluster_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("postgres.new/base")).unwrap();
    let only = EmbeddedOptions { redis: false, ..options(folder.path()) };
    let engines = Embedded::start(&only).unwrap();
    assert_eq!(sql(&engines, "SELECT 1"), "1");
    assert_eq!(engines.redis_url, None);
}

#[test]
fn runs_as_another_user_where_namespaces_are_forbidden() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let data = folder.path().join("data");
    let other = Guise::Other { uid: 65_534, gid: 65_534 };
    let engines = Embedded::start_as(&options(&data), other).unwrap();
    assert_eq!(sql(&engines, "SELECT 1"), "1");
    drop(engines);
    let engines = Embedded::start(&options(&data)).unwrap();
    assert_eq!(sql(&engines, "SELECT 1"), "1", "the same cluster in the other guise");
}

#[test]
fn a_socket_folder_that_is_open_to_others_or_a_link_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let data = folder(&root.path().join("x".repeat(120))).unwrap();
    let near_tmp = PathBuf::from(format!("/tmp/vst-{}", short(&data)));
    fs::create_dir(&near_tmp).unwrap();
    fs::set_permissions(&near_tmp, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(sockets(&data, Guise::Own).is_err());
    fs::remove_dir(&near_tmp).unwrap();
    std::os::unix::fs::symlink(root.path(), &near_tmp).unwrap();
    assert!(sockets(&data, Guise::Own).is_err());
    fs::remove_file(&near_tmp).unwrap();
}

fn pid_of_postgres(folder: &Path) -> u32 {
    let text = fs::read_to_string(folder.join("postgres/postmaster.pid")).unwrap();
    text.lines().next().unwrap().trim().parse().unwrap()
}

fn pid_of_redis(socket: &Path) -> u32 {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"INFO server\r\n").unwrap();
    let mut text = [0; 4_096];
    let read = stream.read(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text[..read]).into_owned();
    text.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().trim().parse().unwrap()
}

fn takes_sql(engines: &Embedded) -> bool {
    let bin = programs::postgres(None).unwrap();
    let url = engines.database_url.as_ref().unwrap();
    let asked =
        Command::new(bin.join("psql")).args([url, "-XAtqc", "SELECT 1"]).stderr(Stdio::null()).output();
    asked.unwrap().status.success()
}

#[test]
fn an_engine_that_is_killed_comes_again_with_what_it_had_committed_and_ends_with_us() {
    let root = tempfile::tempdir().unwrap();
    let engines = Embedded::start(&EmbeddedOptions::new(root.path())).unwrap();
    sql(&engines, "CREATE TABLE kept AS SELECT 42 AS n");
    let redis = PathBuf::from(engines.redis_url.as_ref().unwrap().strip_prefix("unix://").unwrap());
    for round in 0..2 {
        let (postgres, cache) = (pid_of_postgres(root.path()), pid_of_redis(&redis));
        keeper::signal_pid(postgres, rustix::process::Signal::KILL);
        keeper::signal_pid(cache, rustix::process::Signal::KILL);
        assert!(
            keeper::wait_until(Duration::from_secs(5), || !answers(&redis) || pid_of_redis(&redis) != cache)
        );
        let back = || answers(&redis) && takes_sql(&engines);
        assert!(keeper::wait_until(Duration::from_secs(30), back), "round {round}");
        assert_eq!(sql(&engines, "SELECT n FROM kept"), "42");
        assert_ne!((pid_of_postgres(root.path()), pid_of_redis(&redis)), (postgres, cache));
    }
    let said = fs::read_to_string(root.path().join("logs/postgres.log")).unwrap();
    assert!(said.matches("ready to accept connections").count() >= 3, "each of its starts: {said}");
    drop(engines);
    assert!(!answers(&redis) && !root.path().join("postgres/postmaster.pid").exists());
    // Nothing starts them once we have gone.
    std::thread::sleep(Duration::from_secs(1));
    assert!(!answers(&redis) && !root.path().join("postgres/postmaster.pid").exists());
}
