//! A directory's bulk request: each operation is done as its own request would be, in a transaction of its
//! own, and what refers to another waits for it. One that fails stops no other, until the client's own bound. A dry run
//! judges each as after those before it, and keeps none. RFC 7644 3.7.

use crate::{
    FlowError, Gateway,
    provision::{Asked, Losers, refused},
    provision_group, provision_user,
};
use model::Refusal;
use scim::{
    Kind, Problem, Projection,
    bulk::{Bulk, Line, Method, Operation, Turn},
};
use store::{Door, OrgScope, Rehearsal, ScimClient};

/// What became of one operation.
#[derive(Debug)]
pub struct Done {
    pub method: Method,
    pub kind: Kind,
    pub bulk_id: Option<String>,
    pub outcome: Result<Outcome, FlowError>,
}

/// The resource as it is now; without a version when it is gone.
#[derive(Debug)]
pub struct Outcome {
    pub id: String,
    pub version: Option<i64>,
}

/// Operations of a dry run. Each takes 1 to 5 ms on its stage, so that as many are done within its time with a margin;
/// and each is a subtransaction, of which Postgres keeps 64 of a transaction at hand: beyond, everybody's reads go and
/// look for each.
pub const REHEARSED_MAX: usize = 60;

/// Does every operation that can be done, in the order of the request as far as references allow. A dry run of them
/// is one: each is judged as after those before it. Errors, of a dry run alone: `scim.dry_run_too_large`, and those
/// of a transaction that does not begin.
pub async fn run(gw: &Gateway, scope: &OrgScope<ScimClient>, bulk: Bulk) -> Result<Vec<Done>, FlowError> {
    if !scope.door().is_rehearsal() {
        return Ok(all(gw, scope, bulk, None).await);
    }
    let count = bulk.operations.len();
    if count > REHEARSED_MAX {
        let said = format!("{count} operations; a dry run has at most {REHEARSED_MAX}");
        return Err(refused(Problem::DryRunTooLarge, &said));
    }
    let rehearsal = gw.db.rehearsal(scope, u32::try_from(count).unwrap_or(u32::MAX)).await?;
    let done = all(gw, rehearsal.scope(), bulk, Some(&rehearsal)).await;
    rehearsal.end().await;
    Ok(done)
}

async fn all(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    bulk: Bulk,
    rehearsal: Option<&Rehearsal>,
) -> Vec<Done> {
    let (mut line, mut done, mut errors) = (Line::new(bulk.operations), Vec::new(), 0_usize);
    let losers = Losers::default();
    while let Some((operation, turn)) = line.advance() {
        let one = one(gw, scope, (&operation, &losers), turn);
        let outcome = match rehearsal {
            Some(rehearsal) => rehearsed(rehearsal.in_time(one).await),
            None => one.await,
        };
        line.done(&operation, made(&outcome));
        let failed = outcome.as_ref().is_err_and(|error| !matches!(error, FlowError::Rehearsed(_)));
        errors += usize::from(failed);
        losers.settle(!failed || matches!(outcome, Err(FlowError::InDoubt)));
        let (method, kind) = (operation.method, operation.kind);
        done.push(Done { method, kind, bulk_id: operation.bulk_id, outcome });
        if bulk.fail_on_errors.is_some_and(|most| errors >= most) {
            break;
        }
        // A thousand refusals in a row ask nobody: others have their turn between them.
        tokio::task::yield_now().await;
    }
    done
}

async fn one(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    (operation, losers): (&Operation, &Losers),
    turn: Turn,
) -> Result<Outcome, FlowError> {
    match turn {
        Turn::Circular(name) => Err(unresolved(Problem::Circular, &name)),
        Turn::Never(name) => Err(unresolved(Problem::Unresolved, &name)),
        Turn::Ready { id, body } => perform(gw, scope, (operation, losers), id, &body).await,
    }
}

/// What comes back as done would have changed nothing.
fn rehearsed(ended: Option<Result<Outcome, FlowError>>) -> Result<Outcome, FlowError> {
    match ended {
        Some(Ok(_)) => Err(FlowError::Rehearsed(None)),
        Some(Err(error)) => Err(error),
        None => Err(refused(
            Problem::DryRunTooLarge,
            "the time of a dry run was over before this operation was done",
        )),
    }
}

/// The resource that others may refer to.
fn made(outcome: &Result<Outcome, FlowError>) -> Option<String> {
    match outcome {
        Ok(outcome) => Some(outcome.id.clone()),
        Err(FlowError::Rehearsed(Some(record))) => record.first.target.as_ref().map(|(_, id)| id.clone()),
        Err(_) => None,
    }
}

fn unresolved(problem: Problem, name: &str) -> FlowError {
    let detail = match problem {
        Problem::Circular => format!("bulkId:{name:.60} waits for this operation, as this one does for it"),
        _ => format!("no operation of this request has made bulkId:{name:.60}"),
    };
    refused(problem, &detail)
}

async fn perform(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    (operation, losers): (&Operation, &Losers),
    id: Option<String>,
    body: &[u8],
) -> Result<Outcome, FlowError> {
    let needed = match operation.kind {
        Kind::User => "users:write",
        Kind::Group => "groups:write",
    };
    if !scope.door().may(needed) {
        return Err(Refusal::proven("scim.scope_missing").with("detail", needed).into());
    }
    // Nobody reads the resource: a group's members, above all, are not fetched for it.
    let asked = Asked {
        if_match: operation.version.clone(),
        projection: Projection::Only(Vec::new()),
        losers: losers.clone(),
    };
    let id = id.unwrap_or_default();
    match operation.kind {
        Kind::User => {
            let parsed = || id.parse().map_err(|_| FlowError::Missing);
            let seat = match operation.method {
                Method::Post => provision_user::create(gw, scope, body, &asked).await?,
                Method::Put => provision_user::replace(gw, scope, parsed()?, body, &asked).await?,
                Method::Patch => provision_user::patch(gw, scope, parsed()?, body, &asked).await?,
                Method::Delete => {
                    provision_user::delete(gw, scope, parsed()?, &asked).await?;
                    return Ok(Outcome { id, version: None });
                }
            };
            Ok(Outcome { id: seat.user.id.to_string(), version: Some(seat.user.version) })
        }
        Kind::Group => {
            let parsed = || id.parse().map_err(|_| FlowError::Missing);
            let view = match operation.method {
                Method::Post => provision_group::create(gw, scope, body, &asked).await?,
                Method::Put => provision_group::replace(gw, scope, parsed()?, body, &asked).await?,
                Method::Patch => provision_group::patch(gw, scope, parsed()?, body, &asked).await?,
                Method::Delete => {
                    provision_group::delete(gw, scope, parsed()?, &asked).await?;
                    return Ok(Outcome { id, version: None });
                }
            };
            Ok(Outcome { id: view.group.id.to_string(), version: Some(view.group.version) })
        }
    }
}
