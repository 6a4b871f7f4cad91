//! Webhooks and what is due to them. A delivery is written in the commit of the act it tells of, and
//! stays until it is delivered or dead; a dead one can be replayed.

use crate::{Error, Result, TenantRead, TenantTx};
use model::{
    Secret, Timestamp,
    ids::{EventId, WebhookId},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use token::seal::SealKeys;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Webhook {
    pub id: WebhookId,
    pub url: String,
    pub events: Vec<String>,
    #[schemars(extend("enum" = ["enabled", "disabled"]))]
    pub state: String,
    pub created_at: Timestamp,
}

/// Where a webhook's messages go, and what signs them: the secret, and for a while the one before it.
#[derive(Clone)]
pub struct WebhookTarget {
    pub url: String,
    pub secrets: Vec<Secret<String>>,
}

/// What may change of a webhook.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub state: Option<&'static str>,
}

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
    #[serde(skip)]
    pub payload: String,
}

#[derive(sqlx::FromRow)]
struct StoredDelivery {
    del_id: Uuid,
    whk_id: Uuid,
    event_type: String,
    payload: String,
    state: String,
    attempts: i32,
    next_at: OffsetDateTime,
    last_status: Option<i32>,
    last_error: Option<String>,
    created_at: OffsetDateTime,
}

