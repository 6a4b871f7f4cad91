//! Service accounts: a program of an org fetches tokens, an app takes them, and whatever ends the account ends
//! every token at once.

use crate::house::{
    House, Site, Tenant, house,
    walk::{claims, text},
};
use serde_json::{Value, json};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};
use vestibule_verifier::{Action, Denied, Mode, Verifier};

struct Account {
    id: String,
    secret: String,
}

async fn at(house: &House, tenant: &Tenant, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let path = format!("/orgs/{}/service-accounts{path}", tenant.org);
    house.api(method, &tenant.org_key, &path, body).await
}

/// One whose tokens are for the tenant's app.
async fn account(house: &House, tenant: &Tenant, roles: Value) -> Account {
    let new = json!({"name": "export", "roles": roles, "audience": tenant.app.id});
    let (status, made) = at(house, tenant, "POST", "", Some(new)).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(text(&made, "token_endpoint"), house.gw.links.at("/oauth2/token"));
    Account { id: text(&made, "client_id").to_owned(), secret: text(&made, "client_secret").to_owned() }
}

async fn fetch_with(house: &House, account: &Account, more: &[(&str, &str)]) -> (u16, Value) {
    let form = [&[("grant_type", "client_credentials")], more].concat();
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = house.http.post(house.url("/oauth2/token")).basic_auth(&account.id, Some(&account.secret));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let sent = request.body(body).send().await.unwrap();
    (sent.status().as_u16(), serde_json::from_str(&sent.text().await.unwrap()).unwrap())
}

async fn fetch(house: &House, account: &Account) -> String {
    let (status, given) = fetch_with(house, account, &[]).await;
    assert_eq!(status, 200, "{given}");
    text(&given, "access_token").to_owned()
}

async fn introspected(house: &House, tenant: &Tenant, token: &str) -> Value {
    let (status, said) = house.as_app(&tenant.app, "/oauth2/introspect", &[("token", token)]).await;
    assert_eq!(status, 200, "{said}");
    said
}

async fn is_active(house: &House, tenant: &Tenant, token: &str) -> bool {
    introspected(house, tenant, token).await["active"].as_bool().unwrap()
}

#[tokio::test]
async fn a_token_says_whose_it_is_and_nothing_of_a_sign_in() {
    let house = house();
    let tenant = house.tenant().await;
    let account = account(house, &tenant, json!(["viewer", "admin", "viewer"])).await;
    let (status, given) = fetch_with(house, &account, &[]).await;
    assert_eq!((status, &given["token_type"], &given["expires_in"]), (200, &json!("Bearer"), &json!(300)));
    assert!(given.get("refresh_token").is_none() && given.get("id_token").is_none(), "{given}");
    let token = text(&given, "access_token");
    let said = claims(token);
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 300);
    let wanted = json!([account.id, account.id, tenant.org, tenant.app.id, ["admin", "viewer"], []]);
    assert_eq!(
        json!([said["sub"], said["client_id"], said["org_id"], said["aud"], said["roles"], said["team_ids"]]),
        wanted
    );
    for invented in ["sid", "con", "auth_time", "acr", "amr", "scope", "email", "nonce"] {
        assert!(said.get(invented).is_none(), "{invented}: {said}");
    }
    let seen = introspected(house, &tenant, token).await;
    assert_eq!((&seen["active"], &seen["username"]), (&json!(true), &json!("export")));
    for (name, value) in said.as_object().unwrap() {
        assert_eq!(&seen[name], value, "{name}");
    }
    // Another app is not told of it, and nobody is behind it.
    let other = house.app(0).await;
    let (_, said) = house.as_app(&other, "/oauth2/introspect", &[("token", token)]).await;
    assert_eq!(said, json!({"active": false}));
    let userinfo = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(token).send().await.unwrap();
    assert_eq!(userinfo.status(), 401);
    assert_eq!(userinfo.json::<Value>().await.unwrap()["error_description"], "token.no_person");
}

