//! A person's names, as a directory gives and takes them: which seat already has one, which are no longer
//! remembered as departed, and which were a key at a connection and must not stay one.

use crate::{FlowError, begin::domain_of, provision::refused};
use model::{ids::UserId, user::normalised};
use scim::{
    Problem,
    user::{UserDocument, UserDraft},
};
use store::{TenantRead, TenantTx, User};

/// The seat that stands in the way of a new one: of this name, or a sign-in's that has one of these names. Beside
/// that one the directory's seat would be another person, and its word about its own would not end the other.
pub(crate) async fn taken_by(tx: &mut TenantTx, draft: &UserDraft) -> Result<Option<User>, FlowError> {
    let mut found = tx.lock_in_the_way(&draft.user_name, &claims(draft)).await?;
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

/// By what a sign-in would find this person: of each of these names no seat may be a sign-in's. The same names,
/// and the same rule, for whoever is made and whoever is changed.
pub(crate) fn claims(draft: &UserDraft) -> Vec<String> {
    let mut names = vec![draft.user_name.clone()];
    names.extend(draft.emails().map(|email| email.value.to_owned()));
    names
}

/// The rule of `taken_by` for somebody who is there: a directory gives nobody a name of a seat that a sign-in
/// made. Asked of names that are new to the person, so that whoever has one already can still be changed. Errors:
/// `scim.taken`.
pub(crate) async fn unless_claimed(
    tx: &mut TenantTx,
    user: UserId,
    (before, next): (&UserDocument, &UserDocument),
) -> Result<(), FlowError> {
    let gained = without(&keys_of(next), &keys_of(before));
    if gained.is_empty() || tx.unowned_by_name(&gained, user).await?.is_none() {
        return Ok(());
    }
    Err(refused(Problem::Taken, CLAIMED))
}

/// Said without whose: the directory need not know of that seat.
pub(crate) const CLAIMED: &str = "userName or emails: a seat that a sign-in made has one of these names";

/// The names that a directory gives to somebody: no departure keeps them from a sign-in any more.
pub(crate) fn given_back(draft: &UserDraft) -> Vec<String> {
    let mut names = vec![draft.user_name.clone()];
    names.extend(draft.external_id.as_deref().map(store::departed_external_id));
    names.extend(draft.emails().map(|email| email.value.to_owned()));
    names
}

/// User name and addresses, as they are compared.
fn keys_of(document: &UserDocument) -> Vec<String> {
    let addresses = document.emails().map(|email| normalised(email.value));
    std::iter::once(normalised(&document.user_name)).chain(addresses).collect()
}

fn without(these: &[String], others: &[String]) -> Vec<String> {
    these.iter().filter(|name| !others.contains(name)).cloned().collect()
}

/// By what a sign-in finds this person.
fn names_of(document: &UserDocument) -> Vec<String> {
    let mut names = keys_of(document);
    names.extend(document.external_id.as_deref().map(store::departed_external_id));
    names
}

/// Does somebody sign in to this seat by a name or an address that was not theirs before? A directory that
/// takes over a sign-in's seat gives it the first key of its own.
pub(crate) fn may_be_another((before, next): (&UserDocument, &UserDocument), adopts: bool) -> bool {
    let known = keys_of(before);
    let has_new_key = next.external_id.is_some()
        && before.external_id != next.external_id
        && !(adopts && before.external_id.is_none());
    has_new_key
        || normalised(&before.user_name) != normalised(&next.user_name)
        || next.emails().any(|email| !known.contains(&normalised(email.value)))
}

/// Does this keep somebody out? Their user name is no name of theirs any more, or only an address in a domain that
/// the org has not proved, or an address in one that it has is lost: sign-ins ask for no other.
pub(crate) async fn keeps_out(
    tx: &mut TenantTx,
    (before, next): (&UserDocument, &UserDocument),
) -> Result<bool, FlowError> {
    let lost = without(&keys_of(before), &keys_of(next));
    let name = normalised(&before.user_name);
    let is_renamed = name != normalised(&next.user_name);
    if is_renamed && (lost.contains(&name) || !owns_domain_of(tx, &name).await?) {
        return Ok(true);
    }
    let domains: Vec<String> = lost.iter().filter_map(|name| domain_of(name)).collect();
    Ok(!domains.is_empty() && tx.owns_one_of(&domains).await?)
}

/// May a directory take over this seat, which a sign-in made? Where the org consents, and has proven a domain of the
/// seat's: elsewhere a directory could name whom it likes.
pub(crate) async fn may_be_adopted(tx: &mut TenantRead, seat: &UserDocument) -> Result<bool, FlowError> {
    let domains: Vec<String> = keys_of(seat).iter().filter_map(|name| domain_of(name)).collect();
    Ok(tx.own_org().await?.scim_adopts && tx.owns_one_of(&domains).await?)
}

async fn owns_domain_of(tx: &mut TenantTx, name: &str) -> Result<bool, FlowError> {
    match domain_of(name) {
        Some(domain) => Ok(tx.owns_one_of(&[domain]).await?),
        None => Ok(false),
    }
}

/// A name that was a person's key at a connection is theirs no more: whoever gets it next must not sign
/// in to their seat, and who signs in by it meanwhile gets none of their own beside it.
pub(crate) async fn unbind_old_name(
    tx: &mut TenantTx,
    user: UserId,
    (before, next): (&UserDocument, &UserDocument),
) -> Result<(), FlowError> {
    let (had, has) = (names_of(before), names_of(next));
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
