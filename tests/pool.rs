//! The pool under what a database does to it: a server that goes away, and callers that do.

use crate::house::{House, Site, Tenant, call, house, now};
use model::TokenDigest;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use std::{collections::BTreeSet, time::Duration};
use store::ScimForm;
use tokio::task::JoinSet;

/// Of a server that ended every connection one request tells, and no more: the others are asked before
/// they are lent.
#[tokio::test]
async fn after_the_server_ended_all_connections_one_request_notices() {
    let house = Site::named("pool").open();
    let get = || {
        let request = house.http.get(house.url("/oauth2/authorize?client_id=app_unknown"));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let mut many = JoinSet::new();
    for _ in 0..40 {
        many.spawn(get());
    }
    let before: BTreeSet<u16> = many.join_all().await.into_iter().collect();
    let mut owner = PgConnection::connect(&house.database_url).await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE application_name = 'vestibule' AND pid <> pg_backend_pid()",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert!(ended > 1, "{ended} connections");
    let mut refused = 0;
    for _ in 0..20 {
        let status = get().await;
        if !before.contains(&status) {
            assert_eq!(status, 503);
            refused += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    assert!(refused <= 1, "{refused} of 20 requests met a dead connection");
}

/// What opened the transaction that is open in this org: the last that was said in it.
async fn opening(house: &House, tenant: &Tenant) -> String {
    let mut owner = PgConnection::connect(&house.database_url).await.unwrap();
    let said = "SELECT query FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE '%' || $1 || '%'";
    sqlx::query_scalar(said).bind(tenant.org.uuid().to_string()).fetch_one(&mut owner).await.unwrap()
}

/// On a connection that has seen few of them, half of a sign-in would be planning. A directory's statements are planned
/// for their values, until Postgres knows better.
#[tokio::test]
async fn who_signs_in_plans_a_statement_once() {
    let (house, once) = (house(), "plan_cache_mode = force_generic_plan");
    let tenant = house.tenant().await;
    let visitor = house.visitor(&tenant).await;
    let open = house.on(async move { house.gw.db.read(&visitor, "test.plans").await.unwrap() }).await;
    assert!(opening(house, &tenant).await.contains(once));
    house.on(async move { drop(open) }).await;
    let digest = TokenDigest::of(&tenant.scim_token);
    let open = house.on(async move {
        let directory = house.gw.db.scim_client(&digest, ScimForm::Bearer, &call()).await.unwrap();
        house.gw.db.write(&directory, "test.plans").await.unwrap()
    });
    let open = open.await;
    assert!(!opening(house, &tenant).await.contains(once));
    house.on(async move { drop(open) }).await;
}

/// Nobody opens a connection to it from now on, or everybody may again.
async fn allow_connections(house: &House, allowed: bool) {
    let beside: PgConnectOptions = house.database_url.parse().unwrap();
    let mut owner = beside.database("postgres").connect().await.unwrap();
    let alter = format!("ALTER DATABASE vestibule ALLOW_CONNECTIONS {allowed}");
    sqlx::query(AssertSqlSafe(alter)).execute(&mut owner).await.unwrap();
}

/// Of twenty requests that the workers have by turns, how many had a connection.
async fn answered(house: &House) -> usize {
    let nobodys = model::ids::AppId::from_uuid(uuid::Uuid::from_u128(7));
    let url = house.url(&format!("/oauth2/authorize?client_id={nobodys}"));
    let mut answered = 0;
    for _ in 0..20 {
        // Each has a socket of its own, and the workers take turns.
        let sent = house.http.get(&url).header("connection", "close").send().await.unwrap();
        answered += usize::from(sent.status() == 400);
    }
    answered
}

/// A worker that has no connection of its own borrows one that is idle, and waits for no new one. Not once the workers
/// are about to end, each with the connections that it drives.
#[tokio::test]
async fn nobody_waits_for_a_new_connection_while_another_is_idle() {
    let house = Site::named("borrowed").open();
    allow_connections(house, false).await;
    let borrowed = answered(house).await;
    assert!(borrowed >= 15, "{borrowed} of 20");
    house.on(async { house.gw.db.keep_to_own().await }).await;
    let own = answered(house).await;
    assert!(own < borrowed, "{own} of 20");
    allow_connections(house, true).await;
    assert_eq!(answered(house).await, 20);
}

/// Whoever hangs up while a statement runs, or between two of a transaction, leaves a connection that is in
/// order, and no lock.
#[tokio::test]
async fn who_hangs_up_leaves_no_lock_and_no_place_taken() {
    let house = crate::house::house();
    let tenant = house.tenant().await;
    let scope = house.visitor(&tenant).await;
    house
        .on(async move {
            for wait_millis in [0, 1, 2, 5, 10].into_iter().cycle().take(100) {
                let held = async {
                    let mut tx = house.gw.db.write(&scope, "test.hang_up").await.unwrap();
                    tx.first_use(&[("the same".to_owned(), now())]).await.unwrap();
                    std::future::pending::<()>().await;
                };
                let _ = tokio::time::timeout(Duration::from_millis(wait_millis), held).await;
            }
            let mut tx = house.gw.db.write(&scope, "test.after").await.unwrap();
            let key = [("the same".to_owned(), now())];
            let first = tokio::time::timeout(Duration::from_secs(2), tx.first_use(&key));
            assert!(first.await.expect("nobody holds the key").unwrap().is_some(), "all were rolled back");
        })
        .await;
}
