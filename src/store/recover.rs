//! After a restore: what stands in the database is older than what is out in the world. Every org's head is
//! raised beyond any stamp that can have been given meanwhile, and those who remember more are told that this is
//! another life.

use crate::{Db, PlatformAct, Result, TenantTx, platform_record::note};
use model::ids::{EventId, OrgId};
use uuid::Uuid;

/// What is about all of the platform and happened in its database.
#[derive(Clone, Copy)]
enum Recovery {
    Begun,
    Done,
}

impl Recovery {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "recovery.begun",
            Self::Done => "recovery.done",
        }
    }
}

/// Orgs of one page of all of them.
const PAGE: i32 = 200;

impl Db {
    /// Orgs of every state in the order of birth, a page of them.
    pub async fn orgs_after(&self, after: Option<OrgId>) -> Result<Vec<OrgId>> {
        let rows: Vec<Uuid> = sqlx::query_scalar("SELECT org_id FROM gate_orgs($1, $2)")
            .bind(after.map(|id| id.uuid()))
            .bind(PAGE)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(OrgId::from_uuid).collect())
    }

    /// Another life of the feed, so that no cursor of before is good, and another generation of Redis, so that
    /// whatever it holds is filled again. Recorded in the same commit.
    pub async fn begin_another_life(&self, act: PlatformAct<'_>) -> Result<Uuid> {
        let life = EventId::new(act.at, self.chance.as_ref()).uuid();
        let mut lease = self.begin("BEGIN".to_owned()).await?;
        sqlx::query("UPDATE revocation_feed_head SET life = $1").bind(life).execute(&mut *lease).await?;
        sqlx::query("UPDATE redis_guard SET generation = $1, beat = 0")
            .bind(life)
            .execute(&mut *lease)
            .await?;
        note(&mut lease, self.chance.as_ref(), act, Recovery::Begun.as_str(), &life.to_string()).await?;
        lease.commit().await?;
        Ok(life)
    }

    /// Every org of this life is raised.
    pub async fn note_recovered(&self, act: PlatformAct<'_>, life: Uuid) -> Result<()> {
        let mut lease = self.begin("BEGIN".to_owned()).await?;
        note(&mut lease, self.chance.as_ref(), act, Recovery::Done.as_str(), &life.to_string()).await?;
        lease.commit().await
    }
}

impl TenantTx {
    /// Raises the org's head by so much: a gap in its order that nothing was ever stamped with here.
    pub async fn raise_head(&mut self, by: i64) -> Result<()> {
        sqlx::query("UPDATE revocation_heads SET head = head + $1").bind(by).execute(self.sql()).await?;
        Ok(())
    }
}
