//! Revocations. One row kills any number of sessions: what was born with a lower
//! stamp is dead. `seq` is dense per org, taken by updating the org's head row, which whoever
//! revokes locks last and whoever mints never locks.

use crate::{Result, TenantRead, TenantTx};
use model::{
    Timestamp,
    ids::OrgId,
    revocation::{Action, Scope},
};
use time::OffsetDateTime;
use uuid::Uuid;

/// The org's revocations as of one instant: what is born then is stamped with `head`, and what was
/// begun before is judged by `terminated`.
#[derive(Clone, Copy, Debug)]
pub struct AsOf {
    pub head: i64,
    /// The newest `terminate` on any of the scopes asked about; 0 when there is none.
    pub terminated: i64,
}

/// What was written: the org's new head.
#[derive(Clone, Copy, Debug)]
pub struct Revoked {
    pub seq: i64,
    pub action: Action,
}

impl Revoked {
    /// Its item on the jobs' list.
    pub fn item(&self) -> Uuid {
        Uuid::from_u128(u128::try_from(self.seq).unwrap_or_default())
    }
}

/// What a purged org has on the jobs' list goes so many items at a time.
const LET_GO_ROWS: i64 = 10_000;

impl TenantRead {
    /// Both in one plain SELECT: between two, a revocation could be too late for the judgement and
    /// too early for the stamp, and would end nothing.
    pub async fn as_of(&mut self, named: &[String]) -> Result<AsOf> {
        let (head, terminated) = sqlx::query_as(
            "SELECT head,
                    COALESCE((SELECT max(seq) FROM revocations WHERE scope = ANY ($1) AND action = 'terminate'), 0)
               FROM revocation_heads",
        )
        .bind(named)
        .fetch_one(self.sql())
        .await?;
        Ok(AsOf { head, terminated })
    }

    /// Every revocation after `seq`: seq, scope, action.
    pub async fn revocations_after(&mut self, seq: i64, limit: i64) -> Result<Vec<(i64, String, String)>> {
        Ok(sqlx::query_as("SELECT seq, scope, action FROM revocations WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(seq)
            .bind(limit)
            .fetch_all(self.sql())
            .await?)
    }

    /// What waits for Redis: each item of the jobs' list, and which revocation it is. None: all of them.
    pub async fn waiting_for_redis(
        &mut self,
        due: Timestamp,
        limit: i64,
    ) -> Result<Vec<(Uuid, Option<i64>)>> {
        let org = self.org().uuid();
        let items: Vec<Uuid> = sqlx::query_scalar(
            "SELECT item_id FROM pending
              WHERE kind = 'revocation' AND org_id = $1 AND due_at <= $2
              ORDER BY item_id
              LIMIT $3",
        )
        .bind(org)
        .bind(OffsetDateTime::from(due))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(items.into_iter().map(|item| (item, i64::try_from(item.as_u128()).ok())).collect())
    }

    /// These terminations: seq and scope.
    pub async fn terminations(&mut self, seqs: &[i64]) -> Result<Vec<(i64, String)>> {
        Ok(sqlx::query_as("SELECT seq, scope FROM revocations WHERE seq = ANY ($1) AND action = 'terminate'")
            .bind(seqs)
            .fetch_all(self.sql())
            .await?)
    }

    /// What ended sessions after `seq`, for filling Redis again. A reassert ends none.
    pub async fn terminations_after(&mut self, seq: i64, limit: i64) -> Result<Vec<(i64, String)>> {
        Ok(sqlx::query_as("SELECT seq, scope FROM revocations WHERE seq > $1 AND action = 'terminate' ORDER BY seq LIMIT $2")
            .bind(seq)
            .bind(limit)
            .fetch_all(self.sql())
            .await?)
    }
}

impl TenantTx {
    /// Writes one revocation, with those who are told of it. Lock whoever it is about first. What ends sessions stands on the jobs' list
    /// until Redis has it, if there is one; the item's id is its seq.
    pub async fn revoke(&mut self, scope: Scope, action: Action, reason: &'static str) -> Result<Revoked> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let ends = action == Action::Terminate;
        let waits = self.has_redis() && ends;
        // Who is told of one person's or session's end is named now: either may be gone in a moment.
        let (user, session, is_wide) = match scope {
            Scope::User(id) => (Some(id.uuid()), None, false),
            Scope::Session(id) => (None, Some(id.uuid()), false),
            Scope::Org | Scope::App(_) | Scope::Connection(_) => (None, None, true),
            // No person is signed in by it.
            Scope::Service(_) => (None, None, false),
        };
        let seq: i64 = sqlx::query_scalar(
            "WITH next AS (
                 UPDATE revocation_heads SET head = head + 1 RETURNING head
             ), waiting AS (
                 INSERT INTO pending (kind, org_id, item_id, due_at)
                 SELECT 'revocation', $1, lpad(to_hex(head), 32, '0')::uuid, $2 FROM next WHERE $3
             ), told AS (
                 INSERT INTO revocation_feed (org_id, seq, scope, action, at)
                 SELECT $1, head, $4, $5, $2 FROM next
             ), ended AS (
                 SELECT ses_id, user_id, app_id FROM refresh_families WHERE user_id = $7
                  UNION
                 SELECT ses_id, user_id, app_id FROM refresh_families WHERE ses_id = $8
             ), leaving AS (
                 INSERT INTO logouts (org_id, out_id, ses_id, user_id, app_id, seq, next_at, created_at)
                 SELECT $1, gen_random_uuid(), ses_id, user_id, app_id, head, $2, $2
                   FROM next, ended
                  WHERE app_id IN (SELECT app_id FROM apps WHERE backchannel_logout_uri IS NOT NULL)
                 ON CONFLICT DO NOTHING
                 RETURNING out_id
             ), whose AS (
                 SELECT $7::uuid AS user_id, NULL::uuid AS ses_id WHERE $7 IS NOT NULL
                  UNION ALL
                 SELECT user_id, ses_id FROM sessions WHERE ses_id = $8
             ), signalled AS (
                 INSERT INTO stream_events (org_id, out_id, app_id, kind, user_id, ses_id, seq, next_at, created_at)
                 SELECT $1, gen_random_uuid(), app_id, 'session-revoked', user_id, ses_id, head, $2, $2
                   FROM next, whose
                  CROSS JOIN streams_of($1, 'session-revoked') AS app_id
                 ON CONFLICT DO NOTHING
                 RETURNING out_id
             ), due AS (
                 INSERT INTO pending (kind, org_id, item_id, due_at)
                 SELECT 'logout', $1, out_id, $2 FROM leaving
                  UNION ALL
                 SELECT 'stream', $1, out_id, $2 FROM signalled
                  UNION ALL
                 SELECT 'logouts', $1, lpad(to_hex(head), 32, '0')::uuid, $2
                   FROM next
                  WHERE $9
                    AND (EXISTS (SELECT 1 FROM apps WHERE backchannel_logout_uri IS NOT NULL)
                         OR EXISTS (SELECT 1 FROM streams_of($1, 'session-revoked')))
             )
             INSERT INTO revocations (org_id, seq, scope, action, reason, at)
             SELECT $1, head, $4, $5, $6, $2 FROM next
             RETURNING seq",
        )
        .bind(org)
        .bind(now)
        .bind(waits)
        .bind(scope.to_string())
        .bind(action.as_str())
        .bind(reason)
        .bind(user.filter(|_| ends))
        .bind(session.filter(|_| ends))
        .bind(is_wide && ends)
        .fetch_one(self.sql())
        .await?;
        Ok(Revoked { seq, action })
    }

