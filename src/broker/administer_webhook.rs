//! Webhooks: where the org wants to be told, signed after Standard Webhooks. The secret is shown once
//! and kept sealed; a delivery that died can be sent again.

use crate::{
    FlowError, Gateway,
    administer::{Loopback, Page, WEB_URL, holds_all, web_url},
    quota,
};
use audit::webhook::WebhookSecret;
use model::{
    Secret, Timestamp,
    act::{USAGE_RECORDED, event_types},
    ids::{self, EventId, WebhookId},
    record::{Act, AuditEvent, Record},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{Administrator, Delivery, OrgScope, TenantRead, Webhook, WebhookChange};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub url: String,
    /// Event types such as `user.deactivated`, all of one word such as `user.*`, or `*` for all.
    #[schemars(length(min = 1, max = EVENTS_MAX), extend("items" = subscription()))]
    pub events: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookPatch {
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub url: Option<String>,
    #[schemars(length(min = 1, max = EVENTS_MAX), extend("items" = subscription()))]
    pub events: Option<Vec<String>>,
    pub state: Option<WebhookState>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookState {
    Enabled,
    Disabled,
}

const EVENTS_MAX: usize = 50;
/// How long a replaced secret still signs beside the new one.
const OLD_SECRET_SECS: i64 = 24 * 3600;

/// An address that may be called. One written out as an inner address is refused here; a name that
/// leads inside is refused at each delivery, because it can begin to at any time.
fn url_of(gw: &Gateway, url: &str) -> Result<(), FlowError> {
    web_url("url", url, if gw.allow_loopback { Loopback::Allowed } else { Loopback::Refused })?;
    gw.outbound.may_call(url).map_err(|fault| FlowError::invalid(fault.code, "url", fault.why))
}

/// What can be asked for, as it is described.
fn subscription() -> Value {
    let words: BTreeSet<&str> = event_types().filter_map(|known| known.split('.').next()).collect();
    let patterns = words.into_iter().map(|word| format!("{word}.*"));
    let all: Vec<String> =
        ["*".to_owned()].into_iter().chain(patterns).chain(event_types().map(str::to_owned)).collect();
    json!({"type": "string", "enum": all})
}

/// A type of the catalogue, or a pattern that some type of it fits: `*`, or `user.*`.
fn fits_some(wanted: &str) -> bool {
    let fits = |known: &str| match wanted.strip_suffix('*') {
        Some("") => true,
        Some(family) => known.split_inclusive('.').next() == Some(family),
        None => known == wanted,
    };
    event_types().any(fits)
}

fn events_of(events: &[String]) -> Result<(), FlowError> {
    if !(1..=EVENTS_MAX).contains(&events.len()) {
        let right = format!("1 to {EVENTS_MAX} event types such as user.deactivated, or *");
        return Err(FlowError::invalid("webhook.events", "events", right));
    }
    match events.iter().find(|event| !fits_some(event)) {
        None => Ok(()),
        Some(unknown) => {
            let right = format!(
                "{unknown:.100} fits no type of GET /api/v1/webhook-event-types; \
                 a type, * or the first word of one as in user.* does"
            );
            Err(FlowError::invalid("webhook.event_unknown", "events", right))
        }
    }
}

/// Whoever has the record sent somewhere may read it. Errors: `api.scope_missing`.
fn may_read(scope: &OrgScope<Administrator>, events: &[String]) -> Result<(), FlowError> {
    let needed = |event: &String| match event.as_str() {
        "*" => ["audit:read", "usage:read"].as_slice(),
        usage if usage == USAGE_RECORDED || usage == "usage.*" => &["usage:read"],
        _ => &["audit:read"],
    };
    holds_all(scope.door(), events.iter().flat_map(needed).copied())
}

/// Errors: `api.url_refused`, `outbound.address_denied`, `webhook.events`, `webhook.event_unknown`, and
/// `api.scope_missing` when an org key may not read what it wants told.
pub async fn create(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewWebhook,
) -> Result<(WebhookId, Secret<String>), FlowError> {
    url_of(gw, &body.url)?;
    events_of(&body.events)?;
    may_read(scope, &body.events)?;
    let id = WebhookId::new(scope.now(), gw.chance.as_ref());
    let secret = WebhookSecret::generate(gw.chance.as_ref()).text();
    let tx = gw.db.write(scope, "webhook.create").await?;
    let (mut tx, room) = quota::admit(gw, scope, tx).await?;
    tx.create_webhook(room, id, &body.url, &body.events, &secret).await?;
    let event = AuditEvent::done(Act::WebhookCreated)
        .on("webhook", id)
        .value("after", json!({"url": body.url, "events": body.events}));
    tx.commit(Record::of(event)).await?;
    Ok((id, secret))
}

async fn one(tx: &mut TenantRead, id: WebhookId) -> Result<Webhook, FlowError> {
    tx.webhooks().await?.into_iter().find(|w| w.id == id).ok_or(FlowError::Missing)
}

/// Changes what is given. One that is disabled lets go of what waits for it: dead, to be replayed
/// later. Errors: as `create`.
pub async fn change(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: WebhookId,
    patch: WebhookPatch,
) -> Result<Webhook, FlowError> {
    patch.url.as_deref().map_or(Ok(()), |url| url_of(gw, url))?;
    patch.events.as_deref().map_or(Ok(()), events_of)?;
    let state = patch.state.map(|state| match state {
        WebhookState::Enabled => "enabled",
        WebhookState::Disabled => "disabled",
    });
    let redirects = patch.url.is_some() || patch.events.is_some();
    let mut tx = gw.db.write(scope, "webhook.change").await?;
    let before = one(&mut tx, id).await?;
    tx.change_webhook(id, &WebhookChange { url: patch.url, events: patch.events, state }).await?;
    let after = one(&mut tx, id).await?;
    if redirects {
        may_read(scope, &after.events)?;
    }
    let event = AuditEvent::done(Act::WebhookChanged)
        .on("webhook", id)
        .value("before", json!({"url": before.url, "events": before.events, "state": before.state}))
        .value("after", json!({"url": after.url, "events": after.events, "state": after.state}));
    tx.commit(Record::of(event)).await?;
    Ok(after)
}

/// A new secret, shown once. The one before signs beside it until the time that is answered.
pub async fn rotate(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: WebhookId,
) -> Result<(Secret<String>, Timestamp), FlowError> {
    let secret = WebhookSecret::generate(gw.chance.as_ref()).text();
    let until = scope.now().plus_secs(OLD_SECRET_SECS);
    let mut tx = gw.db.write(scope, "webhook.rotate").await?;
    if !tx.rotate_webhook_secret(id, &secret, until).await? {
        return Err(FlowError::Missing);
    }
    tx.commit(Record::of(AuditEvent::done(Act::WebhookSecretRotated).on("webhook", id))).await?;
    Ok((secret, until))
}

pub async fn list(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    page: Page<ids::Webhook>,
) -> Result<Vec<Webhook>, FlowError> {
    Ok(page.of(gw.db.read(scope, "webhook.list").await?.webhooks().await?, |w| w.id))
}

pub async fn remove(gw: &Gateway, scope: &OrgScope<Administrator>, id: WebhookId) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "webhook.remove").await?;
    if !tx.remove_webhook(id).await? {
        return Err(FlowError::Missing);
    }
    Ok(tx.commit(Record::of(AuditEvent::done(Act::WebhookRemoved).on("webhook", id))).await?)
}

