//! The org's record beyond one page: pages and exports that neither lose nor repeat a line while
//! others are written, cursors that open nothing else, filters to the instant, cells no
//! spreadsheet runs.

use crate::{
    administer::{an_org, operate},
    house::{House, call, house, now, walk::text},
};
use model::{
    Timestamp,
    record::{Act, AuditEvent, Record},
};
use serde_json::Value;
use std::collections::BTreeSet;
use store::{Call, OrgRef};

/// Writes events numbered so, at an instant, in one commit.
async fn write(house: &'static House, org: &str, numbers: std::ops::Range<i64>, at: Timestamp) {
    let org = OrgRef::read(org);
    house
        .on(async move {
            let call = Call { at, ..call() };
            let scope = house.gw.db.administrator(house.operator, &org, &call).await.unwrap();
            let tx = house.gw.db.write(&scope, "test.events").await.unwrap();
            let event = |n: i64| AuditEvent::done(Act::TeamMemberAdded).on("thing", n).value("n", n);
            let first = Record::of(event(numbers.start));
            let record = (numbers.start + 1..numbers.end).fold(first, |record, n| record.and(event(n)));
            tx.commit(record).await.unwrap();
        })
        .await;
}

fn number(event: &Value) -> i64 {
    event["values"]["n"].as_i64().unwrap()
}

async fn exported(house: &House, org: &str, query: &str) -> String {
    let (status, body) = operate(house, "GET", &format!("/orgs/{org}/audit/export?{query}"), None).await;
    assert_eq!(status, 200, "{body}");
    // One line alone is read as JSON by the harness.
    body.as_str().map_or_else(|| format!("{body}\n"), str::to_owned)
}

#[tokio::test]
async fn pages_and_exports_lose_and_repeat_nothing_while_events_arrive() {
    let house = house();
    let org = an_org(house).await;
    let began = now().minus_secs(3_600);
    for n in 0..3 {
        write(house, &org, n * 400..(n + 1) * 400, began.plus_secs(n)).await;
    }
    let base = format!("/orgs/{org}/audit/events?action=team.member_added&limit=200");
    let (mut path, mut seen, mut pages) = (base.clone(), Vec::new(), 0);
    loop {
        let (status, page) = operate(house, "GET", &path, None).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["data"].as_array().unwrap().iter().map(number));
        pages += 1;
        write(house, &org, 2_000 + pages..2_001 + pages, now()).await;
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("{base}&cursor={next}");
    }
    assert_eq!((pages, seen.len()), (6, 1_200));
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), (0..1_200).collect());
    let thirds: Vec<i64> = seen.iter().map(|n| n / 400).collect();
    assert!(thirds.is_sorted_by(|newer, older| newer >= older), "newest first");
    let (export, ()) = tokio::join!(exported(house, &org, "action=team.member_added"), async {
        for n in 0..20 {
            write(house, &org, 3_000 + n..3_001 + n, now()).await;
        }
    });
    let lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<i64> = lines.iter().map(number).filter(|n| *n < 2_000).collect();
    assert_eq!(numbers, seen, "the same lines in the same order, past the first 500");
    let all: BTreeSet<&str> = lines.iter().map(|line| text(line, "id")).collect();
    assert_eq!(all.len(), lines.len(), "none twice");
    let csv = exported(house, &org, "action=team.member_added&format=csv").await;
    assert_eq!(csv.lines().count(), 1 + 1_206 + 20);
    assert!(csv.lines().skip(1).all(|line| line.matches("\",\"").count() == 10), "eleven cells each");
}

