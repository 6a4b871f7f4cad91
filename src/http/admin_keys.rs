//! `/api/v1/orgs/{org}/keys` and `/webhooks`: what an org's own programs call with, and are told by.

use super::{
    admin::{Ask, Reply, plain},
    openapi::{Operation, PAGED, Verb, body, operation},
};
use actix_web::web::to;
use broker::{
    administer_directory::{self, Born, NewKey},
    administer_webhook::{self, NewWebhook, WebhookPatch},
};
use serde_json::{Value, json};
use store::{Credential, Delivery, Webhook};

pub const OPERATIONS: &[Operation] = &[
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/keys",
        "keys:write",
        "Make an org key, shown once. Scopes: *, org:read, org:write, domains:read, domains:write, \
         connections:read, connections:write, directories:read, directories:write, users:read, users:write, \
         teams:read, teams:write, sessions:write, keys:read, keys:write, audit:read, usage:read, \
         webhooks:read, webhooks:write",
        || to(create_key),
    )
    .reading(body::<NewKey>(&[
        r#"{"name":"SIEM","scopes":["audit:read"],"expires_at":"2031-01-01T00:00:00Z"}"#,
    ])),
    operation(Verb::Get, "/api/v1/orgs/{org}/keys", "keys:read", "List keys, without their text", || {
        to(keys)
    })
    .asking(PAGED),
    operation(Verb::Delete, "/api/v1/orgs/{org}/keys/{key}", "keys:write", "Revoke a key", || to(revoke_key)),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/webhooks",
        "webhooks:write",
        "Make a webhook; its secret is shown once",
        || to(create_webhook),
    )
    .reading(body::<NewWebhook>(&[r#"{"url":"https://acme.example/hook","events":["user.deactivated"]}"#])),
    operation(Verb::Get, "/api/v1/orgs/{org}/webhooks", "webhooks:read", "List webhooks", || to(webhooks))
        .asking(PAGED),
    operation(
        Verb::Patch,
        "/api/v1/orgs/{org}/webhooks/{whk}",
        "webhooks:write",
        "Change a webhook; what waits for one that is disabled is dead, to be replayed",
        || to(change_webhook),
    )
    .reading(body::<WebhookPatch>(&[
        r#"{"url":"https://acme.example/hook","events":["user.deactivated"],"state":"enabled"}"#,
    ])),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/webhooks/{whk}/rotate-secret",
        "webhooks:write",
        "Give a webhook a new secret, shown once; for 24 h the old one signs too",
        || to(rotate_webhook),
    )
    .answering(200),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/webhooks/{whk}",
        "webhooks:write",
        "Remove a webhook",
        || to(remove_webhook),
    ),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/webhooks/{whk}/deliveries",
        "webhooks:read",
        "List its deliveries, newest first",
        || to(deliveries),
    )
    .asking(&["state", "limit", "cursor"]),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/webhooks/{whk}/deliveries/{evt}/replay",
        "webhooks:write",
        "Send a dead delivery once more",
        || to(replay),
    )
    .answering(202),
];

/// A credential at its birth: the only answer that holds its text.
pub fn born(name: &str, born: &Born) -> Value {
    json!({"id": born.id, name: born.text.reveal(), "expires_at": born.expires_at})
}

async fn create_key(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let new = ask.json::<NewKey>()?;
    ask.answer(scope, |gw, scope| async move {
        administer_directory::create_key(&gw, &scope, new).await.map(|b| born("key", &b))
    })
    .await
}

async fn keys(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |c: &Credential| c.id,
        plain,
        |gw, scope, page| async move { administer_directory::credentials(&gw, &scope, None, page).await },
    )
    .await
}

async fn revoke_key(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let key = ask.id("key")?;
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::revoke_credential(&gw, &scope, None, key).await
    })
    .await
}

async fn create_webhook(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let new = ask.json::<NewWebhook>()?;
    ask.answer(scope, |gw, scope| async move {
        let (id, secret) = administer_webhook::create(&gw, &scope, new).await?;
        Ok(json!({"id": id, "secret": secret.reveal()}))
    })
    .await
}

async fn webhooks(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |w: &Webhook| w.id,
        plain,
        |gw, scope, page| async move { administer_webhook::list(&gw, &scope, page).await },
    )
    .await
}

async fn change_webhook(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (id, patch) = (ask.id("whk")?, ask.json::<WebhookPatch>()?);
    ask.answer(
        scope,
        move |gw, scope| async move { administer_webhook::change(&gw, &scope, id, patch).await },
    )
    .await
}

async fn rotate_webhook(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("whk")?;
    ask.answer(scope, move |gw, scope| async move {
        let (secret, until) = administer_webhook::rotate(&gw, &scope, id).await?;
        Ok(json!({"id": id, "secret": secret.reveal(), "old_secret_until": until}))
    })
    .await
}

async fn remove_webhook(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("whk")?;
    ask.answer(scope, move |gw, scope| async move { administer_webhook::remove(&gw, &scope, id).await }).await
}

async fn deliveries(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (id, state) = (ask.id("whk")?, ask.query("state"));
    ask.list(scope, |d: &Delivery| d.id, plain, move |gw, scope, page| async move {
        administer_webhook::deliveries(&gw, &scope, id, state, page).await
    })
    .await
}

async fn replay(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (webhook, delivery) = (ask.id("whk")?, ask.id("evt")?);
    ask.answer(scope, move |gw, scope| async move {
        administer_webhook::replay(&gw, &scope, webhook, delivery).await.map(|()| json!({"id": delivery}))
    })
    .await
}
