//! Administration by `/api/v1`, as an operator's and an org's own programs use it: over HTTP, with
//! what each call leaves behind asked for again.

use crate::house::{
    House, Tenant, house,
    walk::{claims, is_active, refresh, text, tokens},
};
use idp_fixtures::{OidcIdp, OidcIdpSettings};
use serde_json::{Value, json};

pub async fn operate(house: &House, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    house.api(method, &house.platform_key, path, body).await
}

/// An org made by the API, with a name of its own.
pub async fn an_org(house: &House) -> String {
    let slug = format!("api-{}", model::ids::EventId::new(crate::house::now(), house.gw.chance.as_ref()));
    let slug = slug.replace('_', "-");
    let (status, org) = operate(house, "POST", "/orgs", Some(json!({"slug": slug, "name": "Acme"}))).await;
    assert_eq!(status, 201, "{org}");
    text(&org, "id").to_owned()
}

async fn actions(house: &House, org: &str) -> Vec<String> {
    let (status, list) = operate(house, "GET", &format!("/orgs/{org}/audit/events?limit=200"), None).await;
    assert_eq!(status, 200, "{list}");
    list["data"].as_array().unwrap().iter().map(|e| text(e, "action").to_owned()).collect()
}

fn of(tenant: &Tenant, path: &str) -> String {
    format!("/orgs/{}{path}", tenant.org)
}

#[tokio::test]
async fn an_org_is_founded_changed_deleted_and_restored_and_its_record_says_so() {
    let house = house();
    let org = an_org(house).await;
    let path = format!("/orgs/{org}");
    let (_, read) = operate(house, "GET", &path, None).await;
    assert_eq!((text(&read, "state"), &read["hosts"]), ("active", &json!([])));
    let slug = text(&read, "slug");
    let taken = operate(house, "POST", "/orgs", Some(json!({"slug": slug, "name": "B"}))).await;
    assert_eq!((taken.0, text(&taken.1, "code")), (409, "org.slug_taken"));
    let change = json!({"name": "Acme 2", "session_idle_secs": 600});
    let (status, changed) = operate(house, "PATCH", &format!("/orgs/{slug}"), Some(change)).await;
    assert_eq!((status, text(&changed, "name"), &changed["session_idle_secs"]), (200, "Acme 2", &json!(600)));
    let (status, refused) = operate(house, "PATCH", &path, Some(json!({"state": "deleted"}))).await;
    assert_eq!(
        (status, text(&refused, "code"), text(&refused, "field")),
        (400, "org.state_refused", "state")
    );
    assert_eq!(operate(house, "DELETE", &path, None).await, (204, json!("")));
    assert_eq!(operate(house, "GET", &path, None).await.0, 404);
    let (status, restored) = operate(house, "POST", &format!("{path}/restore"), None).await;
    assert_eq!((status, text(&restored, "state"), &restored["deleted_at"]), (200, "active", &Value::Null));
    assert_eq!(operate(house, "POST", &format!("{path}/restore"), None).await.0, 409);
    assert_eq!(actions(house, &org).await, ["org.restored", "org.deleted", "org.changed", "org.created"]);
}

#[tokio::test]
async fn suspending_ends_every_session_and_an_org_key_cannot_lift_it() {
    let house = house();
    let tenant = house.tenant().await;
    let given = tokens(house, &tenant).await;
    let (status, _) = operate(house, "PATCH", &of(&tenant, ""), Some(json!({"state": "suspended"}))).await;
    assert_eq!(status, 200);
    let lift = Some(json!({"state": "active"}));
    let own = house.api("PATCH", &tenant.org_key, &of(&tenant, ""), lift.clone()).await;
    assert_eq!((own.0, text(&own.1, "code")), (403, "api.scope_missing"));
    assert_eq!(operate(house, "PATCH", &of(&tenant, ""), lift).await.0, 200);
    assert!(!is_active(house, &tenant, text(&given, "access_token")).await, "lifting revives nothing");
    assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 400);
}

