//! Signing keys at the command line, for whoever holds the database: listed, rotated at once, withdrawn. Every
//! server of this database takes a change up within two seconds, and none has to be started anew.

use crate::{
    seams::{Clock, SystemClock},
    settings::Settings,
    wiring::{StartError, Stores, database, explained, migrate_own},
};
use broker::signing_keys::{KeysError, change};
use model::{SigningAlg, Timestamp};
use std::fmt::Write;
use store::{Db, ListedSigningKey, PlatformAct, PlatformActor};
use token::key_life::{Haste, JWKS_MAX_AGE_SECS, NotNow, RETIRING_MAX, Step, Wish};

/// Every key without its private half; those that were withdrawn last.
pub async fn list(settings: &Settings) -> Result<Vec<ListedSigningKey>, StartError> {
    let stores = Stores::join(settings, |_| {})?;
    let db = opened(settings, &stores).await?;
    let keys = db.listed_signing_keys().await;
    keys.map_err(|error| explained(settings, &stores.database_url, &error))
}

/// The next key of this algorithm signs from now on; the one before verifies until what it signed is over.
/// Errors: no app asked for the algorithm, the next key is not in every JWKS yet, too many keys are retiring;
/// each says what to do.
pub async fn rotate(settings: &Settings, alg: SigningAlg, haste: Haste) -> Result<String, StartError> {
    let name = alg.as_str();
    let steps = changed(settings, Wish::Rotate { alg, haste }).await?.map_err(|why| match why {
        NotNow::NotInUse | NotNow::Unknown => format!("no app has asked for {name}: it has no key to rotate"),
        NotNow::TooYoung { from } => format!(
            "the next {name} key is not in every JWKS before {from}: tokens that it signs would be refused \
             meanwhile. Say --force to rotate nevertheless"
        ),
        NotNow::TooMany => format!(
            "{RETIRING_MAX} {name} keys are retiring already: wait for one to end, or withdraw one \
             (`vestibule keys signing` shows them)"
        ),
    });
    Ok(told(&steps.map_err(StartError::Other)?))
}

/// The key is good for nothing from now on, and no token that it signed is. Errors: no published key has this
/// name.
pub async fn withdraw(settings: &Settings, kid: &str) -> Result<String, StartError> {
    let steps = changed(settings, Wish::Withdraw { kid }).await?.map_err(|_| {
        StartError::Other(format!(
            "no signing key {kid} is published, it may be withdrawn already: `vestibule keys signing` shows all"
        ))
    })?;
    Ok(format!(
        "{}\nThe servers of this database refuse what it signed within two seconds, apps once they read the JWKS \
         again: {JWKS_MAX_AGE_SECS} s with ours, or what they keep it for.",
        told(&steps)
    ))
}

async fn opened(settings: &Settings, stores: &Stores) -> Result<Db, StartError> {
    migrate_own(settings, stores).await?;
    database(settings, stores).await
}

async fn changed(settings: &Settings, wish: Wish<'_>) -> Result<Result<Vec<Step>, NotNow>, StartError> {
    let stores = Stores::join(settings, |_| {})?;
    let db = opened(settings, &stores).await?;
    let by = PlatformActor::CommandLine;
    let act = PlatformAct { by, request_id: "command-line", at: SystemClock.now() };
    change(&db, act, wish).await.map_err(|error| match error {
        KeysError::Store(error) => explained(settings, &stores.database_url, &error),
        other => StartError::Other(other.to_string()),
    })
}

/// What was done, for people.
fn told(steps: &[Step]) -> String {
    let lines = steps.iter().map(|step| match step {
        Step::Make { alg, state } => format!("A new {} key is {}.", alg.as_str(), state.as_str()),
        Step::Promote { kid } => format!("{kid} signs."),
        Step::Retire { kid, ends_at } => format!("{kid} signs no more; it verifies until {ends_at}."),
        Step::Withdraw { kid } => format!("{kid} is withdrawn."),
        Step::Remove { kid } => format!("{kid} is gone."),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A line for each key, for people.
pub fn table(keys: &[ListedSigningKey]) -> String {
    let mut text = String::new();
    for ListedSigningKey { kid, alg, state, made_at, signs_at, ends_at, withdrawn_at } in keys {
        let dated =
            |word: &str, at: &Option<Timestamp>| at.map_or_else(String::new, |at| format!("  {word} {at}"));
        // A String takes every write.
        let _ = writeln!(
            text,
            "{kid}  {:<5}  {:<9}  made {made_at}{}{}{}",
            alg.as_str(),
            state.as_str(),
            dated("signs since", signs_at),
            dated("until", ends_at),
            dated("withdrawn", withdrawn_at),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::KeyState;

    #[test]
    fn a_key_is_a_line_with_its_dates() {
        let at = Timestamp::parse_rfc3339("2026-11-21T20:00:00Z").unwrap();
        let key = ListedSigningKey {
            kid: "k".to_owned(),
            alg: SigningAlg::EdDsa,
            state: KeyState::Retiring,
            made_at: at,
            signs_at: Some(at),
            ends_at: Some(at),
            withdrawn_at: None,
        };
        assert_eq!(table(&[key]), format!("k  EdDSA  retiring   made {at}  signs since {at}  until {at}\n"));
    }
}