impl From<StoredDelivery> for Delivery {
    fn from(row: StoredDelivery) -> Self {
        Self {
            id: EventId::from_uuid(row.del_id),
            webhook_id: WebhookId::from_uuid(row.whk_id),
            event_type: row.event_type,
            payload: row.payload,
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
    pub async fn webhooks(&mut self) -> Result<Vec<Webhook>> {
        let rows: Vec<(Uuid, String, Vec<String>, String, OffsetDateTime)> = sqlx::query_as(
            "SELECT whk_id, url, events, state, created_at FROM webhooks ORDER BY whk_id LIMIT 200",
        )
        .fetch_all(self.sql())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, url, events, state, at)| Webhook {
                id: WebhookId::from_uuid(id),
                url,
                events,
                state,
                created_at: at.into(),
            })
            .collect())
    }

    /// An enabled webhook's address and the secrets that sign for it, for the one who delivers.
    pub async fn webhook_target(&mut self, id: WebhookId, seals: &SealKeys) -> Result<Option<WebhookTarget>> {
        let now = OffsetDateTime::from(self.now());
        let row: Option<(String, Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
            "SELECT url, secret, CASE WHEN old_secret_until > $2 THEN old_secret END
               FROM webhooks
              WHERE whk_id = $1
                AND state = 'enabled'",
        )
        .bind(id.uuid())
        .bind(now)
        .fetch_optional(self.sql())
        .await?;
        let Some((url, secret, old)) = row else { return Ok(None) };
        let opened = |sealed: Vec<u8>| {
            let plain = seals.open("webhook.secret", id.uuid().as_bytes(), &sealed).ok()?;
            String::from_utf8(plain.reveal().clone()).ok().map(Secret::new)
        };
        let secrets: Option<Vec<_>> = std::iter::once(secret).chain(old).map(opened).collect();
        Ok(Some(WebhookTarget { url, secrets: secrets.ok_or(Error::Corrupt("webhook secret"))? }))
    }

    /// One webhook's deliveries, newest first.
    pub async fn deliveries(
        &mut self,
        webhook: WebhookId,
        state: Option<&str>,
        before: Option<EventId>,
        limit: i64,
    ) -> Result<Vec<Delivery>> {
        let rows: Vec<StoredDelivery> = sqlx::query_as(
            "SELECT del_id, whk_id, event_type, payload, state, attempts, next_at, last_status, last_error, created_at
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
    pub async fn create_webhook(
        &mut self,
        id: WebhookId,
        url: &str,
        events: &[String],
        secret: &Secret<String>,
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let (seals, chance) = (self.seals(), self.chance());
        let bound = id.uuid();
        let sealed =
            seals.seal("webhook.secret", bound.as_bytes(), secret.reveal().as_bytes(), chance.as_ref())?;
        sqlx::query(
            "INSERT INTO webhooks (org_id, whk_id, url, events, secret, state, created_at)
             VALUES ($1, $2, $3, $4, $5, 'enabled', $6)",
        )
        .bind(org)
        .bind(bound)
        .bind(url)
        .bind(events)
        .bind(sealed)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Removes a webhook and its deliveries; nothing of it stays on the jobs' list.
    pub async fn remove_webhook(&mut self, id: WebhookId) -> Result<bool> {
        let org = self.org().uuid();
        sqlx::query(
            "DELETE FROM pending p USING deliveries d
              WHERE p.kind = 'delivery' AND p.org_id = $1 AND p.item_id = d.del_id AND d.whk_id = $2",
        )
        .bind(org)
        .bind(id.uuid())
        .execute(self.sql())
        .await?;
        let gone =
            sqlx::query("DELETE FROM webhooks WHERE whk_id = $1").bind(id.uuid()).execute(self.sql()).await?;
        Ok(gone.rows_affected() == 1)
    }

    /// Changes what is given; false when there is no such webhook. One that is disabled lets go of
    /// what waits for it: dead, so that it can be seen and replayed.
    pub async fn change_webhook(&mut self, id: WebhookId, change: &WebhookChange) -> Result<bool> {
        let changed = sqlx::query(
            "UPDATE webhooks
                SET url = COALESCE($2, url), events = COALESCE($3, events), state = COALESCE($4, state)
              WHERE whk_id = $1",
        )
        .bind(id.uuid())
        .bind(&change.url)
        .bind(&change.events)
        .bind(change.state)
        .execute(self.sql())
        .await?;
        if change.state == Some("disabled") {
            let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
            sqlx::query(
                "WITH let_go AS (
                     UPDATE deliveries SET state = 'dead', last_error = 'the webhook was disabled', done_at = $3
                      WHERE whk_id = $2 AND state = 'waiting'
                     RETURNING del_id
                 )
                 DELETE FROM pending p USING let_go
                  WHERE p.kind = 'delivery' AND p.org_id = $1 AND p.item_id = let_go.del_id",
            )
            .bind(org)
            .bind(id.uuid())
            .bind(now)
            .execute(self.sql())
            .await?;
        }
        Ok(changed.rows_affected() == 1)
    }

    /// Gives a webhook a new secret; the one it had signs beside it until `until`.
    pub async fn rotate_webhook_secret(
        &mut self,
        id: WebhookId,
        secret: &Secret<String>,
        until: Timestamp,
    ) -> Result<bool> {
        let (seals, chance) = (self.seals(), self.chance());
        let plain = secret.reveal().as_bytes();
        let sealed = seals.seal("webhook.secret", id.uuid().as_bytes(), plain, chance.as_ref())?;
        let rotated = sqlx::query(
            "UPDATE webhooks SET old_secret = secret, old_secret_until = $3, secret = $2 WHERE whk_id = $1",
        )
        .bind(id.uuid())
        .bind(sealed)
        .bind(OffsetDateTime::from(until))
        .execute(self.sql())
        .await?;
        Ok(rotated.rows_affected() == 1)
    }

    /// One delivery, under an id of its own, for each of these webhooks.
    pub(crate) async fn queue_deliveries(
        &mut self,
        hooks: impl Iterator<Item = Uuid>,
        event_type: &str,
        data: &Value,
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let payload = json!({"type": event_type, "timestamp": self.now(), "data": data}).to_string();
        for hook in hooks {
            let id = EventId::new(self.now(), self.chance().as_ref()).uuid();
            sqlx::query(
                "WITH waiting AS (
                     INSERT INTO pending (kind, org_id, item_id, due_at) VALUES ('delivery', $1, $2, $6)
                 )
                 INSERT INTO deliveries (org_id, del_id, whk_id, event_type, payload, state, next_at, created_at)
                 VALUES ($1, $2, $3, $4, $5, 'waiting', $6, $6)",
            )
            .bind(org)
            .bind(id)
            .bind(hook)
            .bind(event_type)
            .bind(&payload)
            .bind(now)
            .execute(self.sql())
            .await?;
        }
        Ok(())
    }

    /// Deliveries that are due, claimed until `until`: another node passes them over meanwhile.
    pub async fn claim_deliveries(&mut self, until: Timestamp, limit: i64) -> Result<Vec<Delivery>> {
        let now = OffsetDateTime::from(self.now());
        let rows: Vec<StoredDelivery> = sqlx::query_as(
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
             RETURNING d.del_id, whk_id, event_type, payload, state, attempts, next_at, last_status, last_error, created_at",
        )
        .bind(now)
        .bind(OffsetDateTime::from(until))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(Delivery::from).collect())
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
