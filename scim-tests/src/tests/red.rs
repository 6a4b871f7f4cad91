//! No case is green whatever a server does: each is failed by at least one of the liars.

use super::{Lie, cases_named, run};
use crate::{
    case::{Mark, Outcome},
    catalogue::all,
};
use std::collections::BTreeMap;

/// Cases that no liar can fail, and why.
const SPARED: &[(&str, &str)] = &[
    ("tls.required", "the liars are on loopback"),
    ("tenancy.timing", "it is judged by a clock that a busy machine bends"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_case_is_failed_by_some_wrong_server() {
    let mut runs = tokio::task::JoinSet::new();
    for lie in Lie::ALL {
        runs.spawn(async move { (lie, run(lie, all().unwrap().0).await) });
    }
    let mut failed_by: BTreeMap<String, Vec<Lie>> = BTreeMap::new();
    while let Some(done) = runs.join_next().await {
        let (lie, report) = done.unwrap();
        for verdict in report.verdicts {
            let entry = failed_by.entry(verdict.label.id.clone()).or_default();
            if matches!(verdict.outcome, Outcome::Failed(_) | Outcome::Lacking(_)) {
                entry.push(lie);
            }
        }
    }
    let never: Vec<&String> = failed_by
        .iter()
        .filter(|(id, lies)| lies.is_empty() && !SPARED.iter().any(|(spared, _)| spared == id))
        .map(|(id, _)| id)
        .collect();
    assert!(never.is_empty(), "{} cases are red for nobody: {never:#?}", never.len());
}

#[tokio::test]
async fn a_server_that_agrees_to_everything_is_not_conformant() {
    let report = run(Lie::Agrees, all().unwrap().0).await;
    assert!(!report.is_green());
    assert!(report.count(Mark::Pass) < report.verdicts.len() / 20, "{} pass", report.count(Mark::Pass));
}

#[tokio::test]
async fn what_the_liar_does_right_is_green() {
    let names = ["create.201", "read.one", "create.external-id", "list.groups", "delete.204", "group.create"];
    let report = run(Lie::DoesNothing, cases_named(&names)).await;
    let red: Vec<String> =
        report.verdicts.iter().filter(|one| one.mark() != Mark::Pass).map(|one| format!("{one:?}")).collect();
    // It finds everybody by every filter, so the one case that filters may see others of the run.
    assert!(red.len() <= 1, "{red:#?}");
    assert!(report.left_behind.is_empty(), "{:?}", report.left_behind);
}

#[tokio::test]
async fn what_cannot_be_set_up_is_blocked_and_not_green() {
    let report = run(Lie::Breaks, cases_named(&["patch.add.appends", "group.add-member"])).await;
    assert!(report.verdicts.iter().all(|one| one.mark() == Mark::Skip || one.mark() == Mark::Blocked));
    let announced = run(Lie::Declines, cases_named(&["etag.put-stale"])).await;
    assert!(!announced.is_green());
}
