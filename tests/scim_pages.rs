//! Walks through lists, by index and by cursor, while people come, go and change: whoever stays is seen,
//! and seen once. The order of a list, what a cursor is good for, and how deep a page may be asked for.

use crate::{
    house::{House, Tenant, house, now, walk::text},
    provision_dialogues::{first, second},
    scim_filters::{all, stage},
    scim_made::Lot,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vestibule::seams::SystemChance;

async fn get(house: &House, tenant: &Tenant, path: &str) -> (u16, Value) {
    house.scim("GET", &tenant.scim_token, &format!("/scim/v2{path}"), None).await
}

async fn make(house: &House, tenant: &Tenant, name: &str) -> String {
    let body = json!({"userName": name, "displayName": format!("Z{name}")});
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

async fn disturb(house: &House, tenant: &Tenant, lot: &mut Lot, leavers: &mut Vec<String>, n: usize) {
    for _ in 0..lot.below(3) {
        if !leavers.is_empty() {
            let id = leavers.swap_remove(lot.below(leavers.len()));
            let path = format!("/scim/v2/Users/{id}");
            assert_eq!(house.scim("DELETE", &tenant.scim_token, &path, None).await.0, 204);
        }
    }
    if lot.often(50) {
        make(house, tenant, &format!("new{n}")).await;
    }
    if lot.often(30) && !leavers.is_empty() {
        let path = format!("/scim/v2/Users/{}", leavers[lot.below(leavers.len())]);
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": {"title": n.to_string()}}]});
        assert_eq!(house.scim("PATCH", &tenant.scim_token, &path, Some(body)).await.0, 200);
    }
}

/// How a client goes from one page to the next; `None` when it is through.
fn next(by_cursor: bool, page: &Value, start: usize) -> Option<String> {
    if by_cursor {
        return page["nextCursor"].as_str().map(|cursor| format!("cursor={cursor}"));
    }
    let shown = page["Resources"].as_array().unwrap().len();
    let total = usize::try_from(page["totalResults"].as_u64().unwrap()).unwrap();
    (start + shown <= total && shown > 0).then(|| format!("startIndex={}", start + shown))
}

#[tokio::test]
async fn a_walk_loses_nobody_who_stayed_whatever_else_happens() {
    let house = house();
    let tenant = house.tenant().await;
    let directory = format!("/orgs/{}/directories/{}", tenant.slug, tenant.directory);
    let unguarded = Some(json!({"blast_guard": "off"}));
    assert_eq!(house.api("PATCH", &tenant.org_key, &directory, unguarded).await.0, 200);
    let mut lot = Lot(0x0a1c_0003);
    for round in 0..6 {
        let mut people = Vec::new();
        for n in 0..24 {
            people.push(make(house, &tenant, &format!("r{round}n{n}")).await);
        }
        let (stay, mut leavers): (Vec<String>, Vec<String>) = people.into_iter().partition(|_| lot.often(50));
        let by_cursor = round % 2 == 0;
        let order = ["", "&sortBy=userName", "&sortBy=displayName&sortOrder=descending"][round % 3];
        let filter = ["", "&filter=userName%20pr"][round / 3];
        let count = 3 + lot.below(8);
        let mut at = if by_cursor { "cursor=".to_owned() } else { "startIndex=1".to_owned() };
        let (mut seen, mut start, mut pages) = (BTreeMap::<String, usize>::new(), 1, 0);
        loop {
            let path = format!("/Users?{at}&count={count}{order}{filter}&attributes=userName");
            let (status, page) = get(house, &tenant, &path).await;
            assert_eq!(status, 200, "{page}");
            for one in page["Resources"].as_array().unwrap() {
                *seen.entry(text(one, "id").to_owned()).or_default() += 1;
            }
            let Some(next) = next(by_cursor, &page, start) else { break };
            start += page["Resources"].as_array().unwrap().len();
            at = next;
            pages += 1;
            assert!(pages < 500, "it does not end");
            disturb(house, &tenant, &mut lot, &mut leavers, round * 1_000 + pages).await;
        }
        let lost: BTreeSet<&String> = stay.iter().filter(|id| !seen.contains_key(*id)).collect();
        assert!(lost.is_empty(), "round {round} by cursor {by_cursor}{order}{filter}: {lost:?}");
        assert!(stay.iter().all(|id| seen[id] == 1), "round {round}: somebody was seen twice");
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_for_an_hour_and_nobody_else() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    for n in 0..5 {
        make(house, &tenant, &format!("c{n}")).await;
        make(house, &other, &format!("c{n}")).await;
    }
    let (_, first) = get(house, &tenant, "/Users?cursor=&count=2").await;
    let cursor = text(&first, "nextCursor");
    assert!(first.get("startIndex").is_none() && first["totalResults"] == 5);
    assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)), "{cursor}");
    let scim_type = async |tenant: &Tenant, path: String| {
        let (status, said) = get(house, tenant, &path).await;
        (status, said["scimType"].as_str().unwrap_or_default().to_owned())
    };
    let wrong = (400, "invalidCursor".to_owned());
    for path in [
        "/Users?cursor=abc&count=2".to_owned(),
        format!("/Users?cursor={}&count=2", &cursor[..cursor.len() - 2]),
        format!("/Users?cursor={cursor}&count=2&filter=userName%20pr"),
        format!("/Users?cursor={cursor}&count=2&sortBy=userName"),
        format!("/Groups?cursor={cursor}&count=2"),
        format!("/?cursor={cursor}&count=2"),
    ] {
        assert_eq!(scim_type(&tenant, path.clone()).await, wrong, "{path}");
    }
    assert_eq!(scim_type(&other, format!("/Users?cursor={cursor}&count=2")).await, wrong);
    for count in ["3", "x"] {
        let said = scim_type(&tenant, format!("/Users?cursor={cursor}&count={count}")).await;
        assert_eq!(said, (400, "invalidCount".to_owned()));
    }
    let (_, second) = get(house, &tenant, &format!("/Users?cursor={cursor}&count=2")).await;
    let (_, again) = get(house, &tenant, &format!("/Users?cursor={cursor}&count=2")).await;
    assert_eq!(second["Resources"], again["Resources"], "a page may be asked for again");
    let (_, last) =
        get(house, &tenant, &format!("/Users?cursor={}&count=2", text(&second, "nextCursor"))).await;
    assert!(last.get("nextCursor").is_none() && last["Resources"].as_array().unwrap().len() == 1);

    // The same cursor, an hour later.
    let aad = format!("{} {}", tenant.org, tenant.directory).into_bytes();
    let seals = house.gw.db.seals();
    let sealed = URL_SAFE_NO_PAD.decode(cursor).unwrap();
    let mut plain: Value =
        serde_json::from_slice(seals.open("scim.cursor", &aad, &sealed).unwrap().reveal()).unwrap();
    for (left, wanted) in [(2, 200), (0, 400)] {
        plain["until"] = json!(now().secs() + left);
        let sealed = seals.seal("scim.cursor", &aad, plain.to_string().as_bytes(), &SystemChance).unwrap();
        let path = format!("/Users?count=2&cursor={}", URL_SAFE_NO_PAD.encode(sealed));
        let (status, said) = get(house, &tenant, &path).await;
        assert_eq!(status, wanted, "{said}");
        assert!(status == 200 || said["scimType"] == "expiredCursor", "{said}");
    }
}

