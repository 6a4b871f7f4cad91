//! Whom a customer's identity provider means: people by the identities that this connection has bound, and the
//! sessions that came in by it. Nobody who has no identity at the connection is found.

use crate::{Result, TenantTx};
use model::{
    ids::{ConnectionId, SessionId, UserId},
    user::normalised,
};
use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

fn users(ids: Vec<Uuid>) -> Vec<UserId> {
    ids.into_iter().map(UserId::from_uuid).collect()
}

impl TenantTx {
    /// The person whom the connection calls so; one at most.
    pub async fn user_of_subject(
        &mut self,
        connection: ConnectionId,
        subject: &str,
    ) -> Result<Option<UserId>> {
        let id: Option<Uuid> =
            sqlx::query_scalar("SELECT user_id FROM identities WHERE con_id = $1 AND subject = $2")
                .bind(connection.uuid())
                .bind(subject)
                .fetch_optional(self.sql())
                .await?;
        Ok(id.map(UserId::from_uuid))
    }

    /// People of this address with an identity at the connection: by user name, or by any of their addresses.
    pub async fn users_of_address(
        &mut self,
        connection: ConnectionId,
        address: &str,
        limit: i64,
    ) -> Result<Vec<UserId>> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT user_id
               FROM identities
              WHERE con_id = $1
                AND user_id IN (SELECT user_id FROM users WHERE user_name_norm = $2
                                 UNION
                                SELECT user_id FROM users WHERE email_norm = $2
                                 UNION
                                SELECT user_id FROM user_emails WHERE value_norm = $2)
              GROUP BY user_id
              ORDER BY user_id
              LIMIT $3",
        )
        .bind(connection.uuid())
        .bind(normalised(address))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(users(ids))
    }

    /// Sessions that came in by the connection and are not over: those of a person, of the provider's own
    /// session, or of both. Of neither: none.
    pub async fn sessions_at(
        &mut self,
        connection: ConnectionId,
        user: Option<UserId>,
        upstream: Option<&str>,
        limit: i64,
    ) -> Result<Vec<(SessionId, UserId)>> {
        let now = OffsetDateTime::from(self.now());
        // Each by its own index, whatever plan the connection keeps.
        let named = match (user, upstream) {
            (Some(_), None) => "user_id = $4",
            (None, Some(_)) => "upstream_sid = $4",
            (Some(_), Some(_)) => "user_id = $4 AND upstream_sid = $5",
            (None, None) => return Ok(Vec::new()),
        };
        let sql = format!(
            "SELECT ses_id, user_id
               FROM sessions
              WHERE con_id = $1
                AND ended_at IS NULL
                AND expires_at > $2
                AND {named}
              ORDER BY ses_id
              LIMIT $3"
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(connection.uuid()).bind(now).bind(limit);
        if let Some(user) = user {
            query = query.bind(user.uuid());
        }
        if let Some(upstream) = upstream {
            query = query.bind(upstream);
        }
        let rows: Vec<(Uuid, Uuid)> = query.fetch_all(self.sql()).await?;
        Ok(rows.into_iter().map(|(id, user)| (SessionId::from_uuid(id), UserId::from_uuid(user))).collect())
    }
}
