//! Delivers webhooks, at least once, signed as Standard Webhooks says. An attempt that fails is made
//! again later and later; after the last the delivery is dead, and can be seen and replayed. No order
//! is kept: each message goes by itself, so that one that fails holds up no other.

use super::{
    couriers::{Attempt, BATCH, CLAIM_SECS, CONNECTIONS, Couriers, each},
    entered_due,
};
use audit::webhook::WebhookSecret;
use broker::{FlowError, Gateway, OutboundRequest, counted::DELIVERIES};
use model::ids::OrgId;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};
use store::{DueDelivery, Job, OrgScope, WebhookTarget};
use tokio::sync::Semaphore;

/// Seconds before the next attempt: 14 attempts over about two days.
const BACKOFF_SECS: [i64; 13] =
    [5, 30, 60, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 36_000, 36_000, 43_200];

pub(super) fn couriers() -> Couriers {
    Couriers::new("delivery", |gw, org, connections| {
        Box::pin(async move { batch(&gw, org, &connections).await })
    })
}

/// One batch of one org's due deliveries, a few at once.
///
/// # Errors
/// Postgres is away: what was claimed comes again when its claim has run out.
pub async fn org_batch(gw: &Gateway, org: OrgId) -> Result<(), FlowError> {
    batch(gw, org, &Arc::new(Semaphore::new(CONNECTIONS))).await
}

async fn batch(gw: &Gateway, org: OrgId, connections: &Arc<Semaphore>) -> Result<(), FlowError> {
    let claimed = {
        let _held = connections.acquire().await;
        claim(gw, org).await?
    };
    let Some((scope, claimed)) = claimed else { return Ok(()) };
    each(claimed, |(due, target), sockets| {
        let (gw, scope, connections) = (gw.clone(), scope.clone(), connections.clone());
        async move {
            let socket = sockets.acquire().await;
            let DueDelivery { delivery, message } = due;
            let attempted = match (&target, message) {
                (Some(target), Some(message)) => {
                    attempt(&gw, &delivery.id.to_string(), message, target).await
                }
                (None, _) => Attempt::never("the webhook was disabled or removed"),
                (Some(_), None) => Attempt::never("the record does not have it any more"),
            };
            drop(socket);
            let (state, next) = attempted.outcome(("delivered", &BACKOFF_SECS), delivery.attempts, gw.now());
            let _held = connections.acquire().await;
            let mut tx = gw.db.write(&scope, "deliver.note").await?;
            tx.note_delivery(delivery.id, state, next, attempted.status, attempted.error.as_deref()).await?;
            tx.commit_housekeeping().await?;
            DELIVERIES.add([state], 1);
            Ok(())
        }
    })
    .await
}

type Claimed = Vec<(DueDelivery, Option<WebhookTarget>)>;

async fn claim(gw: &Gateway, org: OrgId) -> Result<Option<(OrgScope<Job>, Claimed)>, FlowError> {
    let call = gw.own_call();
    let due = ("deliver", "delivery");
    let Some(scope) = entered_due(gw, due, org, &call).await? else { return Ok(None) };
    let mut tx = gw.db.write(&scope, "deliver.claim").await?;
    let batch = tx.claim_deliveries(call.at.plus_secs(CLAIM_SECS), BATCH).await?;
    let mut targets = BTreeMap::new();
    for DueDelivery { delivery, .. } in &batch {
        if let Entry::Vacant(unread) = targets.entry(delivery.webhook_id) {
            unread.insert(tx.webhook_target(delivery.webhook_id, gw.db.seals()).await?);
        }
    }
    tx.commit_housekeeping().await?;
    let with_target = |due: DueDelivery| {
        let target = targets.get(&due.delivery.webhook_id).cloned().flatten();
        (due, target)
    };
    Ok(Some((scope, batch.into_iter().map(with_target).collect())))
}

async fn attempt(gw: &Gateway, id: &str, message: String, target: &WebhookTarget) -> Attempt {
    let at = gw.now();
    let signed = |secret: &model::Secret<String>| {
        let secret = WebhookSecret::parse(secret.reveal()).ok()?;
        Some(secret.sign(id, at, message.as_bytes()))
    };
    let Some(signatures) = target.secrets.iter().map(signed).collect::<Option<Vec<_>>>() else {
        return Attempt::failed("the stored secret is unreadable");
    };
    let headers = vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.secs().to_string()),
        ("webhook-signature", signatures.join(" ")),
    ];
    let body = Some(("application/json", message.into_bytes()));
    Attempt::of(gw, OutboundRequest { url: target.url.clone(), headers, body }).await
}