#[tokio::test]
async fn a_deep_page_follows_the_one_before_it_or_is_refused() {
    let house = house();
    let tenant = house.tenant().await;
    make(house, &tenant, "only").await;
    let (status, page) = get(house, &tenant, "/Users?startIndex=100001").await;
    assert_eq!((status, &page["totalResults"], &page["startIndex"]), (200, &json!(1), &json!(100_001)));
    let (status, refused) = get(house, &tenant, "/Users?startIndex=100002").await;
    assert_eq!((status, &refused["scimType"]), (400, &json!("tooMany")));
    let (status, page) = get(house, &tenant, "/Users?startIndex=100002&count=0").await;
    assert_eq!((status, &page["totalResults"]), (200, &json!(1)));
}

/// What a resource is ordered by, as the judge describes it.
fn key(resource: &Value, by: &str) -> Option<String> {
    let folded = |value: &Value| value.as_str().map(|text| text.trim().to_lowercase());
    let preferred = |list: &Value| {
        let list = list.as_array()?;
        let primary = list.iter().find(|one| one["primary"] == true);
        primary.or_else(|| list.first()).cloned()
    };
    let found = match by {
        "externalId" => resource["externalId"].as_str().map(str::to_owned),
        "emails" => preferred(&resource["emails"]).and_then(|one| folded(&one["value"])),
        "active" => resource["active"].as_bool().map(|active| active.to_string()),
        "name.familyName" => folded(&resource["name"]["familyName"]),
        // The zeros at a fraction's end are left out.
        "meta.lastModified" => resource["meta"]["lastModified"].as_str().map(|at| {
            let at = at.trim_end_matches('Z');
            let (whole, fraction) = at.split_once('.').unwrap_or((at, ""));
            format!("{whole}.{fraction:0<9}")
        }),
        name => folded(&resource[name]),
    };
    found.map(|text| text.chars().take(256).collect::<String>()).filter(|text| !text.is_empty())
}