#[tokio::test]
async fn a_cursor_that_was_changed_or_is_anothers_opens_nothing() {
    let house = house();
    let (org, other) = (an_org(house).await, an_org(house).await);
    for org in [&org, &other] {
        write(house, org, 0..5, now()).await;
    }
    let events = |org: &str| format!("/orgs/{org}/audit/events?limit=2");
    let cursor_of = async |org: &str| {
        let (_, page) = operate(house, "GET", &events(org), None).await;
        text(&page, "next_cursor").to_owned()
    };
    let (own, foreign) = (cursor_of(&org).await, cursor_of(&other).await);
    let ask =
        async |cursor: &str| operate(house, "GET", &format!("{}&cursor={cursor}", events(&org)), None).await;
    assert_eq!(ask(&own).await.0, 200);
    let flip = |at: usize| {
        let mut bytes = own.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let mut wrong =
        vec![foreign, String::new(), "x".to_owned(), own[..own.len() - 4].to_owned(), format!("{own}AAAA")];
    wrong.extend([0, 10, own.len() / 2, own.len() - 4].map(flip));
    let (_, page) = operate(house, "GET", &events(&org), None).await;
    wrong.push(text(&page["data"][0], "id").to_owned());
    for cursor in wrong {
        let (status, said) = ask(&cursor).await;
        assert_eq!(
            (status, text(&said, "code"), text(&said, "field")),
            (400, "api.query_malformed", "cursor"),
            "{cursor}"
        );
    }
}

#[tokio::test]
async fn filters_are_held_to_the_instant_and_joined() {
    let house = house();
    let org = an_org(house).await;
    let at = Timestamp::from_secs(now().secs() - 600);
    for n in 0..3 {
        write(house, &org, n..n + 1, at.plus_secs(n)).await;
    }
    let found = async |query: String| {
        let (status, page) = operate(house, "GET", &format!("/orgs/{org}/audit/events?{query}"), None).await;
        assert_eq!(status, 200, "{page}");
        let lines = exported(house, &org, &query).await;
        let listed: Vec<i64> = page["data"].as_array().unwrap().iter().map(number).collect();
        let streamed: Vec<i64> = lines.lines().map(|l| number(&serde_json::from_str(l).unwrap())).collect();
        assert_eq!(listed, streamed, "{query}");
        listed
    };
    let (one, two) = (at.plus_secs(1), at.plus_secs(2));
    let mine = "action=team.member_added";
    assert_eq!(found(format!("{mine}&from={one}")).await, [2, 1], "from that instant");
    assert_eq!(found(format!("{mine}&to={two}")).await, [1, 0], "until before that instant");
    assert_eq!(found(format!("{mine}&from={one}&to={two}")).await, [1]);
    assert_eq!(found(format!("{mine}&target=2")).await, [2]);
    let key = house.operator.key;
    assert_eq!(found(format!("{mine}&actor={key}&target=0")).await, [0]);
    assert_eq!(found(format!("{mine}&target=2&to={two}")).await, [] as [i64; 0]);
    assert_eq!(found("actor=nobody".to_owned()).await, [] as [i64; 0]);
    for bad in ["from=2030-01-01", "to=2030-01-01T00:00:00", "format=xml"] {
        let (status, said) = operate(house, "GET", &format!("/orgs/{org}/audit/export?{bad}"), None).await;
        assert_eq!((status, text(&said, "code")), (400, "api.query_malformed"), "{bad}");
    }
}

#[tokio::test]
async fn a_cell_that_a_caller_wrote_is_no_formula() {
    let house = house();
    let org = an_org(house).await;
    let sent = house.http.post(house.url(&format!("/api/v1/orgs/{org}/teams")));
    let sent = sent.bearer_auth(&house.platform_key).header("X-Request-Id", "-1234567");
    let sent = sent.body(r#"{"slug":"t","name":"=1\"+,\r\n2"}"#).send().await.unwrap();
    assert_eq!(sent.status(), 400, "a control character is in no name");
    let sent = house.http.post(house.url(&format!("/api/v1/orgs/{org}/teams")));
    let sent = sent.bearer_auth(&house.platform_key).header("X-Request-Id", "-1234567");
    let sent = sent.body(r#"{"slug":"t","name":"=1\"+,2"}"#).send().await.unwrap();
    assert_eq!(sent.status(), 201);
    let csv = exported(house, &org, "format=csv&action=team.created").await;
    let line = csv.lines().nth(1).unwrap();
    assert!(line.contains(",\"'-1234567\","), "{line}");
    assert!(line.contains(r#"{""name"":""=1\""+,2"",""slug"":""t""}"#), "quoted, and inside JSON: {line}");
}
