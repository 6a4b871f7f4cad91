//! The catalogue: every table is enclosed exactly as `enclose()` does it for its kind, or stands in the
//! short list with its reason. `tests/policies.rs` takes each wall away in turn and wants it missed here.

use crate::house::house;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

/// Tables without policies, and why that is right.
pub const OPEN: &[(&str, &str)] = &[
    ("route_org", "routing: ids and slugs; vst_app has no right on it"),
    ("route_host", "routing: host to org"),
    ("route_domain", "routing: proven domain to org"),
    ("route_connection", "routing: connection to org"),
    ("route_credential", "routing: digest to org"),
    ("pending", "what waits for a job: ids alone"),
    ("apps", "the platform's own clients"),
    ("app_assertions", "client assertions that were used, as digests: the platform's own clients'"),
    ("app_orgs", "which orgs an app serves"),
    ("platform_keys", "the platform's own keys, as digests"),
    ("platform_secrets", "the platform's own secrets, sealed"),
    ("streams", "where apps want events of Shared Signals: the platform's own"),
    ("platform_events", "the platform's own record"),
    ("signing_keys", "the platform's own keys, the private halves sealed"),
    ("signing_keys_head", "the number of the signing keys as they are: one row, of nobody"),
    ("revocation_feed", "what apps are told of revocations: opaque ids alone"),
    ("revocation_feed_head", "the newest position of the feed: one row, of nobody"),
    ("plans", "the catalogue of plans: no customer's"),
    ("redis_guard", "what Redis must hold: one row, of nobody"),
];

/// The enclosed tables by their kind: who inside the org sees which rows.
#[rustfmt::skip]
pub const ENCLOSED: &[(&str, &[&str])] = &[
    ("org", &["orgs", "org_hosts", "domains", "connections", "directories", "credentials", "service_accounts", "departed", "groups",
              "holds", "seat_counts", "quota_notices", "group_mappings", "revocation_heads", "revocations", "first_uses", "audit_events", "audit_values",
              "usage_events", "refusals", "webhooks", "deliveries", "idempotent_answers", "feed_acks"]),
    ("team", &["teams", "team_members"]),
    ("seat", &["users", "identities", "user_roles", "group_members", "user_emails", "sessions", "codes",
               "refresh_families", "deprovisionings", "held_people", "logouts", "stream_events", "scim_requests",
               "scim_request_people", "scim_request_sums"]),
];

/// Functions that run with their owner's rights: the gate's doors, what keeps its routes, what makes the
/// record's months, and what has tables measured.
const DEFINERS: &[&str] = &[
    "gate_connection",
    "gate_credential",
    "gate_domain",
    "gate_host",
    "gate_org",
    "gate_orgs",
    "gate_plan_orgs",
    "gate_slug",
    "follow_route",
    "make_audit_months",
    "measure_grown",
];

type Policies = Vec<(String, String, String, String, String, String)>;

/// The policies of a table, whole.
async fn policies(sql: &mut PgConnection, table: &str) -> Policies {
    sqlx::query_as(
        "SELECT policyname::text, permissive, roles::text, cmd, COALESCE(qual, ''), COALESCE(with_check, '')
           FROM pg_policies
          WHERE (schemaname, tablename) = (SELECT n.nspname, c.relname
                                             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                                            WHERE c.oid = $1::regclass)
          ORDER BY policyname",
    )
    .bind(table)
    .fetch_all(sql)
    .await
    .unwrap()
}

/// What `enclose()` writes for each kind, tried out on tables that are gone again.
pub async fn patterns(sql: &mut PgConnection) -> BTreeMap<(&'static str, bool), Policies> {
    let mut tx = sql.begin().await.unwrap();
    let mut found = BTreeMap::new();
    for (kind, with_user) in
        [("org", false), ("org", true), ("team", false), ("team", true), ("seat", false), ("seat", true)]
    {
        let name = format!("pattern_{kind}_{with_user}");
        let user = if with_user { ", user_id uuid" } else { "" };
        let make = format!(
            "CREATE TEMP TABLE {name} (org_id uuid, team_id uuid{user});
             SELECT vst.enclose('{name}', '{kind}', 'SELECT')"
        );
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut *tx).await.unwrap();
        found.insert((kind, with_user), policies(&mut tx, &name).await);
    }
    found
}

