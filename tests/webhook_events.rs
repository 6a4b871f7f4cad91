//! What webhooks are told: every event of the org's record as the record shows it, every new line of usage,
//! by type, by pattern or all; never of themselves, and to nobody who may not read it.

use crate::operations::inside;
use crate::{
    administer::{an_org, operate},
    house::{
        House, Tenant, call, house, now,
        served::{Reply, Served},
        walk::{claims, param, redeem, text, to_the_acs, tokens},
    },
};
use model::{
    act::{Act, event_types},
    record::{AuditEvent, Record, Usage},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use store::OrgRef;

async fn hook(house: &House, org: &str, url: &str, events: &[&str]) -> String {
    let new = json!({"url": url, "events": events});
    let (status, made) = operate(house, "POST", &format!("/orgs/{org}/webhooks"), Some(new)).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

fn messages(receiver: &Served) -> Vec<Value> {
    receiver.seen().iter().map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect()
}

/// What the receiver has been told, once nothing more comes.
async fn told(receiver: &Served, at_least: usize) -> Vec<Value> {
    receiver.wait_for(at_least).await;
    let mut count = 0;
    while receiver.seen().len() > count {
        count = receiver.seen().len();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    messages(receiver)
}

fn types(messages: &[Value]) -> BTreeMap<&str, usize> {
    let mut types = BTreeMap::new();
    for message in messages {
        *types.entry(text(message, "type")).or_default() += 1;
    }
    types
}

async fn record(house: &House, tenant: &Tenant) -> Vec<Value> {
    let path = format!("/orgs/{}/audit/events?limit=200", tenant.slug);
    let (status, list) = operate(house, "GET", &path, None).await;
    assert_eq!(status, 200, "{list}");
    list["data"].as_array().unwrap().clone()
}

/// A sign-in, a directory, an administrator and a refusal: each event arrives once, word for word as the
/// record shows it, and nothing is left out.
#[tokio::test]
async fn every_event_is_told_as_the_record_shows_it() {
    let house = house();
    let tenant = house.tenant().await;
    let receiver = Served::start(|_| Reply::status(204)).await;
    let before: BTreeSet<String> =
        record(house, &tenant).await.iter().map(|event| text(event, "id").to_owned()).collect();
    let own = hook(house, &tenant.slug, &receiver.url, &["*"]).await;
    let given = tokens(house, &tenant).await;
    let mut door = to_the_acs(house, &tenant).await;
    let code = param(&door.post().await, "code");
    assert_eq!(redeem(house, &tenant, &code).await.0, 200);
    assert_eq!(redeem(house, &tenant, &code).await.0, 400, "a code used twice is a refusal on record");
    let person = json!({"userName": "grace", "active": true});
    let (_, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(person)).await;
    let off = json!({"Operations": [{"op": "replace", "value": {"active": false}}]});
    let path = format!("/scim/v2/Users/{}", text(&made, "id"));
    assert_eq!(house.scim("PATCH", &tenant.scim_token, &path, Some(off)).await.0, 200);
    let suspended = Some(json!({"state": "suspended"}));
    assert_eq!(operate(house, "PATCH", &format!("/orgs/{}", tenant.slug), suspended).await.0, 200);
    let shown: Vec<Value> = record(house, &tenant)
        .await
        .into_iter()
        .filter(|event| !before.contains(text(event, "id")) && event["target"]["id"] != own.as_str())
        .collect();
    let told = told(&receiver, shown.len()).await;
    let events: Vec<&Value> = told.iter().filter(|m| text(m, "type") != "usage.recorded").collect();
    assert_eq!(events.len(), shown.len(), "{:?} against {shown:#?}", types(&told));
    for event in &shown {
        let message = events.iter().find(|m| m["data"]["id"] == event["id"]).unwrap();
        assert_eq!(&message["data"], event);
        assert_eq!((&message["type"], &message["timestamp"]), (&event["action"], &event["at"]));
    }
    let of = |kind: &str| &events.iter().find(|m| text(m, "type") == kind).unwrap()["data"];
    let said = claims(text(&given, "access_token"));
    let came = events.iter().find(|m| m["data"]["values"]["session"] == said["sid"]).unwrap();
    assert_eq!(came["data"]["target"], json!({"type": "user", "id": said["sub"]}));
    assert_eq!(of("login.accepted")["values"]["connection"], json!(tenant.connection));
    assert_eq!(of("token.code_reused")["outcome"], "refused");
    let left = of("user.deactivated");
    assert_eq!((&left["values"]["active"], &left["target"]["id"]), (&json!(false), &made["id"]));
    assert_eq!(left["actor"], json!({"type": "directory", "id": tenant.directory}));
    assert_eq!(of("org.state_changed")["values"]["after"], json!({"state": "suspended"}));
}

/// A line of usage is told when it is new: a second sign-in of the month adds none of its person.
#[tokio::test]
async fn usage_is_told_line_by_line_and_once() {
    let house = house();
    let tenant = house.tenant().await;
    let receiver = Served::start(|_| Reply::status(204)).await;
    hook(house, &tenant.slug, &receiver.url, &["usage.recorded"]).await;
    tokens(house, &tenant).await;
    tokens(house, &tenant).await;
    let told = told(&receiver, 3).await;
    assert_eq!(types(&told), BTreeMap::from([("usage.recorded", 3)]), "two sign-ins, one person");
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for message in &told {
        let data = &message["data"];
        assert_eq!(
            data.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["at", "event_id", "metric", "value"]
        );
        assert_eq!(data["at"], message["timestamp"]);
        *sums.entry(text(data, "metric").to_owned()).or_default() += data["value"].as_i64().unwrap();
    }
    let (_, usage) = operate(house, "GET", &format!("/orgs/{}/usage", tenant.slug), None).await;
    let shown = usage["data"].as_array().unwrap().iter();
    let shown: BTreeMap<String, i64> =
        shown.map(|row| (text(row, "metric").to_owned(), row["value"].as_i64().unwrap())).collect();
    assert_eq!(sums, shown);
    let keys: BTreeSet<String> = told.iter().map(|m| text(&m["data"], "event_id").to_owned()).collect();
    assert_eq!(keys.len(), 3);
}

async fn write(house: &'static House, org: &str, record: Record) {
    let org = OrgRef::read(org);
    house
        .on(async move {
            let scope = house.gw.db.administrator(house.operator, &org, &call()).await.unwrap();
            let tx = house.gw.db.write(&scope, "test.record").await.unwrap();
            tx.commit(record).await.unwrap();
        })
        .await;
}

/// Every act of the catalogue, and a line of usage, in one commit.
fn everything() -> Record {
    let (first, more) = Act::ALL.split_first().unwrap();
    let record = Record::of(AuditEvent::done(*first));
    let record = more.iter().fold(record, |record, act| record.and(AuditEvent::done(*act)));
    record.metered(Usage { meter: "test.meter", natural_key: "one".to_owned(), value: 7 })
}

#[tokio::test]
async fn a_type_a_pattern_and_all_ask_for_what_they_say() {
    let house = house();
    let org = an_org(house).await;
    let asked: [(&[&str], Vec<&str>); 4] = [
        (&["user.deactivated", "org.*", "org.changed"], vec!["user.deactivated", "org."]),
        (&["user.*"], vec!["user."]),
        (&["usage.*"], vec!["usage."]),
        (&["*"], vec![""]),
    ];
    let mut receivers = Vec::new();
    for (events, fits) in asked {
        let receiver = Served::start(|_| Reply::status(204)).await;
        hook(house, &org, &receiver.url, events).await;
        receivers.push((receiver, fits));
    }
    // The later ones of these four were told to the earlier: they are not asked about here.
    write(house, &org, everything()).await;
    for (receiver, fits) in &receivers {
        let wanted: BTreeSet<&str> =
            event_types().filter(|kind| fits.iter().any(|fit| kind.starts_with(fit))).collect();
        let told = told(receiver, wanted.len()).await;
        assert_eq!(types(&told).into_keys().collect::<BTreeSet<_>>(), wanted);
        assert_eq!(told.len(), wanted.len(), "each once, whatever asks for it: {:?}", types(&told));
    }
}

#[tokio::test]
async fn what_fits_no_type_is_refused_by_name_and_the_types_can_be_read() {
    let house = house();
    let org = an_org(house).await;
    let id = hook(house, &org, "https://hooks.example/", &["user.*"]).await;
    let list = format!("/orgs/{org}/webhooks");
    for (bad, named) in [
        (json!(["user.created", "user.creatd"]), "user.creatd"),
        (json!(["users.*"]), "users.*"),
        (json!(["user.c*"]), "user.c*"),
        (json!(["webhook.delivery_replayed"]), "webhook.delivery_replayed"),
        (json!([""]), ""),
    ] {
        for (method, path) in [("POST", list.clone()), ("PATCH", format!("{list}/{id}"))] {
            let body = json!({"url": "https://hooks.example/", "events": bad});
            let (status, said) = operate(house, method, &path, Some(body)).await;
            assert_eq!((status, text(&said, "code")), (400, "webhook.event_unknown"), "{said}");
            assert_eq!(text(&said, "field"), "events");
            let detail = text(&said, "detail");
            assert!(detail.starts_with(named) && detail.contains("/api/v1/webhook-event-types"), "{detail}");
        }
    }
    for (count, status) in [(0, 400), (50, 201), (51, 400)] {
        let body = json!({"url": "https://hooks.example/", "events": vec!["*"; count]});
        let (answered, said) = operate(house, "POST", &list, Some(body)).await;
        assert_eq!(answered, status, "{said}");
        assert!(status == 201 || text(&said, "code") == "webhook.events", "{said}");
    }
    let (status, types) = operate(house, "GET", "/webhook-event-types", None).await;
    assert_eq!((status, &types["data"]), (200, &json!(event_types().collect::<Vec<_>>())));
}

/// A webhook hears of the others and not of itself; a replay and a death are told to nobody, so that
/// nothing that is told makes more to tell.
#[tokio::test]
async fn what_happens_to_a_webhook_is_not_told_to_it() {
    let house = house();
    let org = an_org(house).await;
    let (mine, others) =
        (Served::start(|_| Reply::status(204)).await, Served::start(|_| Reply::status(204)).await);
    hook(house, &org, &others.url, &["*"]).await;
    let own = hook(house, &org, &mine.url, &["*"]).await;
    let path = format!("/orgs/{org}/webhooks/{own}");
    assert_eq!(operate(house, "POST", &format!("{path}/rotate-secret"), None).await.0, 200);
    mine.answer(|_| Reply::status(500));
    write(house, &org, Record::of(AuditEvent::done(Act::UserCreated))).await;
    mine.wait_for(1).await;
    for state in ["disabled", "enabled"] {
        assert_eq!(operate(house, "PATCH", &path, Some(json!({"state": state}))).await.0, 200);
    }
    mine.answer(|_| Reply::status(204));
    let (_, dead) = operate(house, "GET", &format!("{path}/deliveries?state=dead"), None).await;
    let replay = format!("{path}/deliveries/{}/replay", text(&dead["data"][0], "id"));
    assert_eq!(operate(house, "POST", &replay, None).await.0, 202);
    mine.wait_for(2).await;
    assert_eq!(operate(house, "DELETE", &path, None).await.0, 204);
    let wanted = BTreeMap::from([
        ("user.created", 1),
        ("webhook.created", 1),
        ("webhook.changed", 2),
        ("webhook.secret_rotated", 1),
        ("webhook.removed", 1),
    ]);
    assert_eq!(types(&told(&others, 6).await), wanted);
    let heard = told(&mine, 2).await;
    assert_eq!(types(&heard).into_keys().collect::<Vec<_>>(), ["user.created"], "and not of itself");
}

/// Whoever has the record sent somewhere could read it, too.
#[tokio::test]
async fn a_key_has_sent_only_what_it_may_read() {
    let house = house();
    let tenant = house.tenant().await;
    let list = format!("/orgs/{}/webhooks", tenant.slug);
    let id = hook(house, &tenant.slug, "https://hooks.example/", &["user.*"]).await;
    for (scopes, events, needed) in [
        (json!(["webhooks:write"]), json!(["user.*"]), Some("audit:read")),
        (json!(["webhooks:write"]), json!(["usage.*"]), Some("usage:read")),
        (json!(["webhooks:write", "audit:read"]), json!(["*"]), Some("usage:read")),
        (json!(["webhooks:write", "audit:read"]), json!(["user.*", "usage.recorded"]), Some("usage:read")),
        (
            json!(["webhooks:write", "usage:read"]),
            json!(["usage.recorded", "user.created"]),
            Some("audit:read"),
        ),
        (json!(["webhooks:write", "audit:read"]), json!(["user.created"]), None),
        (json!(["webhooks:write", "audit:read", "usage:read"]), json!(["*"]), None),
    ] {
        let keys = format!("/orgs/{}/keys", tenant.slug);
        let (_, born) = operate(house, "POST", &keys, Some(json!({"name": "k", "scopes": scopes}))).await;
        let body = json!({"url": "https://hooks.example/", "events": events});
        for (method, path) in [("POST", list.clone()), ("PATCH", format!("{list}/{id}"))] {
            let (status, said) = house.api(method, text(&born, "key"), &path, Some(body.clone())).await;
            match needed {
                None => assert!(status < 300, "{said}"),
                Some(needed) => {
                    assert_eq!((status, text(&said, "code")), (403, "api.scope_missing"), "{events}: {said}");
                    assert!(said.to_string().contains(needed), "{said}");
                }
            }
        }
    }
    let keys = format!("/orgs/{}/keys", tenant.slug);
    let lesser = json!({"name": "k", "scopes": ["webhooks:write"]});
    let (_, born) = operate(house, "POST", &keys, Some(lesser)).await;
    let elsewhere = json!({"url": "https://elsewhere.example/"});
    let path = format!("{list}/{id}");
    assert_eq!(house.api("PATCH", text(&born, "key"), &path, Some(elsewhere)).await.0, 403, "nor led astray");
    let off = json!({"state": "disabled"});
    assert_eq!(house.api("PATCH", text(&born, "key"), &path, Some(off)).await.0, 200, "but stopped");
}

/// The text is made from the record when it is sent: what was taken away there is nowhere else.
#[tokio::test]
async fn what_the_record_has_lost_is_not_told() {
    let house = house();
    let tenant = house.tenant().await;
    let receiver = Served::start(|_| Reply::status(500)).await;
    let id = hook(house, &tenant.slug, &receiver.url, &["user.created"]).await;
    let event = AuditEvent::done(Act::UserCreated).value("kept", "K").value("gone", "CANARY");
    write(house, &tenant.slug, Record::of(event)).await;
    receiver.wait_for(1).await;
    let mut sql = inside(house, tenant.org).await;
    sqlx::query("DELETE FROM audit_values WHERE path = 'gone'").execute(&mut sql).await.unwrap();
    receiver.answer(|_| Reply::status(204));
    let second = receiver.wait_for(2).await.remove(1);
    let said: Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!(said["data"]["values"], json!({"kept": "K"}));
    sqlx::query(
        "WITH lost AS (
             INSERT INTO deliveries (org_id, del_id, whk_id, event_type, evt_id, state, next_at, created_at)
             SELECT $1, gen_random_uuid(), whk_id, 'user.created', gen_random_uuid(), 'waiting', $2, $2
               FROM webhooks
             RETURNING del_id
         )
         INSERT INTO pending (kind, org_id, item_id, due_at) SELECT 'delivery', $1, del_id, $2 FROM lost",
    )
    .bind(tenant.org.uuid())
    .bind(sqlx::types::time::OffsetDateTime::from(now()))
    .execute(&mut sql)
    .await
    .unwrap();
    let path = format!("/orgs/{}/webhooks/{id}/deliveries?state=dead", tenant.slug);
    for _ in 0..500 {
        let (_, dead) = operate(house, "GET", &path, None).await;
        if let Some(dead) = dead["data"].get(0) {
            assert_eq!(text(dead, "last_error"), "the record does not have it any more");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it still waits");
}

/// A webhook is removed while its messages are on their way and new ones are written: no act of the org
/// fails of it, and nothing of it stays on the jobs' list.
#[tokio::test]
async fn a_webhook_goes_while_it_is_told() {
    let house = house();
    let org = an_org(house).await;
    let receiver = Served::start(|_| Reply::status(204)).await;
    let mut sql = inside(house, org.parse().unwrap()).await;
    for round in 1..=8 {
        let id = hook(house, &org, &receiver.url, &["*"]).await;
        write(house, &org, everything()).await;
        receiver.wait_for(round * 3).await;
        let writes = async {
            for _ in 0..10 {
                write(house, &org, Record::of(AuditEvent::done(Act::UserCreated))).await;
            }
        };
        let path = format!("/orgs/{org}/webhooks/{id}");
        let (gone, ()) = tokio::join!(operate(house, "DELETE", &path, None), writes);
        assert_eq!(gone.0, 204, "{}", gone.1);
        let left = "SELECT count(*) FROM pending WHERE kind = 'delivery' AND org_id = current_org()";
        let began = std::time::Instant::now();
        while sqlx::query_scalar::<_, i64>(left).fetch_one(&mut sql).await.unwrap() > 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "it waits still");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
