//! `/api/v1/orgs/{org}/service-accounts`: what an org's own programs fetch access tokens as.

use super::{
    admin::Ask,
    openapi::{Operation, PAGED, Verb, body, operation, to},
    told::{List, Once, Reply},
};
use broker::administer_service::{self, NewServiceAccount, ServiceAccountPatch};
use model::ids::{KeyId, ServiceId};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Credential, ServiceAccount};

const READ: &str = "service_accounts:read";
const WRITE: &str = "service_accounts:write";

pub const OPERATIONS: &[Operation] = &[
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/service-accounts",
        WRITE,
        "Make a service account; its secret is shown once. It fetches access tokens at /oauth2/token by \
         client_credentials",
        || to(create),
    )
    .named("create_service_account")
    .reading(body::<NewServiceAccount>(&[
        r#"{"name":"Nightly export","roles":["viewer"]}"#,
    ]))
    .misreading(&["api.name_malformed", "role.unknown", "service_account.audience"])
    .conflicting(&["api.too_many"]),
    operation(Verb::Get, "/api/v1/orgs/{org}/service-accounts", READ, "List service accounts", || to(list))
        .named("list_service_accounts")
        .asking(PAGED),
    operation(Verb::Get, "/api/v1/orgs/{org}/service-accounts/{svc}", READ, "A service account", || to(read))
        .named("get_service_account"),
    operation(
        Verb::Patch,
        "/api/v1/orgs/{org}/service-accounts/{svc}",
        WRITE,
        "Change a service account; with other roles or another audience its tokens end at once, and are fetched anew",
        || to(change),
    )
    .named("change_service_account")
    .reading(body::<ServiceAccountPatch>(&[
        r#"{"name":"Nightly export"}"#,
        r#"{"roles":["admin","viewer"],"audience":null}"#,
    ]))
    .misreading(&["api.name_malformed", "role.unknown", "service_account.audience"]),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/service-accounts/{svc}",
        WRITE,
        "Remove a service account, its secrets, and every token of it at once",
        || to(remove),
    )
    .named("remove_service_account"),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/service-accounts/{svc}/secrets",
        WRITE,
        "Make another secret, shown once; two may live at once",
        || to(create_secret),
    )
    .named("create_service_account_secret")
    .conflicting(&["service_account.two_secrets"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/service-accounts/{svc}/secrets",
        READ,
        "List its secrets, without their text",
        || to(secrets),
    )
    .named("list_service_account_secrets")
    .asking(PAGED),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/service-accounts/{svc}/secrets/{key}",
        WRITE,
        "Revoke a secret, and every token of the account at once",
        || to(revoke_secret),
    )
    .named("revoke_service_account_secret"),
];

#[derive(Serialize, JsonSchema)]
struct BornServiceAccount {
    #[serde(flatten)]
    account: ServiceAccount,
    client_secret: Once,
    token_endpoint: String,
}

#[derive(Serialize, JsonSchema)]
struct BornServiceSecret {
    id: KeyId,
    client_id: ServiceId,
    client_secret: Once,
}

async fn create(ask: Ask) -> Reply<BornServiceAccount> {
    let scope = ask.org().await?;
    let new = ask.json::<NewServiceAccount>()?;
    ask.answer(scope, |gw, scope| async move {
        let (account, secret) = administer_service::create(&gw, &scope, new).await?;
        let token_endpoint = gw.links.at("/oauth2/token");
        Ok(BornServiceAccount { account, client_secret: Once(secret), token_endpoint })
    })
    .await
}

async fn list(ask: Ask) -> Reply<List<ServiceAccount>> {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |account: &ServiceAccount| account.client_id,
        |gw, scope, page| async move { administer_service::list(&gw, &scope, page).await },
    )
    .await
}

async fn read(ask: Ask) -> Reply<ServiceAccount> {
    let scope = ask.org().await?;
    let id = ask.id("svc")?;
    ask.answer(scope, move |gw, scope| async move { administer_service::read(&gw, &scope, id).await }).await
}

async fn change(ask: Ask) -> Reply<ServiceAccount> {
    let scope = ask.org().await?;
    let (id, patch) = (ask.id("svc")?, ask.json::<ServiceAccountPatch>()?);
    ask.answer(
        scope,
        move |gw, scope| async move { administer_service::change(&gw, &scope, id, patch).await },
    )
    .await
}

async fn remove(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let id = ask.id("svc")?;
    ask.answer(scope, move |gw, scope| async move { administer_service::remove(&gw, &scope, id).await }).await
}

async fn create_secret(ask: Ask) -> Reply<BornServiceSecret> {
    let scope = ask.org().await?;
    let client_id = ask.id("svc")?;
    ask.answer(scope, move |gw, scope| async move {
        let (id, secret) = administer_service::create_secret(&gw, &scope, client_id).await?;
        Ok(BornServiceSecret { id, client_id, client_secret: Once(secret) })
    })
    .await
}

async fn secrets(ask: Ask) -> Reply<List<Credential>> {
    let scope = ask.org().await?;
    let id = ask.id("svc")?;
    ask.list(
        scope,
        |c: &Credential| c.id,
        move |gw, scope, page| async move { administer_service::secrets(&gw, &scope, id, page).await },
    )
    .await
}

async fn revoke_secret(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let (id, key) = (ask.id("svc")?, ask.id("key")?);
    ask.answer(scope, move |gw, scope| async move {
        administer_service::revoke_secret(&gw, &scope, id, key).await
    })
    .await
}
