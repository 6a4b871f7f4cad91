//! What happens without a caller: the sweep, the record's months.

use crate::house::{House, Tenant, call, house, now, walk};
use model::{
    Timestamp,
    ids::OrgId,
    org::OrgState,
    record::{Act, AuditEvent, Record},
};
use sqlx::{Connection, PgConnection};
use store::{Call, LogBounds, Shelf};
use vestibule::jobs::{
    months,
    sweep::{Retention, turn},
};

pub const DAY_SECS: i64 = 86_400;

pub fn keep() -> Retention {
    Retention {
        sweep_every_secs: 60,
        ended_sessions_secs: 7 * DAY_SECS,
        delivered_secs: 7 * DAY_SECS,
        dead_deliveries_secs: 30 * DAY_SECS,
        refusals_secs: 30 * DAY_SECS,
        scim_requests_secs: 30 * DAY_SECS,
        scim_requests: LogBounds { rows_max: 200_000, bytes_max: 1 << 28 },
    }
}

fn call_at(at: Timestamp) -> Call {
    Call { at, ..call() }
}

/// A connection as the server has it, in this org.
pub async fn inside(house: &House, org: OrgId) -> PgConnection {
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    sqlx::query(
        "SELECT set_config('role', 'vst_app', false), set_config('search_path', 'vst', false),
                set_config('app.org_id', $1, false), set_config('app.reach', 'org', false)",
    )
    .bind(org.uuid().to_string())
    .execute(&mut sql)
    .await
    .unwrap();
    sql
}

pub async fn rows(sql: &mut PgConnection, table: &'static str) -> i64 {
    let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(count).fetch_one(sql).await.unwrap()
}

pub async fn swept(house: &'static House, tenant: &Tenant, at: Timestamp) -> i64 {
    swept_to(house, tenant, at, keep()).await
}

pub async fn swept_to(house: &'static House, tenant: &Tenant, at: Timestamp, keep: Retention) -> i64 {
    let org = tenant.org;
    house.on(async move { turn(&house.gw, &keep, org, &call_at(at)).await.unwrap() }).await
}

/// What is over goes when its time is over, and what lives stays: the code after an hour, the session
/// and its refresh family a week after their end, not a second before.
#[tokio::test]
async fn the_sweep_takes_what_is_over_and_leaves_what_lives() {
    let house = house();
    let tenant = house.tenant().await;
    let began = now();
    let tokens = walk::tokens(house, &tenant).await;
    let mut sql = inside(house, tenant.org).await;
    let mut left = async || {
        let mut left = Vec::new();
        for table in ["first_uses", "codes", "refresh_families", "sessions"] {
            left.push(rows(&mut sql, table).await);
        }
        left
    };
    assert_eq!(left().await, [2, 1, 1, 1], "the answer and the attempt are single-use");
    swept(house, &tenant, began.plus_secs(3_000)).await;
    assert_eq!(left().await, [2, 1, 1, 1], "within the margin");
    swept(house, &tenant, now().plus_secs(3 * 3_600)).await;
    assert_eq!(left().await, [0, 0, 1, 1]);
    let (status, said) = walk::refresh(house, &tenant, walk::text(&tokens, "refresh_token")).await;
    assert_eq!(status, 200, "what lives still serves: {said}");
    let absolute_secs = house.gw.lifetimes.session_absolute_secs;
    swept(house, &tenant, began.plus_secs(absolute_secs + 7 * DAY_SECS - 5)).await;
    assert_eq!(left().await, [0, 0, 1, 1]);
    swept(house, &tenant, now().plus_secs(absolute_secs + 7 * DAY_SECS + 2 * 3_600)).await;
    assert_eq!(left().await, [0, 0, 0, 0]);
}

