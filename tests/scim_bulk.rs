//! Bulk requests: order by reference, partial failure, the client's own bound, and what else holds for each
//! operation as it does for a request by itself: tenancy, scopes, the blast guard, the dry run.

use crate::house::{House, Tenant, house, walk::text};
use serde_json::{Value, json};

async fn bulk(house: &House, token: &str, operations: Value) -> Vec<Value> {
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations});
    let (status, said) = house.scim("POST", token, "/scim/v2/Bulk", Some(body)).await;
    assert_eq!(status, 200, "{said}");
    said["Operations"].as_array().unwrap().clone()
}

fn statuses(operations: &[Value]) -> Vec<&str> {
    operations.iter().map(|one| text(one, "status")).collect()
}

fn person(tenant: &Tenant, name: &str, bulk_id: &str) -> Value {
    let data = json!({"userName": format!("{name}@{}", tenant.domain)});
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data})
}

#[tokio::test]
async fn a_group_may_stand_before_its_members() {
    let house = house();
    let tenant = house.tenant().await;
    let group = json!({"displayName": "Staff", "members": [{"value": "bulkId:a"}, {"value": "bulkId:b"}]});
    let done = bulk(
        house,
        &tenant.scim_token,
        json!([
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": group},
            person(&tenant, "a", "a"),
            person(&tenant, "b", "b"),
            person(&tenant, "c", "c"),
            {"method": "DELETE", "path": "/Users/bulkId:c"},
        ]),
    )
    .await;
    assert_eq!(statuses(&done), ["201", "201", "201", "204", "201"], "{done:?}");
    let group = done.iter().find(|one| one["bulkId"] == "g").unwrap();
    assert!(text(group, "version").starts_with("W/"));
    let path = text(group, "location").strip_prefix(&house.base).unwrap().to_owned();
    let (_, group) = house.scim("GET", &tenant.scim_token, &path, None).await;
    assert_eq!(group["members"].as_array().map(Vec::len), Some(2), "{group}");
}

/// Each operation by itself: the others are done, the circle and the unknown are refused by name, and after
/// the client's bound nothing more.
#[tokio::test]
async fn one_that_fails_stops_no_other_until_the_clients_bound() {
    let house = house();
    let tenant = house.tenant().await;
    let manager = |name: &str, id: &str, boss: &str| {
        let data = json!({"userName": format!("{name}@{}", tenant.domain), "schemas": [],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": boss}}});
        json!({"method": "POST", "path": "/Users", "bulkId": id, "data": data})
    };
    let operations = json!([
        {"method": "DELETE", "path": "/Users/usr_00000000000000000000000000"},
        manager("x", "x", "bulkId:y"),
        manager("y", "y", "bulkId:x"),
        manager("z", "z", "bulkId:nobody"),
        person(&tenant, "w", "w"),
    ]);
    let done = bulk(house, &tenant.scim_token, operations.clone()).await;
    assert_eq!(statuses(&done), ["404", "400", "201", "409", "400"], "{done:?}");
    assert!(done[3]["response"].to_string().contains("scim.circular"), "{done:?}");
    let body = json!({"Operations": operations, "failOnErrors": 1});
    let (_, said) = house.scim("POST", &tenant.scim_token, "/scim/v2/Bulk", Some(body)).await;
    assert_eq!(said["Operations"].as_array().map(Vec::len), Some(1), "{said}");
}

#[tokio::test]
async fn each_operation_is_held_to_what_a_request_is_held_to() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let mine = bulk(house, &tenant.scim_token, json!([person(&tenant, "mine", "m")])).await;
    let id = text(&mine[0], "location").rsplit('/').next().unwrap().to_owned();
    let foreign =
        bulk(house, &other.scim_token, json!([{"method": "DELETE", "path": format!("/Users/{id}")}])).await;
    let none = json!([{"method": "DELETE", "path": "/Users/usr_00000000000000000000000000"}]);
    let unknown = bulk(house, &other.scim_token, none).await;
    assert_eq!(foreign, unknown, "another org's id is an unknown one");

    let tokens = format!("/orgs/{}/directories/{}/tokens", tenant.slug, tenant.directory);
    let scopes = json!({"scopes": ["users:read", "groups:write"]});
    let (_, made) = house.api("POST", &tenant.org_key, &tokens, Some(scopes)).await;
    let done = bulk(house, text(&made, "token"), json!([person(&tenant, "no", "n")])).await;
    assert_eq!(statuses(&done), ["403"], "{done:?}");

    let directory = format!("/orgs/{}/directories/{}", tenant.slug, tenant.directory);
    let guard = json!({"blast_guard": {"percent": 1, "at_least": 1}});
    assert_eq!(house.api("PATCH", &tenant.org_key, &directory, Some(guard)).await.0, 200);
    let operations: Vec<Value> = ["p", "q"].iter().map(|name| person(&tenant, name, name)).collect();
    let ids: Vec<String> = bulk(house, &tenant.scim_token, json!(operations))
        .await
        .iter()
        .map(|one| text(one, "location").rsplit('/').next().unwrap().to_owned())
        .collect();
    let gone: Vec<Value> =
        ids.iter().map(|id| json!({"method": "DELETE", "path": format!("/Users/{id}")})).collect();
    let done = bulk(house, &tenant.scim_token, json!(gone)).await;
    assert_eq!(statuses(&done), ["204", "429"], "{done:?}");

    let body = json!({"Operations": [person(&tenant, "dry", "d")]});
    let sent = house.http.post(house.url("/scim/v2/Bulk")).bearer_auth(&tenant.scim_token);
    let sent = sent.header("prefer", "vestibule-dry-run").header("content-type", "application/scim+json");
    let said: Value = sent.body(body.to_string()).send().await.unwrap().json().await.unwrap();
    let one = &said["Operations"][0];
    assert_eq!(one["response"]["changes"][0]["action"], "user.created", "{said}");
    let done = bulk(house, &tenant.scim_token, json!([person(&tenant, "dry", "d")])).await;
    assert_eq!(statuses(&done), ["201"], "nothing was kept of the rehearsal");
}
