//! An org that an app serves again: what the app held there before stays dead, and all else goes on.

use crate::house::{
    House, Tenant, authorize_url, house,
    walk::{is_active, param, redeem, refresh, text, to_the_acs, tokens},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

async fn serve(house: &House, tenant: &Tenant, orgs: Value) -> u16 {
    let path = format!("/apps/{}", tenant.app.id);
    house.api("PATCH", &house.platform_key, &path, Some(json!({"orgs": orgs}))).await.0
}

/// The same, as often as it takes: from every org of the run to a few there is much to end.
async fn serve_soon(house: &House, tenant: &Tenant, orgs: Value) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match serve(house, tenant, orgs.clone()).await {
            200 => return,
            status => assert!(status == 503 && Instant::now() < until, "{status}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Nothing waits for a job.
async fn settled(sql: &mut PgConnection, tenant: &Tenant) {
    let until = Instant::now() + Duration::from_secs(20);
    let waiting = "SELECT count(*) FROM vst.pending WHERE kind = 'app_left' AND item_id = $1";
    while sqlx::query_scalar::<_, i64>(waiting).bind(tenant.app.id.uuid()).fetch_one(&mut *sql).await.unwrap()
        > 0
    {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn left(house: &House, tenant: &Tenant) -> usize {
    let path = format!("/orgs/{}/audit/events?action=org.app_left", tenant.org);
    let (status, events) = house.api("GET", &tenant.org_key, &path, None).await;
    assert_eq!(status, 200, "{events}");
    let ours = |event: &&Value| event["target"]["id"] == json!(tenant.app.id);
    events["data"].as_array().unwrap().iter().filter(ours).count()
}

#[tokio::test]
async fn what_an_app_held_in_an_org_that_it_left_is_dead_when_it_comes_back() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let (both, elsewhere) = (json!([tenant.org, other.org]), json!([other.org]));
    // From all of them to some, and back; then from a list to another, and back.
    for (before, after) in [(json!("all"), json!("all")), (both.clone(), both)] {
        serve_soon(house, &tenant, before).await;
        let mut door = to_the_acs(house, &tenant).await;
        let code = param(&door.post().await, "code");
        let (_, given) = redeem(house, &tenant, &code).await;
        let unused = param(
            &door.browser.get_once(&authorize_url(house, &tenant, &[("prompt", "none")])).await.unwrap(),
            "code",
        );
        assert!(is_active(house, &tenant, text(&given, "access_token")).await);
        let already = left(house, &tenant).await;
        assert_eq!(serve(house, &tenant, elsewhere.clone()).await, 200);
        serve_soon(house, &tenant, after).await;
        assert_eq!(left(house, &tenant).await, already + 1, "its record says so");
        assert!(!is_active(house, &tenant, text(&given, "access_token")).await);
        assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 400);
        assert_eq!(redeem(house, &tenant, &unused).await.0, 400);
        // The person's session is no app's: it answers again, and what is given then lives.
        let again = authorize_url(house, &tenant, &[("prompt", "none")]);
        let code = param(&door.browser.get_once(&again).await.unwrap(), "code");
        let (status, given) = redeem(house, &tenant, &code).await;
        assert_eq!(status, 200, "{given}");
        assert!(is_active(house, &tenant, text(&given, "access_token")).await);
        assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 200);
    }
}

#[tokio::test]
async fn an_org_that_was_served_all_along_loses_nothing() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let given = tokens(house, &tenant).await;
    for orgs in [json!([tenant.org, other.org]), json!([tenant.org]), json!("all"), json!([tenant.org])] {
        serve_soon(house, &tenant, orgs).await;
    }
    assert!(is_active(house, &tenant, text(&given, "access_token")).await);
    assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 200);
    assert_eq!(left(house, &tenant).await, 0);
}

