//! The feed's ledger: every org's revocations in one order, as opaque ids. The one table that is read
//! across orgs for somebody outside; who may see which rows is the story's to say (`broker::feed`).
//! A revocation writes its row itself (`revocations`); here it gets its position, is read, and forgotten.

use crate::{App, Db, Result, Serves};
use model::{
    Timestamp,
    ids::{AppId, OrgId},
};
use time::OffsetDateTime;
use uuid::Uuid;

/// Rows that get their positions, are read, or go, in one statement.
pub const FEED_ROWS: i64 = 1_000;

/// One revocation at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    pub pos: i64,
    pub org: OrgId,
    pub seq: i64,
    pub scope: String,
    pub action: String,
}

/// How the feed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedHead {
    /// Of this database: a restored one has another.
    pub life: Uuid,
    /// The newest position given; 0 before the first.
    pub pos: i64,
    /// Committed revocations wait for theirs.
    pub is_behind: bool,
}

#[derive(sqlx::FromRow)]
struct StoredRow {
    pos: i64,
    org_id: Uuid,
    seq: i64,
    scope: String,
    action: String,
}

impl Db {
    pub async fn feed_head(&self) -> Result<FeedHead> {
        let (life, pos, is_behind) = sqlx::query_as(
            "SELECT life, pos, EXISTS (SELECT 1 FROM revocation_feed WHERE pos IS NULL) FROM revocation_feed_head",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(FeedHead { life, pos, is_behind })
    }

    /// Gives what is committed its positions, an org's in the order of their seq. Whoever holds the head
    /// goes first; the statement after it sees what was committed meanwhile.
    pub async fn place_in_feed(&self) -> Result<()> {
        let mut lease = self.begin("BEGIN".to_owned()).await?;
        sqlx::query("SELECT 1 FROM revocation_feed_head FOR UPDATE").execute(&mut *lease).await?;
        sqlx::query(
            "WITH unplaced AS (
                 SELECT org_id, seq, row_number() OVER (ORDER BY org_id, seq) AS n
                   FROM (SELECT org_id, seq FROM revocation_feed WHERE pos IS NULL ORDER BY org_id, seq LIMIT $1) u
             ), placed AS (
                 UPDATE revocation_feed f
                    SET pos = (SELECT pos FROM revocation_feed_head) + u.n
                   FROM unplaced u
                  WHERE f.org_id = u.org_id AND f.seq = u.seq
                 RETURNING 1
             )
             UPDATE revocation_feed_head SET pos = pos + (SELECT count(*) FROM placed)",
        )
        .bind(FEED_ROWS)
        .execute(&mut *lease)
        .await?;
        lease.commit().await
    }

    /// The rows after `pos`, `FEED_ROWS` of them at most.
    pub async fn feed_after(&self, pos: i64) -> Result<Vec<FeedRow>> {
        let rows: Vec<StoredRow> = sqlx::query_as(
            "SELECT pos, org_id, seq, scope, action
               FROM revocation_feed
              WHERE pos > $1
              ORDER BY pos
              LIMIT $2",
        )
        .bind(pos)
        .bind(FEED_ROWS)
        .fetch_all(&self.pool)
        .await?;
        let row = |row: StoredRow| FeedRow {
            pos: row.pos,
            org: OrgId::from_uuid(row.org_id),
            seq: row.seq,
            scope: row.scope,
            action: row.action,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// The place just before the oldest row that is kept; the head's when none is.
    pub async fn feed_begins(&self) -> Result<i64> {
        Ok(sqlx::query_scalar(
            "SELECT COALESCE((SELECT min(pos) - 1 FROM revocation_feed), h.pos) FROM revocation_feed_head h",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Takes away the oldest, of before `at`; answers how many went.
    pub async fn forget_in_feed(&self, at: Timestamp) -> Result<i64> {
        let gone = sqlx::query(
            "DELETE FROM revocation_feed
              WHERE pos IN (SELECT pos FROM (SELECT pos, at FROM revocation_feed ORDER BY pos LIMIT $2) oldest
                             WHERE oldest.at < $1)",
        )
        .bind(OffsetDateTime::from(at))
        .bind(FEED_ROWS)
        .execute(&self.pool)
        .await?
        .rows_affected();
        Ok(i64::try_from(gone).unwrap_or(FEED_ROWS))
    }

    /// The app, and which orgs' rows it may see; none of it when the app is gone.
    pub async fn feed_of(&self, app: AppId) -> Result<Option<(App, Serves)>> {
        let Some(app) = self.app(app).await? else { return Ok(None) };
        let serves = self.serves_of(&app).await?;
        Ok(Some((app, serves)))
    }
}
