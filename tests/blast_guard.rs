//! The blast guard: a directory that would take away too many people, or the last who administers, is held
//! until an administrator has looked; nothing is lost by it. And the dry run, which changes nothing.

use crate::house::{House, Tenant, house, walk::text};
use serde_json::{Value, json};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

pub async fn people(house: &House, tenant: &Tenant, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for n in 0..count {
        let body = json!({"userName": format!("p{n}@{}", tenant.domain)});
        let (status, user) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body)).await;
        assert_eq!(status, 201, "{user}");
        made.push(text(&user, "id").to_owned());
    }
    made
}

pub async fn deactivate(house: &House, tenant: &Tenant, id: &str) -> (u16, Value) {
    let body = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": false}}]});
    house.scim("PATCH", &tenant.scim_token, &format!("/scim/v2/Users/{id}"), Some(body)).await
}

async fn is_active(house: &House, tenant: &Tenant, id: &str) -> bool {
    let (status, user) = house.scim("GET", &tenant.scim_token, &format!("/scim/v2/Users/{id}"), None).await;
    assert_eq!(status, 200, "{user}");
    user["active"] == true
}

pub async fn holds(house: &House, tenant: &Tenant) -> Vec<Value> {
    let path = format!("/orgs/{}/directories/{}/holds", tenant.slug, tenant.directory);
    let (status, list) = house.api("GET", &tenant.org_key, &path, None).await;
    assert_eq!(status, 200, "{list}");
    list["data"].as_array().unwrap().clone()
}

pub async fn decide(house: &House, tenant: &Tenant, hold: &str, how: &str, body: Value) -> (u16, Value) {
    let path = format!("/orgs/{}/directories/{}/holds/{hold}/{how}", tenant.slug, tenant.directory);
    house.api("POST", &tenant.org_key, &path, Some(body)).await
}

pub async fn guard(house: &House, tenant: &Tenant, guard: Value) -> (u16, Value) {
    let path = format!("/orgs/{}/directories/{}", tenant.slug, tenant.directory);
    house.api("PATCH", &tenant.org_key, &path, Some(json!({"blast_guard": guard}))).await
}

/// The eleventh of twelve is held and stays active, whichever way the directory says it; one hold names
/// whom; an approval lets it through.
#[tokio::test]
async fn one_more_than_the_share_is_held_until_somebody_approves() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 12).await;
    for id in &people[..10] {
        assert_eq!(deactivate(house, &tenant, id).await.0, 200);
    }
    let (status, said) = deactivate(house, &tenant, &people[10]).await;
    assert_eq!((status, &said["status"]), (429, &json!("429")), "{said}");
    assert!(text(&said, "detail").contains("scim.held"), "{said}");
    let path = format!("/scim/v2/Users/{}", people[11]);
    let (status, _) = house.scim("DELETE", &tenant.scim_token, &path, None).await;
    assert_eq!(status, 429);
    let body = json!({"userName": format!("p10@{}", tenant.domain), "active": false});
    let path = format!("/scim/v2/Users/{}", people[10]);
    assert_eq!(house.scim("PUT", &tenant.scim_token, &path, Some(body)).await.0, 429);
    assert!(is_active(house, &tenant, &people[10]).await && is_active(house, &tenant, &people[11]).await);

    let held = holds(house, &tenant).await;
    assert_eq!(held.len(), 1, "{held:?}");
    let hold = &held[0];
    assert_eq!(
        (&hold["state"], &hold["reason"], &hold["people"]),
        (&json!("open"), &json!("share"), &json!(2))
    );
    let id = text(hold, "id");
    let path = format!("/orgs/{}/directories/{}/holds/{id}/people", tenant.slug, tenant.directory);
    let (_, named) = house.api("GET", &tenant.org_key, &path, None).await;
    let named: Vec<&str> = named["data"].as_array().unwrap().iter().map(|p| text(p, "user_id")).collect();
    assert_eq!(named, [&people[10], &people[11]]);

    let (status, said) = decide(house, &tenant, id, "approve", json!({})).await;
    assert_eq!((status, &said["state"]), (200, &json!("approved")), "{said}");
    let (status, said) = decide(house, &tenant, id, "approve", json!({})).await;
    assert_eq!((status, &said["code"]), (409, &json!("directory.hold_decided")), "{said}");
    // Decided otherwise, and back.
    assert_eq!(decide(house, &tenant, id, "refuse", json!({})).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[10]).await.0, 429);
    assert_eq!(decide(house, &tenant, id, "approve", json!({})).await.0, 200);
    for id in &people[10..] {
        assert_eq!(deactivate(house, &tenant, id).await.0, 200);
    }
}

