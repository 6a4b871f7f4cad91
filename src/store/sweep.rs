//! What is over, taken away in small bites: at most `BITE` rows a transaction, so that nobody waits
//! for a sweep; what somebody has locked is passed over. Finds the old by the ids' own order (UUID v7
//! sorts by birth) or by an index that is there already: no index exists for the sweep that a sign-in
//! would have to feed.

use crate::{Result, TenantTx, request_log_write::weight};
use model::{Timestamp, count::Series, ids::EventId};
use time::OffsetDateTime;

/// Rows that one transaction takes away: with their cascades a few milliseconds.
pub const BITE: i64 = 200;

/// Rows taken away, by table.
pub static SWEPT: Series<1> = Series::new();

/// A kind of thing whose time ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Single-use keys whose assertion can no longer be replayed.
    FirstUses,
    /// One-time codes, redeemed or not.
    Codes,
    /// Answers kept for a repeated `Idempotency-Key`.
    Answers,
    /// Refresh families that ended, or whose session did.
    Families,
    /// Sessions that ended; after their codes and families, so that no cascade is larger than a bite.
    Sessions,
    /// Webhook deliveries that arrived.
    Delivered,
    /// Webhook deliveries given up.
    Dead,
    /// Counted refusals of strangers.
    Refusals,
    /// Access tokens that directories fetched.
    ScimAccess,
    /// Apps that were told of an end, or given up.
    Logouts,
    /// Events that were told on a stream, or given up.
    StreamEvents,
    /// What verifiers said they know of.
    FeedAcks,
    /// What directories asked; at once where the directory is gone.
    Requests,
    /// Client assertions that can no longer be replayed: the platform's own.
    Assertions,
}

impl Shelf {
    pub const ALL: [Self; 14] = [
        Self::FirstUses,
        Self::Codes,
        Self::Answers,
        Self::Families,
        Self::Sessions,
        Self::Delivered,
        Self::Dead,
        Self::Refusals,
        Self::ScimAccess,
        Self::Logouts,
        Self::StreamEvents,
        Self::FeedAcks,
        Self::Requests,
        Self::Assertions,
    ];

    /// Is it of no org, and swept in the platform's own turn?
    pub const fn is_platforms(self) -> bool {
        matches!(self, Self::Assertions)
    }

