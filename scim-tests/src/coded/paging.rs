//! Index paging (RFC 7644 3.4.2.4): pages follow on each other, none of the troupe lost or twice.

use super::{Cast, Coded};
use crate::{
    case::{Acting, Stop},
    look::{member, text},
    stage::Stage,
    troupe::needs_filter,
    wire::{Request, encode},
};
use serde_json::Value;

const PAGE: usize = 2;
/// The troupe is smaller; more pages than this are a server that never ends.
const PAGES_MAX: usize = 20;

pub(super) const ACTS: &[Coded] = &[
    ("paging.whole", all_pages, Cast::Troupe),
    ("paging.never-more", page_sizes, Cast::Troupe),
    ("paging.stable", twice, Cast::Troupe),
];

struct Page {
    ids: Vec<String>,
    body: Value,
}

async fn page(stage: &mut Stage, start: usize, count: usize) -> Result<Page, Stop> {
    let filter = encode(&stage.fill("userName sw \"${troupe}-\"")?);
    let path = format!("/Users?filter={filter}&startIndex={start}&count={count}");
    let answer = stage.send(Request::new("GET", path)).await?;
    needs_filter(&answer, "userName sw")?;
    stage.hold(answer.status == 200, "status 200", &answer.status.to_string())?;
    let list = member(answer.body(), "Resources").and_then(Value::as_array);
    let ids = list.into_iter().flatten().map(|one| text(one, "id").to_owned()).collect();
    Ok(Page { ids, body: answer.body().clone() })
}

fn number(body: &Value, name: &str) -> Option<usize> {
    member(body, name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok())
}

fn all_pages(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        let total = number(&page(stage, 1, 1).await?.body, "totalResults").unwrap_or(0);
        stage.hold(total > PAGE, "more results than one page holds", &total.to_string())?;
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..PAGES_MAX {
            let next = page(stage, seen.len() + 1, PAGE).await?;
            stage.hold(
                number(&next.body, "totalResults") == Some(total),
                "the same totalResults on each page",
                &next.body.to_string(),
            )?;
            if next.ids.is_empty() {
                break;
            }
            seen.extend(next.ids);
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        stage.hold(unique.len() == seen.len(), "no resource on two pages", &seen.join(", "))?;
        stage.hold(seen.len() == total, &format!("{total} resources on all pages"), &seen.len().to_string())
    })
}

fn page_sizes(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for (start, count) in [(1, 1), (1, 2), (2, 3), (3, 1)] {
            let one = page(stage, start, count).await?;
            stage.hold(one.ids.len() <= count, &format!("at most {count}"), &one.ids.len().to_string())?;
            stage.hold(!one.ids.is_empty(), "at least one", "none")?;
            let told = number(&one.body, "startIndex") == Some(start);
            stage.hold(told, &format!("startIndex {start}"), &one.body.to_string())?;
            let told = number(&one.body, "itemsPerPage") == Some(one.ids.len());
            stage.hold(told, &format!("itemsPerPage {}", one.ids.len()), &one.body.to_string())?;
        }
        Ok(())
    })
}

fn twice(stage: &mut Stage) -> Acting<'_> {
    Box::pin(async move {
        for start in [1, 3] {
            let (one, two) = (page(stage, start, PAGE).await?, page(stage, start, PAGE).await?);
            stage.hold(one.ids == two.ids, &one.ids.join(", "), &two.ids.join(", "))?;
        }
        Ok(())
    })
}
