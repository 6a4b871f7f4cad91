//! What a person sees: few pages, one stylesheet, no inline script, readable without any. The
//! person who signs in learns nothing an attacker could use, and gets a reference to read out.

use super::guard::facts;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::StatusCode};
use broker::{
    FlowError,
    accounts::Account,
    arrive::{Arrival, StartingPoint},
};
use model::{ids::ConnectionId, quota::Quota};
use std::collections::BTreeMap;

pub const STYLE: &str = include_str!("style.css");
/// Submits the one form of a page that only passes something on.
pub const CONTINUE_JS: &str = "document.querySelector('form').submit();\n";

/// Text as HTML shows it, in content and in quoted attributes alike.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

pub(super) fn page(title: &str, main: &str) -> String {
    page_by("", title, main)
}

/// One whose stylesheet is below `base`: a page that is shown at another host than ours.
pub(super) fn page_by(base: &str, title: &str, main: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<link rel=\"stylesheet\" href=\"{}/assets/style.css\">\n</head>\n<body>\n\
         <main>\n{main}\n</main>\n</body>\n</html>\n",
        escape(title),
        escape(base)
    )
}

/// A page of ours: nothing from elsewhere, no inline script; forms go to `form_action` alone.
pub(super) fn answer(status: StatusCode, form_action: &str) -> HttpResponseBuilder {
    policed(status, ("'self'", "'self'"), form_action)
}

/// The same at another host, where our style is the only thing that is ours.
pub(super) fn answered_by(base: &str, status: StatusCode, form_action: &str) -> HttpResponseBuilder {
    policed(status, (&origin(base), "'none'"), form_action)
}

fn policed(status: StatusCode, (styles, own): (&str, &str), form_action: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .content_type("text/html; charset=utf-8")
        .insert_header(("Cache-Control", "no-store"))
        .insert_header((
            "Content-Security-Policy",
            format!(
                "default-src 'none'; style-src {styles}; script-src {own}; img-src {own}; base-uri 'none'; \
                 frame-ancestors 'none'; form-action {form_action}"
            ),
        ));
    response
}

/// Nothing is at this address, or not by this method.
pub fn nowhere(error: &FlowError) -> HttpResponse {
    let status =
        if error.code() == super::METHOD { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_FOUND };
    answer(status, "'none'").insert_header(("X-Vestibule-Code", error.code())).body(page(
        "Not found",
        "<h1>There is no page here</h1>\n<p>Check the address, or go back to the app you came from.</p>",
    ))
}

/// Scheme, host and port of a URL: what a policy may name.
pub(super) fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "'none'".to_owned() };
    let host: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(*c)).collect();
    if matches!(scheme, "http" | "https") { format!("{scheme}://{host}") } else { "'none'".to_owned() }
}

/// A form that only passes something on; it posts itself where scripts run, and has a button.
pub fn auto_post(url: &str, fields: &[(&'static str, String)]) -> HttpResponse {
    let inputs: String = fields
        .iter()
        .map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escape(name), escape(value))
        })
        .collect();
    let main = format!(
        "<h1>One moment</h1>\n<p>You are being taken on.</p>\n<form method=\"post\" action=\"{}\">\n{inputs}\
         <button>Continue</button>\n</form>\n<script src=\"/assets/continue.js\" defer></script>",
        escape(url)
    );
    answer(StatusCode::OK, &origin(url)).body(page("Continue", &main))
}

/// The app's request, carried along unchanged but for what the page itself asks.
fn carried(asked: &BTreeMap<String, String>, but: &str) -> String {
    let others = asked.iter().filter(|(name, _)| name.as_str() != but);
    others
        .map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escape(name), escape(value))
        })
        .collect()
}

/// Our own form whose next page is the identity provider's, after a redirect: browsers hold that to
/// form-action too.
const ON_TO_ANYBODY: &str = "'self' https: http://localhost:* http://127.0.0.1:*";

/// Asks by which of its org's connections a person signs in.
pub fn choose(asked: &BTreeMap<String, String>, connections: &[(ConnectionId, String)]) -> HttpResponse {
    let buttons: String = connections
        .iter()
        .map(|(id, name)| {
            format!(
                "<p><button name=\"connection\" value=\"{id}\">Continue with {}</button></p>\n",
                escape(name)
            )
        })
        .collect();
    let main = format!(
        "<h1>Sign in</h1>\n<p>Your organization has several ways to sign in. If you do not know which is yours, ask \
         your administrator.</p>\n<form method=\"get\" action=\"/oauth2/authorize\">\n{}{buttons}</form>",
        carried(asked, "connection")
    );
    answer(StatusCode::OK, ON_TO_ANYBODY).body(page("Sign in", &main))
}

