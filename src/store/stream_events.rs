//! What apps are told on their streams: written in the transaction that ends, deactivates or reactivates
//! somebody, for every app that serves the org and asked for it. What ends many is spelled out by a job, in
//! bites. Each is tried until it is told or dead; of a paused stream, later.

use crate::{BITE, PlatformAct, Result, TenantTx, platform_record::note};
use model::{
    Timestamp,
    ids::{AppId, EventId, OrgId, SessionId, StreamId, UserId},
    revocation::Scope,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// CAEP session-revoked.
pub const SESSION_REVOKED: &str = "session-revoked";
/// RISC account-disabled and account-enabled.
pub const ACCOUNT_DISABLED: &str = "account-disabled";
pub const ACCOUNT_ENABLED: &str = "account-enabled";
/// Of the stream itself.
pub const VERIFICATION: &str = "verification";
pub const STREAM_UPDATED: &str = "stream-updated";

/// What waits on a paused stream is looked at again this soon.
pub const PAUSED_SECS: i64 = 5;

/// When what waits is looked at next. One beat of each org's own: whatever comes up at other times wakes it more often.
fn next_beat(org: OrgId, now: Timestamp) -> Timestamp {
    let beat = PAUSED_SECS * 1_000_000;
    let own = i64::try_from(org.uuid().as_u128() % u128::from(beat.unsigned_abs())).unwrap_or(0);
    Timestamp::from_micros(now.micros() + beat - (now.micros() - own).rem_euclid(beat))
}

/// Of a paused stream wait so many events an org, and for so long. Whoever was away for longer has missed what no
/// queue can mend, and asks.
pub const HELD_MAX: i64 = 10_000;
pub const HELD_SECS_MAX: i64 = 7 * 24 * 3_600;

/// One event to one app, claimed for an attempt.
#[derive(Clone, Debug)]
pub struct DueEvent {
    pub id: EventId,
    pub app: AppId,
    pub kind: String,
    pub user: Option<UserId>,
    pub session: Option<SessionId>,
    /// Why, where a revocation is the cause.
    pub reason: Option<String>,
    /// The verification's `state`, or the stream's new status.
    pub said: Option<String>,
    pub attempts: i32,
    pub created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct StoredEvent {
    out_id: Uuid,
    app_id: Uuid,
    kind: String,
    user_id: Option<Uuid>,
    ses_id: Option<Uuid>,
    reason: Option<String>,
    said: Option<String>,
    attempts: i32,
    created_at: OffsetDateTime,
}

impl TenantTx {
    /// An account's turn, to everybody who asked for it.
    pub(crate) async fn announce(&mut self, kind: &'static str, users: &[Uuid]) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "WITH told AS (
                 INSERT INTO stream_events (org_id, out_id, app_id, kind, user_id, next_at, created_at)
                 SELECT $1, gen_random_uuid(), app_id, $2, user_id, $4, $4
                   FROM streams_of($1, $2) AS app_id
                  CROSS JOIN UNNEST($3::uuid[]) AS user_id
                 RETURNING out_id
             )
             INSERT INTO pending (kind, org_id, item_id, due_at)
             SELECT 'stream', $1, out_id, $4 FROM told",
        )
        .bind(org)
        .bind(kind)
        .bind(users)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Something of the stream itself: on the platform's shelf.
    pub async fn tell_stream(
        &mut self,
        id: EventId,
        app: AppId,
        kind: &'static str,
        said: Option<&str>,
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "WITH told AS (
                 INSERT INTO stream_events (org_id, out_id, app_id, kind, said, next_at, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $6)
             )
             INSERT INTO pending (kind, org_id, item_id, due_at) VALUES ('stream', $1, $2, $6)",
        )
        .bind(org)
        .bind(id.uuid())
        .bind(app.uuid())
        .bind(kind)
        .bind(said)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Names one bite of the sessions that this revocation ends; answers whether there may be more.
    pub async fn spell_out_events(&mut self, seq: i64, about: &Scope) -> Result<bool> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let connection = match about {
            Scope::Connection(id) => Some(id.uuid()),
            Scope::Org => None,
            // An app's end, or a service account's, is no session's.
            Scope::App(_) | Scope::Service(_) | Scope::User(_) | Scope::Session(_) => return Ok(false),
        };
        let named: i64 = sqlx::query_scalar(
            "WITH ended AS (
                 SELECT s.ses_id, s.user_id, a.app_id
                   FROM sessions s
                  CROSS JOIN streams_of($1, 'session-revoked') AS a(app_id)
                  WHERE s.rs < $2
                    AND s.ended_at IS NULL
                    AND s.expires_at > $3
                    AND ($4::uuid IS NULL OR s.con_id = $4)
                    AND NOT EXISTS (SELECT 1 FROM stream_events e
                                     WHERE e.org_id = s.org_id AND e.ses_id = s.ses_id AND e.app_id = a.app_id)
                  LIMIT $5
             ), told AS (
                 INSERT INTO stream_events (org_id, out_id, app_id, kind, user_id, ses_id, seq, next_at, created_at)
                 SELECT $1, gen_random_uuid(), app_id, 'session-revoked', user_id, ses_id, $2, $3, $3 FROM ended
                 ON CONFLICT DO NOTHING
                 RETURNING out_id
             ), due AS (
                 INSERT INTO pending (kind, org_id, item_id, due_at)
                 SELECT 'stream', $1, out_id, $3 FROM told
             )
             SELECT count(*) FROM ended",
        )
        .bind(org)
        .bind(seq)
        .bind(now)
        .bind(connection)
        .bind(BITE)
        .fetch_one(self.sql())
        .await?;
        Ok(named == BITE)
    }

    /// Those that are due, claimed until `until`: another node passes them over meanwhile. Where there are more than
    /// `limit`, the org comes up again at once. What waits on a paused stream goes on waiting: of many, some come up
    /// at each beat, about as many as one claim takes, one of each stream among them, and with them the org. What
    /// another node has in hand comes up as that one says. (Arrays, not joins: a plan that was kept from when nothing
    /// waited reads these tables once.)
    pub async fn claim_events(&mut self, until: Timestamp, limit: i64) -> Result<Vec<DueEvent>> {
        let now = OffsetDateTime::from(self.now());
        let claimed: Vec<StoredEvent> = sqlx::query_as(
            "WITH paused AS (
                 SELECT app_id FROM streams WHERE status = 'paused'
             ), waits AS (
                 SELECT out_id, row_number() OVER (PARTITION BY app_id) AS n
                   FROM stream_events
                  WHERE state = 'waiting'
                    AND kind <> 'stream-updated'
                    AND app_id IN (SELECT app_id FROM paused)
                    AND out_id = ANY (ARRAY(
                        SELECT item_id FROM pending
                         WHERE kind = 'stream' AND org_id = (SELECT current_org()) AND due_at <= $1
                         LIMIT 1000))
             ), held AS (
                 UPDATE pending
                    SET due_at = $4 + CASE
                            WHEN item_id = ANY (ARRAY(SELECT out_id FROM waits WHERE n = 1)) THEN '0'
                            ELSE $5 * floor(random() * (1 +
                                 (SELECT count(*) FROM stream_events
                                   WHERE state = 'waiting' AND app_id IN (SELECT app_id FROM paused)) / $3))
                        END
                  WHERE kind = 'stream'
                    AND org_id = (SELECT current_org())
                    AND item_id = ANY (ARRAY(
                        SELECT item_id FROM pending
                         WHERE kind = 'stream'
                           AND org_id = (SELECT current_org())
                           AND due_at <= $1
                           AND item_id = ANY (ARRAY(SELECT out_id FROM waits))
                           FOR UPDATE SKIP LOCKED))
             ), due AS (
                 SELECT out_id, next_at FROM stream_events
                  WHERE state = 'waiting'
                    AND next_at <= $1
                    AND (kind = 'stream-updated' OR app_id NOT IN (SELECT app_id FROM paused))
                  ORDER BY next_at
                  LIMIT $3 + 1
                    FOR UPDATE SKIP LOCKED
             ), line AS (
                 SELECT out_id, row_number() OVER (ORDER BY next_at) <= $3 AS is_claimed FROM due
             ), later AS (
                 UPDATE pending p SET due_at = CASE WHEN is_claimed THEN $2 ELSE $1 END FROM line
                  WHERE p.kind = 'stream' AND p.org_id = (SELECT current_org()) AND p.item_id = line.out_id
             )
             UPDATE stream_events e SET next_at = $2, attempts = attempts + 1
               FROM line
              WHERE is_claimed AND e.out_id = line.out_id
             RETURNING e.out_id, app_id, kind, user_id, ses_id, said, attempts, created_at,
                       (SELECT reason FROM revocations r WHERE r.seq = e.seq) AS reason",
        )
        .bind(now)
        .bind(OffsetDateTime::from(until))
        .bind(limit)
        .bind(OffsetDateTime::from(next_beat(self.org(), self.now())))
        .bind(Duration::seconds(PAUSED_SECS))
        .fetch_all(self.sql())
        .await?;
        let due = |row: StoredEvent| DueEvent {
            id: EventId::from_uuid(row.out_id),
            app: AppId::from_uuid(row.app_id),
            kind: row.kind,
            user: row.user_id.map(UserId::from_uuid),
            session: row.ses_id.map(SessionId::from_uuid),
            reason: row.reason,
            said: row.said,
            attempts: row.attempts,
            created_at: row.created_at.into(),
        };
        Ok(claimed.into_iter().map(due).collect())
    }

    /// Drops what waits on paused streams beyond `HELD_MAX` or `HELD_SECS_MAX`, the oldest first and a bite at a time;
    /// answers how many, and of which streams something is dropped for the first time in this pause: those say so
    /// from now on, and the platform's record does. Of what stays one event of each comes up at the next beat.
    pub async fn drop_held(&mut self, act: PlatformAct<'_>) -> Result<(i64, Vec<StreamId>)> {
        let now = OffsetDateTime::from(self.now());
        let (dropped, first): (i64, Vec<Uuid>) = sqlx::query_as(
            "WITH over AS (
                 SELECT e.out_id, s.app_id
                   FROM streams s
                  CROSS JOIN LATERAL (
                        SELECT out_id FROM (
                            (SELECT out_id FROM stream_events
                              WHERE app_id = s.app_id AND state = 'waiting' AND kind <> 'stream-updated'
                              ORDER BY created_at DESC, out_id DESC
                             OFFSET $2 LIMIT $4)
                              UNION
                            (SELECT out_id FROM stream_events
                              WHERE app_id = s.app_id AND state = 'waiting' AND kind <> 'stream-updated'
                                AND created_at < $3
                              LIMIT $4)) w
                        ) e
                  WHERE s.status = 'paused'
                  LIMIT $4
             ), dropped AS (
                 UPDATE stream_events e
                    SET state = 'dead', done_at = $1, last_error = 'dropped: it waited on a paused stream'
                   FROM over
                  WHERE e.out_id = over.out_id AND e.state = 'waiting'
                 RETURNING e.out_id
             ), done AS (
                 DELETE FROM pending p USING dropped
                  WHERE p.kind = 'stream' AND p.org_id = (SELECT current_org()) AND p.item_id = dropped.out_id
             ), wakes AS (
                 UPDATE pending SET due_at = least(due_at, $5)
                  WHERE kind = 'stream'
                    AND org_id = (SELECT current_org())
                    AND item_id = ANY (ARRAY(
                        SELECT (SELECT w.out_id FROM stream_events w
                                 WHERE w.app_id = bitten.app_id
                                   AND w.state = 'waiting'
                                   AND w.kind <> 'stream-updated'
                                   AND w.out_id NOT IN (SELECT out_id FROM over)
                                 ORDER BY w.created_at DESC
                                 LIMIT 1)
                          FROM (SELECT DISTINCT app_id FROM over) AS bitten))
             ), noted AS (
                 UPDATE streams SET dropped_at = $1
                  WHERE dropped_at IS NULL AND app_id IN (SELECT app_id FROM over)
                 RETURNING str_id
             )
             SELECT (SELECT count(*) FROM dropped), ARRAY(SELECT str_id FROM noted)",
        )
        .bind(now)
        .bind(HELD_MAX)
        .bind(OffsetDateTime::from(self.now().minus_secs(HELD_SECS_MAX)))
        .bind(BITE)
        .bind(OffsetDateTime::from(next_beat(self.org(), self.now())))
        .fetch_one(self.sql())
        .await?;
        let first: Vec<StreamId> = first.into_iter().map(StreamId::from_uuid).collect();
        let chance = self.chance();
        for id in &first {
            note(self.sql(), chance.as_ref(), act, "stream.events_dropped", &id.to_string()).await?;
        }
        Ok((dropped, first))
    }

    /// It was not sent, and shall be at `next`: no attempt of it.
    pub async fn postpone_event(&mut self, id: EventId, next: Timestamp) -> Result<()> {
        let org = self.org().uuid();
        sqlx::query(
            "WITH later AS (
                 UPDATE stream_events SET next_at = $3, attempts = attempts - 1
                  WHERE out_id = $2 AND state = 'waiting'
             )
             UPDATE pending SET due_at = $3 WHERE kind = 'stream' AND org_id = $1 AND item_id = $2",
        )
        .bind(org)
        .bind(id.uuid())
        .bind(OffsetDateTime::from(next))
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// How an attempt went: told, to be tried again at `next`, or dead.
    pub async fn note_event(
        &mut self,
        id: EventId,
        state: &'static str,
        next: Timestamp,
        (status, error): (Option<i32>, Option<&str>),
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "WITH noted AS (
                 UPDATE stream_events
                    SET state = $3, next_at = $4, last_status = $5, last_error = $6,
                        done_at = CASE WHEN $3 = 'waiting' THEN NULL ELSE $7::timestamptz END
                  WHERE out_id = $2
             ), later AS (
                 UPDATE pending SET due_at = $4
                  WHERE kind = 'stream' AND org_id = $1 AND item_id = $2 AND $3 = 'waiting'
             )
             DELETE FROM pending WHERE kind = 'stream' AND org_id = $1 AND item_id = $2 AND $3 <> 'waiting'",
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