    pub const fn table(self) -> &'static str {
        match self {
            Self::FirstUses => "first_uses",
            Self::Codes => "codes",
            Self::Answers => "idempotent_answers",
            Self::Families => "refresh_families",
            Self::Sessions => "sessions",
            Self::Delivered => "deliveries_delivered",
            Self::Dead => "deliveries_dead",
            Self::Refusals => "refusals",
            Self::ScimAccess => "scim_access",
            Self::Logouts => "logouts",
            Self::StreamEvents => "stream_events",
            Self::FeedAcks => "feed_acks",
            Self::Requests => "scim_requests",
            Self::Assertions => "app_assertions",
        }
    }

    /// $1 the instant before which a thing has ended, $2 the rows, and where `by_birth`, $3 the least id
    /// born at that instant: what ended before it was born before it.
    const fn sql(self) -> &'static str {
        match self {
            Self::FirstUses => {
                "DELETE FROM first_uses
                  WHERE single_use_key IN (SELECT single_use_key FROM first_uses WHERE until <= $1
                                            ORDER BY until LIMIT $2)"
            }
            Self::Assertions => {
                "DELETE FROM app_assertions
                  WHERE (app_id, digest) IN (SELECT app_id, digest FROM app_assertions WHERE until <= $1
                                              ORDER BY until LIMIT $2)"
            }
            Self::Codes => {
                "DELETE FROM codes
                  WHERE digest IN (SELECT digest FROM codes WHERE ses_id < $3 AND expires_at <= $1
                                    ORDER BY ses_id LIMIT $2 FOR UPDATE SKIP LOCKED)"
            }
            Self::Answers => {
                "DELETE FROM idempotent_answers
                  WHERE (caller, request_key) IN (SELECT caller, request_key FROM idempotent_answers
                                                   WHERE until <= $1 ORDER BY until LIMIT $2)"
            }
            Self::Families => {
                "DELETE FROM refresh_families
                  WHERE fam_id IN (SELECT f.fam_id
                                     FROM refresh_families f
                                     JOIN sessions s USING (org_id, ses_id)
                                    WHERE f.fam_id < $3
                                      AND (f.expires_at <= $1 OR f.ended_at <= $1
                                           OR s.expires_at <= $1 OR s.ended_at <= $1)
                                    ORDER BY f.fam_id LIMIT $2 FOR UPDATE OF f SKIP LOCKED)"
            }
            Self::Sessions => {
                "DELETE FROM sessions
                  WHERE ses_id IN (SELECT s.ses_id
                                     FROM sessions s
                                    WHERE s.ses_id < $3
                                      AND (s.expires_at <= $1 OR s.ended_at <= $1)
                                      AND NOT EXISTS (SELECT 1 FROM codes c
                                                       WHERE c.org_id = s.org_id AND c.ses_id = s.ses_id)
                                      AND NOT EXISTS (SELECT 1 FROM refresh_families f
                                                       WHERE f.org_id = s.org_id AND f.ses_id = s.ses_id)
                                    ORDER BY s.ses_id LIMIT $2 FOR UPDATE OF s SKIP LOCKED)"
            }
            Self::Delivered => {
                "DELETE FROM deliveries
                  WHERE del_id IN (SELECT del_id FROM deliveries
                                    WHERE state = 'delivered' AND del_id < $3 AND done_at <= $1
                                    ORDER BY del_id LIMIT $2)"
            }
            Self::Dead => {
                "DELETE FROM deliveries
                  WHERE del_id IN (SELECT del_id FROM deliveries
                                    WHERE state = 'dead' AND del_id < $3 AND done_at <= $1
                                    ORDER BY del_id LIMIT $2)"
            }
            Self::Refusals => {
                "DELETE FROM refusals
                  WHERE (minute, con_id, code) IN (SELECT minute, con_id, code FROM refusals
                                                    WHERE minute <= $1 ORDER BY minute LIMIT $2)"
            }
            Self::ScimAccess => {
                "DELETE FROM credentials
                  WHERE key_id IN (SELECT key_id FROM credentials
                                    WHERE kind = 'scim_access' AND key_id < $3
                                      AND (expires_at <= $1 OR revoked_at <= $1)
                                    ORDER BY key_id LIMIT $2)"
            }
            Self::Logouts => {
                "DELETE FROM logouts
                  WHERE out_id IN (SELECT out_id FROM logouts WHERE done_at <= $1 ORDER BY done_at LIMIT $2)"
            }
            Self::StreamEvents => {
                "DELETE FROM stream_events
                  WHERE out_id IN (SELECT out_id FROM stream_events WHERE done_at <= $1 ORDER BY done_at LIMIT $2)"
            }
            Self::FeedAcks => {
                "DELETE FROM feed_acks
                  WHERE (seq, app_id) IN (SELECT seq, app_id FROM feed_acks WHERE first_at <= $1
                                           ORDER BY first_at LIMIT $2)"
            }
            // Directory by directory, each found by one look into the key: it has no order across them.
            Self::Requests => concat!(
                "WITH RECURSIVE logs AS (
                     (SELECT dir_id FROM scim_requests ORDER BY dir_id LIMIT 1)
                      UNION ALL
                     SELECT (SELECT dir_id FROM scim_requests WHERE dir_id > logs.dir_id ORDER BY dir_id LIMIT 1)
                       FROM logs
                      WHERE dir_id IS NOT NULL
                 ), ends AS (
                     SELECT l.dir_id,
                            CASE WHEN d.dir_id IS NULL THEN 'infinity' ELSE $1::timestamptz END AS until,
                            CASE WHEN d.dir_id IS NULL THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                                 ELSE $3::uuid END AS until_id
                       FROM logs l
                       LEFT JOIN directories d USING (dir_id)
                      WHERE l.dir_id IS NOT NULL
                 ), gone AS MATERIALIZED (
                     SELECT r.dir_id, r.req_id, r.users, r.bytes
                       FROM ends e
                      CROSS JOIN LATERAL (SELECT dir_id, req_id, users, ",
                    weight!(),
                    " AS bytes
                                            FROM scim_requests
                                           WHERE dir_id = e.dir_id AND req_id < e.until_id AND at <= e.until
                                           ORDER BY req_id LIMIT $2) r
                      LIMIT $2
                 ), unnamed AS (
                     DELETE FROM scim_request_people p
                      USING (SELECT dir_id, req_id, UNNEST(users) AS subject FROM gone) g
                      WHERE (p.dir_id, p.subject, p.req_id) = (g.dir_id, g.subject, g.req_id)
                 ), sums AS (
                     SELECT dir_id, rows FROM scim_request_sums
                      WHERE dir_id IN (SELECT dir_id FROM gone)
                      ORDER BY dir_id
                      FOR UPDATE
                 ), less AS (
                     UPDATE scim_request_sums s
                        SET rows = GREATEST(0, s.rows - g.rows), bytes = GREATEST(0, s.bytes - g.bytes)
                       FROM (SELECT dir_id, count(*) AS rows, sum(bytes) AS bytes FROM gone GROUP BY dir_id) g
                       JOIN sums USING (dir_id)
                      WHERE s.dir_id = g.dir_id
                 )
                 DELETE FROM scim_requests r
                  USING gone g
                  WHERE (r.dir_id, r.req_id) = (g.dir_id, g.req_id)"
            ),
        }
    }

    const fn by_birth(self) -> bool {
        match self {
            Self::FirstUses
            | Self::Answers
            | Self::Refusals
            | Self::Logouts
            | Self::StreamEvents
            | Self::FeedAcks
            | Self::Assertions => false,
            Self::Codes
            | Self::Families
            | Self::Sessions
            | Self::Delivered
            | Self::Dead
            | Self::ScimAccess
            | Self::Requests => true,
        }
    }
}

