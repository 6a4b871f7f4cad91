//! After a restore, at the command line: everything that is older than this moment ends.

use crate::{
    seams::{Clock, SystemClock},
    settings::Settings,
    wiring::{StartError, Stores, database, explained, migrate_own},
};
use broker::recover::recover;
use store::{Call, PlatformAct, PlatformActor};

/// Raises every org's head; answers how many orgs there are. `progress` hears how far it is.
pub async fn run(settings: &Settings, progress: fn(&str)) -> Result<u64, StartError> {
    let stores = Stores::join(settings, progress)?;
    migrate_own(settings, &stores).await?;
    let db = database(settings, &stores).await?;
    let at = SystemClock.now();
    let act = PlatformAct { by: PlatformActor::CommandLine, request_id: "command-line", at };
    let call = Call { request_id: "command-line".to_owned(), ip: None, user_agent: None, at };
    let told = |done| progress(&format!("{done} orgs are raised …"));
    let done = recover(&db, act, &call, told).await;
    done.map_err(|error| {
        let why = explained(settings, &stores.database_url, &error);
        StartError::Other(format!("not every org is raised, run it again: {why}"))
    })
}
