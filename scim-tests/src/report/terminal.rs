//! The report for people: what failed, in full; then how each section and client fared; then a line.

use super::{Tally, by_client, by_section, told};
use crate::{
    case::{Mark, Outcome, Verdict},
    runner::Report,
};

/// Width of the headings before what was sent, received and so on.
const HEADING: usize = 10;

/// `colour` only where somebody sees it. `long` tells each failure in full.
pub fn render(report: &Report, colour: bool, long: bool) -> String {
    let paint = Paint { colour };
    let mut out = String::new();
    for verdict in &report.verdicts {
        if matches!(verdict.mark(), Mark::Fail | Mark::Warn | Mark::Note | Mark::Blocked) {
            out.push_str(&paint.verdict(verdict, long));
        }
    }
    out.push_str(&paint.skips(&report.verdicts));
    out.push_str(&paint.table("By section", &by_section(&report.verdicts)));
    out.push_str(&paint.table("By client", &by_client(&report.verdicts)));
    if !report.left_behind.is_empty() {
        out.push_str(&format!("\nLeft behind, to be removed by hand\n{}", report.left_behind.told()));
    }
    let counts: Vec<String> = Mark::ALL
        .iter()
        .map(|mark| (mark, report.count(*mark)))
        .filter(|(_, count)| *count > 0)
        .map(|(mark, count)| paint.mark(*mark, &format!("{count} {}", plural(*mark, count))))
        .collect();
    let end = if report.interrupted {
        "interrupted"
    } else if report.is_green() {
        "every MUST passes"
    } else {
        "not conformant"
    };
    out.push_str(&format!(
        "\n{}: {} cases, {} in {:.1} s: {end}\n",
        report.base,
        report.verdicts.len(),
        counts.join(", "),
        report.took.as_secs_f64()
    ));
    out
}

const fn plural(mark: Mark, count: usize) -> &'static str {
    match (mark, count) {
        (Mark::Pass, _) => "passed",
        (Mark::Fail, _) => "failed",
        (Mark::Warn, 1) => "warning",
        (Mark::Warn, _) => "warnings",
        (Mark::Note, 1) => "note",
        (Mark::Note, _) => "notes",
        (Mark::Blocked, _) => "blocked",
        (Mark::Skip, _) => "skipped",
    }
}

struct Paint {
    colour: bool,
}

impl Paint {
    fn mark(&self, mark: Mark, text: &str) -> String {
        let code = match mark {
            Mark::Pass => "32",
            Mark::Fail | Mark::Blocked => "31;1",
            Mark::Warn => "33",
            Mark::Note => "36",
            Mark::Skip => "2",
        };
        self.in_colour(code, text)
    }

    fn in_colour(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn verdict(&self, verdict: &Verdict, long: bool) -> String {
        let label = &verdict.label;
        let name = self.mark(verdict.mark(), &format!("{:<7}", verdict.mark().name().to_uppercase()));
        let whose = label.client.as_ref().map(|client| format!("{client}: ")).unwrap_or_default();
        let mut out =
            format!("{name} {}  {whose}{}  [{} {}]\n", label.id, label.title, label.rule, label.level.name());
        for failure in verdict.failures() {
            if !long {
                out.push_str(&format!("        expected {}, found {}\n", failure.expected, failure.found));
                continue;
            }
            for (heading, text) in told(verdict, failure) {
                for (number, line) in text.lines().enumerate() {
                    let heading = if number == 0 { heading } else { "" };
                    let heading = self.in_colour("2", &format!("{heading:<HEADING$}"));
                    out.push_str(&format!("        {heading}{}\n", visible(line)));
                }
            }
            out.push('\n');
        }
        out
    }

    /// Each reason once, with how many cases it spares.
    fn skips(&self, verdicts: &[Verdict]) -> String {
        let mut reasons: Vec<(&str, usize)> = Vec::new();
        for verdict in verdicts {
            let Outcome::Skipped(why) = &verdict.outcome else { continue };
            match reasons.iter_mut().find(|(reason, _)| reason == why) {
                Some((_, count)) => *count += 1,
                None => reasons.push((why, 1)),
            }
        }
        let lines = reasons
            .iter()
            .map(|(why, count)| format!("{} {count:>3}  {why}\n", self.mark(Mark::Skip, "SKIP   ")));
        lines.collect()
    }

    fn table(&self, title: &str, tally: &Tally) -> String {
        if tally.is_empty() {
            return String::new();
        }
        let width = tally.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        let mut out = format!("\n{title}\n");
        for (name, marks) in tally {
            out.push_str(&format!("  {name:<width$}"));
            for mark in Mark::ALL {
                let count = marks.get(&mark).copied().unwrap_or(0);
                let cell = if count == 0 { String::new() } else { format!("{count} {}", mark.name()) };
                let padded = format!("{cell:>12}");
                out.push_str(&if count == 0 { padded } else { self.mark(mark, &padded) });
            }
            out = out.trim_end().to_owned();
            out.push('\n');
        }
        out
    }
}

/// A server's bytes do not steer the reader's terminal.
fn visible(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
