//! A failure is told whole, in every format, without a token.

use super::{Lie, cases_named, run};
use crate::{
    args::{Args, Asked, parse},
    case::Level,
    catalogue::{all, chosen},
    progress::Progress,
    report::{json, junit, terminal},
    runner::{self, Options},
    wire::{Settings, Wire},
};
use std::{ffi::OsString, time::Duration};

#[tokio::test]
async fn a_failure_says_what_was_sent_received_expected_and_what_to_do() {
    let report = run(Lie::DoesNothing, cases_named(&["patch.replace.single", "auth.missing"])).await;
    let text = terminal::render(&report, false, true);
    for part in [
        "FAIL",
        "patch.replace.single",
        "RFC 7644 3.5.2.3 MUST",
        "sent",
        "GET /Users/",
        "received",
        "200 application/scim+json",
        "displayName is \"New\"",
        "rule",
        "The value at the target is replaced.",
        "do",
        "Set it.",
        "not conformant",
        "(without a token)",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains('\x1b') && terminal::render(&report, true, true).contains("\x1b[31;1mFAIL"));
    let document: serde_json::Value = serde_json::from_str(&json::render(&report)).unwrap();
    assert_eq!(document["totals"]["fail"], 2);
    assert_eq!(document["green"], false);
    assert!(document["cases"][0]["failures"][0]["sent"].as_str().unwrap().starts_with("GET /Users"));
    let xml = junit::render(&report);
    assert!(xml.contains("failures=\"2\"") && xml.contains("&quot;New&quot;") && xml.starts_with("<?xml"));
    for rendered in [text, json::render(&report), xml] {
        assert!(!rendered.contains("right-token"), "{rendered}");
    }
}

/// Each once, however often it was tried; in which tenant, and what the server said.
#[tokio::test]
async fn what_is_left_behind_is_told_once_with_its_tenant_and_the_reason() {
    let report = run(Lie::Guards, cases_named(&["tenancy.user.get", "create.201"])).await;
    let text = terminal::render(&report, false, true);
    let (_, told) = text.split_once("Left behind, to be removed by hand\n").expect(&text);
    let (said, rest) = told.split_once('\n').unwrap();
    let wanted = "  2 in the tenant of --other-token, DELETE answered 403: so many may go within an hour";
    assert_eq!(said, wanted, "{text}");
    let paths = rest.lines().next().unwrap();
    assert_eq!((paths.matches("/Users/").count(), paths.matches("/Groups/").count()), (1, 1), "{text}");
    let document: serde_json::Value = serde_json::from_str(&json::render(&report)).unwrap();
    let left = document["left_behind"].as_array().unwrap();
    assert_eq!((left.len(), &left[0]["tenant"]), (2, &"--other-token".into()));
    assert_eq!(left[0]["answered"], "403");
}

#[tokio::test]
async fn a_should_warns_and_the_run_stays_green() {
    let names = ["create.body", "create.username-as-given"];
    let cases = cases_named(&names);
    assert!(cases.iter().all(|case| case.label.level == Level::Should));
    let report = run(Lie::Forgets, cases).await;
    assert!(report.verdicts.iter().all(|one| !one.is_red()));
    assert!(report.is_green());
}

fn settings(base: String) -> Settings {
    let timeout = Duration::from_secs(2);
    Settings { base, token: None, other_token: None, other_base: None, timeout, authority: None }
}

#[tokio::test]
async fn where_nobody_answers_nothing_is_judged() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let options = Options { domain: "x.example".into(), burst: 2, tag: "st".into() };
    let wire = Wire::new(settings(base)).unwrap();
    let ended = runner::run(wire, options, all().unwrap().0, &[], &mut Progress::new(true)).await;
    assert!(ended.is_err());
}

fn args(line: &str) -> Args {
    let words = line.split(' ').map(OsString::from);
    match parse(words, |_| None).unwrap() {
        Asked::Run(args) => *args,
        Asked::Help => panic!("help"),
    }
}

#[test]
fn profiles_and_words_choose_cases() {
    let ids = |line: &str| -> Result<Vec<String>, String> {
        let left = chosen(all().unwrap().0, &args(line))?;
        Ok(left.into_iter().map(|case| case.label.id).collect())
    };
    let all = ids("x --list").unwrap().len();
    let (rfc, clients) =
        (ids("x --list --profile rfc").unwrap().len(), ids("x --list --profile clients").unwrap().len());
    assert_eq!(rfc + clients, all);
    assert!(ids("x --list --profile entra").unwrap().iter().all(|id| id.starts_with("entra.")));
    assert!(ids("x --list --only 3.5.2.2").unwrap().contains(&"patch.remove.no-path".to_owned()));
    assert!(!ids("x --list --skip entra").unwrap().iter().any(|id| id.starts_with("entra.")));
    assert!(ids("x --list --profile nobody").is_err() && ids("x --list --only nothing-of-the-sort").is_err());
}
