//! What an `Idempotency-Key` remembers of a request that got no good answer: one that came to nothing
//! may be made again with it, one that may have happened may not.

use crate::house::{House, Tenant, house};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;

async fn post(house: &House, tenant: &Tenant, key: &str, path: &str, body: Value) -> (u16, Value) {
    let request = house.http.post(house.url(&format!("/api/v1/orgs/{}{path}", tenant.slug)));
    let request = request.bearer_auth(&house.platform_key).header("idempotency-key", key);
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await;
    let answer = answer.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn sql(house: &House, text: String) -> PgConnection {
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut sql).await.unwrap();
    sql
}

#[tokio::test]
async fn a_request_that_was_only_busy_may_come_again_with_its_key() {
    let house = house();
    let tenant = house.tenant().await;
    let hold = format!(
        "BEGIN; SET LOCAL ROLE vst_owner; SET LOCAL search_path = vst; SET LOCAL app.reach = 'org';
         SET LOCAL app.org_id = '{}'; SELECT 1 FROM connections FOR UPDATE",
        tenant.org.uuid()
    );
    let held = sql(house, hold).await;
    let path = format!("/connections/{}/enable", tenant.connection);
    let (status, said) = post(house, &tenant, "busy-1", &path, json!({})).await;
    assert_eq!((status, &said["code"]), (503, &json!("busy")), "{said}");
    held.close().await.unwrap();
    assert_eq!(post(house, &tenant, "busy-1", &path, json!({})).await.0, 200);
}

/// The commit is held up by a trigger that runs in it, and its backend is ended there.
#[tokio::test]
async fn a_commit_without_an_answer_is_in_doubt_and_its_key_stays_shut() {
    let house = house();
    let tenant = house.tenant().await;
    let slug = format!("doubtful-{}", tenant.slug);
    let trigger = format!(
        "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(5); RETURN NULL; END';
         SET ROLE vst_owner;
         CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON vst.teams DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.slug = '{slug}') EXECUTE FUNCTION public.dawdle(); RESET ROLE"
    );
    let mut owner = sql(house, trigger).await;
    let body = json!({"slug": slug, "name": "Doubtful"});
    let ((status, said), ()) = tokio::join!(post(house, &tenant, "doubt-1", "/teams", body.clone()), async {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE query = 'COMMIT' AND wait_event = 'PgSleep'";
        for _ in 0..100 {
            let ended: Option<bool> = sqlx::query_scalar(end).fetch_optional(&mut owner).await.unwrap();
            if ended == Some(true) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let undo =
        "SET ROLE vst_owner; DROP TRIGGER dawdle ON vst.teams; RESET ROLE; DROP FUNCTION public.dawdle()";
    sqlx::raw_sql(undo).execute(&mut owner).await.unwrap();
    assert_eq!((status, &said["code"]), (503, &json!("in_doubt")), "{said}");
    let (status, said) = post(house, &tenant, "doubt-1", "/teams", body.clone()).await;
    assert_eq!((status, &said["code"]), (409, &json!("api.idempotency_unanswered")), "{said}");
    assert_eq!(post(house, &tenant, "doubt-2", "/teams", body).await.0, 201);
}
