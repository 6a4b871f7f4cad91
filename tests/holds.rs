//! The holds of a directory, as an administrator finds them: by state, a page at a time, however many there are.

use crate::{
    blast_guard::{deactivate, decide, guard, holds, people},
    house::{house, walk::text},
};
use serde_json::json;
use sqlx::AssertSqlSafe;

/// Holds are listed a page at a time, and by their state; one is found however many came after it.
#[tokio::test]
async fn holds_are_listed_by_state_and_in_pages() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 4).await;
    assert_eq!(guard(house, &tenant, json!({"percent": 1, "at_least": 1})).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[0]).await.0, 200);
    for id in &people[1..3] {
        assert_eq!(deactivate(house, &tenant, id).await.0, 429);
        let open = text(&holds(house, &tenant).await[0], "id").to_owned();
        assert_eq!(decide(house, &tenant, &open, "refuse", json!({})).await.0, 200);
    }
    assert_eq!(deactivate(house, &tenant, &people[3]).await.0, 429);
    let all = holds(house, &tenant).await;
    let ids: Vec<&str> = all.iter().map(|hold| text(hold, "id")).collect();
    let path = format!("/orgs/{}/directories/{}/holds", tenant.slug, tenant.directory);
    let page = async |query: &str| {
        let (status, said) = house.api("GET", &tenant.org_key, &format!("{path}?{query}"), None).await;
        assert_eq!(status, 200, "{query}: {said}");
        said
    };
    for (query, wanted) in [("state=open", &ids[..1]), ("state=refused", &ids[1..]), ("state=approved", &[])]
    {
        let said = page(query).await;
        let got: Vec<&str> = said["data"].as_array().unwrap().iter().map(|hold| text(hold, "id")).collect();
        assert_eq!(got, wanted, "{query}");
    }
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let said = page(&format!("limit=1{cursor}")).await;
        walked.extend(said["data"].as_array().unwrap().iter().map(|hold| text(hold, "id").to_owned()));
        let Some(next) = said["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(walked, ids);
    let refused = async |path: &str| house.api("GET", &tenant.org_key, path, None).await;
    let (status, said) = refused(&format!("{path}?state=closed")).await;
    assert_eq!((status, text(&said, "code")), (400, "api.query_malformed"), "{said}");
    let (status, said) = refused(&format!("{path}/{}/people?state=open", ids[0])).await;
    assert_eq!((status, text(&said, "detail")), (400, "this call takes no parameters"), "{said}");
}

/// The open hold of a directory is found behind a page of newer ones that are decided.
#[tokio::test]
async fn an_old_hold_still_stands() {
    let house = house();
    let tenant = house.tenant().await;
    let people = people(house, &tenant, 3).await;
    assert_eq!(guard(house, &tenant, json!({"percent": 1, "at_least": 1})).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[0]).await.0, 200);
    assert_eq!(deactivate(house, &tenant, &people[1]).await.0, 429);
    let open = text(&holds(house, &tenant).await[0], "id").to_owned();
    let (org, directory) = (tenant.org.uuid(), tenant.directory.uuid());
    let newer = format!(
        "INSERT INTO holds (org_id, hold_id, dir_id, reason, state, most, active, opened_at)
         SELECT '{org}', ('ffffffff-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '{directory}',
                'last_administrator', 'refused', 0, 1, now()
           FROM generate_series(1, 201) AS n"
    );
    let mut sql = crate::operations::inside(house, tenant.org).await;
    sqlx::query(AssertSqlSafe(newer)).execute(&mut sql).await.unwrap();
    let (status, said) = deactivate(house, &tenant, &people[2]).await;
    assert!(status == 429 && text(&said, "detail").contains(&open), "{said}");
    assert_eq!(decide(house, &tenant, &open, "approve", json!({})).await.0, 200);
}
