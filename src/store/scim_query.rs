//! What a directory searches for: a judge's condition and order, as a page of rows. A page begins where
//! the one before it ended, by the order's own values, so it costs what it shows; rows may be skipped
//! instead, up to a bound that the caller sets. The one room that writes SQL as it goes: its words are
//! its own and every value is bound. RFC 7644 3.4.2, RFC 9865.

mod conditions;
mod places;
mod statements;

use crate::{Error, Group, Result, TenantRead, User, groups::StoredGroup, users::StoredUser};
use model::ids::{DirectoryId, GroupId, UserId};
use places::Sql;
use scim::{Condition, Kind, sort::SortKey};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Postgres, error::DatabaseError, query_builder::QueryBuilder};
use uuid::Uuid;

/// A search by one directory.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Of people.
    pub users: &'a Condition,
    pub groups: &'a Condition,
    pub sorting: Option<&'a Sorting<'a>>,
    pub start: Start<'a>,
    pub limit: i64,
    /// Whose groups are seen.
    pub directory: DirectoryId,
    /// Absolute URL of the service: what `meta.location` and `$ref` begin with.
    pub base: &'a str,
}

/// An order. Resources of a type without the key have none and come last, in descending order first.
#[derive(Clone, Copy, Debug)]
pub struct Sorting<'a> {
    pub users: Option<&'a SortKey>,
    pub groups: Option<&'a SortKey>,
    pub descending: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// So many are skipped.
    At(i64),
    /// Behind this one, whether or not it is still there.
    After(&'a Position),
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The text it was ordered by.
    pub key: Option<String>,
    pub at: Either,
}

/// A page.
#[derive(Debug)]
pub struct Found<T> {
    pub rows: Vec<T>,
    /// Where it ended, if more come after.
    pub more: Option<Position>,
}

/// A person or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Either {
    User(UserId),
    Group(GroupId),
}

impl Either {
    const fn kind(self) -> Kind {
        match self {
            Self::User(_) => Kind::User,
            Self::Group(_) => Kind::Group,
        }
    }
    const fn uuid(self) -> Uuid {
        match self {
            Self::User(id) => id.uuid(),
            Self::Group(id) => id.uuid(),
        }
    }
}

#[derive(FromRow)]
struct FoundUser {
    #[sqlx(flatten)]
    user: StoredUser,
    sort_key: Option<String>,
    found: i64,
}

#[derive(FromRow)]
struct FoundGroup {
    #[sqlx(flatten)]
    group: StoredGroup,
    sort_key: Option<String>,
    found: i64,
}

#[derive(FromRow)]
struct FoundEither {
    kind: i32,
    id: Uuid,
    sort_key: Option<String>,
    found: i64,
    bytes: Option<i64>,
}

impl<'a> Search<'a> {
    const fn condition(&self, kind: Kind) -> &'a Condition {
        match kind {
            Kind::User => self.users,
            Kind::Group => self.groups,
        }
    }
    fn key(&self, kind: Kind) -> Option<&'a SortKey> {
        self.sorting.and_then(|sorting| match kind {
            Kind::User => sorting.users,
            Kind::Group => sorting.groups,
        })
    }
    const fn after(&self) -> Option<&'a Position> {
        match self.start {
            Start::At(_) => None,
            Start::After(position) => Some(position),
        }
    }
    /// Does an index find the few that are asked for?
    fn is_narrow(&self) -> bool {
        self.users.is_narrow() && self.groups.is_narrow()
    }
    const fn is_unfiltered(&self) -> bool {
        matches!((self.users, self.groups), (Condition::Constant(_), Condition::Constant(_)))
    }
    /// Everybody, in an order that an index has?
    fn is_in_order(&self, kind: Kind) -> bool {
        self.is_unfiltered() && self.sorting.is_none_or(|sorting| sorting.is_never_null(kind))
    }
    /// A search that takes too long is its asker's doing, unless an index finds what it is for.
    fn refused(&self, error: sqlx::Error) -> Error {
        // 57014 query_canceled: statement_timeout. 53400 configuration_limit_exceeded: temp_file_limit.
        let too_much = |db: &dyn DatabaseError| matches!(db.code().as_deref(), Some("57014" | "53400"));
        if error.as_database_error().is_some_and(too_much) && !self.is_narrow() {
            Error::TooCostly
        } else {
            error.into()
        }
    }
}

impl Sorting<'_> {
    /// Has every resource of this type the key?
    fn is_never_null(&self, kind: Kind) -> bool {
        use scim::{condition::Place, sort::At};
        let key = if kind == Kind::User { self.users } else { self.groups };
        matches!(key.map(|key| &key.at), Some(At::Single(Place::UserName)))
    }
}

