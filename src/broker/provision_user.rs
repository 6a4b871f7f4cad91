//! A directory creates, changes and takes away people. Whatever turns a person inactive (PATCH, PUT,
//! DELETE, an adopting POST) ends their sessions in the very transaction that says so. A person is
//! seen by every directory of the org and changed by the one that owns them; a seat that a sign-in made
//! is taken over where the org lets a directory do that, and else left alone. Never told from a missing one: a person of another org. RFC 7644 3.3 to 3.6.

use crate::{
    FlowError, Gateway,
    blast_guard::{Taking, unless_held},
    provision::{Asked, differences, or_taken, record, refused, taken},
    provision_document::{addresses_of, document_of, filled},
    provision_group::MEMBERS_SHOWN_MAX,
    provision_names,
    quota::{self, Seat as Room},
    revoke,
};
use model::{
    ids::{DeprovisioningId, DirectoryId, UserId},
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
    user::normalised,
};
use scim::{
    Problem, Projection, ScimError,
    patch::{self, PatchOutcome},
    user::{self, UserDocument, UserDraft},
};
use serde_json::Value;
use store::{GUARDED_SECS, Membership, NewUser, OrgScope, Revoked, ScimClient, TenantRead, TenantTx, User};

/// A person as a directory reads one.
#[derive(Debug)]
pub struct Seat {
    pub user: User,
    pub document: UserDocument,
    /// The asking directory's groups that hold the person; empty when not asked for.
    pub groups: Vec<Membership>,
}

/// What is to become of a seat that this transaction has locked.
struct Change {
    present: User,
    before: UserDocument,
    next: UserDocument,
    outcome: PatchOutcome,
    /// The directory takes over a seat that none owns.
    adopts: bool,
}

/// POST: a new person, or the seat a sign-in made, taken over where the org allows it. Refuses with
/// `scim.taken` when the user name is another's.
pub async fn create(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    body: &[u8],
    asked: &Asked,
) -> Result<Seat, FlowError> {
    let draft = user::parse(body)?;
    let document = draft.clone().create()?;
    let mut tx = gw.db.write(scope, "scim.user.create").await?;
    // Most are new, and told so by being made. In an org whose seats are counted whoever is in the way is told
    // before a seat is asked for.
    let is_counted = document.active && !tx.has_unbounded_seats();
    if is_counted && let Some(present) = provision_names::taken_by(&mut tx, &draft).await? {
        return take_over(gw, scope, (tx, present), draft, asked).await;
    }
    let now = tx.now();
    let blank = User {
        id: UserId::new(now, gw.chance.as_ref()),
        user_name: String::new(),
        external_id: None,
        active: document.active,
        email: None,
        display_name: None,
        given_name: None,
        family_name: None,
        directory: Some(scope.door().directory),
        attributes: Value::Null,
        version: 1,
        created_at: now,
        modified_at: now,
    };
    let user = filled(blank, &document);
    let room;
    (tx, room) = seat_for(gw, scope, tx, (false, user.active)).await?;
    let new = NewUser {
        user: &user,
        emails: &addresses_of(&document),
        given_back: &provision_names::given_back(&draft),
        unclaimed: &provision_names::claims(&draft),
    };
    if !tx.create_user(&new, room).await? {
        let present = provision_names::taken_by(&mut tx, &draft).await?;
        let present = present.ok_or_else(|| taken("userName", &draft.user_name))?;
        return take_over(gw, scope, (tx, present), draft, asked).await;
    }
    let event = AuditEvent::done(Act::UserCreated)
        .on("user", user.id)
        .value("after", Value::Object(document.attributes.clone()))
        .value("active", user.active);
    tx.commit(record(gw, now, event)).await?;
    Ok(Seat { user, document, groups: Vec::new() })
}

/// The seat that is in the way of a new person becomes that person's, if a sign-in made it and the org lets a
/// directory take it over. Errors: `scim.taken`.
async fn take_over(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    (mut tx, present): (TenantTx, User),
    draft: UserDraft,
    asked: &Asked,
) -> Result<Seat, FlowError> {
    let before = document_of(&present)?;
    if present.directory.is_some() || !provision_names::may_be_adopted(&mut tx, &before).await? {
        let detail = if normalised(&present.user_name) == normalised(&draft.user_name) {
            format!("userName is taken by {}; received \"{}\"", present.id, draft.user_name)
        } else {
            provision_names::CLAIMED.to_owned()
        };
        return Err(refused(Problem::Taken, &detail));
    }
    tx.forget_departed(&provision_names::given_back(&draft)).await?;
    // A seat that an administrator closed stays closed unless the directory says otherwise.
    let (next, outcome) = draft.replace(&before)?;
    write(gw, scope, tx, Change { present, before, next, outcome, adopts: true }, asked).await
}

pub async fn get(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: UserId,
    projection: &Projection,
) -> Result<Seat, FlowError> {
    let mut tx = gw.db.read(scope, "scim.user.get").await?;
    let user = tx.user(id).await?.ok_or(FlowError::Missing)?;
    let document = document_of(&user)?;
    seat(&mut tx, scope, projection, (user, document)).await
}

