//! Two tenants of one server: what is one's is nothing to the other. The probes of
//! `cases/tenancy.toml` go through `probe`: each is sent with an id of the other tenant and with ids
//! that nobody has, and the answers must not differ.

use super::{Cast, Coded};
use crate::{
    case::{Acting, Stop},
    look::{member, text},
    play,
    script::Step,
    stage::Stage,
    wire::{Answer, Credential, Request},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Pairs of requests whose times are compared.
const SAMPLES: usize = 100;
/// How often the comparison is tried.
const ROUNDS: usize = 3;
/// Headers that differ from one answer to the next anyway.
const VOLATILE: [&str; 9] = [
    "date",
    "request-id",
    "trace",
    "correlation",
    "server-timing",
    "runtime",
    "ratelimit",
    "cf-ray",
    "content-length",
];

pub(super) const ACTS: &[Coded] = &[
    ("tenancy.same-name", same_name, Cast::Alone),
    ("tenancy.lists", lists, Cast::Alone),
    ("tenancy.cursor", cursor, Cast::Alone),
    ("tenancy.timing", timing, Cast::Alone),
];

fn same_name(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let theirs = stage.user("ada", &json!({}), Credential::Other).await?;
        let body = stage.user_body("ada", &json!({}));
        let answer = stage.send(Request::new("POST", "/Users").json(&body)).await?;
        stage.hold(answer.status == 201, "status 201", &answer.status.to_string())?;
        let apart = text(answer.body(), "id") != text(&theirs, "id");
        stage.hold(apart, "a user of its own", &answer.text)
    })
}

fn lists(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let theirs = stage
            .user("ada", &json!({"externalId": format!("{}-ext", stage.tag)}), Credential::Other)
            .await?;
        let (id, name) = (text(&theirs, "id"), text(&theirs, "userName"));
        let work = format!("emails.value eq \"{name}\"");
        for filter in [
            format!("userName eq \"{name}\""),
            format!("id eq \"{id}\""),
            format!("externalId eq \"{}-ext\"", stage.tag),
            work,
        ] {
            let path = format!("/Users?filter={}", crate::wire::encode(&filter));
            let answer = stage.send(Request::new("GET", path)).await?;
            if answer.status == 400 {
                continue;
            }
            let total = member(answer.body(), "totalResults").and_then(Value::as_u64);
            stage.hold(total == Some(0), &format!("nobody for {filter}"), &answer.text)?;
        }
        Ok(())
    })
}

fn cursor(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for name in ["a", "b", "c"] {
            stage.user(name, &json!({}), Credential::Other).await?;
            stage.user(name, &json!({}), Credential::Own).await?;
        }
        let query = format!(
            "/Users?filter={}&count=1",
            crate::wire::encode(&format!("userName sw \"{}-\"", stage.tag))
        );
        let first =
            stage.prepare(Request::new("GET", format!("{query}&cursor=")).by(Credential::Other)).await?;
        let next = text(first.body(), "nextCursor").to_owned();
        stage.hold(!next.is_empty(), "a nextCursor", &first.text)?;
        let theirs = stage
            .prepare(Request::new("GET", query.clone().replace("count=1", "count=10")).by(Credential::Other))
            .await?;
        let answer = stage.send(Request::new("GET", format!("{query}&cursor={next}"))).await?;
        let ids: Vec<&str> = member(theirs.body(), "Resources")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|one| text(one, "id"))
            .collect();
        let seen = ids.iter().find(|id| answer.text.contains(**id));
        stage.hold(seen.is_none(), "none of the other tenant's users", &answer.text)?;
        stage.wish(answer.status == 400, "status 400 invalidCursor", &answer.status.to_string());
        Ok(())
    })
}