#[tokio::test]
async fn a_domain_is_proven_once_and_trusted_only_by_the_operator() {
    let house = house();
    let (org, other) = (an_org(house).await, an_org(house).await);
    let name = format!("{}.example", org.replace('_', "-"));
    let key_body = json!({"name": "k", "scopes": ["*"]});
    let (_, born) = operate(house, "POST", &format!("/orgs/{org}/keys"), Some(key_body)).await;
    let domains = format!("/orgs/{org}/domains");
    let trusted = Some(json!({"name": name, "trusted": true}));
    assert_eq!(house.api("POST", text(&born, "key"), &domains, trusted.clone()).await.0, 403);
    let (status, claimed) = operate(house, "POST", &domains, Some(json!({"name": name}))).await;
    assert_eq!((status, text(&claimed, "state")), (201, "pending"));
    assert_eq!(text(&claimed, "txt_name"), format!("_vestibule-challenge.{name}"));
    assert!(text(&claimed, "txt_value").len() > 60);
    let gone = format!("{domains}/{}", text(&claimed, "id"));
    assert_eq!(operate(house, "DELETE", &gone, None).await.0, 204);
    let (status, vouched) = operate(house, "POST", &domains, trusted.clone()).await;
    assert_eq!((status, text(&vouched, "state")), (201, "verified"));
    let (status, said) = operate(house, "POST", &format!("/orgs/{other}/domains"), trusted).await;
    assert_eq!((status, text(&said, "code")), (409, "domain.taken"));
    assert!(actions(house, &org).await.contains(&"domain.verified".to_owned()));
}

#[tokio::test]
async fn a_connection_is_read_from_metadata_and_trusts_what_the_operator_lets_it() {
    let house = house();
    let tenant = house.tenant().await;
    let list = of(&tenant, "/connections");
    let new = json!({"type": "saml", "name": "Second", "metadata_xml": tenant.idp.metadata_xml()});
    let (status, made) = house.api("POST", &tenant.org_key, &list, Some(new)).await;
    assert_eq!((status, text(&made, "state")), (201, "draft"), "{made}");
    let (id, one) = (text(&made, "id"), format!("{list}/{}", text(&made, "id")));
    assert_eq!(text(&made["sp"], "acs_url"), house.url(&format!("/saml/{id}/acs")));
    assert_eq!(text(&made["sp"], "entity_id"), text(&made["sp"], "metadata_url"));
    let own = house.api("POST", &tenant.org_key, &format!("{one}/enable"), None).await;
    assert_eq!((own.0, text(&own.1, "code")), (422, "connection.not_rehearsed"));
    let (status, on) = operate(house, "POST", &format!("{one}/enable"), None).await;
    assert_eq!((status, text(&on, "state")), (200, "enabled"));
    let trust = json!({"sso_url": "https://evil.example/sso"});
    let (status, said) = house.api("PATCH", &tenant.org_key, &one, Some(trust)).await;
    assert_eq!((status, text(&said, "code")), (422, "connection.not_rehearsed"));
    let (status, renamed) = house.api("PATCH", &tenant.org_key, &one, Some(json!({"name": "2nd"}))).await;
    assert_eq!((status, text(&renamed, "name")), (200, "2nd"));
    assert_eq!(renamed["config"], made["config"]);
    let stranger = house.tenant().await;
    let foreign = json!({"metadata_xml": stranger.idp.metadata_xml()});
    let (status, said) = operate(house, "PATCH", &one, Some(foreign)).await;
    assert_eq!((status, text(&said, "code")), (422, "connection.idp_changed"));
    let wrong = json!({"type": "saml", "name": "x"});
    let (status, said) = operate(house, "POST", &list, Some(wrong)).await;
    assert_eq!((status, text(&said, "code")), (400, "connection.metadata_source"));
    assert_eq!(operate(house, "DELETE", &one, None).await.0, 204);
    assert_eq!(operate(house, "GET", &one, None).await.0, 404);
}

