//! How a hold is opened, decided and kept from: what the blast guard and an administrator write.

use crate::{Hold, HoldReason, HoldState, Result, TenantTx, provisioning::uuids};
use model::{
    Timestamp,
    ids::{DirectoryId, HoldId, UserId},
};
use time::OffsetDateTime;
use uuid::Uuid;

impl TenantTx {
    /// The hold that stands in the directory's way now: one that was refused for one of these people and is not
    /// over, or one that is open. True when it was opened by this very call.
    pub async fn hold(
        &mut self,
        directory: DirectoryId,
        reason: HoldReason,
        (most, active): (u32, i64),
        people: &[UserId],
    ) -> Result<(Hold, bool)> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let id = HoldId::new(self.now(), self.chance().as_ref());
        self.stand_in_line(directory).await?;
        let standing: Option<Uuid> = sqlx::query_scalar(
            "SELECT hold_id FROM holds h
              WHERE dir_id = $1 AND reason = $2
                AND (state = 'open'
                     OR state = 'refused' AND until > $3
                        AND EXISTS (SELECT 1 FROM held_people p
                                     WHERE p.org_id = h.org_id AND p.hold_id = h.hold_id AND p.user_id = ANY ($4)))
              ORDER BY state DESC, hold_id DESC
              LIMIT 1",
        )
        .bind(directory.uuid())
        .bind(reason.as_str())
        .bind(now)
        .bind(uuids(people))
        .fetch_optional(self.sql())
        .await?;
        let opened = standing.is_none();
        if opened {
            sqlx::query(
                "INSERT INTO holds (org_id, hold_id, dir_id, reason, state, most, active, opened_at)
                 VALUES ($1, $2, $3, $4, 'open', $5, $6, $7)",
            )
            .bind(org)
            .bind(id.uuid())
            .bind(directory.uuid())
            .bind(reason.as_str())
            .bind(i32::try_from(most).unwrap_or(i32::MAX))
            .bind(active)
            .bind(now)
            .execute(self.sql())
            .await?;
        }
        let standing = standing.unwrap_or(id.uuid());
        sqlx::query(
            "INSERT INTO held_people AS p (org_id, hold_id, user_id, first_at, last_at)
             SELECT $1, $2, id, $4, $4 FROM UNNEST($3::uuid[]) AS id
             ON CONFLICT (org_id, hold_id, user_id) DO UPDATE SET last_at = EXCLUDED.last_at",
        )
        .bind(org)
        .bind(standing)
        .bind(uuids(people))
        .bind(now)
        .execute(self.sql())
        .await?;
        let hold = self.one_hold(directory, HoldId::from_uuid(standing)).await?;
        Ok((hold.ok_or(crate::Error::Corrupt("hold"))?, opened))
    }

    /// Decides a hold, or decides it otherwise: about those whom it names. An approval of `everybody` lets the
    /// directory take away whomever it likes until then. False when it stands so already.
    pub async fn decide_hold(
        &mut self,
        hold: HoldId,
        (state, everybody): (HoldState, bool),
        by: &str,
        until: Timestamp,
    ) -> Result<bool> {
        let now = OffsetDateTime::from(self.now());
        let directory: Option<Option<Uuid>> = sqlx::query_scalar(
            "UPDATE holds SET state = $2, decided_at = $3, decided_by = $4, until = $5
              WHERE hold_id = $1 AND (state <> $2 OR $6)
          RETURNING CASE WHEN reason IN ('share', 'group') THEN dir_id END",
        )
        .bind(hold.uuid())
        .bind(state.as_str())
        .bind(now)
        .bind(by)
        .bind(OffsetDateTime::from(until))
        .bind(everybody)
        .fetch_optional(self.sql())
        .await?;
        let open = state == HoldState::Approved && everybody;
        if let Some(Some(directory)) = directory {
            sqlx::query("UPDATE directories SET guard_open_until = $2 WHERE dir_id = $1")
                .bind(directory)
                .bind(open.then_some(OffsetDateTime::from(until)))
                .execute(self.sql())
                .await?;
        }
        Ok(directory.is_some())
    }

    /// Sets the guard of a directory; `percent` none switches it off.
    pub async fn set_guard(
        &mut self,
        directory: DirectoryId,
        percent: Option<u32>,
        at_least: u32,
    ) -> Result<()> {
        sqlx::query("UPDATE directories SET guard_percent = $2, guard_at_least = $3 WHERE dir_id = $1")
            .bind(directory.uuid())
            .bind(percent.and_then(|percent| i32::try_from(percent).ok()))
            .bind(i32::try_from(at_least).unwrap_or(i32::MAX))
            .execute(self.sql())
            .await?;
        Ok(())
    }
}