impl TenantTx {
    /// Takes this org's turn, and sets the next one; false when another node has taken it.
    pub async fn take_turn(&mut self, next: Timestamp) -> Result<bool> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let taken = sqlx::query(
            "UPDATE pending SET due_at = $3 WHERE kind = 'sweep' AND org_id = $1 AND due_at <= $2",
        )
        .bind(org)
        .bind(now)
        .bind(OffsetDateTime::from(next))
        .execute(self.sql())
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Says when the org's next turn is.
    pub async fn set_turn(&mut self, next: Timestamp) -> Result<()> {
        let org = self.org().uuid();
        sqlx::query("UPDATE pending SET due_at = $2 WHERE kind = 'sweep' AND org_id = $1")
            .bind(org)
            .bind(OffsetDateTime::from(next))
            .execute(self.sql())
            .await?;
        Ok(())
    }

    /// Takes away at most `BITE` rows that ended at or before `ended`; answers how many.
    pub async fn sweep(&mut self, shelf: Shelf, ended: Timestamp) -> Result<i64> {
        let mut query = sqlx::query(shelf.sql()).bind(OffsetDateTime::from(ended)).bind(BITE);
        if shelf.by_birth() {
            query = query.bind(EventId::earliest(ended).uuid());
        }
        let gone = query.execute(self.sql()).await?.rows_affected();
        Ok(i64::try_from(gone).unwrap_or(BITE))
    }

    /// Puts a new org into the order of the sweep.
    pub(crate) async fn join_sweep(&mut self) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query("INSERT INTO pending (kind, org_id, item_id, due_at) VALUES ('sweep', $1, $1, $2)")
            .bind(org)
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(())
    }
}
