//! Whose a seat is: the identities bound to it, the names and addresses by which a directory or a
//! sign-in knows it, and what is remembered of a seat that a directory took away. An address names a
//! seat only where the caller asks: that it is proven is for the caller to know.

use crate::{
    Result, TenantRead, TenantTx,
    users::{StoredUser, User, select_user},
};
use model::{
    Timestamp,
    ids::{ConnectionId, UserId},
    user::normalised,
};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

/// One is found, two are too many, a third tells nobody more.
const LOCKED_MAX: i64 = 3;

/// A person at a connection, bound to a seat.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Identity {
    pub connection_id: ConnectionId,
    /// What the connection's provider calls the person: SAML's NameID, OpenID Connect's `sub`.
    pub subject: String,
    pub created_at: Timestamp,
}

/// How a bound identity is remembered when its person was taken away: an opaque subject has neither
/// the user name nor, perhaps, a vouched email.
pub fn departed_identity(connection: ConnectionId, subject: &str) -> String {
    format!("{connection}:{subject}")
}

/// The same of a directory's own key for the person, which a subject may be.
pub fn departed_external_id(external_id: &str) -> String {
    format!("external_id:{external_id}")
}

/// The seats that no directory owns, by their names: a sign-in finds them by user name or by any address.
macro_rules! unowned {
    ($names:literal) => {
        concat!(
            "SELECT user_id FROM users WHERE user_name_norm = ANY (",
            $names,
            ") AND dir_id IS NULL
              UNION ALL
             SELECT e.user_id
               FROM user_emails e
               JOIN users u USING (org_id, user_id)
              WHERE e.value_norm = ANY (",
            $names,
            ") AND u.dir_id IS NULL"
        )
    };
}
pub(crate) use unowned;

pub(crate) fn norms<T: AsRef<str>>(names: &[T]) -> Vec<String> {
    names.iter().map(|name| normalised(name.as_ref())).collect()
}

impl TenantRead {
    /// Who signs in to this seat, and where.
    pub async fn identities_of(&mut self, user: UserId) -> Result<Vec<Identity>> {
        let rows: Vec<(Uuid, String, OffsetDateTime)> = sqlx::query_as(
            "SELECT con_id, subject, created_at FROM identities WHERE user_id = $1 ORDER BY con_id",
        )
        .bind(user.uuid())
        .fetch_all(self.sql())
        .await?;
        let identity = |(con, subject, at): (Uuid, String, OffsetDateTime)| Identity {
            connection_id: ConnectionId::from_uuid(con),
            subject,
            created_at: at.into(),
        };
        Ok(rows.into_iter().map(identity).collect())
    }

    /// Whom a directory knows by exactly this key.
    pub async fn seats_of_external_id(&mut self, external_id: &str) -> Result<Vec<UserId>> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT user_id FROM users WHERE external_id = $1 AND dir_id IS NOT NULL ORDER BY user_id LIMIT $2",
        )
        .bind(external_id)
        .bind(LOCKED_MAX)
        .fetch_all(self.sql())
        .await?;
        Ok(ids.into_iter().map(UserId::from_uuid).collect())
    }

    /// A seat, other than this one, that no directory owns and that has one of these names.
    pub async fn unowned_by_name(&mut self, names: &[String], but: UserId) -> Result<Option<UserId>> {
        let found: Option<Uuid> = sqlx::query_scalar(concat!(
            "SELECT user_id FROM (",
            unowned!("$1"),
            ") s WHERE user_id <> $2 LIMIT 1"
        ))
        .bind(norms(names))
        .bind(but.uuid())
        .fetch_optional(self.sql())
        .await?;
        Ok(found.map(UserId::from_uuid))
    }

    pub async fn has_directory(&mut self) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM directories)").fetch_one(self.sql()).await?)
    }

    pub async fn has_departed<T: AsRef<str>>(&mut self, names: &[T]) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM departed WHERE name_norm = ANY ($1))")
            .bind(norms(names))
            .fetch_one(self.sql())
            .await?)
    }
}

