//! A directory creates, fills and takes away its groups. A membership change costs what it changes
//! and never loads the group; in the same transaction it gives and takes the teams and roles that
//! the group is mapped to, and whoever lost one must fetch access tokens anew. A group belongs to
//! one directory; another's is as unknown as one that never was. RFC 7644 3.5.2.

use crate::{
    FlowError, Gateway,
    blast_guard::{self, ADMINISTRATORS},
    provision::{Asked, or_taken, record, refused},
};
use model::{
    ids::{GroupId, UserId},
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use scim::{
    Problem, Projection,
    group::{self, GroupChange, MemberChange},
    patch,
};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use store::{Group, MemberEdit, Membership, OrgScope, ScimClient, TenantRead, TenantTx};

/// Most members that one answer shows, over all its groups. Ten megabytes of JSON; a client that
/// wants fewer says `excludedAttributes=members`.
pub const MEMBERS_SHOWN_MAX: i64 = 100_000;
/// Up to so many people are told one by one to fetch tokens anew; beyond, the whole org is, by one row.
const ONE_BY_ONE_MAX: usize = 64;
/// So many of the changed members stand in the audit event; their number always does.
const RECORDED_MAX: usize = 1_000;

/// A group as its directory reads one.
#[derive(Debug)]
pub struct GroupView {
    pub group: Group,
    /// Absent when not asked for.
    pub members: Option<Vec<Membership>>,
}

/// Whose membership a change really changed.
#[derive(Debug, Default)]
struct Moved {
    added: BTreeSet<UserId>,
    removed: BTreeSet<UserId>,
}

/// POST. Refuses with `scim.taken` when this directory has a group of that name, and with
/// `scim.member_unknown` when a member is nobody of this org.
pub async fn create(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    body: &[u8],
    asked: &Asked,
) -> Result<GroupView, FlowError> {
    let draft = group::parse(body)?;
    let mut tx = gw.db.write(scope, "scim.group.create").await?;
    tx.share_mappings().await?;
    let now = tx.now();
    let group = Group {
        id: GroupId::new(now, gw.chance.as_ref()),
        directory: scope.door().directory,
        display_name: draft.display_name,
        external_id: draft.external_id,
        version: 1,
        created_at: now,
        modified_at: now,
    };
    tx.create_group(&group).await.map_err(|error| or_taken(error, "displayName", &group.display_name))?;
    let moved = move_members(&mut tx, group.id, &[MemberChange::Add(draft.members)]).await?;
    tx = regroup(gw, scope, tx, (&moved, asked)).await?;
    let event = AuditEvent::done(Act::GroupCreated).on("group", group.id).value("after", labels(&group));
    let kept = record(gw, now, moved.told(event));
    let view = view(&mut tx, &asked.projection, group).await?;
    tx.commit(kept).await?;
    Ok(view)
}

pub async fn get(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: GroupId,
    projection: &Projection,
) -> Result<GroupView, FlowError> {
    let mut tx = gw.db.read(scope, "scim.group.get").await?;
    let group = tx.group(id).await?.filter(|group| is_own(group, scope)).ok_or(FlowError::Missing)?;
    view(&mut tx, projection, group).await
}

/// PUT: name and members anew.
pub async fn replace(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: GroupId,
    body: &[u8],
    asked: &Asked,
) -> Result<GroupView, FlowError> {
    let draft = group::parse(body)?;
    let wanted = GroupChange {
        rename: Some(draft.display_name),
        external_id: Some(draft.external_id),
        members: vec![MemberChange::Replace(draft.members)],
    };
    change(gw, scope, id, &wanted, asked).await
}

/// PATCH. What changes nothing writes nothing.
pub async fn patch(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: GroupId,
    body: &[u8],
    asked: &Asked,
) -> Result<GroupView, FlowError> {
    let wanted = patch::group_changes(&patch::parse(body)?)?;
    change(gw, scope, id, &wanted, asked).await
}

pub async fn delete(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: GroupId,
    asked: &Asked,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "scim.group.delete").await?;
    tx.share_mappings().await?;
    let group = locked(&mut tx, scope, id, asked).await?;
    let moved = move_members(&mut tx, id, &[MemberChange::RemoveAll]).await?;
    tx.remove_group(id).await?;
    tx = regroup(gw, scope, tx, (&moved, asked)).await?;
    let event = AuditEvent::done(Act::GroupDeleted).on("group", id).value("before", labels(&group));
    let kept = record(gw, tx.now(), moved.told(event));
    Ok(tx.commit(kept).await?)
}

