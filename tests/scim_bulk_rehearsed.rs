//! A bulk request as a dry run: each operation is answered as the real one will be, those before it being done, and
//! nothing is kept.

use crate::{
    house::{House, Tenant, house, walk::text},
    plans::on_a_plan,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::collections::BTreeMap;

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
pub const DRY: Option<&str> = Some("vestibule-dry-run");

/// The answer's status and body, and what it says of the preference.
pub async fn sent(
    house: &House,
    tenant: &Tenant,
    prefer: Option<&str>,
    operations: &Value,
) -> (u16, Value, Option<String>) {
    let body = json!({"Operations": operations}).to_string();
    let request = house.http.post(house.url("/scim/v2/Bulk")).bearer_auth(&tenant.scim_token);
    let request = request.header("content-type", "application/scim+json").body(body);
    let request = prefer.into_iter().fold(request, |request, prefer| request.header("prefer", prefer));
    let answer = request.send().await.unwrap();
    let applied = answer.headers().get("preference-applied").map(|v| v.to_str().unwrap().to_owned());
    (answer.status().as_u16(), answer.json().await.unwrap(), applied)
}

pub async fn bulk(house: &House, tenant: &Tenant, prefer: Option<&str>, operations: &Value) -> Vec<Value> {
    let (status, said, applied) = sent(house, tenant, prefer, operations).await;
    assert_eq!((status, applied.as_deref()), (200, prefer), "{said}");
    said["Operations"].as_array().unwrap().clone()
}

/// A dry run to its end: where everything else is tested at once, one may take too long.
pub async fn tried(house: &House, tenant: &Tenant, operations: &Value) -> Vec<Value> {
    for _ in 0..20 {
        let done = bulk(house, tenant, DRY, operations).await;
        let said = json!(done).to_string();
        if !["scim.dry_run_too_large", "scim.unavailable"].iter().any(|late| said.contains(late)) {
            return done;
        }
    }
    panic!("20 dry runs took too long");
}

pub fn statuses(done: &[Value]) -> Vec<&str> {
    done.iter().map(|one| text(one, "status")).collect()
}

pub fn person(tenant: &Tenant, name: &str) -> Value {
    let data = json!({"userName": format!("{name}@{}", tenant.domain)});
    json!({"method": "POST", "path": "/Users", "bulkId": name, "data": data})
}

pub fn change(id: &str, value: &Value) -> Value {
    let data = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": value}]});
    json!({"method": "PATCH", "path": format!("/Users/{id}"), "data": data})
}

pub fn deactivated(id: &str) -> Value {
    change(id, &json!({"active": false}))
}

pub fn gone(id: &str) -> Value {
    json!({"method": "DELETE", "path": format!("/Users/{id}")})
}

pub async fn people(house: &House, tenant: &Tenant, count: usize) -> Vec<String> {
    let all: Vec<Value> = (0..count).map(|n| person(tenant, &format!("p{n}"))).collect();
    let done = bulk(house, tenant, None, &json!(all)).await;
    done.iter().map(|one| text(one, "location").rsplit('/').next().unwrap().to_owned()).collect()
}

/// In a transaction of the org's, as its tables' owner.
pub async fn within(house: &House, tenant: &Tenant) -> PgConnection {
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let begin = format!(
        "BEGIN; SET LOCAL ROLE vst_owner; SET LOCAL search_path = vst; SET LOCAL app.reach = 'org';
         SET LOCAL app.org_id = '{}'",
        tenant.org.uuid()
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut sql).await.unwrap();
    sql
}

/// Whatever an operation could have left in this org, by table: how many rows, and of some what stands in them. Not
/// what jobs write by themselves.
pub async fn kept(house: &House, tenant: &Tenant) -> BTreeMap<String, String> {
    let mut sql = within(house, tenant).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text
           FROM pg_class c
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
          WHERE c.relnamespace = 'vst'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND c.relname NOT LIKE 'scim_request%' AND c.relname <> 'pending'",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    let told =
        ["users", "user_emails", "groups", "group_members", "seat_counts", "revocation_heads", "directories"];
    assert!(told.iter().all(|name| tables.iter().any(|table| table == name)), "{tables:?}");
    let mut kept = BTreeMap::new();
    for table in tables {
        let rows = if told.contains(&table.as_str()) {
            "count(*) || ' rows, ' || COALESCE(md5(string_agg(t::text, ' ' ORDER BY t::text)), 'none')"
        } else {
            "count(*) || ' rows'"
        };
        let rows = format!("SELECT {rows} FROM vst.{table} t WHERE org_id = $1");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows))
            .bind(tenant.org.uuid())
            .fetch_one(&mut sql)
            .await
            .unwrap();
        kept.insert(table, rows);
    }
    assert!(!kept["directories"].starts_with("0 rows"), "they are seen");
    kept
}

