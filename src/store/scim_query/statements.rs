//! The statements of a search: a page of one type, a page of all types, and how many there are. An
//! order is always total, because the id stands at its end; so "what comes after" is a condition and
//! not a number, and no page costs what stands before it.

use super::{
    Position, Search, Sorting, Start,
    conditions::condition,
    places::{Asker, At, Sql},
};
use scim::Kind;

const PERSON: &str = "u.user_id, u.user_name, u.external_id, u.active, u.email, u.display_name, u.given_name,
                      u.family_name, u.dir_id";
const PERSON_END: &str = "u.version, u.created_at, u.modified_at";

fn asker<'a>(search: &Search<'a>, kind: Kind) -> Asker<'a> {
    Asker { kind, directory: search.directory.uuid(), base: search.base }
}

/// FROM and WHERE of one type: what matches, and comes after the position.
fn matching(sql: &mut Sql<'_>, search: &Search<'_>, kind: Kind, after: Option<&Position>) {
    match kind {
        Kind::User => sql.push(" FROM users u WHERE "),
        Kind::Group => {
            sql.push(" FROM groups g WHERE g.dir_id = ");
            sql.bind_directory();
            sql.push(" AND ");
        }
    }
    condition(sql, search.condition(kind), At::Resource);
    if let Some(position) = after {
        sql.push(" AND ");
        let id = sql.id();
        let never_null = search.sorting.is_some_and(|sorting| sorting.is_never_null(kind));
        later(
            sql,
            search.sorting,
            position,
            never_null,
            |sql| sql.sort_key(search.key(kind)),
            |sql| {
                sql.push(format_args!("{id} > "));
                sql.bind(position.at.uuid());
            },
        );
    }
}

/// What comes after a position. A resource without a key is the last, in descending order the first.
fn later(
    sql: &mut Sql<'_>,
    sorting: Option<&Sorting<'_>>,
    position: &Position,
    never_null: bool,
    key: impl Fn(&mut Sql<'_>),
    id_after: impl Fn(&mut Sql<'_>),
) {
    let Some(sorting) = sorting else { return id_after(sql) };
    let Some(at) = &position.key else {
        sql.push("((");
        key(sql);
        sql.push(" IS NULL AND ");
        id_after(sql);
        sql.push(")");
        if sorting.descending {
            sql.push(" OR ");
            key(sql);
            sql.push(" IS NOT NULL");
        }
        return sql.push(")");
    };
    let (within, beyond) = if sorting.descending { (" <= ", " < ") } else { (" >= ", " > ") };
    sql.push("((");
    key(sql);
    sql.push(within);
    sql.bind(at.clone());
    sql.push(" AND (");
    key(sql);
    sql.push(beyond);
    sql.bind(at.clone());
    sql.push(" OR ");
    id_after(sql);
    sql.push("))");
    if !sorting.descending && !never_null {
        sql.push(" OR ");
        key(sql);
        sql.push(" IS NULL");
    }
    sql.push(")");
}

/// ORDER BY, over rows that have a `sort_key`.
fn order(sorting: Option<&Sorting<'_>>, ids: &str) -> String {
    match sorting {
        None => ids.to_owned(),
        Some(Sorting { descending: false, .. }) => format!("sort_key NULLS LAST, {ids}"),
        Some(Sorting { descending: true, .. }) => format!("sort_key DESC NULLS FIRST, {ids}"),
    }
}

fn page(sql: &mut Sql<'_>, search: &Search<'_>) {
    if let Start::At(skipped) = search.start
        && skipped > 0
    {
        sql.push(" OFFSET ");
        sql.bind(skipped);
    }
    sql.push(" LIMIT ");
    sql.bind(search.limit);
}

/// A page of people. One whose documents are large ends with the one that reaches `bytes`: at least one,
/// and how large they are is told by the database. Without `bytes` no document is read.
pub(super) fn people<'a>(start: &str, search: &Search<'a>, bytes: Option<i64>) -> Sql<'a> {
    let order = order(search.sorting, "user_id");
    let mut sql = Sql::new(start, asker(search, Kind::User));
    sql.push("SELECT * FROM (SELECT p.*, count(*) OVER () AS found, ");
    match bytes {
        Some(_) => sql.push(format_args!(
            "COALESCE(sum(octet_length(attributes::text))
                      OVER (ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)"
        )),
        None => sql.push("0"),
    }
    let attributes = if bytes.is_some() { "u.attributes" } else { "'{}'::jsonb AS attributes" };
    sql.push(format_args!(" AS bytes_before FROM (SELECT {PERSON}, {attributes}, {PERSON_END}, "));
    sql.sort_key(search.key(Kind::User));
    sql.push(" AS sort_key");
    matching(&mut sql, search, Kind::User, search.after());
    sql.push(format_args!(" ORDER BY {order}"));
    page(&mut sql, search);
    sql.push(") p) q WHERE bytes_before < ");
    sql.bind(bytes.unwrap_or(1));
    sql.push(format_args!(" ORDER BY {order}"));
    sql
}