#[tokio::test]
async fn an_openid_provider_is_asked_before_it_is_believed() {
    let house = house();
    let org = an_org(house).await;
    let idp = OidcIdp::start(OidcIdpSettings::default()).await.unwrap();
    let list = format!("/orgs/{org}/connections");
    let new = |issuer: &str| {
        Some(
            json!({"type": "oidc", "name": "Entra", "issuer": issuer, "client_id": "c", "client_secret": "hush"}),
        )
    };
    let (status, made) = operate(house, "POST", &list, new(idp.issuer())).await;
    assert_eq!((status, text(&made, "type")), (201, "oidc"), "{made}");
    let callback = house.url(&format!("/oidc/{}/callback", text(&made, "id")));
    assert_eq!(text(&made["sp"], "callback_url"), callback);
    let other = format!("{}/other", idp.issuer());
    assert_eq!(operate(house, "POST", &list, new(&other)).await.0, 422);
    let one = format!("{list}/{}", text(&made, "id"));
    let (status, said) = operate(house, "PATCH", &one, Some(json!({"groups_attribute": "g"}))).await;
    assert_eq!((status, text(&said, "code")), (400, "connection.other_kind"));
    assert_eq!(operate(house, "PATCH", &one, Some(json!({"client_secret": "hush 2"}))).await.0, 200);
    let (_, events) = operate(house, "GET", &format!("/orgs/{org}/audit/events"), None).await;
    let (_, read) = operate(house, "GET", &one, None).await;
    assert!(!format!("{events}{read}{made}").contains("hush"), "never a secret");
}

#[tokio::test]
async fn disabling_a_connection_ends_what_came_in_by_it() {
    let house = house();
    let tenant = house.tenant().await;
    let given = tokens(house, &tenant).await;
    let user = text(&claims(text(&given, "access_token")), "sub").to_owned();
    let sessions = of(&tenant, &format!("/users/{user}/sessions"));
    assert_eq!(operate(house, "GET", &sessions, None).await.1["data"].as_array().unwrap().len(), 1);
    let one = of(&tenant, &format!("/connections/{}", tenant.connection));
    assert_eq!(operate(house, "POST", &format!("{one}/disable"), None).await.0, 200);
    assert_eq!(operate(house, "POST", &format!("{one}/enable"), None).await.0, 200);
    assert!(!is_active(house, &tenant, text(&given, "access_token")).await);
    assert_eq!(operate(house, "GET", &sessions, None).await.1["data"], json!([]));
}

#[tokio::test]
async fn a_role_taken_away_is_in_no_living_token() {
    let house = house();
    let tenant = house.tenant().await;
    let user = text(&claims(text(&tokens(house, &tenant).await, "access_token")), "sub").to_owned();
    let roles = of(&tenant, &format!("/users/{user}/roles"));
    let (status, said) = operate(house, "PUT", &roles, Some(json!(["root"]))).await;
    assert_eq!((status, text(&said, "code")), (400, "role.unknown"));
    let (status, set) = operate(house, "PUT", &roles, Some(json!(["admin", "viewer"]))).await;
    assert_eq!((status, &set["roles"]), (200, &json!(["admin", "viewer"])));
    let given = tokens(house, &tenant).await;
    assert_eq!(claims(text(&given, "access_token"))["roles"], json!(["admin", "viewer"]));
    assert_eq!(operate(house, "PUT", &roles, Some(json!(["viewer"]))).await.0, 200);
    assert!(!is_active(house, &tenant, text(&given, "access_token")).await, "to be fetched anew");
    let (status, again) = refresh(house, &tenant, text(&given, "refresh_token")).await;
    assert_eq!(status, 200, "the session lives on");
    assert_eq!(claims(text(&again, "access_token"))["roles"], json!(["viewer"]));
}