/// A bite is at most 200 rows, a turn takes as many bites as it needs, and nobody else's rows.
#[tokio::test]
async fn a_bite_is_bounded_and_a_turn_is_the_orgs_own() {
    let house = house();
    let (own, other) = (house.tenant().await, house.tenant().await);
    let ended = now().plus_secs(3 * DAY_SECS);
    for tenant in [&own, &other] {
        let mut sql = inside(house, tenant.org).await;
        sqlx::query(
            "INSERT INTO first_uses (org_id, single_use_key, until)
             SELECT $1, 'k' || n, $2 FROM generate_series(1, 450) n",
        )
        .bind(tenant.org.uuid())
        .bind(sqlx::types::time::OffsetDateTime::from(ended))
        .execute(&mut sql)
        .await
        .unwrap();
    }
    let org = own.org;
    let bites = house.on(async move {
        let scope = house.gw.db.job("test", org, &call()).await.unwrap();
        let mut bites = Vec::new();
        for at in [ended.minus_secs(1), ended, ended] {
            let mut tx = house.gw.db.write(&scope, "test.sweep").await.unwrap();
            bites.push(tx.sweep(Shelf::FirstUses, at).await.unwrap());
            tx.commit_housekeeping().await.unwrap();
        }
        bites
    });
    assert_eq!(bites.await, [0, 200, 200]);
    assert_eq!(swept(house, &own, ended.plus_secs(2 * 3_600)).await, 50);
    assert_eq!(swept(house, &own, ended.plus_secs(2 * 3_600)).await, 0, "its next turn is later");
    assert_eq!(rows(&mut inside(house, other.org).await, "first_uses").await, 450);
}

/// A delivery that arrived goes after its time, one that was given up later, one that waits never.
#[tokio::test]
async fn deliveries_go_when_they_are_done() {
    let house = house();
    let tenant = house.tenant().await;
    let mut sql = inside(house, tenant.org).await;
    let done = now();
    sqlx::query(
        "WITH hook AS (
             INSERT INTO webhooks (org_id, whk_id, url, events, secret, state, created_at)
             VALUES ($1, $1, 'https://hook.example', '{*}', '', 'disabled', $2)
         )
         INSERT INTO deliveries (org_id, del_id, whk_id, event_type, state, next_at, created_at, done_at)
         SELECT $1, ('018bcfe5-6800-7000-8000-00000000000' || n)::uuid, $1, 'x',
                (ARRAY['delivered', 'dead', 'waiting'])[n], $2, $2, CASE WHEN n < 3 THEN $2 END
           FROM generate_series(1, 3) n",
    )
    .bind(tenant.org.uuid())
    .bind(sqlx::types::time::OffsetDateTime::from(done))
    .execute(&mut sql)
    .await
    .unwrap();
    for (days, left) in [(6, 3), (8, 2), (29, 2), (31, 1), (365, 1)] {
        swept(house, &tenant, done.plus_secs(days * DAY_SECS)).await;
        assert_eq!(rows(&mut sql, "deliveries").await, left, "after {days} days");
    }
}

