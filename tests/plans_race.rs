//! The line for a seat: of many at one instant no two take the last; far from the bound nobody waits; and no
//! ledger makes what is counted for whoever has not asked.

use crate::{
    administer::operate,
    house::{House, Tenant, call, house},
    plans::{define, events, made, on_a_plan, person, refused, set_active, standing},
};
use model::{
    ids::UserId,
    quota::{Notice, Quota},
    record::{Act, AuditEvent, Record},
};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use store::{Administrator, NewUser, OrgRef, OrgScope, User, counted};
use tokio::task::JoinSet;
use vestibule::seams::SystemChance;

/// Fifty at once for one seat: people who come and people who come back.
#[tokio::test]
async fn of_fifty_at_one_instant_one_gets_the_last_seat() {
    let house = house();
    let tenant = house.tenant().await;
    let mut away = Vec::new();
    for n in 0..5 {
        away.push(made(house, &tenant, &format!("away{n}")).await);
        assert_eq!(set_active(house, &tenant, &away[n], false).await.0, 200);
    }
    made(house, &tenant, "first").await;
    on_a_plan(house, &tenant, json!({"seats": 2})).await;
    let tenant = Arc::new(tenant);
    let mut asked = JoinSet::new();
    for n in 0..45 {
        let tenant = tenant.clone();
        asked.spawn(async move { person(house, &tenant, &format!("p{n}")).await });
    }
    for id in away {
        let tenant = tenant.clone();
        asked.spawn(async move { set_active(house, &tenant, &id, true).await });
    }
    let answers = asked.join_all().await;
    let won = answers.iter().filter(|(status, _)| *status < 300).count();
    // A machine that is busy with something else makes some wait too long.
    let others = answers.iter().filter(|(status, said)| refused(said) || *status == 503).count();
    assert_eq!((won, others), (1, 49), "{answers:?}");
    assert!(answers.iter().any(|(_, said)| refused(said)));
    assert_eq!(standing(house, &tenant).await["in_use"]["seats"], 2);
    assert_eq!(events(house, &tenant, "quota.refused").await.len(), 1, "told once");
}

async fn administrator(house: &'static House, tenant: &Tenant) -> OrgScope<Administrator> {
    let org = OrgRef::Id(tenant.org);
    house.on(async move { house.gw.db.administrator(house.operator, &org, &call()).await.unwrap() }).await
}

/// A person of no address.
const fn bare(user: &User) -> NewUser<'_> {
    NewUser { user, emails: &[], given_back: &[], unclaimed: &[] }
}

fn someone(scope: &OrgScope<Administrator>, name: &str) -> User {
    User {
        id: UserId::new(scope.now(), &SystemChance),
        user_name: name.to_owned(),
        external_id: None,
        active: true,
        email: None,
        display_name: None,
        given_name: None,
        family_name: None,
        directory: None,
        attributes: json!({}),
        version: 1,
        created_at: scope.now(),
        modified_at: scope.now(),
    }
}

/// Far from its bound an org's creations wait for none of their own; near it one waits for the other, and for
/// each that took a seat while it was far; without a bound nobody waits at all.
#[tokio::test]
async fn far_from_the_bound_nobody_waits_and_near_it_everybody_is_counted() {
    let house = house();
    let tenant = house.tenant().await;
    let scope = administrator(house, &tenant).await;
    let plan = on_a_plan(house, &tenant, json!({"seats": 1_000_000})).await;
    let far = scope.clone();
    let mut first = house
        .on(async move {
            let mut tx = house.gw.db.write(&far, "test.far").await.unwrap();
            let room = tx.room().await.unwrap().unwrap();
            assert!(tx.create_user(&bare(&someone(&far, "far")), Some(room)).await.unwrap());
            tx
        })
        .await;
    let beside = scope.clone();
    house
        .on(async move {
            let mut tx = house.gw.db.write(&beside, "test.beside").await.unwrap();
            let room = tokio::time::timeout(Duration::from_secs(1), tx.room::<counted::Seats>()).await;
            assert!(room.expect("it waits for nobody").unwrap().is_ok());
        })
        .await;
    // From here on the bound is near, and the first one's seat is not committed yet.
    define(house, &plan, json!({"seats": 1})).await;
    let near = scope.clone();
    let waiting = tokio::spawn(house.on(async move {
        let mut tx = house.gw.db.write(&near, "test.near").await.unwrap();
        tx.room::<counted::Seats>().await.unwrap().map(|_| ())
    }));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "whoever is under way is waited for");
    house
        .on(async move {
            first.note_quota(Quota::Seats, Notice::Near).await.unwrap();
            let event = AuditEvent::done(Act::UserCreated).on("user", "test");
            first.commit(Record::of(event)).await.unwrap();
        })
        .await;
    let full = waiting.await.unwrap().unwrap_err();
    assert_eq!((full.taken, full.plan), (1, plan));
}

