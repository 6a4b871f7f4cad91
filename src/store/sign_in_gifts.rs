//! What sign-ins give: the teams and roles that the groups of an identity are mapped to. Their source is
//! the connection, and only a sign-in by it takes them away, or its removal. What a directory or an
//! administrator gave has another source, and stays.

use crate::{AsOf, Result, TenantTx};
use model::ids::{ConnectionId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

/// The difference between what a person has by a connection and what the mappings now give.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Gifts {
    teams_gained: Vec<Uuid>,
    teams_lost: Vec<Uuid>,
    roles_gained: Vec<String>,
    roles_lost: Vec<String>,
}

/// What a sign-in is judged by and stamped with, and what it gives, of one instant.
#[derive(Clone, Debug)]
pub struct Admission {
    pub as_of: AsOf,
    pub connection_enabled: bool,
    /// The org's own bound on a session's life.
    pub session_absolute_secs: Option<i32>,
    pub gifts: Gifts,
}

#[derive(sqlx::FromRow)]
struct StoredAdmission {
    head: i64,
    terminated: i64,
    connection_enabled: bool,
    session_absolute_secs: Option<i32>,
    #[sqlx(flatten)]
    gifts: Gifts,
}

impl TenantTx {
    /// The person is locked; `named` are the scopes whose revocations concern the sign-in, `groups` what the
    /// provider says of the person: `share_mappings` comes first where there are any.
    pub async fn admission(
        &mut self,
        connection: ConnectionId,
        named: &[String],
        user: UserId,
        groups: &[String],
    ) -> Result<Admission> {
        let row: StoredAdmission = sqlx::query_as(
            "WITH given AS MATERIALIZED (
                 SELECT team_id, roles FROM group_mappings WHERE group_key = ANY ($4)
             ), teams AS (
                 SELECT DISTINCT team_id FROM given WHERE team_id IS NOT NULL
             ), named AS (
                 SELECT DISTINCT UNNEST(roles) AS role FROM given
             ), joined AS (
                 SELECT team_id FROM team_members WHERE user_id = $3 AND source = $5
             ), held AS (
                 SELECT role FROM user_roles WHERE user_id = $3 AND source = $5
             )
             SELECT head,
                    COALESCE((SELECT max(seq) FROM revocations WHERE scope = ANY ($1) AND action = 'terminate'), 0)
                        AS terminated,
                    EXISTS (SELECT 1 FROM connections WHERE con_id = $2 AND state = 'enabled') AS connection_enabled,
                    (SELECT session_absolute_secs FROM orgs) AS session_absolute_secs,
                    ARRAY(SELECT team_id FROM teams EXCEPT SELECT team_id FROM joined) AS teams_gained,
                    ARRAY(SELECT team_id FROM joined EXCEPT SELECT team_id FROM teams) AS teams_lost,
                    ARRAY(SELECT role FROM named EXCEPT SELECT role FROM held) AS roles_gained,
                    ARRAY(SELECT role FROM held EXCEPT SELECT role FROM named) AS roles_lost
               FROM revocation_heads",
        )
        .bind(named)
        .bind(connection.uuid())
        .bind(user.uuid())
        .bind(groups)
        .bind(connection.to_string())
        .fetch_one(self.sql())
        .await?;
        Ok(Admission {
            as_of: AsOf { head: row.head, terminated: row.terminated },
            connection_enabled: row.connection_enabled,
            session_absolute_secs: row.session_absolute_secs,
            gifts: row.gifts,
        })
    }

    /// Brings in line what sign-ins by this connection give the person; writes only what differs. True when
    /// something was taken away.
    pub async fn regroup_by_sign_in(
        &mut self,
        user: UserId,
        gifts: &Gifts,
        connection: ConnectionId,
    ) -> Result<bool> {
        let source = connection.to_string();
        if !gifts.teams_gained.is_empty() || !gifts.roles_gained.is_empty() {
            self.give(user, gifts, &source).await?;
        }
        let lost = !gifts.teams_lost.is_empty() || !gifts.roles_lost.is_empty();
        if lost {
            self.take(user, gifts, &source).await?;
        }
        Ok(lost)
    }

    async fn give(&mut self, user: UserId, gifts: &Gifts, source: &str) -> Result<()> {
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
        .bind(&gifts.teams_gained)
        .bind(&gifts.roles_gained)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    async fn take(&mut self, user: UserId, gifts: &Gifts, source: &str) -> Result<()> {
        sqlx::query(
            "WITH left_teams AS (
                 DELETE FROM team_members WHERE user_id = $1 AND source = $2 AND team_id = ANY ($3)
             )
             DELETE FROM user_roles WHERE user_id = $1 AND source = $2 AND role = ANY ($4)",
        )
        .bind(user.uuid())
        .bind(source)
        .bind(&gifts.teams_lost)
        .bind(&gifts.roles_lost)
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