/// Everything in the schema that is not as it must be. Empty is well.
pub async fn complaints(
    sql: &mut PgConnection,
    patterns: &BTreeMap<(&'static str, bool), Policies>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let tables: Vec<(String, String, bool, bool, bool, bool)> = sqlx::query_as(
        "SELECT c.relname::text, c.relkind::text, c.relispartition, c.relrowsecurity, c.relforcerowsecurity,
                EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = c.oid AND attname = 'user_id' AND NOT attisdropped)
           FROM pg_class c
          WHERE c.relnamespace = 'vst'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
    )
    .fetch_all(&mut *sql)
    .await
    .unwrap();
    for (name, kind, partition, enabled, forced, with_user) in tables {
        if !matches!(kind.as_str(), "r" | "p") {
            found.insert(format!("{name}: neither a table nor a partition"));
            continue;
        }
        if OPEN.iter().any(|(open, _)| *open == name) {
            if enabled {
                found.insert(format!("{name}: listed as open, but has row level security"));
            }
            continue;
        }
        if !(enabled && forced) {
            found.insert(format!("{name}: row level security is not forced"));
        }
        let has = policies(sql, &format!("vst.{name}")).await;
        let listed =
            ENCLOSED.iter().find(|(_, tables)| tables.contains(&name.as_str())).map(|(kind, _)| *kind);
        let wanted = match listed {
            // Nobody reaches a partition but through its parent.
            None if partition => Some(Vec::new()),
            Some(kind) => patterns.get(&(kind, with_user)).cloned(),
            None => None,
        };
        match wanted {
            None => found.insert(format!("{name}: in no list")),
            Some(wanted) if wanted != has => {
                found.insert(format!("{name}: other policies than enclose() writes"))
            }
            Some(_) => false,
        };
    }
    for (query, what) in WALLS {
        let wrong: Vec<String> = sqlx::query_scalar(*query).bind(open()).fetch_all(&mut *sql).await.unwrap();
        found.extend(wrong.into_iter().map(|name| format!("{name}: {what}")));
    }
    let definers: Vec<String> = sqlx::query_scalar(
        "SELECT proname::text FROM pg_proc p
          WHERE pronamespace = 'vst'::regnamespace AND prosecdef
            AND NOT (proowner = (CASE WHEN proname IN ('make_audit_months', 'measure_grown') THEN 'vst_owner' ELSE 'vst_gate' END)::regrole
                     AND proconfig = '{\"search_path=vst, pg_temp\"}'
                     AND proname::text = ANY ($1) AND NOT has_function_privilege('public', p.oid, 'EXECUTE'))",
    )
    .bind(DEFINERS.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>())
    .fetch_all(&mut *sql)
    .await
    .unwrap();
    found.extend(definers.into_iter().map(|name| format!("{name}: a definer that is none of the gate's")));
    found
}

