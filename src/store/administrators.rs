//! Who administers an org, as the blast guard asks: by a role of the catalogue, from a group or by hand.

use crate::{Result, TenantRead, TenantTx};
use model::ids::UserId;

impl TenantRead {
    /// Is anybody left who is active and has one of these roles, beside this person?
    pub async fn others_have_role(&mut self, roles: &[&str], beside: Option<UserId>) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1
                              FROM user_roles r
                              JOIN users u USING (org_id, user_id)
                             WHERE r.role = ANY ($1) AND u.active AND u.user_id IS DISTINCT FROM $2)",
        )
        .bind(roles)
        .bind(beside.map(|id| id.uuid()))
        .fetch_one(self.sql())
        .await?)
    }

    /// Was the person given a role by hand, and not by a group?
    pub async fn has_role_by_hand(&mut self, user: UserId) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM user_roles WHERE user_id = $1 AND source = $2)")
            .bind(user.uuid())
            .bind(crate::BY_API)
            .fetch_one(self.sql())
            .await?)
    }

    pub async fn has_role(&mut self, user: UserId, roles: &[&str]) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM user_roles WHERE user_id = $1 AND role = ANY ($2))",
        )
        .bind(user.uuid())
        .bind(roles)
        .fetch_one(self.sql())
        .await?)
    }
}

impl TenantTx {
    /// Waits for whoever else of the org may be about to take its administrators away; after the directory's
    /// own line.
    pub async fn stand_in_the_administrators_line(&mut self) -> Result<()> {
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended('administrators ' || current_org()::text, 0))",
        )
        .execute(self.sql())
        .await?;
        Ok(())
    }
}
