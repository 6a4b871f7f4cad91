//! How a directory ends: its tokens first, whoever writes by one being waited for; then its groups, its
//! hold on people, itself. Locks in this order: the directory, the doors of its tokens, the mappings, the
//! people.

use crate::{Holder, Result, TenantTx};
use model::ids::{DirectoryId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

impl TenantTx {
    /// False when there is no such directory.
    pub async fn rename_directory(&mut self, id: DirectoryId, name: &str) -> Result<bool> {
        let named = sqlx::query("UPDATE directories SET name = $2 WHERE dir_id = $1")
            .bind(id.uuid())
            .bind(name)
            .execute(self.sql())
            .await?;
        Ok(named.rows_affected() == 1)
    }

    /// Holds a directory that gets a token, so that it does not end meanwhile, and gets one after the other: how many
    /// it has is bounded, and its end ends them all. False when there is none.
    pub async fn hold_directory(&mut self, id: DirectoryId) -> Result<bool> {
        let held = sqlx::query("SELECT 1 FROM directories WHERE dir_id = $1 FOR NO KEY UPDATE")
            .bind(id.uuid())
            .execute(self.sql())
            .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Revokes every token of a directory and waits for whoever is inside by one; from here to the commit
    /// it gets no other. False when there is no such directory.
    pub async fn shut_directory(&mut self, id: DirectoryId) -> Result<bool> {
        // Not FOR UPDATE: whoever is inside makes groups that refer to this row.
        let found = sqlx::query("SELECT 1 FROM directories WHERE dir_id = $1 FOR NO KEY UPDATE")
            .bind(id.uuid())
            .execute(self.sql())
            .await?;
        if found.rows_affected() == 0 {
            return Ok(false);
        }
        for holder in [Holder::Directory(id), Holder::DirectorysClient(id)] {
            for credential in self.credentials(holder).await? {
                self.revoke_credential(holder, credential.id).await?;
            }
        }
        Ok(true)
    }

    /// How many active people a directory owns.
    pub async fn active_people_of(&mut self, id: DirectoryId) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM users WHERE dir_id = $1 AND active")
            .bind(id.uuid())
            .fetch_one(self.sql())
            .await?)
    }

    /// Lets go of the directory's people, who stay as they are, and removes its groups and itself. Whoever
    /// lost a team or role by that is answered. After `shut_directory` and `lock_mappings`.
    pub async fn remove_directory(&mut self, id: DirectoryId) -> Result<Vec<UserId>> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query(
            "SELECT 1
               FROM users u
              WHERE dir_id = $1
                 OR EXISTS (SELECT 1
                              FROM group_members m
                              JOIN groups g USING (org_id, group_id)
                             WHERE m.org_id = u.org_id AND m.user_id = u.user_id AND g.dir_id = $1)
              ORDER BY user_id
                FOR UPDATE OF u",
        )
        .bind(id.uuid())
        .execute(self.sql())
        .await?;
        let members: Vec<Uuid> = sqlx::query_scalar(
            "SELECT DISTINCT m.user_id FROM group_members m JOIN groups g USING (org_id, group_id) WHERE g.dir_id = $1",
        )
        .bind(id.uuid())
        .fetch_all(self.sql())
        .await?;
        sqlx::query("DELETE FROM groups WHERE dir_id = $1").bind(id.uuid()).execute(self.sql()).await?;
        let members: Vec<UserId> = members.into_iter().map(UserId::from_uuid).collect();
        let lost = self.regroup(&members).await?;
        sqlx::query(
            "UPDATE users SET dir_id = NULL, version = version + 1, modified_at = $2 WHERE dir_id = $1",
        )
        .bind(id.uuid())
        .bind(now)
        .execute(self.sql())
        .await?;
        sqlx::query("DELETE FROM directories WHERE dir_id = $1").bind(id.uuid()).execute(self.sql()).await?;
        Ok(lost)
    }
}
