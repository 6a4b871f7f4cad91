//! The walls between orgs, taken away one at a time in a database of their own: the catalogue must miss
//! each. And what the walls do: for every table, what `vst_app` sees and may do at each reach, with rows
//! of two orgs present, held to `snapshots/reach.txt`.

use crate::enclosure::{ENCLOSED, complaints, patterns};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use std::{collections::BTreeSet, fmt::Write, path::Path};
use vestibule::embedded::{Embedded, EmbeddedOptions};

/// A fresh, migrated database nobody else looks at; it is gone when this is dropped.
struct Own {
    sql: PgConnection,
    _embedded: Embedded,
    _folder: tempfile::TempDir,
}

async fn own() -> Own {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { redis: false, durable: false, ..EmbeddedOptions::new(folder.path()) };
    let embedded = tokio::task::spawn_blocking(move || Embedded::start(&options).unwrap()).await.unwrap();
    let url = embedded.database_url.clone().unwrap();
    store::migrate(&url).await.unwrap();
    let mut sql = PgConnection::connect(&url).await.unwrap();
    run(&mut sql, "SET search_path = vst; SET ROLE vst_owner").await;
    Own { sql, _embedded: embedded, _folder: folder }
}

async fn run(sql: &mut PgConnection, statements: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(sql).await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

fn tables() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENCLOSED.iter().flat_map(|(kind, tables)| tables.iter().map(|table| (*kind, *table)))
}

/// Every way to weaken one table, and a word of the complaint it must give.
async fn breaches(sql: &mut PgConnection, table: &str) -> Vec<(String, &'static str)> {
    let on = format!("ON vst.{table}");
    let alter = format!("ALTER TABLE vst.{table}");
    // A unique key of a partitioned table holds what it is partitioned by.
    let key = if table == "audit_events" { "at" } else { "extra" };
    let mut found = vec![
        (format!("{alter} DISABLE ROW LEVEL SECURITY"), "not forced"),
        (format!("{alter} NO FORCE ROW LEVEL SECURITY"), "not forced"),
        (format!("CREATE POLICY more {on} USING (true)"), "other policies"),
        (format!("GRANT TRUNCATE {on} TO vst_app"), "a right"),
        (format!("GRANT REFERENCES {on} TO vst_app"), "a right"),
        (format!("GRANT SELECT {on} TO PUBLIC"), "a right"),
        (format!("GRANT SELECT {on} TO vst_gate"), "a right"),
        (format!("GRANT SELECT {on} TO vst_app WITH GRANT OPTION"), "a right"),
        (
            format!("{alter} ADD COLUMN extra timestamptz; CREATE UNIQUE INDEX {on} ({key}, org_id)"),
            "a unique key",
        ),
        (format!("{alter} ADD COLUMN extra uuid REFERENCES vst.orgs"), "a foreign key"),
        (format!("CREATE VIEW vst.all_{table} AS SELECT * FROM vst.{table}"), "neither"),
        (format!("CREATE MATERIALIZED VIEW vst.all_{table} AS SELECT * FROM vst.{table}"), "neither"),
        (
            format!(
                "CREATE FUNCTION vst.count_{table}() RETURNS bigint LANGUAGE sql SECURITY DEFINER
                 AS 'SELECT count(*) FROM vst.{table}'"
            ),
            "a definer",
        ),
    ];
    let policies: Vec<String> = sqlx::query_scalar(
        "SELECT policyname::text FROM pg_policies WHERE schemaname = 'vst' AND tablename = $1",
    )
    .bind(table)
    .fetch_all(sql)
    .await
    .unwrap();
    for policy in policies {
        found.extend([
            (format!("DROP POLICY {policy} {on}"), "other policies"),
            (format!("ALTER POLICY {policy} {on} USING (true)"), "other policies"),
            (format!("ALTER POLICY {policy} {on} WITH CHECK (true)"), "other policies"),
            (format!("ALTER POLICY {policy} {on} TO vst_gate"), "other policies"),
            (
                format!("DROP POLICY {policy} {on}; CREATE POLICY {policy} {on} FOR SELECT USING (true)"),
                "other policies",
            ),
        ]);
    }
    found
}

