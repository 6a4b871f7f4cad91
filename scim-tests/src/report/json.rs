//! The report as JSON, one document.

use super::{by_client, by_section, received, sent};
use crate::{
    case::{Mark, Outcome, Verdict},
    runner::Report,
};
use serde_json::{Map, Value, json};

pub fn render(report: &Report) -> String {
    let totals: Map<String, Value> =
        Mark::ALL.iter().map(|mark| (mark.name().to_owned(), report.count(*mark).into())).collect();
    let document = json!({
        "runner": concat!("scim-tests ", env!("CARGO_PKG_VERSION")),
        "base": report.base,
        "green": report.is_green(),
        "interrupted": report.interrupted,
        "duration_ms": millis(report.took),
        "totals": totals,
        "sections": by_section(&report.verdicts).into_iter().map(tallied).collect::<Vec<_>>(),
        "clients": by_client(&report.verdicts).into_iter().map(tallied).collect::<Vec<_>>(),
        "cases": report.verdicts.iter().map(case).collect::<Vec<_>>(),
        "left_behind": report.left_behind.json(),
    });
    format!("{document:#}\n")
}

fn millis(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn tallied((name, marks): (String, std::collections::BTreeMap<Mark, usize>)) -> Value {
    let mut row: Map<String, Value> =
        marks.into_iter().map(|(mark, count)| (mark.name().to_owned(), count.into())).collect();
    row.insert("name".into(), name.into());
    Value::Object(row)
}

fn case(verdict: &Verdict) -> Value {
    let label = &verdict.label;
    let failures: Vec<Value> = verdict
        .failures()
        .into_iter()
        .map(|failure| {
            json!({
                "expected": failure.expected, "found": failure.found,
                "sent": failure.exchange.as_ref().map(sent),
                "received": failure.exchange.as_ref().map(received),
            })
        })
        .collect();
    let reason = match &verdict.outcome {
        Outcome::Skipped(why) => Some(why.as_str()),
        Outcome::Passed | Outcome::Failed(_) | Outcome::Lacking(_) | Outcome::Blocked(_) => None,
    };
    json!({
        "id": label.id, "title": label.title, "part": label.part, "client": label.client,
        "rule": label.rule, "level": label.level.name(), "says": label.says, "do": label.todo,
        "outcome": verdict.mark().name(), "reason": reason, "duration_ms": millis(verdict.took),
        "failures": failures,
    })
}
