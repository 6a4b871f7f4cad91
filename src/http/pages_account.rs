//! The page of a person's own sessions.

use super::pages::{answer, escape, page};
use actix_web::{HttpResponse, http::StatusCode};
use broker::accounts::{Own, OwnSession};
use model::Timestamp;

/// `2026-11-22 03:10 UTC`.
fn at(when: Timestamp) -> String {
    let text = when.to_string();
    let shown: String = text.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect();
    format!("<time datetime=\"{}\">{} UTC</time>", escape(&text), escape(&shown))
}

/// How long ago, roughly; of today's uses nobody asks the second.
fn ago(then: Timestamp, now: Timestamp) -> String {
    let secs = now.secs().saturating_sub(then.secs());
    match secs {
        ..120 => "just now".to_owned(),
        120..7_200 => format!("{} minutes ago", secs / 60),
        7_200..172_800 => format!("{} hours ago", secs / 3_600),
        _ => format!("{} days ago", secs / 86_400),
    }
}

fn row(org: &str, session: &OwnSession, now: Timestamp) -> String {
    let by = if session.by.is_empty() { String::new() } else { format!(" by {}", escape(&session.by)) };
    let (tag, button) = if session.is_this {
        (" <span class=\"tag\">this browser</span>", "End this session")
    } else {
        ("", "End")
    };
    format!(
        "<li>\n<p><strong>Signed in {}</strong>{by}{tag}<br>\n<span class=\"muted\">last used {}; ends {}</span></p>\n\
         <form method=\"post\" action=\"/account/end\">\n<input type=\"hidden\" name=\"org\" value=\"{org}\">\n\
         <input type=\"hidden\" name=\"session\" value=\"{}\">\n<button class=\"quiet\">{button}</button>\n</form>\n</li>\n",
        at(session.created_at),
        ago(session.seen_at, now),
        at(session.expires_at),
        session.id
    )
}

fn section(own: &Own, now: Timestamp) -> String {
    let (account, org) = (&own.account, own.account.org.to_string());
    let name = account.name.as_deref().map(|name| format!("{}, ", escape(name))).unwrap_or_default();
    let rows: String = own.sessions.iter().map(|session| row(&org, session, now)).collect();
    let others = if own.sessions.iter().any(|session| !session.is_this) {
        format!(
            "<form method=\"post\" action=\"/account/end\">\n<input type=\"hidden\" name=\"org\" value=\"{org}\">\n\
             <button class=\"quiet\">End all others at {}</button>\n</form>\n",
            escape(&account.org_name)
        )
    } else {
        String::new()
    };
    format!(
        "<section>\n<h2>{}</h2>\n<p>{name}{}</p>\n<ul class=\"sessions\">\n{rows}</ul>\n{others}</section>\n",
        escape(&account.org_name),
        escape(&account.known_as)
    )
}

pub(super) fn account(own: &[Own], now: Timestamp) -> HttpResponse {
    let main = if own.is_empty() {
        "<h1>You are not signed in</h1>\n<p>Open the app you want and sign in there. What you are signed in to is then \
         listed here.</p>"
            .to_owned()
    } else {
        let sections: String = own.iter().map(|one| section(one, now)).collect();
        format!(
            "<h1>Your sessions</h1>\n<p>An ended session is signed out of every app at once.</p>\n{sections}\
             <form method=\"post\" action=\"/logout\">\n<button>Sign out of this browser</button>\n</form>"
        )
    };
    answer(StatusCode::OK, "'self'").body(page("Your sessions", &main))
}