impl TenantTx {
    /// Locks the seats that have one of these addresses as user name or as any of their addresses, or
    /// that a directory knows by this external id; at most three, in the order of their ids.
    pub async fn lock_seats<T: AsRef<str>>(
        &mut self,
        addresses: &[T],
        external_id: Option<&str>,
    ) -> Result<Vec<User>> {
        let rows: Vec<StoredUser> = sqlx::query_as(select_user!(
            "WHERE user_id IN (SELECT user_id FROM users WHERE user_name_norm = ANY ($1)
                                UNION
                               SELECT user_id FROM users WHERE email_norm = ANY ($1)
                                UNION
                               SELECT user_id FROM user_emails WHERE value_norm = ANY ($1)
                                UNION
                               SELECT user_id FROM users WHERE external_id = $2 AND dir_id IS NOT NULL)
             ORDER BY user_id
             LIMIT $3
               FOR UPDATE"
        ))
        .bind(norms(addresses))
        .bind(external_id)
        .bind(LOCKED_MAX)
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Locks the seat of this user name, and those that no directory owns and that have one of these names.
    pub async fn lock_in_the_way(&mut self, user_name: &str, names: &[String]) -> Result<Vec<User>> {
        let rows: Vec<StoredUser> = sqlx::query_as(select_user!(
            "WHERE user_id IN (SELECT user_id FROM users WHERE user_name_norm = $1
                                UNION ALL ",
            unowned!("$2"),
            ")
             ORDER BY user_id
             LIMIT $3
               FOR UPDATE"
        ))
        .bind(normalised(user_name))
        .bind(norms(names))
        .bind(LOCKED_MAX)
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Notes that the directory took a name from this person by which they sign in.
    pub async fn note_renamed(&mut self, user: UserId) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query("UPDATE users SET renamed_at = $2 WHERE user_id = $1")
            .bind(user.uuid())
            .bind(now)
            .execute(self.sql())
            .await?;
        Ok(())
    }

    /// The subject of this connection that is bound to this seat.
    pub async fn subject_at(&mut self, connection: ConnectionId, user: UserId) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT subject FROM identities WHERE con_id = $1 AND user_id = $2")
            .bind(connection.uuid())
            .bind(user.uuid())
            .fetch_optional(self.sql())
            .await?)
    }

    /// `Error::Conflict` when the subject has a seat, or the seat a subject of this connection.
    pub async fn bind_identity(
        &mut self,
        connection: ConnectionId,
        subject: &str,
        user: UserId,
    ) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "INSERT INTO identities (org_id, con_id, subject, user_id, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(org)
        .bind(connection.uuid())
        .bind(subject)
        .bind(user.uuid())
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Takes the identity off the seat; answers its subject.
    pub async fn unbind_identity(
        &mut self,
        connection: ConnectionId,
        user: UserId,
    ) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("DELETE FROM identities WHERE con_id = $1 AND user_id = $2 RETURNING subject")
            .bind(connection.uuid())
            .bind(user.uuid())
            .fetch_optional(self.sql())
            .await?)
    }

    /// Remembers that a directory took this person away: a later sign-in under any of their names makes
    /// no new seat. Only a directory's own create forgets it again.
    pub async fn note_departed(&mut self, user: &User) -> Result<()> {
        let mut names: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT value_norm FROM user_emails WHERE user_id = $1")
                .bind(user.id.uuid())
                .fetch_all(self.sql())
                .await?;
        names.push(user.user_name.clone());
        names.extend(user.email.clone());
        names.extend(user.external_id.as_deref().map(departed_external_id));
        for identity in self.identities_of(user.id).await? {
            names.push(departed_identity(identity.connection_id, &identity.subject));
        }
        self.note_departed_names(&names).await
    }

    /// Remembers that a directory took these names away from somebody: a later sign-in by one makes no new seat.
    pub async fn note_departed_names<T: AsRef<str>>(&mut self, names: &[T]) -> Result<()> {
        let (org, now) = (self.org().uuid(), OffsetDateTime::from(self.now()));
        sqlx::query(
            "INSERT INTO departed (org_id, name_norm, at)
             SELECT $1, name, $3 FROM UNNEST($2::text[]) AS name
             ON CONFLICT DO NOTHING",
        )
        .bind(org)
        .bind(norms(names))
        .bind(now)
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// The directory gives these names to somebody: a sign-in may have them again.
    pub async fn forget_departed<T: AsRef<str>>(&mut self, names: &[T]) -> Result<()> {
        sqlx::query("DELETE FROM departed WHERE name_norm = ANY ($1)")
            .bind(norms(names))
            .execute(self.sql())
            .await?;
        Ok(())
    }
}
