//! The report: for people on a terminal, for programs as JSON, for build servers as JUnit XML.

pub mod json;
pub mod junit;
pub mod terminal;

use crate::{
    case::{Exchange, Failure, Mark, Verdict},
    expect::shorten,
    wire::Credential,
};
use std::collections::BTreeMap;

/// How many verdicts of each mark, by RFC section or client.
pub type Tally = BTreeMap<String, BTreeMap<Mark, usize>>;

/// By the section of the RFC, clients left out.
pub fn by_section(verdicts: &[Verdict]) -> Tally {
    tally(verdicts, |one| one.label.client.is_none().then(|| section(&one.label.rule)))
}

pub fn by_client(verdicts: &[Verdict]) -> Tally {
    tally(verdicts, |one| one.label.client.clone())
}

/// The first section that a rule names: `RFC 7644 3.5.2.1` of `RFC 7644 3.5.2.1; RFC 7643 7`.
fn section(rule: &str) -> String {
    rule.split([';', ',']).next().unwrap_or_default().trim().to_owned()
}

fn tally(verdicts: &[Verdict], key: impl Fn(&Verdict) -> Option<String>) -> Tally {
    let mut tally = Tally::new();
    for one in verdicts {
        if let Some(key) = key(one) {
            *tally.entry(key).or_default().entry(one.mark()).or_default() += 1;
        }
    }
    tally
}

/// What was sent, in a line or two. The credential is named, never shown.
pub fn sent(exchange: &Exchange) -> String {
    let request = &exchange.request;
    let mut text = format!("{} {}", request.method, request.path);
    for (name, value) in &request.headers {
        text.push_str(&format!("\n{name}: {value}"));
    }
    if let Some(body) = &request.body {
        text.push_str(&format!("\n{}", shorten(&String::from_utf8_lossy(body))));
    }
    let whose = match request.credential {
        Credential::Own => return text,
        Credential::Other => "with the other tenant's token",
        Credential::Nobody => "without a token",
        Credential::Forged => "with a token that is none",
        Credential::Shortened => "with the token less its last character",
        Credential::Lengthened => "with the token and one character more",
        Credential::OtherCase => "with the token in the other letter case",
    };
    format!("{text}\n({whose})")
}

pub fn received(exchange: &Exchange) -> String {
    match &exchange.answer {
        Ok(answer) => {
            let kind = answer.header("content-type").map(|kind| format!(" {kind}")).unwrap_or_default();
            let body = shorten(&answer.text);
            let millis = answer.took.as_millis();
            format!("{}{kind} ({millis} ms)\n{body}", answer.status).trim_end().to_owned()
        }
        Err(why) => format!("nothing: {why}"),
    }
}

/// A failure in full, as plain lines under headings.
pub fn told(verdict: &Verdict, failure: &Failure) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(exchange) = &failure.exchange {
        lines.push(("sent", sent(exchange)));
        lines.push(("received", received(exchange)));
    }
    lines.push(("expected", failure.expected.clone()));
    lines.push(("found", failure.found.clone()));
    lines.push((
        "rule",
        format!("{} {}: {}", verdict.label.rule, verdict.label.level.name(), verdict.label.says),
    ));
    lines.push(("do", verdict.label.todo.clone()));
    lines
}
