//! The record, read by those it is about: events by actor, action, target and time, newest first;
//! sums of usage. The query holds no org filter: the policy is the filter.

use crate::{FlowError, Gateway};
use model::{
    Timestamp,
    record::{Act, AuditEvent, Record},
};
use serde_json::{Value, json};
use store::{Administrator, AuditFilter, EventRow, OrgScope, UsageRow};

/// One page of events, after `filter.before`.
pub async fn page(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    filter: &AuditFilter,
    limit: i64,
) -> Result<Vec<EventRow>, FlowError> {
    let mut tx = gw.db.read(scope, "audit.page").await?;
    Ok(tx.audit_page(filter, limit, gw.db.seals()).await?)
}

/// Writes down that the record is taken away, before its first line goes out.
pub async fn note_export(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    format: &'static str,
) -> Result<(), FlowError> {
    let tx = gw.db.write(scope, "audit.export").await?;
    let event = AuditEvent::done(Act::AuditExported).on("org", scope.org()).value("format", format);
    Ok(tx.commit(Record::of(event)).await?)
}

pub async fn usage(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    metric: Option<&str>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Vec<UsageRow>, FlowError> {
    let mut tx = gw.db.read(scope, "usage.read").await?;
    Ok(tx.usage(metric, from, to).await?)
}

/// The columns of the CSV export.
pub const CSV_COLUMNS: [&str; 11] = [
    "id",
    "at",
    "actor_type",
    "actor_id",
    "action",
    "outcome",
    "target_type",
    "target_id",
    "request_id",
    "session_id",
    "values",
];

/// One event as a CSV record, neutralised against spreadsheets.
pub fn csv_line(row: &EventRow) -> String {
    let (target_kind, target_id) =
        row.target.as_ref().map_or(("", ""), |target| (target.kind.as_str(), target.id.as_str()));
    audit::export::csv_record([
        row.id.to_string().as_str(),
        row.at.to_string().as_str(),
        &row.actor.kind,
        &row.actor.id,
        &row.action,
        &row.outcome,
        target_kind,
        target_id,
        &row.request_id,
        row.session_id.as_deref().unwrap_or_default(),
        &Value::Object(row.values.clone()).to_string(),
    ])
}

/// One event as an NDJSON line.
pub fn ndjson_line(row: &EventRow) -> String {
    audit::export::ndjson_line(&json!(row))
}
