//! Webhooks: where the org wants to be told, signed after Standard Webhooks. The secret is shown once
//! and kept sealed; a delivery that died can be sent again.

use crate::{
    FlowError, Gateway,
    administer::{Loopback, Page, room, web_url},
};
use audit::webhook::WebhookSecret;
use model::{
    Secret,
    ids::{self, EventId, WebhookId},
    record::{AuditEvent, Record},
};
use serde::Deserialize;
use serde_json::json;
use store::{Administrator, Delivery, OrgScope, Webhook};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    pub url: String,
    pub events: Vec<String>,
}

const EVENTS_MAX: usize = 50;
const EVENT_CHARS_MAX: usize = 100;

/// Errors: `api.url_refused`, `webhook.events`.
pub async fn create(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewWebhook,
) -> Result<(WebhookId, Secret<String>), FlowError> {
    web_url("url", &body.url, if gw.allow_loopback { Loopback::Allowed } else { Loopback::Refused })?;
    let named = body.events.iter().all(|event| is_event(event));
    if body.events.is_empty() || body.events.len() > EVENTS_MAX || !named {
        let right = "1 to 50 event types such as user.deactivated, or *";
        return Err(FlowError::invalid("webhook.events", "events", right));
    }
    let id = WebhookId::new(scope.now(), gw.chance.as_ref());
    let secret = WebhookSecret::generate(gw.chance.as_ref()).text();
    let mut tx = gw.db.write(scope, "webhook.create").await?;
    room(tx.webhooks().await?.len())?;
    tx.create_webhook(id, &body.url, &body.events, &secret).await?;
    let event = AuditEvent::done("webhook.created")
        .on("webhook", id)
        .value("after", json!({"url": body.url, "events": body.events}));
    tx.commit(Record::of(event)).await?;
    Ok((id, secret))
}

fn is_event(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b == b'.' || b == b'_');
    text == "*" || (!text.is_empty() && text.len() <= EVENT_CHARS_MAX && letters)
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
    Ok(tx.commit(Record::of(AuditEvent::done("webhook.removed").on("webhook", id))).await?)
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
    if !tx.webhooks().await?.iter().any(|w| w.id == id) {
        return Err(FlowError::Missing);
    }
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
    let event = AuditEvent::done("webhook.delivery_replayed")
        .on("webhook", webhook)
        .value("delivery", delivery.to_string());
    Ok(tx.commit(Record::of(event)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_type_is_lower_case_and_bounded() {
        assert!(["*", "user.deactivated", &"a".repeat(EVENT_CHARS_MAX)].iter().all(|e| is_event(e)));
        assert!(!["", "User", "a*", "a b", &"a".repeat(EVENT_CHARS_MAX + 1)].iter().any(|e| is_event(e)));
    }
}
