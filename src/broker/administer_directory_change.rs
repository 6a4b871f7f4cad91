//! A directory's new name, its end, and the groups that mappings name. Its end ends its tokens at once; its
//! people stay, owned by nobody, and what its groups gave is taken back in the same commit.

use crate::{
    FlowError, Gateway,
    administer::{PRINTABLE, Page, given, name_of},
    blast_guard::{AskedGuard, Guard},
    revoke,
};
use model::{
    ids::{self, DirectoryId},
    record::{Act, AuditEvent, Record},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use store::{Administrator, Directory, ListedGroup, OrgScope};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryPatch {
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: Option<String>,
    /// How many people it may take away within an hour, or `"off"`; `null` sets the usual 20 percent and at least 10.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<AskedGuard>")]
    pub blast_guard: Option<Option<AskedGuard>>,
}

/// What becomes of the active people of a directory that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum People {
    /// While there are any, the directory does not end.
    Kept,
    /// They stay active, and no directory's word deactivates them.
    Released,
}

pub async fn change(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: DirectoryId,
    patch: DirectoryPatch,
) -> Result<Directory, FlowError> {
    let name = patch.name.as_deref().map(|name| name_of("name", name)).transpose()?;
    let guard =
        patch.blast_guard.map(|asked| asked.map_or(Ok(Guard::USUAL), AskedGuard::checked)).transpose()?;
    let mut tx = gw.db.write(scope, "directory.change").await?;
    let before = tx.directory(id).await?.ok_or(FlowError::Missing)?;
    if let Some(name) = &name {
        tx.rename_directory(id, name).await?;
    }
    if let Some(guard) = guard {
        let (percent, at_least) = guard.columns();
        tx.set_guard(id, percent, at_least).await?;
    }
    let after = tx.directory(id).await?.ok_or(FlowError::Missing)?;
    let event = AuditEvent::done(Act::DirectoryChanged)
        .on("directory", id)
        .value("before", json!({"name": before.name, "blast_guard": Guard::of(&before)}))
        .value("after", json!({"name": after.name, "blast_guard": Guard::of(&after)}));
    tx.commit(Record::of(event)).await?;
    Ok(after)
}

/// Ends a directory. Errors: `directory.owns_people`.
pub async fn remove(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: DirectoryId,
    people: People,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "directory.remove").await?;
    if !tx.shut_directory(id).await? {
        return Err(FlowError::Missing);
    }
    tx.lock_mappings().await?;
    let before = tx.directory(id).await?.ok_or(FlowError::Missing)?;
    let owned = tx.active_people_of(id).await?;
    if owned > 0 && people == People::Kept {
        let detail = format!("the directory owns {owned} active people; release=true lets go of them");
        return Err(FlowError::conflict("directory.owns_people", detail));
    }
    let lost = tx.remove_directory(id).await?;
    let revoked = revoke::reassert_losers(&mut tx, &lost, "directory_removed").await?;
    let event = AuditEvent::done(Act::DirectoryRemoved)
        .on("directory", id)
        .value("before", json!({"name": before.name, "provider": before.provider}))
        .value("active_people_released", owned)
        .value("people_who_lost", lost.len());
    // Its request log goes with the org's next turn.
    tx.set_turn(scope.now()).await?;
    tx.commit(Record::of(event)).await?;
    for (about, revoked) in revoked {
        revoke::tell(gw, scope, about, revoked, None).await;
    }
    Ok(())
}

/// The groups of the org's directories, in the order of their birth.
pub async fn groups(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    page: Page<ids::Group>,
) -> Result<Vec<ListedGroup>, FlowError> {
    Ok(gw.db.read(scope, "group.list").await?.listed_groups(page.after, page.rows()).await?)
}
