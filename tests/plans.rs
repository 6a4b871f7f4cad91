//! Plans: what a plan has is what an org gets, to the last one and not one more, whichever way it is asked for
//! and however many ask at once; nobody is thrown out; and who is turned away is told why.

use crate::{
    administer::operate,
    house::{
        House, Tenant, house,
        served::{Reply, Served},
        walk::{text, to_the_acs},
    },
    provision_dialogues::second,
};
use idp_fixtures::Page;
use model::quota::Quota;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

pub async fn define(house: &House, name: &str, quotas: Value) {
    let (status, said) =
        operate(house, "PUT", &format!("/plans/{name}"), Some(json!({"quotas": quotas}))).await;
    assert_eq!(status, 200, "{said}");
}

async fn give(house: &House, tenant: &Tenant, name: &str) -> Value {
    let path = format!("/orgs/{}/plan", tenant.slug);
    let (status, said) = operate(house, "PUT", &path, Some(json!({"plan": name}))).await;
    assert_eq!(status, 200, "{said}");
    said
}

/// The tenant, on a plan of its own with these quotas.
pub async fn on_a_plan(house: &House, tenant: &Tenant, quotas: Value) -> String {
    let name = format!("plan-of-{}", tenant.slug);
    define(house, &name, quotas).await;
    give(house, tenant, &name).await;
    name
}

pub async fn standing(house: &House, tenant: &Tenant) -> Value {
    let (status, said) =
        house.api("GET", &tenant.org_key, &format!("/orgs/{}/plan", tenant.slug), None).await;
    assert_eq!(status, 200, "{said}");
    said
}

pub async fn person(house: &House, tenant: &Tenant, name: &str) -> (u16, Value) {
    let body = json!({"userName": format!("{name}@{}", tenant.domain)});
    house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body)).await
}