#[tokio::test]
async fn no_wall_can_be_taken_away_without_the_catalogue_missing_it() {
    let mut own = own().await;
    let sql = &mut own.sql;
    let patterns = patterns(sql).await;
    assert_eq!(complaints(sql, &patterns).await, BTreeSet::new(), "a whole database");
    let (mut tried, mut slipped) = (0, Vec::new());
    for (_, table) in tables() {
        for (breach, word) in breaches(sql, table).await {
            run(sql, &format!("BEGIN; {breach}")).await;
            let said = complaints(sql, &patterns).await;
            let named = said.iter().any(|line| line.contains(table) && line.contains(word));
            if !named {
                slipped.push(format!("{breach}: {said:?}"));
            }
            run(sql, "ROLLBACK").await;
            tried += 1;
        }
    }
    assert!(slipped.is_empty(), "{} of {tried} slipped by:\n{}", slipped.len(), slipped.join("\n"));
    assert!(tried > 500, "{tried}");
    assert_eq!(complaints(sql, &patterns).await, BTreeSet::new(), "and whole again");
}

#[tokio::test]
async fn a_table_in_no_list_and_a_reachable_partition_are_missed_too() {
    let mut own = own().await;
    let sql = &mut own.sql;
    let patterns = patterns(sql).await;
    for (breach, wanted) in [
        ("CREATE TABLE vst.notes (org_id uuid PRIMARY KEY)", "notes: in no list"),
        (
            "CREATE TABLE vst.notes (org_id uuid PRIMARY KEY); SELECT vst.enclose('vst.notes', 'org', 'SELECT')",
            "notes: in no list",
        ),
        (
            "ALTER TABLE vst.audit_events_default NO FORCE ROW LEVEL SECURITY",
            "audit_events_default: row level",
        ),
        ("GRANT SELECT ON vst.audit_events_default TO vst_app", "audit_events_default: a right"),
        ("CREATE POLICY p ON vst.audit_events_default USING (true)", "audit_events_default: other policies"),
        ("GRANT SELECT ON vst.route_credential TO vst_app", "route_credential: a right"),
        ("ALTER TABLE vst.apps ENABLE ROW LEVEL SECURITY", "apps: listed as open"),
    ] {
        run(sql, &format!("BEGIN; {breach}")).await;
        let said = complaints(sql, &patterns).await;
        assert!(said.iter().any(|line| line.starts_with(wanted)), "{breach}: {said:?}");
        run(sql, "ROLLBACK").await;
    }
}

const A: &str = "00000000-0000-7000-8000-00000000000a";
const B: &str = "00000000-0000-7000-8000-00000000000b";

/// The statement that puts row `n` of an org into a table: every column that must have a value, from its
/// name and type alone, so that rows of the same `n` refer to each other.
async fn filling(sql: &mut PgConnection, table: &str) -> String {
    let columns = sqlx::query(
        "SELECT a.attname::text AS name, format_type(a.atttypid, NULL) AS kind,
                (SELECT substring(pg_get_constraintdef(c.oid) FROM '''([a-z_]+)''')
                   FROM pg_constraint c
                  WHERE c.conrelid = a.attrelid AND c.contype = 'c' AND c.conkey = ARRAY[a.attnum]) AS first
           FROM pg_attribute a
          WHERE a.attrelid = ('vst.' || $1)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
          ORDER BY a.attnum",
    )
    .bind(table)
    .fetch_all(sql)
    .await
    .unwrap();
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in columns {
        let (name, kind): (String, String) = (column.get("name"), column.get("kind"));
        let own = format!("md5(:org || '{name}' || :n)");
        values.push(match (name.as_str(), kind.as_str(), column.get::<Option<String>, _>("first")) {
            ("org_id", ..) => "current_org()".to_owned(),
            (_, _, Some(allowed)) => format!("'{allowed}'"),
            (_, "uuid", _) => format!("{own}::uuid"),
            (_, "text", _) => own,
            (_, "bytea", _) => format!("decode({own}, 'hex')"),
            (_, "boolean", _) => "true".to_owned(),
            (_, "jsonb", _) => "'{}'".to_owned(),
            (_, "text[]" | "uuid[]", _) => "'{}'".to_owned(),
            (_, kind, _) if kind.starts_with("timestamp") => "now()".to_owned(),
            (_, "integer" | "bigint", _) => ":n".to_owned(),
            (_, other, _) => panic!("{table}.{name}: how is a {other} filled?"),
        });
        names.push(name);
    }
    format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "))
}