/// An approval is about those whom the hold names; of everybody only when it says so.
#[tokio::test]
async fn who_is_not_named_is_held_beside_an_approval() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 14).await;
    for id in &people[..10] {
        assert_eq!(deactivate(house, &tenant, id).await.0, 200);
    }
    assert_eq!(deactivate(house, &tenant, &people[10]).await.0, 429);
    let first = text(&holds(house, &tenant).await[0], "id").to_owned();
    assert_eq!(decide(house, &tenant, &first, "approve", json!({})).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[11]).await.0, 429, "another person");
    assert_eq!(deactivate(house, &tenant, &people[10]).await.0, 200);
    let second = text(&holds(house, &tenant).await[0], "id").to_owned();
    assert_ne!(first, second);
    assert_eq!(decide(house, &tenant, &second, "approve", json!({"everybody": true})).await.0, 200);
    for id in &people[11..13] {
        assert_eq!(deactivate(house, &tenant, id).await.0, 200);
    }
    assert_eq!(decide(house, &tenant, &second, "refuse", json!({})).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[13]).await.0, 429, "shut again");
}

/// An approval and a refusal end at their time: what is asked then waits for another decision.
#[tokio::test]
async fn a_decision_is_good_for_so_long_and_no_longer() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 3).await;
    assert_eq!(guard(house, &tenant, json!({"percent": 1, "at_least": 1})).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[0]).await.0, 200);
    let mut sql = crate::operations::inside(house, tenant.org).await;
    for how in ["refuse", "approve"] {
        assert_eq!(deactivate(house, &tenant, &people[1]).await.0, 429);
        let open = holds(house, &tenant).await.into_iter().find(|hold| hold["state"] == "open").unwrap();
        assert_eq!(decide(house, &tenant, text(&open, "id"), how, json!({"for_secs": 60})).await.0, 200);
        let over = "UPDATE holds SET until = now() - interval '1 second' WHERE until IS NOT NULL";
        sqlx::query(over).execute(&mut sql).await.unwrap();
        let (status, said) = deactivate(house, &tenant, &people[1]).await;
        assert_eq!(status, 429, "{how}");
        assert!(text(&said, "detail").contains("must approve"), "{how}: {said}");
    }
    assert!(is_active(house, &tenant, &people[1]).await);
}

/// Whom a directory makes itself does not add to what it may take away.
#[tokio::test]
async fn inventing_people_takes_nobody_more_away() {
    let house = house();
    let tenant = house.tenant().await;
    let all = people(house, &tenant, 60).await;
    for id in &all[..10] {
        assert_eq!(deactivate(house, &tenant, id).await.0, 200);
    }
    assert_eq!(deactivate(house, &tenant, &all[10]).await.0, 429);
}

/// As if the directory had made them long ago.
async fn grown_old(house: &House, tenant: &Tenant) {
    let mut sql = crate::operations::inside(house, tenant.org).await;
    let aged = "UPDATE users SET created_at = created_at - interval '2 hours'";
    sqlx::query(aged).execute(&mut sql).await.unwrap();
}

async fn change(house: &House, tenant: &Tenant, id: &str, value: Value) -> (u16, Value) {
    let op = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": value}]});
    house.scim("PATCH", &tenant.scim_token, &format!("/scim/v2/Users/{id}"), Some(op)).await
}