/// One webhook's deliveries, newest first. Errors: `webhook.delivery_state`.
pub async fn deliveries(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: WebhookId,
    state: Option<String>,
    page: Page<ids::Event>,
) -> Result<Vec<Delivery>, FlowError> {
    if state.as_deref().is_some_and(|s| !["waiting", "delivered", "dead"].contains(&s)) {
        let right = "waiting, delivered or dead";
        return Err(FlowError::invalid("webhook.delivery_state", "state", right));
    }
    let mut tx = gw.db.read(scope, "webhook.deliveries").await?;
    one(&mut tx, id).await?;
    Ok(tx.deliveries(id, state.as_deref(), page.after, page.rows()).await?)
}

/// Sends a dead delivery once more, under its own id. Any other is not found.
pub async fn replay(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    webhook: WebhookId,
    delivery: EventId,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "webhook.replay").await?;
    if !tx.replay_delivery(webhook, delivery).await? {
        return Err(FlowError::Missing);
    }
    let event = AuditEvent::done(Act::WebhookDeliveryReplayed)
        .on("webhook", webhook)
        .value("delivery", delivery.to_string());
    Ok(tx.commit(Record::of(event)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_fits_a_type_of_the_catalogue() {
        for good in ["*", "user.*", "usage.*", "user.deactivated", "usage.recorded", "org.state_changed"] {
            assert!(fits_some(good), "{good}");
        }
        for bad in [
            "",
            "**",
            "user",
            "user*",
            "use*",
            "user.",
            "user.d*",
            "user.*.*",
            "*.created",
            "User.created",
            ".*",
            "users.*",
            "user.created.",
            "webhook.delivery_replayed",
        ] {
            assert!(!fits_some(bad), "{bad}");
        }
    }
}
