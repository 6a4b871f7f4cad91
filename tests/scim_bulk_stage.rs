//! Where a bulk dry run is done: in its time and within its bound, nothing of it is kept, whoever does something waits
//! for it and is not refused, and the connection comes back in order.

use crate::{
    house::{House, Site, Tenant, call, house, walk::text},
    scim_bulk_rehearsed::{
        DRY, bulk, change, deactivated, gone, kept, people, person, sent, statuses, tried, within,
    },
};
use broker::{FlowError, provision::Asked, provision_bulk, provision_user};
use model::{TokenDigest, ids::UserId};
use scim::Projection;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Error, OrgScope, ScimClient, ScimForm};
use tokio::task::JoinSet;

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
    // Alone: one after the other, none waits.
    let house = Site::named("hung_up").open();
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

/// Whoever tries something may have a group locked, and lets it go as it was: who leaves it meanwhile is seen by its
/// version all the same.
#[tokio::test]
async fn a_group_that_is_only_tried_out_still_tells_who_left() {
    let house = house();
    let tenant = house.tenant().await;
    let ids = people(house, &tenant, 2).await;
    let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
    let group = json!({"displayName": "Tried out", "members": members});
    let group = json!([{"method": "POST", "path": "/Groups", "bulkId": "g", "data": group}]);
    let made = bulk(house, &tenant, None, &group).await;
    let (before, at) = (text(&made[0], "version"), text(&made[0], "location"));
    let mut sql = within(house, &tenant).await;
    sqlx::raw_sql("SELECT 1 FROM groups FOR UPDATE").execute(&mut sql).await.unwrap();
    let leaves = json!([gone(&ids[0])]);
    let (left, ()) = tokio::join!(bulk(house, &tenant, None, &leaves), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut sql).await.unwrap();
    });
    assert_eq!(statuses(&left), ["204"]);
    let path = format!("/Groups/{}", at.rsplit('/').next().unwrap());
    let data = json!({"displayName": "As it was", "members": []});
    let put = json!([{"method": "PUT", "path": path, "version": before, "data": data}]);
    assert_eq!(statuses(&bulk(house, &tenant, None, &put).await), ["412"]);
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
        let rehearsal = house.gw.db.rehearsal(&scope, 2).await.unwrap();
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
            let rehearsal = gw.db.rehearsal(&scope, 2).await.unwrap();
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
                gw.db.rehearsal(scope, 2).await.err(),
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

/// What takes too long by itself is told so, whether it is its own statement that does or those before it; and once it is
/// told, nobody waits for what it locked.
#[tokio::test]
async fn what_is_too_large_is_told_so_and_leaves_no_lock() {
    let house = Site::named("slow").open();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 2).await;
    let operations = json!([0, 1].map(|n| change(&people[n], &json!({"title": "T"}))));
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    for (secs, told) in [("0.4", ["200", "413"]), ("0.7", ["413", "413"])] {
        let slow = format!(
            "CREATE OR REPLACE FUNCTION vst.slow() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_sleep({secs}); RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER slow BEFORE UPDATE ON vst.users FOR EACH ROW EXECUTE FUNCTION vst.slow()"
        );
        sqlx::raw_sql(AssertSqlSafe(slow)).execute(&mut sql).await.unwrap();
        for _ in 0..3 {
            assert_eq!(statuses(&bulk(house, &tenant, DRY, &operations).await), told);
        }
    }
}

/// Whoever does something while others rehearse the same waits for them, and is neither refused nor the victim of a
/// deadlock.
#[tokio::test]
async fn who_does_something_is_not_refused_for_a_dry_run() {
    let house = house();
    let tenant = Arc::new(house.tenant().await);
    let directory = format!("/orgs/{}/directories/{}", tenant.slug, tenant.directory);
    let off = json!({"blast_guard": "off"});
    assert_eq!(house.api("PATCH", &tenant.org_key, &directory, Some(off)).await.0, 200);
    let people = people(house, &tenant, 8).await;
    let until = Instant::now() + Duration::from_secs(4);
    let mut all = JoinSet::new();
    for n in 0..5 {
        let (tenant, mut people) = (tenant.clone(), people.clone());
        if n % 2 == 0 {
            people.reverse();
        }
        all.spawn(async move {
            let mut seen = Vec::new();
            for round in (0_u32..).take_while(|_| Instant::now() < until) {
                let one = |id: &String| {
                    change(id, &json!({"active": round % 2 == 0, "title": format!("{n} {round}")}))
                };
                let operations: Vec<Value> = people.iter().map(one).collect();
                let prefer = DRY.filter(|_| n < 2);
                let done = bulk(house, &tenant, prefer, &json!(operations)).await;
                seen.extend(statuses(&done).into_iter().map(|status| (n < 2, status.to_owned())));
            }
            seen
        });
    }
    let mut counts: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for seen in all.join_all().await.into_iter().flatten() {
        *counts.entry(seen).or_default() += 1;
    }
    assert!(
        [false, true].iter().all(|is_dry| counts.contains_key(&(*is_dry, "200".to_owned()))),
        "{counts:?}"
    );
    assert!(counts.keys().all(|(is_dry, status)| *is_dry || status == "200"), "{counts:?}");
}
