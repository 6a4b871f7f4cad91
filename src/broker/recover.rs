//! After a backup was restored. What was revoked since it was made is forgotten, and what was minted since
//! carries stamps that are still to be given. So every org is raised beyond both, and ended, once.

use model::{
    ids::OrgId,
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use store::{Call, Db, Error, GateError, PlatformAct};

/// More than any org revokes between a backup and its restore; there is room for two thousand million of these.
const RAISE: i64 = 1 << 32;

/// Ends every session, token, refresh family, code and half-finished sign-in of every org, by a head that is 2³²
/// higher. `told` hears how many orgs are done, after each page of them. An org's state does not matter, but a
/// purged one has nothing to end. Broken off, it is begun again: raised twice is raised. Answers how many orgs.
pub async fn recover(db: &Db, act: PlatformAct<'_>, call: &Call, told: impl Fn(u64)) -> Result<u64, Error> {
    // First, so that nobody reads on in the old life while its orgs are raised.
    let life = db.begin_another_life(act).await?;
    let (mut done, mut after) = (0, None);
    loop {
        let page = db.orgs_after(after).await?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        for org in page {
            done += u64::from(raised(db, org, call).await?);
        }
        told(done);
    }
    db.note_recovered(act, life).await?;
    Ok(done)
}

async fn raised(db: &Db, org: OrgId, call: &Call) -> Result<bool, Error> {
    let scope = match db.job("recover", org, call).await {
        Ok(scope) => scope,
        Err(GateError::Unknown | GateError::Closed(_)) => return Ok(false),
        Err(GateError::Store(error)) => return Err(error),
    };
    let mut tx = db.write(&scope, "recover").await?;
    // The revocation takes the last step itself.
    tx.raise_head(RAISE - 1).await?;
    tx.revoke(Scope::Org, Action::Terminate, "restored").await?;
    tx.commit(Record::of(AuditEvent::done(Act::OrgSessionsRevoked).on("org", org))).await?;
    Ok(true)
}
