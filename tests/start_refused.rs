//! What a start that cannot be says: who has the folder, what the database said and what to do next.

use crate::house::house;
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Runs a command that is to end by itself; what it said on stderr.
fn refused(words: &[&str], environment: &[(&str, &str)]) -> String {
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
