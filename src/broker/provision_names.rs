//! A person's names, as a directory gives and takes them: which seat already has one, which are no longer
//! remembered as departed, and which were a key at a connection and must not stay one.

use crate::{FlowError, provision::refused};
use model::{ids::UserId, user::normalised};
use scim::{
    Problem,
    user::{UserDocument, UserDraft},
};
use store::{TenantTx, User};

/// The seat that stands in the way of a new one: of this name, or made by a sign-in under one of these
/// addresses. Beside that one the directory's seat would be another person, and its word about its own
/// would not end the other.
pub(crate) async fn taken_by(tx: &mut TenantTx, draft: &UserDraft) -> Result<Option<User>, FlowError> {
    let mut found = tx.lock_in_the_way(&draft.user_name, &addresses(draft)).await?;
    let name = normalised(&draft.user_name);
    if let Some(named) = found.iter().position(|seat| normalised(&seat.user_name) == name) {
        return Ok(Some(found.swap_remove(named)));
    }
    match (found.pop(), found.is_empty()) {
        (Some(_), false) => {
            Err(refused(Problem::Taken, "the addresses are of several seats that sign-ins made"))
        }
        (one, _) => Ok(one),
    }
}

pub(crate) fn addresses(draft: &UserDraft) -> Vec<String> {
    draft.emails().map(|email| email.value.to_owned()).collect()
}

/// The names that a directory gives to somebody: no departure keeps them from a sign-in any more.
pub(crate) fn given_back(draft: &UserDraft) -> Vec<String> {
    let mut names = vec![draft.user_name.clone()];
    names.extend(draft.external_id.as_deref().map(store::departed_external_id));
    names.extend(addresses(draft));
    names
}

/// By what a sign-in finds this person.
fn names_of(document: &UserDocument) -> Vec<String> {
    let mut names = vec![normalised(&document.user_name)];
    names.extend(document.external_id.as_deref().map(store::departed_external_id));
    names.extend(document.emails().map(|email| normalised(email.value)));
    names
}

/// Does somebody sign in to this seat by a name or an address that was not theirs before? A directory that
/// takes over a sign-in's seat gives it the first key of its own.
pub(crate) fn may_be_another((before, next): (&UserDocument, &UserDocument), adopts: bool) -> bool {
    let known: Vec<String> =
        before.emails().map(|email| email.value).chain([before.user_name.as_str()]).map(normalised).collect();
    let has_new_key = next.external_id.is_some()
        && before.external_id != next.external_id
        && !(adopts && before.external_id.is_none());
    has_new_key
        || normalised(&before.user_name) != normalised(&next.user_name)
        || next.emails().any(|email| !known.contains(&normalised(email.value)))
}

/// A name that was a person's key at a connection is theirs no more: whoever gets it next must not sign
/// in to their seat, and who signs in by it meanwhile gets none of their own beside it.
pub(crate) async fn unbind_old_name(
    tx: &mut TenantTx,
    user: UserId,
    (before, next): (&UserDocument, &UserDocument),
) -> Result<(), FlowError> {
    let (had, has) = (names_of(before), names_of(next));
    let without = |these: &[String], others: &[String]| -> Vec<String> {
        these.iter().filter(|name| !others.contains(name)).cloned().collect()
    };
    let (lost, gained) = (without(&had, &has), without(&has, &had));
    if !lost.is_empty() {
        tx.note_departed_names(&lost).await?;
    }
    if !gained.is_empty() {
        tx.forget_departed(&gained).await?;
    }
    let old = normalised(&before.user_name);
    if old == normalised(&next.user_name) {
        return Ok(());
    }
    for identity in tx.identities_of(user).await? {
        if normalised(&identity.subject) == old {
            tx.unbind_identity(identity.connection_id, user).await?;
        }
    }
    Ok(())
}