fn timing(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let theirs = stage.user("ada", &json!({}), Credential::Other).await?;
        let (foreign, unknown) = (text(&theirs, "id").to_owned(), nobodys(text(&theirs, "id")));
        let mut told = String::new();
        // A busy machine is not a leak: that shows in every round.
        for _ in 0..ROUNDS {
            let (mut of_foreign, mut of_unknown) = (Vec::new(), Vec::new());
            for _ in 0..SAMPLES {
                of_foreign.push(stage.send(Request::new("GET", format!("/Users/{foreign}"))).await?.took);
                of_unknown.push(stage.send(Request::new("GET", format!("/Users/{unknown}"))).await?.took);
            }
            let (one, two) = (median(of_foreign), median(of_unknown));
            if one.abs_diff(two) <= (one.max(two) / 10).max(Duration::from_millis(1)) {
                return Ok(());
            }
            told = format!("{one:?} for the other's, {two:?} for nobody's");
        }
        Err(stage.failed(
            &format!("medians of {SAMPLES} within 1 ms or a tenth, in one of {ROUNDS} rounds"),
            &told,
        ))
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// An id of the same shape that nobody has: one character in its later half is another.
fn nobodys(id: &str) -> String {
    let at = id.chars().count() * 3 / 4;
    id.chars()
        .enumerate()
        .map(|(place, c)| match c {
            _ if place != at => c,
            '0'..='8' => char::from(u8::try_from(c).unwrap_or(b'0') + 1),
            '9' => '0',
            'a' => 'b',
            'A' => 'B',
            _ => 'a',
        })
        .collect()
}

/// Sends a step with the other tenant's id and with nobody's; both must answer alike, and the other
/// tenant's resources must be as they were.
pub(crate) async fn probe(stage: &mut Stage, of: &str, step: &Step) -> Result<(), Stop> {
    let theirs = stage.user("theirs", &json!({}), Credential::Other).await?;
    let ours = stage.user("ours", &json!({}), Credential::Own).await?;
    let mut crew = Value::Null;
    if stage.bench.server.lacks("groups").is_none() {
        let member_ids = [text(&theirs, "id").to_owned()];
        crew = stage.group("crew", &json!({}), &member_ids, Credential::Other).await?;
        stage.group("team", &json!({}), &[text(&ours, "id").to_owned()], Credential::Own).await?;
    }
    let gone = stage.user("gone", &json!({}), Credential::Own).await?;
    stage.prepare(Request::new("DELETE", format!("/Users/{}", text(&gone, "id")))).await?;

    let foreign = if of == "group" { &crew } else { &theirs };
    let foreign_id = text(foreign, "id").to_owned();
    let before = seen(stage, &theirs, &crew).await?;
    stage.set("etag", before.first().and_then(|one| one.header("etag")).unwrap_or("W/\"1\"").into());

    let one = ask(stage, step, &foreign_id).await?;
    let told = stage.last.clone();
    let after = seen(stage, &theirs, &crew).await?;
    stage.last = told.clone();
    let bodies = |answers: &[Arc<Answer>]| {
        answers.iter().map(|one| one.body().to_string()).collect::<Vec<_>>().join(" ")
    };
    stage.hold(
        bodies(&before) == bodies(&after),
        "the other tenant's resources as they were",
        &bodies(&after),
    )?;
    if let Some(status) = &step.status {
        stage.hold(
            status.takes(one.status),
            &format!("status {}", status.words()),
            &one.status.to_string(),
        )?;
    }
    let name = text(&theirs, "userName").to_owned();
    let crew_name = text(&crew, "displayName");
    let leak = one.text.contains(&name) || (!crew_name.is_empty() && one.text.contains(crew_name));
    stage.hold(!leak, "nothing of the other tenant's in the answer", &one.text)?;

    let own_gone = text(&gone, "id").to_owned();
    let two = ask(stage, step, &nobodys(&foreign_id)).await?;
    let three = ask(stage, step, &own_gone).await?;
    stage.last = told;
    alike(stage, (&one, &foreign_id), (&two, &nobodys(&foreign_id)), (&three, &own_gone))
}

/// The other tenant's user, and group where it has one, as it sees them.
async fn seen(stage: &mut Stage, user: &Value, group: &Value) -> Result<Vec<Arc<Answer>>, Stop> {
    let mut answers = Vec::new();
    for (endpoint, id) in [("Users", text(user, "id")), ("Groups", text(group, "id"))] {
        if !id.is_empty() {
            let request = Request::new("GET", format!("/{endpoint}/{id}")).by(Credential::Other);
            answers.push(stage.prepare(request).await?);
        }
    }
    Ok(answers)
}

async fn ask(stage: &mut Stage, step: &Step, target: &str) -> Result<Arc<Answer>, Stop> {
    stage.set("target", target.into());
    let request = play::request(stage, step, step.send.as_deref().unwrap_or_default(), Credential::Own)?;
    stage.send(request).await
}

/// The answer for the other's id against the answers for two ids that nobody has. Where these two
/// differ between themselves (a time, a number), that part is not compared.
fn alike(
    stage: &Stage,
    one: (&Answer, &str),
    two: (&Answer, &str),
    three: (&Answer, &str),
) -> Result<(), Stop> {
    let status = |answer: &Answer| answer.status.to_string();
    let agree = status(one.0) == status(two.0);
    stage.hold(agree, &format!("the status of an unknown id, {}", two.0.status), &status(one.0))?;
    for (what, tell) in [("headers", headers as fn(&Answer, &str) -> String), ("body", body)] {
        let (foreign, unknown, gone) = (tell(one.0, one.1), tell(two.0, two.1), tell(three.0, three.1));
        if unknown == gone {
            stage.hold(foreign == unknown, &format!("the {what} of an unknown id: {unknown}"), &foreign)?;
        }
    }
    Ok(())
}

fn headers(answer: &Answer, id: &str) -> String {
    let mut kept: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| !VOLATILE.iter().any(|word| name.contains(word)))
        .map(|(name, value)| format!("{name}: {}", value.replace(id, "{id}")))
        .collect();
    kept.sort();
    kept.join("; ")
}

fn body(answer: &Answer, id: &str) -> String {
    answer.text.replace(id, "{id}")
}

#[cfg(test)]
mod tests {
    use super::nobodys;

    #[test]
    fn nobodys_id_has_the_same_shape_and_is_another() {
        for id in ["usr_01m7zrtx4rfap83zrr52mdgp89", "42", "7", "0199-aaaa", "9"] {
            let other = nobodys(id);
            assert!(other != id && other.len() == id.len(), "{id} {other}");
        }
    }
}
