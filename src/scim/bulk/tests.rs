//! Bulk requests: the order they are done in, what it costs, and what cannot be read.

use super::*;
use serde_json::json;
use std::collections::VecDeque;

fn bulk(operations: Value) -> Result<Bulk, ScimError> {
    parse(json!({"schemas": [REQUEST_URN], "Operations": operations}).to_string().as_bytes())
}

fn line(operations: Value) -> Line {
    Line::new(bulk(operations).unwrap().operations)
}

/// A POST that refers to these.
fn post(name: &str, to: &[String]) -> Value {
    let members: Vec<String> = to.iter().map(|to| format!("bulkId:{to}")).collect();
    json!({"method": "POST", "path": "/Groups", "bulkId": name, "data": {"members": members}})
}

/// In the order they are done: name, and what is refused. Whoever is in `fails` makes nothing.
fn story(line: &mut Line, fails: &[String]) -> Vec<(String, String)> {
    let mut told = Vec::new();
    while let Some((operation, turn)) = line.advance() {
        let name = operation.bulk_id.clone().unwrap();
        let (said, made) = match turn {
            Turn::Ready { .. } => (String::new(), !fails.contains(&name)),
            Turn::Circular(of) => (format!("circular {of}"), false),
            Turn::Never(of) => (format!("never {of}"), false),
        };
        line.done(&operation, made.then(|| format!("id_{name}")));
        told.push((name, said));
    }
    told
}