/// Who is given another name is kept out as well as who is deactivated: of both together a directory may do so
/// many within an hour, and whom it has done it to already is none more.
#[tokio::test]
async fn taking_peoples_names_counts_as_taking_them_away() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 14).await;
    let at = |name: &str| format!("{name}@{}", tenant.domain);
    for (n, id) in people.iter().enumerate() {
        let more = json!({"emails": [{"value": at(&format!("p{n}.more")), "type": "work"}]});
        assert_eq!(change(house, &tenant, id, more).await.0, 200);
        // Of somebody new a name is nobody's key yet.
        assert_eq!(change(house, &tenant, id, json!({"userName": format!("new{n}")})).await.0, 200);
        assert_eq!(change(house, &tenant, id, json!({"userName": at(&format!("p{n}"))})).await.0, 200);
    }
    grown_old(house, &tenant).await;
    for (n, id) in people.iter().enumerate() {
        // Another spelling, one more address, one outside the org's domains: they sign in as ever.
        for value in [
            json!({"userName": at(&format!("P{n}"))}),
            json!({"emails": [{"value": at(&format!("p{n}.more")), "type": "work"}, {"value": "p@home.example"}]}),
            json!({"emails": [{"value": at(&format!("p{n}.more")), "type": "work"}]}),
            json!({"title": "Dr"}),
        ] {
            assert_eq!(change(house, &tenant, id, value.clone()).await.0, 200, "{value}");
        }
    }
    for (n, id) in people[..4].iter().enumerate() {
        assert_eq!(change(house, &tenant, id, json!({"userName": at(&format!("q{n}"))})).await.0, 200);
    }
    for (n, id) in people[4..7].iter().enumerate() {
        let whole = json!({"userName": at(&format!("p{}", n + 4))});
        let path = format!("/scim/v2/Users/{id}");
        assert_eq!(
            house.scim("PUT", &tenant.scim_token, &path, Some(whole)).await.0,
            200,
            "the address goes"
        );
    }
    for id in &people[7..10] {
        assert_eq!(deactivate(house, &tenant, id).await.0, 200);
    }
    let mut held = Vec::new();
    for value in [json!({"userName": at("q10")}), json!({"emails": []}), json!({"active": false})] {
        let (status, said) = change(house, &tenant, &people[10], value.clone()).await;
        assert_eq!(status, 429, "{value} {said}");
        held.push(text(&said, "detail").to_owned());
    }
    assert!(held.iter().all(|said| said.contains("take away or rename 10 people")), "{held:?}");
    let request = house.http.patch(house.url(&format!("/scim/v2/Users/{}", people[11])));
    let op = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"userName": at("q11")}}]});
    let dry = request.bearer_auth(&tenant.scim_token).header("prefer", "vestibule-dry-run");
    assert_eq!(dry.json(&op).send().await.unwrap().status(), 429, "a dry run tells it too");
    assert_eq!(
        change(house, &tenant, &people[0], json!({"userName": at("r0")})).await.0,
        200,
        "counted before"
    );
    assert_eq!(deactivate(house, &tenant, &people[1]).await.0, 200, "and so is this one");

    let holds = holds(house, &tenant).await;
    assert_eq!((holds.len(), &holds[0]["reason"], &holds[0]["people"]), (1, &json!("share"), &json!(1)));
    let hold = text(&holds[0], "id");
    assert_eq!(decide(house, &tenant, hold, "approve", json!({})).await.0, 200);
    assert_eq!(change(house, &tenant, &people[10], json!({"userName": at("q10")})).await.0, 200);
    assert_eq!(change(house, &tenant, &people[11], json!({"userName": at("q11")})).await.0, 429);
    // A company that changes its domain: everybody, once.
    assert_eq!(decide(house, &tenant, hold, "approve", json!({"everybody": true})).await.0, 200);
    for (n, id) in people.iter().enumerate().skip(11) {
        assert_eq!(change(house, &tenant, id, json!({"userName": at(&format!("q{n}"))})).await.0, 200);
    }
}

/// An address in no domain of the org's is no way to sign in: who keeps their old user name as such a one has lost it.
#[tokio::test]
async fn a_name_kept_where_nobody_signs_in_by_it_is_taken_away() {
    let house = house();
    let tenant = house.tenant().await;
    let mut people = Vec::new();
    for n in 0..12 {
        let body = json!({"userName": format!("p{n}@home.example")});
        let (status, user) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body)).await;
        assert_eq!(status, 201, "{user}");
        people.push(text(&user, "id").to_owned());
    }
    grown_old(house, &tenant).await;
    let mut answers = Vec::new();
    for (n, id) in people.iter().enumerate() {
        let kept = json!([{"value": format!("p{n}@home.example"), "type": "home"}]);
        let value = json!({"userName": format!("q{n}@{}", tenant.domain), "emails": kept});
        answers.push(change(house, &tenant, id, value).await.0);
    }
    assert_eq!((&answers[..10], &answers[10..]), (&[200; 10][..], &[429; 2][..]));
}

