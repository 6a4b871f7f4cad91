//! What an app has chosen to have in its tokens besides: out of the token's own instant, in no other app's tokens, and
//! said by introspection as the token says it.

use crate::house::{
    House, Tenant, house,
    walk::{claims, is_active, refresh, text, tokens},
};
use serde_json::{Value, json};

async fn choose(house: &House, tenant: &Tenant, claims: Value) {
    let path = format!("/apps/{}", tenant.app.id);
    let (status, said) =
        house.api("PATCH", &house.platform_key, &path, Some(json!({"claims": claims}))).await;
    assert_eq!((status, &said["claims"]), (200, &claims), "{said}");
}

async fn ok(house: &House, method: &str, key: &str, path: &str, body: Value) -> Value {
    let (status, said) = house.api(method, key, path, Some(body)).await;
    assert!((200..300).contains(&status), "{method} {path}: {said}");
    said
}

const ALL: [&str; 3] = ["team_slugs", "permissions", "entitlements"];

#[tokio::test]
async fn an_app_has_what_it_has_chosen_and_no_more() {
    let house = house();
    let tenant = house.tenant().await;
    let org = format!("/orgs/{}", tenant.org);
    let given = tokens(house, &tenant).await;
    let said = claims(text(&given, "access_token"));
    assert!(ALL.iter().all(|name| said.get(name).is_none()), "{said}");
    let user = text(&said, "sub").to_owned();
    for slug in ["ops", "dev"] {
        let team =
            ok(house, "POST", &tenant.org_key, &format!("{org}/teams"), json!({"slug": slug, "name": slug}))
                .await;
        let place = format!("{org}/teams/{}/members/{user}", text(&team, "id"));
        assert_eq!(house.api("PUT", &tenant.org_key, &place, None).await.0, 204);
    }
    ok(house, "PUT", &tenant.org_key, &format!("{org}/users/{user}/roles"), json!(["member", "viewer"]))
        .await;
    choose(house, &tenant, json!(["permissions"])).await;
    let (status, given) = refresh(house, &tenant, text(&given, "refresh_token")).await;
    assert_eq!(status, 200, "{given}");
    let said = claims(text(&given, "access_token"));
    assert_eq!(said["permissions"], json!(["members:read", "org:read"]));
    assert!(said.get("team_slugs").is_none() && said.get("entitlements").is_none(), "{said}");

    choose(house, &tenant, json!(ALL)).await;
    let plan = format!("pro-of-{}", tenant.slug);
    let quotas = json!({"quotas": {"seats": 25}});
    ok(house, "PUT", &house.platform_key, &format!("/plans/{plan}"), quotas).await;
    let (status, given) = refresh(house, &tenant, text(&given, "refresh_token")).await;
    assert_eq!(status, 200, "{given}");
    let token = text(&given, "access_token");
    let said = claims(token);
    assert_eq!(
        (said["team_slugs"].clone(), said["team_ids"].as_array().unwrap().len()),
        (json!(["ops", "dev"]), 2)
    );
    assert_eq!(said["entitlements"]["plan"], "standard");
    let (_, seen) = house.as_app(&tenant.app, "/oauth2/introspect", &[("token", token)]).await;
    for name in ALL {
        assert_eq!(seen[name], said[name], "{name}");
    }
    assert!(claims(text(&given, "id_token")).get("permissions").is_none_or(Value::is_null));
    // Another plan: what says the old one is fetched anew.
    ok(house, "PUT", &house.platform_key, &format!("{org}/plan"), json!({"plan": plan})).await;
    assert!(!is_active(house, &tenant, token).await);
    let (status, given) = refresh(house, &tenant, text(&given, "refresh_token")).await;
    assert_eq!(status, 200, "{given}");
    let entitlements = &claims(text(&given, "access_token"))["entitlements"];
    assert_eq!((&entitlements["plan"], &entitlements["seats"]), (&json!(plan), &json!(25)), "{entitlements}");
    assert_eq!(entitlements["teams"], Value::Null, "not bounded");

    // A service account's token for this app has them too; in no team.
    let new = json!({"name": "s", "roles": ["viewer"], "audience": tenant.app.id});
    let made = ok(house, "POST", &tenant.org_key, &format!("{org}/service-accounts"), new).await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", text(&made, "client_id")),
        ("client_secret", text(&made, "client_secret")),
    ];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = house.http.post(house.url("/oauth2/token")).body(body);
    let sent = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let given: Value = sent.json().await.unwrap();
    let said = claims(text(&given, "access_token"));
    assert_eq!((&said["permissions"], &said["team_slugs"]), (&json!(["org:read"]), &json!([])));
    assert_eq!(said["entitlements"]["seats"], 25);
}

#[tokio::test]
async fn too_much_is_left_out_by_name_and_a_wrong_choice_is_refused() {
    let house = house();
    let tenant = house.tenant().await;
    let org = format!("/orgs/{}", tenant.org);
    choose(house, &tenant, json!(["team_slugs", "permissions"])).await;
    let given = tokens(house, &tenant).await;
    let user = text(&claims(text(&given, "access_token")), "sub").to_owned();
    for n in 0..90 {
        let slug = format!("{}{n:03}", "x".repeat(60));
        let team =
            ok(house, "POST", &tenant.org_key, &format!("{org}/teams"), json!({"slug": slug, "name": "x"}))
                .await;
        let place = format!("{org}/teams/{}/members/{user}", text(&team, "id"));
        assert_eq!(house.api("PUT", &tenant.org_key, &place, None).await.0, 204);
    }
    let (_, given) = refresh(house, &tenant, text(&given, "refresh_token")).await;
    let token = text(&given, "access_token");
    let said = claims(token);
    assert_eq!(said["claims_omitted"], json!(["permissions", "team_slugs"]), "{said}");
    assert!(said.get("permissions").is_none() && token.len() <= token::access::TOKEN_BYTES_MAX);
    let (_, seen) = house.as_app(&tenant.app, "/oauth2/introspect", &[("token", token)]).await;
    assert_eq!((&seen["active"], &seen["claims_omitted"]), (&json!(true), &said["claims_omitted"]));
    let path = format!("/apps/{}", tenant.app.id);
    for bad in [json!(["permissions", "permissions"]), json!(["email"]), json!("permissions"), json!([null])]
    {
        let (status, said) =
            house.api("PATCH", &house.platform_key, &path, Some(json!({"claims": bad}))).await;
        assert_eq!(status, 400, "{bad}: {said}");
    }
}