async fn change(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: GroupId,
    wanted: &GroupChange,
    asked: &Asked,
) -> Result<GroupView, FlowError> {
    let mut tx = gw.db.write(scope, "scim.group.change").await?;
    tx.share_mappings().await?;
    let mut group = locked(&mut tx, scope, id, asked).await?;
    let before = labels(&group);
    let moved = move_members(&mut tx, id, &wanted.members).await?;
    let name = wanted.rename.as_ref().filter(|name| **name != group.display_name);
    let external_id = wanted.external_id.as_ref().filter(|label| **label != group.external_id);
    if name.is_none() && external_id.is_none() && moved.is_nobody() {
        return view(&mut tx, &asked.projection, group).await;
    }
    tx.touch_group(id, name.map(String::as_str), external_id.map(Option::as_deref))
        .await
        .map_err(|error| or_taken(error, "displayName", name.map_or("", String::as_str)))?;
    tx = regroup(gw, scope, tx, (&moved, asked)).await?;
    if let Some(name) = name {
        group.display_name.clone_from(name);
    }
    if let Some(label) = external_id {
        group.external_id.clone_from(label);
    }
    group.version = group.version.saturating_add(1);
    group.modified_at = tx.now();
    let event = AuditEvent::done(Act::GroupUpdated)
        .on("group", id)
        .value("before", before)
        .value("after", labels(&group));
    let kept: Record = record(gw, tx.now(), moved.told(event));
    let view = view(&mut tx, &asked.projection, group).await?;
    tx.commit(kept).await?;
    Ok(view)
}

async fn locked(
    tx: &mut TenantTx,
    scope: &OrgScope<ScimClient>,
    id: GroupId,
    asked: &Asked,
) -> Result<Group, FlowError> {
    let group = tx.lock_group(id).await?.filter(|group| is_own(group, scope)).ok_or(FlowError::Missing)?;
    asked.agrees(group.version)?;
    Ok(group)
}

fn is_own(group: &Group, scope: &OrgScope<ScimClient>) -> bool {
    group.directory == scope.door().directory
}

/// Does the steps in order, everybody they touch locked first and at once.
async fn move_members(tx: &mut TenantTx, group: GroupId, steps: &[MemberChange]) -> Result<Moved, FlowError> {
    let mut moved = Moved::default();
    let mut touched: BTreeSet<UserId> = BTreeSet::new();
    for step in steps {
        match step {
            MemberChange::Add(people) | MemberChange::Remove(people) => touched.extend(people),
            MemberChange::Replace(people) => {
                touched.extend(people);
                touched.extend(tx.member_ids(group).await?);
            }
            MemberChange::RemoveAll => touched.extend(tx.member_ids(group).await?),
        }
    }
    if touched.is_empty() {
        return Ok(moved);
    }
    let touched: Vec<UserId> = touched.into_iter().collect();
    let here: HashSet<UserId> = tx.lock_users(&touched).await?.into_iter().collect();
    for step in steps {
        match step {
            MemberChange::Add(people) => {
                known(people, &here)?;
                moved.add(tx.edit_members(group, &MemberEdit::Add(people)).await?);
            }
            MemberChange::Remove(people) => {
                moved.remove(tx.edit_members(group, &MemberEdit::Remove(people)).await?);
            }
            MemberChange::RemoveAll => {
                moved.remove(tx.edit_members(group, &MemberEdit::RemoveAll).await?);
            }
            MemberChange::Replace(people) => {
                known(people, &here)?;
                let wanted: HashSet<UserId> = people.iter().copied().collect();
                let mut gone = tx.member_ids(group).await?;
                gone.retain(|id| !wanted.contains(id));
                moved.remove(tx.edit_members(group, &MemberEdit::Remove(&gone)).await?);
                moved.add(tx.edit_members(group, &MemberEdit::Add(people)).await?);
            }
        }
    }
    Ok(moved)
}

/// Who is not here is refused, never created: a group push must not make people.
fn known(people: &[UserId], here: &HashSet<UserId>) -> Result<(), FlowError> {
    match people.iter().find(|id| !here.contains(id)) {
        Some(id) => {
            let detail = format!("members: no user has this id; received \"{id}\"");
            Err(refused(Problem::MemberUnknown, &detail))
        }
        None => Ok(()),
    }
}