/// A seat with a role that was given by hand is handed to no other name or address without an administrator.
#[tokio::test]
async fn a_role_given_by_hand_goes_to_no_other_name() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 2).await;
    let boss = &people[0];
    let path = format!("/orgs/{}/users/{boss}/roles", tenant.slug);
    assert_eq!(house.api("PUT", &tenant.org_key, &path, Some(json!(["owner"]))).await.0, 200);
    let patch = async |id: &str, value: Value| {
        let op = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                        "Operations": [{"op": "replace", "value": value}]});
        house.scim("PATCH", &tenant.scim_token, &format!("/scim/v2/Users/{id}"), Some(op)).await
    };
    let ada = format!("ada@{}", tenant.domain);
    for value in [
        json!({"userName": ada}),
        json!({"emails": [{"value": ada, "type": "work"}]}),
        json!({"externalId": "somebody"}),
    ] {
        let (status, said) = patch(boss, value.clone()).await;
        assert_eq!(status, 429, "{value}: {said}");
        assert!(text(&said, "detail").contains("by hand"), "{said}");
        assert_eq!(patch(&people[1], value).await.0, 200, "nobody gave that one a role");
        let back = json!({"userName": format!("p1@{}", tenant.domain), "emails": [], "externalId": null});
        assert_eq!(patch(&people[1], back).await.0, 200);
    }
    assert_eq!(patch(boss, json!({"title": "Boss"})).await.0, 200, "the rest is the directory's");
    let hold = holds(house, &tenant).await[0].clone();
    assert_eq!((&hold["reason"], &hold["people"]), (&json!("role_by_hand"), &json!(1)), "{hold}");
    assert_eq!(decide(house, &tenant, text(&hold, "id"), "approve", json!({})).await.0, 200);
    assert_eq!(patch(boss, json!({"userName": ada})).await.0, 200);
}

/// Two who administer, each by a group of their own, both taken out at one instant: one stays.
#[tokio::test]
async fn of_the_last_two_administrators_one_stays() {
    let house = house();
    for _ in 0..4 {
        let tenant = house.tenant().await;
        let people = people(house, &tenant, 2).await;
        let mut groups = Vec::new();
        for (n, id) in people.iter().enumerate() {
            let group = json!({"displayName": format!("admins {n}"), "members": [{"value": id}]});
            let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(group)).await;
            assert_eq!(status, 201, "{made}");
            groups.push(text(&made, "id").to_owned());
        }
        let mappings: Vec<Value> =
            groups.iter().map(|id| json!({"group_id": id, "roles": ["admin"]})).collect();
        let path = format!("/orgs/{}/group-mappings", tenant.slug);
        assert_eq!(house.api("PUT", &tenant.org_key, &path, Some(json!(mappings))).await.0, 200);
        let out = async |group: &str| {
            let op = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                            "Operations": [{"op": "replace", "path": "members", "value": []}]});
            house.scim("PATCH", &tenant.scim_token, &format!("/scim/v2/Groups/{group}"), Some(op)).await.0
        };
        let (one, two) = tokio::join!(out(&groups[0]), out(&groups[1]));
        assert!([one, two].contains(&429), "{one} {two}");
    }
}

