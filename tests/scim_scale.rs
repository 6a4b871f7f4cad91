//! What a directory asks most costs the same among few and among many: a look-up by user name, and one
//! member more in a group. Both sides are measured in turns, in the same run.

use crate::{
    house::{House, Site, Tenant, house, walk::text},
    scim_made::{crowd, one_of_the_crowd},
};
use model::ids::GroupId;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn timed(house: &House, tenant: &Tenant, method: &str, path: &str, body: Option<Value>) -> Duration {
    let began = Instant::now();
    let (status, said) = house.scim(method, &tenant.scim_token, path, body).await;
    assert!(status == 200 || status == 204, "{said}");
    began.elapsed()
}

#[tokio::test]
#[ignore = "a million people take minutes: run it by name"]
async fn a_look_up_by_name_costs_the_same_among_a_thousand_and_a_million() {
    let house = house();
    let (few, many) = (house.tenant().await, house.tenant().await);
    crowd(house, &few, 1_000).await;
    crowd(house, &many, 1_000_000).await;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for n in 1..=500_u32 {
        for (tenant, most, times) in [(&few, 1_000, &mut small), (&many, 1_000_000, &mut large)] {
            let name = n * 7_919 % most + 1;
            let path = format!("/scim/v2/Users?filter=userName%20eq%20%22U{name}%22");
            times.push(timed(house, tenant, "GET", &path, None).await);
        }
    }
    let (small, large) = (median(small), median(large));
    println!("userName eq, p50: {small:?} among 1,000, {large:?} among 1,000,000");
    assert!(large < small.mul_f64(1.5), "{small:?} and {large:?}");
}

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

#[tokio::test]
async fn one_member_more_costs_the_same_in_a_group_of_5_and_of_50_000() {
    let house = house();
    let tenant = house.tenant().await;
    crowd(house, &tenant, 50_100).await;
    let (small, large) = (group(house, &tenant, 5).await, group(house, &tenant, 50_000).await);
    // Beside the crowd's own groups more members than one answer shows: they are read where they are asked
    // for, and nowhere else.
    group(house, &tenant, 50_001).await;
    let list = "/scim/v2/Groups?filter=displayName%20sw%20%22of%22";
    let (status, said) = house.scim("GET", &tenant.scim_token, list, None).await;
    assert_eq!((status, &said["scimType"]), (400, &json!("tooMany")), "{said}");
    let slim = format!("{list}&excludedAttributes=members");
    let (status, said) = house.scim("GET", &tenant.scim_token, &slim, None).await;
    assert_eq!((status, &said["totalResults"]), (200, &json!(3)), "{said}");
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for n in 50_001..=50_040_u32 {
        let member = one_of_the_crowd(n);
        for (group, times) in [(&small, &mut few), (&large, &mut many)] {
            let body = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "add", "path": "members", "value": [{"value": member}]}],
            });
            let path = format!("/scim/v2/Groups/{group}");
            times.push(timed(house, &tenant, "PATCH", &path, Some(body)).await);
        }
    }
    // The quickest of each: whatever else the machine does is in the others.
    let quickest = |times: &[Duration]| times.iter().min().copied().unwrap();
    let (least, most) = (quickest(&few), quickest(&many));
    let (few, many) = (median(few), median(many));
    println!(
        "one member more, p50 (quickest): {few:?} ({least:?}) in a group of 5, {many:?} ({most:?}) in 50,000"
    );
    assert!(most < least.mul_f64(1.5) + Duration::from_millis(1), "{least:?} and {most:?}");
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