/// PUT: the whole document anew.
pub async fn replace(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: UserId,
    body: &[u8],
    asked: &Asked,
) -> Result<Seat, FlowError> {
    let draft = user::parse(body)?;
    change(gw, scope, id, asked, |present| draft.replace(present)).await
}

/// PATCH. What changes nothing writes nothing.
pub async fn patch(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: UserId,
    body: &[u8],
    asked: &Asked,
) -> Result<Seat, FlowError> {
    let patch = patch::parse(body)?;
    change(gw, scope, id, asked, |present| patch::apply(&patch, present)).await
}

/// DELETE: the person's row goes, and what it took along; the receipt and the audit stay, and so
/// does the memory that a directory took this name away.
pub async fn delete(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: UserId,
    asked: &Asked,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "scim.user.delete").await?;
    tx.share_mappings().await?;
    tx.lock_groups_of(id, scope.door().directory).await?;
    let present = tx.lock_user(id).await?.ok_or(FlowError::Missing)?;
    takes_over(&mut tx, &present, scope).await?;
    asked.agrees(present.version)?;
    if present.active {
        tx = unless_held(gw, scope, tx, (present.id, Taking::Away)).await?;
    }
    tx.note_departed(&present).await?;
    let ended = revoke::end_person(gw, &mut tx, id, "scim_deleted", Some(scope.door().directory)).await?;
    tx.remove_user(id).await?;
    let before = document_of(&present)?.attributes;
    let event = AuditEvent::done(Act::UserDeleted)
        .on("user", id)
        .value("before", Value::Object(before))
        .value("active", present.active)
        .value("receipt", ended.receipt.to_string());
    let kept = record(gw, tx.now(), event);
    tx.commit(kept).await?;
    revoke::tell(gw, scope, ended.about, ended.revoked, Some(ended.receipt)).await;
    Ok(())
}

async fn change(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    id: UserId,
    asked: &Asked,
    judge: impl FnOnce(&UserDocument) -> Result<(UserDocument, PatchOutcome), ScimError>,
) -> Result<Seat, FlowError> {
    let mut tx = gw.db.write(scope, "scim.user.change").await?;
    let present = tx.lock_user(id).await?.ok_or(FlowError::Missing)?;
    let adopts = takes_over(&mut tx, &present, scope).await?;
    asked.agrees(present.version)?;
    let before = document_of(&present)?;
    let (next, outcome) = judge(&before)?;
    if !outcome.changed {
        return seat(&mut tx, scope, &asked.projection, (present, before)).await;
    }
    write(gw, scope, tx, Change { present, before, next, outcome, adopts }, asked).await
}

/// The one way a changed person is written: row, addresses, what must die, record, commit; then the
/// word to Redis.
async fn write(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    mut tx: TenantTx,
    change: Change,
    asked: &Asked,
) -> Result<Seat, FlowError> {
    let present = &change.present;
    provision_names::unless_claimed(&mut tx, present.id, (&change.before, &change.next)).await?;
    if change.outcome.turned_inactive && present.active {
        tx = unless_held(gw, scope, tx, (present.id, Taking::Away)).await?;
    }
    if provision_names::may_be_another((&change.before, &change.next), change.adopts) {
        tx = unless_held(gw, scope, tx, (present.id, Taking::Over)).await?;
    }
    // Who is new is known to nobody yet.
    let is_known = present.created_at <= tx.now().minus_secs(GUARDED_SECS);
    let renamed = present.active
        && is_known
        && !change.outcome.turned_inactive
        && provision_names::keeps_out(&mut tx, (&change.before, &change.next)).await?;
    if renamed {
        tx = unless_held(gw, scope, tx, (present.id, Taking::Out)).await?;
    }
    let mut user = filled(change.present.clone(), &change.next);
    if change.adopts {
        user.directory = Some(scope.door().directory);
    }
    let room;
    (tx, room) = seat_for(gw, scope, tx, (change.present.active, user.active)).await?;
    tx.save_user(&user, room).await.map_err(|error| or_taken(error, "userName", &user.user_name))?;
    tx.set_emails(user.id, &addresses_of(&change.next)).await?;
    if renamed {
        tx.note_renamed(user.id).await?;
    }
    user.version = user.version.saturating_add(1);
    user.modified_at = tx.now();
    let lost = change.adopts && tx.drop_sign_in_gifts(user.id).await?;
    provision_names::unbind_old_name(&mut tx, user.id, (&change.before, &change.next)).await?;
    let ended = end(gw, &mut tx, &change, (lost, scope.door().directory)).await?;
    let kept = written(gw, &user, &change, ended.as_ref());
    let seat = seat(&mut tx, scope, &asked.projection, (user, change.next)).await?;
    tx.commit(kept).await?;
    if let Some(Ended { about, revoked, receipt }) = ended {
        revoke::tell(gw, scope, about, revoked, receipt).await;
    }
    Ok(seat)
}

