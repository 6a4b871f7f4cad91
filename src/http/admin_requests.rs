//! `/api/v1/orgs/{org}/directories/{dir}/requests`: what a directory asked and was answered, because the
//! identity providers' consoles show nobody why.

use super::{
    admin::Ask,
    openapi::{Operation, Verb, operation, to},
    problem::Problem,
    told::{List, Reply},
};
use broker::request_log;
use model::ids::Logged;
use store::{LoggedFilter, LoggedRequest, LoggedRequestWhole};

pub const OPERATIONS: &[Operation] = &[
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/directories/{dir}/requests",
        "directories:read",
        "List what the directory asked, newest first; an entry is there a second after its answer; takes users:read too",
        || to(requests),
    )
    .named("list_directory_requests")
    .asking(&["status", "method", "user", "failed", "from", "to", "limit", "cursor"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/directories/{dir}/requests/{req}",
        "directories:read",
        "Read one of its requests, with the bodies; takes users:read too",
        || to(request),
    )
    .named("get_directory_request"),
];

/// Those there are (RFC 9110 9.3, RFC 5789), but for HEAD: it is logged as the GET that it is.
pub(super) const METHODS: [&str; 8] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

fn filter(ask: &Ask) -> Result<LoggedFilter, Problem> {
    let status = match ask.query("status").map(|text| text.parse::<u16>()) {
        None => None,
        Some(Ok(status)) if (100..=599).contains(&status) => Some(status),
        Some(Ok(_) | Err(_)) => return Err(ask.wrong("status", "from 100 to 599")),
    };
    let failed = match ask.query("failed").as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(ask.wrong("failed", "true or false")),
    };
    let named = |text: String| METHODS.into_iter().find(|method| method.eq_ignore_ascii_case(&text));
    let method = ask.query("method").map(|text| named(text).ok_or(())).transpose();
    let user = ask.query("user").map(|text| text.parse()).transpose();
    Ok(LoggedFilter {
        status,
        method: method
            .map_err(|()| ask.wrong("method", "GET, POST, PUT, PATCH, DELETE, OPTIONS, TRACE or CONNECT"))?,
        user: user.map_err(|_| ask.wrong("user", "the id of a person"))?,
        failed,
        from: ask.time("from")?,
        to: ask.time("to")?,
        before: None,
    })
}

async fn requests(ask: Ask) -> Reply<List<LoggedRequest>> {
    let scope = ask.org().await?;
    let (directory, filter) = (ask.id("dir")?, filter(&ask)?);
    ask.list::<Logged, _, _, _>(
        scope,
        |request: &LoggedRequest| request.id,
        move |gw, scope, page| async move { request_log::list(&gw, &scope, directory, (filter, page)).await },
    )
    .await
}

async fn request(ask: Ask) -> Reply<LoggedRequestWhole> {
    let scope = ask.org().await?;
    let (directory, id) = (ask.id("dir")?, ask.id("req")?);
    ask.answer(scope, move |gw, scope| async move { request_log::read(&gw, &scope, directory, id).await })
        .await
}
