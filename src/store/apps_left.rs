//! Orgs that an app serves no more. The commit by which it leaves them notes each on the jobs' list, one row
//! an org, because what ends there is a revocation of the org's own, and an app may leave a hundred thousand.
//! Until that is written the app cannot come back: what it held is dead before it could be good again.

use crate::{Db, Operator, Result, Serves, TenantTx, gate::PAGE};
use model::{
    Timestamp,
    ids::{AppId, OrgId},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Of the jobs' list: an org, and the app that has left it.
pub const APP_LEFT: &str = "app_left";

/// What became of a change of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    Done,
    /// There is no such app.
    Missing,
    /// It shall serve an org that it has left, and what it held there is not ended yet.
    Leaving,
}

/// The app, locked until the commit, and whether it serves every org; none when there is no such app.
pub(crate) async fn lock_app(sql: &mut PgConnection, app: AppId) -> Result<Option<bool>> {
    Ok(sqlx::query_scalar("SELECT all_orgs FROM apps WHERE app_id = $1 FOR UPDATE")
        .bind(app.uuid())
        .fetch_optional(sql)
        .await?)
}

/// Has what it held in the orgs that it has left been ended, wherever it shall serve? The app is locked.
pub(crate) async fn may_serve(sql: &mut PgConnection, app: AppId, serves: &Serves) -> Result<bool> {
    let orgs = listed(serves);
    Ok(sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1 FROM pending
                             WHERE kind = $1 AND item_id = $2 AND ($3::uuid[] IS NULL OR org_id = ANY ($3)))",
    )
    .bind(APP_LEFT)
    .bind(app.uuid())
    .bind(orgs)
    .fetch_one(sql)
    .await?)
}

/// Notes every org that it serves now and does not keep. The app is locked.
pub(crate) async fn leave(
    sql: &mut PgConnection,
    (app, all_orgs): (AppId, bool),
    keeps: &Serves,
    at: Timestamp,
) -> Result<()> {
    // It keeps all.
    let Some(keeps) = listed(keeps) else { return Ok(()) };
    if !all_orgs {
        sqlx::query(
            "INSERT INTO pending (kind, org_id, item_id, due_at)
             SELECT $1, org_id, app_id, $4
               FROM app_orgs
              WHERE app_id = $2
                AND org_id <> ALL ($3)
             ON CONFLICT DO NOTHING",
        )
        .bind(APP_LEFT)
        .bind(app.uuid())
        .bind(keeps)
        .bind(OffsetDateTime::from(at))
        .execute(sql)
        .await?;
        return Ok(());
    }
    let mut after: Option<Uuid> = None;
    loop {
        let page: Vec<(Uuid, bool)> =
            sqlx::query_as("SELECT org_id, state <> 'purged' FROM gate_orgs($1, $2) ORDER BY org_id")
                .bind(after)
                .bind(PAGE)
                .fetch_all(&mut *sql)
                .await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        let orgs: Vec<Uuid> =
            page.into_iter().filter(|(_, is_there)| *is_there).map(|(org, _)| org).collect();
        sqlx::query(
            "INSERT INTO pending (kind, org_id, item_id, due_at)
             SELECT $1, org, $2, $5
               FROM UNNEST($3::uuid[]) AS org
              WHERE org <> ALL ($4)
             ON CONFLICT DO NOTHING",
        )
        .bind(APP_LEFT)
        .bind(app.uuid())
        .bind(&orgs)
        .bind(&keeps)
        .bind(OffsetDateTime::from(at))
        .execute(&mut *sql)
        .await?;
    }
}

/// None: all of them.
fn listed(serves: &Serves) -> Option<Vec<Uuid>> {
    match serves {
        Serves::All => None,
        Serves::These(orgs) => Some(orgs.iter().map(|org| org.uuid()).collect()),
    }
}

impl Db {
    /// Orgs of these that this app has left, where what it held is not ended yet: so many at most, those that it left
    /// last before others.
    pub async fn orgs_left(&self, _by: Operator, app: AppId, of: &Serves, limit: i64) -> Result<Vec<OrgId>> {
        let orgs: Vec<Uuid> = sqlx::query_scalar(
            "SELECT org_id FROM pending
              WHERE kind = $1 AND item_id = $2 AND ($3::uuid[] IS NULL OR org_id = ANY ($3))
              ORDER BY due_at DESC, org_id
              LIMIT $4",
        )
        .bind(APP_LEFT)
        .bind(app.uuid())
        .bind(listed(of))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(orgs.into_iter().map(OrgId::from_uuid).collect())
    }
}

impl TenantTx {
    /// Takes one app off the jobs' list that has left this org; another node passes it over meanwhile.
    pub async fn take_left_app(&mut self) -> Result<Option<AppId>> {
        let org = self.org().uuid();
        let app: Option<Uuid> = sqlx::query_scalar(
            "DELETE FROM pending
              WHERE kind = $1
                AND org_id = $2
                AND item_id = (SELECT item_id FROM pending
                                WHERE kind = $1 AND org_id = $2
                                ORDER BY item_id
                                LIMIT 1
                                  FOR UPDATE SKIP LOCKED)
             RETURNING item_id",
        )
        .bind(APP_LEFT)
        .bind(org)
        .fetch_optional(self.sql())
        .await?;
        Ok(app.map(AppId::from_uuid))
    }
}