/// Asks which of the browser's sessions goes on, or whether another person signs in.
pub fn accounts(app: &str, asked: &BTreeMap<String, String>, accounts: &[Account]) -> HttpResponse {
    // Whoever has chosen is not asked again.
    let prompt = |word: Option<&str>| -> String {
        let prompts = asked.get("prompt").map(String::as_str).unwrap_or_default().split(' ');
        let kept = prompts.filter(|one| !one.is_empty() && *one != "select_account").chain(word);
        kept.collect::<Vec<_>>().join(" ")
    };
    let without = |names: &[&str]| -> BTreeMap<String, String> {
        let kept = asked.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let form = |fields: &BTreeMap<String, String>, prompt: &str, button: &str| {
        format!(
            "<form method=\"get\" action=\"/oauth2/authorize\">\n{}<input type=\"hidden\" name=\"prompt\" \
             value=\"{}\">\n{button}\n</form>\n",
            carried(fields, "prompt"),
            escape(prompt)
        )
    };
    let mut forms = String::new();
    for account in accounts {
        let mut fields = without(&["organization", "prompt", "id_token_hint", "login_hint", "domain_hint"]);
        fields.insert("organization".to_owned(), account.org.to_string());
        let button = format!(
            "<button class=\"account\"><strong>{}</strong><span>{}</span></button>",
            escape(&account.known_as),
            escape(&account.org_name)
        );
        forms.push_str(&form(&fields, &prompt(None), &button));
    }
    let another = without(&["prompt", "id_token_hint", "login_hint"]);
    let button = "<button class=\"quiet\">Use another account</button>";
    forms.push_str(&form(&another, &prompt(Some("login")), button));
    let main = format!(
        "<h1>Choose an account</h1>\n<p>to go on to {}</p>\n<div class=\"accounts\">\n{forms}</div>",
        escape(app)
    );
    answer(StatusCode::OK, ON_TO_ANYBODY).body(page("Choose an account", &main))
}

/// Asks for the work email, to find the org.
pub fn ask_email(app: &str, asked: &BTreeMap<String, String>, unknown: Option<&str>) -> HttpResponse {
    let hidden = carried(asked, "login_hint");
    let (error, value) = match unknown {
        Some(email) => (
            "<p id=\"email-error\" class=\"bad\" role=\"alert\">No organization signs in here with this address. \
             Check the spelling, or ask your administrator which address to use.</p>\n",
            escape(email),
        ),
        None => ("", String::new()),
    };
    let described =
        if unknown.is_some() { " aria-describedby=\"email-error\" aria-invalid=\"true\"" } else { "" };
    let main = format!(
        "<h1>Sign in to {}</h1>\n<p>Your company's own sign-in page comes next.</p>\n\
         <form method=\"get\" action=\"/oauth2/authorize\">\n{hidden}<label for=\"email\">Work email</label>\n{error}\
         <input id=\"email\" name=\"login_hint\" type=\"email\" inputmode=\"email\" autocomplete=\"username\" \
         autofocus required value=\"{value}\"{described}>\n<button>Continue</button>\n</form>",
        escape(app)
    );
    // The next page is the identity provider's, after a redirect: browsers hold that to form-action too.
    answer(StatusCode::OK, "'self' https: http://localhost:* http://127.0.0.1:*").body(page("Sign in", &main))
}

/// From the company's portal to an app that begins a sign-in of its own.
pub fn arrived(arrival: &Arrival) -> HttpResponse {
    let links: String = arrival
        .apps
        .iter()
        .map(|app| {
            let (url, name) = (escape(&app.url), escape(&app.name));
            format!("<p><a class=\"button\" href=\"{url}\">Continue to {name}</a></p>\n")
        })
        .collect();
    let next = if links.is_empty() {
        "<p>Open the app you want and sign in there: no password will be asked for again.</p>\n"
    } else {
        "<p>Your company's sign-in knows you. The app asks it once more, without a password.</p>\n"
    };
    let main = format!("<h1>Welcome from {}</h1>\n{next}{links}", escape(&arrival.org_name));
    answer(StatusCode::OK, "'none'").body(page("Continue", &main))
}

/// The field that says that the person was asked.
pub const CONFIRMED: &str = "confirmed";

/// Asks; `asked` is what the app said, which goes on unchanged.
pub fn sign_out(action: &str, asked: &BTreeMap<String, String>) -> HttpResponse {
    let main = format!(
        "<h1>Sign out</h1>\n<p>This ends your session here and in every app that uses it.</p>\n\
         <form method=\"post\" action=\"{action}\">\n{}<button name=\"{CONFIRMED}\" value=\"yes\">End this \
         session</button>\n</form>",
        carried(asked, CONFIRMED)
    );
    // The next page may be the app's, after a redirect.
    answer(StatusCode::OK, ON_TO_ANYBODY).body(page("Sign out", &main))
}

/// The app that sent the person here to sign out said something wrong: nothing has ended.
pub fn not_left(req: &HttpRequest, error: &FlowError) -> HttpResponse {
    let reference = facts(req).call.request_id;
    tracing::info!(%reference, code = error.code(), "page: not signed out");
    let (status, what) = match error {
        FlowError::Refused(_) | FlowError::Invalid { .. } => (
            StatusCode::BAD_REQUEST,
            "The app that sent you here asked for it in a way we cannot accept. You can sign out here \
             yourself.",
        ),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "We cannot answer right now. Try again in a minute."),
    };
    let main = format!(
        "<h1>You are not signed out yet</h1>\n<p>{what}</p>\n<form method=\"post\" action=\"/logout\">\n\
         <button>End this session</button>\n</form>\n<dl><dt>Reference</dt><dd><code>{}</code></dd></dl>",
        escape(&reference)
    );
    answer(status, "'self'").insert_header(("X-Vestibule-Code", error.code())).body(page("Sign out", &main))
}

