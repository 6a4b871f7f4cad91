//! What an `Idempotency-Key` remembers of a request that got no good answer: one that came to nothing
//! may be made again with it, one that may have happened may not.

use crate::house::{House, Tenant, house};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;

async fn post(house: &House, tenant: &Tenant, key: &str, path: &str, body: Value) -> (u16, Value) {
    post_at(house, house.url(&format!("/api/v1/orgs/{}{path}", tenant.slug)), key, body).await
}

async fn post_at(house: &House, url: String, key: &str, body: Value) -> (u16, Value) {
    let request = house.http.post(url);
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

/// What runs in the commit of each new row that is meant, while this lives.
struct InCommit {
    owner: PgConnection,
    table: &'static str,
    name: String,
}

impl InCommit {
    async fn of(house: &House, table: &'static str, (column, value): (&str, &str), does: &str) -> Self {
        let letters: String = value.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("in_commit_of_{letters}");
        let trigger = format!(
            "CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {does}; RETURN NULL; END$$;
             SET ROLE vst_owner;
             CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON vst.{table} DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW WHEN (NEW.{column} = '{value}') EXECUTE FUNCTION public.{name}(); RESET ROLE"
        );
        Self { owner: sql(house, trigger).await, table, name }
    }

    /// Ends the connection whose commit sleeps.
    async fn end_it(&mut self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE query = 'COMMIT' AND wait_event = 'PgSleep'";
        for _ in 0..100 {
            let ended: Option<bool> = sqlx::query_scalar(end).fetch_optional(&mut self.owner).await.unwrap();
            if ended == Some(true) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn undo(mut self) {
        let Self { table, name, .. } = &self;
        let undo = format!(
            "SET ROLE vst_owner; DROP TRIGGER {name} ON vst.{table}; RESET ROLE; DROP FUNCTION public.{name}()"
        );
        sqlx::raw_sql(AssertSqlSafe(undo)).execute(&mut self.owner).await.unwrap();
    }
}

const DAWDLES: &str = "PERFORM pg_sleep(5)";

/// The commit is held up by a trigger that runs in it, and its backend is ended there.
#[tokio::test]
async fn a_commit_without_an_answer_is_in_doubt_and_its_key_stays_shut() {
    let house = house();
    let tenant = house.tenant().await;
    let slug = format!("doubtful-{}", tenant.slug);
    let mut held = InCommit::of(house, "teams", ("slug", &slug), DAWDLES).await;
    let body = json!({"slug": slug, "name": "Doubtful"});
    let ((status, said), ()) =
        tokio::join!(post(house, &tenant, "doubt-1", "/teams", body.clone()), held.end_it());
    held.undo().await;
    assert_eq!((status, &said["code"]), (503, &json!("in_doubt")), "{said}");
    let (status, said) = post(house, &tenant, "doubt-1", "/teams", body.clone()).await;
    assert_eq!((status, &said["code"]), (409, &json!("api.idempotency_unanswered")), "{said}");
    assert_eq!(post(house, &tenant, "doubt-2", "/teams", body).await.0, 201);
}

/// What the platform commits is in doubt as well: a second app has a second secret.
#[tokio::test]
async fn an_apps_commit_without_an_answer_is_in_doubt_too() {
    let house = house();
    let tenant = house.tenant().await;
    let name = format!("Doubtful {}", tenant.slug);
    let mut held = InCommit::of(house, "apps", ("name", &name), DAWDLES).await;
    let body = json!({"name": name, "redirect_uris": ["http://localhost:1/callback"]});
    let make = || post_at(house, house.url("/api/v1/apps"), &tenant.slug, body.clone());
    let ((status, said), ()) = tokio::join!(make(), held.end_it());
    held.undo().await;
    assert_eq!((status, &said["code"]), (503, &json!("in_doubt")), "{said}");
    let (status, said) = make().await;
    assert_eq!((status, &said["code"]), (409, &json!("api.idempotency_unanswered")), "{said}");
}

/// Whoever stands between us and Postgres may lose it after the commit: that is no refusal. Postgres' own is.
#[tokio::test]
async fn a_commit_that_nobody_knows_the_end_of_is_in_doubt_and_one_that_was_refused_is_not() {
    let house = house();
    let tenant = house.tenant().await;
    for (at, code, right) in
        [("lost", "08007", "in_doubt"), ("unknown", "40003", "in_doubt"), ("no", "40001", "busy")]
    {
        let slug = format!("{at}-{}", tenant.slug);
        let raises = format!("RAISE EXCEPTION 'as a pooler says it' USING ERRCODE = '{code}'");
        let held = InCommit::of(house, "teams", ("slug", &slug), &raises).await;
        let (status, said) = post(house, &tenant, at, "/teams", json!({"slug": slug, "name": "Lost"})).await;
        held.undo().await;
        assert_eq!((status, &said["code"]), (503, &json!(right)), "{code}: {said}");
    }
}
