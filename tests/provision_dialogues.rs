//! What Okta, Entra and the others say over HTTP, as recorded, and what must follow from it: in the
//! directory's own answers, in teams, and in what another directory or org may see.

use crate::house::{House, Tenant, call, house, now, walk::text};
use model::{
    TokenDigest,
    ids::{DirectoryId, KeyId, TeamId, UserId},
    record::{Act, AuditEvent, Record},
};
use serde_json::{Value, json};
use store::{Administrator, GroupMapping, Holder, NewCredential, OrgChange, OrgRef, OrgScope};
use token::credential::{OrgBoundKind, org_bearer};
use vestibule::seams::SystemChance;

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

pub struct Directory<'a> {
    house: &'a House,
    token: String,
}

impl Directory<'_> {
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.house.scim(method, &self.token, &format!("/scim/v2{path}"), body).await
    }
    pub async fn user(&self, name: &str) -> String {
        let (status, made) = self.ask("POST", "/Users", Some(json!({"userName": name}))).await;
        assert_eq!(status, 201, "{made}");
        text(&made, "id").to_owned()
    }
    async fn patch(&self, path: &str, operations: Value) -> (u16, Value) {
        self.ask("PATCH", path, Some(json!({"schemas": [PATCH], "Operations": operations}))).await
    }
    pub async fn found(&self, kind: &str, filter: &str) -> Vec<String> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("filter", filter).finish();
        let (status, list) = self.ask("GET", &format!("/{kind}?{query}"), None).await;
        assert_eq!(status, 200, "{list}");
        let found: Vec<String> =
            list["Resources"].as_array().unwrap().iter().map(|one| text(one, "id").to_owned()).collect();
        assert_eq!(list["totalResults"], json!(found.len()));
        found
    }
}

pub fn first<'a>(house: &'a House, tenant: &Tenant) -> Directory<'a> {
    Directory { house, token: tenant.scim_token.clone() }
}

async fn administrator(house: &House, tenant: &Tenant) -> OrgScope<Administrator> {
    house.gw.db.administrator(house.operator, &OrgRef::Id(tenant.org), &call()).await.unwrap()
}

pub async fn second<'a>(house: &'a House, tenant: &Tenant) -> Directory<'a> {
    let scope = administrator(house, tenant).await;
    let mut tx = house.gw.db.write(&scope, "test.directory").await.unwrap();
    let directory = DirectoryId::new(now(), &SystemChance);
    let room = tx.room().await.unwrap().unwrap();
    tx.create_directory(room, directory, "Entra", None).await.unwrap();
    let token = org_bearer(OrgBoundKind::Scim, tenant.org, &SystemChance).reveal().clone();
    tx.create_credential(
        &NewCredential {
            id: KeyId::new(now(), &SystemChance),
            holder: Holder::Directory(directory),
            name: "test",
            digest: &TokenDigest::of(&token),
            scopes: &[],
            expires_at: None,
        },
        None,
    )
    .await
    .unwrap();
    tx.commit(Record::of(AuditEvent::done(Act::DirectoryCreated))).await.unwrap();
    Directory { house, token }
}

