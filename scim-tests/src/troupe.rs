//! The people that filters, sorting and paging are tried on: made once a run, under one tag, taken
//! away at its end. Other people of the tenant are never counted: an answer is judged by which of the
//! troupe are in it.

use crate::{
    case::{Failure, Stop},
    left::LeftBehind,
    look,
    play::holds_error,
    script::Person,
    stage::Stage,
    wire::{Answer, Credential, Request, encode},
};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::sync::Mutex;

/// Most pages read of one answer.
const PAGES_MAX: u64 = 40;

pub struct Troupe {
    /// Name → the resource as made.
    people: BTreeMap<String, Value>,
    /// Holds what is to be taken away.
    stage: Mutex<Stage>,
}

impl Troupe {
    /// Makes everybody; who cannot be made blocks every case that needs the troupe.
    pub async fn assemble(mut stage: Stage, people: &[Person]) -> Result<Self, Box<Failure>> {
        match cast(&mut stage, people).await {
            Ok(people) => Ok(Self { people, stage: Mutex::new(stage) }),
            Err(stop) => {
                stage.clean().await;
                Err(match stop {
                    Stop::Failed(failure) | Stop::Blocked(failure) => failure,
                    Stop::Skipped(why) => {
                        Box::new(Failure { expected: "people".into(), found: why, exchange: None })
                    }
                })
            }
        }
    }
    pub async fn dismiss(&self) -> LeftBehind {
        self.stage.lock().await.clean().await
    }
    fn name_of(&self, id: &str) -> Option<&str> {
        self.people.iter().find(|(_, one)| look::text(one, "id") == id).map(|(name, _)| name.as_str())
    }
}

async fn cast(stage: &mut Stage, people: &[Person]) -> Result<BTreeMap<String, Value>, Stop> {
    let mut made = BTreeMap::new();
    for person in people {
        let with = serde_json::from_str(&stage.fill(&person.with)?)
            .map_err(|why| stage.mistake(&format!("{}: {why}", person.name)))?;
        made.insert(person.name.clone(), stage.user(&person.name, &with, Credential::Own).await?);
    }
    Ok(made)
}

/// Makes the troupe known to a case: `${ada.id}`, `${troupe}` (the tag of its names).
pub async fn enter(stage: &mut Stage, people: &[Person]) -> Result<(), Stop> {
    let bench = stage.bench.clone();
    let made = bench.troupe.get_or_init(|| Troupe::assemble(Stage::new(bench.clone(), 0), people)).await;
    match made {
        Ok(troupe) => {
            for (name, one) in &troupe.people {
                stage.set(name, one.clone());
            }
            stage.set("troupe", Stage::new(bench.clone(), 0).tag.into());
            Ok(())
        }
        Err(failure) => Err(Stop::Blocked(failure.clone())),
    }
}

fn troupe(stage: &Stage) -> Result<&Troupe, Stop> {
    match stage.bench.troupe.get() {
        Some(Ok(troupe)) => Ok(troupe),
        Some(Err(_)) | None => Err(stage.mistake("the troupe has not entered")),
    }
}

/// Which of the troupe are in the answer, in its order; all pages are read. None when the filter is
/// declined.
async fn present(stage: &mut Stage, query: &str) -> Result<Option<Vec<String>>, Stop> {
    let mut names = Vec::new();
    let mut start: u64 = 1;
    for _ in 0..PAGES_MAX {
        let path = format!("/Users?{query}&startIndex={start}");
        let answer = stage.send(Request::new("GET", path)).await?;
        if declines(&answer) {
            return Ok(None);
        }
        stage.hold(answer.status == 200, "status 200", &format!("{}", answer.status))?;
        let page =
            look::member(answer.body(), "Resources").and_then(Value::as_array).cloned().unwrap_or_default();
        let total = look::member(answer.body(), "totalResults").and_then(Value::as_u64);
        let total = total.ok_or_else(|| stage.failed("totalResults, an integer", &answer.text))?;
        for one in &page {
            names.extend(troupe(stage)?.name_of(look::text(one, "id")).map(str::to_owned));
        }
        start += u64::try_from(page.len()).unwrap_or(u64::MAX);
        if page.is_empty() || start > total {
            break;
        }
    }
    Ok(Some(names))
}

/// Does the server say that it does not serve this filter? RFC 7644 3.12 has invalidFilter for a
/// combination that is not supported as well: an honest refusal, where a wrong answer is none.
pub fn declines(answer: &Answer) -> bool {
    answer.status == 400 && look::text(answer.body(), "scimType") == "invalidFilter"
}

/// For cases that only use a filter to find their own.
pub fn needs_filter(answer: &Answer, filter: &str) -> Result<(), Stop> {
    if declines(answer) {
        Err(Stop::Skipped(format!("the server declines {filter}, which this needs")))
    } else {
        Ok(())
    }
}

pub async fn find(stage: &mut Stage, filter: &str, finds: &[String]) -> Result<(), Stop> {
    let filter = stage.fill(filter)?;
    let Some(mut found) = present(stage, &format!("filter={}", encode(&filter))).await? else {
        stage.wish(false, &format!("{filter} served"), "declined as not supported (400 invalidFilter)");
        return Ok(());
    };
    found.sort();
    let mut wanted = finds.to_vec();
    wanted.sort();
    stage.hold(found == wanted, &format!("{filter} finds {}", listed(&wanted)), &listed(&found))
}

pub async fn refuse(stage: &mut Stage, filter: &str) -> Result<(), Stop> {
    let filter = stage.fill(filter)?;
    let answer = stage.send(Request::new("GET", format!("/Users?filter={}", encode(&filter)))).await?;
    stage.hold(answer.status == 400, "status 400", &answer.status.to_string())?;
    holds_error(stage, "invalidFilter", &answer)
}

pub async fn sort(
    stage: &mut Stage,
    by: &str,
    order: Option<&str>,
    gives: &[Vec<String>],
) -> Result<(), Stop> {
    let filter = stage.fill("userName sw \"${troupe}-\"")?;
    let order = order.map(|order| format!("&sortOrder={order}")).unwrap_or_default();
    let query = format!("filter={}&sortBy={}{order}", encode(&filter), encode(by));
    let Some(found) = present(stage, &query).await? else {
        return Err(Stop::Skipped("the server declines userName sw, which this needs".into()));
    };
    // Within a tie any order will do.
    let mut rest = found.iter();
    for tie in gives {
        let mut group: Vec<&String> = rest.by_ref().take(tie.len()).collect();
        group.sort();
        let mut wanted: Vec<&String> = tie.iter().collect();
        wanted.sort();
        stage.hold(group == wanted, &format!("the order {}", ordered(gives)), &listed(&found))?;
    }
    stage.hold(rest.next().is_none(), &format!("only {}", ordered(gives)), &listed(&found))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nobody".into() } else { names.join(", ") }
}

fn ordered(gives: &[Vec<String>]) -> String {
    gives.iter().map(|tie| tie.join("=")).collect::<Vec<_>>().join(", ")
}
