//! What is due to webhooks. A delivery is written in the commit of the act it tells of
//! (`record`), and stays until it is delivered or dead; a dead one can be replayed. It names an event or a
//! line of usage, and says what the record says of that when it is sent.

use crate::{Result, TenantRead, TenantTx};
use model::{
    Timestamp,
    ids::{EventId, WebhookId},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// One message to one webhook. Its id is the `webhook-id` of every attempt: the receiver's key
/// against doubles.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Delivery {
    pub id: EventId,
    pub webhook_id: WebhookId,
    pub event_type: String,
    #[schemars(extend("enum" = ["waiting", "delivered", "dead"]))]
    pub state: String,
    pub attempts: i32,
    pub next_attempt_at: Timestamp,
    /// The HTTP status of the last attempt; `null` when none came back.
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
}

/// A delivery that is claimed, and what it says; nothing, when the record has lost that.
#[derive(Clone, Debug)]
pub struct DueDelivery {
    pub delivery: Delivery,
    pub message: Option<String>,
}

#[derive(sqlx::FromRow)]
struct StoredDelivery {
    del_id: Uuid,
    whk_id: Uuid,
    event_type: String,
    state: String,
    attempts: i32,
    next_at: OffsetDateTime,
    last_status: Option<i32>,
    last_error: Option<String>,
    created_at: OffsetDateTime,
}

#[derive(sqlx::FromRow)]
struct ClaimedDelivery {
    #[sqlx(flatten)]
    stored: StoredDelivery,
    evt_id: Option<Uuid>,
    meter: Option<String>,
    usage_id: Option<String>,
}

impl ClaimedDelivery {
    fn line(&self) -> Option<(&str, &str)> {
        self.meter.as_deref().zip(self.usage_id.as_deref())
    }
}

impl From<StoredDelivery> for Delivery {
    fn from(row: StoredDelivery) -> Self {
        Self {
            id: EventId::from_uuid(row.del_id),
            webhook_id: WebhookId::from_uuid(row.whk_id),
            event_type: row.event_type,
            state: row.state,
            attempts: row.attempts,
            next_attempt_at: row.next_at.into(),
            last_status: row.last_status,
            last_error: row.last_error,
            created_at: row.created_at.into(),
        }
    }
}

impl TenantRead {
    /// One webhook's deliveries, newest first.
    pub async fn deliveries(
        &mut self,
        webhook: WebhookId,
        state: Option<&str>,
        before: Option<EventId>,
        limit: i64,
    ) -> Result<Vec<Delivery>> {
        let rows: Vec<StoredDelivery> = sqlx::query_as(
            "SELECT del_id, whk_id, event_type, state, attempts, next_at, last_status, last_error, created_at
               FROM deliveries
              WHERE ($1::text IS NULL OR state = $1)
                AND ($2::uuid IS NULL OR del_id < $2)
                AND whk_id = $4
              ORDER BY del_id DESC
              LIMIT $3",
        )
        .bind(state)
        .bind(before.map(|id| id.uuid()))
        .bind(limit)
        .bind(webhook.uuid())
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(Delivery::from).collect())
    }
}

