//! A bulk request as a dry run: each operation is answered as the real one will be, those before it being done; nothing
//! is kept, nobody waits for long, and the connection comes back in order.

use crate::{
    house::{House, Site, Tenant, call, house, walk::text},
    plans::on_a_plan,
};
use broker::{FlowError, provision::Asked, provision_bulk, provision_user};
use model::{TokenDigest, ids::UserId};
use scim::Projection;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use store::{Error, OrgScope, ScimClient, ScimForm};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const DRY: Option<&str> = Some("vestibule-dry-run");

/// The answer's status and body, and what it says of the preference.
async fn sent(
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

async fn bulk(house: &House, tenant: &Tenant, prefer: Option<&str>, operations: &Value) -> Vec<Value> {
    let (status, said, applied) = sent(house, tenant, prefer, operations).await;
    assert_eq!((status, applied.as_deref()), (200, prefer), "{said}");
    said["Operations"].as_array().unwrap().clone()
}

/// A dry run to its end: where everything else is tested at once, one may take too long.
async fn tried(house: &House, tenant: &Tenant, operations: &Value) -> Vec<Value> {
    for _ in 0..20 {
        let done = bulk(house, tenant, DRY, operations).await;
        let said = json!(done).to_string();
        if !["scim.dry_run_too_large", "scim.unavailable"].iter().any(|late| said.contains(late)) {
            return done;
        }
    }
    panic!("20 dry runs took too long");
}

fn statuses(done: &[Value]) -> Vec<&str> {
    done.iter().map(|one| text(one, "status")).collect()
}

fn person(tenant: &Tenant, name: &str) -> Value {
    let data = json!({"userName": format!("{name}@{}", tenant.domain)});
    json!({"method": "POST", "path": "/Users", "bulkId": name, "data": data})
}

fn change(id: &str, value: &Value) -> Value {
    let data = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": value}]});
    json!({"method": "PATCH", "path": format!("/Users/{id}"), "data": data})
}

fn deactivated(id: &str) -> Value {
    change(id, &json!({"active": false}))
}

fn gone(id: &str) -> Value {
    json!({"method": "DELETE", "path": format!("/Users/{id}")})
}

async fn people(house: &House, tenant: &Tenant, count: usize) -> Vec<String> {
    let all: Vec<Value> = (0..count).map(|n| person(tenant, &format!("p{n}"))).collect();
    let done = bulk(house, tenant, None, &json!(all)).await;
    done.iter().map(|one| text(one, "location").rsplit('/').next().unwrap().to_owned()).collect()
}

/// In a transaction of the org's, as its tables' owner.
async fn within(house: &House, tenant: &Tenant) -> PgConnection {
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
async fn kept(house: &House, tenant: &Tenant) -> BTreeMap<String, String> {
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

/// The scope of a directory's request that is only to be tried.
async fn trial(house: &'static House, tenant: &Tenant) -> OrgScope<ScimClient> {
    real(house, tenant).await.rehearsing()
}

async fn real(house: &'static House, tenant: &Tenant) -> OrgScope<ScimClient> {
    let digest = TokenDigest::of(&tenant.scim_token);
    house.on(async move { house.gw.db.scim_client(&digest, ScimForm::Bearer, &call()).await.unwrap() }).await
}

/// No transaction of the org's is open any more: each writing one holds its door.
async fn all_are_in_order(house: &House, tenant: &Tenant) {
    let mut sql = within(house, tenant).await;
    for _ in 0..200 {
        let alone = "SELECT pg_try_advisory_xact_lock(door(current_org()))";
        if sqlx::query_scalar(alone).fetch_one(&mut sql).await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a stage is still there");
}

/// Whoever hangs up while it runs, whenever that is, leaves nothing, and no lock.
#[tokio::test]
async fn who_hangs_up_leaves_nothing_behind() {
    let house = house();
    let tenant = house.tenant().await;
    let before = kept(house, &tenant).await;
    let operations = json!(["a", "b", "c", "d", "e", "f"].map(|name| person(&tenant, name)));
    let scope = trial(house, &tenant).await;
    let body = json!({"Operations": operations}).to_string().into_bytes();
    let given_up = house.on(async move {
        let mut given_up = 0;
        for millis in [0, 1, 2, 3, 5, 8, 13, 21, 34].into_iter().cycle().take(90) {
            let story = provision_bulk::run(&house.gw, &scope, scim::bulk::parse(&body).unwrap());
            given_up += i32::from(tokio::time::timeout(Duration::from_millis(millis), story).await.is_err());
        }
        given_up
    });
    let given_up = given_up.await;
    assert!(given_up > 30, "{given_up}");
    for _ in 0..5 {
        // Over HTTP, too.
        let asked = sent(house, &tenant, DRY, &operations);
        let _ = tokio::time::timeout(Duration::from_millis(8), asked).await;
    }
    let done = tried(house, &tenant, &operations).await;
    assert_eq!(statuses(&done), ["200"; 6], "{done:?}");
    all_are_in_order(house, &tenant).await;
    assert_eq!(kept(house, &tenant).await, before);
    assert_eq!(statuses(&bulk(house, &tenant, None, &operations).await), ["201"; 6]);
}

/// A server that ends the stage ends the dry run, and what comes after it is not done by itself.
#[tokio::test]
async fn a_stage_that_is_gone_is_not_begun_anew() {
    let house = Site::named("staged").open();
    let tenant = house.tenant().await;
    let scope = trial(house, &tenant).await;
    let before = kept(house, &tenant).await;
    let data = json!({"userName": format!("late@{}", tenant.domain)}).to_string().into_bytes();
    let ended = house.on(async move {
        let rehearsal = house.gw.db.rehearsal(&scope).await.unwrap();
        let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = 'vestibule' AND query = 'SAVEPOINT operation'";
        let ended: Vec<bool> = sqlx::query_scalar(end).fetch_all(&mut sql).await.unwrap();
        let mut told = Vec::new();
        for _ in 0..2 {
            let done = provision_user::create(&house.gw, rehearsal.scope(), &data, &Asked::default()).await;
            told.push(done.unwrap_err());
        }
        (ended.len(), told)
    });
    let (ended, told) = ended.await;
    assert!(ended == 1 && told.iter().all(|error| matches!(error, FlowError::Busy { .. })), "{told:?}");
    assert_eq!(kept(house, &tenant).await, before);
}

/// What a story does on a stage it sees there; two at once it has not; and nothing leads from there to what is kept.
#[tokio::test]
async fn a_stage_is_its_own_and_nothing_of_it_is_kept() {
    let house = house();
    let tenant = house.tenant().await;
    let (scope, done) = (trial(house, &tenant).await, real(house, &tenant).await);
    let before = kept(house, &tenant).await;
    let document =
        |name: &str| json!({"userName": format!("{name}@{}", tenant.domain)}).to_string().into_bytes();
    let (tried, other) = (document("tried"), document("other"));
    house
        .on(async move {
            let (gw, asked) = (&house.gw, Asked::default());
            let rehearsal = gw.db.rehearsal(&scope).await.unwrap();
            let scope = rehearsal.scope();
            let made = provision_user::create(gw, scope, &tried, &asked).await.unwrap_err();
            let FlowError::Rehearsed(Some(record)) = made else { panic!("{made:?}") };
            let id: UserId = record.first.target.unwrap().1.parse().unwrap();
            let seen = provision_user::get(gw, scope, id, &Projection::All).await;
            assert_eq!(seen.unwrap().user.id, id, "it sees what it did");
            let unseen = provision_user::get(gw, &done, id, &Projection::All).await;
            assert!(matches!(unseen, Err(FlowError::Missing)), "nobody else does");
            // Dropped undone, it is as if it had not been.
            let mut dropped = gw.db.write(scope, "test.dropped").await.unwrap();
            dropped.remove_user(id).await.unwrap();
            let second = gw.db.write(scope, "test.second").await;
            assert!(matches!(second, Err(Error::Stage(_))), "one at a time");
            drop(dropped);
            assert!(provision_user::get(gw, scope, id, &Projection::All).await.is_ok(), "rolled back");
            for past in [
                gw.db.write_after(scope, "test.past").await.err(),
                gw.db.user_named(scope, "tried").await.err(),
                gw.db.rehearsal(scope).await.err(),
                gw.db.write(scope, "test.kept").await.unwrap().commit_housekeeping().await.err(),
            ] {
                assert!(matches!(past, Some(Error::Stage(_))), "{past:?}");
            }
            // Whoever does it does it beside, and keeps it.
            provision_user::create(gw, &done, &other, &asked).await.unwrap();
            let left = scope.clone();
            drop(rehearsal);
            assert!(
                matches!(gw.db.write(&left, "test.left").await, Err(Error::Stage(_))),
                "gone for whoever stays"
            );
            let alone = left.rehearsing();
            let alone = gw.db.write(&alone, "test.alone").await.unwrap().commit_housekeeping().await;
            assert!(matches!(alone, Err(Error::Stage(_))), "nor of one that is tried alone");
        })
        .await;
    all_are_in_order(house, &tenant).await;
    let after = kept(house, &tenant).await;
    let changed: Vec<&String> = before.keys().filter(|table| before[*table] != after[*table]).collect();
    assert!(changed.iter().any(|table| *table == "users"), "{changed:?}");
    let people = |kept: &BTreeMap<String, String>| kept["users"].split(' ').next().unwrap().to_owned();
    assert_eq!((people(&before), people(&after)), ("0".to_owned(), "1".to_owned()));
}

#[tokio::test]
async fn a_dry_run_of_too_many_is_refused_whole() {
    let house = house();
    let tenant = house.tenant().await;
    let most = provision_bulk::REHEARSED_MAX;
    let operations = |count: usize| json!(vec![gone("usr_00000000000000000000000000"); count]);
    let (status, said, applied) = sent(house, &tenant, DRY, &operations(most + 1)).await;
    assert_eq!((status, applied), (413, None), "{said}");
    let wanted = format!(
        "{} operations; a dry run has at most {most}. Send less at once [scim.dry_run_too_large]",
        most + 1
    );
    assert_eq!(text(&said, "detail"), wanted);
    assert_eq!(statuses(&tried(house, &tenant, &operations(most)).await), vec!["404"; most]);
    assert_eq!(statuses(&bulk(house, &tenant, None, &operations(most + 1)).await), vec!["404"; most + 1]);
}

/// A dry run of as many as there may be is over in its time, with people, groups and what they give.
#[tokio::test]
async fn as_many_as_there_may_be_are_done_in_time() {
    let house = house();
    let tenant = house.tenant().await;
    let most = provision_bulk::REHEARSED_MAX;
    let third = most / 3;
    let names: Vec<String> = (0..third).map(|n| format!("n{n}")).collect();
    let mut operations: Vec<Value> = names.iter().map(|name| person(&tenant, name)).collect();
    for name in &names {
        let data = json!({"displayName": name, "members": [{"value": format!("bulkId:{name}")}]});
        operations
            .push(json!({"method": "POST", "path": "/Groups", "bulkId": format!("g-{name}"), "data": data}));
        operations.push(change(&format!("bulkId:{name}"), &json!({"title": "T"})));
    }
    assert_eq!(operations.len(), most);
    let done = tried(house, &tenant, &json!(operations)).await;
    assert_eq!(statuses(&done), vec!["200"; most]);
}

/// Its time is bounded: whom another holds it does not wait for for long, and what does not come to its turn is told to
/// come with fewer.
#[tokio::test]
async fn a_dry_run_that_waits_is_over_soon_and_says_so() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 8).await;
    let mut held = within(house, &tenant).await;
    sqlx::query("SELECT 1 FROM users FOR UPDATE").execute(&mut held).await.unwrap();
    let mut operations: Vec<Value> = people.iter().map(|id| deactivated(id)).collect();
    operations.push(gone("bulkId:nobody"));
    let began = Instant::now();
    let done = bulk(house, &tenant, DRY, &json!(operations)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1_900), "{took:?}");
    held.close().await.unwrap();
    let told = statuses(&done);
    let waited = told.iter().take_while(|status| **status == "503").count();
    assert!((1..=4).contains(&waited), "{told:?}");
    assert!(told[waited..].iter().all(|status| *status == "413"), "{told:?}");
    let last = &done[8]["response"];
    assert!(text(last, "detail").ends_with("Send less at once [scim.dry_run_too_large]"), "{last}");
    all_are_in_order(house, &tenant).await;
    assert_eq!(statuses(&bulk(house, &tenant, None, &json!(operations)).await)[..8], ["200"; 8]);
}
