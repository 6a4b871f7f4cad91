//! What came of an act at the desk: what was sent, what was answered, how long it took, and in one
//! line what it means. The heading says what happened, not what was hoped for.

use crate::{
    Forgery,
    attack::{Verdict, tells_nothing},
    desk_pages::act,
    org_api::{DeskOrg, Exchange},
    pages::html,
};
use serde_json::Value;

const BACK: &str = "<p><a class=\"button main\" href=\"/\">Back to the four doors</a></p>";

/// Somebody left or came back.
pub(crate) struct Moved<'a> {
    pub(crate) org: &'a DeskOrg,
    pub(crate) active: bool,
    /// The search that found the person.
    pub(crate) looked: Exchange,
    pub(crate) patched: Exchange,
    /// The newest receipt and the request that read it; `None` when nobody left.
    pub(crate) receipt: Option<(Option<Value>, Exchange)>,
}

pub(crate) fn failed(why: &str) -> String {
    format!("<h1>It did not happen</h1><p class=\"bad\" role=\"alert\">✕ {}</p>{BACK}", html(why))
}

/// The directory's first day.
pub(crate) fn joined(org: &DeskOrg) -> String {
    format!(
        "<h1>{} has joined {}</h1><p>The directory made the person and a group; the group gives a team and a role, \
         which every token now names.</p>{BACK}",
        html(&org.person.display_name()),
        html(&org.name),
    )
}

/// A card of one exchange.
fn exchange(title: &str, said: &Exchange) -> String {
    format!(
        "<section class=\"panel\"><h2>{}</h2><p class=\"muted\">{} in {}</p><pre tabindex=\"0\">{}</pre>\
         <pre tabindex=\"0\">{}</pre></section>",
        html(title),
        said.status,
        millis(said.millis),
        html(&said.request_text()),
        html(&said.answer_text()),
    )
}

fn millis(value: f64) -> String {
    if value < 10.0 { format!("{value:.1} ms") } else { format!("{value:.0} ms") }
}

fn figure(value: &str, what: &str) -> String {
    format!("<div><b>{}</b>{}</div>", html(value), html(what))
}

pub(crate) fn moved(moved: &Moved<'_>) -> String {
    let Moved { org, active, looked, patched, receipt } = moved;
    let (who, company) = (html(&org.person.display_name()), html(&org.name));
    let slug = &org.slug;
    if !patched.ok() {
        return format!(
            "<h1>The directory’s request was refused</h1>{BACK}{}",
            exchange("What the directory sent, and the answer", patched)
        );
    }
    let (title, lead, other) = if *active {
        (
            format!("{who} is back at {company}"),
            "Signing in works again. No session and no token from before does: come back to the app’s tab and see.",
            act(&format!("/directory/{slug}/leave"), "Leave the company", "loss"),
        )
    } else {
        (
            format!("{who} has left {company}"),
            "Every session and token is dead. Look at the app’s tab, or try to sign in again through door 1.",
            act(&format!("/directory/{slug}/return"), "Come back", ""),
        )
    };
    let (figures, paper) = match receipt {
        None => (String::new(), String::new()),
        Some((Some(receipt), said)) => (ended(receipt), exchange("The receipt", said)),
        Some((None, said)) => (
            "<p class=\"warn\">There is no receipt: the person had left before.</p>".to_owned(),
            exchange("The receipt", said),
        ),
    };
    format!(
        "<h1>{title}</h1><p>{lead}</p><div class=\"figures\">{}{figures}</div><div class=\"acts\">\
         <a class=\"button main\" href=\"/\">Back to the four doors</a>{other}</div>{}{paper}{}",
        figure(&millis(patched.millis), "from the directory’s request to its answer"),
        exchange("What the directory sent, and the answer", patched),
        exchange("How it found the person", looked),
    )
}

/// The receipt in figures.
fn ended(receipt: &Value) -> String {
    let count = |name: &str| receipt.get(name).map_or_else(|| "–".to_owned(), ToString::to_string);
    let total = receipt.get("total_ms").and_then(Value::as_f64).map_or_else(|| "–".to_owned(), millis);
    let until = receipt.get("no_token_lives_after").and_then(Value::as_str).unwrap_or_default();
    // The time of day is what one compares with the clock; the whole instant stands in the receipt below.
    let clock = until.split_once('T').map_or(until, |(_, time)| time);
    let clock: String = clock.chars().take(8).collect();
    let counted = |name: &str, one: &str, many: &str| {
        let count = count(name);
        figure(&count, if count == "1" { one } else { many })
    };
    [
        counted("sessions_ended", "session ended", "sessions ended"),
        counted("refresh_families_ended", "refresh family ended", "refresh families ended"),
        figure(&total, "from its arrival to the commit"),
        figure(&clock, "UTC: no token lives after, even where only its expiry is checked"),
    ]
    .concat()
}

