//! Somebody is deleted by a directory while an administrator, a group or another directory is at what is theirs: one
//! waits for the other, nobody is the victim of a deadlock, and every group tells that it has lost somebody.

use crate::{
    house::{House, Tenant, house, walk::text},
    scim_bulk_rehearsed::within,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::{Duration, Instant};

/// For whoever was asked first to be waiting.
const MEANWHILE: Duration = Duration::from_millis(400);
/// The store's own.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

type Answer = (u16, Value);

fn of(tenant: &Tenant, rest: &str) -> String {
    format!("/orgs/{}{rest}", tenant.slug)
}

async fn person(house: &House, token: &str, name: &str) -> String {
    let (status, made) = house.scim("POST", token, "/scim/v2/Users", Some(json!({"userName": name}))).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

async fn group(house: &House, token: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    let body = json!({"displayName": "Staff", "members": members});
    let (status, made) = house.scim("POST", token, "/scim/v2/Groups", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

async fn deleted(house: &House, token: &str, id: &str) -> Answer {
    house.scim("DELETE", token, &format!("/scim/v2/Users/{id}"), None).await
}

/// A second directory of the org: its path and a token of it.
async fn second(house: &House, tenant: &Tenant) -> (String, String) {
    let (directories, key) = (of(tenant, "/directories"), &tenant.org_key);
    let (_, made) = house.api("POST", key, &directories, Some(json!({"name": "Second"}))).await;
    let path = format!("{directories}/{}", text(&made, "id"));
    let (_, token) = house.api("POST", key, &format!("{path}/tokens"), Some(json!({}))).await;
    (path, text(&token, "token").to_owned())
}

async fn run(sql: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(sql).await.unwrap();
}

/// What both are answered: one waits for what is held, the other comes meanwhile, and then it is let go.
async fn in_line(
    mut hold: PgConnection,
    one: impl Future<Output = Answer>,
    other: impl Future<Output = Answer>,
) -> (Answer, Answer) {
    let other = async {
        tokio::time::sleep(MEANWHILE).await;
        other.await
    };
    let lets_go = async {
        tokio::time::sleep(MEANWHILE * 2).await;
        run(&mut hold, "ROLLBACK").await;
    };
    let (one, other, ()) = tokio::join!(one, other, lets_go);
    (one, other)
}

#[tokio::test]
async fn and_a_directory_that_has_them_in_a_group_is_removed() {
    let house = house();
    let tenant = house.tenant().await;
    let (path, token) = second(house, &tenant).await;
    let ada = person(house, &tenant.scim_token, "ada").await;
    group(house, &token, &[&ada]).await;
    let mut hold = within(house, &tenant).await;
    run(&mut hold, "SELECT 1 FROM users FOR UPDATE").await;
    let removed = house.api("DELETE", &tenant.org_key, &path, None);
    let (removed, gone) = in_line(hold, removed, deleted(house, &tenant.scim_token, &ada)).await;
    assert_eq!((removed.0, gone.0), (204, 204), "{removed:?} {gone:?}");
}

#[tokio::test]
async fn and_the_mappings_are_set_that_gave_them_a_role() {
    let house = house();
    let tenant = house.tenant().await;
    let ada = person(house, &tenant.scim_token, "ada").await;
    let staff = group(house, &tenant.scim_token, &[&ada]).await;
    let (path, key) = (of(&tenant, "/group-mappings"), &tenant.org_key);
    let mapped = json!([{"group_id": staff, "roles": ["member"]}]);
    assert_eq!(house.api("PUT", key, &path, Some(mapped)).await.0, 200);
    let mut hold = within(house, &tenant).await;
    run(&mut hold, "SELECT 1 FROM revocation_heads FOR UPDATE").await;
    let set = house.api("PUT", key, &path, Some(json!([])));
    let (gone, set) = in_line(hold, deleted(house, &tenant.scim_token, &ada), set).await;
    assert_eq!((gone.0, set.0), (204, 200), "{gone:?} {set:?}");
}

/// Put into a group that somebody has locked, while the request that deletes them waits for them: the directory asks
/// again, and the group tells.
#[tokio::test]
async fn and_they_have_just_joined_a_group() {
    let house = house();
    let tenant = house.tenant().await;
    let ada = person(house, &tenant.scim_token, "ada").await;
    let staff = group(house, &tenant.scim_token, &[]).await;
    let (mut joins, mut edits) = (within(house, &tenant).await, within(house, &tenant).await);
    run(&mut joins, "SELECT 1 FROM users FOR UPDATE").await;
    run(&mut edits, "SELECT 1 FROM groups FOR NO KEY UPDATE").await;
    let began = Instant::now();
    let (gone, ()) = tokio::join!(deleted(house, &tenant.scim_token, &ada), async {
        tokio::time::sleep(MEANWHILE).await;
        let join = "INSERT INTO group_members (org_id, group_id, user_id)
                    SELECT org_id, group_id, user_id FROM groups JOIN users USING (org_id); COMMIT";
        run(&mut joins, join).await;
    });
    assert_eq!((gone.0, text(&gone.1, "detail").contains("scim.unavailable")), (503, true), "{gone:?}");
    assert!(began.elapsed() < MEANWHILE + LOCK_TIMEOUT, "it waited for who has the group");
    run(&mut edits, "ROLLBACK").await;
    let path = format!("/scim/v2/Groups/{staff}");
    let version = async || {
        let (_, group) = house.scim("GET", &tenant.scim_token, &path, None).await;
        text(&group["meta"], "version").to_owned()
    };
    let before = version().await;
    assert_eq!(deleted(house, &tenant.scim_token, &ada).await.0, 204);
    assert_ne!(version().await, before);
}

/// What is refused waits for nobody.
#[tokio::test]
async fn or_not_by_a_directory_that_may_not() {
    let house = house();
    let tenant = house.tenant().await;
    let (_, token) = second(house, &tenant).await;
    let ada = person(house, &tenant.scim_token, "ada").await;
    group(house, &tenant.scim_token, &[&ada]).await;
    let mut hold = within(house, &tenant).await;
    run(&mut hold, "SELECT 1 FROM groups FOR UPDATE").await;
    let began = Instant::now();
    let (status, said) = deleted(house, &token, &ada).await;
    assert_eq!(status, 409, "{said} after {:?}", began.elapsed());
    run(&mut hold, "ROLLBACK").await;
}
