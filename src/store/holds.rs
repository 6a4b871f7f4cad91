//! What the blast guard knows: how many people a directory took away lately, how many there are, and whom it
//! holds. Counted under one lock a directory, so that of many requests at once no two are the last that may.

use crate::{Result, TenantRead, TenantTx, provisioning::uuids};
use model::{
    Timestamp,
    ids::{DirectoryId, HoldId, UserId},
};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// What the guard decides by, of one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardFacts {
    /// None: the guard is off.
    pub percent: Option<u32>,
    pub at_least: u32,
    /// An administrator let the directory take away whomever it likes until then.
    pub open_until: Option<Timestamp>,
    /// People the directory took away within the last hour, or renamed.
    pub gone: i64,
    /// Of those, whom it renamed and who are still there.
    pub renamed: i64,
    /// Active people of the org.
    pub active: i64,
    /// Of those, whom this very directory made within the last hour: they are no part of its share.
    pub made: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// More people than the directory's share of the org, taken away or renamed within an hour.
    Share,
    /// Nobody would be left who administers the org.
    LastAdministrator,
    /// Somebody who was given a role by hand would have another name or address, and so might be another.
    RoleByHand,
    /// One change of a group would take teams or roles from more people than the directory's share.
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldState {
    /// Waits for an administrator.
    Open,
    /// The directory may take away those it names until `until`.
    Approved,
    /// The directory may not, until `until`.
    Refused,
}

impl HoldReason {
    pub const ALL: [Self; 4] = [Self::Share, Self::LastAdministrator, Self::RoleByHand, Self::Group];
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::LastAdministrator => "last_administrator",
            Self::RoleByHand => "role_by_hand",
            Self::Group => "group",
        }
    }
}
impl HoldState {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
    pub const ALL: [Self; 3] = [Self::Open, Self::Approved, Self::Refused];
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Refused => "refused",
        }
    }
}

/// A directory that was held.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Hold {
    pub id: HoldId,
    pub directory_id: DirectoryId,
    pub reason: HoldReason,
    pub state: HoldState,
    /// How many people the directory may take away within an hour.
    pub most: i32,
    /// Active people of the org when it was held.
    pub active: i64,
    /// People it would take away beyond that.
    pub people: i64,
    pub opened_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    /// The key that decided.
    pub decided_by: Option<String>,
    /// How long the decision holds.
    pub until: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct StoredHold {
    hold_id: Uuid,
    dir_id: Uuid,
    reason: String,
    state: String,
    most: i32,
    active: i64,
    people: i64,
    opened_at: OffsetDateTime,
    decided_at: Option<OffsetDateTime>,
    decided_by: Option<String>,
    until: Option<OffsetDateTime>,
}

impl From<StoredHold> for Hold {
    fn from(row: StoredHold) -> Self {
        let reason = HoldReason::ALL.into_iter().find(|reason| reason.as_str() == row.reason);
        Self {
            id: HoldId::from_uuid(row.hold_id),
            directory_id: DirectoryId::from_uuid(row.dir_id),
            reason: reason.unwrap_or(HoldReason::Share),
            state: HoldState::parse(&row.state).unwrap_or(HoldState::Open),
            most: row.most,
            active: row.active,
            people: row.people,
            opened_at: row.opened_at.into(),
            decided_at: row.decided_at.map(Timestamp::from),
            decided_by: row.decided_by,
            until: row.until.map(Timestamp::from),
        }
    }
}

/// Somebody whom a directory would take away.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HeldPerson {
    pub user_id: UserId,
    pub user_name: String,
    /// When the directory asked first, and last.
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// The guard looks back so far. Whom a directory made since then it may rename: nobody knows them yet.
pub const GUARDED_SECS: i64 = 3_600;

#[derive(sqlx::FromRow)]
struct StoredFacts {
    guard_percent: Option<i32>,
    guard_at_least: i32,
    guard_open_until: Option<OffsetDateTime>,
    gone: i64,
    renamed: i64,
    active: i64,
    made: i64,
}

impl From<StoredFacts> for GuardFacts {
    fn from(row: StoredFacts) -> Self {
        Self {
            percent: row.guard_percent.and_then(|percent| u32::try_from(percent).ok()),
            at_least: u32::try_from(row.guard_at_least).unwrap_or(0),
            open_until: row.guard_open_until.map(Timestamp::from),
            gone: row.gone,
            renamed: row.renamed,
            active: row.active,
            made: row.made,
        }
    }
}

macro_rules! select_hold {
    ($rest:literal) => {
        concat!(
            "SELECT hold_id, dir_id, reason, state, most, active, opened_at, decided_at, decided_by, until,
                    (SELECT count(*) FROM held_people p WHERE p.hold_id = h.hold_id) AS people
               FROM holds h ",
            $rest
        )
    };
}