pub(super) fn groups<'a>(start: &str, search: &Search<'a>) -> Sql<'a> {
    let order = order(search.sorting, "group_id");
    let mut sql = Sql::new(start, asker(search, Kind::Group));
    sql.push(
        "SELECT p.*, count(*) OVER () AS found
           FROM (SELECT g.group_id, g.dir_id, g.display_name, g.external_id, g.version, g.created_at,
                        g.modified_at, ",
    );
    sql.sort_key(search.key(Kind::Group));
    sql.push(" AS sort_key");
    matching(&mut sql, search, Kind::Group, search.after());
    sql.push(format_args!(" ORDER BY {order}"));
    page(&mut sql, search);
    sql.push(format_args!(") p ORDER BY {order}"));
    sql
}

/// A page of people and groups alike: which they are, in order; and how large a person's document is.
pub(super) fn mixed<'a>(start: &str, search: &Search<'a>) -> Sql<'a> {
    let order = order(search.sorting, "kind, id");
    let mut sql = Sql::new(start, asker(search, Kind::User));
    sql.push(
        "SELECT p.*, count(*) OVER () AS found,
                (SELECT octet_length(u.attributes::text)::bigint FROM users u WHERE kind = 0 AND u.user_id = p.id)
                    AS bytes
           FROM (SELECT * FROM (SELECT kind, id, sort_key COLLATE \"C\" AS sort_key FROM (
                 SELECT 0 AS kind, u.user_id AS id, ",
    );
    sql.sort_key(search.key(Kind::User));
    sql.push(" AS sort_key");
    matching(&mut sql, search, Kind::User, None);
    sql.push(" UNION ALL SELECT 1, g.group_id, ");
    sql.of(Kind::Group);
    sql.sort_key(search.key(Kind::Group));
    matching(&mut sql, search, Kind::Group, None);
    sql.push(") either) t");
    if let Some(position) = search.after() {
        sql.push(" WHERE ");
        later(
            &mut sql,
            search.sorting,
            position,
            false,
            |sql| sql.push("sort_key"),
            |sql| {
                sql.push("(kind, id) > (");
                sql.bind(number(position.at.kind()));
                sql.push(", ");
                sql.bind(position.at.uuid());
                sql.push(")");
            },
        );
    }
    sql.push(format_args!(" ORDER BY {order}"));
    page(&mut sql, search);
    sql.push(format_args!(") p ORDER BY {order}"));
    sql
}

pub(super) const fn number(kind: Kind) -> i32 {
    match kind {
        Kind::User => 0,
        Kind::Group => 1,
    }
}

/// How many there are of these types, over all pages.
pub(super) fn total<'a>(search: &Search<'a>, kinds: &[Kind]) -> Sql<'a> {
    let mut sql = Sql::new("SELECT (0", asker(search, Kind::User));
    for kind in kinds {
        sql.of(*kind);
        sql.push(" + (SELECT count(*)");
        matching(&mut sql, search, *kind, None);
        sql.push(")");
    }
    sql.push(")::bigint");
    sql
}