fn row(filling: &str, org: &str, n: i32) -> String {
    filling.replace(":org", &format!("'{org}'")).replace(":n", &n.to_string())
}

/// The seat and the team of row `n`, as `filling` makes them.
fn id(name: &str, org: &str, n: i32) -> String {
    format!("md5('{org}' || '{name}' || {n})::uuid::text")
}

/// A reach as a door sets it: the facts of the transaction.
fn reaches() -> Vec<(&'static str, String)> {
    let set = |facts: &[(&str, &str)]| {
        let one = |(name, value): &(&str, &str)| format!("set_config('app.{name}', {value}, true)");
        format!("SELECT {}", facts.iter().map(one).collect::<Vec<_>>().join(", "))
    };
    let a = format!("'{A}'");
    let (seat, team) = (id("user_id", A, 1), format!("'{{' || {} || '}}'", id("team_id", A, 1)));
    vec![
        ("nothing set", set(&[("org_id", "''"), ("reach", "''")])),
        ("no reach", set(&[("org_id", &a), ("reach", "''")])),
        ("no org", set(&[("org_id", "''"), ("reach", "'org'")])),
        ("an unknown reach", set(&[("org_id", &a), ("reach", "'all'")])),
        ("seat of nobody", set(&[("org_id", &a), ("reach", "'seat'"), ("user_id", "''")])),
        ("team of none", set(&[("org_id", &a), ("reach", "'team'"), ("team_ids", "''")])),
        ("org", set(&[("org_id", &a), ("reach", "'org'")])),
        ("team", set(&[("org_id", &a), ("reach", "'team'"), ("team_ids", &team)])),
        ("seat", set(&[("org_id", &a), ("reach", "'seat'"), ("user_id", &seat)])),
    ]
}

/// How many rows a statement reaches as `vst_app`; `-` without the right, `!` refused by a
/// policy, `k` by a key alone.
async fn reached(sql: &mut PgConnection, facts: &str, statement: &str) -> String {
    run(sql, "SAVEPOINT before; SET LOCAL ROLE vst_app").await;
    sqlx::raw_sql(AssertSqlSafe(facts.to_owned())).execute(&mut *sql).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *sql).await;
    let said = match done {
        Ok(done) => done.rows_affected().to_string(),
        Err(error) if error.to_string().contains("permission denied for table") => "-".to_owned(),
        Err(error) if error.to_string().contains("violates row-level security") => "!".to_owned(),
        Err(error) if error.to_string().contains("duplicate key") => "k".to_owned(),
        Err(error) => panic!("{statement}: {error}"),
    };
    run(sql, "ROLLBACK TO before").await;
    said
}

