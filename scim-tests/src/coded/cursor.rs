//! Cursor paging (RFC 9865). Section numbers are those of the RFC.

use super::{Cast, Coded};
use crate::{
    case::{Acting, Stop},
    look::{member, text},
    play::holds_error,
    stage::{Stage, message},
    troupe::needs_filter,
    wire::{Credential, Request, encode},
};
use serde_json::{Value, json};

const PAGES_MAX: usize = 20;

pub(super) const ACTS: &[Coded] = &[
    ("cursor.announced", announced, Cast::Alone),
    ("cursor.walk", walk, Cast::Troupe),
    ("cursor.search", search, Cast::Troupe),
    ("cursor.invalid", invalid, Cast::Alone),
    ("cursor.tampered", tampered, Cast::Troupe),
    ("cursor.other-query", other_query, Cast::Troupe),
    ("cursor.count-zero", count_zero, Cast::Troupe),
    ("cursor.count-negative", count_negative, Cast::Troupe),
    ("cursor.count-changed", count_changed, Cast::Troupe),
    ("cursor.deletion", deletion, Cast::Alone),
    ("cursor.previous", previous, Cast::Troupe),
    ("cursor.sorted", sorted, Cast::Troupe),
];

fn announced(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let answer = stage.send(Request::new("GET", "/ServiceProviderConfig")).await?;
        let Some(pagination) = member(answer.body(), "pagination") else {
            return Err(Stop::Skipped("ServiceProviderConfig has no pagination".into()));
        };
        for name in ["cursor", "index"] {
            let told = member(pagination, name).is_some_and(Value::is_boolean);
            stage.hold(told, &format!("pagination.{name}, a boolean"), &pagination.to_string())?;
        }
        for name in ["defaultPageSize", "maxPageSize", "cursorTimeout"] {
            let told =
                member(pagination, name).is_none_or(|value| value.as_u64().is_some_and(|number| number > 0));
            stage.hold(told, &format!("pagination.{name}, a positive integer"), &pagination.to_string())?;
        }
        let method = member(pagination, "defaultPaginationMethod");
        let known = method.is_none_or(|value| ["cursor", "index"].iter().any(|one| value == one));
        stage.hold(known, "defaultPaginationMethod cursor or index", &pagination.to_string())
    })
}

struct Page {
    ids: Vec<String>,
    next: Option<String>,
    body: Value,
}

/// One page; `query` is everything but cursor and count.
async fn page(stage: &mut Stage, query: &str, cursor: &str, count: usize) -> Result<Page, Stop> {
    let answer =
        stage.send(Request::new("GET", format!("/Users?{query}&cursor={cursor}&count={count}"))).await?;
    needs_filter(&answer, "userName sw")?;
    stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
    read(stage, answer.body().clone(), count)
}

fn read(stage: &Stage, body: Value, count: usize) -> Result<Page, Stop> {
    let list = member(&body, "Resources").and_then(Value::as_array);
    let ids: Vec<String> = list.into_iter().flatten().map(|one| text(one, "id").to_owned()).collect();
    stage.hold(ids.len() <= count, &format!("at most {count} resources"), &ids.len().to_string())?;
    let next = member(&body, "nextCursor").filter(|value| !value.is_null()).map(|value| {
        let text = value.as_str().unwrap_or_default().to_owned();
        let safe =
            !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._~".contains(&c));
        (text, safe)
    });
    if let Some((text, safe)) = &next {
        stage.hold(*safe, "nextCursor, a text of unreserved characters", text)?;
    }
    Ok(Page { ids, next: next.map(|(text, _)| text), body })
}

fn of_troupe(stage: &Stage) -> Result<String, Stop> {
    Ok(format!("filter={}", encode(&stage.fill("userName sw \"${troupe}-\"")?)))
}

/// Every id from the first page to the last.
async fn follow(stage: &mut Stage, query: &str, count: usize) -> Result<Vec<String>, Stop> {
    let mut cursor = String::new();
    let mut seen = Vec::new();
    for _ in 0..PAGES_MAX {
        let one = page(stage, query, &cursor, count).await?;
        seen.extend(one.ids);
        match one.next {
            Some(next) => cursor = next,
            None => return Ok(seen),
        }
    }
    Err(stage.failed("a last page, without nextCursor", &format!("none in {PAGES_MAX} pages")))
}

/// How many of the troupe there are, without paging by cursor.
async fn headcount(stage: &mut Stage) -> Result<usize, Stop> {
    let query = of_troupe(stage)?;
    let answer = stage.send(Request::new("GET", format!("/Users?{query}&count=1"))).await?;
    needs_filter(&answer, "userName sw")?;
    let total = member(answer.body(), "totalResults").and_then(Value::as_u64);
    total
        .and_then(|total| usize::try_from(total).ok())
        .ok_or_else(|| stage.blocked("totalResults", &answer.text))
}

fn each_once(stage: &Stage, seen: &[String], total: usize) -> Result<(), Stop> {
    let mut unique = seen.to_vec();
    unique.sort();
    unique.dedup();
    stage.hold(unique.len() == seen.len(), "no resource on two pages", &seen.join(", "))?;
    stage.hold(seen.len() == total, &format!("{total} resources on all pages"), &seen.len().to_string())
}

fn walk(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let (total, query) = (headcount(stage).await?, of_troupe(stage)?);
        let first = page(stage, &query, "", 2).await?;
        stage.hold(first.next.is_some(), "nextCursor on the first page", &first.body.to_string())?;
        let back = member(&first.body, "previousCursor").filter(|value| !value.is_null());
        stage.hold(back.is_none(), "no previousCursor on the first page", &first.body.to_string())?;
        let said = member(&first.body, "totalResults").and_then(Value::as_u64);
        let agrees = said.is_none_or(|said| usize::try_from(said) == Ok(total));
        stage.hold(agrees, &format!("totalResults {total}, or none"), &first.body.to_string())?;
        let seen = follow(stage, &query, 2).await?;
        each_once(stage, &seen, total)
    })
}

