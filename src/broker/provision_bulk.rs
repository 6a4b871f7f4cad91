//! A directory's bulk request: each operation is done as its own request would be, in a transaction of its
//! own, and what refers to another waits for it. One that fails stops no other, until the client's own bound.
//! RFC 7644 3.7.

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
use store::{OrgScope, ScimClient};

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

/// Does every operation that can be done, in the order of the request as far as references allow.
pub async fn run(gw: &Gateway, scope: &OrgScope<ScimClient>, bulk: Bulk) -> Vec<Done> {
    let (mut line, mut done, mut errors) = (Line::new(bulk.operations), Vec::new(), 0_usize);
    let losers = Losers::default();
    while let Some((operation, turn)) = line.advance() {
        let outcome = match turn {
            Turn::Circular(name) => Err(unresolved(Problem::Circular, &name)),
            Turn::Never(name) => Err(unresolved(Problem::Unresolved, &name)),
            Turn::Ready { id, body } => perform(gw, scope, (&operation, &losers), id, &body).await,
        };
        line.done(&operation, outcome.as_ref().ok().map(|outcome| outcome.id.clone()));
        errors += usize::from(outcome.as_ref().is_err_and(|error| !matches!(error, FlowError::Rehearsed(_))));
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
