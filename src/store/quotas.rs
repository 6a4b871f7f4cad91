//! Room for one more. What a plan counts is made by ledgers that ask for a `Room`, and only `room` gives
//! one: after it has counted so that of many at one instant no two take the last (migrations/0026). The
//! room is the transaction's own until its end.

use crate::{Error, Result, TenantRead, TenantTx};
use model::{
    Timestamp,
    quota::{Bound, Notice, Quota, TOLD_AGAIN_SECS, Tally},
};
use std::{fmt, marker::PhantomData};
use time::OffsetDateTime;

/// A kind of thing that is counted, as a type: a room for a team makes no webhook.
pub trait Counted {
    const QUOTA: Quota;
}

/// The kinds.
pub mod counted {
    use super::{Counted, Quota};

    macro_rules! counted {
        ($($kind:ident)*) => {
            $(
                #[derive(Clone, Copy, Debug)]
                pub enum $kind {}
                impl Counted for $kind {
                    const QUOTA: Quota = Quota::$kind;
                }
            )*
        };
    }
    counted!(Seats Connections Directories Domains Hosts Teams Webhooks Keys);
}

/// Proof that this very transaction may make one more.
#[derive(Debug)]
pub struct Room<K: Counted> {
    notice: Option<Notice>,
    tally: Tally,
    plan: String,
    kind: PhantomData<K>,
}

impl<K: Counted> Room<K> {
    /// What the org should be told when it is taken.
    pub const fn notice(&self) -> Option<Notice> {
        self.notice
    }
    /// The plan, what it has, and how many were taken before.
    pub fn standing(&self) -> (&str, Option<i64>, i64) {
        (&self.plan, self.tally.most, self.tally.taken)
    }
}

/// There is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    pub quota: Quota,
    pub plan: String,
    pub bound: Bound,
    pub taken: i64,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, taken) = (self.quota.one(), self.taken);
        match self.bound {
            Bound::Plan(most) => {
                write!(f, "no {one} is left: the plan \"{}\" has {most}, and {taken} are in use", self.plan)
            }
            Bound::House(most) => write!(f, "an org holds at most {most} of these"),
        }
    }
}
impl std::error::Error for Full {}

#[derive(sqlx::FromRow)]
struct Asked {
    of_plan: String,
    most: Option<i64>,
    taken: Option<i64>,
    unsure: bool,
    near_at: Option<OffsetDateTime>,
    reached_at: Option<OffsetDateTime>,
}

impl TenantRead {
    /// How many of each kind the org has, by the quotas' order.
    pub async fn in_use(&mut self) -> Result<Vec<(Quota, i64)>> {
        let names: Vec<&str> = Quota::ALL.iter().map(|quota| quota.as_str()).collect();
        let counts: Vec<i64> = sqlx::query_scalar(
            "SELECT in_use(q.name)
               FROM UNNEST($1::text[]) WITH ORDINALITY AS q(name, place)
              ORDER BY q.place",
        )
        .bind(names)
        .fetch_all(self.sql())
        .await?;
        Ok(Quota::ALL.into_iter().zip(counts).collect())
    }
}

impl TenantTx {
    /// Room for one more, or why there is none. To be asked after the rows of people are locked and before
    /// anything of that kind is written. `Error::Crowded` in the instant in which an org nears its bound.
    pub async fn room<K: Counted>(&mut self) -> Result<std::result::Result<Room<K>, Full>> {
        let nothing_told = Tally { most: None, taken: 0, near_at: None, reached_at: None };
        if K::QUOTA == Quota::Seats && self.has_unbounded_seats() {
            let room = Room { notice: None, tally: nothing_told, plan: String::new(), kind: PhantomData };
            return Ok(Ok(room));
        }
        let asked: Asked = sqlx::query_as("SELECT * FROM take_room($1, $2)")
            .bind(K::QUOTA.as_str())
            .bind(K::QUOTA.held_max())
            .fetch_one(self.sql())
            .await?;
        if asked.unsure {
            return Err(Error::Crowded);
        }
        let tally = Tally {
            most: asked.most,
            taken: asked.taken.unwrap_or(0),
            near_at: asked.near_at.map(Timestamp::from),
            reached_at: asked.reached_at.map(Timestamp::from),
        };
        Ok(match tally.beyond(K::QUOTA) {
            Some(bound) => Err(Full { quota: K::QUOTA, plan: asked.of_plan, bound, taken: tally.taken }),
            None => {
                let notice = tally.notice(self.now());
                Ok(Room { notice, tally, plan: asked.of_plan, kind: PhantomData })
            }
        })
    }

    /// Notes that the org is told this now. False when it was within the hour: then it is not to be told.
    pub async fn note_quota(&mut self, quota: Quota, notice: Notice) -> Result<bool> {
        let (org, now) = (self.org().uuid(), self.now());
        let noted = sqlx::query(
            "INSERT INTO quota_notices AS n (org_id, quota, notice, told_at)
             SELECT $1, $2, $3, $4
              WHERE NOT EXISTS (SELECT 1 FROM quota_notices
                                 WHERE quota = $2 AND notice = $3 AND told_at > $5)
             ON CONFLICT (org_id, quota, notice) DO UPDATE SET told_at = EXCLUDED.told_at
              WHERE n.told_at <= $5",
        )
        .bind(org)
        .bind(quota.as_str())
        .bind(notice.as_str())
        .bind(OffsetDateTime::from(now))
        .bind(OffsetDateTime::from(now.minus_secs(TOLD_AGAIN_SECS)))
        .execute(self.sql())
        .await?;
        Ok(noted.rows_affected() == 1)
    }

    /// Another plan: what was told was of the old one.
    pub(crate) async fn forget_notices(&mut self) -> Result<()> {
        sqlx::query("DELETE FROM quota_notices").execute(self.sql()).await?;
        Ok(())
    }
}