pub async fn made(house: &House, tenant: &Tenant, name: &str) -> String {
    let (status, made) = person(house, tenant, name).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

pub async fn set_active(house: &House, tenant: &Tenant, id: &str, active: bool) -> (u16, Value) {
    let body = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": active}}]});
    house.scim("PATCH", &tenant.scim_token, &format!("/scim/v2/Users/{id}"), Some(body)).await
}

async fn dry(house: &House, tenant: &Tenant, name: &str) -> (u16, Value) {
    let body = json!({"userName": format!("{name}@{}", tenant.domain)});
    let request = house.http.post(house.url("/scim/v2/Users")).bearer_auth(&tenant.scim_token);
    let request =
        request.header("content-type", "application/scim+json").header("prefer", "vestibule-dry-run");
    let answer = request.body(body.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

pub fn refused(said: &Value) -> bool {
    said["status"] == "403" && text(said, "detail").contains("[quota.seats]")
}

pub async fn events(house: &House, tenant: &Tenant, action: &str) -> Vec<Value> {
    let path = format!("/orgs/{}/audit/events?action={action}", tenant.slug);
    let (status, list) = operate(house, "GET", &path, None).await;
    assert_eq!(status, 200, "{list}");
    list["data"].as_array().unwrap().clone()
}

/// One more of a kind, by the call that makes it.
async fn one_more(house: &House, tenant: &Tenant, quota: Quota, n: usize) -> (u16, Value) {
    let slug = &tenant.slug;
    let (key, path, body) = match quota {
        Quota::Seats => return person(house, tenant, &format!("p{n}")).await,
        Quota::Connections => {
            let xml = tenant.idp.metadata_xml();
            (&tenant.org_key, "connections", json!({"type": "saml", "name": "C", "metadata_xml": xml}))
        }
        Quota::Directories => (&tenant.org_key, "directories", json!({"name": "D"})),
        Quota::Domains => (&tenant.org_key, "domains", json!({"name": format!("d{n}.{}", tenant.domain)})),
        Quota::Hosts => (&house.platform_key, "hosts", json!({"host": format!("h{n}.{}", tenant.domain)})),
        Quota::Teams => (&tenant.org_key, "teams", json!({"slug": format!("t{n}"), "name": "T"})),
        Quota::Webhooks => {
            (&tenant.org_key, "webhooks", json!({"url": "https://hooks.example/", "events": ["*"]}))
        }
        Quota::Keys => (&tenant.org_key, "keys", json!({"name": "K", "scopes": ["org:read"]})),
    };
    house.api("POST", key, &format!("/orgs/{slug}/{path}"), Some(body)).await
}

/// Every kind, by the call that makes it: the last that the plan has, and one more; and another quota does not
/// mind. An org on another plan is not touched.
#[tokio::test]
async fn each_quota_gives_the_last_and_refuses_one_more() {
    let house = house();
    for quota in Quota::ALL {
        let (tenant, other) = (house.tenant().await, house.tenant().await);
        let before = standing(house, &tenant).await["in_use"][quota.as_str()].as_i64().unwrap();
        let plan = on_a_plan(house, &tenant, json!({quota.as_str(): before + 2})).await;
        for n in 0..2 {
            let (status, said) = one_more(house, &tenant, quota, n).await;
            assert_eq!(status, 201, "{quota}: {said}");
        }
        let (status, said) = one_more(house, &tenant, quota, 2).await;
        if quota == Quota::Seats {
            let detail = format!(
                "User: no seat is left: the plan \"{plan}\" has 2, and 2 are in use. Deactivate somebody, or have the \
                 plan raised [quota.seats]"
            );
            assert_eq!((status, text(&said, "detail")), (403, detail.as_str()));
        } else {
            assert_eq!((status, text(&said, "code")), (409, quota.code()), "{said}");
            let facts =
                json!({"plan": plan, "most": (before + 2).to_string(), "in_use": (before + 2).to_string()});
            assert_eq!(said["facts"], facts);
        }
        let after = standing(house, &tenant).await;
        assert_eq!(
            (&after["in_use"][quota.as_str()], &after["over"]),
            (&json!(before + 2), &json!([])),
            "{after}"
        );
        for free in Quota::ALL.into_iter().filter(|free| *free != quota) {
            let (status, said) = one_more(house, &tenant, free, 7).await;
            assert_eq!(status, 201, "{quota} is full, not {free}: {said}");
        }
        assert_eq!(one_more(house, &other, quota, 9).await.0, 201, "{quota}");
        assert_eq!(events(house, &tenant, "quota.refused").await.len(), 1, "{quota}");
    }
}

/// Each operation of a bulk request stands for itself: those beyond the plan are refused, the others done.
#[tokio::test]
async fn a_bulk_request_goes_as_far_as_the_seats_do() {
    let house = house();
    let tenant = house.tenant().await;
    let gone = made(house, &tenant, "gone").await;
    on_a_plan(house, &tenant, json!({"seats": 2})).await;
    let post = |name: &str| json!({"method": "POST", "path": "/Users", "bulkId": name, "data": {"userName": format!("{name}@{}", tenant.domain)}});
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [post("a"), post("b"), {"method": "DELETE", "path": format!("/Users/{gone}")}, post("c"), post("d")],
    });
    let (status, said) = house.scim("POST", &tenant.scim_token, "/scim/v2/Bulk", Some(body)).await;
    assert_eq!(status, 200, "{said}");
    let statuses: Vec<&str> =
        said["Operations"].as_array().unwrap().iter().map(|one| text(one, "status")).collect();
    assert_eq!(statuses, ["201", "403", "204", "201", "403"], "{said}");
    assert!(refused(&said["Operations"][1]["response"]), "{said}");
}

async fn signs_in(house: &House, tenant: &Tenant) -> Page {
    to_the_acs(house, tenant).await.post().await
}

/// A first sign-in needs a seat too, and says so on the page and in the record.
#[tokio::test]
async fn a_sign_in_finds_no_seat_and_then_one() {
    let house = house();
    let tenant = house.tenant().await;
    let ada = made(house, &tenant, "grace").await;
    let plan = on_a_plan(house, &tenant, json!({"seats": 1})).await;
    for _ in 0..2 {
        let page = signs_in(house, &tenant).await;
        assert_eq!(
            (page.status, page.header("x-vestibule-code")),
            (403, Some("quota.seats")),
            "{}",
            page.body
        );
        assert!(page.body.contains("no seat left") && page.body.contains("Reference"), "{}", page.body);
        assert!(!page.body.contains(&plan), "what the org has is not the person's to know");
    }
    let told = events(house, &tenant, "login.refused").await;
    assert_eq!((told.len(), &told[0]["values"]["code"]), (2, &json!("quota.seats")), "{told:?}");
    let told = events(house, &tenant, "quota.refused").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["target"], &told[0]["values"]["plan"]),
        (&json!({"type": "quota", "id": "seats"}), &json!(plan))
    );
    assert_eq!((&told[0]["values"]["most"], &told[0]["values"]["in_use"]), (&json!(1), &json!(1)));
    assert_eq!(set_active(house, &tenant, &ada, false).await.0, 200);
    assert_eq!(signs_in(house, &tenant).await.status, 303);
    assert_eq!(signs_in(house, &tenant).await.status, 303, "who has a seat needs no other");
    assert_eq!(standing(house, &tenant).await["in_use"]["seats"], 1);
}