/// Room for whoever is active from now on and was not; nobody else takes a seat. Errors: `quota.seats`.
async fn seat_for(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    tx: TenantTx,
    (was_active, is_active): (bool, bool),
) -> Result<(TenantTx, Option<Room>), FlowError> {
    if was_active || !is_active {
        return Ok((tx, None));
    }
    quota::admit(gw, scope, tx).await.map(|(tx, room)| (tx, Some(room)))
}

struct Ended {
    about: Scope,
    revoked: Revoked,
    receipt: Option<DeprovisioningId>,
}

/// What the change ends. Another user name may be another person, so it ends sessions too, but it
/// is no deprovisioning and has no receipt. Whoever only lost a team or role keeps the session: that
/// is for the access tokens alone, and Redis, which keeps what ends sessions, is not told.
async fn end(
    gw: &Gateway,
    tx: &mut TenantTx,
    change: &Change,
    (lost, directory): (bool, DirectoryId),
) -> Result<Option<Ended>, FlowError> {
    let id = change.present.id;
    if change.outcome.turned_inactive {
        let ended = revoke::end_person(gw, tx, id, "scim_deactivated", Some(directory)).await?;
        return Ok(Some(Ended { about: ended.about, revoked: ended.revoked, receipt: Some(ended.receipt) }));
    }
    let about = Scope::User(id);
    if normalised(&change.before.user_name) != normalised(&change.next.user_name) {
        let revoked = tx.revoke(about, Action::Terminate, "user_name_changed").await?;
        return Ok(Some(Ended { about, revoked, receipt: None }));
    }
    if lost {
        tx.revoke(about, Action::Reassert, "directory_took_over").await?;
    }
    Ok(None)
}

fn written(gw: &Gateway, user: &User, change: &Change, ended: Option<&Ended>) -> Record {
    let (before, after) = differences(&change.before.attributes, &change.next.attributes);
    let action = match (change.outcome.turned_inactive, change.outcome.turned_active) {
        (true, _) => Act::UserDeactivated,
        (false, true) => Act::UserReactivated,
        (false, false) => Act::UserUpdated,
    };
    let mut event = AuditEvent::done(action)
        .on("user", user.id)
        .value("before", before)
        .value("after", after)
        .value("active", user.active);
    if let Some(receipt) = ended.and_then(|ended| ended.receipt) {
        event = event.value("receipt", receipt.to_string());
    }
    let mut kept = record(gw, user.modified_at, event);
    if change.adopts {
        kept = kept.and(AuditEvent::done(Act::UserAdopted).on("user", user.id));
    }
    kept
}

/// Only the directory that owns a person changes them. A seat that a sign-in made is nobody's: true, and
/// the change takes it over, where the org has consented to that.
async fn takes_over(
    tx: &mut TenantRead,
    user: &User,
    scope: &OrgScope<ScimClient>,
) -> Result<bool, FlowError> {
    match user.directory {
        Some(owner) if owner == scope.door().directory => Ok(false),
        Some(_) => Err(refused(
            Problem::OtherDirectory,
            "this person is provisioned by another directory of the org",
        )),
        None if provision_names::may_be_adopted(tx, &document_of(user)?).await? => Ok(true),
        None => Err(refused(
            Problem::NotAdopted,
            "a sign-in made this person's seat; a directory takes one over where the org has scim_adopts and has \
             proven a domain of the person's",
        )),
    }
}

async fn seat(
    tx: &mut TenantRead,
    scope: &OrgScope<ScimClient>,
    projection: &Projection,
    (user, document): (User, UserDocument),
) -> Result<Seat, FlowError> {
    let groups = memberships(tx, scope, projection, &[user.id]).await?;
    Ok(Seat { user, document, groups })
}

/// Are they asked for, and this credential's to see?
pub(crate) fn shows_groups(scope: &OrgScope<ScimClient>, projection: &Projection) -> bool {
    projection.wants("groups") && scope.door().may("groups:read")
}

/// The asking directory's groups of these people; none when they are not asked for, or not for this credential to
/// see. Errors: `scim.too_many_members`.
pub(crate) async fn memberships(
    tx: &mut TenantRead,
    scope: &OrgScope<ScimClient>,
    projection: &Projection,
    people: &[UserId],
) -> Result<Vec<Membership>, FlowError> {
    if people.is_empty() || !shows_groups(scope, projection) {
        return Ok(Vec::new());
    }
    let most = MEMBERS_SHOWN_MAX.saturating_add(1);
    let groups = tx.groups_of_people(people, scope.door().directory, most).await?;
    if i64::try_from(groups.len()).is_ok_and(|count| count <= MEMBERS_SHOWN_MAX) {
        return Ok(groups);
    }
    let detail =
        format!("more than {MEMBERS_SHOWN_MAX} groups; ask for fewer users or excludedAttributes=groups");
    Err(refused(Problem::TooManyMembers, &detail))
}
