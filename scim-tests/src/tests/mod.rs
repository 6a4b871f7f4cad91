//! The runner is held to this: a wrong server turns its cases red, and the report says why.

mod catalogue;
mod liar;
mod red;
mod reports;

use crate::{
    case::Case,
    catalogue::all,
    progress::Progress,
    runner::{self, Options, Report},
    wire::{Settings, Wire},
};
use liar::{Lie, Server};
use std::time::Duration;

/// Runs cases against a server that lies in this way.
async fn run(lie: Lie, cases: Vec<Case>) -> Report {
    let server = Server::start(lie).await;
    let settings = Settings {
        base: format!("http://{}/scim", server.address),
        token: Some("right-token-of-one".into()),
        other_token: Some("right-token-of-two".into()),
        other_base: None,
        timeout: Duration::from_secs(20),
        authority: None,
    };
    let options = Options { domain: "t.example".into(), burst: 6, tag: "st-test".into() };
    let (_, people) = all().unwrap();
    runner::run(Wire::new(settings).unwrap(), options, cases, &people, &mut Progress::new(true))
        .await
        .unwrap()
}

fn cases_named(names: &[&str]) -> Vec<Case> {
    let cases: Vec<Case> =
        all().unwrap().0.into_iter().filter(|case| names.contains(&case.label.id.as_str())).collect();
    assert_eq!(cases.len(), names.len(), "{names:?}");
    cases
}
