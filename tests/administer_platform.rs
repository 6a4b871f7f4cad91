//! What the platform keeps of its own, by `/api/v1`: apps, their secrets and their end, over HTTP and by
//! what each call leaves behind.

use crate::{
    administer::operate,
    house::{
        House, Tenant, TestApp, house, now,
        walk::{claims, code, is_active, redeem, refresh, text, tokens},
    },
};
use model::{TokenDigest, ids::KeyId};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use store::{PlatformAct, PlatformActor};
use token::credential::{UnboundKind, bearer};
use vestibule::seams::SystemChance;

fn path_of(tenant: &Tenant) -> String {
    format!("/apps/{}", tenant.app.id)
}

async fn noted(house: &'static House, target: &str) -> Vec<String> {
    let target = target.to_owned();
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    sqlx::query_scalar("SELECT action FROM vst.platform_events WHERE target = $1 ORDER BY evt_id")
        .bind(target)
        .fetch_all(&mut sql)
        .await
        .unwrap()
}

async fn userinfo(house: &House, access: &str) -> u16 {
    let sent = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(access).send().await.unwrap();
    sent.status().as_u16()
}

/// A platform key of its own: its id and its text.
pub async fn another_key(house: &'static House) -> (KeyId, String) {
    let text = bearer(UnboundKind::Platform, &SystemChance).reveal().clone();
    let (id, digest) = (KeyId::new(now(), &SystemChance), TokenDigest::of(&text));
    house
        .on(async move {
            let act = PlatformAct { by: PlatformActor::CommandLine, request_id: "test-request", at: now() };
            house.gw.db.create_platform_key(act, id, "another", &digest).await
        })
        .await
        .unwrap();
    (id, text)
}

/// Does this secret authenticate the app?
async fn opens(house: &House, tenant: &Tenant, secret: &str) -> bool {
    let app = TestApp {
        id: tenant.app.id,
        secret: secret.to_owned(),
        redirect_uri: tenant.app.redirect_uri.clone(),
    };
    let (status, said) = house.as_app(&app, "/oauth2/introspect", &[("token", "x")]).await;
    assert!(matches!(status, 200 | 401), "{status} {said}");
    status == 200
}

#[tokio::test]
async fn an_app_is_read_and_changed_and_its_record_says_so() {
    let house = house();
    let tenant = house.tenant().await;
    let path = path_of(&tenant);
    let (status, read) = operate(house, "GET", &path, None).await;
    assert_eq!((status, &read["orgs"]), (200, &json!("all")), "{read}");
    let patch = json!({"name": "Desk 2", "redirect_uris": ["https://two.example/cb"], "orgs": [tenant.slug],
        "post_logout_redirect_uris": ["https://two.example/"], "refresh_grace_secs": 7,
        "initiate_login_uri": null});
    let (status, changed) = operate(house, "PATCH", &path, Some(patch)).await;
    assert_eq!((status, text(&changed, "name")), (200, "Desk 2"), "{changed}");
    assert_eq!(changed["orgs"], json!([tenant.org]), "a slug is as good as an id");
    assert_eq!(changed["redirect_uris"], json!(["https://two.example/cb"]));
    assert_eq!(changed["post_logout_redirect_uris"], json!(["https://two.example/"]));
    assert_eq!((&changed["refresh_grace_secs"], &changed["initiate_login_uri"]), (&json!(7), &Value::Null));
    let (_, same) = operate(house, "PATCH", &path, Some(json!({}))).await;
    assert_eq!(same, changed, "what is left out stays");
    assert_eq!(operate(house, "GET", &path, None).await.1, changed);
    for (wrong, why) in [
        (json!({"redirect_uris": []}), "app.redirect_uris"),
        (json!({"redirect_uris": ["http://a.example/cb"]}), "api.url_refused"),
        (json!({"refresh_grace_secs": 61}), "app.refresh_grace"),
        (json!({"initiate_login_uri": "/x"}), "api.url_refused"),
        (json!({"name": ""}), "api.name_malformed"),
        (json!({"orgs": "some"}), "app.orgs"),
        (json!({"orgs": 7}), "app.orgs"),
        (json!({"orgs": ["nobody-has-this-slug"]}), "app.orgs"),
        (json!({"orgs": ["\u{0}"]}), "app.orgs"),
        (json!({"orgs": [tenant.slug, tenant.org]}), "app.orgs"),
        (json!({"resources": ["api"]}), "app.resources"),
        (json!({"resources": ["urn:example:a", "urn:example:a"]}), "app.resources"),
        (json!({"audience": "x"}), "api.field_unknown"),
    ] {
        let (status, said) = operate(house, "PATCH", &path, Some(wrong.clone())).await;
        assert_eq!((status, text(&said, "code")), (400, why), "{wrong}: {said}");
    }
    let nobody = "/apps/app_00000000000000000000000000";
    assert_eq!(operate(house, "PATCH", nobody, Some(json!({}))).await.0, 404);
    assert_eq!(noted(house, &tenant.app.id.to_string()).await, ["app.created", "app.changed", "app.changed"]);
}

#[tokio::test]
async fn an_org_that_an_app_serves_no_more_refuses_its_tokens() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let given = tokens(house, &tenant).await;
    let access = text(&given, "access_token");
    let elsewhere = json!({"orgs": [other.org]});
    assert_eq!(operate(house, "PATCH", &path_of(&tenant), Some(elsewhere)).await.0, 200);
    assert!(!is_active(house, &tenant, access).await);
    assert_eq!(userinfo(house, access).await, 401);
    assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 400);
}

