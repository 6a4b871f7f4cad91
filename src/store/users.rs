//! Seats: one person in one org. Found by id, by normalised user name, by external id, or by the
//! identity (connection, subject) that a sign-in bound to it.

use crate::{
    Error, Result, Room, TenantRead, TenantTx, counted,
    provisioning::folded,
    record::optional,
    seats::{norms, unowned},
};
use model::{
    Timestamp,
    ids::{ConnectionId, DirectoryId, UserId},
    user::normalised,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct User {
    pub id: UserId,
    pub user_name: String,
    /// The directory's own key for the person.
    pub external_id: Option<String>,
    /// May the person sign in?
    pub active: bool,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    /// The directory that owns this person, once one does.
    pub directory: Option<DirectoryId>,
    #[serde(skip)]
    pub attributes: Value,
    /// Rises with each change.
    pub version: i64,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
}

/// How a sign-in found its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// The identity was bound to it before.
    Known,
    /// Bound now, by user name in a domain the org owns.
    Bound,
    /// Made now.
    Made,
}

#[derive(sqlx::FromRow)]
pub(crate) struct StoredUser {
    user_id: Uuid,
    user_name: String,
    external_id: Option<String>,
    active: bool,
    email: Option<String>,
    display_name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    dir_id: Option<Uuid>,
    attributes: Value,
    version: i64,
    created_at: OffsetDateTime,
    modified_at: OffsetDateTime,
}

impl From<StoredUser> for User {
    fn from(row: StoredUser) -> Self {
        Self {
            id: UserId::from_uuid(row.user_id),
            user_name: row.user_name,
            external_id: row.external_id,
            active: row.active,
            email: row.email,
            display_name: row.display_name,
            given_name: row.given_name,
            family_name: row.family_name,
            directory: row.dir_id.map(DirectoryId::from_uuid),
            attributes: row.attributes,
            version: row.version,
            created_at: row.created_at.into(),
            modified_at: row.modified_at.into(),
        }
    }
}

macro_rules! select_user {
    ($($rest:expr),+) => {
        concat!(
            "SELECT user_id, user_name, external_id, active, email, display_name, given_name, family_name,
                    dir_id, attributes, version, created_at, modified_at
               FROM users ",
            $($rest),+
        )
    };
}
pub(crate) use select_user;

/// Somebody new.
#[derive(Debug)]
pub struct NewUser<'a> {
    pub user: &'a User,
    /// The addresses they are found by: value and type.
    pub emails: &'a [(&'a str, Option<&'a str>)],
    /// Names that no departure keeps from a sign-in any more.
    pub given_back: &'a [String],
    /// None of these may be a name of a seat that no directory owns.
    pub unclaimed: &'a [String],
}

/// Which users an administrator lists.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    pub email: Option<String>,
    pub active: Option<bool>,
}

impl TenantRead {
    pub async fn user(&mut self, id: UserId) -> Result<Option<User>> {
        let row: Option<StoredUser> = sqlx::query_as(select_user!("WHERE user_id = $1"))
            .bind(id.uuid())
            .fetch_optional(self.sql())
            .await?;
        Ok(row.map(User::from))
    }