#[tokio::test]
async fn a_sorted_list_is_in_order_and_what_has_no_value_is_last_and_in_descending_order_first() {
    let house = house();
    let mut lot = Lot(7);
    let tenant = stage(house, &mut lot).await;
    for (endpoint, keys) in [
        (
            "/Users",
            &["userName", "displayName", "externalId", "emails", "active", "name.familyName", "title"][..],
        ),
        ("/Groups", &["displayName", "externalId"]),
        ("/", &["displayName", "externalId", "meta.lastModified", "userName"]),
    ] {
        let everybody = all(house, &tenant, endpoint).await;
        for by in keys {
            for order in ["ascending", "descending"] {
                let (mut found, mut cursor) = (Vec::new(), String::new());
                loop {
                    let path = format!("{endpoint}?sortBy={by}&sortOrder={order}&count=7&cursor={cursor}");
                    let (status, page) = get(house, &tenant, &path).await;
                    assert_eq!(status, 200, "{page}");
                    found.extend(page["Resources"].as_array().unwrap().iter().cloned());
                    match page["nextCursor"].as_str() {
                        Some(next) => next.clone_into(&mut cursor),
                        None => break,
                    }
                }
                assert_eq!(found.len(), everybody.len(), "{endpoint} by {by}");
                let keys: Vec<Option<String>> = found.iter().map(|one| key(one, by)).collect();
                let fine = keys.windows(2).all(|pair| match (order, &pair[0], &pair[1]) {
                    ("ascending", Some(one), Some(other)) => one <= other,
                    ("ascending", one, other) => one.is_some() || other.is_none(),
                    (_, Some(one), Some(other)) => one >= other,
                    (_, one, other) => one.is_none() || other.is_some(),
                });
                assert!(fine, "{endpoint} by {by} {order}: {keys:?}");
            }
        }
    }
    for (query, wanted) in
        [("sortBy=name", 400), ("sortBy=userName&sortOrder=up", 400), ("sortBy=colour", 200)]
    {
        assert_eq!(get(house, &tenant, &format!("/Users?{query}")).await.0, wanted, "{query}");
    }
}

#[tokio::test]
async fn another_directorys_groups_are_neither_listed_nor_asked_about() {
    let house = house();
    let tenant = house.tenant().await;
    let (okta, entra) = (first(house, &tenant), second(house, &tenant).await);
    let id = okta.user("shared@x").await;
    for (directory, name) in [(&okta, "Ours"), (&entra, "Theirs")] {
        let group = json!({"displayName": name, "members": [{"value": id}]});
        assert_eq!(directory.ask("POST", "/Groups", Some(group)).await.0, 201);
    }
    for filter in ["groups.display eq \"ours\"", "groups pr", "not (groups.display co \"their\")"] {
        assert_eq!(okta.found("Users", filter).await, [id.as_str()], "{filter}");
    }
    assert!(okta.found("Users", "groups.display sw \"t\"").await.is_empty());
    assert!(okta.found("Groups", "displayName eq \"theirs\"").await.is_empty());
    assert!(okta.found("Groups", &format!("displayName sw \"t\" and members eq \"{id}\"")).await.is_empty());
    let (_, all) = okta.ask("GET", "/", None).await;
    assert_eq!(all["totalResults"], 2, "a person and the one group: {all}");
}

