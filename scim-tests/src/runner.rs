//! Plays the cases one after the other, takes away what each has made, and keeps the verdicts.

use crate::{
    case::{Case, Failure, Mark, Outcome, Play, Stop, Verdict},
    coded,
    left::LeftBehind,
    look::{member, text},
    play,
    progress::Progress,
    script::Person,
    server::Server,
    stage::{Bench, Stage},
    troupe,
    wire::{Credential, Request, Wire, encode},
};
use serde_json::Value;
use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// A case may take so many time limits of a single request, and this long at least.
const CASE_REQUESTS: u32 = 20;
const CASE_SECS_MIN: u64 = 120;

/// How often it is looked whether a case waits.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Most resources of one kind that the last sweep takes away.
const SWEPT_MAX: usize = 200;

/// What a run found.
#[derive(Debug)]
pub struct Report {
    pub base: String,
    pub verdicts: Vec<Verdict>,
    /// What was made and could not be taken away.
    pub left_behind: LeftBehind,
    pub took: Duration,
    /// The run was ended by the user before its end.
    pub interrupted: bool,
}

impl Report {
    pub fn count(&self, mark: Mark) -> usize {
        self.verdicts.iter().filter(|one| one.mark() == mark).count()
    }
    /// Has no MUST failed, nor been left unjudged?
    pub fn is_green(&self) -> bool {
        !self.interrupted && !self.verdicts.iter().any(Verdict::is_red)
    }
}

/// How a run is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    pub domain: String,
    pub burst: usize,
    /// Begins every name; of letters, digits and `-`.
    pub tag: String,
}

/// Errors, in words, when the server cannot be reached or does not take the token: nothing can be
/// judged then.
pub async fn run(
    wire: Wire,
    options: Options,
    cases: Vec<Case>,
    people: &[Person],
    progress: &mut Progress,
) -> Result<Report, String> {
    let begun = Instant::now();
    let timeout = wire.settings().timeout;
    let server = Server::ask(&wire).await?;
    let list = wire.send(&Request::new("GET", server.place("/Users?count=1"))).await?;
    if list.status == 401 || list.status == 403 {
        return Err(format!("the server does not take the token ({} for a list of users)", list.status));
    }
    let Options { domain, burst, tag } = options;
    let bench = Arc::new(Bench { wire, server, domain, burst, tag, troupe: OnceCell::new() });
    let mut report = Report {
        base: bench.wire.settings().base.clone(),
        verdicts: Vec::new(),
        left_behind: LeftBehind::default(),
        took: Duration::ZERO,
        interrupted: false,
    };
    let limit = (timeout * CASE_REQUESTS).max(Duration::from_secs(CASE_SECS_MIN));
    let total = cases.len();
    for (number, case) in cases.into_iter().enumerate() {
        progress.step(number + 1, total, &case.label.id);
        let mut stage = Stage::new(bench.clone(), number + 1);
        let case_begun = Instant::now();
        let outcome = {
            let mut performed = pin!(tokio::time::timeout(limit, perform(&mut stage, &case, people)));
            let mut stopped = pin!(tokio::signal::ctrl_c());
            loop {
                tokio::select! {
                    outcome = &mut performed => break Some(outcome),
                    _ = &mut stopped => break None,
                    () = tokio::time::sleep(LOOK_EVERY) => progress.waits(bench.wire.waiting()),
                }
            }
        };
        let outcome = match outcome {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => {
                let expected = format!("an end within {} s", limit.as_secs());
                let exchange = stage.last.clone();
                Outcome::Failed(Box::new(Failure { expected, found: "none".into(), exchange }))
            }
            None => {
                report.interrupted = true;
                report.left_behind.extend(stage.clean().await);
                break;
            }
        };
        report.left_behind.extend(stage.clean().await);
        let verdict = Verdict { label: case.label, outcome, took: case_begun.elapsed() };
        progress.verdict(&verdict);
        report.verdicts.push(verdict);
    }
    if let Some(Ok(troupe)) = bench.troupe.get() {
        report.left_behind.extend(troupe.dismiss().await);
    }
    sweep(&bench, &mut report.left_behind).await;
    progress.end();
    report.took = begun.elapsed();
    Ok(report)
}

/// Looks for what bears the run's names and is still there, such as a user whose creation was answered
/// with nonsense, and takes it away. A server that does not filter is not searched.
async fn sweep(bench: &Arc<Bench>, left: &mut LeftBehind) {
    let whose = [Some(Credential::Own), bench.server.has_other.then_some(Credential::Other)];
    for credential in whose.into_iter().flatten() {
        for (endpoint, name) in [("/Groups", "displayName"), ("/Users", "userName")] {
            let endpoint = bench.server.place(endpoint);
            let filter = encode(&format!("{name} sw \"{}\"", bench.tag));
            let path = format!("{endpoint}?filter={filter}&count={SWEPT_MAX}&attributes={name}");
            let Ok(answer) = bench.wire.send(&Request::new("GET", path).by(credential)).await else {
                continue;
            };
            let found = member(answer.body(), "Resources").and_then(Value::as_array);
            for one in found.into_iter().flatten().filter(|one| text(one, name).starts_with(&bench.tag)) {
                let path = format!("{endpoint}/{}", text(one, "id"));
                left.take_away(&bench.wire, credential, &path).await;
            }
        }
    }
}

async fn perform(stage: &mut Stage, case: &Case, people: &[Person]) -> Outcome {
    if let Some(why) = case.label.needs.iter().find_map(|need| stage.bench.server.lacks(need)) {
        return Outcome::Skipped(why);
    }
    match act(stage, &case.play, people).await {
        Ok(()) if stage.missed.is_empty() => Outcome::Passed,
        Ok(()) => Outcome::Lacking(std::mem::take(&mut stage.missed)),
        Err(Stop::Failed(failure)) => Outcome::Failed(failure),
        Err(Stop::Blocked(failure)) => Outcome::Blocked(failure),
        Err(Stop::Skipped(why)) => Outcome::Skipped(why),
    }
}

async fn act(stage: &mut Stage, what: &Play, people: &[Person]) -> Result<(), Stop> {
    match what {
        Play::Script(steps) => play::script(stage, steps).await,
        Play::Coded(act) => act(stage).await,
        Play::Troupe(act) => {
            troupe::enter(stage, people).await?;
            act(stage).await
        }
        Play::Find { filter, finds } => {
            troupe::enter(stage, people).await?;
            troupe::find(stage, filter, finds).await
        }
        Play::Refuse { filter } => troupe::refuse(stage, filter).await,
        Play::Probe { of, step } => coded::tenancy::probe(stage, of, step).await,
        Play::Sort { by, order, gives } => {
            troupe::enter(stage, people).await?;
            troupe::sort(stage, by, order.as_deref(), gives).await
        }
    }
}
