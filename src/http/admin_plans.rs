//! `/api/v1/plans`: the catalogue of plans; and the plan of an org, with what is in use of it.

use super::{
    admin::Ask,
    openapi::{Operation, Verb, body, operation, to},
    told::{List, Reply, Told},
};
use broker::{
    administer_plan::{self, NewOrgPlan, NewPlan, OrgPlan},
    idempotent,
};
use store::Plan;

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Get, "/api/v1/plans", "", "The catalogue of plans", || to(list)).named("list_plans"),
    operation(Verb::Get, "/api/v1/plans/{plan}", "", "Read a plan", || to(read)).named("get_plan"),
    operation(
        Verb::Put,
        "/api/v1/plans/{plan}",
        "",
        "Make a plan, or set its quotas anew: at once for all orgs that have it. A quota that is left out bounds \
         nothing. One below what is in use throws nobody out",
        || to(set),
    )
    .named("set_plan")
    .reading(body::<NewPlan>(&[
        r#"{"quotas":{"seats":50,"connections":1,"directories":1,"domains":3,"hosts":1,"teams":20,"webhooks":5,"keys":10}}"#,
        r#"{"quotas":{"seats":null}}"#,
    ]))
    .misreading(&["api.slug_malformed", "plan.quota"])
    .conflicting(&["api.too_many"]),
    operation(Verb::Delete, "/api/v1/plans/{plan}", "", "Remove a plan that no org has", || to(remove))
        .named("remove_plan")
        .conflicting(&["plan.in_use"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/plan",
        "org:read",
        "The org's plan: its quotas, and what is in use of each",
        || to(of_org),
    )
    .named("get_org_plan"),
    operation(
        Verb::Put,
        "/api/v1/orgs/{org}/plan",
        "",
        "Give an org a plan. Of what it has too many by it nothing is taken away: `over` names it, and no other \
         is made until there is room",
        || to(set_of_org),
    )
    .named("set_org_plan")
    .reading(body::<NewOrgPlan>(&[r#"{"plan":"standard"}"#]))
    .misreading(&["plan.unknown"]),
];

async fn list(ask: Ask) -> Reply<List<Plan>> {
    let by = ask.platform().await?;
    let gw = ask.gateway();
    let plans = ask.told(async move { administer_plan::list(&gw, by).await }).await?;
    Ok(Told::shown(&List::whole(plans)))
}

async fn read(ask: Ask) -> Reply<Plan> {
    let by = ask.platform().await?;
    let (gw, name) = (ask.gateway(), ask.text("plan").to_owned());
    let plan = ask.told(async move { administer_plan::read(&gw, by, &name).await }).await?;
    Ok(Told::shown(&plan))
}

async fn set(ask: Ask) -> Reply<Plan> {
    let by = ask.platform().await?;
    let (new, call, name) = (ask.json::<NewPlan>()?, ask.call(), ask.text("plan").to_owned());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move { administer_plan::set(&gw, by, &name, new, &call).await })
        .await
}

async fn remove(ask: Ask) -> Reply<()> {
    let by = ask.platform().await?;
    let (call, name) = (ask.call(), ask.text("plan").to_owned());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move { administer_plan::remove(&gw, by, &name, &call).await }).await
}

async fn of_org(ask: Ask) -> Reply<OrgPlan> {
    let scope = ask.org().await?;
    ask.answer(scope, |gw, scope| async move { administer_plan::of_org(&gw, &scope).await }).await
}

async fn set_of_org(ask: Ask) -> Reply<OrgPlan> {
    let scope = ask.org().await?;
    let new = ask.json::<NewOrgPlan>()?;
    ask.answer(scope, |gw, scope| async move { administer_plan::set_of_org(&gw, &scope, new).await }).await
}
