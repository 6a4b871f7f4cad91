//! Many requests at once: what was answered with success is what is there afterwards.

use super::{Cast, Coded};
use crate::{
    case::{Acting, Stop},
    look::{member, text},
    stage::{Stage, message},
    wire::{Answer, Credential, Request, encode},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Users that join one group at once, and clients that write one user at once.
const CROWD: usize = 20;

pub(super) const ACTS: &[Coded] = &[
    ("race.create", create, Cast::Alone),
    ("race.members", members, Cast::Alone),
    ("race.if-match", if_match, Cast::Alone),
    ("race.delete", delete, Cast::Alone),
    ("race.patch-fields", fields, Cast::Alone),
];

/// How often each status came; no answer is 0.
fn counted(answers: &[Result<std::sync::Arc<Answer>, String>]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.as_ref().map_or(0, |answer| answer.status)).or_default() += 1;
    }
    counts
}

fn in_words(counts: &BTreeMap<u16, usize>) -> String {
    let words = counts.iter().map(|(status, count)| match status {
        0 => format!("{count} × no answer"),
        status => format!("{count} × {status}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn create(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let burst = stage.bench.burst;
        let body = stage.user_body("one", &json!({}));
        let requests = vec![Request::new("POST", "/Users").json(&body); burst];
        let counts = counted(&stage.burst(requests).await);
        let of = |status: u16| counts.get(&status).copied().unwrap_or(0);
        stage.hold(of(201) == 1, &format!("one 201 of {burst}"), &in_words(&counts))?;
        // A server that protects itself may turn some away; nobody may get a fault.
        let spared = of(429) + of(503) + of(0);
        stage.hold(of(201) + of(409) + spared == burst, "409 for the others", &in_words(&counts))?;
        stage.wish(of(0) == 0, "an answer to each", &in_words(&counts));
        let filter = encode(&format!("userName eq \"{}\"", text(&body, "userName")));
        let answer = stage.send(Request::new("GET", format!("/Users?filter={filter}"))).await?;
        let total = member(answer.body(), "totalResults").and_then(Value::as_u64);
        stage.hold(total == Some(1), "one such user afterwards", &answer.text)
    })
}

fn members(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let group = stage.group("team", &json!({}), &[], Credential::Own).await?;
        let path = format!("/Groups/{}", text(&group, "id"));
        let mut requests = Vec::new();
        for number in 0..CROWD {
            let user = stage.user(&format!("m{number}"), &json!({}), Credential::Own).await?;
            let add = json!({"op": "add", "path": "members", "value": [{"value": text(&user, "id")}]});
            let body = json!({"schemas": [message("PatchOp")], "Operations": [add]});
            requests.push(Request::new("PATCH", path.clone()).json(&body));
        }
        let answers = stage.burst(requests).await;
        let done = answers.iter().filter(|one| one.as_ref().is_ok_and(|one| one.is_success())).count();
        let answer = stage.send(Request::new("GET", path)).await?;
        let kept = member(answer.body(), "members").and_then(Value::as_array).map_or(0, Vec::len);
        stage.hold(kept == done, &format!("{done} members, one for each success"), &kept.to_string())?;
        stage.hold(done == CROWD, &format!("{CROWD} successes"), &in_words(&counted(&answers)))
    })
}

fn if_match(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let path = format!("/Users/{}", text(&user, "id"));
        let read = stage.prepare(Request::new("GET", path.clone())).await?;
        let Some(tag) = read.header("etag").map(str::to_owned) else {
            return Err(stage.failed("an ETag", "none"));
        };
        let write = |number: usize, stage: &Stage| {
            let body = stage.user_body("ada", &json!({"displayName": format!("writer {number}")}));
            Request::new("PUT", path.clone()).json(&body).header("If-Match", &tag)
        };
        let requests = (0..CROWD).map(|number| write(number, stage)).collect();
        let counts = counted(&stage.burst(requests).await);
        let of = |status: u16| counts.get(&status).copied().unwrap_or(0);
        let right = of(200) == 1 && of(412) == CROWD - 1;
        stage.hold(right, &format!("1 × 200, {} × 412", CROWD - 1), &in_words(&counts))
    })
}

fn delete(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let requests = vec![Request::new("DELETE", format!("/Users/{}", text(&user, "id"))); CROWD];
        let counts = counted(&stage.burst(requests).await);
        let of = |status: u16| counts.get(&status).copied().unwrap_or(0);
        let right = of(204) == 1 && of(404) == CROWD - 1;
        stage.hold(right, &format!("1 × 204, {} × 404", CROWD - 1), &in_words(&counts))
    })
}

fn fields(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let user = stage.user("ada", &json!({}), Credential::Own).await?;
        let path = format!("/Users/{}", text(&user, "id"));
        let attributes = ["nickName", "title", "displayName"];
        let set = |name: &str| {
            let body = json!({"schemas": [message("PatchOp")],
                "Operations": [{"op": "replace", "path": name, "value": "set at once"}]});
            Request::new("PATCH", path.clone()).json(&body)
        };
        let answers = stage.burst(attributes.iter().map(|name| set(name)).collect()).await;
        let all = answers.iter().all(|one| one.as_ref().is_ok_and(|one| one.is_success()));
        stage.hold(all, "three successes", &in_words(&counted(&answers)))?;
        let answer = stage.send(Request::new("GET", path)).await?;
        for name in attributes {
            stage.hold(
                text(answer.body(), name) == "set at once",
                &format!("{name} as it was set"),
                &answer.text,
            )?;
        }
        Ok::<(), Stop>(())
    })
}
