//! `/api/v1/orgs`: an org's life, its hosts and its domains.

use super::{
    admin::Ask,
    openapi::{Operation, PAGED, Verb, body, operation, to},
    told::{List, Reply},
};
use broker::{
    administer_domain::{self, DomainView, NewDomain},
    administer_org::{self, NewHost, NewOrg, OrgPatch},
    idempotent,
};
use model::ids::OrgId;
use schemars::JsonSchema;
use serde::Serialize;
use store::{Org, OrgFacts};

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/orgs", "", "Found an org", || to(found))
        .named("create_org")
        .reading(body::<NewOrg>(&[r#"{"slug":"acme","name":"Acme","region":"eu","plan":"standard"}"#]))
        .misreading(&["api.slug_malformed", "api.name_malformed"])
        .conflicting(&["org.slug_taken"]),
    operation(Verb::Get, "/api/v1/orgs", "", "List orgs, deleted ones too", || to(list))
        .named("list_orgs")
        .asking(PAGED),
    operation(Verb::Get, "/api/v1/orgs/{org}", "org:read", "Read an org", || to(read)).named("get_org"),
    operation(
        Verb::Patch,
        "/api/v1/orgs/{org}",
        "org:write",
        "Change an org; its state with a platform key. A session limit holds at once for sessions that live, \
         from their birth; one that is raised lengthens none beyond what was said then",
        || to(change),
    )
    .named("change_org")
    .reading(body::<OrgPatch>(&[
        r#"{"name":"Acme","state":"suspended","scim_adopts":true,"session_idle_secs":3600,"session_absolute_secs":86400}"#,
    ]))
    .misreading(&["api.name_malformed", "org.session_limit", "org.state_refused"]),
    operation(Verb::Delete, "/api/v1/orgs/{org}", "", "Delete an org; recoverable for 30 days", || to(delete))
        .named("delete_org"),
    operation(Verb::Post, "/api/v1/orgs/{org}/restore", "", "Restore a deleted org", || to(restore))
        .named("restore_org")
        .answering(200)
        .conflicting(&["org.not_deleted", "org.restore_too_late"]),
    operation(Verb::Post, "/api/v1/orgs/{org}/hosts", "", "Give an org a host of its own", || to(add_host))
        .named("add_host")
        .reading(body::<NewHost>(&[r#"{"host":"login.acme.example"}"#]))
        .misreading(&["api.dns_name_malformed"])
        .conflicting(&["api.too_many", "host.taken", "quota.hosts"]),
    operation(Verb::Delete, "/api/v1/orgs/{org}/hosts/{host}", "", "Take a host away", || to(remove_host))
        .named("remove_host"),
    operation(Verb::Post, "/api/v1/orgs/{org}/domains", "domains:write", "Claim a domain", || to(claim))
        .named("claim_domain")
        .reading(body::<NewDomain>(&[r#"{"name":"acme.example","trusted":false}"#]))
        .misreading(&["api.dns_name_malformed"])
        .conflicting(&["api.too_many", "domain.claimed", "domain.taken", "quota.domains"]),
    operation(Verb::Get, "/api/v1/orgs/{org}/domains", "domains:read", "List domains", || to(domains))
        .named("list_domains")
        .asking(PAGED),
    operation(Verb::Post, "/api/v1/orgs/{org}/domains/{dom}/verify", "domains:write", "Look for its TXT record", || {
        to(verify)
    })
    .named("verify_domain")
    .answering(200)
    .conflicting(&["domain.taken"])
    .refusing(&[&["domain.dns_unreachable", "domain.txt_not_found"]]),
    operation(Verb::Delete, "/api/v1/orgs/{org}/domains/{dom}", "domains:write", "Give a domain up", || {
        to(remove_domain)
    })
    .named("remove_domain"),
];

#[derive(Serialize, JsonSchema)]
struct OrgWithHosts {
    #[serde(flatten)]
    org: Org,
    hosts: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Host {
    host: String,
}

async fn found(ask: Ask) -> Reply<Org> {
    let by = ask.platform().await?;
    let (new, call) = (ask.json::<NewOrg>()?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move { administer_org::found(&gw, by, new, &call).await }).await
}

async fn list(ask: Ask) -> Reply<List<OrgFacts>> {
    let by = ask.platform().await?;
    let everywhere = idempotent::platform_shelf(&ask.gateway(), by, &ask.call()).org();
    let page = ask.page(everywhere)?;
    let (gw, limit) = (ask.gateway(), page.limit);
    let rows = ask.told(async move { administer_org::list(&gw, by, page).await }).await?;
    let id: fn(&OrgFacts) -> OrgId = |org| org.id;
    ask.paged(everywhere, limit, rows, id)
}

async fn read(ask: Ask) -> Reply<OrgWithHosts> {
    let scope = ask.org().await?;
    ask.answer(scope, |gw, scope| async move {
        administer_org::read(&gw, &scope).await.map(|(org, hosts)| OrgWithHosts { org, hosts })
    })
    .await
}

async fn change(ask: Ask) -> Reply<Org> {
    let scope = ask.org().await?;
    let patch = ask.json::<OrgPatch>()?;
    ask.answer(scope, |gw, scope| async move { administer_org::change(&gw, &scope, patch).await }).await
}

async fn delete(ask: Ask) -> Reply<()> {
    let by = ask.platform().await?;
    let (gw, org, call) = (ask.gateway(), ask.text("org").to_owned(), ask.call());
    let scope = ask.told(async move { administer_org::open(&gw, by, &org, &call).await }).await?;
    ask.answer(scope, |gw, scope| async move { administer_org::delete(&gw, &scope).await }).await
}

async fn restore(ask: Ask) -> Reply<Org> {
    let by = ask.platform().await?;
    let (gw, org, call) = (ask.gateway(), ask.text("org").to_owned(), ask.call());
    let scope = ask.told(async move { administer_org::open(&gw, by, &org, &call).await }).await?;
    ask.answer(scope, |gw, scope| async move { administer_org::restore(&gw, &scope).await }).await
}

async fn add_host(ask: Ask) -> Reply<Host> {
    let scope = ask.org().await?;
    let new = ask.json::<NewHost>()?;
    ask.answer(scope, |gw, scope| async move {
        administer_org::add_host(&gw, &scope, new).await.map(|host| Host { host })
    })
    .await
}

async fn remove_host(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let host = ask.text("host").to_owned();
    ask.answer(scope, |gw, scope| async move { administer_org::remove_host(&gw, &scope, host).await }).await
}

async fn claim(ask: Ask) -> Reply<DomainView> {
    let scope = ask.org().await?;
    let new = ask.json::<NewDomain>()?;
    ask.answer(scope, |gw, scope| async move { administer_domain::claim(&gw, &scope, new).await }).await
}

async fn domains(ask: Ask) -> Reply<List<DomainView>> {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |d: &DomainView| d.domain.id,
        |gw, scope, page| async move { administer_domain::list(&gw, &scope, page).await },
    )
    .await
}

async fn verify(ask: Ask) -> Reply<DomainView> {
    let scope = ask.org().await?;
    let id = ask.id("dom")?;
    ask.answer(scope, move |gw, scope| async move { administer_domain::verify(&gw, &scope, id).await }).await
}

async fn remove_domain(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let id = ask.id("dom")?;
    ask.answer(scope, move |gw, scope| async move { administer_domain::remove(&gw, &scope, id).await }).await
}
