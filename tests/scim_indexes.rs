//! What every client asks is found by an index, in the reader's own statement, among many people; and a
//! page by order or by cursor begins where it begins.

use crate::{
    house::{House, Site, Tenant, call, house},
    scim_made::crowd,
};
use model::TokenDigest;
use scim::{Condition, Filter, Kind, SortBy};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};
use store::{Either, Position, Search, Sorting, Start};

const PEOPLE: u32 = 30_000;

struct Asked<'a> {
    filter: &'a str,
    kind: Kind,
    sort: Option<&'a str>,
    after: Option<&'a Position>,
}

async fn plan(house: &'static House, tenant: &Tenant, asked: Asked<'_>) -> String {
    let Asked { filter, kind, sort, after } = asked;
    let condition = match filter {
        "" => Condition::Constant(true),
        filter => Condition::of(&Filter::parse(filter).unwrap(), kind).unwrap(),
    };
    let key = sort.and_then(|by| SortBy::parse(Some(by), None).unwrap().unwrap().key(kind).unwrap());
    let (digest, directory, after) = (TokenDigest::of(&tenant.scim_token), tenant.directory, after.cloned());
    house
        .on(async move {
            let sorting = Sorting { users: key.as_ref(), groups: key.as_ref(), descending: false };
            let search = Search {
                users: &condition,
                groups: &condition,
                sorting: key.as_ref().map(|_| &sorting),
                start: after.as_ref().map_or(Start::At(0), Start::After),
                limit: 100,
                directory,
                base: "http://localhost/scim/v2",
            };
            let scope = house.gw.db.scim_client(&digest, store::ScimForm::Bearer, &call()).await.unwrap();
            let mut tx = house.gw.db.read(&scope, "test.plan").await.unwrap();
            tx.search_plan(&search, kind).await.unwrap().join("\n")
        })
        .await
}

#[tokio::test]
async fn the_questions_of_every_client_are_answered_by_an_index() {
    let house = house();
    let tenant = house.tenant().await;
    crowd(house, &tenant, PEOPLE).await;
    let id = "usr_01m7zv7rypfnm9asxgn395htzp";
    let by = |filter: String, kind| (filter, kind);
    for ((filter, kind), index) in [
        (by("userName eq \"U77\"".into(), Kind::User), "users_org_id_user_name_norm_key"),
        (by("userName sw \"u77\"".into(), Kind::User), "users_org_id_user_name_norm_key"),
        (by("externalId eq \"e77\"".into(), Kind::User), "users_by_external_id"),
        (by("displayName eq \"person 77\"".into(), Kind::User), "users_by_display_name"),
        (by(format!("id eq \"{id}\""), Kind::User), "users_pkey"),
        (by("emails eq \"77@x\"".into(), Kind::User), "user_emails_by_value"),
        (by("emails.value eq \"77@x\"".into(), Kind::User), "user_emails_by_value"),
        (by("emails[type eq \"work\"].value eq \"77@x\"".into(), Kind::User), "user_emails_by_value"),
        (by("emails[value eq \"77@x\" and type eq \"work\"]".into(), Kind::User), "user_emails_by_value"),
        (by("userName eq \"u77\" and active eq true".into(), Kind::User), "users_org_id_user_name_norm_key"),
        (by("userName eq \"u77\" or externalId eq \"e5\"".into(), Kind::User), "users_by_external_id"),
        (by("displayName eq \"G77\"".into(), Kind::Group), "groups_org_id_dir_id_display_name_norm_key"),
        (by("externalId eq \"x77\"".into(), Kind::Group), "groups_by_external_id"),
        (by(format!("members eq \"{id}\""), Kind::Group), "group_members_by_user"),
        (by(format!("members[value eq \"{id}\"]"), Kind::Group), "group_members_by_user"),
    ] {
        let plan = plan(house, &tenant, Asked { filter: &filter, kind, sort: None, after: None }).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{filter}:\n{plan}");
    }
}

#[tokio::test]
async fn a_page_begins_where_the_one_before_it_ended_and_reads_no_more() {
    let house = house();
    let tenant = house.tenant().await;
    crowd(house, &tenant, PEOPLE).await;
    let position = Position {
        key: Some("u5".to_owned()),
        at: Either::User("usr_01m7zv7rypfnm9asxgn395htzp".parse().unwrap()),
    };
    let everybody = Asked { filter: "", kind: Kind::User, sort: None, after: Some(&position) };
    let by_name = Asked { filter: "", kind: Kind::User, sort: Some("userName"), after: Some(&position) };
    for (asked, index, bound) in [
        (everybody, "users_pkey", "user_id >"),
        (by_name, "users_org_id_user_name_norm_key", "user_name_norm >="),
    ] {
        let plan = plan(house, &tenant, asked).await;
        let found = plan.lines().any(|line| line.contains("Index Cond") && line.contains(bound));
        assert!(found && plan.contains(index) && !plan.contains("Seq Scan"), "{plan}");
    }
}

