//! The catalogue: every table is enclosed, or stands in the short list with its reason.

use crate::house::house;
use sqlx::{Connection, PgConnection};

/// Tables without policies, and why that is right.
const OPEN: &[(&str, &str)] = &[
    ("route_org", "routing: ids and slugs; vst_app has no right on it"),
    ("route_host", "routing: host to org"),
    ("route_domain", "routing: proven domain to org"),
    ("route_connection", "routing: connection to org"),
    ("route_credential", "routing: digest to org"),
    ("pending", "what waits for a job: ids alone"),
    ("apps", "the platform's own clients"),
    ("app_orgs", "which orgs an app serves"),
    ("platform_keys", "the platform's own keys, as digests"),
    ("platform_secrets", "the platform's own secrets, sealed"),
    ("platform_events", "the platform's own record"),
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
    let mut sql = as_app("vst_app").await;
    let tables: Vec<(String, bool, bool, i64, Option<String>)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity,
                (SELECT count(*) FROM pg_policies p WHERE p.schemaname = 'vst' AND p.tablename = c.relname AND p.policyname = 'enclosed'),
                (SELECT string_agg(DISTINCT a.attname::text, ',') FROM pg_index i
                   JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
                  WHERE i.indrelid = c.oid AND i.indisunique)
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = 'vst' AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert!(tables.len() > 20);
    for (name, enabled, forced, enclosed, unique_leads) in tables {
        if OPEN.iter().any(|(open, _)| *open == name) {
            assert!(!enabled, "{name} is listed as open, but has row level security");
            continue;
        }
        assert!(enabled && forced && enclosed == 1, "{name} is not enclosed");
        assert_eq!(
            unique_leads.as_deref(),
            Some("org_id"),
            "{name}: a unique key that does not begin with org_id"
        );
    }
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