#[tokio::test]
async fn whatever_ends_or_changes_an_account_ends_its_tokens_at_once() {
    let house = house();
    let tenant = house.tenant().await;
    let account = account(house, &tenant, json!(["admin"])).await;
    let path = format!("/{}", account.id);
    // A name is in no token.
    let token = fetch(house, &account).await;
    let (status, _) = at(house, &tenant, "PATCH", &path, Some(json!({"name": "other"}))).await;
    assert_eq!((status, is_active(house, &tenant, &token).await), (200, true));
    // Roles are.
    let (status, said) = at(house, &tenant, "PATCH", &path, Some(json!({"roles": []}))).await;
    assert_eq!((status, &said["roles"]), (200, &json!([])));
    assert!(!is_active(house, &tenant, &token).await, "a role was taken");
    let token = fetch(house, &account).await;
    assert_eq!((is_active(house, &tenant, &token).await, &claims(&token)["roles"]), (true, &json!([])));
    // A second secret beside the first; a third is one too many.
    let secrets = format!("{path}/secrets");
    let (status, second) = at(house, &tenant, "POST", &secrets, None).await;
    assert_eq!(status, 201, "{second}");
    assert!(is_active(house, &tenant, &token).await, "nothing ended");
    let (status, said) = at(house, &tenant, "POST", &secrets, None).await;
    assert_eq!((status, &said["code"]), (409, &json!("service_account.two_secrets")));
    let rotated = Account { id: account.id.clone(), secret: text(&second, "client_secret").to_owned() };
    let with_second = fetch(house, &rotated).await;
    // The first goes: with it every token, because none says by which it came.
    let (_, listed) = at(house, &tenant, "GET", &secrets, None).await;
    let first = listed["data"].as_array().unwrap().iter().find(|one| one["id"] != second["id"]).unwrap();
    let (status, _) = at(house, &tenant, "DELETE", &format!("{secrets}/{}", text(first, "id")), None).await;
    assert_eq!(status, 204);
    let (status, said) = fetch_with(house, &account, &[]).await;
    assert_eq!((status, &said["error"]), (401, &json!("invalid_client")));
    for token in [&token, &with_second] {
        assert!(!is_active(house, &tenant, token).await);
    }
    // By the other it goes on, until the org is ended, or the account.
    let token = fetch(house, &rotated).await;
    assert!(is_active(house, &tenant, &token).await);
    let (status, _) = house.api("POST", &tenant.org_key, &format!("/orgs/{}/revoke", tenant.org), None).await;
    assert!((200..300).contains(&status));
    assert!(!is_active(house, &tenant, &token).await, "the whole org");
    let token = fetch(house, &rotated).await;
    assert_eq!(at(house, &tenant, "DELETE", &path, None).await.0, 204);
    assert!(!is_active(house, &tenant, &token).await, "case 39: the account is gone");
    let (status, said) = fetch_with(house, &rotated, &[]).await;
    assert_eq!((status, &said["error"]), (401, &json!("invalid_client")));
    assert_eq!(at(house, &tenant, "GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn case_32_another_orgs_account_is_unknown_and_its_secret_opens_nothing_else() {
    let house = house();
    let (a, b) = (house.tenant().await, house.tenant().await);
    let (own, other) = (account(house, &a, json!(["admin"])).await, account(house, &b, json!([])).await);
    let nobody = "svc_00000000000000000000000000";
    for (method, path) in
        [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/secrets"), ("POST", "/secrets")]
    {
        let body = (method == "PATCH").then(|| json!({"name": "x"}));
        let theirs = at(house, &a, method, &format!("/{}{path}", other.id), body.clone()).await;
        let unknown = at(house, &a, method, &format!("/{nobody}{path}"), body).await;
        assert_eq!((theirs.0, unknown.0), (404, 404), "{method} {path}");
        assert_eq!(theirs.1["code"], unknown.1["code"], "{method} {path}");
    }
    let (_, listed) = at(house, &a, "GET", "", None).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    let app = Account { id: a.app.id.to_string(), secret: a.app.secret.clone() };
    for (id, secret, error) in [
        (&other.id, &own.secret, "invalid_client"),
        (&own.id, &other.secret, "invalid_client"),
        (&own.id, &a.app.secret, "invalid_client"),
        (&own.id, &own.secret[1..].to_owned(), "invalid_client"),
        (&own.id, &a.org_key, "invalid_client"),
        (&nobody.to_owned(), &own.secret, "invalid_client"),
        (&app.id, &app.secret, "unauthorized_client"),
    ] {
        let shown = Account { id: id.clone(), secret: secret.clone() };
        let (status, said) = fetch_with(house, &shown, &[]).await;
        assert!(status == 401 || status == 400, "{said}");
        assert_eq!(said["error"], error, "{id}");
    }
    // Its own secret is good for fetching alone, at no other door.
    let token = fetch(house, &own).await;
    for (door, key) in [("/orgs", &own.secret), ("/orgs", &token)] {
        assert_eq!(house.api("GET", key, door, None).await.0, 401);
    }
    assert_eq!(house.scim("GET", &token, "/scim/v2/Users", None).await.0, 401);
    let form = [("client_id", own.id.as_str()), ("client_secret", own.secret.as_str()), ("token", &token)];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = house.http.post(house.url("/oauth2/introspect"));
    let sent = request.header("content-type", "application/x-www-form-urlencoded").body(body).send().await;
    assert_eq!(sent.unwrap().status(), 401);
}

#[tokio::test]
async fn an_audience_is_an_apps_that_serves_the_org_and_one_alone() {
    let house = house();
    let (tenant, stranger) = (house.tenant().await, house.tenant().await);
    let app = |name: &str, orgs: Value| {
        let audience = format!("https://{name}.{}", tenant.domain);
        json!({"name": name, "redirect_uris": ["https://a.example/cb"], "orgs": orgs, "audience": audience})
    };
    for (name, orgs) in [("here", json!([tenant.org])), ("elsewhere", json!([stranger.org]))] {
        let (status, made) = house.api("POST", &house.platform_key, "/apps", Some(app(name, orgs))).await;
        assert_eq!(status, 201, "{made}");
    }
    let at_app = |name: &str| format!("https://{name}.{}", tenant.domain);
    let own = account(house, &tenant, json!([])).await;
    assert_eq!(claims(&fetch(house, &own).await)["aud"], tenant.app.id.to_string());
    let fragment = format!("{}#x", at_app("here"));
    // The one that it was made with is its bound.
    for bad in [&at_app("here"), &at_app("elsewhere"), &at_app("nowhere"), "here", "", "/", &fragment] {
        let (status, said) = fetch_with(house, &own, &[("resource", bad)]).await;
        assert_eq!((status, &said["error"]), (400, &json!("invalid_target")), "{bad}");
    }
    let bound = json!({"name": "bound", "audience": at_app("here")});
    let (status, made) = at(house, &tenant, "POST", "", Some(bound)).await;
    assert_eq!(status, 201, "{made}");
    let bound =
        Account { id: text(&made, "client_id").to_owned(), secret: text(&made, "client_secret").to_owned() };
    for asked in [&[][..], &[("resource", at_app("here").as_str())]] {
        let (status, given) = fetch_with(house, &bound, asked).await;
        assert_eq!(status, 200, "{given}");
        assert_eq!(claims(text(&given, "access_token"))["aud"], at_app("here"), "one string");
    }
    // Without one of its own it has to say which: many apps serve this org.
    let new = json!({"name": "any"});
    let (status, made) = at(house, &tenant, "POST", "", Some(new)).await;
    assert_eq!(status, 201, "{made}");
    let any =
        Account { id: text(&made, "client_id").to_owned(), secret: text(&made, "client_secret").to_owned() };
    let (status, said) = fetch_with(house, &any, &[]).await;
    assert_eq!((status, &said["error"]), (400, &json!("invalid_target")));
    let (status, given) = fetch_with(house, &any, &[("resource", &at_app("here"))]).await;
    assert_eq!((status, claims(text(&given, "access_token"))["aud"].clone()), (200, json!(at_app("here"))));
    for bad in [&at_app("elsewhere"), &at_app("nowhere"), &fragment] {
        let (status, said) = fetch_with(house, &any, &[("resource", bad)]).await;
        assert_eq!((status, &said["error"]), (400, &json!("invalid_target")), "{bad}");
    }
    for bad in [at_app("elsewhere"), "nothing".to_owned()] {
        let new = json!({"name": "any", "audience": bad});
        let (status, said) = at(house, &tenant, "POST", "", Some(new)).await;
        assert_eq!((status, &said["code"]), (400, &json!("service_account.audience")), "{bad}");
    }
    // Scopes are about people.
    for scope in ["openid", "scim", "offline_access"] {
        let (status, said) = fetch_with(house, &own, &[("scope", scope)]).await;
        assert_eq!((status, &said["error"]), (400, &json!("invalid_scope")), "{scope}");
    }
    // A suspended org fetches nothing, and what is out is dead.
    let token = fetch(house, &own).await;
    let path = format!("/orgs/{}", tenant.org);
    let state = |state: &str| Some(json!({"state": state}));
    assert_eq!(house.api("PATCH", &house.platform_key, &path, state("suspended")).await.0, 200);
    let (status, said) = fetch_with(house, &own, &[]).await;
    assert_eq!((status, &said["error"]), (401, &json!("invalid_client")));
    assert!(!is_active(house, &tenant, &token).await);
    assert_eq!(house.api("PATCH", &house.platform_key, &path, state("active")).await.0, 200);
    assert!(!is_active(house, &tenant, &token).await, "old ones stay dead");
}

#[tokio::test]
async fn an_org_key_needs_the_scope_and_the_record_says_who_did_it() {
    let house = house();
    let tenant = house.tenant().await;
    let path = format!("/orgs/{}", tenant.org);
    for (scopes, read, write) in [
        (json!(["service_accounts:read"]), 200, 403),
        (json!(["service_accounts:write"]), 403, 201),
        (json!(["keys:write", "users:write"]), 403, 403),
    ] {
        let new = json!({"name": "k", "scopes": scopes});
        let (_, key) = house.api("POST", &tenant.org_key, &format!("{path}/keys"), Some(new)).await;
        let (key, place) = (text(&key, "key"), format!("{path}/service-accounts"));
        assert_eq!(house.api("GET", key, &place, None).await.0, read, "{scopes}");
        let new = Some(json!({"name": "x", "roles": ["viewer"]}));
        assert_eq!(house.api("POST", key, &place, new).await.0, write, "{scopes}");
    }
    let (status, said) = at(house, &tenant, "POST", "", Some(json!({"name": "x", "roles": ["root"]}))).await;
    assert_eq!((status, &said["code"]), (400, &json!("role.unknown")));
    let events = format!("{path}/audit/events?action=service_account.created");
    let (_, events) = house.api("GET", &tenant.org_key, &events, None).await;
    assert_eq!(events["data"].as_array().unwrap().len(), 1, "{events}");
}

/// A house apart: a verifier acknowledges what it hears of every org that its app serves.
fn house_of_verifiers() -> &'static House {
    static APART: OnceLock<&'static House> = OnceLock::new();
    APART.get_or_init(|| Site::named("service-verifiers").open())
}

#[tokio::test]
async fn a_verifier_knows_the_token_and_hears_of_its_end() {
    let house = house_of_verifiers();
    let tenant = house.tenant().await;
    let id = tenant.app.id.to_string();
    let builder = Verifier::builder(&house.base, &id).client(&id, &tenant.app.secret).mode(Mode::Strict);
    let verifier = builder.start().await.unwrap();
    let account = account(house, &tenant, json!(["viewer"])).await;
    let token = fetch(house, &account).await;
    let claims = verifier.verify(&token).await.unwrap();
    assert!(claims.is_service() && claims.has_role("viewer") && claims.sub() == account.id);
    let path = format!("/{}", account.id);
    for (method, body, action) in
        [("PATCH", Some(json!({"roles": []})), Action::Reassert), ("DELETE", None, Action::Terminate)]
    {
        let token = fetch(house, &account).await;
        assert!(verifier.verify(&token).await.is_ok());
        assert!(at(house, &tenant, method, &path, body).await.0 < 300);
        let start = Instant::now();
        while verifier.verify(&token).await != Err(Denied::Revoked(action)) {
            assert!(start.elapsed() < Duration::from_secs(10), "{method}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