impl TenantRead {
    /// The directory's holds, newest first, or those that are in this state; `before` this one.
    pub async fn holds(
        &mut self,
        directory: DirectoryId,
        state: Option<HoldState>,
        (before, limit): (Option<HoldId>, i64),
    ) -> Result<Vec<Hold>> {
        let rows: Vec<StoredHold> = sqlx::query_as(select_hold!(
            "WHERE dir_id = $1
               AND ($2::text IS NULL OR state = $2)
               AND ($3::uuid IS NULL OR hold_id < $3)
             ORDER BY hold_id DESC
             LIMIT $4"
        ))
        .bind(directory.uuid())
        .bind(state.map(HoldState::as_str))
        .bind(before.map(|hold| hold.uuid()))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(Hold::from).collect())
    }

    /// One of the directory's holds.
    pub async fn one_hold(&mut self, directory: DirectoryId, hold: HoldId) -> Result<Option<Hold>> {
        let row: Option<StoredHold> = sqlx::query_as(select_hold!("WHERE dir_id = $1 AND hold_id = $2"))
            .bind(directory.uuid())
            .bind(hold.uuid())
            .fetch_optional(self.sql())
            .await?;
        Ok(row.map(Hold::from))
    }

    /// Whom it holds, in the order of their ids.
    pub async fn held_people(&mut self, hold: HoldId, limit: i64) -> Result<Vec<HeldPerson>> {
        let rows: Vec<(Uuid, String, OffsetDateTime, OffsetDateTime)> = sqlx::query_as(
            "SELECT p.user_id, u.user_name, p.first_at, p.last_at
               FROM held_people p
               JOIN users u USING (org_id, user_id)
              WHERE p.hold_id = $1
              ORDER BY p.user_id
              LIMIT $2",
        )
        .bind(hold.uuid())
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        let person =
            |(id, user_name, first, last): (Uuid, String, OffsetDateTime, OffsetDateTime)| HeldPerson {
                user_id: UserId::from_uuid(id),
                user_name,
                first_at: first.into(),
                last_at: last.into(),
            };
        Ok(rows.into_iter().map(person).collect())
    }
}

impl TenantTx {
    /// Waits for whoever of this directory takes somebody away, or is held, just now.
    pub(crate) async fn stand_in_line(&mut self, directory: DirectoryId) -> Result<()> {
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('blast guard ' || $1::text, 0))")
            .bind(directory.uuid())
            .execute(self.sql())
            .await?;
        Ok(())
    }

    /// Did an administrator approve that this directory does so to each of these very people?
    pub async fn is_approved(
        &mut self,
        directory: DirectoryId,
        reason: HoldReason,
        people: &[UserId],
    ) -> Result<bool> {
        let now = OffsetDateTime::from(self.now());
        Ok(sqlx::query_scalar(
            "SELECT count(DISTINCT p.user_id) = cardinality($4)
               FROM holds h
               JOIN held_people p USING (org_id, hold_id)
              WHERE h.dir_id = $1 AND h.reason = $2 AND h.state = 'approved' AND h.until > $3
                AND p.user_id = ANY ($4)",
        )
        .bind(directory.uuid())
        .bind(reason.as_str())
        .bind(now)
        .bind(uuids(people))
        .fetch_one(self.sql())
        .await?)
    }

    /// Active people whom the directory made itself within the window: they are no part of its share.
    pub async fn made_lately(&mut self, directory: DirectoryId) -> Result<i64> {
        let since = OffsetDateTime::from(self.now().minus_secs(GUARDED_SECS));
        Ok(sqlx::query_scalar("SELECT count(*) FROM users WHERE dir_id = $1 AND created_at > $2 AND active")
            .bind(directory.uuid())
            .bind(since)
            .fetch_one(self.sql())
            .await?)
    }

    /// Counts, one request of the directory after another. Whom it is about counts not among those before.
    pub async fn guard_facts(&mut self, directory: DirectoryId, about: Option<UserId>) -> Result<GuardFacts> {
        self.stand_in_line(directory).await?;
        let since = OffsetDateTime::from(self.now().minus_secs(GUARDED_SECS));
        let stored: StoredFacts = sqlx::query_as(
            // A guard that is off counts nothing, and whom the directory made only matters near the bound.
            "SELECT d.guard_percent, d.guard_at_least, d.guard_open_until, c.gone, c.renamed,
                    (SELECT COALESCE(sum(active), 0)::bigint FROM seat_counts) AS active,
                    CASE WHEN c.gone >= d.guard_at_least
                         THEN (SELECT count(*) FROM users u
                                WHERE u.dir_id = $1 AND u.created_at > $2 AND u.active)
                         ELSE 0 END AS made
               FROM directories d
              CROSS JOIN LATERAL (SELECT count(*) AS gone, count(*) FILTER (WHERE NOT is_away) AS renamed
                                    FROM (SELECT user_id, bool_or(is_away) AS is_away
                                            FROM (SELECT p.user_id, true AS is_away
                                                    FROM deprovisionings p
                                                   WHERE p.dir_id = d.dir_id AND p.received_at > $2
                                                   UNION ALL
                                                  SELECT u.user_id, false
                                                    FROM users u
                                                   WHERE u.dir_id = d.dir_id AND u.renamed_at > $2
                                                     AND u.created_at <= $2) done
                                           WHERE user_id <> $3
                                           GROUP BY user_id) people
                                   WHERE d.guard_percent IS NOT NULL
                                  OFFSET 0) c
              WHERE d.dir_id = $1",
        )
        .bind(directory.uuid())
        .bind(since)
        .bind(about.map_or(Uuid::nil(), |user| user.uuid()))
        .fetch_one(self.sql())
        .await?;
        Ok(stored.into())
    }
}