pub fn signed_out() -> HttpResponse {
    let main = "<h1>You are signed out</h1>\n<p>Your session has ended. You can close this page.</p>";
    answer(StatusCode::OK, "'none'").body(page("Signed out", main))
}

/// Refused, with a reference: the org's administrator finds the cause under it.
pub fn refused(req: &HttpRequest, error: &FlowError) -> HttpResponse {
    not_signed_in(req, error, None)
}

/// The same with the way back to the app, where it is known.
pub fn not_signed_in(req: &HttpRequest, error: &FlowError, back: Option<&StartingPoint>) -> HttpResponse {
    let reference = facts(req).call.request_id;
    let (status, what) = match error {
        FlowError::Fault(_) | FlowError::Rehearsed(_) => {
            tracing::error!(%reference, %error, "a page failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "Something failed on our side. Try again in a minute.")
        }
        FlowError::Busy { .. } | FlowError::InDoubt | FlowError::Limited { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "We cannot answer right now. Try again in a minute.")
        }
        FlowError::Missing | FlowError::Closed(_) => {
            (StatusCode::NOT_FOUND, "There is nothing to sign in to at this address.")
        }
        FlowError::Refused(refusal) if refusal.code.starts_with("login.attempt") => {
            (StatusCode::BAD_REQUEST, "This sign-in was begun in another browser or too long ago.")
        }
        FlowError::Refused(refusal)
            if refusal.code == "login.user_inactive" || refusal.code == "login.not_provisioned" =>
        {
            (
                StatusCode::FORBIDDEN,
                "Your company's directory gives you no access here. Ask your administrator.",
            )
        }
        FlowError::Refused(refusal) if refusal.code == Quota::Seats.code() => (
            StatusCode::FORBIDDEN,
            "Your organization has no seat left for you. Ask your administrator for one.",
        ),
        FlowError::Refused(refusal) if refusal.code.starts_with("oauth.") => (
            StatusCode::BAD_REQUEST,
            "The app that sent you here asked for something it may not have. Tell the people who run it.",
        ),
        FlowError::Refused(_) | FlowError::Invalid { .. } | FlowError::Conflict { .. } => (
            StatusCode::FORBIDDEN,
            "Your company's sign-in answered with something we could not accept. Try once more; if it stays, tell \
             your administrator.",
        ),
    };
    tracing::info!(%reference, code = error.code(), "page: refused");
    let back = match back {
        Some(StartingPoint { name, url }) => {
            format!("<a class=\"button\" href=\"{}\">Back to {}</a>", escape(url), escape(name))
        }
        None => "To begin again, go back to the app.".to_owned(),
    };
    let main = format!(
        "<h1>You are not signed in</h1>\n<p>{}</p>\n<p>{back}</p>\n\
         <dl><dt>Reference</dt><dd><code>{}</code></dd></dl>",
        escape(what),
        escape(&reference)
    );
    answer(status, "'none'")
        .insert_header(("X-Vestibule-Code", error.code()))
        .body(page("Not signed in", &main))
}
