//! Gone means gone: the directory's word ends every session and token.

use crate::{
    house::{
        House, Tenant, authorize_url, house,
        walk::{claims, is_active, param, redeem, refresh, text, to_the_acs, tokens},
    },
    scim_bulk_rehearsed::within,
};
use model::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// By her org's directory; the id.
async fn ada(house: &House, tenant: &Tenant) -> String {
    let ada = format!("ada@{}", tenant.domain);
    let (status, made) = house
        .scim(
            "POST",
            &tenant.scim_token,
            "/scim/v2/Users",
            Some(json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": ada, "name": {"givenName": "Ada", "familyName": "Lovelace"},
                "emails": [{"value": ada, "type": "work", "primary": true}], "active": true,
            })),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

fn active(active: bool) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": active}}],
    })
}

#[tokio::test]
async fn a_directorys_active_false_ends_everything_and_coming_back_revives_nothing() {
    let house = house();
    let tenant = house.tenant().await;
    let id = ada(house, &tenant).await;
    let mut door = to_the_acs(house, &tenant).await;
    let page = door.post().await;
    let (_, given) = redeem(house, &tenant, &param(&page, "code")).await;
    let access = text(&given, "access_token").to_owned();
    assert_eq!(claims(&access)["sub"], json!(id), "the sign-in found the directory's seat");
    assert!(is_active(house, &tenant, &access).await);

    let path = format!("/scim/v2/Users/{id}");
    let (status, said) = house.scim("PATCH", &tenant.scim_token, &path, Some(active(false))).await;
    assert!(status == 200 || status == 204, "{status} {said}");
    assert!(!is_active(house, &tenant, &access).await);
    assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 400);
    let userinfo = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(&access).send().await.unwrap();
    assert_eq!(userinfo.status().as_u16(), 401);
    let silent = door.browser.get_once(&authorize_url(house, &tenant, &[("prompt", "none")])).await.unwrap();
    assert_eq!(param(&silent, "error"), "login_required", "the browser's session is over");
    let refused = to_the_acs(house, &tenant).await.post().await;
    assert_eq!(refused.header("x-vestibule-code"), Some("login.user_inactive"));

    let path_receipts = format!("/orgs/{}/users/{id}/deprovisionings", tenant.slug);
    let (status, receipts) = house.api("GET", &tenant.org_key, &path_receipts, None).await;
    assert_eq!(status, 200, "{receipts}");
    assert_eq!(receipts["data"][0]["sessions_ended"], json!(1));

    house.scim("PATCH", &tenant.scim_token, &path, Some(active(true))).await;
    assert!(!is_active(house, &tenant, &access).await, "coming back revives nothing");
    assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 400);
    tokens(house, &tenant).await;
}

#[tokio::test]
async fn no_token_lives_after_the_receipts_instant_also_of_those_refreshed_while_the_directory_waited() {
    let house = house();
    let tenant = house.tenant().await;
    let id = ada(house, &tenant).await;
    let given = tokens(house, &tenant).await;
    let mut hold = within(house, &tenant).await;
    sqlx::raw_sql("SELECT 1 FROM users FOR SHARE").execute(&mut hold).await.unwrap();
    let path = format!("/scim/v2/Users/{id}");
    let ends = house.scim("PATCH", &tenant.scim_token, &path, Some(active(false)));
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let refreshed = refresh(house, &tenant, text(&given, "refresh_token")).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut hold).await.unwrap();
        refreshed
    };
    let (ended, (status, late)) = tokio::join!(ends, meanwhile);
    assert!(ended.0 == 200 || ended.0 == 204, "{ended:?}");
    assert_eq!(status, 200, "the directory was not done yet: {late}");
    let expires = claims(text(&late, "access_token"))["exp"].as_i64().unwrap();
    let receipts = format!("/orgs/{}/users/{id}/deprovisionings", tenant.slug);
    let (_, receipts) = house.api("GET", &tenant.org_key, &receipts, None).await;
    let last = Timestamp::parse_rfc3339(text(&receipts["data"][0], "no_token_lives_after")).unwrap();
    assert!(Timestamp::from_secs(expires) <= last, "{expires} is after {receipts}");
}