    /// Users that match, in order of birth, without their documents.
    pub async fn users(
        &mut self,
        filter: &UserFilter,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<User>> {
        let rows: Vec<StoredUser> = sqlx::query_as(
            "SELECT user_id, user_name, external_id, active, email, display_name, given_name, family_name,
                    dir_id, '{}'::jsonb AS attributes, version, created_at, modified_at
               FROM users
              WHERE ($1::text IS NULL OR email_norm = $1)
                AND ($2::boolean IS NULL OR active = $2)
                AND ($3::uuid IS NULL OR user_id > $3)
              ORDER BY user_id
              LIMIT $4",
        )
        .bind(filter.email.as_deref().map(normalised))
        .bind(filter.active)
        .bind(optional(after))
        .bind(limit)
        .fetch_all(self.sql())
        .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// These people, with their documents, in order of birth.
    pub async fn users_of(&mut self, ids: &[UserId]) -> Result<Vec<User>> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows: Vec<StoredUser> = sqlx::query_as(select_user!("WHERE user_id = ANY ($1) ORDER BY user_id"))
            .bind(ids)
            .fetch_all(self.sql())
            .await?;
        Ok(rows.into_iter().map(User::from).collect())
    }
}

impl TenantTx {
    /// The seat bound to this identity, locked against a revocation that runs beside.
    pub async fn lock_user_by_identity(
        &mut self,
        connection: ConnectionId,
        subject: &str,
    ) -> Result<Option<User>> {
        let row: Option<StoredUser> = sqlx::query_as(select_user!(
            "WHERE user_id = (SELECT user_id FROM identities WHERE con_id = $1 AND subject = $2) FOR SHARE"
        ))
        .bind(connection.uuid())
        .bind(subject)
        .fetch_optional(self.sql())
        .await?;
        Ok(row.map(User::from))
    }

    /// Locks the seat FOR SHARE: minting and signing in wait for a revocation, and it for them.
    pub async fn share_user(&mut self, id: UserId) -> Result<Option<User>> {
        let row: Option<StoredUser> = sqlx::query_as(select_user!("WHERE user_id = $1 FOR SHARE"))
            .bind(id.uuid())
            .fetch_optional(self.sql())
            .await?;
        Ok(row.map(User::from))
    }

    /// Locks the seat FOR UPDATE: whoever changes or revokes.
    pub async fn lock_user(&mut self, id: UserId) -> Result<Option<User>> {
        let row: Option<StoredUser> = sqlx::query_as(select_user!("WHERE user_id = $1 FOR UPDATE"))
            .bind(id.uuid())
            .fetch_optional(self.sql())
            .await?;
        Ok(row.map(User::from))
    }

    pub async fn lock_user_by_name(&mut self, user_name: &str) -> Result<Option<User>> {
        let row: Option<StoredUser> = sqlx::query_as(select_user!("WHERE user_name_norm = $1 FOR UPDATE"))
            .bind(normalised(user_name))
            .fetch_optional(self.sql())
            .await?;
        Ok(row.map(User::from))
    }

    /// Inserts a person with their addresses, with `room` for an active one's seat. False, and nothing is written,
    /// when somebody is in the way: the user name is taken in this org, or a name is claimed.
    pub async fn create_user(
        &mut self,
        new: &NewUser<'_>,
        room: Option<Room<counted::Seats>>,
    ) -> Result<bool> {
        let user = new.user;
        if user.active && room.is_none() {
            return Err(Error::NoRoom);
        }
        let org = self.org().uuid();
        let (addresses, kinds) = folded(new.emails);
        Ok(sqlx::query_scalar(concat!(
            "WITH made AS (
                 INSERT INTO users (org_id, user_id, user_name, user_name_norm, external_id, active, email,
                                    email_norm, display_name, given_name, family_name, attributes, dir_id, version,
                                    created_at, modified_at, display_name_norm)
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17
                  WHERE NOT EXISTS (",
            unowned!("$21"),
            ")
                 ON CONFLICT (org_id, user_name_norm) DO NOTHING
                 RETURNING user_id
             ), reached AS (
                 INSERT INTO user_emails (org_id, user_id, value_norm, kind_norm)
                 SELECT $1, made.user_id, n.value, n.kind
                   FROM made, UNNEST($18::text[], $19::text[]) AS n(value, kind)
                 ON CONFLICT DO NOTHING
             ), back AS (
                 DELETE FROM departed WHERE name_norm = ANY ($20) AND EXISTS (SELECT 1 FROM made)
             )
             SELECT EXISTS (SELECT 1 FROM made)",
        ))
        .bind(org)
        .bind(user.id.uuid())
        .bind(&user.user_name)
        .bind(normalised(&user.user_name))
        .bind(&user.external_id)
        .bind(user.active)
        .bind(&user.email)
        .bind(user.email.as_deref().map(normalised))
        .bind(&user.display_name)
        .bind(&user.given_name)
        .bind(&user.family_name)
        .bind(&user.attributes)
        .bind(optional(user.directory))
        .bind(user.version)
        .bind(OffsetDateTime::from(user.created_at))
        .bind(OffsetDateTime::from(user.modified_at))
        .bind(user.display_name.as_deref().map(normalised))
        .bind(addresses)
        .bind(kinds)
        .bind(norms(new.given_back))
        .bind(norms(new.unclaimed))
        .fetch_one(self.sql())
        .await?)
    }

