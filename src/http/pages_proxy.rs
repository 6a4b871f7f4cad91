//! What a person sees at an app's own host, below `/_vestibule/`: our pages, whose stylesheet comes from the issuer,
//! because every other path there is the app's.

use super::{
    guard::facts,
    pages::{answered_by, escape, page_by},
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use broker::{FlowError, Gateway, proxy::AT};

/// What a refusal's page leads to.
pub(super) enum Place<'a> {
    /// The sign-in once more, and then this path.
    SignIn(&'a str),
    SignOut,
    Nowhere,
}

/// Asks; the form comes back to the path that it is shown at.
pub(super) fn sign_out(gw: &Gateway, app: &str) -> HttpResponse {
    let main = format!(
        "<h1>Sign out</h1>\n<p>This ends your stay at {}.</p>\n<form method=\"post\" action=\"{AT}sign-out\">\n\
         <button>Sign out</button>\n</form>",
        escape(app)
    );
    let issuer = gw.links.issuer();
    // The next page is the issuer's, after a redirect.
    answered_by(issuer, StatusCode::OK, &format!("'self' {}", super::pages::origin(issuer)))
        .body(page_by(issuer, "Sign out", &main))
}

/// Refused, with a reference, and the way to try it again.
pub(super) fn refused(req: &HttpRequest, gw: &Gateway, error: &FlowError, place: Place<'_>) -> HttpResponse {
    let reference = facts(req).call.request_id;
    let code = error.code();
    let (status, what) = match error {
        FlowError::Fault(_) | FlowError::Rehearsed(_) => {
            tracing::error!(%reference, %error, "a page failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "Something failed on our side. Try again in a minute.")
        }
        FlowError::Busy { .. } | FlowError::InDoubt | FlowError::Limited { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "We cannot answer right now. Try again in a minute.")
        }
        FlowError::Refused(_) if code == "proxy.nowhere" => {
            (StatusCode::NOT_FOUND, "There is nothing to sign in to at this address.")
        }
        FlowError::Refused(_) if code == "forward.signed_out" => {
            (StatusCode::UNAUTHORIZED, "This is not a page to sign in from. Open the app itself.")
        }
        FlowError::Refused(_) if code.starts_with("proxy.attempt") => (
            StatusCode::BAD_REQUEST,
            "This sign-in was begun in another browser, too long ago, or was finished already.",
        ),
        FlowError::Refused(_) if code == "proxy.denied" => {
            (StatusCode::FORBIDDEN, "The sign-in ended without letting you in.")
        }
        FlowError::Refused(_)
        | FlowError::Invalid { .. }
        | FlowError::Conflict { .. }
        | FlowError::Missing
        | FlowError::Closed(_) => {
            (StatusCode::BAD_REQUEST, "Your sign-in could not be accepted. Try once more.")
        }
    };
    tracing::info!(%reference, code, "page: refused at an app's host");
    let button =
        |path: &str, text: &str| format!("<p><a class=\"button\" href=\"{}\">{text}</a></p>\n", escape(path));
    let place = if code == "proxy.nowhere" { Place::Nowhere } else { place };
    let (title, heading, way) = match place {
        Place::SignIn(to) => (
            "Not signed in",
            "You are not signed in",
            button(&format!("{AT}sign-in?to={to}"), "Sign in again"),
        ),
        Place::SignOut => {
            ("Sign out", "You are not signed out yet", button(&format!("{AT}sign-out"), "Try again"))
        }
        Place::Nowhere => ("Not signed in", "You are not signed in", String::new()),
    };
    let main = format!(
        "<h1>{heading}</h1>\n<p>{what}</p>\n{way}<dl><dt>Reference</dt><dd><code>{}</code></dd></dl>",
        escape(&reference)
    );
    let issuer = gw.links.issuer();
    answered_by(issuer, status, "'none'")
        .insert_header(("X-Vestibule-Code", code))
        .body(page_by(issuer, title, &main))
}
