//! What a sign-in's groups give is gone when they are: from older tokens at once, and with the
//! connection. A team that goes takes no role along.

use crate::house::{
    House, Tenant, house,
    walk::{claims, is_active, refresh, text, tokens},
};
use idp_fixtures::Person;
use serde_json::{Value, json};

async fn api(house: &House, tenant: &Tenant, method: &str, path: &str, body: Option<Value>) -> Value {
    let path = format!("/orgs/{}{path}", tenant.org);
    let (status, said) = house.api(method, &house.platform_key, &path, body).await;
    assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
    said
}

/// `engineers`, in which Ada is, gives a team and a role.
async fn mapped(house: &House, tenant: &Tenant) -> String {
    let made = api(house, tenant, "POST", "/teams", Some(json!({"slug": "eng", "name": "Eng"}))).await;
    let team = text(&made, "id").to_owned();
    let mapping = json!([{"group_id": "engineers", "team_id": team, "roles": ["admin"]}]);
    api(house, tenant, "PUT", "/group-mappings", Some(mapping)).await;
    team
}

fn has(tokens: &Value) -> (Value, Value) {
    let said = claims(text(tokens, "access_token"));
    (said["team_ids"].clone(), said["roles"].clone())
}

async fn shown(house: &House, tenant: &Tenant, tokens: &Value) -> (Value, Value) {
    let id = claims(text(tokens, "access_token"))["sub"].as_str().unwrap().to_owned();
    let user = api(house, tenant, "GET", &format!("/users/{id}"), None).await;
    (user["team_ids"].clone(), user["roles"].clone())
}

fn put_ada(tenant: &Tenant, groups: &[&str]) {
    let ada = Person::new(&format!("ada@{}", tenant.domain), "pw", "Ada", "Lovelace");
    tenant.idp.put_person(ada.in_groups(groups));
}

#[tokio::test]
async fn a_group_that_is_gone_at_the_next_sign_in_is_gone_from_older_tokens() {
    let house = house();
    let tenant = house.tenant().await;
    let team = mapped(house, &tenant).await;
    let first = tokens(house, &tenant).await;
    assert_eq!(has(&first), (json!([team]), json!(["admin"])));
    tokens(house, &tenant).await;
    assert!(is_active(house, &tenant, text(&first, "access_token")).await, "nothing changed, nothing ends");
    put_ada(&tenant, &[]);
    assert_eq!(has(&tokens(house, &tenant).await), (json!([]), json!([])));
    assert!(!is_active(house, &tenant, text(&first, "access_token")).await);
    let (status, anew) = refresh(house, &tenant, text(&first, "refresh_token")).await;
    assert_eq!((status, has(&anew)), (200, (json!([]), json!([]))), "the session lives on");
}

#[tokio::test]
async fn a_connection_that_is_removed_takes_what_it_gave() {
    let house = house();
    let tenant = house.tenant().await;
    mapped(house, &tenant).await;
    let given = tokens(house, &tenant).await;
    api(house, &tenant, "DELETE", &format!("/connections/{}", tenant.connection), None).await;
    assert_eq!(shown(house, &tenant, &given).await, (json!([]), json!([])));
}

#[tokio::test]
async fn a_team_that_is_removed_leaves_the_roles_of_its_mapping() {
    let house = house();
    let tenant = house.tenant().await;
    let team = mapped(house, &tenant).await;
    let given = tokens(house, &tenant).await;
    api(house, &tenant, "DELETE", &format!("/teams/{team}"), None).await;
    assert_eq!(shown(house, &tenant, &given).await, (json!([]), json!(["admin"])));
    let left = api(house, &tenant, "GET", "/group-mappings", None).await;
    assert_eq!(left["data"], json!([{"group_id": "engineers", "team_id": null, "roles": ["admin"]}]));
    put_ada(&tenant, &[]);
    assert_eq!(has(&tokens(house, &tenant).await), (json!([]), json!([])), "and the group still takes them");
    let other = api(house, &tenant, "POST", "/teams", Some(json!({"slug": "ops", "name": "Ops"}))).await;
    let mapping = json!([{"group_id": "operators", "team_id": text(&other, "id"), "roles": []}]);
    api(house, &tenant, "PUT", "/group-mappings", Some(mapping)).await;
    api(house, &tenant, "DELETE", &format!("/teams/{}", text(&other, "id")), None).await;
    let left = api(house, &tenant, "GET", "/group-mappings", None).await;
    assert_eq!(left["data"], json!([]), "what gives nothing goes");
}
