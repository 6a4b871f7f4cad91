//! Who is told that a session ended: the apps that were given tokens in it and have a back-channel. What ends
//! one person or session names them in its own statement (`revocations`); what ends more is spelled out here,
//! in bites, by a job. Each is tried until it is told or dead.

use crate::{BITE, Result, TenantRead, TenantTx};
use model::{
    SigningAlg, Timestamp,
    ids::{AppId, EventId, SessionId, UserId},
    revocation::Scope,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use uuid::Uuid;

/// An app that is to be told, claimed for an attempt.
#[derive(Clone, Debug)]
pub struct DueLogout {
    pub id: EventId,
    pub app: AppId,
    pub user: UserId,
    pub session: SessionId,
    pub attempts: i32,
    /// None: the app is gone, or has no back-channel any more.
    pub uri: Option<String>,
    /// By which its tokens are signed.
    pub signing_alg: SigningAlg,
}

/// How it stands with an app that is told of an end: by its back-channel, by its stream, by the feed, or by
/// several of them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AppTold {
    pub client_id: AppId,
    pub backchannel: Option<ToldByBackchannel>,
    pub stream: Option<ToldByStream>,
    pub feed: Option<ToldByFeed>,
}

/// Logout tokens posted to the app.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ToldByBackchannel {
    /// Sessions of which it is told.
    pub sessions: i64,
    /// Those that it has acknowledged, by answering with a success.
    pub acknowledged: i64,
    /// When it had acknowledged all of them; `null` before.
    pub acknowledged_at: Option<Timestamp>,
    /// Why the last attempt failed, where one did.
    pub last_error: Option<String>,
}

/// Security Event Tokens pushed to the app.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ToldByStream {
    /// Events that say so: one of the person, or one a session.
    pub events: i64,
    /// Those that it has acknowledged, by answering with a success.
    pub acknowledged: i64,
    /// When it had acknowledged all of them; `null` before.
    pub acknowledged_at: Option<Timestamp>,
    /// Why the last attempt failed, where one did.
    pub last_error: Option<String>,
}

/// Verifiers of the app that said they know.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct ToldByFeed {
    pub first_acknowledged_at: Timestamp,
    pub last_acknowledged_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct StoredLogout {
    out_id: Uuid,
    app_id: Uuid,
    user_id: Uuid,
    ses_id: Uuid,
    attempts: i32,
    backchannel_logout_uri: Option<String>,
    signing_alg: Option<String>,
}

#[derive(sqlx::FromRow)]
struct StoredTold {
    seq: i64,
    app_id: Uuid,
    sessions: Option<i64>,
    acknowledged: Option<i64>,
    acknowledged_at: Option<OffsetDateTime>,
    last_error: Option<String>,
    events: Option<i64>,
    heard: Option<i64>,
    heard_at: Option<OffsetDateTime>,
    stream_error: Option<String>,
    first_at: Option<OffsetDateTime>,
    last_at: Option<OffsetDateTime>,
}

impl TenantRead {
    /// Which apps are told of these revocations or said that they know, by seq.
    pub async fn told_of(&mut self, seqs: &[i64]) -> Result<BTreeMap<i64, Vec<AppTold>>> {
        let rows: Vec<StoredTold> = sqlx::query_as(
            "WITH posted AS (
                 SELECT seq, app_id, count(*) AS sessions, count(*) FILTER (WHERE state = 'told') AS acknowledged,
                        CASE WHEN bool_and(state = 'told') THEN max(done_at) END AS acknowledged_at,
                        max(last_error) FILTER (WHERE state <> 'told') AS last_error
                   FROM logouts
                  WHERE seq = ANY ($1)
                  GROUP BY seq, app_id
             ), pushed AS (
                 SELECT seq, app_id, count(*) AS events, count(*) FILTER (WHERE state = 'told') AS heard,
                        CASE WHEN bool_and(state = 'told') THEN max(done_at) END AS heard_at,
                        max(last_error) FILTER (WHERE state <> 'told') AS stream_error
                   FROM stream_events
                  WHERE seq = ANY ($1)
                  GROUP BY seq, app_id
             ), followed AS (
                 SELECT seq, app_id, first_at, last_at FROM feed_acks WHERE seq = ANY ($1)
             )
             SELECT seq, app_id, sessions, acknowledged, acknowledged_at, last_error, events, heard, heard_at,
                    stream_error, first_at, last_at
               FROM posted
               FULL JOIN pushed USING (seq, app_id)
               FULL JOIN followed USING (seq, app_id)
              ORDER BY seq, app_id",
        )
        .bind(seqs)
        .fetch_all(self.sql())
        .await?;
        let mut told: BTreeMap<i64, Vec<AppTold>> = BTreeMap::new();
        for row in rows {
            let counts = row.sessions.zip(row.acknowledged);
            let events = row.events.zip(row.heard);
            let times = row.first_at.zip(row.last_at);
            told.entry(row.seq).or_default().push(AppTold {
                client_id: AppId::from_uuid(row.app_id),
                backchannel: counts.map(|(sessions, acknowledged)| ToldByBackchannel {
                    sessions,
                    acknowledged,
                    acknowledged_at: row.acknowledged_at.map(Timestamp::from),
                    last_error: row.last_error,
                }),
                stream: events.map(|(events, acknowledged)| ToldByStream {
                    events,
                    acknowledged,
                    acknowledged_at: row.heard_at.map(Timestamp::from),
                    last_error: row.stream_error,
                }),
                feed: times.map(|(first, last)| ToldByFeed {
                    first_acknowledged_at: first.into(),
                    last_acknowledged_at: last.into(),
                }),
            });
        }
        Ok(told)
    }
}

