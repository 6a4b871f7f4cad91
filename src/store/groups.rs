//! A directory's groups. A membership change touches the rows it names and never loads the group.

use crate::{Result, TenantRead, TenantTx};
use model::{
    Timestamp,
    ids::{DirectoryId, GroupId, UserId},
    user::normalised,
};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Group {
    pub id: GroupId,
    pub directory: DirectoryId,
    pub display_name: String,
    pub external_id: Option<String>,
    pub version: i64,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
}

/// A group as an administrator sees it: the id is what a mapping names.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Group")]
pub struct ListedGroup {
    pub id: GroupId,
    pub directory_id: DirectoryId,
    pub display_name: String,
    pub external_id: Option<String>,
    /// How many people are in it.
    pub members: i64,
}

/// One change of a group's members.
#[derive(Clone, Debug)]
pub enum MemberEdit<'a> {
    Add(&'a [UserId]),
    Remove(&'a [UserId]),
    RemoveAll,
}

#[derive(sqlx::FromRow)]
pub(crate) struct StoredGroup {
    group_id: Uuid,
    dir_id: Uuid,
    display_name: String,
    external_id: Option<String>,
    version: i64,
    created_at: OffsetDateTime,
    modified_at: OffsetDateTime,
}

impl From<StoredGroup> for Group {
    fn from(row: StoredGroup) -> Self {
        Self {
            id: GroupId::from_uuid(row.group_id),
            directory: DirectoryId::from_uuid(row.dir_id),
            display_name: row.display_name,
            external_id: row.external_id,
            version: row.version,
            created_at: row.created_at.into(),
            modified_at: row.modified_at.into(),
        }
    }
}

impl TenantRead {
    pub async fn group(&mut self, id: GroupId) -> Result<Option<Group>> {
        Ok(self.groups_by_id(&[id]).await?.pop())
    }

    /// These groups, in order of birth.
    pub async fn groups_by_id(&mut self, ids: &[GroupId]) -> Result<Vec<Group>> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows: Vec<StoredGroup> = sqlx::query_as(
            "SELECT group_id, dir_id, display_name, external_id, version, created_at, modified_at
               FROM groups
              WHERE group_id = ANY ($1)
              ORDER BY group_id",
        )
        .bind(ids)
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(Group::from).collect())
    }

    /// Every directory's groups, each with the number of its members.
    pub async fn listed_groups(&mut self, after: Option<GroupId>, limit: i64) -> Result<Vec<ListedGroup>> {
        let rows: Vec<(Uuid, Uuid, String, Option<String>, i64)> = sqlx::query_as(
            "SELECT group_id, dir_id, display_name, external_id,
                    (SELECT count(*) FROM group_members m
                      WHERE m.org_id = g.org_id AND m.group_id = g.group_id)
               FROM groups g
              WHERE $1::uuid IS NULL OR group_id > $1
              ORDER BY group_id
              LIMIT $2",
        )
        .bind(crate::record::optional(after))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        let listed = |(id, dir, display_name, external_id, members): (Uuid, Uuid, _, _, _)| ListedGroup {
            id: GroupId::from_uuid(id),
            directory_id: DirectoryId::from_uuid(dir),
            display_name,
            external_id,
            members,
        };
        Ok(rows.into_iter().map(listed).collect())
    }
}

impl TenantTx {
    pub async fn create_group(&mut self, group: &Group) -> Result<()> {
        let org = self.org().uuid();
        sqlx::query(
            "INSERT INTO groups (org_id, group_id, dir_id, group_key, display_name, display_name_norm, external_id,
                                 created_at, modified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        )
        .bind(org)
        .bind(group.id.uuid())
        .bind(group.directory.uuid())
        .bind(group.id.to_string())
        .bind(&group.display_name)
        .bind(normalised(&group.display_name))
        .bind(&group.external_id)
        .bind(OffsetDateTime::from(group.created_at))
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Renames or re-labels; `None` leaves it. False when there is no such group.
    pub async fn touch_group(
        &mut self,
        id: GroupId,
        display_name: Option<&str>,
        external_id: Option<Option<&str>>,
    ) -> Result<bool> {
        let now = OffsetDateTime::from(self.now());
        let touched = sqlx::query(
            "UPDATE groups
                SET display_name = COALESCE($2, display_name),
                    display_name_norm = COALESCE($3, display_name_norm),
                    external_id = CASE WHEN $4 THEN $5 ELSE external_id END,
                    version = version + 1,
                    modified_at = $6
              WHERE group_id = $1",
        )
        .bind(id.uuid())
        .bind(display_name)
        .bind(display_name.map(normalised))
        .bind(external_id.is_some())
        .bind(external_id.flatten())
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(touched.rows_affected() == 1)
    }

    /// Applies one edit and answers whose membership really changed. Adding somebody who is not of
    /// this org fails with `Error::Conflict`: the foreign key begins with the org.
    pub async fn edit_members(&mut self, group: GroupId, edit: &MemberEdit<'_>) -> Result<Vec<UserId>> {
        let org = self.org().uuid();
        let changed: Vec<Uuid> = match edit {
            MemberEdit::Add(people) => {
                let ids: Vec<Uuid> = people.iter().map(|id| id.uuid()).collect();
                sqlx::query_scalar(
                    "INSERT INTO group_members (org_id, group_id, user_id)
                     SELECT $1, $2, id FROM UNNEST($3::uuid[]) AS id
                     ON CONFLICT DO NOTHING
                     RETURNING user_id",
                )
                .bind(org)
                .bind(group.uuid())
                .bind(ids)
                .fetch_all(self.sql())
                .await?
            }
            MemberEdit::Remove(people) => {
                let ids: Vec<Uuid> = people.iter().map(|id| id.uuid()).collect();
                sqlx::query_scalar(
                    "DELETE FROM group_members WHERE group_id = $1 AND user_id = ANY ($2) RETURNING user_id",
                )
                .bind(group.uuid())
                .bind(ids)
                .fetch_all(self.sql())
                .await?
            }
            MemberEdit::RemoveAll => {
                sqlx::query_scalar("DELETE FROM group_members WHERE group_id = $1 RETURNING user_id")
                    .bind(group.uuid())
                    .fetch_all(self.sql())
                    .await?
            }
        };
        Ok(changed.into_iter().map(UserId::from_uuid).collect())
    }

    pub async fn remove_group(&mut self, id: GroupId) -> Result<bool> {
        let gone =
            sqlx::query("DELETE FROM groups WHERE group_id = $1").bind(id.uuid()).execute(self.sql()).await?;
        Ok(gone.rows_affected() == 1)
    }
}
