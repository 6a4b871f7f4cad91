//! One filter, two readers: what the store finds in SQL is what the judge's matcher finds in the
//! resources as a client reads them. Filters and people are drawn by lot; a seed makes them again.

use crate::{
    house::{House, Tenant, house, walk::text},
    scim_made::{Lot, Seen, user, word},
};
use scim::{Condition, Filter, Kind};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SEED: u64 = 0x5c1a_0002;
const PEOPLE: usize = 60;
const GROUPS: usize = 12;
const FILTERS: usize = 800;

pub async fn people(house: &House, tenant: &Tenant, lot: &mut Lot, count: usize) -> Vec<String> {
    let mut made = Vec::new();
    for n in 0..count {
        let body = user(lot, n);
        let (status, said) =
            house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body.clone())).await;
        assert_eq!(status, 201, "{body}: {said}");
        made.push(text(&said, "id").to_owned());
    }
    made
}

pub async fn groups(house: &House, tenant: &Tenant, lot: &mut Lot, people: &[String], count: usize) {
    for n in 0..count {
        let members: Vec<Value> =
            people.iter().filter(|_| lot.often(10)).map(|id| json!({"value": id})).collect();
        let mut body = json!({"displayName": format!("{} {n}", word(lot)), "members": members});
        if lot.often(60) {
            body["externalId"] = json!(word(lot));
        }
        let (status, said) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(body)).await;
        assert_eq!(status, 201, "{said}");
    }
}

/// Every resource of an endpoint, as a client reads it.
pub async fn all(house: &House, tenant: &Tenant, endpoint: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/scim/v2{endpoint}?count=50&cursor={cursor}");
        let (status, page) = house.scim("GET", &tenant.scim_token, &path, None).await;
        assert_eq!(status, 200, "{page}");
        found.extend(page["Resources"].as_array().unwrap().iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return found,
        }
    }
}

pub fn ids(resources: &[Value]) -> BTreeSet<String> {
    resources.iter().map(|one| text(one, "id").to_owned()).collect()
}

pub async fn stage(house: &'static House, lot: &mut Lot) -> Tenant {
    let tenant = house.tenant().await;
    // One seat that a sign-in made: no directory wrote its document.
    crate::house::walk::tokens(house, &tenant).await;
    let made = people(house, &tenant, lot, PEOPLE).await;
    groups(house, &tenant, lot, &made, GROUPS).await;
    tenant
}

#[tokio::test]
async fn what_sql_finds_is_what_the_matcher_finds() {
    let house = house();
    let seed = std::env::var("SCIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let count = std::env::var("SCIM_FILTERS").ok().and_then(|count| count.parse().ok()).unwrap_or(FILTERS);
    let mut lot = Lot(seed);
    let tenant = stage(house, &mut lot).await;
    let (users, groups) = (all(house, &tenant, "/Users").await, all(house, &tenant, "/Groups").await);
    assert_eq!((users.len(), groups.len()), (PEOPLE + 1, GROUPS));
    let seen = Seen::of(&[users.clone(), groups.clone()].concat());
    let (mut some, mut refused, mut wrong) = (0, 0, Vec::new());
    for _ in 0..count {
        let text = seen.filter(&mut lot, 0);
        let Ok(filter) = Filter::parse(&text) else { continue };
        let body = json!({"filter": text, "count": 200, "attributes": ["id"]});
        for (endpoint, kind, resources) in [("Users", Kind::User, &users), ("Groups", Kind::Group, &groups)] {
            let path = format!("/scim/v2/{endpoint}/.search");
            let (status, said) = house.scim("POST", &tenant.scim_token, &path, Some(body.clone())).await;
            let condition = match Condition::of(&filter, kind) {
                Ok(condition) => condition,
                Err(error) => {
                    assert_eq!(
                        (status, &said["scimType"]),
                        (400, &json!("invalidFilter")),
                        "{text}: {error}"
                    );
                    refused += 1;
                    continue;
                }
            };
            assert_eq!(status, 200, "seed {seed}: {endpoint} {text}: {said}");
            let matching: Vec<Value> =
                resources.iter().filter(|one| condition.matches(one)).cloned().collect();
            let (wanted, found) = (ids(&matching), ids(said["Resources"].as_array().unwrap()));
            some += usize::from(!wanted.is_empty() && wanted.len() < resources.len());
            if wanted != found || said["totalResults"] != json!(wanted.len()) {
                let odd = wanted.symmetric_difference(&found).next().cloned();
                let shown = resources.iter().find(|one| Some(text_of(one)) == odd.as_deref());
                wrong.push(format!("{endpoint} {text}\n  {}\n  {shown:?}", said["totalResults"]));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} differ, among them:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
    assert!(some > count / 4, "only {some} of {count} told some from others; {refused} were refused");
}

fn text_of(resource: &Value) -> &str {
    text(resource, "id")
}

/// Whatever is wrong with a list's query, the answer begins with what was asked for, and says it in words.
#[tokio::test]
async fn a_filter_that_is_refused_is_told_of_its_resource() {
    let house = house();
    let tenant = house.tenant().await;
    for (path, filter, wanted) in [
        ("Users", "userName+eq", "User: a value expected at the end [scim.filter_syntax]"),
        ("Groups", "((((", "Group: an attribute expected at the end [scim.filter_syntax]"),
        ("Users", "active+gt+true", "User: gt cannot compare with true [scim.filter_wrong]"),
        (
            "Users",
            "active+gt+%22true%22",
            "User: active is true or false: eq, ne and pr alone apply to it [scim.filter_wrong]",
        ),
    ] {
        let path = format!("/scim/v2/{path}");
        let by_get = house.scim("GET", &tenant.scim_token, &format!("{path}?filter={filter}"), None).await;
        let plain = filter.replace('+', " ").replace("%22", "\"");
        let (search, body) = (format!("{path}/.search"), json!({"filter": plain}));
        let by_search = house.scim("POST", &tenant.scim_token, &search, Some(body)).await;
        for (status, said) in [by_get, by_search] {
            assert_eq!((status, text(&said, "detail")), (400, wanted), "{filter}");
        }
    }
}
