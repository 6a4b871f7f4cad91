//! The platform's own record: what was done to apps, platform keys and signing keys, which are no org's. Written in the
//! transaction of the act.

use crate::{Operator, Result};
use model::{
    Chance, Timestamp,
    ids::{AppId, EventId},
};
use sqlx::PgConnection;
use time::OffsetDateTime;

/// Who acts on what the platform keeps of its own.
#[derive(Clone, Copy)]
pub enum PlatformActor {
    /// An operator, by a platform key.
    Operator(Operator),
    /// Whoever holds the database, at the command line.
    CommandLine,
    /// The server itself, when its time has come.
    Schedule,
    /// An app, on what is its own.
    App(AppId),
}

impl From<Operator> for PlatformActor {
    fn from(operator: Operator) -> Self {
        Self::Operator(operator)
    }
}

/// Who did it in which request, and when.
#[derive(Clone, Copy)]
pub struct PlatformAct<'a> {
    pub by: PlatformActor,
    pub request_id: &'a str,
    pub at: Timestamp,
}

pub(crate) async fn note(
    sql: &mut PgConnection,
    chance: &dyn Chance,
    act: PlatformAct<'_>,
    action: &str,
    target: &str,
) -> Result<()> {
    let actor = match act.by {
        PlatformActor::Operator(operator) => operator.key.to_string(),
        PlatformActor::CommandLine => "command_line".to_owned(),
        PlatformActor::Schedule => "schedule".to_owned(),
        PlatformActor::App(app) => app.to_string(),
    };
    sqlx::query(
        "INSERT INTO platform_events (evt_id, at, actor, action, target, request_id)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(EventId::new(act.at, chance).uuid())
    .bind(OffsetDateTime::from(act.at))
    .bind(actor)
    .bind(action)
    .bind(target)
    .bind(act.request_id)
    .execute(sql)
    .await?;
    Ok(())
}
