//! Teams, roles, and the mappings by which a group gives them. What a group gave carries that
//! group's key as its source, and only that group takes it away.

use crate::{Result, Room, TenantRead, TenantTx, counted, record::optional};
use model::{
    Timestamp,
    ids::{TeamId, UserId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Team {
    pub id: TeamId,
    pub slug: String,
    pub name: String,
    pub created_at: Timestamp,
}

/// A group's immutable key gives a team, roles, or both.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct GroupMapping {
    /// The group's immutable key: an id of `GET /orgs/{org}/groups`, its external id, or what a sign-in
    /// names.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"))]
    pub group_id: String,
    #[serde(default)]
    pub team_id: Option<TeamId>,
    /// Names of `GET /roles`.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// The source of what an administrator gave by the API.
pub const BY_API: &str = "api";

impl TenantRead {
    pub async fn teams(&mut self, after: Option<TeamId>, limit: i64) -> Result<Vec<Team>> {
        let rows: Vec<(Uuid, String, String, OffsetDateTime)> = sqlx::query_as(
            "SELECT team_id, slug, name, created_at
               FROM teams
              WHERE $1::uuid IS NULL OR team_id > $1
              ORDER BY team_id
              LIMIT $2",
        )
        .bind(optional(after))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, slug, name, at)| Team { id: TeamId::from_uuid(id), slug, name, created_at: at.into() })
            .collect())
    }

    pub async fn group_mappings(&mut self) -> Result<Vec<GroupMapping>> {
        let rows: Vec<(String, Option<Uuid>, Vec<String>)> = sqlx::query_as(
            "SELECT group_key, team_id, roles FROM group_mappings ORDER BY group_key LIMIT 1000",
        )
        .fetch_all(self.sql())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(group_id, team_id, roles)| GroupMapping {
                group_id,
                team_id: team_id.map(TeamId::from_uuid),
                roles,
            })
            .collect())
    }

    pub async fn roles_of(&mut self, user: UserId) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar("SELECT DISTINCT role FROM user_roles WHERE user_id = $1 ORDER BY role")
            .bind(user.uuid())
            .fetch_all(self.sql())
            .await?)
    }
}

/// One member of a team.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TeamMember {
    pub id: UserId,
    pub user_name: String,
    /// From whom: `api`, a group's key, or a connection.
    pub sources: Vec<String>,
}

impl TenantRead {
    pub async fn team_members(
        &mut self,
        team: TeamId,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<TeamMember>> {
        let rows: Vec<(Uuid, String, Vec<String>)> = sqlx::query_as(
            "SELECT u.user_id, u.user_name, array_agg(m.source ORDER BY m.source)
               FROM team_members m
               JOIN users u USING (org_id, user_id)
              WHERE m.team_id = $1
                AND ($2::uuid IS NULL OR u.user_id > $2)
              GROUP BY u.user_id, u.user_name
              ORDER BY u.user_id
              LIMIT $3",
        )
        .bind(team.uuid())
        .bind(optional(after))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, user_name, sources)| TeamMember { id: UserId::from_uuid(id), user_name, sources })
            .collect())
    }

    pub async fn has_team(&mut self, team: TeamId) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM teams WHERE team_id = $1)")
            .bind(team.uuid())
            .fetch_one(self.sql())
            .await?)
    }

    pub async fn teams_of(&mut self, user: UserId) -> Result<Vec<TeamId>> {
        let rows: Vec<Uuid> = sqlx::query_scalar(
            "SELECT DISTINCT team_id FROM team_members WHERE user_id = $1 ORDER BY team_id",
        )
        .bind(user.uuid())
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(TeamId::from_uuid).collect())
    }
}

impl TenantTx {
    /// Before people are given what the mappings say: from here to the commit nobody sets other
    /// mappings. Ahead of every row lock, because whoever sets them goes on to lock rows.
    pub async fn share_mappings(&mut self) -> Result<()> {
        self.advisory("SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))").await
    }