fn open() -> Vec<String> {
    OPEN.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// Queries for what looks past policies; each binds the open tables and names what is wrong.
const WALLS: &[(&str, &str)] = &[
    (
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
           LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
          WHERE c.relnamespace = 'vst'::regnamespace AND i.indisunique AND NOT c.relname::text = ANY ($1)
            AND a.attname IS DISTINCT FROM 'org_id'",
        "a unique key that does not begin with org_id",
    ),
    (
        "SELECT c.relname::text FROM pg_constraint f
           JOIN pg_class c ON c.oid = f.conrelid
           JOIN pg_class t ON t.oid = f.confrelid AND t.relnamespace = 'vst'::regnamespace
           JOIN pg_attribute own ON own.attrelid = c.oid AND own.attnum = f.conkey[1]
           JOIN pg_attribute far ON far.attrelid = t.oid AND far.attnum = f.confkey[1]
          WHERE f.contype = 'f' AND NOT c.relname::text = ANY ($1) AND NOT t.relname::text = ANY ($1)
            AND (own.attname <> 'org_id' OR far.attname <> 'org_id')",
        "a foreign key that does not begin with org_id",
    ),
    (
        "SELECT DISTINCT c.relname::text FROM pg_class c, aclexplode(c.relacl) g
          WHERE c.relnamespace = 'vst'::regnamespace AND c.relkind IN ('r', 'p') AND g.grantee <> c.relowner
            AND (g.grantee NOT IN ('vst_app'::regrole, 'vst_gate'::regrole)
                 OR g.privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
                 OR g.is_grantable
                 OR (g.grantee = 'vst_gate'::regrole AND NOT c.relname::text = ANY ($1))
                 OR (g.grantee = 'vst_app'::regrole AND (c.relispartition OR c.relname LIKE 'route\\_%')))",
        "a right that looks past the policies",
    ),
    (
        "SELECT c.relname::text FROM pg_class c
          WHERE c.relnamespace = 'vst'::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relowner <> 'vst_owner'::regrole AND $1 IS NOT NULL",
        "not owned by vst_owner",
    ),
    (
        "SELECT rolname::text FROM pg_roles
          WHERE rolname IN ('vst_app', 'vst_owner', 'vst_gate') AND (rolsuper OR rolbypassrls OR rolcreaterole) AND $1 IS NOT NULL",
        "a role that policies do not hold",
    ),
];

async fn as_app(role: &str) -> PgConnection {
    let mut connection = PgConnection::connect(&house().database_url).await.unwrap();
    sqlx::query("SELECT set_config('role', $1, false), set_config('search_path', 'vst', false)")
        .bind(role)
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

#[tokio::test]
async fn every_table_is_enclosed_or_in_the_list() {
    let mut sql = as_app("vst_owner").await;
    let patterns = patterns(&mut sql).await;
    assert!(patterns.values().all(|policies| !policies.is_empty()));
    assert_eq!(complaints(&mut sql, &patterns).await, BTreeSet::new());
}

#[tokio::test]
async fn without_a_scope_every_enclosed_table_is_empty_and_unwritable() {
    let house = house();
    house.tenant().await;
    let mut sql = as_app("vst_app").await;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT tablename::text FROM pg_policies WHERE schemaname = 'vst'")
            .fetch_all(&mut sql)
            .await
            .unwrap();
    assert!(names.len() > 20);
    for name in names {
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM vst.{name}")))
            .fetch_one(&mut sql)
            .await
            .unwrap();
        assert_eq!(count, 0, "{name} shows rows without a scope");
    }
}

#[tokio::test]
async fn an_unset_reach_sees_nothing_and_a_seat_sees_its_own() {
    let house = house();
    let tenant = house.tenant().await;
    let org = tenant.org.uuid();
    crate::house::walk::tokens(house, &tenant).await;
    let mut sql = as_app("vst_app").await;
    for (reach, seat, expected) in [
        ("", "", 0_i64),
        ("org", "", 1),
        ("seat", "00000000-0000-0000-0000-000000000001", 0),
        ("team", "", 0),
    ] {
        let mut tx = sql.begin().await.unwrap();
        sqlx::query("SELECT set_config('app.org_id', $1, true), set_config('app.reach', $2, true), set_config('app.user_id', $3, true)")
            .bind(org.to_string())
            .bind(reach)
            .bind(seat)
            .execute(&mut *tx)
            .await
            .unwrap();
        let seen: i64 =
            sqlx::query_scalar("SELECT count(*) FROM vst.sessions").fetch_one(&mut *tx).await.unwrap();
        assert_eq!(seen, expected, "reach {reach:?}");
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_no_org_to_the_next_borrower() {
    let house = house();
    let tenant = house.tenant().await;
    let scope = house.visitor(&tenant).await;
    // Poll the opening of a transaction once and drop it: what a client does that hangs up.
    let leaked = async move {
        for _ in 0..50 {
            let mut opening = Box::pin(house.gw.db.read(&scope, "test.dropped"));
            let _ =
                std::future::poll_fn(|context| std::task::Poll::Ready(opening.as_mut().poll(context))).await;
        }
        let mut leaked = Vec::new();
        for _ in 0..50 {
            leaked.extend(house.gw.db.leaked_scope().await.unwrap());
        }
        leaked
    };
    assert_eq!(house.on(leaked).await, Vec::<String>::new());
}
