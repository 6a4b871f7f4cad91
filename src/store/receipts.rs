//! Receipts: what a deactivation ended and when, and which app has said that it knows. Written with the
//! revocation; its last lines when Redis has it, when an app's back-channel answers, and when its verifiers
//! acknowledge the feed.

use crate::{AppTold, Result, Revoked, TenantRead, TenantTx};
use model::{
    Timestamp,
    ids::{AppId, DeprovisioningId, DirectoryId, UserId},
    revocation::Scope,
};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// The receipt of a deactivation.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Deprovisioning")]
pub struct Receipt {
    pub id: DeprovisioningId,
    pub user_id: UserId,
    /// What ended the sessions, such as `administrator` or `identity_unbound`.
    pub cause: String,
    /// The request that did.
    pub request_id: String,
    pub sessions_ended: i32,
    pub refresh_families_ended: i32,
    pub received_at: Timestamp,
    pub committed_at: Option<Timestamp>,
    /// When Redis had it; empty while it does not: Postgres refuses all the same.
    pub reached_at: Option<Timestamp>,
    /// No access token that this person had lives after this instant, even in an app that only looks at `exp`: the
    /// lifetime of one, from when none was given any more.
    pub no_token_lives_after: Timestamp,
    /// From the request's arrival to the commit, in milliseconds.
    pub total_ms: Option<f64>,
    /// The apps that were told, each by the way it has.
    pub apps: Vec<AppTold>,
}

#[derive(sqlx::FromRow)]
struct StoredReceipt {
    dep_id: Uuid,
    seq: i64,
    user_id: Uuid,
    cause: String,
    request_id: String,
    sessions_ended: i32,
    families_ended: i32,
    received_at: OffsetDateTime,
    committed_at: Option<OffsetDateTime>,
    reached_at: Option<OffsetDateTime>,
    dead_after: OffsetDateTime,
}

impl StoredReceipt {
    fn receipt(self, apps: Vec<AppTold>) -> Receipt {
        let row = self;
        Receipt {
            id: DeprovisioningId::from_uuid(row.dep_id),
            user_id: UserId::from_uuid(row.user_id),
            cause: row.cause,
            request_id: row.request_id,
            sessions_ended: row.sessions_ended,
            refresh_families_ended: row.families_ended,
            received_at: row.received_at.into(),
            committed_at: row.committed_at.map(Timestamp::from),
            reached_at: row.reached_at.map(Timestamp::from),
            no_token_lives_after: row.dead_after.into(),
            total_ms: row
                .committed_at
                .map(|at| ((at - row.received_at).as_seconds_f64() * 1_000_000.0).round() / 1_000.0),
            apps,
        }
    }
}

/// What an app's verifiers said of one revocation.
#[derive(Clone, Copy, Debug)]
pub struct FeedAck {
    pub seq: i64,
    pub app: AppId,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// How long endings took in an org, in milliseconds from the request's arrival.
#[derive(Clone, Debug, Serialize, JsonSchema, sqlx::FromRow)]
pub struct EndingTimes {
    pub count: i64,
    /// To the commit: from then on no token is minted, refreshed or found active.
    pub committed_p50_ms: Option<f64>,
    pub committed_p99_ms: Option<f64>,
    /// To Redis, which answers for the browsers' sessions.
    pub reached_p50_ms: Option<f64>,
    pub reached_p99_ms: Option<f64>,
    /// To the last of the apps that acknowledged, by back-channel, stream or feed.
    pub acknowledged_p50_ms: Option<f64>,
    pub acknowledged_p99_ms: Option<f64>,
}

impl TenantRead {
    /// Receipts of one person, newest first; they outlive the person's row.
    pub async fn receipts(&mut self, user: UserId, limit: i64) -> Result<Vec<Receipt>> {
        let rows: Vec<StoredReceipt> = sqlx::query_as(
            "SELECT dep_id, seq, user_id, cause, request_id, sessions_ended, families_ended, received_at, committed_at,
                    reached_at, dead_after
               FROM deprovisionings
              WHERE user_id = $1
              ORDER BY dep_id DESC
              LIMIT $2",
        )
        .bind(user.uuid())
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        let mut told = self.told_of(&seqs).await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let apps = told.remove(&row.seq).unwrap_or_default();
                row.receipt(apps)
            })
            .collect())
    }

    /// How long the endings took that began between these two instants.
    pub async fn ending_times(&mut self, from: Timestamp, to: Timestamp) -> Result<EndingTimes> {
        Ok(sqlx::query_as(
            "WITH taken AS (
                 SELECT extract(epoch FROM d.committed_at - d.received_at) * 1000 AS committed,
                        extract(epoch FROM d.reached_at - d.received_at) * 1000 AS reached,
                        extract(epoch FROM GREATEST(
                            (SELECT max(l.done_at) FROM logouts l
                              WHERE l.org_id = d.org_id AND l.seq = d.seq AND l.state = 'told'),
                            (SELECT max(e.done_at) FROM stream_events e
                              WHERE e.org_id = d.org_id AND e.seq = d.seq AND e.state = 'told'),
                            (SELECT max(a.first_at) FROM feed_acks a
                              WHERE a.org_id = d.org_id AND a.seq = d.seq)) - d.received_at) * 1000 AS acknowledged
                   FROM deprovisionings d
                  WHERE d.received_at >= $1 AND d.received_at < $2
             )
             SELECT count(*),
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY committed::float8) AS committed_p50_ms,
                    percentile_cont(0.99) WITHIN GROUP (ORDER BY committed::float8) AS committed_p99_ms,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY reached::float8) AS reached_p50_ms,
                    percentile_cont(0.99) WITHIN GROUP (ORDER BY reached::float8) AS reached_p99_ms,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY acknowledged::float8) AS acknowledged_p50_ms,
                    percentile_cont(0.99) WITHIN GROUP (ORDER BY acknowledged::float8) AS acknowledged_p99_ms
               FROM taken",
        )
        .bind(OffsetDateTime::from(from))
        .bind(OffsetDateTime::from(to))
        .fetch_one(self.sql())
        .await?)
    }
}