    /// Before the mappings are set: whoever is being given something by the old ones is waited for,
    /// and whoever comes later waits for the new ones. Ahead of every row lock.
    pub async fn lock_mappings(&mut self) -> Result<()> {
        self.advisory("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").await
    }

    async fn advisory(&mut self, lock: &'static str) -> Result<()> {
        let key = format!("group mappings of {}", self.org());
        sqlx::query(lock).bind(key).execute(self.sql()).await?;
        Ok(())
    }

    pub async fn create_team(
        &mut self,
        _room: Room<counted::Teams>,
        id: TeamId,
        slug: &str,
        name: &str,
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "INSERT INTO teams (org_id, team_id, slug, name, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(org)
        .bind(id.uuid())
        .bind(slug)
        .bind(name)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Mappings that gave nothing but this team go with it; the others go on giving their roles.
    pub async fn remove_team(&mut self, id: TeamId) -> Result<bool> {
        sqlx::query("DELETE FROM group_mappings WHERE team_id = $1 AND roles = '{}'")
            .bind(id.uuid())
            .execute(self.sql())
            .await?;
        let gone =
            sqlx::query("DELETE FROM teams WHERE team_id = $1").bind(id.uuid()).execute(self.sql()).await?;
        Ok(gone.rows_affected() == 1)
    }

    pub async fn join_team(&mut self, team: TeamId, user: UserId, source: &str) -> Result<bool> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let joined = sqlx::query(
            "INSERT INTO team_members (org_id, team_id, user_id, source, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
        )
        .bind(org)
        .bind(team.uuid())
        .bind(user.uuid())
        .bind(source)
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(joined.rows_affected() == 1)
    }

    pub async fn leave_team(&mut self, team: TeamId, user: UserId, source: &str) -> Result<bool> {
        let left =
            sqlx::query("DELETE FROM team_members WHERE team_id = $1 AND user_id = $2 AND source = $3")
                .bind(team.uuid())
                .bind(user.uuid())
                .bind(source)
                .execute(self.sql())
                .await?;
        Ok(left.rows_affected() == 1)
    }

