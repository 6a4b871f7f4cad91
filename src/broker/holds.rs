//! What an administrator does about a directory that the blast guard held: looks whom a hold names, and lets them
//! through or not.

use crate::{FlowError, Gateway, administer::Page};
use model::{
    ids::{self, DirectoryId, HoldId},
    record::{Act, AuditEvent, Record},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use store::{Administrator, HeldPerson, Hold, HoldState, OrgScope};

/// A decision holds this long unless it is said otherwise, and at most a month.
const DECIDED_SECS: i64 = 86_400;
const DECIDED_SECS_MAX: i64 = 2_592_000;
/// People of a hold that are shown.
const SHOWN_MAX: i64 = 1_000;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// How long the decision holds, in seconds. Default: a day.
    #[schemars(range(min = 60, max = 2_592_000))]
    pub for_secs: Option<i64>,
    /// Of an approval: let the directory take away whomever it likes meanwhile, and not only those whom the hold
    /// names. For a mass departure that is meant; never the last administrator.
    #[serde(default)]
    pub everybody: bool,
}

/// One page of a directory's holds, newest first; with `state`, of those in it. Errors: `api.query_malformed`.
pub async fn list(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    directory: DirectoryId,
    (state, page): (Option<String>, Page<ids::Hold>),
) -> Result<Vec<Hold>, FlowError> {
    let wrong = || FlowError::invalid("api.query_malformed", "state", "open, approved or refused");
    let state = state.map(|text| HoldState::parse(&text).ok_or_else(wrong)).transpose()?;
    let mut tx = gw.db.read(scope, "hold.list").await?;
    tx.directory(directory).await?.ok_or(FlowError::Missing)?;
    Ok(tx.holds(directory, state, (page.after, page.rows())).await?)
}

/// Whom a hold names.
pub async fn people(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    directory: DirectoryId,
    id: HoldId,
) -> Result<Vec<HeldPerson>, FlowError> {
    let mut tx = gw.db.read(scope, "hold.people").await?;
    tx.one_hold(directory, id).await?.ok_or(FlowError::Missing)?;
    Ok(tx.held_people(id, SHOWN_MAX).await?)
}

/// Lets those through whom the hold names, or not; a decision may be changed. Errors: `directory.hold_secs`, `directory.hold_decided`.
pub async fn decide(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    (directory, id): (DirectoryId, HoldId),
    state: HoldState,
    decision: &Decision,
) -> Result<Hold, FlowError> {
    let secs = decision.for_secs.unwrap_or(DECIDED_SECS);
    if !(60..=DECIDED_SECS_MAX).contains(&secs) {
        return Err(FlowError::invalid("directory.hold_secs", "for_secs", "from 60 to 2592000"));
    }
    let mut tx = gw.db.write(scope, "hold.decide").await?;
    tx.one_hold(directory, id).await?.ok_or(FlowError::Missing)?;
    let by = scope.door().key.to_string();
    let (until, everybody) =
        (scope.now().plus_secs(secs), decision.everybody && state == HoldState::Approved);
    if !tx.decide_hold(id, (state, everybody), &by, until).await? {
        let so = format!("the hold is {} already", state.as_str());
        return Err(FlowError::conflict("directory.hold_decided", so));
    }
    let hold = tx.one_hold(directory, id).await?.ok_or(FlowError::Missing)?;
    let action = match state {
        HoldState::Approved => Act::DirectoryHoldApproved,
        HoldState::Open | HoldState::Refused => Act::DirectoryHoldRefused,
    };
    let event = AuditEvent::done(action)
        .on("directory", directory)
        .value("hold", id.to_string())
        .value("people", hold.people)
        .value("everybody", everybody)
        .value("until", json!(hold.until));
    tx.commit(Record::of(event)).await?;
    Ok(hold)
}
