//! The report as JUnit XML. A broken MUST, and a MUST that could not be judged, is a failure; a SHOULD
//! or MAY that is not done passes, with its text in `system-out`.

use super::told;
use crate::{
    case::{Mark, Outcome, Verdict},
    runner::Report,
};
use std::collections::BTreeMap;

pub fn render(report: &Report) -> String {
    let mut suites: BTreeMap<&str, Vec<&Verdict>> = BTreeMap::new();
    for verdict in &report.verdicts {
        let name = verdict.label.client.as_deref().unwrap_or(&verdict.label.part);
        suites.entry(name).or_default().push(verdict);
    }
    let failures = |list: &[&Verdict]| list.iter().filter(|one| one.is_red()).count();
    let all: Vec<&Verdict> = report.verdicts.iter().collect();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"scim-tests\" tests=\"{}\" failures=\"{}\" \
         skipped=\"{}\" time=\"{:.3}\">\n",
        all.len(),
        failures(&all),
        report.count(Mark::Skip),
        report.took.as_secs_f64()
    );
    for (name, list) in &suites {
        let skipped = list.iter().filter(|one| one.mark() == Mark::Skip).count();
        xml.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{skipped}\">\n",
            escape(name),
            list.len(),
            failures(list)
        ));
        for verdict in list {
            xml.push_str(&case(name, verdict));
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn case(suite: &str, verdict: &Verdict) -> String {
    let mut xml = format!(
        "    <testcase classname=\"{}\" name=\"{}: {}\" time=\"{:.3}\"",
        escape(suite),
        escape(&verdict.label.id),
        escape(&verdict.label.title),
        verdict.took.as_secs_f64()
    );
    let text: String = verdict
        .failures()
        .into_iter()
        .flat_map(|failure| told(verdict, failure))
        .map(|(heading, text)| format!("{heading}: {text}\n"))
        .collect();
    let message = verdict.failures().first().map(|one| format!("{}, found {}", one.expected, one.found));
    match &verdict.outcome {
        Outcome::Passed => xml.push_str("/>\n"),
        Outcome::Skipped(why) => {
            xml.push_str(&format!("><skipped message=\"{}\"/></testcase>\n", escape(why)));
        }
        Outcome::Failed(_) | Outcome::Blocked(_) | Outcome::Lacking(_) if verdict.is_red() => {
            let message = escape(&message.unwrap_or_default());
            xml.push_str(&format!(
                "><failure type=\"{}\" message=\"{message}\">{}</failure></testcase>\n",
                verdict.mark().name(),
                escape(&text)
            ));
        }
        Outcome::Failed(_) | Outcome::Blocked(_) | Outcome::Lacking(_) => {
            xml.push_str(&format!("><system-out>{}</system-out></testcase>\n", escape(&text)));
        }
    }
    xml
}

/// For text and attributes; what XML 1.0 cannot hold is shown as U+FFFD.
fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            '\n' | '\t' => c.to_string(),
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => '\u{fffd}'.to_string(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_breaks_out_of_the_xml() {
        assert_eq!(escape("<a b=\"&\">\u{0}\u{1b}"), "&lt;a b=&quot;&amp;&quot;&gt;\u{fffd}\u{fffd}");
    }
}