#[tokio::test]
async fn oktas_dialogue_from_the_first_question_to_the_deactivation() {
    let house = house();
    let tenant = house.tenant().await;
    let okta = first(house, &tenant);
    let name = format!("Grace@{}", tenant.domain);
    let by_name = format!("userName eq \"{name}\"");
    assert!(okta.found("Users", &by_name).await.is_empty());
    let (status, made) = okta
        .ask(
            "POST",
            "/Users",
            Some(json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name,
                "name": {"givenName": "Grace", "familyName": "Hopper"}, "displayName": "Grace Hopper",
                "emails": [{"primary": true, "value": name, "type": "work"}], "locale": "en-US",
                "externalId": "00ujl29u0le5T6Aj10h7", "groups": [], "password": "1mz050nq", "active": true,
            })),
        )
        .await;
    assert_eq!(status, 201, "{made}");
    assert!(made.get("password").is_none());
    assert_eq!(
        made["meta"]["location"],
        json!(format!("{}/scim/v2/Users/{}", house.base, text(&made, "id")))
    );
    let id = text(&made, "id").to_owned();
    assert_eq!(
        okta.found("Users", &by_name.to_uppercase().replace("USERNAME EQ", "userName eq")).await,
        [id.as_str()]
    );
    let (status, again) = okta.ask("POST", "/Users", Some(json!({"userName": name.to_lowercase()}))).await;
    assert_eq!((status, &again["scimType"], &again["status"]), (409, &json!("uniqueness"), &json!("409")));
    let path = format!("/Users/{id}");
    let (_, mut echoed) = okta.ask("GET", &path, None).await;
    let (status, same) = okta.ask("PUT", &path, Some(echoed.clone())).await;
    assert_eq!((status, &same["meta"]["version"]), (200, &json!("W/\"1\"")), "an echo changes nothing");
    echoed["active"] = json!(false);
    let (_, gone) = okta.ask("PUT", &path, Some(echoed)).await;
    assert_eq!((&gone["active"], &gone["meta"]["version"]), (&json!(false), &json!("W/\"2\"")));
    assert_eq!(okta.found("Users", &by_name).await, [id.as_str()], "a leaver stays visible");
    let seat: UserId = id.parse().unwrap();
    let scope = administrator(house, &tenant).await;
    let receipts = house.gw.db.read(&scope, "test.receipts").await.unwrap().receipts(seat, 10).await.unwrap();
    assert_eq!(receipts.len(), 1, "one deactivation, one receipt");
    assert_eq!(okta.ask("DELETE", &path, None).await.0, 204);
    assert_eq!(okta.ask("GET", &path, None).await.0, 404);
    assert_eq!(okta.ask("DELETE", &path, None).await.0, 404);
    okta.user(&name).await;
}

#[tokio::test]
async fn entras_dialogue_with_its_capitals_its_strings_and_its_filters() {
    let house = house();
    let tenant = house.tenant().await;
    let entra = first(house, &tenant);
    assert!(entra.found("Users", "userName eq \"8dc1ad2f-1a3b-4d7c-9a5e-0f3c2b1a9d8e\"").await.is_empty());
    let id = entra.user(&format!("joy@{}", tenant.domain)).await;
    let path = format!("/Users/{id}");
    let (status, patched) = entra
        .patch(&path, json!([
            {"op": "Add", "path": "emails[type eq \"work\"].value", "value": "Joy@Work.example"},
            {"op": "Replace", "path": "displayName", "value": "Joy"},
            {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "R&D"},
        ]))
        .await;
    assert_eq!(status, 200, "{patched}");
    assert_eq!(patched["emails"], json!([{"type": "work", "value": "Joy@Work.example"}]));
    for filter in [
        "emails[type eq \"work\"].value eq \"joy@work.example\"",
        "emails.value eq \"JOY@work.example\"",
        "displayName eq \"joy\" and active eq \"True\"",
    ] {
        assert_eq!(entra.found("Users", filter).await, [id.as_str()], "{filter}");
    }
    assert!(entra.found("Users", "emails[type eq \"home\"].value eq \"joy@work.example\"").await.is_empty());
    let (_, off) = entra.patch(&path, json!([{"op": "Replace", "path": "active", "value": "False"}])).await;
    assert_eq!(off["active"], json!(false));
    let (_, same) = entra.patch(&path, json!([{"op": "Replace", "path": "active", "value": "False"}])).await;
    assert_eq!(same["meta"], off["meta"], "saying it twice changes nothing");
    let (_, found) = entra.ask("GET", "/Users?filter=userName+sw+%22j%22", None).await;
    assert_eq!(found["Resources"][0]["id"], json!(id), "blanks may come as plus signs");
    let (status, refused) = entra.ask("GET", "/Users?filter=active+gt+%22j%22", None).await;
    assert_eq!((status, &refused["scimType"]), (400, &json!("invalidFilter")));
}