/// A refusal stands: the directory is told so, and no second hold is opened for the same.
#[tokio::test]
async fn a_refused_hold_stands_and_a_guard_that_is_off_holds_nobody() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 4).await;
    assert_eq!(guard(house, &tenant, json!({"percent": 1, "at_least": 1})).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[0]).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[1]).await.0, 429);
    let held = holds(house, &tenant).await;
    let id = text(&held[0], "id");
    let (status, said) = decide(house, &tenant, id, "refuse", json!({"for_secs": 59})).await;
    assert_eq!((status, &said["code"]), (400, &json!("directory.hold_secs")), "{said}");
    assert_eq!(decide(house, &tenant, id, "refuse", json!({})).await.0, 200);
    let (status, said) = deactivate(house, &tenant, &people[1]).await;
    assert_eq!(status, 429);
    assert!(text(&said, "detail").contains("refused"), "{said}");
    assert_eq!(holds(house, &tenant).await.len(), 1);
    let (status, said) = deactivate(house, &tenant, &people[2]).await;
    assert_eq!(status, 429);
    assert!(text(&said, "detail").contains("must approve"), "nobody has refused this one: {said}");
    assert_eq!(holds(house, &tenant).await.len(), 2);
    for wrong in [json!({"percent": 0, "at_least": 1}), json!({"percent": 101, "at_least": 1}), json!("on")] {
        assert_eq!(guard(house, &tenant, wrong).await.0, 400);
    }
    let (status, said) = guard(house, &tenant, json!("off")).await;
    assert_eq!((status, &said["blast_guard"]), (200, &json!("off")), "{said}");
    for id in &people[1..] {
        assert_eq!(deactivate(house, &tenant, id).await.0, 200);
    }
}

/// Of twenty at once exactly as many are let through as may be.
#[tokio::test]
async fn of_many_at_one_instant_no_two_are_the_last_that_may() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 20).await;
    assert_eq!(guard(house, &tenant, json!({"percent": 1, "at_least": 5})).await.0, 200);
    let tenant = std::sync::Arc::new(tenant);
    let mut asked = tokio::task::JoinSet::new();
    for id in people {
        let tenant = tenant.clone();
        asked.spawn(async move { deactivate(house, &tenant, &id).await.0 });
    }
    let answers = asked.join_all().await;
    let count = |wanted: u16| answers.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(429)), (5, 15));
    assert_eq!(holds(house, &tenant).await.len(), 1);
}

#[tokio::test]
async fn the_last_who_administers_is_held_and_with_another_is_not() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 2).await;
    let roles = async |id: &str, roles: Value| {
        let path = format!("/orgs/{}/users/{id}/roles", tenant.slug);
        assert_eq!(house.api("PUT", &tenant.org_key, &path, Some(roles)).await.0, 200);
    };
    roles(&people[0], json!(["owner"])).await;
    assert_eq!(deactivate(house, &tenant, &people[0]).await.0, 429);
    assert_eq!(holds(house, &tenant).await[0]["reason"], "last_administrator");
    roles(&people[1], json!(["admin"])).await;
    assert_eq!(deactivate(house, &tenant, &people[0]).await.0, 200);
}

/// The group that gives the role may lose its other members, but not the last.
#[tokio::test]
async fn the_last_who_administers_by_a_group_is_held_in_it() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 2).await;
    let members: Vec<Value> = people.iter().map(|id| json!({"value": id})).collect();
    let body = json!({"displayName": "Owners", "members": members});
    let (_, group) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(body)).await;
    let path = format!("/scim/v2/Groups/{}", text(&group, "id"));
    let mappings = json!([{"group_id": group["id"], "roles": ["owner"]}]);
    let place = format!("/orgs/{}/group-mappings", tenant.slug);
    assert_eq!(house.api("PUT", &tenant.org_key, &place, Some(mappings)).await.0, 200);
    grown_old(house, &tenant).await;
    let leave = async |id: &str| {
        let value = json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}]);
        let body = json!({"schemas": [PATCH], "Operations": value});
        house.scim("PATCH", &tenant.scim_token, &path, Some(body)).await.0
    };
    let rename = async |id: &str, name: &str| {
        change(house, &tenant, id, json!({"userName": format!("{name}@{}", tenant.domain)})).await.0
    };
    assert_eq!(rename(&people[0], "q0").await, 200, "the other still gets in");
    assert_eq!(leave(&people[0]).await, 204);
    assert_eq!(rename(&people[1], "q1").await, 429, "under another name nobody knows who that is");
    assert_eq!(leave(&people[1]).await, 429);
    assert_eq!(house.scim("DELETE", &tenant.scim_token, &path, None).await.0, 429);
    assert_eq!(holds(house, &tenant).await[0]["reason"], "last_administrator");
    let (_, group) = house.scim("GET", &tenant.scim_token, &path, None).await;
    assert_eq!(group["members"][0]["value"], people[1].as_str());
}

