//! Mappings that change while memberships do: whoever comes second sees what the first has done.
//! A test's own hold on the org's revocation head stops the one that takes something away after it
//! has computed and before it commits.

use crate::house::{
    House, Tenant, house,
    walk::{self, claims, text},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;

struct Held {
    sql: PgConnection,
}

impl Held {
    /// Nobody of this org takes anything away until this is let go.
    async fn of(house: &House, tenant: &Tenant) -> Self {
        let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
        let begin = format!(
            "BEGIN; SET LOCAL ROLE vst_app; SET LOCAL app.org_id = '{}'; SET LOCAL app.reach = 'org'",
            tenant.org.uuid()
        );
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut sql).await.unwrap();
        let held = sqlx::query("SELECT FROM vst.revocation_heads WHERE org_id = $1 FOR UPDATE");
        let held = held.bind(tenant.org.uuid()).execute(&mut sql).await.unwrap();
        assert_eq!(held.rows_affected(), 1);
        Self { sql }
    }

    async fn let_go(mut self) {
        sqlx::raw_sql("COMMIT").execute(&mut self.sql).await.unwrap();
    }
}

async fn team(house: &House, tenant: &Tenant, slug: &str) -> String {
    let path = format!("/orgs/{}/teams", tenant.org);
    let (status, made) =
        house.api("POST", &tenant.org_key, &path, Some(json!({"slug": slug, "name": slug}))).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

async fn person(house: &House, tenant: &Tenant, name: &str) -> String {
    let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": format!("{name}@{}", tenant.domain), "active": true});
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

async fn give(house: &House, tenant: &Tenant, group: &str, team: &str) {
    let body = json!([{"group_id": group, "team_id": team}]);
    let path = format!("/orgs/{}/group-mappings", tenant.org);
    let (status, said) = house.api("PUT", &tenant.org_key, &path, Some(body)).await;
    assert_eq!(status, 200, "{said}");
}

async fn teams_of(house: &House, tenant: &Tenant, user: &str) -> Value {
    let path = format!("/orgs/{}/users/{user}", tenant.org);
    house.api("GET", &tenant.org_key, &path, None).await.1["team_ids"].clone()
}

async fn patch(house: &House, tenant: &Tenant, group: &str, operations: Value) {
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    let (status, said) =
        house.scim("PATCH", &tenant.scim_token, &format!("/scim/v2/Groups/{group}"), Some(body)).await;
    assert!([200, 204].contains(&status), "{status} {said}");
}

struct Scene {
    tenant: Tenant,
    group: String,
    old_team: String,
    new_team: String,
    member: String,
    newcomer: String,
}

impl Scene {
    /// A group with one member, mapped to the old team.
    async fn set(house: &'static House) -> Self {
        let tenant = house.tenant().await;
        let (old_team, new_team) = (team(house, &tenant, "old").await, team(house, &tenant, "new").await);
        let (member, newcomer) = (person(house, &tenant, "m").await, person(house, &tenant, "n").await);
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "staff",
            "members": [{"value": member}]});
        let (_, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(body)).await;
        let group = text(&made, "id").to_owned();
        give(house, &tenant, &group, &old_team).await;
        assert_eq!(teams_of(house, &tenant, &member).await, json!([old_team]));
        Self { tenant, group, old_team, new_team, member, newcomer }
    }
}

/// Long enough for what is not held back to be done.
const MEANWHILE: Duration = Duration::from_millis(700);

#[tokio::test]
async fn a_member_who_comes_while_the_mappings_are_being_set_gets_the_new_ones() {
    let house = house();
    let scene = Scene::set(house).await;
    let held = Held::of(house, &scene.tenant).await;
    let set = give(house, &scene.tenant, &scene.group, &scene.new_team);
    let add = async {
        tokio::time::sleep(MEANWHILE).await;
        let operations = json!([{"op": "add", "path": "members", "value": [{"value": scene.newcomer}]}]);
        patch(house, &scene.tenant, &scene.group, operations).await;
    };
    let release = async {
        tokio::time::sleep(2 * MEANWHILE).await;
        held.let_go().await;
    };
    tokio::join!(set, add, release);
    for user in [&scene.member, &scene.newcomer] {
        assert_eq!(teams_of(house, &scene.tenant, user).await, json!([scene.new_team]));
    }
}

#[tokio::test]
async fn mappings_that_are_set_while_a_member_comes_reach_that_member() {
    let house = house();
    let scene = Scene::set(house).await;
    let held = Held::of(house, &scene.tenant).await;
    let swap = json!([
        {"op": "remove", "path": format!("members[value eq \"{}\"]", scene.member)},
        {"op": "add", "path": "members", "value": [{"value": scene.newcomer}]},
    ]);
    let swapped = patch(house, &scene.tenant, &scene.group, swap);
    let set = async {
        tokio::time::sleep(MEANWHILE).await;
        give(house, &scene.tenant, &scene.group, &scene.new_team).await;
    };
    let release = async {
        tokio::time::sleep(2 * MEANWHILE).await;
        held.let_go().await;
    };
    tokio::join!(swapped, set, release);
    assert_eq!(teams_of(house, &scene.tenant, &scene.newcomer).await, json!([scene.new_team]));
    assert_eq!(teams_of(house, &scene.tenant, &scene.member).await, json!([]));
    assert_ne!(scene.old_team, scene.new_team);
}

#[tokio::test]
async fn a_sign_in_while_the_mappings_are_being_set_gets_the_new_ones() {
    let house = house();
    let tenant = house.tenant().await;
    let connection = format!("/orgs/{}/connections/{}", tenant.org, tenant.connection);
    let named = json!({"groups_attribute": "groups"});
    assert_eq!(house.api("PATCH", &house.platform_key, &connection, Some(named)).await.0, 200);
    let (old_team, new_team) = (team(house, &tenant, "old").await, team(house, &tenant, "new").await);
    give(house, &tenant, "engineers", &old_team).await;
    let first = walk::tokens(house, &tenant).await;
    let user = text(&claims(text(&first, "access_token")), "sub").to_owned();
    assert_eq!(teams_of(house, &tenant, &user).await, json!([old_team]));
    let mut at_the_door = walk::to_the_acs(house, &tenant).await;
    let held = Held::of(house, &tenant).await;
    let set = give(house, &tenant, "engineers", &new_team);
    let sign_in = async {
        tokio::time::sleep(MEANWHILE).await;
        walk::param(&at_the_door.post().await, "code");
    };
    let release = async {
        tokio::time::sleep(2 * MEANWHILE).await;
        held.let_go().await;
    };
    tokio::join!(set, sign_in, release);
    assert_eq!(teams_of(house, &tenant, &user).await, json!([new_team]));
}