#[tokio::test]
async fn a_group_gives_its_team_and_takes_it_away_member_by_member() {
    let house = house();
    let tenant = house.tenant().await;
    let entra = first(house, &tenant);
    let (a, b) = (entra.user("a@x.example").await, entra.user("b@x.example").await);
    let (status, made) =
        entra.ask("POST", "/Groups", Some(json!({"displayName": "Staff", "members": []}))).await;
    assert_eq!(status, 201, "{made}");
    let group = text(&made, "id").to_owned();
    let scope = administrator(house, &tenant).await;
    let mut tx = house.gw.db.write(&scope, "test.map").await.unwrap();
    let team = TeamId::new(now(), &SystemChance);
    let room = tx.room().await.unwrap().unwrap();
    tx.create_team(room, team, "staff", "Staff").await.unwrap();
    let mapping = GroupMapping { group_id: group.clone(), team_id: Some(team), roles: vec!["member".into()] };
    tx.set_group_mappings(&[mapping]).await.unwrap();
    tx.commit(Record::of(AuditEvent::done(Act::OrgGroupMappingsSet))).await.unwrap();
    let roles = async |id: &str| {
        house.gw.db.read(&scope, "test.roles").await.unwrap().roles_of(id.parse().unwrap()).await.unwrap()
    };
    let path = format!("/Groups/{group}");
    let both = json!([{"op": "Add", "path": "members", "value": [{"value": a}, {"value": b}]}]);
    assert_eq!(entra.patch(&path, both.clone()).await, (204, json!("")));
    assert_eq!(entra.patch(&path, both).await.0, 204, "they are in already");
    assert_eq!((roles(&a).await, roles(&b).await), (vec!["member".to_owned()], vec!["member".to_owned()]));
    let remove = json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": a}]}]);
    assert_eq!(entra.patch(&path, remove).await.0, 204);
    assert_eq!((roles(&a).await.len(), roles(&b).await.len()), (0, 1), "one goes, the group stays");
    let (_, shown) = entra.ask("GET", &path, None).await;
    assert_eq!(shown["members"].as_array().unwrap().len(), 1);
    assert_eq!(shown["meta"]["version"], json!("W/\"3\""), "two changes, and one that was none");
    let both = format!("id eq \"{group}\" and members eq \"{b}\"");
    assert_eq!(entra.found("Groups", &both).await, [group.as_str()]);
    let (_, slim) = entra.ask("GET", "/Groups?excludedAttributes=members", None).await;
    assert!(slim["Resources"][0].get("members").is_none());
    let (_, person) = entra.ask("GET", &format!("/Users/{b}"), None).await;
    assert_eq!(person["groups"][0]["value"], json!(group));
    let revoked =
        house.gw.db.read(&scope, "test.marks").await.unwrap().revocations_after(0, 10).await.unwrap();
    let marks: Vec<_> = revoked.iter().map(|(_, scope, action)| (scope.as_str(), action.as_str())).collect();
    assert_eq!(
        marks,
        [(format!("usr:{a}").as_str(), "reassert")],
        "tokens are fetched anew, the session lives"
    );
    let stranger =
        json!([{"op": "add", "path": "members", "value": [{"value": UserId::new(now(), &SystemChance)}]}]);
    let (status, refused) = entra.patch(&path, stranger).await;
    assert_eq!(status, 400, "{refused}");
    assert_eq!(entra.ask("DELETE", &path, None).await.0, 204);
    assert!(roles(&b).await.is_empty());
    assert_eq!(entra.ask("GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn another_directory_sees_a_person_and_changes_none_and_another_org_sees_nothing() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let (okta, entra, stranger) = (first(house, &tenant), second(house, &tenant).await, first(house, &other));
    let id = okta.user("c@x.example").await;
    let path = format!("/Users/{id}");
    assert_eq!(entra.ask("GET", &path, None).await.0, 200);
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    let (status, refused) = entra.patch(&path, off.clone()).await;
    assert_eq!(status, 409);
    assert!(text(&refused, "detail").contains("scim.other_directory"), "{refused}");
    assert_eq!(entra.ask("DELETE", &path, None).await.0, 409);
    let (_, group) = okta.ask("POST", "/Groups", Some(json!({"displayName": "G"}))).await;
    let group = format!("/Groups/{}", text(&group, "id"));
    let unknown = format!("/Users/{}", UserId::new(now(), &SystemChance));
    for path in [&path, &group] {
        for method in ["GET", "DELETE"] {
            assert_eq!(stranger.ask(method, path, None).await, stranger.ask(method, &unknown, None).await);
        }
    }
    assert_eq!(stranger.patch(&path, off).await.0, 404);
    assert_eq!(entra.ask("GET", &group, None).await.0, 404, "a group is its own directory's");
    assert!(stranger.found("Users", "userName eq \"c@x.example\"").await.is_empty());
}

#[tokio::test]
async fn a_seat_of_a_sign_in_is_adopted_only_where_the_org_says_so() {
    let house = house();
    let tenant = house.tenant().await;
    crate::house::walk::tokens(house, &tenant).await;
    let (okta, ada) = (first(house, &tenant), format!("ada@{}", tenant.domain));
    let body = json!({"userName": ada, "externalId": "e1", "active": true});
    assert_eq!(okta.ask("POST", "/Users", Some(body.clone())).await.0, 409);
    let scope = administrator(house, &tenant).await;
    let mut tx = house.gw.db.write(&scope, "test.adopts").await.unwrap();
    tx.change_org(&OrgChange { scim_adopts: Some(true), ..OrgChange::default() }).await.unwrap();
    tx.commit(Record::of(AuditEvent::done(Act::OrgChanged))).await.unwrap();
    let found = okta.found("Users", &format!("userName eq \"{ada}\"")).await;
    let (status, adopted) = okta.ask("POST", "/Users", Some(body.clone())).await;
    assert_eq!((status, text(&adopted, "id")), (201, found[0].as_str()), "the same seat");
    assert_eq!(okta.ask("POST", "/Users", Some(body)).await.0, 409, "owned now");
}

#[tokio::test]
async fn versions_paths_bodies_and_tokens_are_answered_in_scims_own_dialect() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let okta = first(house, &tenant);
    let id = okta.user("v@x.example").await;
    let url = house.url(&format!("/scim/v2/Users/{id}"));
    let put = |tag: &'static str| {
        let body = json!({"userName": "v@x.example", "title": "T"}).to_string();
        house.http.put(&url).bearer_auth(&okta.token).header("if-match", tag).body(body).send()
    };
    assert_eq!(put("W/\"7\"").await.unwrap().status().as_u16(), 412);
    let changed = put("W/\"1\"").await.unwrap();
    assert_eq!((changed.status().as_u16(), changed.headers()["etag"].to_str().unwrap()), (200, "W/\"2\""));
    let known = house.http.get(&url).bearer_auth(&okta.token).header("if-none-match", "W/\"2\"").send().await;
    assert_eq!(known.unwrap().status().as_u16(), 304);
    for (method, path, wanted) in [
        ("GET", "/Nothing", 404),
        ("POST", "/Bulk", 400),
        ("GET", "/Me", 501),
        ("PUT", "/Users/.search", 405),
        ("GET", "/.search", 405),
        ("DELETE", "/Users", 405),
        ("GET", "/Users/usr_1", 404),
        ("GET", "/Schemas?filter=id", 403),
    ] {
        let (status, said) = okta.ask(method, path, (method == "POST").then(|| json!({}))).await;
        assert_eq!((status, &said["status"]), (wanted, &json!(wanted.to_string())), "{method} {path} {said}");
    }
    let large = json!({"userName": "x".repeat(1024 * 1024)});
    assert_eq!(okta.ask("POST", "/Users", Some(large)).await.0, 413);
    let (status, config) = okta.ask("GET", "/ServiceProviderConfig", None).await;
    assert_eq!((status, &config["etag"]["supported"]), (200, &json!(true)));
    let (own, foreign) =
        (format!("/orgs/{}/scim/v2/Users", tenant.slug), format!("/orgs/{}/scim/v2/Users", other.slug));
    let (status, list) = house.scim("GET", &okta.token, &own, None).await;
    assert_eq!(status, 200);
    let location = text(&list["Resources"][0]["meta"], "location").to_owned();
    assert!(location.contains(&own), "{location}");
    assert_eq!(house.scim("GET", &okta.token, &foreign, None).await.0, 401);
    let refused = house.http.get(house.url("/scim/v2/Users")).bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 401);
    assert_eq!(refused.headers()["content-type"], "application/scim+json");
    assert!(refused.headers().contains_key("www-authenticate"));
}