impl TenantTx {
    /// Writes the receipt of a deactivation, by a directory or by somebody else: how many live sessions and
    /// refresh families it ends.
    pub async fn write_receipt(
        &mut self,
        user: UserId,
        revoked: &Revoked,
        (cause, directory): (&'static str, Option<DirectoryId>),
        dead_after: Timestamp,
    ) -> Result<DeprovisioningId> {
        let id = DeprovisioningId::new(self.now(), self.chance().as_ref());
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let request_id = self.origin().request_id.clone();
        sqlx::query(
            "WITH mark AS (
                 SELECT COALESCE(max(seq), 0) AS seq FROM revocations
                  WHERE action = 'terminate' AND seq < $4 AND scope IN ('org', $9)
             )
             INSERT INTO deprovisionings (org_id, dep_id, user_id, cause, request_id, seq, sessions_ended,
                                          families_ended, received_at, written_at, dead_after, dir_id)
             SELECT $1, $2, $3, $5, $6, $4,
                    (SELECT count(*) FROM sessions s
                      WHERE s.user_id = $3 AND s.ended_at IS NULL AND s.expires_at > $7 AND s.rs >= mark.seq),
                    (SELECT count(*) FROM refresh_families f
                      WHERE f.user_id = $3 AND f.ended_at IS NULL AND f.expires_at > $7 AND f.rs >= mark.seq),
                    $7, clock_timestamp(), $8, $10
               FROM mark",
        )
        .bind(org)
        .bind(id.uuid())
        .bind(user.uuid())
        .bind(revoked.seq)
        .bind(cause)
        .bind(request_id)
        .bind(now)
        .bind(OffsetDateTime::from(dead_after))
        .bind(Scope::User(user).to_string())
        .bind(directory.map(|id| id.uuid()))
        .execute(self.sql())
        .await?;
        Ok(id)
    }

    /// Notes on the receipt when the commit was answered and when Redis had it.
    pub async fn note_reached(
        &mut self,
        receipt: DeprovisioningId,
        committed_at: Timestamp,
        reached_at: Option<Timestamp>,
    ) -> Result<()> {
        sqlx::query("UPDATE deprovisionings SET committed_at = $2, reached_at = $3 WHERE dep_id = $1")
            .bind(receipt.uuid())
            .bind(OffsetDateTime::from(committed_at))
            .bind(reached_at.map(OffsetDateTime::from))
            .execute(self.sql())
            .await?;
        Ok(())
    }

    /// Keeps what verifiers said.
    pub async fn keep_acks(&mut self, acks: &[FeedAck]) -> Result<()> {
        let org = self.org().uuid();
        let seqs: Vec<i64> = acks.iter().map(|ack| ack.seq).collect();
        let apps: Vec<Uuid> = acks.iter().map(|ack| ack.app.uuid()).collect();
        let first: Vec<OffsetDateTime> = acks.iter().map(|ack| ack.first_at.into()).collect();
        let last: Vec<OffsetDateTime> = acks.iter().map(|ack| ack.last_at.into()).collect();
        sqlx::query(
            "INSERT INTO feed_acks AS kept (org_id, seq, app_id, first_at, last_at)
             SELECT $1, a.seq, a.app_id, a.first_at, a.last_at
               FROM UNNEST($2::bigint[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
                    AS a(seq, app_id, first_at, last_at)
             ON CONFLICT (org_id, seq, app_id)
             DO UPDATE SET first_at = LEAST(kept.first_at, EXCLUDED.first_at),
                           last_at = GREATEST(kept.last_at, EXCLUDED.last_at)",
        )
        .bind(org)
        .bind(seqs)
        .bind(apps)
        .bind(first)
        .bind(last)
        .execute(self.sql())
        .await?;
        Ok(())
    }
}
