//! `/api/v1/orgs/{org}/keys` and `/webhooks`: what an org's own programs call with, and are told by.

use super::{
    admin::Ask,
    openapi::{Operation, PAGED, Verb, body, operation, to},
    told::{List, Once, Reply, Told},
};
use broker::{
    administer_directory::{self, NewKey},
    administer_webhook::{self, NewWebhook, WebhookPatch},
};
use model::{
    Timestamp, act,
    ids::{EventId, KeyId, WebhookId},
};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Credential, Delivery, Holder, Webhook};

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/orgs/{org}/keys", "keys:write", "Make an org key, shown once", || {
        to(create_key)
    })
    .named("create_key")
    .reading(body::<NewKey>(&[
        r#"{"name":"SIEM","scopes":["audit:read"],"expires_at":"2031-01-01T00:00:00Z"}"#,
    ]))
    .misreading(&[
        "api.name_malformed",
        "key.expired",
        "key.outlives_maker",
        "key.scope_unknown",
        "key.scopes_empty",
    ])
    .conflicting(&["api.too_many", "quota.keys"]),
    operation(Verb::Get, "/api/v1/orgs/{org}/keys", "keys:read", "List keys, without their text", || {
        to(keys)
    })
    .named("list_keys")
    .asking(PAGED),
    operation(Verb::Delete, "/api/v1/orgs/{org}/keys/{key}", "keys:write", "Revoke a key", || to(revoke_key))
        .named("revoke_key"),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/webhooks",
        "webhooks:write",
        "Make a webhook; its secret is shown once. `events`: types of GET /api/v1/webhook-event-types, `*`, \
         or patterns such as `user.*`. An org key needs audit:read too, and usage:read for usage",
        || to(create_webhook),
    )
    .named("create_webhook")
    .reading(body::<NewWebhook>(&[
        r#"{"url":"https://acme.example/hook","events":["user.*","login.refused","usage.recorded"]}"#,
    ]))
    .misreading(WEBHOOK_FIELDS)
    .conflicting(&["api.too_many", "quota.webhooks"]),
    operation(Verb::Get, "/api/v1/webhook-event-types", "", "What a webhook can be told: every type", || {
        to(event_types)
    })
    .named("list_webhook_event_types")
    .open(),
    operation(Verb::Get, "/api/v1/orgs/{org}/webhooks", "webhooks:read", "List webhooks", || to(webhooks))
        .named("list_webhooks")
        .asking(PAGED),
    operation(
        Verb::Patch,
        "/api/v1/orgs/{org}/webhooks/{whk}",
        "webhooks:write",
        "Change a webhook; what waits for one that is disabled is dead, to be replayed",
        || to(change_webhook),
    )
    .named("change_webhook")
    .reading(body::<WebhookPatch>(&[
        r#"{"url":"https://acme.example/hook","events":["user.deactivated"],"state":"enabled"}"#,
    ]))
    .misreading(WEBHOOK_FIELDS),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/webhooks/{whk}/rotate-secret",
        "webhooks:write",
        "Give a webhook a new secret, shown once; for 24 h the old one signs too",
        || to(rotate_webhook),
    )
    .named("rotate_webhook_secret")
    .answering(200),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/webhooks/{whk}",
        "webhooks:write",
        "Remove a webhook",
        || to(remove_webhook),
    )
    .named("remove_webhook"),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/webhooks/{whk}/deliveries",
        "webhooks:read",
        "List its deliveries, newest first",
        || to(deliveries),
    )
    .named("list_deliveries")
    .asking(&["state", "limit", "cursor"])
    .misreading(&["webhook.delivery_state"]),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/webhooks/{whk}/deliveries/{evt}/replay",
        "webhooks:write",
        "Send a dead delivery once more",
        || to(replay),
    )
    .named("replay_delivery")
    .answering(202),
];

const WEBHOOK_FIELDS: &[&str] = &[
    "api.url_refused",
    "outbound.address_denied",
    "outbound.bad_url",
    "webhook.event_unknown",
    "webhook.events",
];

