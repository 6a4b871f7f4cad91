//! The command's exit codes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scim-tests"));
    command.args(words).env_remove("SCIM_TOKEN").env_remove("SCIM_OTHER_TOKEN").output().unwrap()
}

#[test]
fn the_list_needs_no_server() {
    let output = run(&["--list", "--profile", "okta"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("okta.push-group") && text.contains("MUST") && !text.contains("entra."));
}

#[test]
fn a_wrong_command_is_2_and_says_why() {
    for words in [&["--nonsense"][..], &[], &["--base", "ftp://x"], &["--list", "--profile", "nobody"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn where_nobody_answers_the_code_is_2_and_the_token_is_not_shown() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/scim", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&["--base", &base, "--token", "very-secret-token", "--timeout", "2", "--quiet"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("error") && !told.contains("very-secret-token"), "{told}");
}

#[test]
fn help_is_0() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("--other-token"));
}