#[tokio::test]
async fn two_secrets_are_good_until_the_old_one_is_retired_or_its_day_is_over() {
    let house = house();
    let tenant = house.tenant().await;
    let rotate = format!("{}/rotate-secret", path_of(&tenant));
    let first = tenant.app.secret.clone();
    let (status, born) = operate(house, "POST", &rotate, Some(json!({}))).await;
    assert_eq!(status, 200, "{born}");
    let second = text(&born, "client_secret").to_owned();
    assert!(second.starts_with("vst_cs_") && second != first);
    assert!(opens(house, &tenant, &first).await && opens(house, &tenant, &second).await);
    let (_, born) = operate(house, "POST", &rotate, Some(json!({}))).await;
    let third = text(&born, "client_secret").to_owned();
    assert!(!opens(house, &tenant, &first).await, "two at most");
    assert!(opens(house, &tenant, &second).await && opens(house, &tenant, &third).await);
    let (status, said) = operate(house, "POST", &rotate, Some(json!({"retire_old": true}))).await;
    assert_eq!((status, said.get("client_secret"), &said["old_secret_until"]), (200, None, &Value::Null));
    assert!(!opens(house, &tenant, &second).await && opens(house, &tenant, &third).await);
    let (_, read) = operate(house, "GET", &path_of(&tenant), None).await;
    assert!(!read.to_string().contains("vst_cs_"), "shown once");
    let record = noted(house, &tenant.app.id.to_string()).await;
    let rotated = "app.secret_rotated";
    assert_eq!(record, ["app.created", rotated, rotated, "app.old_secret_retired"]);
    let public = json!({"name": "p", "redirect_uris": ["http://localhost/cb"],
        "token_endpoint_auth_method": "none"});
    let (_, public) = operate(house, "POST", "/apps", Some(public)).await;
    let public = format!("/apps/{}/rotate-secret", text(&public, "client_id"));
    let (status, said) = operate(house, "POST", &public, Some(json!({}))).await;
    assert_eq!((status, text(&said, "code")), (409, "app.no_secret"));
}

#[tokio::test]
async fn an_app_that_is_removed_leaves_no_code_and_no_token_that_is_good() {
    let house = house();
    let tenant = house.tenant().await;
    let (given, unused) = (tokens(house, &tenant).await, code(house, &tenant).await);
    let access = text(&given, "access_token");
    // An app with the same audience may ask about the token.
    let asker = house.app(0).await;
    let audience = tenant.app.id.to_string();
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    sqlx::query("UPDATE vst.apps SET audience = $2 WHERE app_id = $1")
        .bind(asker.id.uuid())
        .bind(audience)
        .execute(&mut sql)
        .await
        .unwrap();
    let asked = async || house.as_app(&asker, "/oauth2/introspect", &[("token", access)]).await.1;
    assert_eq!(asked().await["active"], json!(true));
    assert_eq!(userinfo(house, access).await, 200);
    assert_eq!(operate(house, "DELETE", &path_of(&tenant), None).await, (204, json!("")));
    assert_eq!(asked().await, json!({"active": false}));
    assert_eq!(userinfo(house, access).await, 401);
    assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 401);
    assert_eq!(redeem(house, &tenant, &unused).await.0, 401);
    assert!(!opens(house, &tenant, &tenant.app.secret).await);
    for method in ["GET", "DELETE"] {
        assert_eq!(operate(house, method, &path_of(&tenant), None).await.0, 404);
    }
    assert_eq!(text(&claims(access), "client_id"), tenant.app.id.to_string());
    assert_eq!(noted(house, &tenant.app.id.to_string()).await, ["app.created", "app.deleted"]);
}

#[tokio::test]
async fn platform_keys_are_listed_without_their_text_and_end_at_once_but_the_last() {
    let house = crate::house::Site::named("platform-keys").open();
    let (id, text) = another_key(house).await;
    let own = |path: String, method: &'static str| {
        let text = text.clone();
        async move { house.api(method, &text, &path, None).await }
    };
    let (status, listed) = own("/platform-keys".into(), "GET").await;
    let keys = listed["data"].as_array().unwrap();
    assert_eq!((status, keys.len(), &keys[1]["id"]), (200, 2, &json!(id)), "{listed}");
    assert_eq!((&keys[1]["name"], &keys[1]["revoked_at"]), (&json!("another"), &Value::Null));
    assert!(!listed.to_string().contains("digest") && !listed.to_string().contains("vst_"));
    let first = format!("/platform-keys/{}", keys[0]["id"].as_str().unwrap());
    let last = format!("/platform-keys/{id}");
    assert_eq!(own(first.clone(), "DELETE").await.0, 204);
    assert_eq!(operate(house, "GET", "/platform-keys", None).await.0, 401, "at once");
    assert_eq!(own(first, "DELETE").await.0, 404, "once");
    let (status, said) = own(last, "DELETE").await;
    assert_eq!((status, said["code"].as_str()), (409, Some("platform_key.last")));
    let (status, listed) = own("/platform-keys".into(), "GET").await;
    assert_eq!(status, 200);
    assert!(listed["data"][0]["revoked_at"].is_string(), "{listed}");
    let target = listed["data"][0]["id"].as_str().unwrap();
    assert_eq!(noted(house, target).await, ["platform_key.created", "platform_key.revoked"]);
}
