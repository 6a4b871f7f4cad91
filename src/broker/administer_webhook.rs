//! Webhooks: where the org wants to be told, signed after Standard Webhooks. The secret is shown once
//! and kept sealed; a delivery that died can be sent again.

use crate::{
    FlowError, Gateway,
    administer::{Loopback, Page, WEB_URL, room, web_url},
};
use audit::webhook::WebhookSecret;
use model::{
    Secret, Timestamp,
    ids::{self, EventId, WebhookId},
    record::{AuditEvent, Record},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use store::{Administrator, Delivery, OrgScope, TenantRead, Webhook, WebhookChange};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub url: String,
    /// Event types such as `user.deactivated`, or `*` for all.
    #[schemars(length(min = 1, max = EVENTS_MAX), inner(regex(pattern = EVENT)))]
    pub events: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookPatch {
    #[schemars(url, length(max = 2048), regex(pattern = WEB_URL))]
    pub url: Option<String>,
    #[schemars(length(min = 1, max = EVENTS_MAX), inner(regex(pattern = EVENT)))]
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
const EVENT_CHARS_MAX: usize = 100;
/// `is_event`, as it is described.
const EVENT: &str = r"^(\*|[a-z._]{1,100})$";
/// How long a replaced secret still signs beside the new one.
const OLD_SECRET_SECS: i64 = 24 * 3600;

/// An address that may be called. One written out as an inner address is refused here; a name that
/// leads inside is refused at each delivery, because it can begin to at any time.
fn url_of(gw: &Gateway, url: &str) -> Result<(), FlowError> {
    web_url("url", url, if gw.allow_loopback { Loopback::Allowed } else { Loopback::Refused })?;
    gw.outbound.may_call(url).map_err(|fault| FlowError::invalid(fault.code, "url", fault.why))
}

fn events_of(events: &[String]) -> Result<(), FlowError> {
    if (1..=EVENTS_MAX).contains(&events.len()) && events.iter().all(|event| is_event(event)) {
        return Ok(());
    }
    Err(FlowError::invalid("webhook.events", "events", "1 to 50 event types such as user.deactivated, or *"))
}

/// Errors: `api.url_refused`, `outbound.address_denied`, `webhook.events`.
pub async fn create(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewWebhook,
) -> Result<(WebhookId, Secret<String>), FlowError> {
    url_of(gw, &body.url)?;
    events_of(&body.events)?;
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
    let mut tx = gw.db.write(scope, "webhook.change").await?;
    let before = one(&mut tx, id).await?;
    tx.change_webhook(id, &WebhookChange { url: patch.url, events: patch.events, state }).await?;
    let after = one(&mut tx, id).await?;
    let event = AuditEvent::done("webhook.changed")
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
    tx.commit(Record::of(AuditEvent::done("webhook.secret_rotated").on("webhook", id))).await?;
    Ok((secret, until))
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