pub(crate) fn forged(org: &DeskOrg, victim: &str, verdicts: &[(Forgery, Verdict)]) -> String {
    let accepted = verdicts.iter().filter(|(_, v)| v.accepted()).count();
    // A signed name that is read whole belongs to nobody but the attacker: see `Forgery::CommentInNameId`.
    let harmless = |f: Forgery, v: &Verdict| {
        f == Forgery::CommentInNameId && v.signed_in_as.as_deref().is_some_and(|who| who != victim)
    };
    let let_in = verdicts.iter().filter(|(f, v)| v.accepted() && !harmless(*f, v)).count();
    let title = match (let_in, accepted, verdicts.len()) {
        (0, 0, 1) => "The forgery was refused".to_owned(),
        (0, 0, n) => format!("All {n} forgeries were refused"),
        (0, _, 1) => "The forgery got in as nobody else".to_owned(),
        (0, _, n) => format!("None of {n} forgeries got in as somebody else"),
        (_, _, 1) => "The forgery was accepted".to_owned(),
        (bad, _, n) => format!("{bad} of {n} forgeries were accepted"),
    };
    let rows: String = verdicts
        .iter()
        .map(|(forgery, verdict)| {
            let who = html(verdict.signed_in_as.as_deref().unwrap_or("nobody"));
            let sign = match (verdict.accepted(), harmless(*forgery, verdict)) {
                (false, _) => "<span class=\"good\">✓ refused</span>".to_owned(),
                (true, true) => format!("<span class=\"good\">✓ the name read whole: {who}</span>"),
                (true, false) => format!("<span class=\"bad\">✕ accepted as {who}</span>"),
            };
            format!(
                "<tr><td class=\"said\">{}</td><td{}>{sign}</td>{}</tr>",
                html(forgery.title()),
                if verdict.accepted() { " class=\"wrap\"" } else { "" },
                cells(verdict)
            )
        })
        .collect();
    format!(
        "<h1>{}</h1><p>Each was posted to {} in place of the honest answer, by the browser that had begun the sign-in, \
         to become <code>{}</code>. The person at the screen reads the reference and learns nothing else; the org’s \
         administrator finds the cause under the code.</p>{BACK}<section class=\"panel\"><h2>What the gateway said</h2>\
         {}</section>",
        html(&title),
        html(&org.name),
        html(victim),
        table("Forgery", &rows),
    )
}

fn cells(verdict: &Verdict) -> String {
    format!(
        "<td class=\"num\">{}</td><td>{}</td><td class=\"num\">{}</td><td class=\"wrap\">{}</td>",
        verdict.status,
        html(verdict.code.as_deref().unwrap_or("–")),
        millis(verdict.millis),
        html(verdict.reference.as_deref().unwrap_or("–")),
    )
}

