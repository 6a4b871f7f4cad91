//! What a large directory asks, and what is too much.

use crate::{
    house::{House, Site, Tenant, house, walk::text},
    scim_made::{crowd, one_of_the_crowd},
};
use model::ids::GroupId;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A group of this directory with the first so many people of the crowd.
async fn group(house: &House, tenant: &Tenant, members: u32) -> String {
    let body = json!({"displayName": format!("of {members}")});
    let (_, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(body)).await;
    let id: GroupId = text(&made, "id").parse().unwrap();
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let statements = format!(
        "BEGIN; SET LOCAL ROLE vst_app; SET LOCAL search_path = vst;
         SELECT set_config('app.org_id', '{}', true), set_config('app.reach', 'org', true);
         INSERT INTO group_members (org_id, group_id, user_id)
         SELECT '{}', '{}', ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid FROM generate_series(1, {members}) n; COMMIT",
        tenant.org.uuid(),
        tenant.org.uuid(),
        id.uuid()
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut sql).await.unwrap();
    id.to_string()
}

/// More members than one answer shows are read where they are asked for, and nowhere else: neither for a list
/// without them, nor for one that joins or leaves. What that costs beside a small group: benches/load, `members`.
#[tokio::test]
async fn nobody_reads_the_members_of_a_large_group_for_one_that_joins() {
    let house = house();
    let tenant = house.tenant().await;
    crowd(house, &tenant, 50_100).await;
    // Together more than one answer shows.
    let (large, _) = (group(house, &tenant, 50_001).await, group(house, &tenant, 50_000).await);
    let list = "/scim/v2/Groups?filter=displayName%20sw%20%22of%22";
    let (status, said) = house.scim("GET", &tenant.scim_token, list, None).await;
    assert_eq!((status, &said["scimType"]), (400, &json!("tooMany")));
    let slim = format!("{list}&excludedAttributes=members");
    let (status, said) = house.scim("GET", &tenant.scim_token, &slim, None).await;
    assert_eq!((status, &said["totalResults"]), (200, &json!(2)), "{said}");
    let member = one_of_the_crowd(50_002);
    for operation in [
        json!({"op": "add", "path": "members", "value": [{"value": member}]}),
        json!({"op": "remove", "path": format!("members[value eq \"{member}\"]")}),
    ] {
        let body =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]});
        let path = format!("/scim/v2/Groups/{large}");
        let (status, said) = house.scim("PATCH", &tenant.scim_token, &path, Some(body)).await;
        assert_eq!(status, 204, "{said}");
    }
}

#[tokio::test]
async fn a_search_that_costs_too_much_is_refused_as_such_and_a_narrow_one_is_not() {
    let public_url = Some(house().base.clone());
    let hurried = Site { statement_timeout_secs: 1, public_url, ..Site::named("test") }.open();
    let tenant = house().tenant().await;
    crowd(hurried, &tenant, 60_000).await;
    let term = |n: usize| format!("emails[display co \"{n}\" or value ew \"{n}@y\"]");
    let costly = (0..49).map(term).collect::<Vec<_>>().join(" or ");
    let ask = async |filter: &str| {
        let body = json!({"filter": filter, "attributes": ["userName"]});
        hurried.scim("POST", &tenant.scim_token, "/scim/v2/Users/.search", Some(body)).await
    };
    let (status, said) = ask(&costly).await;
    assert_eq!((status, &said["scimType"]), (400, &json!("tooMany")), "{said}");
    assert!(text(&said, "detail").ends_with("[scim.too_costly]"), "{said}");
    let (status, said) = ask(&format!("userName eq \"u7\" and ({costly})")).await;
    assert_eq!((status, &said["totalResults"]), (200, &json!(0)), "{said}");
    let (status, said) = ask("userName sw \"u5999\"").await;
    assert_eq!((status, &said["totalResults"]), (200, &json!(11)), "{said}");
}
