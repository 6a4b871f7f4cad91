//! Delivers webhooks, at least once, signed as Standard Webhooks says. An attempt that fails is made
//! again later and later; after the last the delivery is dead, and can be seen and replayed.

use super::ORGS_A_ROUND;
use audit::webhook::WebhookSecret;
use broker::{FlowError, Gateway, OutboundRequest};
use model::Timestamp;
use store::{Delivery, Job, OrgScope};

/// Seconds before the next attempt: 14 attempts over about two days.
const BACKOFF_SECS: [i64; 13] =
    [5, 30, 60, 300, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 36_000, 36_000, 43_200];
/// A claimed delivery is passed over by other nodes this long: more than an outgoing request may take.
const CLAIM_SECS: i64 = 30;
const BATCH: i64 = 20;
const ERROR_CHARS_MAX: usize = 300;

pub(super) async fn round(gw: Gateway) -> Result<(), FlowError> {
    let call = gw.own_call();
    for org in gw.db.orgs_with_due("delivery", call.at, ORGS_A_ROUND).await? {
        let scope = gw.db.job("deliver", org, &call).await?;
        let mut tx = gw.db.write(&scope, "deliver.claim").await?;
        let batch = tx.claim_deliveries(call.at.plus_secs(CLAIM_SECS), BATCH).await?;
        tx.commit_housekeeping().await?;
        for delivery in batch {
            deliver(&gw, &scope, &delivery).await?;
        }
    }
    Ok(())
}

async fn deliver(gw: &Gateway, scope: &OrgScope<Job>, delivery: &Delivery) -> Result<(), FlowError> {
    let target =
        gw.db.read(scope, "deliver.target").await?.webhook_target(delivery.webhook_id, gw.db.seals()).await?;
    let (status, error) = match target {
        Some((url, secret)) => attempt(gw, delivery, url, secret.reveal()).await,
        None => (None, Some("the webhook is disabled".to_owned())),
    };
    let now = gw.now();
    let (state, next) = outcome(error.is_none(), delivery.attempts, now);
    let mut tx = gw.db.write(scope, "deliver.note").await?;
    tx.note_delivery(delivery.id, state, next, status, error.as_deref()).await?;
    tx.commit_housekeeping().await?;
    Ok(())
}

async fn attempt(
    gw: &Gateway,
    delivery: &Delivery,
    url: String,
    secret: &str,
) -> (Option<i32>, Option<String>) {
    let Ok(secret) = WebhookSecret::parse(secret) else {
        return (None, Some("the stored secret is unreadable".to_owned()));
    };
    let (id, at) = (delivery.id.to_string(), gw.now());
    let headers = vec![
        ("webhook-id", id.clone()),
        ("webhook-timestamp", at.secs().to_string()),
        ("webhook-signature", secret.sign(&id, at, delivery.payload.as_bytes())),
    ];
    let body = Some(("application/json", delivery.payload.clone().into_bytes()));
    match gw.outbound.send(OutboundRequest { url, headers, body }).await {
        Ok(answer) if (200..300).contains(&answer.status) => (Some(i32::from(answer.status)), None),
        Ok(answer) => (Some(i32::from(answer.status)), Some(format!("answered {}", answer.status))),
        Err(fault) => (None, Some(fault.to_string().chars().take(ERROR_CHARS_MAX).collect())),
    }
}

/// What follows an attempt: `attempts` counts it.
fn outcome(delivered: bool, attempts: i32, now: Timestamp) -> (&'static str, Timestamp) {
    if delivered {
        return ("delivered", now);
    }
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(0);
    BACKOFF_SECS.get(step).map_or(("dead", now), |secs| ("waiting", now.plus_secs(*secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_later_and_later_and_then_gives_up() {
        let now = Timestamp::from_secs(1_000);
        assert_eq!(outcome(true, 1, now), ("delivered", now));
        assert_eq!(outcome(false, 1, now), ("waiting", now.plus_secs(5)));
        assert_eq!(outcome(false, 13, now), ("waiting", now.plus_secs(43_200)));
        assert_eq!(outcome(false, 14, now), ("dead", now));
    }
}
