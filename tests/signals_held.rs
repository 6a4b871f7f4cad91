//! What waits on a paused stream is bounded by number and by age: the oldest goes first, and the stream says so.

use crate::house::{
    House, Tenant, house,
    served::{Reply, Served},
    walk::text,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row, Transaction};
use std::time::{Duration, Instant};

async fn ask(house: &House, tenant: &Tenant, method: &str, path: &str, body: Option<Value>) -> Value {
    let verb = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = house.http.request(verb, house.url(path));
    request = request.basic_auth(tenant.app.id.to_string(), Some(&tenant.app.secret));
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let sent = request.send().await.unwrap();
    assert!(sent.status().is_success(), "{path}: {}", sent.status());
    sent.json().await.unwrap()
}

/// Waits on the stream: so many events, so old.
async fn wait_on(sql: &mut PgConnection, tenant: &Tenant, count: i64, age: &str) {
    let (org, app) = (tenant.org.uuid(), tenant.app.id.uuid());
    let insert = format!(
        "BEGIN; SET LOCAL ROLE vst_app; SET LOCAL app.org_id = '{org}'; SET LOCAL app.reach = 'org';
         WITH put AS (
             INSERT INTO vst.stream_events (org_id, out_id, app_id, kind, user_id, next_at, created_at)
             SELECT '{org}', gen_random_uuid(), '{app}', 'account-disabled', gen_random_uuid(), now(),
                    now() - interval '{age}' - n * interval '1 ms'
               FROM generate_series(1, {count}) AS n
             RETURNING out_id
         )
         INSERT INTO vst.pending (kind, org_id, item_id, due_at) SELECT 'stream', '{org}', out_id, now() FROM put;
         COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(insert)).execute(sql).await.unwrap();
}

/// As the gateway is, within the org.
async fn inside<'a>(sql: &'a mut PgConnection, tenant: &Tenant) -> Transaction<'a, Postgres> {
    let mut tx = sql.begin().await.unwrap();
    let enter = format!(
        "SET LOCAL ROLE vst_app; SET LOCAL app.org_id = '{}'; SET LOCAL app.reach = 'org'",
        tenant.org.uuid()
    );
    sqlx::raw_sql(AssertSqlSafe(enter)).execute(&mut *tx).await.unwrap();
    tx
}

/// How many wait, and how many of those older than an hour; how many were dropped, and how many are on the jobs' list.
async fn counted(sql: &mut PgConnection, tenant: &Tenant) -> (i64, i64, i64, i64) {
    let (org, app) = (tenant.org.uuid(), tenant.app.id.uuid());
    let mut tx = inside(sql, tenant).await;
    let row = sqlx::query(
        "SELECT count(*) FILTER (WHERE state = 'waiting'),
                count(*) FILTER (WHERE state = 'waiting' AND created_at < now() - interval '1 hour'),
                count(*) FILTER (WHERE state = 'dead' AND last_error LIKE 'dropped%' AND done_at IS NOT NULL),
                (SELECT count(*) FROM vst.pending WHERE kind = 'stream' AND org_id = $2)
           FROM vst.stream_events WHERE app_id = $1",
    )
    .bind(app)
    .bind(org)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3))
}