/// One cell: select, insert of an own row and of another seat's, update, delete.
async fn cell(sql: &mut PgConnection, facts: &str, table: &str, filling: &str) -> String {
    let select = reached(sql, facts, &format!("SELECT 1 FROM {table}")).await;
    // A row of the caller's own seat and team, then one of another's; ids of their own.
    let (mut own, mut other) = (row(filling, A, 3), row(filling, A, 3));
    for name in ["user_id", "team_id"] {
        let of = |n: i32| format!("md5('{A}' || '{name}' || {n})");
        if ![("user_id", "users"), ("team_id", "teams")].contains(&(name, table)) {
            (own, other) = (own.replace(&of(3), &of(1)), other.replace(&of(3), &of(2)));
        }
    }
    let insert = format!("{}{}", reached(sql, facts, &own).await, reached(sql, facts, &other).await);
    let update = reached(sql, facts, &format!("UPDATE {table} SET org_id = org_id")).await;
    let delete = reached(sql, facts, &format!("DELETE FROM {table}")).await;
    format!("S{select} I{insert} U{update} D{delete}")
}

#[tokio::test]
async fn what_each_reach_sees_and_does_is_the_reviewed_snapshot() {
    let mut own = own().await;
    let sql = &mut own.sql;
    // Rows are written in the tables' order: what they refer to comes when it comes.
    let references: Vec<String> = sqlx::query_scalar(
        "SELECT format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE INITIALLY DEFERRED', conrelid::regclass, conname)
           FROM pg_constraint WHERE contype = 'f' AND connamespace = 'vst'::regnamespace AND conparentid = 0",
    )
    .fetch_all(&mut *sql)
    .await
    .unwrap();
    run(sql, &references.join(";")).await;
    let mut fillings = Vec::new();
    for (kind, table) in tables() {
        fillings.push((kind, table, filling(sql, table).await));
    }
    for org in [A, B] {
        run(
            sql,
            &format!(
                "BEGIN; SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true)"
            ),
        )
        .await;
        for (_, table, filling) in &fillings {
            let alone = matches!(*table, "orgs" | "revocation_heads");
            for n in 1..=(if alone { 1 } else { 2 }) {
                run(sql, &row(filling, org, n)).await;
            }
        }
        run(sql, "COMMIT").await;
    }
    let mut printed = String::from(HEADER);
    run(sql, "BEGIN").await;
    for (reach, facts) in reaches() {
        writeln!(printed, "\n{reach}").unwrap();
        let mut silent = Vec::new();
        for (kind, table, filling) in &fillings {
            let cell = cell(sql, &facts, table, filling).await;
            let foreign = reached(sql, &facts, &format!("SELECT 1 FROM {table} WHERE org_id = '{B}'")).await;
            assert_eq!(foreign, "0", "{reach}: {table} shows rows of another org");
            let theirs = row(filling, B, 4).replace("current_org()", &format!("'{B}'"));
            let written = reached(sql, &facts, &theirs).await;
            assert!(matches!(written.as_str(), "!" | "-"), "{reach}: {table} takes a row of another org");
            if cell.chars().any(|c| c == 'k' || (c.is_ascii_digit() && c != '0')) {
                writeln!(printed, "  {table:<20} {kind:<5} {cell}").unwrap();
            } else {
                silent.push(*table);
            }
        }
        if silent.len() == fillings.len() {
            writeln!(printed, "  no table shows, takes, changes or loses a row").unwrap();
        } else if !silent.is_empty() {
            writeln!(printed, "  nothing in: {}", silent.join(", ")).unwrap();
        }
    }
    run(sql, "ROLLBACK").await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/reach.txt");
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(printed == reviewed, "review this, and keep it as tests/snapshots/reach.txt:\n{printed}");
}

const HEADER: &str =
    "What vst_app sees and does at each reach, in a database with two rows of org A and two of org B in every
table (one of each in orgs and revocation_heads). The reach is A's. Doors: org for Visitor, ScimClient,
AppClient, Administrator, Operator and Job; seat for Subject; team for none yet.

  S rows it sees · I inserted: a row of its own seat and team, then one of another's · U rows it changes
  · D rows it removes · - no right · ! refused by a policy · k by a key alone
";
