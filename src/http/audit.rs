//! `/api/v1/orgs/{org}/audit` and `/usage`: the org's own record, by page or streamed whole. An export
//! goes out page by page as its reader takes it; if it breaks off, the connection does too, so that a
//! part is never taken for the whole.

use super::{
    admin::Ask,
    openapi::{Operation, Verb, operation, to},
    problem::Problem,
    streamed::{Writer, streamed},
    told::{Answer, List, Reply, Told},
};
use actix_web::{HttpResponse, web::Bytes};
use broker::{
    Gateway,
    read_audit::{self, CSV_COLUMNS},
};
use model::ids::{self, EventId};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use std::{io, sync::Arc};
use store::{Administrator, AuditFilter, EventRow, OrgScope, UsageRow};

pub const OPERATIONS: &[Operation] = &[
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/audit/events",
        "audit:read",
        "The org's record, newest first",
        || to(events),
    )
    .named("list_audit_events")
    .asking(&["actor", "action", "target", "from", "to", "limit", "cursor"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/audit/export",
        "audit:read",
        "The same, whole, as NDJSON or CSV",
        || to(export),
    )
    .named("export_audit_events")
    .asking(&["format", "actor", "action", "target", "from", "to"]),
    operation(Verb::Get, "/api/v1/orgs/{org}/usage", "usage:read", "Sums per metric and day (UTC)", || {
        to(usage)
    })
    .named("get_usage")
    .asking(&["metric", "from", "to", "bucket"]),
];

/// Rows read and sent at a time, in an export.
const EXPORT_ROWS: i64 = 500;

fn filter(ask: &Ask) -> Result<AuditFilter, Problem> {
    Ok(AuditFilter {
        actor: ask.query("actor"),
        action: ask.query("action"),
        target: ask.query("target"),
        from: ask.time("from")?,
        to: ask.time("to")?,
        before: None,
    })
}

async fn events(ask: Ask) -> Reply<List<EventRow>> {
    let scope = ask.org().await?;
    let filter = filter(&ask)?;
    ask.list::<ids::Event, _, _, _>(
        scope,
        |e: &EventRow| e.id,
        move |gw, scope, page| async move {
            let filter = AuditFilter { before: page.after, ..filter };
            read_audit::page(&gw, &scope, &filter, page.rows()).await
        },
    )
    .await
}

pub(super) const FORMATS: [&str; 2] = [Format::Ndjson.as_str(), Format::Csv.as_str()];

#[derive(Clone, Copy)]
enum Format {
    Ndjson,
    Csv,
}

impl Format {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
    const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
    fn head(self) -> String {
        match self {
            Self::Ndjson => String::new(),
            Self::Csv => format!("{}\r\n", CSV_COLUMNS.join(",")),
        }
    }
    fn line(self, row: &EventRow) -> String {
        match self {
            Self::Ndjson => read_audit::ndjson_line(row),
            Self::Csv => read_audit::csv_line(row),
        }
    }
}

async fn export(ask: Ask) -> Reply<Lines> {
    let scope = ask.org().await?;
    let format = match ask.query("format").as_deref() {
        None | Some("ndjson") => Format::Ndjson,
        Some("csv") => Format::Csv,
        Some(_) => return Err(ask.wrong("format", "ndjson or csv")),
    };
    let filter = filter(&ask)?;
    let (gw, noted) = (ask.gateway(), scope.clone());
    ask.told(async move { read_audit::note_export(&gw, &noted, format.as_str()).await }).await?;
    let (writer, body) = streamed();
    tokio::spawn(pump(ask.gateway(), scope, filter, format, writer));
    let name = format!("attachment; filename=\"audit.{}\"", format.as_str());
    let mut response = HttpResponse::Ok();
    response.content_type(format.content_type());
    response.insert_header(("Content-Disposition", name)).insert_header(("Cache-Control", "no-store"));
    Ok(Told::assertion(response.body(body)))
}

async fn pump(
    gw: Arc<Gateway>,
    scope: OrgScope<Administrator>,
    mut filter: AuditFilter,
    format: Format,
    writer: Writer,
) {
    let mut text = format.head();
    loop {
        let rows = match read_audit::page(&gw, &scope, &filter, EXPORT_ROWS).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, org = %scope.org(), "audit export broken off");
                let _ = writer.send(Err(io::Error::other("broken off"))).await;
                return;
            }
        };
        rows.iter().for_each(|row| text.push_str(&format.line(row)));
        let last: Option<EventId> = rows.last().map(|row| row.id);
        // Nobody reads any more: the receiver is gone.
        if !text.is_empty() && writer.send(Ok(Bytes::from(std::mem::take(&mut text)))).await.is_err() {
            return;
        }
        match last {
            Some(last) if i64::try_from(rows.len()).unwrap_or(0) == EXPORT_ROWS => filter.before = Some(last),
            Some(_) | None => return,
        }
    }
}

/// An event a line.
struct Lines;

impl Answer for Lines {
    fn content(_: &mut SchemaGenerator) -> Map<String, Value> {
        let ndjson = json!({"schema": {"type": "string", "description": "An AuditEvent a line"}});
        let columns = format!("A line of names, then an event a line: {}", CSV_COLUMNS.join(", "));
        let csv = json!({"schema": {"type": "string", "description": columns}});
        Map::from_iter([("application/x-ndjson".to_owned(), ndjson), ("text/csv".to_owned(), csv)])
    }
}

async fn usage(ask: Ask) -> Reply<List<UsageRow>> {
    let scope = ask.org().await?;
    match ask.query("bucket").as_deref() {
        None | Some("day") => {}
        Some(_) => return Err(ask.wrong("bucket", "day")),
    }
    let (metric, from, until) = (ask.query("metric"), ask.time("from")?, ask.time("to")?);
    ask.answer(scope, move |gw, scope| async move {
        read_audit::usage(&gw, &scope, metric.as_deref(), from, until).await.map(List::whole)
    })
    .await
}
