//! An org's life and its hosts. Founding, deleting and restoring are the operator's; suspending or
//! deleting ends every session of the org by one row, in the commit that changes the state.

use crate::{
    FlowError, Gateway,
    administer::{DNS_NAME, PRINTABLE, SLUG, dns_name_of, name_of, platform_only, slug_of},
    administer_plan, quota, revoke,
};
use model::{
    ids::OrgId,
    org::OrgState,
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use store::{Administrator, Call, Operator, Org, OrgChange, OrgFacts, OrgRef, OrgScope};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrg {
    #[schemars(regex(pattern = SLUG))]
    pub slug: String,
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: String,
    /// `default`, if it is left out.
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub region: Option<String>,
    /// `standard`, if it is left out. A name that no plan of the catalogue has is kept, and bounds nothing.
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub plan: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgPatch {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: Option<String>,
    /// `deleted` and `purged` cannot be set.
    #[schemars(extend("enum" = ["trial", "active", "past_due", "suspended", null]), with = "Option<String>")]
    pub state: Option<OrgState>,
    /// May a directory's create take over the seat a sign-in made?
    pub scim_adopts: Option<bool>,
    #[schemars(range(min = *SESSION_SECS.start(), max = *SESSION_SECS.end()))]
    pub session_idle_secs: Option<i32>,
    /// No shorter than `session_idle_secs`.
    #[schemars(range(min = *SESSION_SECS.start(), max = *SESSION_SECS.end()))]
    pub session_absolute_secs: Option<i32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHost {
    #[schemars(length(max = 253), regex(pattern = DNS_NAME))]
    pub host: String,
}

/// How long a deleted org can be brought back.
const RESTORABLE_SECS: i64 = 30 * 24 * 3600;
/// A session's idle and absolute ends: from a minute to a year.
const SESSION_SECS: std::ops::RangeInclusive<i32> = 60..=31_536_000;

/// Founds an org, active at once. Errors: `api.slug_malformed`, `api.name_malformed`, `org.slug_taken`.
pub async fn found(gw: &Gateway, by: Operator, body: NewOrg, call: &Call) -> Result<Org, FlowError> {
    slug_of(&body.slug)?;
    let name = name_of("name", &body.name)?;
    let region = body.region.map_or(Ok("default".to_owned()), |r| name_of("region", &r))?;
    let plan = body.plan.map_or(Ok(administer_plan::USUAL.to_owned()), |p| name_of("plan", &p))?;
    let facts = OrgFacts {
        id: OrgId::new(call.at, gw.chance.as_ref()),
        slug: body.slug.clone(),
        state: OrgState::Active,
        plan: plan.clone(),
        region: region.clone(),
    };
    let scope = gw.db.founding(by, facts, call);
    let mut tx = gw.db.write(&scope, "org.found").await?;
    // One that the catalogue does not have is a name without quotas.
    tx.hold_plan(&plan).await?;
    let new = store::NewOrg { slug: &body.slug, name: &name, plan: &plan, region: &region };
    match tx.found_org(&new).await {
        Err(store::Error::Conflict(_)) => {
            return Err(FlowError::conflict("org.slug_taken", "an org with this slug exists"));
        }
        other => other?,
    }
    let org = tx.own_org().await?;
    let event = AuditEvent::done(Act::OrgCreated)
        .on("org", org.id)
        .value("after", json!({"slug": org.slug, "name": org.name, "plan": org.plan, "region": org.region}));
    tx.commit(Record::of(event)).await?;
    Ok(org)
}

/// The org and its hosts.
pub async fn read(gw: &Gateway, scope: &OrgScope<Administrator>) -> Result<(Org, Vec<String>), FlowError> {
    let mut tx = gw.db.read(scope, "org.read").await?;
    Ok((tx.own_org().await?, tx.hosts().await?))
}

/// Changes what is given. The state is the operator's to change; `deleted` has its own call.
/// Errors: `org.state_refused`, `org.session_limit`, `api.name_malformed`, `api.scope_missing`.
pub async fn change(gw: &Gateway, scope: &OrgScope<Administrator>, body: OrgPatch) -> Result<Org, FlowError> {
    let suspends = match body.state {
        None => false,
        Some(OrgState::Deleted | OrgState::Purged) => {
            return Err(FlowError::invalid(
                "org.state_refused",
                "state",
                "trial, active, past_due or suspended",
            ));
        }
        Some(OrgState::Suspended) => true,
        Some(OrgState::Trial | OrgState::Active | OrgState::PastDue) => false,
    };
    if body.state.is_some() {
        platform_only(scope)?;
    }
    let name = body.name.as_deref().map(|n| name_of("name", n)).transpose()?;
    let mut tx = gw.db.write(scope, "org.change").await?;
    let before = tx.own_org().await?;
    session_limits(&before, &body)?;
    tx.change_org(&OrgChange {
        name,
        state: body.state,
        scim_adopts: body.scim_adopts,
        session_idle_secs: body.session_idle_secs,
        session_absolute_secs: body.session_absolute_secs,
    })
    .await?;
    let after = tx.own_org().await?;
    let revoked = if suspends && before.state != OrgState::Suspended {
        Some(tx.revoke(Scope::Org, Action::Terminate, "org_suspended").await?)
    } else {
        None
    };
    let event = AuditEvent::done(Act::OrgChanged)
        .on("org", after.id)
        .value("before", changeable(&before))
        .value("after", changeable(&after));
    let mut record = Record::of(event);
    if before.state != after.state {
        let event = AuditEvent::done(Act::OrgStateChanged)
            .on("org", after.id)
            .value("before", json!({"state": before.state}))
            .value("after", json!({"state": after.state}));
        record = record.and(event);
    }
    tx.commit(record).await?;
    if let Some(revoked) = revoked {
        revoke::tell(gw, scope, Scope::Org, revoked, None).await;
    }
    Ok(after)
}

fn changeable(org: &Org) -> serde_json::Value {
    json!({
        "name": org.name, "state": org.state, "scim_adopts": org.scim_adopts,
        "session_idle_secs": org.session_idle_secs, "session_absolute_secs": org.session_absolute_secs,
    })
}

fn session_limits(before: &Org, body: &OrgPatch) -> Result<(), FlowError> {
    let given = [
        ("session_idle_secs", body.session_idle_secs),
        ("session_absolute_secs", body.session_absolute_secs),
    ];
    for (field, secs) in given {
        if secs.is_some_and(|secs| !SESSION_SECS.contains(&secs)) {
            return Err(FlowError::invalid("org.session_limit", field, "from 60 to 31536000 seconds"));
        }
    }
    let idle = body.session_idle_secs.or(before.session_idle_secs);
    let absolute = body.session_absolute_secs.or(before.session_absolute_secs);
    match (idle, absolute) {
        (Some(idle), Some(absolute)) if idle > absolute => {
            Err(FlowError::invalid("org.session_limit", "session_idle_secs", "at most session_absolute_secs"))
        }
        _ => Ok(()),
    }
}

/// Deletes the org for everybody but the operator, who can restore it for 30 days.
pub async fn delete(gw: &Gateway, scope: &OrgScope<Operator>) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "org.delete").await?;
    let before = tx.own_org().await?;
    if before.state == OrgState::Deleted {
        return Err(FlowError::Missing);
    }
    tx.change_org(&OrgChange { state: Some(OrgState::Deleted), ..OrgChange::default() }).await?;
    let revoked = tx.revoke(Scope::Org, Action::Terminate, "org_deleted").await?;
    let event = AuditEvent::done(Act::OrgDeleted)
        .on("org", before.id)
        .value("before", json!({"state": before.state}))
        .value("after", json!({"state": OrgState::Deleted}));
    tx.commit(Record::of(event)).await?;
    revoke::tell(gw, scope, Scope::Org, revoked, None).await;
    Ok(())
}

/// Brings a deleted org back, active; its sessions stay dead. Errors: `org.not_deleted`,
/// `org.restore_too_late`.
pub async fn restore(gw: &Gateway, scope: &OrgScope<Operator>) -> Result<Org, FlowError> {
    let mut tx = gw.db.write(scope, "org.restore").await?;
    let before = tx.own_org().await?;
    let Some(deleted_at) = before.deleted_at.filter(|_| before.state == OrgState::Deleted) else {
        return Err(FlowError::conflict("org.not_deleted", "the org is not deleted"));
    };
    if deleted_at.plus_secs(RESTORABLE_SECS) <= scope.now() {
        return Err(FlowError::conflict("org.restore_too_late", "the org was deleted over 30 days ago"));
    }
    tx.change_org(&OrgChange { state: Some(OrgState::Active), ..OrgChange::default() }).await?;
    let after = tx.own_org().await?;
    let event = AuditEvent::done(Act::OrgRestored)
        .on("org", after.id)
        .value("before", json!({"state": before.state}))
        .value("after", json!({"state": after.state}));
    tx.commit(Record::of(event)).await?;
    Ok(after)
}

/// The operator's list, deleted ones among them.
pub async fn list(
    gw: &Gateway,
    by: Operator,
    page: crate::administer::Page<model::ids::Org>,
) -> Result<Vec<OrgFacts>, FlowError> {
    let rows = i32::try_from(page.rows()).unwrap_or(201);
    Ok(gw.db.orgs(by, page.after, rows).await?)
}

/// Opens an org that may be deleted, for its operator.
pub async fn open(
    gw: &Gateway,
    by: Operator,
    org: &str,
    call: &Call,
) -> Result<OrgScope<Operator>, FlowError> {
    Ok(gw.db.operator(by, &OrgRef::read(org), call).await?)
}

/// Gives the org a host of its own. Errors: `api.dns_name_malformed`, `host.taken`.
pub async fn add_host(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewHost,
) -> Result<String, FlowError> {
    let host = dns_name_of("host", &body.host)?;
    let tx = gw.db.write(scope, "host.add").await?;
    let (mut tx, room) = quota::admit(gw, scope, tx).await?;
    match tx.add_host(room, &host).await {
        Err(store::Error::Conflict(_)) => {
            return Err(FlowError::conflict("host.taken", "the host belongs to an org already"));
        }
        other => other?,
    }
    let event = AuditEvent::done(Act::HostAdded).on("org", scope.org()).value("after", json!({"host": host}));
    tx.commit(Record::of(event)).await?;
    Ok(host)
}

pub async fn remove_host(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    host: String,
) -> Result<(), FlowError> {
    let host = dns_name_of("host", &host).map_err(|_| FlowError::Missing)?;
    let mut tx = gw.db.write(scope, "host.remove").await?;
    if !tx.remove_host(&host).await? {
        return Err(FlowError::Missing);
    }
    let event =
        AuditEvent::done(Act::HostRemoved).on("org", scope.org()).value("before", json!({"host": host}));
    Ok(tx.commit(Record::of(event)).await?)
}