/// Who is away has no seat, and needs one to come back; who is there, or stays away, changes as ever.
#[tokio::test]
async fn who_comes_back_needs_a_seat_and_who_is_away_has_none() {
    let house = house();
    let tenant = house.tenant().await;
    let ada = made(house, &tenant, "ada").await;
    on_a_plan(house, &tenant, json!({"seats": 1})).await;
    assert_eq!(set_active(house, &tenant, &ada, false).await.0, 200);
    let grace = made(house, &tenant, "grace").await;
    let path = format!("/scim/v2/Users/{ada}");
    let name = format!("ada@{}", tenant.domain);
    let (status, said) = set_active(house, &tenant, &ada, true).await;
    assert!(status == 403 && refused(&said), "{said}");
    let put = Some(json!({"userName": name, "active": true}));
    let (status, said) = house.scim("PUT", &tenant.scim_token, &path, put).await;
    assert!(status == 403 && refused(&said), "{said}");
    let put = Some(json!({"userName": name, "active": false, "title": "away"}));
    assert_eq!(house.scim("PUT", &tenant.scim_token, &path, put).await.0, 200, "away, and stays away");
    assert_eq!(set_active(house, &tenant, &grace, true).await.0, 200, "there already");
    let rename =
        json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title", "value": "T"}]});
    let there = format!("/scim/v2/Users/{grace}");
    assert_eq!(house.scim("PATCH", &tenant.scim_token, &there, Some(rename)).await.0, 200);
    let absent = json!({"userName": format!("absent@{}", tenant.domain), "active": false});
    assert_eq!(house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(absent)).await.0, 201);
    let (_, said) = house.scim("GET", &tenant.scim_token, &path, None).await;
    assert_eq!(said["active"], false, "{said}");
    assert_eq!(house.scim("DELETE", &tenant.scim_token, &there, None).await.0, 204);
    assert_eq!(set_active(house, &tenant, &ada, true).await.0, 200, "a seat of somebody who is gone is free");
    assert_eq!(standing(house, &tenant).await["in_use"]["seats"], 1);
}

/// A directory that takes over somebody who is away, and says that they are active, takes a seat.
#[tokio::test]
async fn taking_over_who_was_away_takes_a_seat() {
    let house = house();
    let tenant = house.tenant().await;
    let adopts = Some(json!({"scim_adopts": true}));
    assert_eq!(operate(house, "PATCH", &format!("/orgs/{}", tenant.slug), adopts).await.0, 200);
    let ada = made(house, &tenant, "ada").await;
    assert_eq!(set_active(house, &tenant, &ada, false).await.0, 200);
    let second = second(house, &tenant).await;
    let directory = format!("/orgs/{}/directories/{}", tenant.slug, tenant.directory);
    assert_eq!(house.api("DELETE", &tenant.org_key, &directory, None).await.0, 204);
    let grace = second.user("grace").await;
    on_a_plan(house, &tenant, json!({"seats": 1})).await;
    let name = format!("ada@{}", tenant.domain);
    let (status, said) = second.ask("POST", "/Users", Some(json!({"userName": name, "active": true}))).await;
    assert!(status == 403 && refused(&said), "{said}");
    assert_eq!(second.ask("DELETE", &format!("/Users/{grace}"), None).await.0, 204);
    let (status, said) = second.ask("POST", "/Users", Some(json!({"userName": name, "active": true}))).await;
    assert_eq!((status, &said["id"]), (201, &json!(ada)), "{said}");
    assert_eq!(standing(house, &tenant).await["in_use"]["seats"], 1);
}