    /// Sets the roles that `source` gives this person; what other sources gave stays. True when
    /// something was taken away, so that the caller can have tokens reasserted.
    pub async fn set_roles(&mut self, user: UserId, roles: &[String], source: &str) -> Result<bool> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let taken =
            sqlx::query("DELETE FROM user_roles WHERE user_id = $1 AND source = $2 AND role <> ALL ($3)")
                .bind(user.uuid())
                .bind(source)
                .bind(roles)
                .execute(self.sql())
                .await?;
        sqlx::query(
            "INSERT INTO user_roles (org_id, user_id, role, source, created_at)
             SELECT $1, $2, role, $3, $4
               FROM UNNEST($5::text[]) AS role
             ON CONFLICT DO NOTHING",
        )
        .bind(org)
        .bind(user.uuid())
        .bind(source)
        .bind(now)
        .bind(roles)
        .execute(self.sql())
        .await?;
        Ok(taken.rows_affected() > 0)
    }

    /// Replaces the org's mappings, and brings every person's teams and roles by group in line.
    /// `lock_mappings` comes first. Answers those who lost something.
    pub async fn set_group_mappings(&mut self, mappings: &[GroupMapping]) -> Result<Vec<UserId>> {
        let org = self.org().uuid();
        sqlx::query("DELETE FROM group_mappings").execute(self.sql()).await?;
        for mapping in mappings {
            sqlx::query(
                "INSERT INTO group_mappings (org_id, group_key, team_id, roles) VALUES ($1, $2, $3, $4)",
            )
            .bind(org)
            .bind(&mapping.group_id)
            .bind(optional(mapping.team_id))
            .bind(&mapping.roles)
            .execute(self.sql())
            .await?;
        }
        let mut lost = self.drop_unmapped().await?;
        let members: Vec<Uuid> = sqlx::query_scalar(
            "SELECT DISTINCT user_id FROM group_members
              UNION
             SELECT user_id FROM team_members WHERE source <> 'api'
              UNION
             SELECT user_id FROM user_roles WHERE source <> 'api'",
        )
        .fetch_all(self.sql())
        .await?;
        let people: Vec<UserId> = members.into_iter().map(UserId::from_uuid).collect();
        lost.extend(self.regroup(&people).await?);
        lost.sort();
        lost.dedup();
        Ok(lost)
    }

    /// What a sign-in's groups gave and no mapping gives any more to anybody: gone now, not at the
    /// next sign-in. Which of several mappings gave it, only the next sign-in can tell.
    async fn drop_unmapped(&mut self) -> Result<Vec<UserId>> {
        let lost: Vec<Uuid> = sqlx::query_scalar(
            "WITH left_teams AS (
                 DELETE FROM team_members t
                  WHERE t.source LIKE 'con\\_%'
                    AND NOT EXISTS (SELECT 1 FROM group_mappings p WHERE p.team_id = t.team_id)
                 RETURNING user_id
             ), lost_roles AS (
                 DELETE FROM user_roles r
                  WHERE r.source LIKE 'con\\_%'
                    AND NOT EXISTS (SELECT 1 FROM group_mappings p WHERE r.role = ANY (p.roles))
                 RETURNING user_id
             )
             SELECT user_id FROM left_teams UNION SELECT user_id FROM lost_roles",
        )
        .fetch_all(self.sql())
        .await?;
        Ok(lost.into_iter().map(UserId::from_uuid).collect())
    }

    /// Recomputes what groups give to these people, from the directory's memberships and the
    /// mappings. `share_mappings` comes first. Answers those who lost a team or role.
    pub async fn regroup(&mut self, people: &[UserId]) -> Result<Vec<UserId>> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        let ids: Vec<Uuid> = people.iter().map(|id| id.uuid()).collect();
        let lost: Vec<Uuid> = sqlx::query_scalar(
            "WITH given AS (
                 SELECT m.user_id, p.team_id, p.roles, p.group_key
                   FROM group_members m
                   JOIN groups g USING (org_id, group_id)
                   JOIN group_mappings p ON p.org_id = g.org_id AND p.group_key = g.group_key
                  WHERE m.user_id = ANY ($1)
             ), left_teams AS (
                 DELETE FROM team_members t
                  WHERE t.user_id = ANY ($1) AND t.source LIKE 'grp\\_%'
                    AND NOT EXISTS (SELECT 1 FROM given g
                                     WHERE g.user_id = t.user_id AND g.team_id = t.team_id AND g.group_key = t.source)
                 RETURNING user_id
             ), lost_roles AS (
                 DELETE FROM user_roles r
                  WHERE r.user_id = ANY ($1) AND r.source LIKE 'grp\\_%'
                    AND NOT EXISTS (SELECT 1 FROM given g
                                     WHERE g.user_id = r.user_id AND r.role = ANY (g.roles) AND g.group_key = r.source)
                 RETURNING user_id
             ), joined AS (
                 INSERT INTO team_members (org_id, team_id, user_id, source, created_at)
                 SELECT $2, team_id, user_id, group_key, $3 FROM given WHERE team_id IS NOT NULL
                 ON CONFLICT DO NOTHING
             ), roled AS (
                 INSERT INTO user_roles (org_id, user_id, role, source, created_at)
                 SELECT $2, user_id, role, group_key, $3 FROM given, UNNEST(roles) AS role
                 ON CONFLICT DO NOTHING
             )
             SELECT user_id FROM left_teams UNION SELECT user_id FROM lost_roles",
        )
        .bind(&ids)
        .bind(org)
        .bind(now)
        .fetch_all(self.sql())
        .await?;
        Ok(lost.into_iter().map(UserId::from_uuid).collect())
    }
}