/// Of a table that nobody has measured every index that begins with the org is as good as any. Who fills
/// one faster than autovacuum looks is planned for all the same.
#[tokio::test]
async fn a_table_that_has_grown_is_measured_and_its_plans_follow() {
    let house = Site::named("sizes").open();
    let tenant = house.tenant().await;
    let (org, dir) = (tenant.org.uuid(), tenant.directory.uuid());
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let people = format!(
        "BEGIN; SET LOCAL ROLE vst_app; SET LOCAL search_path = vst;
         SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true);
         INSERT INTO users (org_id, user_id, user_name, user_name_norm, active, dir_id, created_at, modified_at)
         SELECT '{org}', gen_random_uuid(), 'u' || n, 'u' || n, true, '{dir}', now(), now() FROM generate_series(1, 5000) n;
         COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(people)).execute(&mut sql).await.unwrap();
    // The job may have been before us.
    house.on(async { house.gw.db.measure_grown().await.unwrap() }).await;
    let known: f32 = sqlx::query_scalar("SELECT reltuples FROM pg_class WHERE oid = 'vst.users'::regclass")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert!(known >= 5_000.0, "{known}");
    let filter = "userName eq \"u77\"";
    let plan = plan(house, &tenant, Asked { filter, kind: Kind::User, sort: None, after: None }).await;
    assert!(plan.contains("users_org_id_user_name_norm_key"), "{plan}");
    assert_eq!(house.on(async { house.gw.db.measure_grown().await.unwrap() }).await, 0, "once is enough");
}

/// What was emptied is filled again without growing by a page: its rows are counted too.
async fn number(sql: &mut PgConnection, question: &'static str) -> i64 {
    sqlx::query_scalar(question).fetch_one(sql).await.unwrap()
}

const LIVE: &str = "SELECT pg_stat_get_live_tuples('vst.pending'::regclass)";
const KNOWN: &str = "SELECT reltuples::int8 FROM pg_class WHERE oid = 'vst.pending'::regclass";

/// A gateway whose list of what jobs do nobody else measures.
async fn unmeasured(name: &str) -> (&'static House, PgConnection) {
    let house = Site::named(name).open();
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let alone = "ALTER TABLE vst.pending SET (autovacuum_enabled = false)";
    sqlx::query(alone).execute(&mut sql).await.unwrap();
    (house, sql)
}

/// Until Postgres' own count of them, which lags behind, is so large.
async fn counts(sql: &mut PgConnection, rows: i64) {
    let late = Instant::now() + Duration::from_secs(20);
    while number(sql, LIVE).await < rows {
        assert!(Instant::now() < late);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn fill(sql: &mut PgConnection, rows: i64) {
    let fill = "INSERT INTO vst.pending (kind, org_id, item_id, due_at)
                SELECT 'nothing', gen_random_uuid(), gen_random_uuid(), 'infinity' FROM generate_series(1, $1)";
    sqlx::query(fill).bind(rows).execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_table_that_was_measured_while_it_was_empty_is_measured_when_it_fills() {
    let (house, mut sql) = unmeasured("filled").await;
    fill(&mut sql, 3_000).await;
    for statement in
        ["DELETE FROM vst.pending WHERE kind = 'nothing'", "VACUUM (ANALYZE, TRUNCATE false) vst.pending"]
    {
        sqlx::query(statement).execute(&mut sql).await.unwrap();
    }
    fill(&mut sql, 3_000).await;
    let late = Instant::now() + Duration::from_secs(20);
    loop {
        house.on(async { house.gw.db.measure_grown().await.unwrap() }).await;
        let known = number(&mut sql, KNOWN).await;
        if known >= 3_000 {
            break;
        }
        assert!(Instant::now() < late, "{known}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Threefold is not measured: it would end everybody's plans.
    fill(&mut sql, 6_000).await;
    counts(&mut sql, 9_000).await;
    house.on(async { house.gw.db.measure_grown().await.unwrap() }).await;
    let known = number(&mut sql, KNOWN).await;
    assert!((3_000..4_000).contains(&known), "{known}");
}

/// Measuring it takes as long as its disk does, and a statement may not.
#[tokio::test]
async fn a_large_table_is_autovacuums() {
    let (house, mut sql) = unmeasured("large").await;
    fill(&mut sql, 120_000).await;
    house.on(async { house.gw.db.measure_grown().await.unwrap() }).await;
    let known = number(&mut sql, KNOWN).await;
    assert!(known < 1_000, "it is large, though nobody has measured it: {known}");
    sqlx::query("ANALYZE vst.pending").execute(&mut sql).await.unwrap();
    fill(&mut sql, 130_000).await;
    counts(&mut sql, 250_000).await;
    house.on(async { house.gw.db.measure_grown().await.unwrap() }).await;
    let known = number(&mut sql, KNOWN).await;
    assert!((100_000..150_000).contains(&known), "{known}");
}