/// Answers kept about no org lie on the platform's shelf, and its turn comes by itself.
#[tokio::test]
async fn the_shelf_of_no_org_is_swept_by_the_running_job() {
    let house = house();
    let nil = OrgId::from_uuid(uuid::Uuid::nil());
    let mut sql = inside(house, nil).await;
    sqlx::query(
        "INSERT INTO idempotent_answers (org_id, caller, request_key, body_digest, answer, until)
         VALUES ($1, 'test', 'over', '', '', now()), ($1, 'test', 'kept', '', '', now() + interval '1 day')",
    )
    .bind(nil.uuid())
    .execute(&mut sql)
    .await
    .unwrap();
    let mut keys = Vec::new();
    for _ in 0..150 {
        // Each time anew: a sweep that was under way when the rows came puts the next one off by an hour.
        sqlx::query(
            "UPDATE pending SET due_at = now() WHERE kind = 'sweep' AND org_id = $1 AND due_at > now()",
        )
        .bind(nil.uuid())
        .execute(&mut sql)
        .await
        .unwrap();
        keys = sqlx::query_scalar::<_, String>(
            "SELECT request_key FROM idempotent_answers WHERE caller = 'test'",
        )
        .fetch_all(&mut sql)
        .await
        .unwrap();
        if keys.len() == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(keys, ["kept"]);
}

/// Two months on, the record still has its months ahead of it.
#[tokio::test]
async fn the_records_months_are_made_ahead() {
    let house = house();
    let ahead = house.on(async {
        let later = broker::Gateway { clock: || now().plus_secs(62 * DAY_SECS), ..house.gw.clone() };
        months::round(later.clone()).await.unwrap();
        let at = later.now();
        (later.db.audit_months(at).await.unwrap().ahead, later.db.make_audit_months(at, 24).await.unwrap())
    });
    let (ahead, missing) = ahead.await;
    assert!(ahead >= 24, "{ahead}");
    assert_eq!(missing, 0);
    let far =
        house.on(async { house.gw.db.audit_months(now().plus_secs(9 * 365 * DAY_SECS)).await.unwrap() });
    assert_eq!(far.await.ahead, -1, "a missing month is seen");
    let sent = house.http.get(house.url("/readyz")).send().await.unwrap();
    let (status, body) = (sent.status().as_u16(), sent.text().await.unwrap());
    assert!(status == 200 && body.contains("audit months ahead: ") && !body.contains("ahead: -"), "{body}");
}

/// What falls into the default partition is moved, whole, into its month when that is made.
#[tokio::test]
async fn a_late_month_gets_what_the_default_caught() {
    let house = house();
    let tenant = house.tenant().await;
    let (org, caught_at) = (tenant.org, now().plus_secs(1_250 * DAY_SECS));
    house
        .on(async move {
            let scope = house.gw.db.job("test", org, &call_at(caught_at)).await.unwrap();
            let tx = house.gw.db.write(&scope, "test.far").await.unwrap();
            tx.commit(Record::of(AuditEvent::done(Act::AuditExported).value("v", "w"))).await.unwrap();
        })
        .await;
    let mut sql = inside(house, org).await;
    let mut lies_in = async || {
        let found = "SELECT replace(tableoid::regclass::text, 'vst.', '') FROM audit_events WHERE action = 'audit.exported'";
        sqlx::query_scalar::<_, String>(found).fetch_all(&mut sql).await.unwrap()
    };
    assert_eq!(lies_in().await, ["audit_events_default"]);
    house
        .on(async { house.gw.db.make_audit_months(now().plus_secs(360 * DAY_SECS), 36).await.unwrap() })
        .await;
    let month: String = caught_at.to_string().chars().take(7).filter(|c| *c != '-').collect();
    assert_eq!(lies_in().await, [format!("audit_events_{month}")]);
    let far =
        house.on(async { house.gw.db.make_audit_months(now().plus_secs(400 * DAY_SECS), 36).await.is_err() });
    assert!(far.await, "the server makes no month beyond its bounds");
}

/// What a purged org has on the jobs' list is let go by whoever comes upon it: a hundred such orgs would else be
/// every round's whole page.
#[tokio::test]
async fn a_purged_org_is_taken_off_the_jobs_list() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let listed = async |sql: &mut PgConnection, tenant: &Tenant| -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM vst.pending WHERE org_id = $1")
            .bind(tenant.org.uuid())
            .fetch_one(sql)
            .await
            .unwrap()
    };
    crate::states::put(house, &tenant, OrgState::Purged).await;
    sqlx::query(
        "INSERT INTO vst.pending (kind, org_id, item_id, due_at)
         SELECT kind, $1, gen_random_uuid(), now() - interval '1 minute'
           FROM UNNEST('{delivery,logout,logouts,stream,revocation,sweep,app_left}'::text[]) AS kind, generate_series(1, 3)",
    )
    .bind(tenant.org.uuid())
    .execute(&mut sql)
    .await
    .unwrap();
    let mut left = 0;
    for _ in 0..150 {
        left = listed(&mut sql, &tenant).await;
        if left == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(left, 0);
    assert!(listed(&mut sql, &other).await > 0, "whoever lives keeps theirs");
}