/// What a group gives is taken from too many by no one request, whichever it is; by an administrator's word it is.
#[tokio::test]
async fn a_group_that_loses_too_many_at_once_is_held() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 12).await;
    let body = json!({"displayName": "Staff", "members":
        people.iter().map(|id| json!({"value": id})).collect::<Vec<_>>()});
    let (_, group) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(body)).await;
    let (path, place) =
        (format!("/scim/v2/Groups/{}", text(&group, "id")), format!("/orgs/{}/group-mappings", tenant.slug));
    let mappings = json!([{"group_id": group["id"], "roles": ["viewer"]}]);
    assert_eq!(house.api("PUT", &tenant.org_key, &place, Some(mappings)).await.0, 200);
    let op = |value: Value| json!({"schemas": [PATCH], "Operations": [value]});
    let but_one = json!([{"value": people[0]}]);
    let asked = [
        ("DELETE", None),
        ("PUT", Some(json!({"displayName": "Staff", "members": []}))),
        ("PATCH", Some(op(json!({"op": "remove", "path": "members"})))),
        ("PATCH", Some(op(json!({"op": "replace", "path": "members", "value": []})))),
        ("PATCH", Some(op(json!({"op": "replace", "path": "members", "value": but_one})))),
    ];
    for (method, body) in &asked {
        let (status, said) = house.scim(method, &tenant.scim_token, &path, body.clone()).await;
        assert_eq!(status, 429, "{method} {body:?} {said}");
        assert!(text(&said, "detail").contains("from more than 10 people"), "{said}");
    }
    let hold = holds(house, &tenant).await;
    assert_eq!((hold.len(), &hold[0]["reason"], &hold[0]["people"]), (1, &json!("group"), &json!(12)));
    let leave = |id: &str| op(json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")}));
    for id in &people[..1] {
        assert_eq!(
            house.scim("PATCH", &tenant.scim_token, &path, Some(leave(id))).await.0,
            204,
            "one by one"
        );
    }
    assert_eq!(
        house.scim("DELETE", &tenant.scim_token, &path, None).await.0,
        429,
        "eleven are too many still"
    );
    assert_eq!(decide(house, &tenant, text(&hold[0], "id"), "approve", json!({})).await.0, 200);
    assert_eq!(house.scim("DELETE", &tenant.scim_token, &path, None).await.0, 204);
}

/// The operations of a bulk request are one change: a group is not emptied by many small ones.
#[tokio::test]
async fn a_bulk_request_takes_roles_from_no_more_than_one_change() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 12).await;
    let members: Vec<Value> = people.iter().map(|id| json!({"value": id})).collect();
    let body = json!({"displayName": "Staff", "members": members});
    let (_, group) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(body)).await;
    let place = format!("/orgs/{}/group-mappings", tenant.slug);
    let mappings = json!([{"group_id": group["id"], "roles": ["viewer"]}]);
    assert_eq!(house.api("PUT", &tenant.org_key, &place, Some(mappings)).await.0, 200);
    let leave = |some: &[Value]| {
        let data =
            json!({"schemas": [PATCH], "Operations": [{"op": "remove", "path": "members", "value": some}]});
        json!({"method": "PATCH", "path": format!("/Groups/{}", text(&group, "id")), "data": data})
    };
    // What was held has taken nothing: two of them may still go.
    let operations: Vec<Value> =
        members.chunks(4).map(leave).chain(std::iter::once(leave(&members[10..]))).collect();
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations});
    let (_, said) = house.scim("POST", &tenant.scim_token, "/scim/v2/Bulk", Some(body)).await;
    let statuses: Vec<&str> =
        said["Operations"].as_array().unwrap().iter().map(|one| text(one, "status")).collect();
    assert_eq!(statuses, ["200", "200", "429", "200"], "{said}");
    let hold = &holds(house, &tenant).await[0];
    assert_eq!((&hold["reason"], &hold["people"]), (&json!("group"), &json!(12)), "{hold}");
}