async fn until(sql: &mut PgConnection, tenant: &Tenant, right: (i64, i64, i64, i64)) {
    let late = Instant::now() + Duration::from_secs(60);
    loop {
        let now = counted(sql, tenant).await;
        if now == right {
            return;
        }
        assert!(Instant::now() < late, "{now:?} and not {right:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Many wait, and a minute looks at few of them, twelve times or so.
async fn until_few_come_up(sql: &mut PgConnection, tenant: &Tenant) {
    let late = Instant::now() + Duration::from_secs(60);
    loop {
        let (soon, times): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(DISTINCT due_at) FROM vst.pending
              WHERE kind = 'stream' AND org_id = $1 AND due_at < now() + interval '1 minute'",
        )
        .bind(tenant.org.uuid())
        .fetch_one(&mut *sql)
        .await
        .unwrap();
        if (1..1_000).contains(&soon) {
            assert!(times < 20, "at {times} times, and a minute has twelve beats");
            return;
        }
        assert!(Instant::now() < late, "{soon} in a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An app's stream, paused, and who listens.
struct Paused {
    house: &'static House,
    tenant: Tenant,
    ears: Served,
    id: String,
}

impl Paused {
    async fn new(sql: &mut PgConnection) -> Self {
        Self::of(sql, house().tenant().await).await
    }

    /// Another app's, of the same org.
    async fn beside(&self, sql: &mut PgConnection) -> Self {
        let tenant = Tenant { org: self.tenant.org, ..self.house.tenant().await };
        Self::of(sql, tenant).await
    }

    async fn of(sql: &mut PgConnection, tenant: Tenant) -> Self {
        let house = house();
        let path = format!("/apps/{}", tenant.app.id);
        let orgs = json!({"orgs": [tenant.org]});
        assert_eq!(house.api("PATCH", &house.platform_key, &path, Some(orgs)).await.0, 200);
        let ears = Served::start(|_| Reply::status(202)).await;
        let delivery = json!({"method": "urn:ietf:rfc:8935", "endpoint_url": ears.url});
        let made = ask(house, &tenant, "POST", "/ssf/streams", Some(json!({"delivery": delivery}))).await;
        let paused = Self { house, tenant, ears, id: text(&made, "stream_id").to_owned() };
        paused.status("paused").await;
        // What happened before it was made is not told on it.
        sqlx::query("UPDATE vst.streams SET since = since - interval '30 days' WHERE app_id = $1")
            .bind(paused.tenant.app.id.uuid())
            .execute(sql)
            .await
            .unwrap();
        paused
    }

    async fn status(&self, word: &str) -> Value {
        let body = json!({"stream_id": self.id, "status": word, "reason": "maintenance"});
        ask(self.house, &self.tenant, "POST", "/ssf/status", Some(body)).await
    }
}

async fn next_due(sql: &mut PgConnection, paused: &Paused) -> f64 {
    let Paused { tenant, .. } = paused;
    let mut tx = inside(sql, tenant).await;
    let first = "SELECT extract(epoch FROM min(p.due_at) - now())::float8
                   FROM vst.stream_events e
                   JOIN vst.pending p ON p.org_id = e.org_id AND p.item_id = e.out_id
                  WHERE p.kind = 'stream' AND e.app_id = $1 AND e.state = 'waiting'";
    sqlx::query_scalar(first).bind(tenant.app.id.uuid()).fetch_one(&mut *tx).await.unwrap()
}

/// However many wait on other streams of the org, and whatever is dropped: one event of each stream comes up at each
/// beat, and with it all that may be sent by then.
#[tokio::test]
async fn of_each_paused_stream_one_event_comes_up_at_each_beat() {
    let mut sql = PgConnection::connect(&house().database_url).await.unwrap();
    let many = Paused::new(&mut sql).await;
    let few = many.beside(&mut sql).await;
    wait_on(&mut sql, &many.tenant, 9_000, "1 minute").await;
    wait_on(&mut sql, &few.tenant, 1, "1 minute").await;
    until_few_come_up(&mut sql, &many.tenant).await;
    for _ in 0..40 {
        for paused in [&many, &few] {
            let due = next_due(&mut sql, paused).await;
            assert!(due < 7.0, "{due}");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn what_is_left_when_the_old_are_dropped_comes_up_at_the_next_beat() {
    let mut sql = PgConnection::connect(&house().database_url).await.unwrap();
    let paused = Paused::new(&mut sql).await;
    wait_on(&mut sql, &paused.tenant, 3, "1 minute").await;
    wait_on(&mut sql, &paused.tenant, 300, "6 days 23 hours").await;
    until_few_come_up(&mut sql, &paused.tenant).await;
    let org = paused.tenant.org.uuid();
    let old = "UPDATE vst.stream_events SET created_at = created_at - interval '2 hours'
                WHERE org_id = $1 AND created_at < now() - interval '1 hour'";
    let one =
        "UPDATE vst.pending p SET due_at = CASE WHEN n = 1 THEN now() ELSE now() + interval '1 hour' END
                 FROM (SELECT out_id, row_number() OVER (ORDER BY created_at) AS n
                         FROM vst.stream_events WHERE org_id = $1) AS e
                WHERE p.org_id = $1 AND p.kind = 'stream' AND p.item_id = e.out_id";
    let mut tx = inside(&mut sql, &paused.tenant).await;
    for change in [old, one] {
        assert!(sqlx::query(change).bind(org).execute(&mut *tx).await.unwrap().rows_affected() >= 300);
    }
    tx.commit().await.unwrap();
    until(&mut sql, &paused.tenant, (3, 0, 300, 3)).await;
    let due = next_due(&mut sql, &paused).await;
    assert!(due < 7.0, "{due}");
}

/// Two nodes may look at the same stream: what one has in hand the other passes over, and waits for nothing.
#[tokio::test]
async fn what_another_node_has_in_hand_is_passed_over() {
    let mut sql = PgConnection::connect(&house().database_url).await.unwrap();
    let paused = Paused::new(&mut sql).await;
    wait_on(&mut sql, &paused.tenant, 5, "1 minute").await;
    let mut other = PgConnection::connect(&house().database_url).await.unwrap();
    let mut hold = other.begin().await.unwrap();
    let org = paused.tenant.org.uuid();
    let one = "SELECT item_id FROM vst.pending WHERE kind = 'stream' AND org_id = $1 LIMIT 1 FOR UPDATE";
    let held: uuid::Uuid = sqlx::query_scalar(one).bind(org).fetch_one(&mut *hold).await.unwrap();
    let due = "UPDATE vst.pending SET due_at = now() - interval '1 minute' WHERE item_id IN
                   (SELECT item_id FROM vst.pending WHERE kind = 'stream' AND org_id = $1 FOR UPDATE SKIP LOCKED)";
    assert_eq!(sqlx::query(due).bind(org).execute(&mut sql).await.unwrap().rows_affected(), 4);
    let put_off = "SELECT count(*) FROM vst.pending
                    WHERE kind = 'stream' AND org_id = $1 AND item_id <> $2 AND due_at > now()";
    let late = Instant::now() + Duration::from_secs(20);
    while sqlx::query_scalar::<_, i64>(put_off).bind(org).bind(held).fetch_one(&mut sql).await.unwrap() < 4 {
        assert!(Instant::now() < late, "the claim waits for who has one of them in hand");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    hold.rollback().await.unwrap();
}

/// Of what waited few come up by themselves: all of it is told nonetheless.
#[tokio::test]
async fn what_waited_is_told_at_once_when_the_stream_is_on_again() {
    let mut sql = PgConnection::connect(&house().database_url).await.unwrap();
    let paused = Paused::new(&mut sql).await;
    wait_on(&mut sql, &paused.tenant, 60, "0 seconds").await;
    let later = "UPDATE vst.pending SET due_at = 'infinity' WHERE kind = 'stream' AND org_id = $1";
    let one = "UPDATE vst.pending SET due_at = now() WHERE kind = 'stream' AND org_id = $1
                  AND item_id = (SELECT item_id FROM vst.pending WHERE kind = 'stream' AND org_id = $1 LIMIT 1)";
    // The job may be at it while the first is done.
    for _ in 0..2 {
        sqlx::query(later).bind(paused.tenant.org.uuid()).execute(&mut sql).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    paused.status("enabled").await;
    sqlx::query(one).bind(paused.tenant.org.uuid()).execute(&mut sql).await.unwrap();
    paused.ears.wait_for(60).await;
    paused.status("disabled").await;
}

#[tokio::test]
async fn what_waits_on_a_paused_stream_is_bounded_and_the_stream_says_what_became_of_it() {
    let mut sql = PgConnection::connect(&house().database_url).await.unwrap();
    let paused = Paused::new(&mut sql).await;
    let Paused { house, tenant, ears, id } = &paused;
    let status = async |word: &str| paused.status(word).await;
    wait_on(&mut sql, tenant, 2, "6 days 23 hours").await;
    wait_on(&mut sql, tenant, 9_998, "1 minute").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(counted(&mut sql, tenant).await, (10_000, 2, 0, 10_000), "at the bound nothing goes");
    until_few_come_up(&mut sql, tenant).await;
    let shown = format!("/ssf/status?stream_id={id}");
    assert_eq!(ask(house, tenant, "GET", &shown, None).await["reason"], "maintenance");
    wait_on(&mut sql, tenant, 1, "1 second").await;
    until(&mut sql, tenant, (10_000, 1, 1, 10_000)).await;
    wait_on(&mut sql, tenant, 3, "7 days 1 second").await;
    until(&mut sql, tenant, (10_000, 1, 4, 10_000)).await;
    let said = ask(house, tenant, "GET", &shown, None).await;
    assert_eq!(said["status"], "paused");
    assert!(
        text(&said, "reason").starts_with("maintenance; ") && text(&said, "reason").contains("dropped"),
        "{said}"
    );
    let noted: Vec<String> =
        sqlx::query_scalar("SELECT action FROM vst.platform_events WHERE target = $1 ORDER BY evt_id")
            .bind(id)
            .fetch_all(&mut sql)
            .await
            .unwrap();
    assert_eq!(noted, ["stream.created", "stream.paused", "stream.events_dropped"], "once");
    // Those of an age that is kept; the next pause begins anew.
    wait_on(&mut sql, tenant, 1, "0 seconds").await;
    assert!(text(&status("enabled").await, "reason").contains("dropped"), "who comes back is told");
    ears.wait_for(50).await;
    assert_eq!(status("paused").await["reason"], "maintenance");
    status("disabled").await;
}