impl TenantTx {
    /// Takes one revocation whose apps are not spelled out yet; another node passes it over meanwhile.
    pub async fn take_unspelled(&mut self) -> Result<Option<i64>> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let item: Option<Uuid> = sqlx::query_scalar(
            "SELECT item_id FROM pending
              WHERE kind = 'logouts' AND org_id = $1 AND due_at <= $2
              ORDER BY item_id
              LIMIT 1
                FOR UPDATE SKIP LOCKED",
        )
        .bind(org)
        .bind(now)
        .fetch_optional(self.sql())
        .await?;
        Ok(item.and_then(|item| i64::try_from(item.as_u128()).ok()))
    }

    /// Names the apps of one bite of the sessions that this revocation ends; answers whether there may be more.
    pub async fn spell_out(&mut self, seq: i64, about: &Scope) -> Result<bool> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let (app, connection) = match about {
            Scope::Org | Scope::User(_) | Scope::Session(_) | Scope::Service(_) => (None, None),
            Scope::App(id) => (Some(id.uuid()), None),
            Scope::Connection(id) => (None, Some(id.uuid())),
        };
        let named: i64 = sqlx::query_scalar(
            "WITH ended AS (
                 SELECT DISTINCT f.ses_id, f.user_id, f.app_id
                   FROM refresh_families f
                   JOIN apps a USING (app_id)
                   JOIN sessions s USING (org_id, ses_id)
                  WHERE a.backchannel_logout_uri IS NOT NULL
                    AND f.rs < $2
                    AND ($4::uuid IS NULL OR f.app_id = $4)
                    AND ($5::uuid IS NULL OR s.con_id = $5)
                    AND NOT EXISTS (SELECT 1 FROM logouts l
                                     WHERE l.org_id = f.org_id AND l.ses_id = f.ses_id AND l.app_id = f.app_id)
                  LIMIT $6
             ), told AS (
                 INSERT INTO logouts (org_id, out_id, ses_id, user_id, app_id, seq, next_at, created_at)
                 SELECT $1, gen_random_uuid(), ses_id, user_id, app_id, $2, $3, $3 FROM ended
                 ON CONFLICT DO NOTHING
                 RETURNING out_id
             ), due AS (
                 INSERT INTO pending (kind, org_id, item_id, due_at)
                 SELECT 'logout', $1, out_id, $3 FROM told
             )
             SELECT count(*) FROM ended",
        )
        .bind(org)
        .bind(seq)
        .bind(now)
        .bind(app)
        .bind(connection)
        .bind(BITE)
        .fetch_one(self.sql())
        .await?;
        // Found, not written: somebody else may have named one of them meanwhile.
        Ok(named == BITE)
    }

    /// All apps of this revocation are named.
    pub async fn settle_spelled(&mut self, seq: i64) -> Result<()> {
        self.settle("logouts", Uuid::from_u128(u128::try_from(seq).unwrap_or_default())).await
    }

    /// Those that are due, claimed until `until`: another node passes them over meanwhile.
    pub async fn claim_logouts(&mut self, until: Timestamp, limit: i64) -> Result<Vec<DueLogout>> {
        let now = OffsetDateTime::from(self.now());
        let claimed: Vec<StoredLogout> = sqlx::query_as(
            "WITH due AS (
                 SELECT out_id FROM logouts
                  WHERE state = 'waiting' AND next_at <= $1
                  ORDER BY next_at
                  LIMIT $3
                    FOR UPDATE SKIP LOCKED
             ), later AS (
                 UPDATE pending p SET due_at = $2 FROM due
                  WHERE p.kind = 'logout' AND p.org_id = (SELECT current_org()) AND p.item_id = due.out_id
             )
             UPDATE logouts l SET next_at = $2, attempts = attempts + 1
               FROM due
              WHERE l.out_id = due.out_id
             RETURNING l.out_id, app_id, user_id, ses_id, attempts,
                       (SELECT backchannel_logout_uri FROM apps a WHERE a.app_id = l.app_id),
                       (SELECT signing_alg FROM apps a WHERE a.app_id = l.app_id)",
        )
        .bind(now)
        .bind(OffsetDateTime::from(until))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        let due = |row: StoredLogout| DueLogout {
            id: EventId::from_uuid(row.out_id),
            app: AppId::from_uuid(row.app_id),
            user: UserId::from_uuid(row.user_id),
            session: SessionId::from_uuid(row.ses_id),
            attempts: row.attempts,
            uri: row.backchannel_logout_uri,
            // An app that is gone is told nothing.
            signing_alg: row.signing_alg.as_deref().and_then(SigningAlg::parse).unwrap_or(SigningAlg::Es256),
        };
        Ok(claimed.into_iter().map(due).collect())
    }

    /// How an attempt went: told, to be tried again at `next`, or dead.
    pub async fn note_logout(
        &mut self,
        id: EventId,
        state: &'static str,
        next: Timestamp,
        (status, error): (Option<i32>, Option<&str>),
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "WITH noted AS (
                 UPDATE logouts
                    SET state = $3, next_at = $4, last_status = $5, last_error = $6,
                        done_at = CASE WHEN $3 = 'waiting' THEN NULL ELSE $7::timestamptz END
                  WHERE out_id = $2
             ), later AS (
                 UPDATE pending SET due_at = $4
                  WHERE kind = 'logout' AND org_id = $1 AND item_id = $2 AND $3 = 'waiting'
             )
             DELETE FROM pending WHERE kind = 'logout' AND org_id = $1 AND item_id = $2 AND $3 <> 'waiting'",
        )
        .bind(org)
        .bind(id.uuid())
        .bind(state)
        .bind(OffsetDateTime::from(next))
        .bind(status)
        .bind(error)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }
}