/// Tries it, then does it: the same answers, and of the first nothing but these.
async fn foretold(house: &House, tenant: &Tenant, operations: Value) -> Vec<String> {
    let before = kept(house, tenant).await;
    let tried = tried(house, tenant, &operations).await;
    let after = kept(house, tenant).await;
    for (table, rows) in &before {
        assert_eq!(&after[table], rows, "{table}, after {tried:?}");
    }
    let done = bulk(house, tenant, None, &operations).await;
    let order = |done: &[Value]| -> Vec<Value> {
        done.iter().map(|one| json!([one["method"], one["bulkId"]])).collect()
    };
    assert_eq!(order(&tried), order(&done));
    for (tried, done) in tried.iter().zip(&done) {
        let is_done = text(done, "status").starts_with('2');
        let wanted = if is_done { "200" } else { text(done, "status") };
        assert_eq!(text(tried, "status"), wanted, "{tried} {done}");
        assert_eq!(tried["response"]["changes"].is_array(), is_done, "{tried}");
        assert_eq!(tried["response"]["scimType"], done["response"]["scimType"], "{tried} {done}");
    }
    statuses(&done).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn whom_the_guard_will_hold_is_foretold() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 30).await;
    let off: Vec<Value> = people.iter().take(25).map(|id| deactivated(id)).collect();
    let done = foretold(house, &tenant, json!(off)).await;
    assert_eq!(done, [vec!["200"; 10], vec!["429"; 15]].concat());
}

/// What a group gives is taken from so many by one request, and from the last who administers by none.
#[tokio::test]
async fn whom_the_guard_will_keep_in_a_group_is_foretold() {
    let house = house();
    for (role, count, wanted) in
        [("viewer", 12, [vec!["200"; 10], vec!["429"; 2]].concat()), ("owner", 2, vec!["200", "429"])]
    {
        let tenant = house.tenant().await;
        let people = people(house, &tenant, count).await;
        let members: Vec<Value> = people.iter().map(|id| json!({"value": id})).collect();
        let group = json!({"displayName": "Staff", "members": members});
        let (_, group) = house.scim("POST", &tenant.scim_token, "/scim/v2/Groups", Some(group)).await;
        let mappings = json!([{"group_id": group["id"], "roles": [role]}]);
        let place = format!("/orgs/{}/group-mappings", tenant.slug);
        assert_eq!(house.api("PUT", &tenant.org_key, &place, Some(mappings)).await.0, 200);
        let leave = |id: &String| {
            let value = json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}]);
            let path = format!("/Groups/{}", text(&group, "id"));
            json!({"method": "PATCH", "path": path, "data": {"schemas": [PATCH], "Operations": value}})
        };
        let all: Vec<Value> = people.iter().map(leave).collect();
        assert_eq!(foretold(house, &tenant, json!(all)).await, wanted, "{role}");
    }
}

#[tokio::test]
async fn what_an_operation_makes_is_there_for_those_after_it_and_what_it_takes_is_not() {
    let house = house();
    let tenant = house.tenant().await;
    let group = json!({"displayName": "Staff", "members": [{"value": "bulkId:a"}]});
    let group = json!({"method": "POST", "path": "/Groups", "bulkId": "g", "data": group});
    let done = foretold(house, &tenant, json!([group, person(&tenant, "a")])).await;
    assert_eq!(done, ["201", "201"]);
    let again =
        json!({"method": "POST", "path": "/Users", "bulkId": "second", "data": person(&tenant, "b")["data"]});
    let done = foretold(house, &tenant, json!([person(&tenant, "b"), again, deactivated("bulkId:b")])).await;
    assert_eq!(done, ["201", "409", "200"]);
    let people = people(house, &tenant, 2).await;
    let (x, y) = (people[0].as_str(), people[1].as_str());
    let done =
        foretold(house, &tenant, json!([gone(x), deactivated(x), gone("bulkId:no"), gone("usr_no")])).await;
    assert_eq!(done, ["204", "404", "400", "404"]);
    let titled = |version: &str, title: &str| {
        let mut one = change(y, &json!({"title": title}));
        one["version"] = json!(version);
        one
    };
    // Another version each time; the last but one changes nothing, and nobody is at the last one's any more.
    let operations = json!([
        titled("W/\"1\"", "One"),
        titled("W/\"2\"", "Two"),
        titled("W/\"3\"", "Two"),
        titled("W/\"2\"", "No")
    ]);
    assert_eq!(foretold(house, &tenant, operations).await, ["200", "200", "200", "412"]);
}

/// A seat that is taken is taken for the next, and one that is given up is free.
#[tokio::test]
async fn how_many_seats_are_left_is_foretold() {
    let house = house();
    let tenant = house.tenant().await;
    on_a_plan(house, &tenant, json!({"seats": 2})).await;
    let four = ["a", "b", "c", "d"].map(|name| person(&tenant, name));
    assert_eq!(foretold(house, &tenant, json!(four)).await, ["201", "201", "403", "403"]);
    let (_, said) = house.scim("GET", &tenant.scim_token, "/scim/v2/Users", None).await;
    let id = text(&said["Resources"][0], "id");
    let operations =
        json!([person(&tenant, "e"), deactivated(id), person(&tenant, "f"), person(&tenant, "g")]);
    assert_eq!(foretold(house, &tenant, operations).await, ["403", "200", "201", "403"]);
}