/// An org key at its birth.
#[derive(Serialize, JsonSchema)]
struct BornKey {
    id: KeyId,
    key: Once,
    expires_at: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
struct BornWebhook {
    id: WebhookId,
    secret: Once,
}

#[derive(Serialize, JsonSchema)]
struct RotatedWebhook {
    id: WebhookId,
    secret: Once,
    /// Until then the secret before signs beside the new one.
    old_secret_until: Timestamp,
}

/// A type of message.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookEventType", extend("enum" = act::event_types().collect::<Vec<_>>()))]
struct EventType(&'static str);

#[derive(Serialize, JsonSchema)]
struct Replayed {
    id: EventId,
}

async fn create_key(ask: Ask) -> Reply<BornKey> {
    let scope = ask.org().await?;
    let new = ask.json::<NewKey>()?;
    ask.answer(scope, |gw, scope| async move {
        let born = administer_directory::create_key(&gw, &scope, new).await?;
        Ok(BornKey { id: born.id, key: Once(born.text), expires_at: born.expires_at })
    })
    .await
}

async fn keys(ask: Ask) -> Reply<List<Credential>> {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |c: &Credential| c.id,
        |gw, scope, page| async move { administer_directory::credentials(&gw, &scope, Holder::Org, page).await },
    )
    .await
}

async fn revoke_key(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let key = ask.id("key")?;
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::revoke_credential(&gw, &scope, Holder::Org, key).await
    })
    .await
}

async fn create_webhook(ask: Ask) -> Reply<BornWebhook> {
    let scope = ask.org().await?;
    let new = ask.json::<NewWebhook>()?;
    ask.answer(scope, |gw, scope| async move {
        let (id, secret) = administer_webhook::create(&gw, &scope, new).await?;
        Ok(BornWebhook { id, secret: Once(secret) })
    })
    .await
}

async fn event_types(_: Ask) -> Reply<List<EventType>> {
    Ok(Told::shown(&List::whole(act::event_types().map(EventType).collect())))
}

async fn webhooks(ask: Ask) -> Reply<List<Webhook>> {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |w: &Webhook| w.id,
        |gw, scope, page| async move { administer_webhook::list(&gw, &scope, page).await },
    )
    .await
}

async fn change_webhook(ask: Ask) -> Reply<Webhook> {
    let scope = ask.org().await?;
    let (id, patch) = (ask.id("whk")?, ask.json::<WebhookPatch>()?);
    ask.answer(
        scope,
        move |gw, scope| async move { administer_webhook::change(&gw, &scope, id, patch).await },
    )
    .await
}

async fn rotate_webhook(ask: Ask) -> Reply<RotatedWebhook> {
    let scope = ask.org().await?;
    let id = ask.id("whk")?;
    ask.answer(scope, move |gw, scope| async move {
        let (secret, old_secret_until) = administer_webhook::rotate(&gw, &scope, id).await?;
        Ok(RotatedWebhook { id, secret: Once(secret), old_secret_until })
    })
    .await
}

async fn remove_webhook(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let id = ask.id("whk")?;
    ask.answer(scope, move |gw, scope| async move { administer_webhook::remove(&gw, &scope, id).await }).await
}

async fn deliveries(ask: Ask) -> Reply<List<Delivery>> {
    let scope = ask.org().await?;
    let (id, state) = (ask.id("whk")?, ask.query("state"));
    ask.list(scope, |d: &Delivery| d.id, move |gw, scope, page| async move {
        administer_webhook::deliveries(&gw, &scope, id, state, page).await
    })
    .await
}

async fn replay(ask: Ask) -> Reply<Replayed> {
    let scope = ask.org().await?;
    let (webhook, delivery) = (ask.id("whk")?, ask.id("evt")?);
    ask.answer(scope, move |gw, scope| async move {
        administer_webhook::replay(&gw, &scope, webhook, delivery).await.map(|()| Replayed { id: delivery })
    })
    .await
}