/// Who found the bound far away, and waited while it came near, shares the line with others who did: it asks
/// again rather than guess.
#[tokio::test]
async fn who_saw_it_far_and_finds_it_near_is_told_to_ask_again() {
    let house = house();
    let tenant = house.tenant().await;
    let scope = administrator(house, &tenant).await;
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let abreast: i64 = sqlx::query_scalar("SELECT current_setting('max_connections')::bigint")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    on_a_plan(house, &tenant, json!({"seats": 2 * abreast + 1})).await;
    let mut before = sql.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('quota seats of ' || $1::text, 0))")
        .bind(tenant.org.uuid())
        .execute(&mut *before)
        .await
        .unwrap();
    let asks = async |scope: OrgScope<Administrator>| {
        let asked = async move {
            let mut tx = house.gw.db.write(&scope, "test.unsure").await.unwrap();
            tx.room::<counted::Seats>().await.map(|room| room.is_ok())
        };
        house.on(asked).await
    };
    let (far, again) = (scope.clone(), scope);
    let coming = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let within = "SELECT set_config('app.org_id', $1::text, true), set_config('app.reach', 'org', true)";
        sqlx::query(within).bind(tenant.org.uuid()).execute(&mut *before).await.unwrap();
        sqlx::query("INSERT INTO vst.seat_counts (org_id, part, active) VALUES ($1, 0, $2)")
            .bind(tenant.org.uuid())
            .bind(abreast + 1)
            .execute(&mut *before)
            .await
            .unwrap();
        before.commit().await.unwrap();
    };
    let (asked, ()) = tokio::join!(asks(far), coming);
    assert!(matches!(asked, Err(store::Error::Crowded)), "{asked:?}");
    assert!(asks(again).await.unwrap(), "asked again, from near: there is room");
}

/// Two people whose seats are counted on one row, written at once: neither waits for the other's commit, which
/// may be waiting for what the first has.
#[tokio::test]
async fn seats_are_counted_at_the_commit_and_nobody_waits_for_a_count_before() {
    let house = house();
    let tenant = house.tenant().await;
    let scope = administrator(house, &tenant).await;
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let mut parts = BTreeMap::<i32, User>::new();
    let (one, other) = loop {
        let user = someone(&scope, &format!("p{}", parts.len()));
        let part = sqlx::query_scalar("SELECT abs(hashtext($1::text)) % 64").bind(user.id.uuid());
        if let Some(one) = parts.insert(part.fetch_one(&mut sql).await.unwrap(), user.clone()) {
            break (one, user);
        }
    };
    house
        .on(async move {
            let mut first = house.gw.db.write(&scope, "test.first").await.unwrap();
            let room = first.room().await.unwrap().unwrap();
            assert!(first.create_user(&bare(&one), Some(room)).await.unwrap());
            let beside = async {
                let mut second = house.gw.db.write(&scope, "test.second").await.unwrap();
                let room = second.room().await.unwrap().unwrap();
                assert!(second.create_user(&bare(&other), Some(room)).await.unwrap());
            };
            tokio::time::timeout(Duration::from_secs(1), beside).await.expect("it waits for nobody");
        })
        .await;
}

#[tokio::test]
async fn no_seat_is_taken_without_having_asked_for_it() {
    let house = house();
    let tenant = house.tenant().await;
    let scope = administrator(house, &tenant).await;
    house
        .on(async move {
            let mut tx = house.gw.db.write(&scope, "test.slips").await.unwrap();
            let mut user = someone(&scope, "slips");
            let done = tx.create_user(&bare(&user), None).await;
            assert!(matches!(done, Err(store::Error::NoRoom)), "{done:?}");
            user.active = false;
            assert!(tx.create_user(&bare(&user), None).await.unwrap());
            user.active = true;
            let done = tx.save_user(&user, None).await;
            assert!(matches!(done, Err(store::Error::NoRoom)), "{done:?}");
            let room = tx.room().await.unwrap().unwrap();
            tx.save_user(&user, Some(room)).await.unwrap();
            tx.save_user(&user, None).await.unwrap();
        })
        .await;
}

/// A plan that is being given to an org is not removed under it; one that is gone is given to nobody.
#[tokio::test]
async fn a_plan_is_not_removed_while_it_is_given() {
    let house = house();
    let tenant = house.tenant().await;
    let scope = administrator(house, &tenant).await;
    let plan = format!("plan-of-{}", tenant.slug);
    define(house, &plan, json!({"seats": 7})).await;
    let (holding, giver) = (plan.clone(), scope.clone());
    let tx = house
        .on(async move {
            let mut tx = house.gw.db.write(&giver, "test.give").await.unwrap();
            assert!(tx.hold_plan(&holding).await.unwrap());
            tx.set_org_plan(&holding).await.unwrap();
            tx
        })
        .await;
    let path = format!("/plans/{plan}");
    let removing = tokio::spawn(async move { operate(house, "DELETE", &path, None).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!removing.is_finished(), "it waits for whoever gives it");
    let event = AuditEvent::done(Act::OrgPlanSet).on("org", tenant.org);
    house.on(async move { tx.commit(Record::of(event)).await.unwrap() }).await;
    let (status, said) = removing.await.unwrap();
    assert_eq!((status, said["code"].as_str()), (409, Some("plan.in_use")), "{said}");
}
