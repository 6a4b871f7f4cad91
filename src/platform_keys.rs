//! Platform keys at the command line, for whoever holds the database: made here alone, listed, revoked. The
//! last one too, if that is said: the API refuses it, and this is the way back in.

use crate::{
    seams::{Clock, SystemChance, SystemClock},
    settings::Settings,
    wiring::{StartError, Stores, database, explained, migrate_at, migrate_own},
};
use broker::administer::name_of;
use model::{Chance, Secret, TokenDigest, ids::KeyId};
use std::fmt::Write;
use store::{Db, GateError, KeyEnd, LastKey, Operator, PlatformAct, PlatformActor, PlatformKey};
use token::credential::{UnboundKind, bearer};

/// Keys read at a time.
const ROWS: i64 = 200;

fn act() -> PlatformAct<'static> {
    PlatformAct { by: PlatformActor::CommandLine, request_id: "command-line", at: SystemClock.now() }
}

/// A new platform key; its text is shown here and never again.
pub async fn create(settings: &Settings, name: &str) -> Result<Secret<String>, StartError> {
    let stores = Stores::join(settings, |_| {})?;
    migrate_at(settings, &stores).await?;
    let db = database(settings, &stores).await?;
    create_in(&db, name).await
}

/// The same, over an open database.
pub async fn create_in(db: &Db, name: &str) -> Result<Secret<String>, StartError> {
    let name = name_of("--name", name).map_err(|why| StartError::Other(why.to_string()))?;
    let (text, act) = (bearer(UnboundKind::Platform, &SystemChance), act());
    let id = KeyId::new(act.at, &SystemChance as &dyn Chance);
    db.create_platform_key(act, id, &name, &TokenDigest::of(text.reveal())).await?;
    Ok(text)
}

/// The operator by a key of this name that is kept sealed in the database: who starts again and again makes one at
/// the first start, and another only where somebody has revoked that.
pub async fn kept(db: &Db, name: &str) -> Result<Operator, StartError> {
    let (place, now) = (format!("platform_key.{name}"), SystemClock.now());
    let is_new = db.platform_secret_if_any(&place).await?.is_none();
    let born = || Secret::new(bearer(UnboundKind::Platform, &SystemChance).reveal().clone().into_bytes());
    let secret = db.platform_secret(&place, now, born).await?;
    let digest = TokenDigest::of(&String::from_utf8_lossy(secret.reveal()));
    if is_new {
        db.create_platform_key(act(), KeyId::new(now, &SystemChance as &dyn Chance), name, &digest).await?;
    }
    match db.platform_key(&digest).await {
        Err(GateError::Unknown) => {}
        known => return known.map_err(|error| StartError::Other(error.to_string())),
    }
    let text = create_in(db, name).await?;
    let made = db.platform_key(&TokenDigest::of(text.reveal())).await;
    made.map_err(|error| StartError::Other(error.to_string()))
}

/// Every platform key in the order of birth, revoked ones too.
pub async fn list(settings: &Settings) -> Result<Vec<PlatformKey>, StartError> {
    let stores = Stores::join(settings, |_| {})?;
    migrate_own(settings, &stores).await?;
    let db = database(settings, &stores).await?;
    let mut keys: Vec<PlatformKey> = Vec::new();
    loop {
        let page = db.platform_keys(PlatformActor::CommandLine, keys.last().map(|key| key.id), ROWS).await;
        let page = page.map_err(|error| explained(settings, &stores.database_url, &error))?;
        let whole = i64::try_from(page.len()).unwrap_or(0) == ROWS;
        keys.extend(page);
        if !whole {
            return Ok(keys);
        }
    }
}

/// Revokes one, at once; answers how many live on. Errors: no such key lives, or it is the last and is to
/// be kept; each says what to do.
pub async fn revoke(settings: &Settings, id: KeyId, last: LastKey) -> Result<usize, StartError> {
    let stores = Stores::join(settings, |_| {})?;
    migrate_own(settings, &stores).await?;
    let db = database(settings, &stores).await?;
    let ended = db.revoke_platform_key(act(), id, last).await;
    match ended.map_err(|error| explained(settings, &stores.database_url, &error))? {
        KeyEnd::Revoked { left } => Ok(left),
        KeyEnd::Unknown => Err(StartError::Other(format!(
            "no platform key {id} lives, it may be revoked already: `vestibule keys list` shows them all"
        ))),
        KeyEnd::Last => Err(StartError::Other(format!(
            "{id} is the last platform key that lives: make another first (`vestibule keys create --platform \
             --name NAME`), or say --force"
        ))),
    }
}

/// A line for each key, for people.
pub fn table(keys: &[PlatformKey]) -> String {
    let mut text = String::new();
    for PlatformKey { id, name, created_at, revoked_at } in keys {
        let state = revoked_at.map_or_else(|| "good".to_owned(), |at| format!("revoked {}", day(at)));
        // A name of an older version may hold what moves a terminal's cursor.
        let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // A String takes every write.
        let _ = writeln!(text, "{id}  {state:<18}  made {}  {name}", day(*created_at));
    }
    text
}

fn day(at: model::Timestamp) -> String {
    at.to_string().chars().take("2026-01-01".len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Timestamp;

    #[test]
    fn a_key_is_a_line_whatever_its_name_holds() {
        let at = Timestamp::parse_rfc3339("2026-11-21T20:00:00Z").unwrap();
        let key = |name: &str, revoked_at| PlatformKey {
            id: KeyId::from_uuid(uuid::Uuid::nil()),
            name: name.to_owned(),
            created_at: at,
            revoked_at,
        };
        let nil = "key_00000000000000000000000000";
        assert_eq!(
            table(&[key("operations", None), key("a\n\u{1b}[2Jb", Some(at))]),
            format!(
                "{nil}  good                made 2026-11-21  operations\n{nil}  revoked 2026-11-21  made 2026-11-21  a  [2Jb\n"
            )
        );
        assert_eq!(table(&[]), "");
    }
}
