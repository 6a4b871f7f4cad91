//! A directory's OAuth client: it fetches tokens by a secret, uses them for SCIM alone, and loses them with the
//! secret. And scopes, for either kind of credential.

use crate::house::{House, Tenant, call, house, walk::text};
use model::{TokenDigest, ids::KeyId};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use store::ScimForm;

pub async fn secret(house: &House, tenant: &Tenant, body: Value) -> (u16, Value) {
    let path = format!("/orgs/{}/directories/{}/clients", tenant.slug, tenant.directory);
    house.api("POST", &tenant.org_key, &path, Some(body)).await
}

pub async fn fetch(house: &House, id: &str, secret: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials").append_pair("client_id", id);
    form.append_pair("client_secret", secret).extend_pairs(more);
    let sent = house
        .http
        .post(house.url("/oauth2/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.finish());
    let answer = sent.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn users(house: &House, token: &str) -> u16 {
    house.scim("GET", token, "/scim/v2/Users", None).await.0
}

/// What the client fetched opens SCIM and nothing else, the secret opens nothing but the fetching, and
/// with the secret goes what it fetched.
#[tokio::test]
async fn a_fetched_token_is_for_scim_and_ends_with_its_secret() {
    let house = house();
    let tenant = house.tenant().await;
    let (status, made) = secret(house, &tenant, json!({"name": "Entra"})).await;
    assert_eq!(status, 201, "{made}");
    let (id, key) = (text(&made, "client_id"), text(&made, "client_secret"));
    assert_eq!(
        (id, text(&made, "token_endpoint")),
        (&*tenant.directory.to_string(), &*house.url("/oauth2/token"))
    );
    let (status, fetched) = fetch(house, id, key, &[("scope", "scim")]).await;
    assert_eq!(
        (status, &fetched["token_type"], &fetched["scope"]),
        (200, &json!("Bearer"), &json!("scim")),
        "{fetched}"
    );
    assert!((3_600..=21_600).contains(&fetched["expires_in"].as_i64().unwrap()));
    assert!(fetched.get("refresh_token").is_none());
    let token = text(&fetched, "access_token");
    let ada = json!({"userName": "ada@entra.example"});
    assert_eq!(house.scim("POST", token, "/scim/v2/Users", Some(ada)).await.0, 201);
    let in_path = format!("/orgs/{}/scim/v2/Users", tenant.slug);
    assert_eq!(house.scim("GET", token, &in_path, None).await.0, 200);
    assert_eq!(users(house, key).await, 401, "the secret is no token");
    let teams = format!("/orgs/{}/teams", tenant.slug);
    assert_eq!(house.api("GET", token, &teams, None).await.0, 401);
    assert_eq!(fetch(house, id, token, &[]).await.0, 401, "nor is the token a secret");
    let path = format!("/orgs/{}/directories/{}/clients", tenant.slug, tenant.directory);
    let gone = house.api("DELETE", &tenant.org_key, &format!("{path}/{}", text(&made, "id")), None).await;
    assert_eq!(gone.0, 204);
    assert_eq!((users(house, token).await, fetch(house, id, key, &[]).await.0), (401, 401));
}

/// A hundred later a fetched token is replaced, and nobody waits for who is inside by it. The directory's end does.
#[tokio::test]
async fn a_directory_does_not_end_while_somebody_is_inside_by_a_token_that_was_replaced() {
    let house = house();
    let tenant = house.tenant().await;
    let (_, made) = secret(house, &tenant, json!({"name": "Entra"})).await;
    let (id, key) = (text(&made, "client_id"), text(&made, "client_secret"));
    let (_, first) = fetch(house, id, key, &[]).await;
    let digest = TokenDigest::of(text(&first, "access_token"));
    let scope = house.gw.db.scim_client(&digest, ScimForm::Fetched, &call()).await.unwrap();
    let inside = house.on(async move { house.gw.db.write(&scope, "test.inside").await.unwrap() }).await;
    for _ in 0..100 {
        assert_eq!(fetch(house, id, key, &[]).await.0, 200);
    }
    assert_eq!(users(house, text(&first, "access_token")).await, 401, "replaced");
    let end = format!("/orgs/{}/directories/{}?release=true", tenant.slug, tenant.directory);
    let ending = tokio::spawn(async move { house.api("DELETE", &tenant.org_key, &end, None).await.0 });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!ending.is_finished(), "somebody is inside");
    house.on(async move { drop(inside) }).await;
    assert_eq!(ending.await.unwrap(), 204);
}

/// What a credential was a moment ago opens nothing: not to read, not to search, not to write.
#[tokio::test]
async fn a_token_that_was_just_used_ends_with_its_revocation_and_with_its_org() {
    let house = house();
    for by_org in [false, true] {
        let tenant = house.tenant().await;
        let path = format!("/orgs/{}/directories/{}/tokens", tenant.slug, tenant.directory);
        let (_, made) = house.api("POST", &tenant.org_key, &path, Some(json!({}))).await;
        let token = text(&made, "token");
        let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
        let ask = async |method, below: &str, body| {
            house.scim(method, token, &format!("/scim/v2/{below}"), body).await.0
        };
        assert_eq!(ask("GET", "Users", None).await, 200);
        let gone = if by_org {
            house.api("DELETE", &house.platform_key, &format!("/orgs/{}", tenant.org), None).await
        } else {
            house.api("DELETE", &tenant.org_key, &format!("{path}/{}", text(&made, "id")), None).await
        };
        assert_eq!(gone.0, 204, "{}", gone.1);
        let bob = json!({"userName": "bob@late.example"});
        let answers = [
            ask("GET", "Users?filter=userName%20eq%20%22x%22", None).await,
            ask("GET", "Users?filter=externalId%20eq%20%22x%22", None).await,
            ask("GET", "Groups", None).await,
            ask("POST", "Users/.search", Some(search)).await,
            ask("POST", "Users", Some(bob)).await,
        ];
        assert_eq!(answers, [401; 5], "by its org: {by_org}");
    }
}

/// A secret that ends soon gives out no token that is good for longer.
#[tokio::test]
async fn a_fetched_token_outlives_no_secret_that_ends_by_itself() {
    let house = house();
    let tenant = house.tenant().await;
    let (_, made) = secret(house, &tenant, json!({"expires_in_days": 1})).await;
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let key: KeyId = text(&made, "id").parse().unwrap();
    let sooner = format!(
        "BEGIN; SET LOCAL ROLE vst_app; SELECT set_config('app.org_id', '{}', true), set_config('app.reach', 'org', true);
         UPDATE vst.credentials SET expires_at = now() + interval '90 seconds' WHERE key_id = '{}'; COMMIT",
        tenant.org.uuid(),
        key.uuid()
    );
    sqlx::raw_sql(AssertSqlSafe(sooner)).execute(&mut sql).await.unwrap();
    let (status, fetched) = fetch(house, text(&made, "client_id"), text(&made, "client_secret"), &[]).await;
    assert_eq!(status, 200, "{fetched}");
    let lives = fetched["expires_in"].as_i64().unwrap();
    assert!((60..=90).contains(&lives), "{lives}");
}

#[tokio::test]
async fn a_secret_is_its_own_directorys_and_two_live_at_once() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let (_, first) = secret(house, &tenant, json!({})).await;
    let (_, second) = secret(house, &tenant, json!({"expires_in_days": 30})).await;
    let (status, third) = secret(house, &tenant, json!({})).await;
    assert_eq!((status, &third["code"]), (409, &json!("directory.two_secrets")), "{third}");
    let id = tenant.directory.to_string();
    for one in [&first, &second] {
        assert_eq!(fetch(house, &id, text(one, "client_secret"), &[]).await.0, 200);
    }
    let key = text(&first, "client_secret");
    for (client, secret) in [
        (other.directory.to_string(), key.to_owned()),
        (id.clone(), key[..key.len() - 1].to_owned()),
        (id.clone(), tenant.scim_token.clone()),
        (id.clone(), String::new()),
    ] {
        let (status, said) = fetch(house, &client, &secret, &[]).await;
        assert_eq!((status, &said["error"]), (401, &json!("invalid_client")), "{said}");
    }
}

/// A client learns what is wrong with the grant it asks for when it has proven itself, and before that nothing
/// (RFC 6749 5.2).
#[tokio::test]
async fn a_grant_is_judged_after_the_client() {
    let house = house();
    let tenant = house.tenant().await;
    let (_, of_directory) = secret(house, &tenant, json!({})).await;
    let path = format!("/orgs/{}/service-accounts", tenant.slug);
    let new = json!({"name": "export", "audience": tenant.app.id});
    let (_, of_service) = house.api("POST", &tenant.org_key, &path, Some(new)).await;
    let shown = |made: &Value| (text(made, "client_id").to_owned(), text(made, "client_secret").to_owned());
    let app = (tenant.app.id.to_string(), tenant.app.secret.clone());
    let lacking = Some("unauthorized_client");
    let common = [(None, Some("invalid_request")), (Some("password"), Some("unsupported_grant_type"))];
    let programs = [
        (Some("authorization_code"), lacking),
        (Some("refresh_token"), lacking),
        (Some("client_credentials"), None),
    ];
    for (client, own) in [
        (shown(&of_directory), &programs[..]),
        (shown(&of_service), &programs[..]),
        (app, &[(Some("client_credentials"), lacking)][..]),
    ] {
        let (id, good) = &client;
        for (grant, wanted) in common.iter().chain(own) {
            let (status, said) = ask(house, (id, good), *grant).await;
            let status_wanted = if wanted.is_some() { 400 } else { 200 };
            assert_eq!((status, said["error"].as_str()), (status_wanted, *wanted), "{id} {grant:?} {said}");
            let wrong = format!("{}{}", &good[..good.len() - 1], if good.ends_with('0') { '1' } else { '0' });
            let (status, said) = ask(house, (id, &wrong), *grant).await;
            assert_eq!((status, &said["error"]), (401, &json!("invalid_client")), "{id} {grant:?} {said}");
        }
    }
}

async fn ask(house: &House, (id, secret): (&str, &str), grant: Option<&str>) -> (u16, Value) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(grant.map(|grant| ("grant_type", grant)));
    form.extend_pairs([("client_id", id), ("client_secret", secret)]);
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let sent = house.http.post(house.url("/oauth2/token")).header(kind.0, kind.1).body(form.finish());
    let answer = sent.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A credential that is held to scopes does what they say, and fetches no more than it has.
#[tokio::test]
async fn scopes_hold_a_token_to_reading_and_to_people() {
    let house = house();
    let tenant = house.tenant().await;
    let tokens = format!("/orgs/{}/directories/{}/tokens", tenant.slug, tenant.directory);
    let make = async |scopes: Value| {
        let made = house.api("POST", &tenant.org_key, &tokens, Some(json!({"scopes": scopes}))).await;
        assert_eq!(made.0, 201, "{}", made.1);
        text(&made.1, "token").to_owned()
    };
    let (reader, people) =
        (make(json!(["users:read"])).await, make(json!(["users:read", "users:write"])).await);
    let group = || Some(json!({"displayName": "Staff"}));
    let person = |name: &str| Some(json!({"userName": name}));
    for (token, method, path, body, status) in [
        (&reader, "GET", "/scim/v2/Users", None, 200),
        (&reader, "POST", "/scim/v2/Users", person("a@scopes.example"), 403),
        (&reader, "GET", "/scim/v2/Groups", None, 403),
        (&reader, "POST", "/scim/v2/Users/.search", Some(json!({})), 200),
        (&reader, "POST", "/scim/v2/.search", Some(json!({})), 403),
        (&reader, "GET", "/scim/v2", None, 403),
        (&reader, "GET", "/scim/v2/", None, 403),
        (&people, "POST", "/scim/v2/Users", person("b@scopes.example"), 201),
        (&people, "POST", "/scim/v2/Groups", group(), 403),
        (&tenant.scim_token, "POST", "/scim/v2/Groups", group(), 201),
    ] {
        let (given, said) = house.scim(method, token, path, body).await;
        assert_eq!(given, status, "{method} {path}: {said}");
        if status == 403 {
            assert!(text(&said, "detail").contains("scim.scope_missing"), "{said}");
        }
    }
    let (_, made) = house
        .scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(json!({"userName": "c@scopes.example"})))
        .await;
    let body = json!({"displayName": "Layoffs", "members": [{"value": made["id"]}]});
    assert_eq!(house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(body)).await.0, 201);
    let path = format!("/scim/v2/Users/{}", text(&made, "id"));
    let by_group = "/scim/v2/Users?filter=userName+pr+and+not+(groups.display+sw+%22X%22)";
    for (token, sees) in [(&reader, false), (&people, false), (&tenant.scim_token, true)] {
        let (_, seen) = house.scim("GET", token, &path, None).await;
        assert_eq!(seen["groups"].is_array(), sees, "{seen}");
        let (_, listed) = house.scim("GET", token, "/scim/v2/Users", None).await;
        assert_eq!(listed.to_string().contains("Layoffs"), sees, "{listed}");
        assert_eq!(house.scim("GET", token, by_group, None).await.0, if sees { 200 } else { 403 });
    }
    let none = Some(json!({"scopes": []}));
    let (status, said) = house.api("POST", &tenant.org_key, &tokens, none).await;
    assert_eq!((status, &said["code"]), (400, &json!("directory.scopes_empty")), "{said}");
    let unknown = Some(json!({"scopes": ["users:delete"]}));
    let (status, said) = house.api("POST", &tenant.org_key, &tokens, unknown).await;
    assert_eq!((status, &said["code"]), (400, &json!("directory.scope_unknown")), "{said}");
    let (_, made) = secret(house, &tenant, json!({"scopes": ["users:read", "groups:read"]})).await;
    let (id, key) = (text(&made, "client_id"), text(&made, "client_secret"));
    let (status, said) = fetch(house, id, key, &[("scope", "users:write")]).await;
    assert_eq!((status, &said["error"]), (400, &json!("invalid_scope")), "{said}");
    let (_, narrow) = fetch(house, id, key, &[("scope", "users:read")]).await;
    assert_eq!(narrow["scope"], "users:read");
    let token = text(&narrow, "access_token");
    assert_eq!(house.scim("GET", token, "/scim/v2/Groups", None).await.0, 403);
    let (_, whole) = fetch(house, id, key, &[("scope", "scim")]).await;
    let token = text(&whole, "access_token");
    assert_eq!(house.scim("GET", token, "/scim/v2/Groups", None).await.0, 200);
    assert_eq!(house.scim("POST", token, "/scim/v2/Groups", group()).await.0, 403);
}

