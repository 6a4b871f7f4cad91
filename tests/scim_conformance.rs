//! Our own server before the conformance runner (`scim-tests`): every case of every RFC and client, with
//! a second org beside, on which nothing may be seen or changed. A failure is told as the command tells it.

use crate::house::{House, Tenant, house, now};
use model::ids::EventId;
use scim_tests::{
    case::Mark,
    catalogue,
    progress::Progress,
    report,
    runner::{self, Options},
    wire::{Settings, Wire},
};
use serde_json::json;
use std::time::Duration;
use vestibule::seams::SystemChance;

/// The race's creations of one user at once. The command sends 1,000; these wait for two cores.
const BURST: usize = 100;
/// What is not announced: `active` may be left out although it is required, there is no `previousCursor`,
/// and the tests have no TLS.
const SKIPPED: [&str; 3] = ["create.minimal", "cursor.previous", "tls.required"];

async fn directory(house: &'static House) -> Tenant {
    let tenant = house.tenant().await;
    let path = format!("/orgs/{}/directories/{}", tenant.slug, tenant.directory);
    // The runner takes away all that it has made.
    let (status, said) =
        house.api("PATCH", &tenant.org_key, &path, Some(json!({"blast_guard": "off"}))).await;
    assert_eq!(status, 200, "{said}");
    tenant
}

#[tokio::test]
async fn the_runner_finds_nothing_wrong() {
    let house = house();
    let (own, other) = (directory(house).await, directory(house).await);
    let wire = Wire::new(Settings {
        base: house.url("/scim/v2"),
        token: Some(own.scim_token.clone()),
        other_token: Some(other.scim_token.clone()),
        other_base: None,
        timeout: Duration::from_secs(30),
        authority: None,
    });
    let tag = EventId::new(now(), &SystemChance).to_string().replace('_', "-");
    let options = Options { domain: "scim-tests.example".to_owned(), burst: BURST, tag: format!("st-{tag}") };
    let (cases, people) = catalogue::all().unwrap();
    let wanted = cases.len();
    let ran = runner::run(wire.unwrap(), options, cases, &people, &mut Progress::new(true)).await;
    let report = ran.unwrap();
    let of = |mark: fn(Mark) -> bool| -> Vec<&str> {
        let found = report.verdicts.iter().filter(|one| mark(one.mark()));
        found.map(|one| one.label.id.as_str()).collect()
    };
    let red = of(|mark| matches!(mark, Mark::Fail | Mark::Warn | Mark::Blocked));
    assert!(red.is_empty(), "{red:?}\n{}", report::terminal::render(&report, false, true));
    assert_eq!(report.verdicts.len(), wanted);
    let mut skipped = of(|mark| mark == Mark::Skip);
    skipped.sort_unstable();
    assert_eq!(skipped, SKIPPED);
    assert!(report.left_behind.is_empty(), "{:?}", report.left_behind);
}