/// A plan below what is in use throws nobody out: it says so, and what would come is refused until there is
/// room. A dry run says it beforehand, and leaves no trace.
#[tokio::test]
async fn a_lowered_plan_throws_nobody_out() {
    let house = house();
    let tenant = house.tenant().await;
    for name in ["ada", "grace", "alan"] {
        made(house, &tenant, name).await;
    }
    let plan = on_a_plan(house, &tenant, json!({"seats": 9, "connections": 0})).await;
    let small = format!("small-{}", tenant.slug);
    define(house, &small, json!({"seats": 2, "directories": 1})).await;
    let said = give(house, &tenant, &small).await;
    assert_eq!((&said["over"], &said["in_use"]["seats"]), (&json!(["seats"]), &json!(3)), "{said}");
    assert_eq!(said["quotas"]["connections"], Value::Null, "{said}");
    let told = &events(house, &tenant, "org.plan_set").await[0]["values"];
    assert_eq!((&told["before"]["plan"], &told["over"]), (&json!(plan), &json!(["seats"])));
    let (_, list) =
        house.api("GET", &tenant.org_key, &format!("/orgs/{}/users?active=true", tenant.slug), None).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 3, "{list}");
    assert_eq!(signs_in(house, &tenant).await.status, 303, "who has a seat keeps it");
    let (status, said) = dry(house, &tenant, "new").await;
    assert!(status == 403 && refused(&said), "{said}");
    assert!(events(house, &tenant, "quota.refused").await.is_empty(), "a rehearsal is no refusal");
    assert!(refused(&person(house, &tenant, "new").await.1));
    // Another number for the same plan holds at once.
    define(house, &small, json!({"seats": 4})).await;
    let (status, said) = dry(house, &tenant, "new").await;
    let acts: Vec<&str> = said["changes"].as_array().unwrap().iter().map(|one| text(one, "action")).collect();
    assert_eq!((status, acts), (200, vec!["user.created", "quota.reached"]), "{said}");
    assert_eq!(person(house, &tenant, "new").await.0, 201);
    assert_eq!(events(house, &tenant, "quota.reached").await.len(), 1);
    give(house, &tenant, "standard").await;
    for n in 0..5 {
        made(house, &tenant, &format!("more{n}")).await;
    }
}

/// A webhook hears of 80 percent, of the last, and of who was turned away: each once, however often.
#[tokio::test]
async fn webhooks_are_told_once_that_an_org_is_nearly_full_full_and_too_full() {
    let house = house();
    let tenant = house.tenant().await;
    let receiver = Served::start(|_| Reply::status(204)).await;
    let hook = Some(json!({"url": receiver.url, "events": ["quota.*"]}));
    let path = format!("/orgs/{}/webhooks", tenant.slug);
    assert_eq!(house.api("POST", &tenant.org_key, &path, hook).await.0, 201);
    let plan = on_a_plan(house, &tenant, json!({"seats": 5, "teams": 0})).await;
    for n in 0..5 {
        made(house, &tenant, &format!("p{n}")).await;
    }
    for n in 5..12 {
        assert!(refused(&person(house, &tenant, &format!("p{n}")).await.1));
    }
    for n in 0..3 {
        assert_eq!(one_more(house, &tenant, Quota::Teams, n).await.0, 409);
    }
    receiver.wait_for(4).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let told: Vec<Value> =
        receiver.seen().iter().map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect();
    let mut count = BTreeMap::<(&str, &str), usize>::new();
    for one in &told {
        *count.entry((text(one, "type"), text(&one["data"]["target"], "id"))).or_default() += 1;
    }
    let once = [
        ("quota.near", "seats"),
        ("quota.reached", "seats"),
        ("quota.refused", "seats"),
        ("quota.refused", "teams"),
    ];
    assert_eq!(count, once.into_iter().map(|one| (one, 1)).collect(), "{told:?}");
    let near = told.iter().find(|one| one["type"] == "quota.near").unwrap();
    assert_eq!(
        near["data"]["values"],
        json!({"plan": plan, "most": 5, "in_use": 4, "ip": near["data"]["values"]["ip"]})
    );
}