/// Brings teams and roles in line. Whoever lost one keeps the session and fetches access tokens anew;
/// Redis, which keeps what ends sessions, is not told. When too many lose something at once, or nobody is left
/// who administers the org, it is rolled back and held.
async fn regroup(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    mut tx: TenantTx,
    (moved, asked): (&Moved, &Asked),
) -> Result<TenantTx, FlowError> {
    if moved.is_nobody() {
        return Ok(tx);
    }
    let people: Vec<UserId> = moved.added.union(&moved.removed).copied().collect();
    let administered = !moved.removed.is_empty() && tx.others_have_role(&ADMINISTRATORS, None).await?;
    let mut lost = tx.regroup(&people).await?;
    if lost.is_empty() {
        return Ok(tx);
    }
    lost.sort_unstable();
    asked.losers.add(&lost);
    let held = blast_guard::asks_of_roles(&mut tx, scope, (&lost, &asked.losers), administered).await?;
    if let Some((named, held)) = held {
        drop(tx);
        return Err(blast_guard::held(gw, scope, held, &named).await?);
    }
    if lost.len() > ONE_BY_ONE_MAX {
        tx.revoke(Scope::Org, Action::Reassert, "group_changed").await?;
        return Ok(tx);
    }
    for id in lost {
        tx.revoke(Scope::User(id), Action::Reassert, "group_changed").await?;
    }
    Ok(tx)
}

impl Moved {
    /// Who was removed a step earlier and comes back has not moved, and the other way round.
    fn add(&mut self, people: Vec<UserId>) {
        self.added.extend(people.into_iter().filter(|id| !self.removed.remove(id)));
    }
    fn remove(&mut self, people: Vec<UserId>) {
        self.removed.extend(people.into_iter().filter(|id| !self.added.remove(id)));
    }
    fn is_nobody(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
    fn told(&self, event: AuditEvent) -> AuditEvent {
        let some = |people: &BTreeSet<UserId>| -> Value {
            people.iter().take(RECORDED_MAX).map(|id| json!(id)).collect()
        };
        event
            .value("members_added", some(&self.added))
            .value("members_removed", some(&self.removed))
            .value("members_added_count", self.added.len())
            .value("members_removed_count", self.removed.len())
    }
}

fn labels(group: &Group) -> Value {
    json!({"displayName": group.display_name, "externalId": group.external_id})
}

async fn view(tx: &mut TenantRead, projection: &Projection, group: Group) -> Result<GroupView, FlowError> {
    let members = shown(tx, projection, &[group.id]).await?;
    Ok(GroupView { group, members })
}

pub(crate) async fn shown(
    tx: &mut TenantRead,
    projection: &Projection,
    groups: &[GroupId],
) -> Result<Option<Vec<Membership>>, FlowError> {
    if !projection.wants("members") {
        return Ok(None);
    }
    if groups.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let members = tx.members_of(groups, MEMBERS_SHOWN_MAX.saturating_add(1)).await?;
    if i64::try_from(members.len()).is_ok_and(|count| count <= MEMBERS_SHOWN_MAX) {
        return Ok(Some(members));
    }
    let detail =
        format!("more than {MEMBERS_SHOWN_MAX} members; ask for fewer groups or excludedAttributes=members");
    Err(refused(Problem::TooManyMembers, &detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Timestamp;

    struct Sevens;
    impl model::Chance for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn person(secs: i64) -> UserId {
        UserId::new(Timestamp::from_secs(secs), &Sevens)
    }

    #[test]
    fn who_leaves_and_comes_back_in_one_request_has_not_moved() {
        let mut moved = Moved::default();
        moved.remove(vec![person(1), person(2)]);
        moved.add(vec![person(1), person(3)]);
        assert_eq!((moved.added.len(), moved.removed.len()), (1, 1));
        moved.remove(vec![person(3)]);
        moved.add(vec![person(2)]);
        assert!(moved.is_nobody());
    }

    #[test]
    fn a_stranger_is_refused_by_name() {
        let here = HashSet::from([person(1)]);
        assert!(known(&[person(1)], &here).is_ok());
        assert_eq!(known(&[person(1), person(2)], &here).unwrap_err().code(), "scim.member_unknown");
    }
}