impl TenantTx {
    /// Deliveries that are due, claimed until `until`: another node passes them over meanwhile.
    pub async fn claim_deliveries(&mut self, until: Timestamp, limit: i64) -> Result<Vec<DueDelivery>> {
        let now = OffsetDateTime::from(self.now());
        let claimed: Vec<ClaimedDelivery> = sqlx::query_as(
            "WITH due AS (
                 SELECT del_id FROM deliveries
                  WHERE state = 'waiting' AND next_at <= $1
                  ORDER BY del_id
                  LIMIT $3
                    FOR UPDATE SKIP LOCKED
             ), later AS (
                 UPDATE pending p SET due_at = $2 FROM due
                  WHERE p.kind = 'delivery' AND p.org_id = (SELECT current_org()) AND p.item_id = due.del_id
             )
             UPDATE deliveries d SET next_at = $2, attempts = attempts + 1
               FROM due
              WHERE d.del_id = due.del_id
             RETURNING d.del_id, whk_id, event_type, state, attempts, next_at, last_status, last_error, created_at,
                       evt_id, meter, usage_id",
        )
        .bind(now)
        .bind(OffsetDateTime::from(until))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        self.messages(claimed).await
    }

    /// An event has the instant of the commit that made its delivery.
    async fn messages(&mut self, claimed: Vec<ClaimedDelivery>) -> Result<Vec<DueDelivery>> {
        let seals = self.seals();
        let born = claimed.iter().filter_map(|one| Some((one.evt_id?, one.stored.created_at)));
        let (ids, at): (Vec<Uuid>, Vec<OffsetDateTime>) = born.unzip();
        let (meters, keys): (Vec<&str>, Vec<&str>) = claimed.iter().filter_map(ClaimedDelivery::line).unzip();
        let mut events = BTreeMap::new();
        if !ids.is_empty() {
            let found = self.events_born(&ids, &at, &seals).await?;
            events.extend(found.into_iter().map(|event| (event.id.uuid(), event)));
        }
        let mut lines = BTreeMap::new();
        if !keys.is_empty() {
            let found = self.usage_lines(&meters, &keys).await?;
            lines.extend(found.into_iter().map(|line| ((line.meter.clone(), line.event_id.clone()), line)));
        }
        let data = |one: &ClaimedDelivery| match (one.evt_id, one.line()) {
            (Some(event), _) => Some(json!(events.get(&event)?)),
            (None, Some((meter, key))) => Some(json!(lines.get(&(meter.to_owned(), key.to_owned()))?)),
            (None, None) => None,
        };
        let said = |one: ClaimedDelivery| {
            let (data, delivery) = (data(&one), Delivery::from(one.stored));
            let message = data.map(|data| {
                json!({"type": delivery.event_type, "timestamp": delivery.created_at, "data": data})
                    .to_string()
            });
            DueDelivery { delivery, message }
        };
        Ok(claimed.into_iter().map(said).collect())
    }

    /// How an attempt went: delivered, to be tried again at `next`, or dead. What was let go of
    /// meanwhile stays dead, unless this attempt delivered it.
    pub async fn note_delivery(
        &mut self,
        id: EventId,
        state: &'static str,
        next: Timestamp,
        status: Option<i32>,
        error: Option<&str>,
    ) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        let noted = sqlx::query(
            "UPDATE deliveries
                SET state = $2, next_at = $3, last_status = $4, last_error = $5,
                    done_at = CASE WHEN $2 = 'waiting' THEN NULL ELSE $6::timestamptz END
              WHERE del_id = $1
                AND (state = 'waiting' OR $2 = 'delivered')",
        )
        .bind(id.uuid())
        .bind(state)
        .bind(OffsetDateTime::from(next))
        .bind(status)
        .bind(error)
        .bind(now)
        .execute(self.sql())
        .await?;
        if state != "waiting" {
            return self.settle("delivery", id.uuid()).await;
        }
        if noted.rows_affected() == 1 {
            let org = self.org().uuid();
            sqlx::query(
                "UPDATE pending SET due_at = $3 WHERE kind = 'delivery' AND org_id = $1 AND item_id = $2",
            )
            .bind(org)
            .bind(id.uuid())
            .bind(OffsetDateTime::from(next))
            .execute(self.sql())
            .await?;
        }
        Ok(())
    }

    /// Sends a webhook's dead delivery once more; false when it is not a dead one of it.
    pub async fn replay_delivery(&mut self, webhook: WebhookId, id: EventId) -> Result<bool> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let revived = sqlx::query(
            "WITH dead AS (
                 UPDATE deliveries SET state = 'waiting', attempts = 0, next_at = $3, done_at = NULL
                  WHERE del_id = $2 AND state = 'dead' AND whk_id = $4
                 RETURNING del_id
             )
             INSERT INTO pending (kind, org_id, item_id, due_at)
             SELECT 'delivery', $1, del_id, $3 FROM dead",
        )
        .bind(org)
        .bind(id.uuid())
        .bind(now)
        .bind(webhook.uuid())
        .execute(self.sql())
        .await?;
        Ok(revived.rows_affected() == 1)
    }
}