#[tokio::test]
async fn teams_and_mappings_give_and_take() {
    let house = house();
    let tenant = house.tenant().await;
    let user = text(&claims(text(&tokens(house, &tenant).await, "access_token")), "sub").to_owned();
    let new = json!({"slug": "support", "name": "Support"});
    let (_, team) = operate(house, "POST", &of(&tenant, "/teams"), Some(new)).await;
    let (id, team) = (text(&team, "id"), of(&tenant, &format!("/teams/{}", text(&team, "id"))));
    let member = format!("{team}/members/{user}");
    assert_eq!(operate(house, "PUT", &member, None).await.0, 204);
    assert_eq!(operate(house, "PUT", &member, None).await.0, 204);
    let (_, members) = operate(house, "GET", &format!("{team}/members"), None).await;
    assert_eq!(members["data"][0]["sources"], json!(["api"]));
    let given = tokens(house, &tenant).await;
    assert_eq!(claims(text(&given, "access_token"))["team_ids"], json!([id]));
    assert_eq!(operate(house, "DELETE", &member, None).await.0, 204);
    assert!(!is_active(house, &tenant, text(&given, "access_token")).await);
    let mappings = of(&tenant, "/group-mappings");
    let other = house.tenant().await;
    let foreign = json!([{"group_id": "g", "team_id": other.org.to_string().replace("org_", "team_")}]);
    assert_eq!(
        text(&operate(house, "PUT", &mappings, Some(foreign)).await.1, "code"),
        "mapping.team_unknown"
    );
    let by_group = json!([{"group_id": "engineers", "team_id": id, "roles": ["member"]}]);
    let (status, set) = operate(house, "PUT", &mappings, Some(by_group)).await;
    assert_eq!((status, text(&set["data"][0], "group_id")), (200, "engineers"));
    let connection = of(&tenant, &format!("/connections/{}", tenant.connection));
    let named = json!({"groups_attribute": "groups"});
    assert_eq!(operate(house, "PATCH", &connection, Some(named)).await.0, 200);
    let given = tokens(house, &tenant).await;
    let now = of(&tenant, &format!("/users/{user}"));
    assert_eq!(claims(text(&given, "access_token"))["roles"], json!(["member"]));
    assert_eq!(operate(house, "GET", &now, None).await.1["team_ids"], json!([id]));
    assert_eq!(operate(house, "PUT", &mappings, Some(json!([]))).await.0, 200);
    let after = operate(house, "GET", &now, None).await.1;
    assert_eq!((&after["roles"], &after["team_ids"]), (&json!([]), &json!([])));
    assert!(!is_active(house, &tenant, text(&given, "access_token")).await, "no token still says so");
}

#[tokio::test]
async fn one_person_one_session_and_the_whole_org_are_ended_by_call() {
    let house = house();
    let tenant = house.tenant().await;
    let (first, second) = (tokens(house, &tenant).await, tokens(house, &tenant).await);
    let said = claims(text(&first, "access_token"));
    let session = of(&tenant, &format!("/sessions/{}", text(&said, "sid")));
    assert_eq!(operate(house, "DELETE", &session, None).await.0, 204);
    assert!(!is_active(house, &tenant, text(&first, "access_token")).await);
    assert!(is_active(house, &tenant, text(&second, "access_token")).await);
    let person = of(&tenant, &format!("/users/{}", text(&said, "sub")));
    let (status, receipt) = operate(house, "POST", &format!("{person}/revoke"), None).await;
    assert_eq!(status, 200, "{receipt}");
    assert!(!is_active(house, &tenant, text(&second, "access_token")).await);
    let (_, receipts) = operate(house, "GET", &format!("{person}/deprovisionings"), None).await;
    assert_eq!(receipts["data"][0]["id"], receipt["deprovisioning_id"]);
    assert_eq!(receipts["data"][0]["sessions_ended"], json!(1));
    let third = tokens(house, &tenant).await;
    assert_eq!(operate(house, "POST", &of(&tenant, "/revoke"), None).await.0, 204);
    assert!(!is_active(house, &tenant, text(&third, "access_token")).await);
}

#[tokio::test]
async fn a_directory_token_provisions_until_it_is_revoked() {
    let house = house();
    let org = an_org(house).await;
    let directories = format!("/orgs/{org}/directories");
    let (status, made) = operate(house, "POST", &directories, Some(json!({"name": "Okta"}))).await;
    assert_eq!((status, text(&made, "base_url")), (201, house.url("/scim/v2").as_str()));
    let tokens = format!("{directories}/{}/tokens", text(&made, "id"));
    let (status, born) = operate(house, "POST", &tokens, Some(json!({"expires_in_days": 1}))).await;
    assert_eq!(status, 201, "{born}");
    assert_eq!(house.scim("GET", text(&born, "token"), "/scim/v2/Users", None).await.0, 200);
    let gone = format!("{tokens}/{}", text(&born, "id"));
    assert_eq!(operate(house, "DELETE", &gone, None).await.0, 204);
    assert_eq!(house.scim("GET", text(&born, "token"), "/scim/v2/Users", None).await.0, 401);
    for days in [0, 3651] {
        assert_eq!(operate(house, "POST", &tokens, Some(json!({"expires_in_days": days}))).await.0, 400);
    }
}

