//! What a directory asks of many rows at once: people locked in one order, the members of a page of
//! groups, the groups of a page of people, every address of a person. One statement each, however
//! many rows it names. People are locked before their memberships are touched, so that two changes
//! of the same people wait for each other instead of for ever.

use crate::{Group, Result, TenantRead, TenantTx, groups::StoredGroup};
use model::{
    ids::{DirectoryId, GroupId, UserId},
    user::normalised,
};
use uuid::Uuid;

/// One membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub group: GroupId,
    pub user: UserId,
    /// What to call the group, where that is asked.
    pub display: Option<String>,
}

pub(crate) fn uuids(people: &[UserId]) -> Vec<Uuid> {
    people.iter().map(|id| id.uuid()).collect()
}

/// Values and types as they are compared.
pub(crate) fn folded(emails: &[(&str, Option<&str>)]) -> (Vec<String>, Vec<String>) {
    let kind = |kind: &Option<&str>| kind.map(normalised).unwrap_or_default();
    emails.iter().map(|(value, of)| (normalised(value), kind(of))).unzip()
}

fn memberships(rows: Vec<(Uuid, Uuid, Option<String>)>) -> Vec<Membership> {
    rows.into_iter()
        .map(|(group, user, display)| Membership {
            group: GroupId::from_uuid(group),
            user: UserId::from_uuid(user),
            display,
        })
        .collect()
}

impl TenantRead {
    /// Members of these groups; at most `limit` rows in all.
    pub async fn members_of(&mut self, groups: &[GroupId], limit: i64) -> Result<Vec<Membership>> {
        let ids: Vec<Uuid> = groups.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query_as(
            "SELECT group_id, user_id, NULL::text
               FROM group_members
              WHERE group_id = ANY ($1)
              ORDER BY group_id, user_id
              LIMIT $2",
        )
        .bind(ids)
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(memberships(rows))
    }

    /// This directory's groups that these people are in, each with the group's name; at most `limit`
    /// rows in all.
    pub async fn groups_of_people(
        &mut self,
        people: &[UserId],
        directory: DirectoryId,
        limit: i64,
    ) -> Result<Vec<Membership>> {
        let rows = sqlx::query_as(
            "SELECT m.group_id, m.user_id, g.display_name
               FROM group_members m
               JOIN groups g USING (org_id, group_id)
              WHERE m.user_id = ANY ($1)
                AND g.dir_id = $2
              ORDER BY m.user_id, m.group_id
              LIMIT $3",
        )
        .bind(uuids(people))
        .bind(directory.uuid())
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(memberships(rows))
    }

    /// Whom a group holds, ids alone.
    pub async fn member_ids(&mut self, group: GroupId) -> Result<Vec<UserId>> {
        let ids: Vec<Uuid> =
            sqlx::query_scalar("SELECT user_id FROM group_members WHERE group_id = $1 ORDER BY user_id")
                .bind(group.uuid())
                .fetch_all(self.sql())
                .await?;
        Ok(ids.into_iter().map(UserId::from_uuid).collect())
    }
}

impl TenantTx {
    /// Locks these people in the order of their ids and answers who is there.
    pub async fn lock_users(&mut self, people: &[UserId]) -> Result<Vec<UserId>> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT user_id FROM users WHERE user_id = ANY ($1) ORDER BY user_id FOR UPDATE",
        )
        .bind(uuids(people))
        .fetch_all(self.sql())
        .await?;
        Ok(ids.into_iter().map(UserId::from_uuid).collect())
    }

    /// Locks the group FOR UPDATE: changes of one group follow one another.
    pub async fn lock_group(&mut self, id: GroupId) -> Result<Option<Group>> {
        let row: Option<StoredGroup> = sqlx::query_as(
            "SELECT group_id, dir_id, display_name, external_id, version, created_at, modified_at
               FROM groups
              WHERE group_id = $1
                FOR UPDATE",
        )
        .bind(id.uuid())
        .fetch_optional(self.sql())
        .await?;
        Ok(row.map(Group::from))
    }

    /// Replaces the addresses a person is found by: value and type.
    pub async fn set_emails(&mut self, user: UserId, emails: &[(&str, Option<&str>)]) -> Result<()> {
        let (values, kinds) = folded(emails);
        sqlx::query(
            "DELETE FROM user_emails e
              WHERE e.user_id = $1
                AND NOT EXISTS (SELECT 1 FROM UNNEST($2::text[], $3::text[]) AS n(value, kind)
                                 WHERE n.value = e.value_norm AND n.kind = e.kind_norm)",
        )
        .bind(user.uuid())
        .bind(&values)
        .bind(&kinds)
        .execute(self.sql())
        .await?;
        self.add_emails(user, emails).await
    }

    /// Gives a person addresses beside those there are.
    async fn add_emails(&mut self, user: UserId, emails: &[(&str, Option<&str>)]) -> Result<()> {
        let org = self.org().uuid();
        let (values, kinds) = folded(emails);
        sqlx::query(
            "INSERT INTO user_emails (org_id, user_id, value_norm, kind_norm)
             SELECT $1, $2, value, kind FROM UNNEST($3::text[], $4::text[]) AS n(value, kind)
             ON CONFLICT DO NOTHING",
        )
        .bind(org)
        .bind(user.uuid())
        .bind(&values)
        .bind(&kinds)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Takes away the teams and roles that sign-ins gave this person, when a directory takes them
    /// over: no later sign-in would. True when there were any.
    pub async fn drop_sign_in_gifts(&mut self, user: UserId) -> Result<bool> {
        let mut dropped = 0;
        for delete in [
            "DELETE FROM team_members WHERE user_id = $1 AND source LIKE 'con\\_%'",
            "DELETE FROM user_roles WHERE user_id = $1 AND source LIKE 'con\\_%'",
        ] {
            dropped += sqlx::query(delete).bind(user.uuid()).execute(self.sql()).await?.rows_affected();
        }
        Ok(dropped > 0)
    }
}