fn search(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let (total, filter) = (headcount(stage).await?, stage.fill("userName sw \"${troupe}-\"")?);
        let (mut cursor, mut seen) = (String::new(), Vec::new());
        for _ in 0..PAGES_MAX {
            let body = json!({"schemas": [message("SearchRequest")], "filter": filter, "cursor": cursor, "count": 2});
            let answer = stage.send(Request::new("POST", "/Users/.search").json(&body)).await?;
            if answer.status == 501 {
                return Err(Stop::Skipped("the server does not offer .search (501)".into()));
            }
            stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
            let one = read(stage, answer.body().clone(), 2)?;
            seen.extend(one.ids);
            match one.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        each_once(stage, &seen, total)
    })
}

async fn refused(stage: &mut Stage, query: &str, cursor: &str) -> Result<(), Stop> {
    let answer = stage.send(Request::new("GET", format!("/Users?{query}&cursor={cursor}&count=2"))).await?;
    stage.hold(answer.status == 400, "status 400", &answer.status.to_string())?;
    holds_error(stage, "invalidCursor", &answer)
}

fn invalid(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for cursor in ["scim-tests", "0", "%00", "2"] {
            refused(stage, "sortOrder=ascending", cursor).await?;
        }
        Ok(())
    })
}

fn tampered(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let query = of_troupe(stage)?;
        let Page { next, body, .. } = page(stage, &query, "", 2).await?;
        let next = next.ok_or_else(|| stage.blocked("a nextCursor", &body.to_string()))?;
        let middle = next.chars().count() / 2;
        let other = |c: char| if c == 'A' { 'B' } else { 'A' };
        let changed: String =
            next.chars().enumerate().map(|(at, c)| if at == middle { other(c) } else { c }).collect();
        refused(stage, &query, &changed).await
    })
}

fn other_query(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let query = of_troupe(stage)?;
        let Page { next, body, .. } = page(stage, &query, "", 2).await?;
        let next = next.ok_or_else(|| stage.blocked("a nextCursor", &body.to_string()))?;
        refused(stage, "filter=userName%20sw%20%22x%22", &next).await
    })
}

fn count_zero(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let query = of_troupe(stage)?;
        let one = page(stage, &query, "", 0).await?;
        let told = member(&one.body, "totalResults").is_some_and(Value::is_u64);
        stage.hold(told && one.ids.is_empty(), "totalResults alone", &one.body.to_string())
    })
}

fn count_negative(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let query = of_troupe(stage)?;
        let answer = stage.send(Request::new("GET", format!("/Users?{query}&cursor=&count=-2"))).await?;
        stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
        let none = read(stage, answer.body().clone(), 0)?.ids.is_empty();
        stage.hold(none, "no resources", &answer.text)
    })
}

fn count_changed(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let query = of_troupe(stage)?;
        let Page { next, body, .. } = page(stage, &query, "", 2).await?;
        let next = next.ok_or_else(|| stage.blocked("a nextCursor", &body.to_string()))?;
        let answer = stage.send(Request::new("GET", format!("/Users?{query}&cursor={next}&count=1"))).await?;
        match answer.status {
            200 => read(stage, answer.body().clone(), 1).map(|_| ()),
            400 => holds_error(stage, "invalidCount", &answer),
            other => Err(stage.failed("status 200 or 400", &other.to_string())),
        }
    })
}

fn deletion(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for name in ["a", "b", "c", "d", "e"] {
            stage.user(name, &json!({}), Credential::Own).await?;
        }
        let query = format!("filter={}", encode(&format!("userName sw \"{}-\"", stage.tag)));
        let Page { mut ids, next, body } = page(stage, &query, "", 2).await?;
        let next = next.ok_or_else(|| stage.blocked("a nextCursor", &body.to_string()))?;
        let gone = ids.first().cloned().unwrap_or_default();
        stage.prepare(Request::new("DELETE", format!("/Users/{gone}"))).await?;
        let mut cursor = Some(next);
        while let Some(at) = cursor.take() {
            let one = page(stage, &query, &at, 2).await?;
            ids.extend(one.ids);
            cursor = one.next.filter(|_| ids.len() < PAGES_MAX);
        }
        each_once(stage, &ids, 5)
    })
}

fn previous(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let query = of_troupe(stage)?;
        let first = page(stage, &query, "", 2).await?;
        let next = first.next.ok_or_else(|| stage.blocked("a nextCursor", &first.body.to_string()))?;
        let second = page(stage, &query, &next, 2).await?;
        let back = text(&second.body, "previousCursor").to_owned();
        if back.is_empty() {
            return Err(Stop::Skipped("the server gives no previousCursor, which is optional".into()));
        }
        let again = page(stage, &query, &back, 2).await?;
        stage.hold(again.ids == first.ids, &first.ids.join(", "), &again.ids.join(", "))
    })
}

fn sorted(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let query = format!("{}&sortBy=userName&sortOrder=descending", of_troupe(stage)?);
        let total = headcount(stage).await?;
        let seen = follow(stage, &query, 2).await?;
        each_once(stage, &seen, total)?;
        let whole = stage.send(Request::new("GET", format!("/Users?{query}&count={total}"))).await?;
        let list = member(whole.body(), "Resources").and_then(Value::as_array);
        let wanted: Vec<String> = list.into_iter().flatten().map(|one| text(one, "id").to_owned()).collect();
        stage.hold(seen == wanted, &wanted.join(", "), &seen.join(", "))
    })
}