    /// Writes back a person whom this transaction has locked, with `room` for the seat of one who was inactive
    /// and is no longer; the version grows by one.
    pub async fn save_user(&mut self, user: &User, room: Option<Room<counted::Seats>>) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        let saved = sqlx::query(
            "UPDATE users
                SET user_name = $2, user_name_norm = $3, external_id = $4, active = $5, email = $6, email_norm = $7,
                    display_name = $8, given_name = $9, family_name = $10, attributes = $11, dir_id = $12,
                    version = version + 1, modified_at = $13, display_name_norm = $14
              WHERE user_id = $1
                AND (active OR $15 OR NOT $5)",
        )
        .bind(user.id.uuid())
        .bind(&user.user_name)
        .bind(normalised(&user.user_name))
        .bind(&user.external_id)
        .bind(user.active)
        .bind(&user.email)
        .bind(user.email.as_deref().map(normalised))
        .bind(&user.display_name)
        .bind(&user.given_name)
        .bind(&user.family_name)
        .bind(&user.attributes)
        .bind(optional(user.directory))
        .bind(now)
        .bind(user.display_name.as_deref().map(normalised))
        .bind(room.is_some())
        .execute(self.sql())
        .await?;
        if saved.rows_affected() == 1 { Ok(()) } else { Err(Error::NoRoom) }
    }

    /// Locks the groups that hold the person, before the person is: who reads one of them afterwards sees by its
    /// version that they have left. None of them where the person belongs to another directory than this: that is
    /// refused, and need not be waited for. `share_mappings` comes first.
    pub async fn lock_groups_of(&mut self, id: UserId, directory: DirectoryId) -> Result<()> {
        sqlx::query(
            "SELECT 1
               FROM groups g
               JOIN group_members m USING (org_id, group_id)
               JOIN users u USING (org_id, user_id)
              WHERE m.user_id = $1
                AND (u.dir_id IS NULL OR u.dir_id = $2)
              ORDER BY group_id
                FOR NO KEY UPDATE OF g",
        )
        .bind(id.uuid())
        .bind(directory.uuid())
        .execute(self.sql())
        .await?;
        Ok(())
    }

    /// Takes the seat away, with all that hangs on it; the groups that lose a member are changed by it.
    /// Revoke first, in the same transaction. The groups are locked already (`lock_groups_of`); one that the person
    /// joined since is not waited for, because whoever has it locked may wait for the person: `Error::Late`.
    pub async fn remove_user(&mut self, id: UserId) -> Result<()> {
        let now = OffsetDateTime::from(self.now());
        sqlx::query(
            "UPDATE groups
                SET version = version + 1, modified_at = $2
              WHERE group_id IN (SELECT g.group_id
                                   FROM groups g
                                   JOIN group_members m USING (org_id, group_id)
                                  WHERE m.user_id = $1
                                    FOR NO KEY UPDATE OF g NOWAIT)",
        )
        .bind(id.uuid())
        .bind(now)
        .execute(self.sql())
        .await?;
        sqlx::query("DELETE FROM users WHERE user_id = $1").bind(id.uuid()).execute(self.sql()).await?;
        Ok(())
    }
}