/// A hold names a thousand. Who approves those has not approved more.
#[tokio::test]
async fn a_change_of_more_people_than_a_hold_names_takes_an_approval_for_everybody() {
    let house = house();
    let tenant = house.tenant().await;
    let mut sql = crate::operations::inside(house, tenant.org).await;
    sqlx::query(
        "INSERT INTO users (org_id, user_id, user_name, user_name_norm, active, attributes, dir_id, version,
                            created_at, modified_at)
         SELECT $1, ('00000004-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'n' || n, 'n' || n, true,
                jsonb_build_object('userName', 'n' || n), $2, 1, now(), now()
           FROM generate_series(1, 1001) AS n",
    )
    .bind(tenant.org.uuid())
    .bind(tenant.directory.uuid())
    .execute(&mut sql)
    .await
    .unwrap();
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT user_id FROM users ORDER BY 1").fetch_all(&mut sql).await.unwrap();
    let members: Vec<Value> =
        ids.iter().map(|id| json!({"value": model::ids::UserId::from_uuid(*id)})).collect();
    let body = json!({"displayName": "Staff", "members": members});
    let (status, group) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(body)).await;
    assert_eq!(status, 201, "{group}");
    let place = format!("/orgs/{}/group-mappings", tenant.slug);
    let mappings = json!([{"group_id": group["id"], "roles": ["viewer"]}]);
    assert_eq!(house.api("PUT", &tenant.org_key, &place, Some(mappings)).await.0, 200);
    assert_eq!(guard(house, &tenant, json!({"percent": 1, "at_least": 10})).await.0, 200);
    let path = format!("/scim/v2/Groups/{}", text(&group, "id"));
    let delete = async || house.scim("DELETE", &tenant.scim_token, &path, None).await.0;
    assert_eq!(delete().await, 429);
    let hold = text(&holds(house, &tenant).await[0], "id").to_owned();
    assert_eq!(decide(house, &tenant, &hold, "approve", json!({})).await.0, 200);
    assert_eq!(delete().await, 429, "a thousand were approved, and these are one more");
    assert_eq!(decide(house, &tenant, &hold, "approve", json!({"everybody": true})).await.0, 200);
    assert_eq!(delete().await, 204);
}

/// A rehearsal says what would change, by the very judgement of the real thing, and changes nothing.
#[tokio::test]
async fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 1).await;
    let dry = async |method: &str, path: &str, body: Option<Value>| {
        let mut request = house
            .http
            .request(method.parse().unwrap(), house.url(path))
            .bearer_auth(&tenant.scim_token)
            .header("content-type", "application/scim+json")
            .header("prefer", "respond-sync, vestibule-dry-run");
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let applied = answer.headers().get("preference-applied").map(|v| v.to_str().unwrap().to_owned());
        (answer.status().as_u16(), applied, answer.json::<Value>().await.unwrap())
    };
    let applied = Some("vestibule-dry-run".to_owned());
    let path = format!("/scim/v2/Users/{}", people[0]);
    let off = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": false}}]});
    let (status, told, said) = dry("PATCH", &path, Some(off)).await;
    assert_eq!((status, told), (200, applied.clone()), "{said}");
    assert_eq!(said["changes"][0]["action"], "user.deactivated", "{said}");
    assert_eq!(said["changes"][0]["target"]["id"], people[0].as_str());
    let (status, _, said) = dry("DELETE", &path, None).await;
    assert_eq!((status, &said["changes"][0]["action"]), (200, &json!("user.deleted")), "{said}");
    assert!(is_active(house, &tenant, &people[0]).await);
    let new = json!({"userName": format!("new@{}", tenant.domain)});
    let (status, _, said) = dry("POST", "/scim/v2/Users", Some(new.clone())).await;
    assert_eq!((status, &said["changes"][0]["action"]), (200, &json!("user.created")), "{said}");
    assert_eq!(house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(new.clone())).await.0, 201);
    let (status, told, _) = dry("POST", "/scim/v2/Users", Some(new)).await;
    assert_eq!((status, told), (409, None), "what would be refused is refused");
    let same = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": true}}]});
    let (status, told, said) = dry("PATCH", &path, Some(same)).await;
    assert_eq!((status, told, &said["changes"]), (200, applied, &json!([])), "{said}");
    // Whoever misspells it has nothing done, and is told; what others prefer is passed over.
    for (prefer, wanted) in [("vestibule-dryrun", 400), ("dry-run", 400), ("return=minimal, wait=5", 204)] {
        let request = house.http.delete(house.url(&path)).bearer_auth(&tenant.scim_token);
        assert_eq!(
            request.header("prefer", prefer).send().await.unwrap().status().as_u16(),
            wanted,
            "{prefer}"
        );
    }
}