/// The catalogue is the operator's; an org reads its own plan; a plan in use stays, and no plan is made up.
#[tokio::test]
async fn the_catalogue_is_the_operators_and_a_plan_in_use_stays() {
    let house = house();
    let tenant = house.tenant().await;
    let plan = on_a_plan(house, &tenant, json!({"seats": 7})).await;
    let path = format!("/plans/{plan}");
    let (status, said) = operate(house, "GET", &path, None).await;
    assert_eq!((status, &said["name"], &said["quotas"]["seats"]), (200, &json!(plan), &json!(7)), "{said}");
    let (_, list) = operate(house, "GET", "/plans", None).await;
    assert!(list["data"].as_array().unwrap().contains(&said), "{list}");
    let own = standing(house, &tenant).await;
    assert_eq!((&own["plan"], &own["is_known"]), (&json!(plan), &json!(true)), "{own}");
    let (status, said) = operate(house, "DELETE", &path, None).await;
    assert_eq!((status, text(&said, "code")), (409, "plan.in_use"), "{said}");
    let org = format!("/orgs/{}/plan", tenant.slug);
    for wrong in ["nothing-of-the-kind", "No Slug", ""] {
        let (status, said) = operate(house, "PUT", &org, Some(json!({"plan": wrong}))).await;
        assert_eq!((status, text(&said, "code")), (400, "plan.unknown"), "{said}");
    }
    for (method, path, body) in [
        ("GET", "/plans", None),
        ("GET", path.as_str(), None),
        ("PUT", path.as_str(), Some(json!({"quotas": {}}))),
        ("DELETE", path.as_str(), None),
        ("PUT", org.as_str(), Some(json!({"plan": "standard"}))),
    ] {
        assert_eq!(house.api(method, &tenant.org_key, path, body).await.0, 401, "{method} {path}");
    }
    for (quotas, code, field) in [
        (json!({"seats": -1}), "plan.quota", "quotas.seats"),
        (json!({"keys": 201}), "plan.quota", "quotas.keys"),
        (json!({"chairs": 1}), "api.field_unknown", "chairs"),
    ] {
        let (status, said) = operate(house, "PUT", &path, Some(json!({"quotas": quotas}))).await;
        assert_eq!((status, text(&said, "code"), text(&said, "field")), (400, code, field), "{said}");
    }
    let (status, said) = operate(house, "PUT", "/plans/No%20Slug", Some(json!({"quotas": {}}))).await;
    assert_eq!((status, text(&said, "code")), (400, "api.slug_malformed"), "{said}");
    let usual = give(house, &tenant, "standard").await;
    assert_eq!((&usual["is_known"], &usual["quotas"]["seats"]), (&json!(false), &Value::Null), "{usual}");
    assert_eq!(operate(house, "DELETE", &path, None).await.0, 204);
    assert_eq!(operate(house, "GET", &path, None).await.0, 404);
    assert_eq!(operate(house, "DELETE", &path, None).await.0, 404);
    // An org may be founded on a plan that is yet to be made: it has no quotas until then.
    let slug = format!("early-{}", tenant.slug);
    let new = json!({"slug": slug, "name": "Early", "plan": format!("later-{slug}")});
    assert_eq!(operate(house, "POST", "/orgs", Some(new)).await.0, 201);
    define(house, &format!("later-{slug}"), json!({"teams": 0})).await;
    let team = json!({"slug": "t", "name": "T"});
    let (status, said) = operate(house, "POST", &format!("/orgs/{slug}/teams"), Some(team)).await;
    assert_eq!((status, text(&said, "code")), (409, "quota.teams"), "{said}");
}
