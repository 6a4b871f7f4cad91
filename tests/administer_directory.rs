//! A directory's new name and its end, and its groups, by `/api/v1`: what its people, its groups' gifts
//! and its tokens are afterwards.

use crate::{
    administer::operate,
    house::{
        House, Tenant, house,
        walk::{claims, is_active, text, tokens},
    },
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn of(tenant: &Tenant, path: &str) -> String {
    format!("/orgs/{}{path}", tenant.org)
}

async fn provision(house: &House, tenant: &Tenant, path: &str, body: Value) -> String {
    let (status, made) = house.scim("POST", &tenant.scim_token, path, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

/// Ada, one who left, and a group of Ada with a role by it.
async fn provisioned(house: &House, tenant: &Tenant) -> (String, String, String) {
    let person = |name: &str, active: bool| json!({"schemas": [USER], "userName": format!("{name}@{}", tenant.domain), "active": active});
    let ada = provision(house, tenant, "/scim/v2/Users", person("ada", true)).await;
    let gone = provision(house, tenant, "/scim/v2/Users", person("bob", false)).await;
    let group = json!({"schemas": [GROUP], "displayName": "Engineers", "externalId": "e-1",
        "members": [{"value": ada}]});
    let group = provision(house, tenant, "/scim/v2/Groups", group).await;
    let mapping = json!([{"group_id": group, "roles": ["admin"]}]);
    assert_eq!(operate(house, "PUT", &of(tenant, "/group-mappings"), Some(mapping)).await.0, 200);
    (ada, gone, group)
}

#[tokio::test]
async fn a_directory_is_renamed() {
    let house = house();
    let tenant = house.tenant().await;
    let one = of(&tenant, &format!("/directories/{}", tenant.directory));
    let (status, named) = operate(house, "PATCH", &one, Some(json!({"name": "Okta EU"}))).await;
    assert_eq!((status, text(&named, "name")), (200, "Okta EU"), "{named}");
    let (status, said) = operate(house, "PATCH", &one, Some(json!({"name": ""}))).await;
    assert_eq!((status, text(&said, "code")), (400, "api.name_malformed"));
    for guard in [json!("of"), json!({"percent": 5}), json!({"percent": 0, "at_least": 1}), json!(7)] {
        let (status, said) = operate(house, "PATCH", &one, Some(json!({"blast_guard": guard}))).await;
        assert_eq!((status, text(&said, "code")), (400, "directory.guard"), "{guard}: {said}");
    }
    assert_eq!(operate(house, "GET", &one, None).await.1, named);
}

/// Null takes a field's own value away, here as elsewhere; left out it stays.
#[tokio::test]
async fn a_guard_of_null_is_the_usual_one() {
    let house = house();
    let tenant = house.tenant().await;
    let one = of(&tenant, &format!("/directories/{}", tenant.directory));
    let usual = json!({"percent": 20, "at_least": 10});
    assert_eq!(operate(house, "GET", &one, None).await.1["blast_guard"], usual);
    for (patch, wanted) in [
        (json!({"blast_guard": "off"}), json!("off")),
        (json!({"name": "Okta"}), json!("off")),
        (json!({"blast_guard": null}), usual),
    ] {
        let (status, said) = operate(house, "PATCH", &one, Some(patch.clone())).await;
        assert_eq!((status, &said["blast_guard"]), (200, &wanted), "{patch}: {said}");
    }
}

#[tokio::test]
async fn groups_are_listed_by_the_id_that_a_mapping_names() {
    let house = house();
    let tenant = house.tenant().await;
    let (_, _, group) = provisioned(house, &tenant).await;
    let other = json!({"schemas": [GROUP], "displayName": "Nobody"});
    let other = provision(house, &tenant, "/scim/v2/Groups", other).await;
    let (status, listed) = operate(house, "GET", &of(&tenant, "/groups?limit=1"), None).await;
    let first = json!({"id": group, "directory_id": tenant.directory, "display_name": "Engineers",
        "external_id": "e-1", "members": 1});
    assert_eq!((status, &listed["data"]), (200, &json!([first])));
    let next = of(&tenant, &format!("/groups?limit=1&cursor={}", text(&listed, "next_cursor")));
    let (_, rest) = operate(house, "GET", &next, None).await;
    assert_eq!((&rest["data"][0]["id"], &rest["data"][0]["members"]), (&json!(other), &json!(0)));
    assert_eq!(rest["next_cursor"], Value::Null);
    let stranger = house.tenant().await;
    let (_, theirs) = house.api("GET", &stranger.org_key, &of(&stranger, "/groups"), None).await;
    assert_eq!(theirs["data"], json!([]));
}

#[tokio::test]
async fn a_directory_that_owns_active_people_goes_only_when_they_are_released() {
    let house = house();
    let tenant = house.tenant().await;
    let one = of(&tenant, &format!("/directories/{}", tenant.directory));
    let (ada, bob, _) = provisioned(house, &tenant).await;
    let given = tokens(house, &tenant).await;
    let access = text(&given, "access_token");
    assert_eq!(claims(access)["roles"], json!(["admin"]));
    let (status, said) = operate(house, "DELETE", &one, None).await;
    assert_eq!((status, text(&said, "code")), (409, "directory.owns_people"));
    let users = house.scim("GET", &tenant.scim_token, "/scim/v2/Users", None).await;
    assert_eq!((users.0, &users.1["totalResults"]), (200, &json!(2)), "a refusal changes nothing");
    assert!(is_active(house, &tenant, access).await);
    assert_eq!(operate(house, "DELETE", &format!("{one}?release=perhaps"), None).await.0, 400);
    assert_eq!(operate(house, "DELETE", &format!("{one}?release=true"), None).await.0, 204);
    assert_eq!(house.scim("GET", &tenant.scim_token, "/scim/v2/Users", None).await.0, 401);
    assert_eq!(operate(house, "GET", &one, None).await.0, 404);
    assert_eq!(operate(house, "DELETE", &one, None).await.0, 404);
    let (_, seat) = operate(house, "GET", &of(&tenant, &format!("/users/{ada}")), None).await;
    assert_eq!((&seat["active"], &seat["roles"]), (&json!(true), &json!([])), "{seat}");
    assert_eq!(seat["directory"], Value::Null, "{seat}");
    let (_, seat) = operate(house, "GET", &of(&tenant, &format!("/users/{bob}")), None).await;
    assert_eq!(seat["active"], json!(false), "who was deactivated stays so");
    assert!(!is_active(house, &tenant, access).await, "no token says that the group's role is held");
    let again = tokens(house, &tenant).await;
    assert_eq!(claims(text(&again, "access_token"))["sub"], json!(ada), "the same seat");
    assert_eq!(claims(text(&again, "access_token"))["roles"], json!([]));
    assert_eq!(operate(house, "GET", &of(&tenant, "/groups"), None).await.1["data"], json!([]));
    let removed = of(&tenant, "/audit/events?action=directory.removed");
    let (_, events) = operate(house, "GET", &removed, None).await;
    assert_eq!(events["data"][0]["values"]["active_people_released"], json!(1), "{events}");
}

/// No key holds people to their directory: its removal waits at its tokens' doors for whoever is inside.
#[tokio::test]
async fn whoever_is_made_while_the_directory_goes_is_let_go_of_too() {
    let house = house();
    let tenant = Arc::new(house.tenant().await);
    let (mut making, mut made) = (JoinSet::new(), Vec::new());
    for n in 0..24 {
        let tenant = tenant.clone();
        making.spawn(async move {
            let (mut made, mut turn) = (Vec::new(), 0);
            loop {
                let name = format!("p{n}-{turn}@{}", tenant.domain);
                let body = json!({"schemas": [USER], "userName": name, "active": false});
                let (status, said) =
                    house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body)).await;
                match status {
                    201 => made.push(text(&said, "id").to_owned()),
                    401 => return made,
                    429 | 503 => {}
                    other => panic!("{other} {said}"),
                }
                turn += 1;
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let one = of(&tenant, &format!("/directories/{}", tenant.directory));
    assert_eq!(operate(house, "DELETE", &one, None).await.0, 204);
    while let Some(theirs) = making.join_next().await {
        made.extend(theirs.unwrap());
    }
    assert!(!made.is_empty(), "somebody was made before");
    for id in made {
        let (status, seat) = operate(house, "GET", &of(&tenant, &format!("/users/{id}")), None).await;
        assert_eq!((status, &seat["directory"]), (200, &Value::Null), "{seat}");
    }
}