#[tokio::test]
async fn an_app_comes_back_only_where_what_it_held_is_ended() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    assert_eq!(serve(house, &tenant, json!([other.org])).await, 200);
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    settled(&mut sql, &tenant).await;
    let already = left(house, &tenant).await;
    // As if the process had died right after a commit, and the job's time were not yet.
    let nobody: sqlx::types::Uuid = "00000000-0000-7000-8000-0000000000aa".parse().unwrap();
    for org in [tenant.org.uuid(), nobody] {
        sqlx::query(
            "INSERT INTO vst.pending (kind, org_id, item_id, due_at)
             VALUES ('app_left', $1, $2, now() + interval '1 hour')",
        )
        .bind(org)
        .bind(tenant.app.id.uuid())
        .execute(&mut sql)
        .await
        .unwrap();
    }
    assert_eq!(serve(house, &tenant, json!("all")).await, 503, "one of them cannot be ended");
    assert_eq!(serve(house, &tenant, json!([tenant.org])).await, 200);
    assert_eq!(left(house, &tenant).await, already + 1, "it was ended first");
    sqlx::query("DELETE FROM vst.pending WHERE kind = 'app_left' AND org_id = $1")
        .bind(nobody)
        .execute(&mut sql)
        .await
        .unwrap();
    serve_soon(house, &tenant, json!("all")).await;
}

/// However many others wait, the orgs that a change leaves are ended before it is answered.
#[tokio::test]
async fn what_is_left_now_is_ended_before_what_was_left_before() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    assert_eq!(serve(house, &tenant, json!([tenant.org, other.org])).await, 200);
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    settled(&mut sql, &tenant).await;
    sqlx::query(
        "INSERT INTO vst.pending (kind, org_id, item_id, due_at)
         SELECT 'app_left', lpad(to_hex(n), 32, '0')::uuid, $1, now() - interval '1 hour'
           FROM generate_series(1, 40) n",
    )
    .bind(tenant.app.id.uuid())
    .execute(&mut sql)
    .await
    .unwrap();
    assert_eq!(serve(house, &tenant, json!([other.org])).await, 200);
    assert_eq!(left(house, &tenant).await, 1);
}

/// The job ends what the change itself left over.
#[tokio::test]
async fn what_is_due_is_ended_by_the_job() {
    let house = house();
    let tenant = house.tenant().await;
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    sqlx::query("INSERT INTO vst.pending (kind, org_id, item_id, due_at) VALUES ('app_left', $1, $2, now())")
        .bind(tenant.org.uuid())
        .bind(tenant.app.id.uuid())
        .execute(&mut sql)
        .await
        .unwrap();
    settled(&mut sql, &tenant).await;
    assert_eq!(left(house, &tenant).await, 1);
}

#[tokio::test]
async fn the_app_and_the_other_apps_hear_of_it_by_the_feed() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let watcher = house.app(0).await;
    assert_eq!(serve(house, &tenant, json!([tenant.org, other.org])).await, 200);
    assert_eq!(serve(house, &tenant, json!([other.org])).await, 200);
    let heard = async |app: &crate::house::TestApp| {
        let until = Instant::now() + Duration::from_secs(10);
        let own = format!("app:{}", tenant.app.id);
        let mut after = String::new();
        loop {
            let path = format!("/revocations?wait_secs=0&after={after}");
            let (status, said) = house.api_as_app("GET", app, &path, None).await;
            assert_eq!(status, 200, "{said}");
            after = text(&said, "cursor").to_owned();
            let rows = said["data"].as_array().unwrap().clone();
            let ours = |row: &&Value| row["scope"] == json!(own) && row["org"] == json!(tenant.org);
            if let Some(row) = rows.iter().find(ours) {
                assert_eq!(row["action"], "terminate");
                return;
            }
            assert!(Instant::now() < until, "nobody said so");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    heard(&tenant.app).await;
    heard(&watcher).await;
    // The same when it is removed.
    let path = format!("/apps/{}", tenant.app.id);
    assert_eq!(house.api("DELETE", &house.platform_key, &path, None).await.0, 204);
    let events = format!("/orgs/{}/audit/events?action=org.app_left", other.org);
    // Another test's app may leave the same org; and of many orgs the job comes to this one in its turn.
    let ours = |event: &Value| event["target"]["id"] == json!(tenant.app.id);
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let (_, events) = house.api("GET", &other.org_key, &events, None).await;
        if events["data"].as_array().unwrap().iter().any(ours) {
            return;
        }
        assert!(Instant::now() < until, "{events}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