    /// Redis has these: they are off the jobs' list, and their receipts say since when.
    pub async fn settle_told(&mut self, items: &[Uuid], reached_at: Timestamp) -> Result<()> {
        let org = self.org().uuid();
        let seqs: Vec<i64> = items.iter().filter_map(|item| i64::try_from(item.as_u128()).ok()).collect();
        sqlx::query(
            "WITH told AS (
                 DELETE FROM pending WHERE kind = 'revocation' AND org_id = $1 AND item_id = ANY ($2)
             )
             UPDATE deprovisionings SET reached_at = $3 WHERE seq = ANY ($4) AND reached_at IS NULL",
        )
        .bind(org)
        .bind(items)
        .bind(OffsetDateTime::from(reached_at))
        .bind(&seqs)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Takes one item off the jobs' list.
    pub async fn settle(&mut self, kind: &'static str, item: Uuid) -> Result<()> {
        let org = self.org().uuid();
        sqlx::query("DELETE FROM pending WHERE kind = $1 AND org_id = $2 AND item_id = $3")
            .bind(kind)
            .bind(org)
            .bind(item)
            .execute(self.sql())
            .await?;
        Ok(())
    }
}

impl crate::Db {
    /// Orgs in which something of this kind is due: by turns the one that waits longest and the one in which something
    /// fell due last, so that no backlog of many orgs keeps out what has just happened in another. The jobs' only
    /// view across orgs, and it shows ids alone.
    pub async fn orgs_with_due(&self, kind: &'static str, now: Timestamp, limit: i64) -> Result<Vec<OrgId>> {
        let rows: Vec<Uuid> = sqlx::query_scalar(
            "SELECT org_id
               FROM (SELECT org_id,
                            row_number() OVER (ORDER BY min(due_at)) AS from_the_oldest,
                            row_number() OVER (ORDER BY max(due_at) DESC) AS from_the_newest
                       FROM pending WHERE kind = $1 AND due_at <= $2
                      GROUP BY org_id) AS lines
              ORDER BY least(from_the_oldest, from_the_newest), from_the_oldest LIMIT $3",
        )
        .bind(kind)
        .bind(OffsetDateTime::from(now))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(OrgId::from_uuid).collect())
    }

    /// Takes an org that is no more off the jobs' list, so many items at a time.
    pub async fn let_go(&self, kind: &'static str, org: OrgId) -> Result<()> {
        sqlx::query(
            "DELETE FROM pending
              WHERE kind = $1
                AND org_id = $2
                AND item_id IN (SELECT item_id FROM pending WHERE kind = $1 AND org_id = $2 LIMIT $3)",
        )
        .bind(kind)
        .bind(org.uuid())
        .bind(LET_GO_ROWS)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