impl TenantRead {
    /// A page of people. It ends early with the document that reaches `bytes`; without `bytes` no
    /// document is read. `Error::TooCostly` when it took longer than a statement may.
    pub async fn search_users(&mut self, search: &Search<'_>, bytes: Option<i64>) -> Result<Found<User>> {
        let one_more = Search { limit: search.limit.saturating_add(1), ..*search };
        let mut sql = statements::people("", &one_more, bytes);
        self.in_order(search, Kind::User).await?;
        let rows: Vec<FoundUser> = self.fetch(&one_more, &mut sql).await?;
        Ok(found(rows, search.limit, |row| {
            let user = User::from(row.user);
            let position = Position { key: row.sort_key, at: Either::User(user.id) };
            (user, position, row.found)
        }))
    }

    /// A page of the directory's groups. Errors as `search_users`.
    pub async fn search_groups(&mut self, search: &Search<'_>) -> Result<Found<Group>> {
        let one_more = Search { limit: search.limit.saturating_add(1), ..*search };
        let mut sql = statements::groups("", &one_more);
        self.in_order(search, Kind::Group).await?;
        let rows: Vec<FoundGroup> = self.fetch(&one_more, &mut sql).await?;
        Ok(found(rows, search.limit, |row| {
            let group = Group::from(row.group);
            let position = Position { key: row.sort_key, at: Either::Group(group.id) };
            (group, position, row.found)
        }))
    }

    /// A page of both, people first where nothing else orders them; it ends early with the document that
    /// reaches `bytes`. Errors as `search_users`.
    pub async fn search_both(&mut self, search: &Search<'_>, bytes: i64) -> Result<Found<Either>> {
        let one_more = Search { limit: search.limit.saturating_add(1), ..*search };
        let mut sql = statements::mixed("", &one_more);
        let mut rows: Vec<FoundEither> = self.fetch(&one_more, &mut sql).await?;
        let mut before = 0;
        rows.retain(|row| {
            let fits = before < bytes;
            before += row.bytes.unwrap_or_default();
            fits
        });
        Ok(found(rows, search.limit, |row| {
            let one = match row.kind {
                0 => Either::User(UserId::from_uuid(row.id)),
                _ => Either::Group(GroupId::from_uuid(row.id)),
            };
            (one, Position { key: row.sort_key, at: one }, row.found)
        }))
    }

    /// How many there are of these types, on whatever page. Errors as `search_users`.
    pub async fn search_total(&mut self, search: &Search<'_>, kinds: &[Kind]) -> Result<i64> {
        let mut sql = statements::total(search, kinds);
        let counted: (i64,) = sql
            .builder()
            .build_query_as()
            .persistent(search.is_narrow() || search.is_unfiltered())
            .fetch_one(self.sql())
            .await
            .map_err(|error| search.refused(error))?;
        Ok(counted.0)
    }

    /// How Postgres would find a page of one type: the tests hold the indexes by it.
    pub async fn search_plan(&mut self, search: &Search<'_>, kind: Kind) -> Result<Vec<String>> {
        let mut sql = match kind {
            Kind::User => statements::people("EXPLAIN (COSTS OFF) ", search, None),
            Kind::Group => statements::groups("EXPLAIN (COSTS OFF) ", search),
        };
        self.in_order(search, kind).await?;
        let lines: Vec<(String,)> = self.fetch(search, &mut sql).await?;
        Ok(lines.into_iter().map(|(line,)| line).collect())
    }

    /// The planner takes the policies for a filter that lets next to nothing through, and would read and
    /// sort the whole directory for a page that an index has in order.
    async fn in_order(&mut self, search: &Search<'_>, kind: Kind) -> Result<()> {
        if search.is_in_order(kind) {
            sqlx::query("SET LOCAL enable_sort = off").execute(self.sql()).await?;
        }
        Ok(())
    }

    async fn fetch<T>(&mut self, search: &Search<'_>, sql: &mut Sql<'_>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let builder: &mut QueryBuilder<Postgres> = sql.builder();
        let asked = builder.build_query_as().persistent(search.is_narrow() || search.is_unfiltered());
        asked.fetch_all(self.sql()).await.map_err(|error| search.refused(error))
    }
}

/// The rows of a page that were asked for; one more tells that it is not the last, and so do rows that
/// were found and are not here.
fn found<R, T>(rows: Vec<R>, limit: i64, read: impl Fn(R) -> (T, Position, i64)) -> Found<T> {
    let limit = usize::try_from(limit).unwrap_or_default();
    let (mut kept, mut last, mut all) = (Vec::with_capacity(rows.len()), None, 0);
    for row in rows.into_iter().take(limit) {
        let (row, position, found) = read(row);
        kept.push(row);
        (last, all) = (Some(position), found);
    }
    let more = usize::try_from(all).is_ok_and(|all| all > kept.len());
    Found { rows: kept, more: last.filter(|_| more) }
}