#[tokio::test]
async fn a_search_at_the_root_finds_people_and_groups_alike() {
    let house = house();
    let tenant = house.tenant().await;
    let id = make(house, &tenant, "staff@x").await;
    let group = json!({"displayName": "Zstaff@x", "members": [{"value": id}]});
    let (_, group) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(group)).await;
    for path in ["/scim/v2/.search", &format!("/orgs/{}/scim/v2/.search", tenant.slug)] {
        let ask = async |body: Value| house.scim("POST", &tenant.scim_token, path, Some(body)).await.1;
        let found = ask(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "filter": "displayName eq \"zstaff@x\"", "attributes": ["displayName"], "sortBy": "meta.created",
        }))
        .await;
        assert_eq!(found["totalResults"], 2, "{found}");
        let members = ask(json!({"filter": "meta.resourceType eq \"Group\""})).await;
        assert_eq!(members["Resources"][0]["id"], group["id"]);
        assert_eq!(members["Resources"][0]["members"][0]["value"], json!(id));
        let paged = ask(json!({"count": 1, "startIndex": 2})).await;
        assert_eq!((&paged["totalResults"], &paged["Resources"][0]["id"]), (&json!(2), &group["id"]));
        let nobody =
            ask(json!({"filter": "urn:ietf:params:scim:schemas:core:2.0:Group:displayName sw \"z\""})).await;
        assert_eq!(nobody["totalResults"], 1, "of a group's schema alone");
    }
}

/// One person by name is found in a trip of its own: as any other filter finds them, whatever else is asked.
#[tokio::test]
async fn who_is_asked_for_by_name_is_found_as_by_any_other_filter() {
    let house = house();
    let tenant = house.tenant().await;
    let ada = make(house, &tenant, "Ada@by-name.example").await;
    make(house, &tenant, "bob@by-name.example").await;
    let group = json!({"displayName": "Engineers", "members": [{"value": ada}]});
    assert_eq!(house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(group)).await.0, 201);
    let asked = [
        "",
        "&startIndex=1&count=100",
        "&startIndex=2",
        "&count=0",
        "&cursor",
        "&cursor=&count=1",
        "&attributes=userName",
        "&attributes=groups",
        "&excludedAttributes=groups,meta",
        "&sortBy=displayName&sortOrder=descending",
        "&sortBy=nothing.of.ours",
        "&cursor=forged",
    ];
    for name in ["ADA@by-name.example", "ada@by-name.example", "nobody@by-name.example", "", "%00"] {
        for (n, rest) in asked.into_iter().enumerate() {
            let by_name = format!("/Users?filter=userName%20eq%20%22{name}%22{rest}");
            let narrowed = format!("/Users?filter=userName%20eq%20%22{name}%22%20and%20id%20pr{rest}");
            let (one, other) = (get(house, &tenant, &by_name).await, get(house, &tenant, &narrowed).await);
            assert_eq!(one, other, "{name:?} {rest}");
            if n == 0 && one.0 == 200 {
                let found = usize::from(name.to_lowercase() == "ada@by-name.example");
                let groups = one.1["Resources"][0]["groups"].as_array().map_or(0, Vec::len);
                assert_eq!(
                    (one.1["totalResults"].as_u64(), groups),
                    (u64::try_from(found).ok(), found),
                    "{one:?}"
                );
            }
        }
    }
    let stranger = house.tenant().await;
    let (_, theirs) = get(house, &stranger, "/Users?filter=userName%20eq%20%22ada@by-name.example%22").await;
    assert_eq!(theirs["totalResults"], 0);
}