/// The administrator sees which token is no longer used.
#[tokio::test]
async fn the_last_use_of_a_token_is_told() {
    let house = house();
    let tenant = house.tenant().await;
    let tokens = format!("/orgs/{}/directories/{}/tokens", tenant.slug, tenant.directory);
    let used = async || {
        let (_, list) = house.api("GET", &tenant.org_key, &tokens, None).await;
        list["data"][0]["last_used_at"].clone()
    };
    assert_eq!(used().await, Value::Null);
    assert_eq!(users(house, &tenant.scim_token).await, 200);
    house.on(async move { vestibule::jobs::uses::round(house.gw.clone()).await.unwrap() }).await;
    assert!(used().await.is_string());
}

/// A path is what it reads as, whichever way it is spelled: the scopes hold, and the log has it.
#[tokio::test]
async fn another_spelling_of_a_path_opens_nothing_more() {
    let house = house();
    let tenant = house.tenant().await;
    let tokens = format!("/orgs/{}/directories/{}/tokens", tenant.slug, tenant.directory);
    let make = async |scopes: Value| {
        let made = house.api("POST", &tenant.org_key, &tokens, Some(json!({"scopes": scopes}))).await;
        text(&made.1, "token").to_owned()
    };
    let (groups, readers, writers) = (
        make(json!(["groups:read"])).await,
        make(json!(["users:read"])).await,
        make(json!(["users:write"])).await,
    );
    let ada = json!({"userName": "ada@spelled.example"});
    let (_, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(ada.clone())).await;
    let id = text(&made, "id");
    for (method, token, path, body) in [
        ("GET", &groups, "/scim/v2/%55sers".to_owned(), None),
        ("POST", &groups, "/scim/v2/%55sers".to_owned(), Some(ada)),
        ("DELETE", &groups, format!("/scim/v2/User%73/{id}"), None),
        ("DELETE", &readers, format!("/sc%69m/v2/Users/{id}"), None),
        ("POST", &writers, "/scim/v2/Users/%2Esearch".to_owned(), Some(json!({"schemas": []}))),
        ("POST", &writers, "/scim/v2/Users/.search".to_owned(), Some(json!({"schemas": []}))),
    ] {
        let (status, said) = house.scim(method, token, &path, body).await;
        assert_eq!(status, 403, "{method} {path}: {said}");
    }
    assert_eq!(house.scim("GET", &readers, &format!("/sc%69m/v2/%55sers/{id}"), None).await.0, 200);
    let log = format!("/orgs/{}/directories/{}/requests?limit=50", tenant.slug, tenant.directory);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let (_, list) = house.api("GET", &tenant.org_key, &log, None).await;
        let logged = list["data"].as_array().unwrap();
        if logged.iter().any(|entry| text(entry, "path").contains("%69m")) {
            break;
        }
        assert!(std::time::Instant::now() < until, "not logged: {list}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
