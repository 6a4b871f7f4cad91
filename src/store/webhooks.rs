//! Webhooks: where an org wants to be told, and the secrets that sign. What is due to them is `outbox`'s.

use crate::{Error, Result, Room, TenantRead, TenantTx, counted};
use model::{Secret, Timestamp, ids::WebhookId};
use schemars::JsonSchema;
use serde::Serialize;
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
}

impl TenantTx {
    pub async fn create_webhook(
        &mut self,
        _room: Room<counted::Webhooks>,
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

    /// Removes a webhook and its deliveries, each before its line of the jobs' list, as who sends one locks
    /// them. What a commit under way makes due to it still is given up when its turn comes.
    pub async fn remove_webhook(&mut self, id: WebhookId) -> Result<bool> {
        let org = self.org().uuid();
        let gone =
            sqlx::query("DELETE FROM webhooks WHERE whk_id = $1").bind(id.uuid()).execute(self.sql()).await?;
        sqlx::query(
            "WITH gone AS (
                 DELETE FROM deliveries WHERE whk_id = $2 RETURNING del_id
             )
             DELETE FROM pending p USING gone
              WHERE p.kind = 'delivery' AND p.org_id = $1 AND p.item_id = gone.del_id",
        )
        .bind(org)
        .bind(id.uuid())
        .execute(self.sql())
        .await?;
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
}
