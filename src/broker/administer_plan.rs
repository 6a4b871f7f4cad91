//! Plans: the catalogue, which is the operator's, and the plan of an org. A plan that is lowered throws nobody
//! out: what is there stays, and only what would come is refused, until there is room.

use crate::{
    FlowError, Gateway,
    administer::{SLUG, slug_of},
    revoke,
};
use model::{
    members::Members,
    quota::Quota,
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{
    Administrator, Call, Operator, OrgScope, PLANS_MAX, Plan, PlanEnd, PlatformAct, Quotas, TenantRead,
};

/// The plan of an org that was founded without one. It has no quotas unless the catalogue has it.
pub const USUAL: &str = "standard";
/// Beyond this nobody counts.
const UNLISTED_MAX: i64 = 1_000_000_000;

/// What a plan is to be: what is left out is not bounded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    pub quotas: Members<Quotas>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrgPlan {
    /// Of the catalogue; `standard` is always known.
    #[schemars(regex(pattern = SLUG))]
    pub plan: String,
}

/// How many the org has of each kind.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct InUse {
    /// People who may sign in.
    pub seats: i64,
    pub connections: i64,
    pub directories: i64,
    pub domains: i64,
    pub hosts: i64,
    pub teams: i64,
    pub webhooks: i64,
    /// The org's own keys that are not revoked.
    pub keys: i64,
}

/// An org's plan, and how much of it is in use.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OrgPlan {
    pub plan: String,
    /// Does the catalogue have it? Without that it has no quotas.
    pub is_known: bool,
    pub quotas: Quotas,
    pub in_use: InUse,
    /// Of these more are in use than the plan has: none is taken away, and no other is made.
    #[schemars(extend("items" = crate::administer::one_of(Quota::ALL.iter().map(|quota| quota.as_str()))))]
    pub over: Vec<&'static str>,
}

pub async fn list(gw: &Gateway, by: Operator) -> Result<Vec<Plan>, FlowError> {
    Ok(gw.db.plans(by).await?)
}

pub async fn read(gw: &Gateway, by: Operator, name: &str) -> Result<Plan, FlowError> {
    slug_of(name).map_err(|_| FlowError::Missing)?;
    gw.db.plan(by, name).await?.ok_or(FlowError::Missing)
}

/// Makes a plan, or sets its quotas anew for all its orgs. Errors: `api.slug_malformed`, `plan.quota`,
/// `api.too_many`.
pub async fn set(
    gw: &Gateway,
    by: Operator,
    name: &str,
    body: NewPlan,
    call: &Call,
) -> Result<Plan, FlowError> {
    slug_of(name)?;
    let Members(quotas) = body.quotas;
    checked(&quotas)?;
    if !gw.db.set_plan(act(by, call), name, &quotas).await? {
        return Err(FlowError::conflict("api.too_many", format!("there are at most {PLANS_MAX} plans")));
    }
    read(gw, by, name).await
}

/// Removes a plan. Errors: `plan.in_use` while an org has it.
pub async fn remove(gw: &Gateway, by: Operator, name: &str, call: &Call) -> Result<(), FlowError> {
    slug_of(name).map_err(|_| FlowError::Missing)?;
    match gw.db.remove_plan(act(by, call), name).await? {
        PlanEnd::Removed => Ok(()),
        PlanEnd::Unknown => Err(FlowError::Missing),
        PlanEnd::InUse(orgs) => Err(FlowError::conflict(
            "plan.in_use",
            format!("orgs that have this plan, also deleted ones: {orgs}; give them another first"),
        )),
    }
}

fn act(by: Operator, call: &Call) -> PlatformAct<'_> {
    PlatformAct { by: by.into(), request_id: &call.request_id, at: call.at }
}

fn checked(quotas: &Quotas) -> Result<(), FlowError> {
    for quota in Quota::ALL {
        let most = quota.held_max().unwrap_or(UNLISTED_MAX);
        if quotas.of(quota).is_some_and(|wanted| !(0..=most).contains(&wanted)) {
            let right = format!("from 0 to {most}, or null");
            return Err(FlowError::invalid("plan.quota", format!("quotas.{quota}"), right));
        }
    }
    Ok(())
}

/// The org's plan.
pub async fn of_org(gw: &Gateway, scope: &OrgScope<Administrator>) -> Result<OrgPlan, FlowError> {
    view(&mut gw.db.read(scope, "plan.read").await?).await
}

/// Gives the org a plan, and says what is in use of it. Errors: `plan.unknown`.
pub async fn set_of_org(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewOrgPlan,
) -> Result<OrgPlan, FlowError> {
    let name = body.plan;
    let unknown = || FlowError::invalid("plan.unknown", "plan", "a plan of GET /api/v1/plans, or standard");
    slug_of(&name).map_err(|_| unknown())?;
    let mut tx = gw.db.write(scope, "plan.set").await?;
    if !tx.hold_plan(&name).await? && name != USUAL {
        return Err(unknown());
    }
    let (before, _) = tx.own_plan().await?;
    tx.set_org_plan(&name).await?;
    let after = view(&mut tx).await?;
    // Tokens may say what the plan has.
    let revoked = if before == after.plan {
        None
    } else {
        Some(tx.revoke(Scope::Org, Action::Reassert, "plan_set").await?)
    };
    let event = AuditEvent::done(Act::OrgPlanSet)
        .on("org", scope.org())
        .value("before", json!({"plan": before}))
        .value("after", json!({"plan": after.plan, "quotas": after.quotas}))
        .value("over", json!(after.over));
    tx.commit(Record::of(event)).await?;
    if let Some(revoked) = revoked {
        revoke::tell(gw, scope, Scope::Org, revoked, None).await;
    }
    Ok(after)
}

async fn view(tx: &mut TenantRead) -> Result<OrgPlan, FlowError> {
    let (plan, quotas) = tx.own_plan().await?;
    let (is_known, quotas) = (quotas.is_some(), quotas.unwrap_or_default());
    let (mut in_use, mut over) = (InUse::default(), Vec::new());
    for (quota, count) in tx.in_use().await? {
        *in_use.of(quota) = count;
        if quotas.of(quota).is_some_and(|most| count > most) {
            over.push(quota.as_str());
        }
    }
    Ok(OrgPlan { plan, is_known, quotas, in_use, over })
}

impl InUse {
    const fn of(&mut self, quota: Quota) -> &mut i64 {
        match quota {
            Quota::Seats => &mut self.seats,
            Quota::Connections => &mut self.connections,
            Quota::Directories => &mut self.directories,
            Quota::Domains => &mut self.domains,
            Quota::Hosts => &mut self.hosts,
            Quota::Teams => &mut self.teams,
            Quota::Webhooks => &mut self.webhooks,
            Quota::Keys => &mut self.keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_held_to_what_any_org_may_have() {
        let code = |quotas: &Quotas| checked(quotas).map_err(|error| error.code());
        assert_eq!(code(&Quotas { seats: Some(UNLISTED_MAX), keys: Some(200), ..Quotas::default() }), Ok(()));
        assert_eq!(code(&Quotas { directories: Some(0), ..Quotas::default() }), Ok(()));
        for wrong in [
            Quotas { seats: Some(-1), ..Quotas::default() },
            Quotas { seats: Some(UNLISTED_MAX + 1), ..Quotas::default() },
            Quotas { keys: Some(201), ..Quotas::default() },
        ] {
            assert_eq!(code(&wrong), Err("plan.quota"), "{wrong:?}");
        }
    }
}