#[tokio::test]
async fn the_record_is_narrowed_exported_and_shown_without_secrets() {
    let house = house();
    let org = an_org(house).await;
    let evil = json!({"slug": "t", "name": "=HYPERLINK(1)"});
    assert_eq!(operate(house, "POST", &format!("/orgs/{org}/teams"), Some(evil)).await.0, 201);
    let (_, born) = operate(
        house,
        "POST",
        &format!("/orgs/{org}/webhooks"),
        Some(json!({"url": "https://acme.example/hook", "events": ["*"]})),
    )
    .await;
    assert!(text(&born, "secret").starts_with("whsec_"));
    let events = format!("/orgs/{org}/audit/events");
    let (_, some) = operate(house, "GET", &format!("{events}?action=team.created"), None).await;
    assert_eq!(some["data"].as_array().unwrap().len(), 1);
    assert_eq!(some["data"][0]["values"]["after"]["name"], json!("=HYPERLINK(1)"));
    assert_eq!(operate(house, "GET", &format!("{events}?from=yesterday"), None).await.0, 400);
    let export = format!("/orgs/{org}/audit/export");
    let (status, csv) = operate(house, "GET", &format!("{export}?format=csv"), None).await;
    let csv = csv.as_str().unwrap();
    assert_eq!((status, csv.lines().count()), (200, 5), "{csv}");
    assert!(csv.starts_with("id,at,actor_type") && csv.contains("\"team.created\""));
    assert!(!csv.contains("whsec_"), "never a secret");
    let (_, ndjson) = operate(house, "GET", &export, None).await;
    let lines: Vec<Value> =
        ndjson.as_str().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 5, "with the export before it");
    assert_eq!(text(&lines[0], "action"), "audit.exported");
    let (status, usage) = operate(house, "GET", &format!("/orgs/{org}/usage?bucket=day"), None).await;
    assert_eq!((status, &usage["data"]), (200, &json!([])));
}

#[tokio::test]
async fn an_app_has_a_secret_once_and_bare_redirect_uris() {
    let house = house();
    let new = |uri: &str| Some(json!({"name": "a", "redirect_uris": [uri]}));
    let (status, made) = operate(house, "POST", "/apps", new("https://a.example/cb")).await;
    assert_eq!(status, 201, "{made}");
    assert!(text(&made, "client_secret").starts_with("vst_cs_"));
    assert!(!operate(house, "GET", "/apps", None).await.1.to_string().contains("vst_cs_"));
    for bad in ["http://a.example/cb", "https://a.example/*", "https://a.example/#x", "https://u@a.example/"]
    {
        let (status, said) = operate(house, "POST", "/apps", new(bad)).await;
        assert_eq!((status, text(&said, "code")), (400, "api.url_refused"), "{bad}");
    }
    let public = json!({"name": "p", "redirect_uris": ["http://localhost/cb"],
        "token_endpoint_auth_method": "none"});
    assert_eq!(operate(house, "POST", "/apps", Some(public)).await.1.get("client_secret"), None);
    let nowhere = json!({"name": "p", "redirect_uris": ["https://a.example/cb"],
        "orgs": ["org_00000000000000000000000000"]});
    assert_eq!(text(&operate(house, "POST", "/apps", Some(nowhere)).await.1, "code"), "app.orgs");
}

#[tokio::test]
async fn the_api_describes_itself_to_anybody() {
    let house = house();
    let sent = house.http.get(house.url("/api/openapi.json")).send().await.unwrap();
    let described: Value = serde_json::from_str(&sent.text().await.unwrap()).unwrap();
    assert!(described["paths"]["/api/v1/orgs/{org}/connections"]["post"]["requestBody"].is_object());
    let (status, roles) = house.api("GET", "", "/roles", None).await;
    assert_eq!((status, text(&roles["data"][0], "name")), (200, "owner"));
}
