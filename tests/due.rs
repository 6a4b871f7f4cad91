//! Whose work the jobs take on next.

use crate::house::Site;
use model::{Timestamp, ids::OrgId};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// What has just happened in one org does not wait until the backlogs of many others are done.
#[tokio::test]
async fn no_backlog_of_many_orgs_keeps_out_what_just_fell_due_in_another() {
    let house = Site::named("due").open();
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let (oldest, fresh) = (Uuid::from_u128(1), Uuid::from_u128(1_000));
    sqlx::query(
        "WITH backlogs AS (
             INSERT INTO vst.pending (kind, org_id, item_id, due_at)
             SELECT 'nothing', lpad(to_hex(org), 32, '0')::uuid, gen_random_uuid(),
                    now() - interval '1 hour' + org * interval '1 second' + item * interval '1 minute'
               FROM generate_series(1, 150) AS org, generate_series(1, 50) AS item
         )
         INSERT INTO vst.pending (kind, org_id, item_id, due_at)
         VALUES ('nothing', $1, gen_random_uuid(), now() - interval '1 second')",
    )
    .bind(fresh)
    .execute(&mut sql)
    .await
    .unwrap();
    let now =
        Timestamp::from_secs(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap() + 1);
    let orgs = house.on(async move { house.gw.db.orgs_with_due("nothing", now, 100).await.unwrap() }).await;
    assert_eq!(orgs.len(), 100);
    let first: Vec<OrgId> = orgs.into_iter().take(2).collect();
    assert_eq!(first, [OrgId::from_uuid(oldest), OrgId::from_uuid(fresh)]);
}
