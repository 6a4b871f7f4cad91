//! What a start that cannot be says: who has the folder, what the database said and what to do next.

use crate::house::house;
use sqlx::{Connection, PgConnection};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use vestibule::embedded::{Embedded, EmbeddedOptions};

/// Runs a command that is to end by itself; what it said on stderr.
pub fn refused(words: &[&str], environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(words)
        .env("VESTIBULE_LISTEN", "127.0.0.1:0")
        .envs(environment.iter().copied())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let run = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1), "{words:?}: {said}");
    said
}

/// A second demo, or a second server without a database of its own, would end the first one's keys.
#[test]
fn a_data_folder_that_another_process_serves_from_is_refused() {
    let _first = house();
    let data = std::env::temp_dir().join(format!("vestibule-test-{}", std::process::id()));
    let data = [("VESTIBULE_DATA_DIR", data.to_str().unwrap())];
    for words in [&["serve"][..], &["demo", "--port", "18990"], &["demo", "--reset", "--port", "18990"]] {
        let said = refused(words, &data);
        assert!(said.contains(&format!("is in use by pid {} (", std::process::id())), "{words:?}: {said}");
        assert!(said.contains("VESTIBULE_DATA_DIR=") && !said.contains("forgotten"), "{words:?}: {said}");
    }
}

/// In a folder where nobody serves a command makes no database: it would be another one than is meant.
#[test]
fn a_command_makes_no_database_and_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let environment =
        [("DATABASE_URL", ""), ("REDIS_URL", ""), ("VESTIBULE_DATA_DIR", data.to_str().unwrap())];
    for words in [
        &["keys", "list"][..],
        &["keys", "create", "--platform", "--name", "me"],
        &["keys", "revoke", "key_00000000000000000000000000"],
        &["keys", "signing"],
        &["keys", "rotate"],
        &["keys", "withdraw", "kid"],
        &["recover", "--yes"],
        &["migrate"],
    ] {
        let said = refused(words, &environment);
        let looked = [data.to_str().unwrap(), "DATABASE_URL", "VESTIBULE_DATA_DIR", "vestibule serve"];
        assert!(looked.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!data.exists(), "{words:?} made something");
    }
}

/// The cause and the next step, and of the URL no password.
#[tokio::test]
async fn a_database_that_does_not_take_us_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let only = EmbeddedOptions { redis: false, durable: false, ..EmbeddedOptions::new(folder.path()) };
    let engine = Embedded::start(&only).unwrap();
    let url = engine.database_url.clone().unwrap();
    let mut sql = PgConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE ROLE plain LOGIN").execute(&mut sql).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().to_str().unwrap();
    let absent = url.replace("/vestibule?", "/nowhere?");
    let plain = url.replace("//vestibule@", "//plain:hunter2@");
    let house = &house().database_url;
    for (word, url, wanted) in [
        ("serve", url.as_str(), "run `vestibule migrate`"),
        ("serve", &absent, "CREATE DATABASE nowhere OWNER vestibule"),
        ("serve", "postgres://u:hunter2@127.0.0.1:1/v", "nothing answers at 127.0.0.1:1"),
        ("migrate", "postgres://u:hunter2@127.0.0.1:1/v", "nothing answers at 127.0.0.1:1"),
        ("migrate", &plain, "CREATEROLE"),
        ("serve", house, "seal.keys: put it back"),
    ] {
        let environment = [
            ("DATABASE_URL", url),
            ("REDIS_URL", "redis://127.0.0.1:1"),
            ("VESTIBULE_DATA_DIR", elsewhere),
            ("VESTIBULE_DATABASE__ACQUIRE_TIMEOUT_SECS", "1"),
        ];
        let said = refused(&[word], &environment);
        assert!(said.contains(wanted) && !said.contains("hunter2"), "{word} {url}: {said}");
    }
}