#[test]
fn what_refers_waits_for_what_is_to_come_and_gives_up_on_what_is_not() {
    let operations = json!([
        {"method": "post", "path": "/Groups", "bulkId": "g", "data": {"members": [{"value": "bulkId:u"}]}},
        {"method": "PATCH", "path": "Users/bulkId:u", "data": {"x": 1}},
        {"method": "POST", "path": "/Users", "bulkId": "u", "data": {}},
    ]);
    let mut made = line(operations.clone());
    let (user, _) = made.advance().unwrap();
    assert_eq!(user.bulk_id.as_deref(), Some("u"));
    made.done(&user, Some("usr_1".into()));
    let Some((group, Turn::Ready { id, body })) = made.advance() else { panic!("ready") };
    assert_eq!((id, body), (None, br#"{"members":[{"value":"usr_1"}]}"#.to_vec()));
    made.done(&group, None);
    let Some((_, Turn::Ready { id, .. })) = made.advance() else { panic!("ready") };
    assert_eq!(id.as_deref(), Some("usr_1"));
    assert!(made.advance().is_none());

    let mut failed = line(operations);
    let (user, _) = failed.advance().unwrap();
    failed.done(&user, None);
    assert_eq!(failed.advance().unwrap().1, Turn::Never("u".into()));
    assert_eq!(failed.advance().unwrap().1, Turn::Never("u".into()));
    let unknown = line(json!([post("g", &["u".into()])])).advance().unwrap().1;
    assert_eq!(unknown, Turn::Never("u".into()));
}

/// What `Line` has to agree with: a queue in which whoever waits goes to the back.
fn asked_in_turn(refers: &[(String, Vec<String>)], fails: &[String]) -> Vec<(String, String)> {
    let mut queue: VecDeque<_> = refers.iter().collect();
    let mut made: BTreeMap<&str, bool> = BTreeMap::new();
    let (mut told, mut waited) = (Vec::new(), 0);
    while let Some(one @ (name, to)) = queue.pop_front() {
        let to: BTreeSet<&String> = to.iter().collect();
        let said = match to.into_iter().find(|to| made.get(to.as_str()) != Some(&true)) {
            None => String::new(),
            Some(of) if made.contains_key(of.as_str()) || refers.iter().all(|(name, _)| name != of) => {
                format!("never {of}")
            }
            Some(_) if waited < queue.len() => {
                waited += 1;
                queue.push_back(one);
                continue;
            }
            Some(of) => format!("circular {of}"),
        };
        waited = 0;
        made.insert(name, said.is_empty() && !fails.contains(name));
        told.push((name.clone(), said));
    }
    told
}

#[test]
fn any_request_is_done_in_the_order_of_a_queue() {
    let mut seed = 1_u64;
    let mut below = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    for _ in 0..2_000 {
        let count = 1 + below(9);
        // Names are in another order than places; the last ones are nobody's.
        let name = |at: u64| format!("{}", (at * 7) % 11);
        let mut refers: Vec<(String, Vec<String>)> = Vec::new();
        for at in 0..count {
            let known = count + u64::from(below(5) == 0);
            let to = (0..below(4)).map(|_| name(below(known))).collect();
            refers.push((name(at), to));
        }
        let fails: Vec<String> = (0..below(2)).map(|_| name(below(count))).collect();
        let operations: Vec<Value> = refers.iter().map(|(name, to)| post(name, to)).collect();
        let told = story(&mut line(json!(operations)), &fails);
        assert_eq!(told, asked_in_turn(&refers, &fails), "{refers:?} {fails:?}");
    }
}

/// As many as a request may have, each waiting for the next fifty: one look for each and each reference, at most.
#[test]
fn a_great_circle_is_refused_in_few_looks() {
    let name = |at: usize| format!("{:03}", at % OPERATIONS_MAX);
    let each = |at| post(&name(at), &(1..=50).map(|next| name(at + next)).collect::<Vec<_>>());
    let circle: Vec<Value> = (0..OPERATIONS_MAX).map(each).collect();
    let mut line = line(json!(circle));
    let told = story(&mut line, &[]);
    assert_eq!(told.len(), OPERATIONS_MAX);
    let circular = told.iter().filter(|(_, said)| said.starts_with("circular")).count();
    assert!(circular > 0 && told.iter().all(|(_, said)| !said.is_empty()), "{told:?}");
    assert!(line.looks <= OPERATIONS_MAX * 51, "{}", line.looks);
}

/// Each refers to the fifty after it, so that the last is done first.
#[test]
fn a_long_chain_is_done_in_few_looks() {
    let name = |at: usize| format!("{at:03}");
    let each =
        |at: usize| post(&name(at), &(at + 1..OPERATIONS_MAX.min(at + 51)).map(name).collect::<Vec<_>>());
    let chain: Vec<Value> = (0..OPERATIONS_MAX).map(each).collect();
    let mut line = line(json!(chain));
    let told = story(&mut line, &[]);
    let backwards: Vec<_> = (0..OPERATIONS_MAX).rev().map(|at| (name(at), String::new())).collect();
    assert_eq!(told, backwards);
    assert!(line.looks <= OPERATIONS_MAX * 51, "{}", line.looks);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let data = json!({"userName": "a"});
    for wrong in [
        json!([1]),
        json!([{"path": "/Users", "bulkId": "a", "data": data}]),
        json!([{"method": "GET", "path": "/Users/x"}]),
        json!([{"method": "POST", "path": "/Users", "data": data}]),
        json!([{"method": "POST", "path": "/Users/x", "bulkId": "a", "data": data}]),
        json!([{"method": "POST", "path": "/Teams", "bulkId": "a", "data": data}]),
        json!([{"method": "DELETE", "path": "/Users"}]),
        json!([{"method": "PUT", "path": "/Users/x"}]),
        json!([{"method": "PUT", "path": "/Users/x", "data": []}]),
        json!([{"method": "POST", "path": "/Users", "bulkId": 1, "data": data}]),
        json!([{"method": "POST", "path": "/Users", "bulkId": "a", "data": data},
               {"method": "POST", "path": "/Users", "bulkId": "a", "data": data}]),
    ] {
        let said = bulk(wrong.clone()).expect_err(&wrong.to_string());
        assert!(said.detail.contains("Operations["), "{wrong}: {said:?}");
        assert_eq!(said.code, "scim.bulk_syntax", "no mapping in a directory helps: {wrong}");
    }
    let many = |count: usize| json!(vec![json!({"method": "DELETE", "path": "/Users/x"}); count]);
    assert!(bulk(many(OPERATIONS_MAX)).is_ok());
    assert_eq!(bulk(many(OPERATIONS_MAX + 1)).unwrap_err().status, 413);
    for count in [json!(0), json!(-1), json!("1")] {
        let body = json!({"failOnErrors": count, "Operations": []});
        assert!(parse(body.to_string().as_bytes()).is_err());
    }
}