fn table(first: &str, rows: &str) -> String {
    format!(
        "<div class=\"table\"><table><thead><tr><th scope=\"col\">{first}</th><th scope=\"col\">Verdict</th>\
         <th scope=\"col\" class=\"num\">Status</th><th scope=\"col\">Code</th><th scope=\"col\" class=\"num\">Took</th>\
         <th scope=\"col\">Reference</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

pub(crate) fn replayed(org: &DeskOrg, first: &Verdict, again: &Verdict) -> String {
    let (title, lead) = match (first.accepted(), again.accepted()) {
        (true, false) => (
            "The replay was refused",
            "The honest answer signed in once. The same bytes, from the same browser with the same cookies, did not.",
        ),
        (true, true) => ("The replay was accepted", "The same Response signed in twice."),
        (false, _) => (
            "Neither was accepted",
            "The honest answer was refused as well. If the person has left the company, let them come back through \
             door 2, then try again.",
        ),
    };
    let row = |what: &str, verdict: &Verdict, wanted: bool| {
        let word = if verdict.accepted() { "accepted" } else { "refused" };
        let (sign, class) = if verdict.accepted() == wanted { ("✓", "good") } else { ("✕", "bad") };
        format!(
            "<tr><td class=\"said\">{what}</td><td class=\"{class}\">{sign} {word}</td>{}</tr>",
            cells(verdict)
        )
    };
    format!(
        "<h1>{title}</h1><p>{lead}</p>{BACK}<section class=\"panel\"><h2>What the gateway at {} said</h2>{}</section>",
        html(&org.name),
        table("Sent", &[row("The first time", first, true), row("Again", again, false)].concat()),
    )
}

pub(crate) fn foreign_key(key_of: &DeskOrg, at: &DeskOrg, theirs: &Exchange, nobodys: &Exchange) -> String {
    let (key_of, at) = (&key_of.name, &at.name);
    let (title, lead) = if tells_nothing(theirs, nobodys) {
        (
            format!("{key_of}’s key learns nothing of {at}"),
            "Status and body are the same to the byte as for an org that does not exist, so a key cannot even find out \
             which customers there are.",
        )
    } else {
        (format!("{key_of}’s key learns something of {at}"), "The two answers differ.")
    };
    format!(
        "<h1>{}</h1><p>{lead}</p>{BACK}{}{}",
        html(&title),
        exchange(&format!("{key_of}’s key at {at}"), theirs),
        exchange("The same key at an org that does not exist", nobodys),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk_pages::tests::settings;
    use serde_json::json;

    fn said(status: u16, answer: &str) -> Exchange {
        Exchange {
            method: "PATCH".into(),
            url: "http://localhost:8080/<x>".into(),
            credential: "vst…".into(),
            sent: Some(json!({"a": "<i>"})),
            status,
            answer: answer.into(),
            millis: 3.24,
        }
    }

    fn verdict(status: u16) -> Verdict {
        Verdict { status, code: Some("saml.<x>".into()), reference: None, millis: 12.6, signed_in_as: None }
    }

    #[test]
    fn a_departure_shows_request_answer_time_and_receipt_escaped() {
        let settings = settings();
        let receipt = json!({"sessions_ended": 2, "refresh_families_ended": 1, "total_ms": 4.5,
                             "no_token_lives_after": "2026-11-21T10:05:07.5Z"});
        let page = moved(&Moved {
            org: &settings.orgs[0],
            active: false,
            looked: said(200, "{}"),
            patched: said(200, "<answer>"),
            receipt: Some((Some(receipt), said(200, "{}"))),
        });
        for shown in [
            "Ada L has left",
            "3.2 ms",
            "<b>2</b>sessions ended",
            "<b>1</b>refresh family ended",
            "4.5 ms",
            "10:05:07",
            "&lt;answer&gt;",
            "&lt;i&gt;",
        ] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        assert!(
            page.contains("/directory/acme/return")
                && !page.contains("<answer>")
                && !page.contains("<b>Sons")
        );
    }

    #[test]
    fn a_refused_departure_does_not_claim_that_somebody_left() {
        let settings = settings();
        let page = moved(&Moved {
            org: &settings.orgs[0],
            active: false,
            looked: said(200, "{}"),
            patched: said(401, "no"),
            receipt: None,
        });
        assert!(page.contains("request was refused") && !page.contains("has left"));
    }

    #[test]
    fn the_heading_says_what_happened_to_the_forgeries() {
        let org = &settings().orgs[0];
        let title = |verdicts: &[(Forgery, Verdict)]| {
            let page = forged(org, "ceo@acme.example", verdicts);
            assert!(!page.contains("saml.<x>"));
            page.split("</h1>").next().unwrap_or_default().to_owned()
        };
        assert!(title(&[(Forgery::Unsigned, verdict(403))]).contains("The forgery was refused"));
        assert!(title(&[(Forgery::Unsigned, verdict(403)), (Forgery::Xsw1, verdict(403))]).contains("All 2"));
        assert!(
            title(&[(Forgery::Unsigned, verdict(303)), (Forgery::Xsw1, verdict(403))]).contains("1 of 2")
        );
        let read_as = |who: &str| {
            let verdict = Verdict { signed_in_as: Some(who.to_owned()), ..verdict(303) };
            title(&[(Forgery::CommentInNameId, verdict)])
        };
        assert!(read_as("ada@acme.example").contains("got in as nobody else"));
        assert!(read_as("ceo@acme.example").contains("The forgery was accepted"));
        assert!(title(&[(Forgery::CommentInNameId, verdict(303))]).contains("The forgery was accepted"));
    }

    #[test]
    fn a_replay_that_got_in_is_said_to_have_got_in() {
        let org = &settings().orgs[0];
        assert!(replayed(org, &verdict(303), &verdict(403)).contains("The replay was refused"));
        assert!(replayed(org, &verdict(303), &verdict(303)).contains("The replay was accepted"));
        assert!(replayed(org, &verdict(403), &verdict(403)).contains("Neither was accepted"));
    }

    #[test]
    fn two_answers_that_differ_are_said_to_differ() {
        let orgs = settings().orgs;
        let page = |theirs: u16| foreign_key(&orgs[1], &orgs[0], &said(theirs, "x"), &said(404, "x"));
        assert!(page(404).contains("learns nothing") && page(403).contains("learns something"));
        assert!(!page(404).contains("<b>Sons"));
    }
}
