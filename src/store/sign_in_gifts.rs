//! What sign-ins give: the teams and roles that the groups of an identity are mapped to. Their source is
//! the connection, and only a sign-in by it takes them away, or its removal. What a directory or an
//! administrator gave has another source, and stays.

use crate::{Result, TenantTx};
use model::ids::{ConnectionId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

/// The difference between what a person has by a connection and what the mappings now give.
#[derive(sqlx::FromRow)]
struct Difference {
    teams_gained: Vec<Uuid>,
    teams_lost: Vec<Uuid>,
    roles_gained: Vec<String>,
    roles_lost: Vec<String>,
}

impl TenantTx {
    /// Brings in line what the groups of a sign-in give this person; writes only what differs.
    /// `share_mappings` comes first. True when something was taken away.
    pub async fn regroup_by_sign_in(
        &mut self,
        user: UserId,
        groups: &[String],
        connection: ConnectionId,
    ) -> Result<bool> {
        let source = connection.to_string();
        let differs: Difference = sqlx::query_as(
            "WITH given AS MATERIALIZED (
                 SELECT team_id, roles FROM group_mappings WHERE group_key = ANY ($2)
             ), teams AS (
                 SELECT DISTINCT team_id FROM given WHERE team_id IS NOT NULL
             ), named AS (
                 SELECT DISTINCT UNNEST(roles) AS role FROM given
             ), joined AS (
                 SELECT team_id FROM team_members WHERE user_id = $1 AND source = $3
             ), held AS (
                 SELECT role FROM user_roles WHERE user_id = $1 AND source = $3
             )
             SELECT ARRAY(SELECT team_id FROM teams EXCEPT SELECT team_id FROM joined) AS teams_gained,
                    ARRAY(SELECT team_id FROM joined EXCEPT SELECT team_id FROM teams) AS teams_lost,
                    ARRAY(SELECT role FROM named EXCEPT SELECT role FROM held) AS roles_gained,
                    ARRAY(SELECT role FROM held EXCEPT SELECT role FROM named) AS roles_lost",
        )
        .bind(user.uuid())
        .bind(groups)
        .bind(&source)
        .fetch_one(self.sql())
        .await?;
        if !differs.teams_gained.is_empty() || !differs.roles_gained.is_empty() {
            self.give(user, &differs, &source).await?;
        }
        let lost = !differs.teams_lost.is_empty() || !differs.roles_lost.is_empty();
        if lost {
            self.take(user, &differs, &source).await?;
        }
        Ok(lost)
    }

    async fn give(&mut self, user: UserId, differs: &Difference, source: &str) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "WITH joined AS (
                 INSERT INTO team_members (org_id, team_id, user_id, source, created_at)
                 SELECT $1, team_id, $2, $3, $4 FROM UNNEST($5::uuid[]) AS team_id
                 ON CONFLICT DO NOTHING
             )
             INSERT INTO user_roles (org_id, user_id, role, source, created_at)
             SELECT $1, $2, role, $3, $4 FROM UNNEST($6::text[]) AS role
             ON CONFLICT DO NOTHING",
        )
        .bind(org)
        .bind(user.uuid())
        .bind(source)
        .bind(now)
        .bind(&differs.teams_gained)
        .bind(&differs.roles_gained)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    async fn take(&mut self, user: UserId, differs: &Difference, source: &str) -> Result<()> {
        sqlx::query(
            "WITH left_teams AS (
                 DELETE FROM team_members WHERE user_id = $1 AND source = $2 AND team_id = ANY ($3)
             )
             DELETE FROM user_roles WHERE user_id = $1 AND source = $2 AND role = ANY ($4)",
        )
        .bind(user.uuid())
        .bind(source)
        .bind(&differs.teams_lost)
        .bind(&differs.roles_lost)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Whom sign-ins by this connection gave anything.
    pub async fn gifted_by(&mut self, connection: ConnectionId) -> Result<Vec<UserId>> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT user_id FROM team_members WHERE source = $1
              UNION
             SELECT user_id FROM user_roles WHERE source = $1
              ORDER BY user_id",
        )
        .bind(connection.to_string())
        .fetch_all(self.sql())
        .await?;
        Ok(ids.into_iter().map(UserId::from_uuid).collect())
    }

    /// Takes away what sign-ins by this connection gave, for when there will be none any more. Lock whom it
    /// gave first.
    pub async fn drop_gifts_of(&mut self, connection: ConnectionId) -> Result<()> {
        sqlx::query(
            "WITH left_teams AS (DELETE FROM team_members WHERE source = $1)
             DELETE FROM user_roles WHERE source = $1",
        )
        .bind(connection.to_string())
        .execute(self.sql())
        .await?;
        Ok(())
    }
}
