//! Whose seat an accepted identity has. Bound before: that one. Else the one seat that an address of
//! the identity names, in a domain this org has proven, or, where the connection says so, a directory's
//! external id. Else a new one, if sign-ins make seats here. Never a seat that another subject of the
//! same connection has: an address can be given to somebody else, a subject cannot. OIDC Core 5.7.

use crate::{
    FlowError, Gateway,
    begin::domain_of,
    provision_document::{addresses_of, document_of},
    quota,
};
use model::{Refusal, ids::UserId, user::AcceptedIdentity};
use serde_json::Value;
use store::{Adopted, NewUser, TenantTx, User};

/// What the connection says about seats.
#[derive(Clone, Copy, Debug)]
pub struct SeatRule {
    /// Does a sign-in make a seat? Unsaid: while the org has no directory.
    pub jit: Option<bool>,
    /// The subject is what directories call `externalId`.
    pub subject_is_external_id: bool,
}

/// The seat, locked. `None`: another sign-in was there first; begin again.
pub(crate) async fn find_seat(
    tx: &mut TenantTx,
    gw: &Gateway,
    identity: &AcceptedIdentity,
    rule: SeatRule,
) -> Result<Option<(User, Adopted)>, FlowError> {
    if let Some(user) = tx.lock_user_by_identity(identity.connection, &identity.subject).await? {
        return Ok(Some((user, Adopted::Known)));
    }
    let addresses = proven_addresses(tx, identity).await?;
    let external_id = rule.subject_is_external_id.then_some(identity.subject.as_str());
    let mut found = tx.lock_seats(&addresses, external_id).await?;
    match (found.pop(), found.is_empty()) {
        (None, _) => make(tx, gw, identity, rule, addresses).await,
        (Some(user), true) => bind(tx, identity, user).await,
        (Some(user), false) => {
            let users = listed(found.iter().chain([&user]).map(|user| user.id));
            Err(Refusal::proven("login.seat_ambiguous").with("users", users).into())
        }
    }
}

fn listed(ids: impl Iterator<Item = UserId>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
}

/// The subject and the email, as far as they are addresses in domains that this org has proven.
async fn proven_addresses(tx: &mut TenantTx, identity: &AcceptedIdentity) -> Result<Vec<String>, FlowError> {
    let mut addresses = Vec::new();
    for name in std::iter::once(&identity.subject).chain(&identity.email) {
        if let Some(domain) = domain_of(name)
            && tx.owns_domain(&domain).await?
        {
            addresses.push(name.clone());
        }
    }
    Ok(addresses)
}

async fn bind(
    tx: &mut TenantTx,
    identity: &AcceptedIdentity,
    user: User,
) -> Result<Option<(User, Adopted)>, FlowError> {
    match tx.subject_at(identity.connection, user.id).await? {
        // It was bound while this sign-in waited for the seat.
        Some(known) if known == identity.subject => Ok(Some((user, Adopted::Known))),
        Some(known) => {
            Err(Refusal::proven("login.seat_taken").with("user", user.id).with("bound_to", known).into())
        }
        None => {
            let bound = tx.bind_identity(identity.connection, &identity.subject, user.id).await;
            Ok(unless_raced(bound)?.map(|()| (user, Adopted::Bound)))
        }
    }
}

async fn make(
    tx: &mut TenantTx,
    gw: &Gateway,
    identity: &AcceptedIdentity,
    rule: SeatRule,
    addresses: Vec<String>,
) -> Result<Option<(User, Adopted)>, FlowError> {
    let makes = match rule.jit {
        Some(makes) => makes,
        None => !tx.has_directory().await?,
    };
    if !makes || has_departed(tx, identity).await? {
        let refusal = Refusal::proven("login.not_provisioned");
        let known = tx.seats_of_external_id(&identity.subject).await?;
        if known.is_empty() {
            return Err(refusal.into());
        }
        return Err(refusal.with("external_id_of", listed(known.into_iter())).into());
    }
    // An email outside the org's proven domains is nobody's word: it does not become an attribute.
    let vouched = identity.email.clone().filter(|email| addresses.contains(email));
    let mut user = User {
        id: UserId::new(tx.now(), gw.chance.as_ref()),
        user_name: vouched.clone().unwrap_or_else(|| identity.subject.clone()),
        external_id: None,
        active: true,
        email: vouched,
        display_name: identity.display_name.clone(),
        given_name: identity.given_name.clone(),
        family_name: identity.family_name.clone(),
        directory: None,
        attributes: Value::Object(serde_json::Map::new()),
        version: 1,
        created_at: tx.now(),
        modified_at: tx.now(),
    };
    let document = document_of(&user)?;
    user.attributes = Value::Object(document.attributes.clone());
    if let Some(taken) = tx.lock_user_by_name(&user.user_name).await? {
        // Made since the look above: then the next look finds it. Else the name is in no domain that
        // would let this connection claim it.
        return match addresses.contains(&user.user_name) {
            true => Ok(None),
            false => Err(Refusal::proven("login.name_taken").with("user", taken.id).into()),
        };
    }
    let seat = quota::ask(tx).await?;
    let new = NewUser { user: &user, emails: &addresses_of(&document), given_back: &[], unclaimed: &[] };
    if !tx.create_user(&new, Some(seat)).await? {
        return Ok(None);
    }
    let bound = tx.bind_identity(identity.connection, &identity.subject, user.id).await;
    Ok(unless_raced(bound)?.map(|()| (user, Adopted::Made)))
}

/// Did a directory take somebody away who had any of these names?
async fn has_departed(tx: &mut TenantTx, identity: &AcceptedIdentity) -> Result<bool, FlowError> {
    let mut names = vec![
        identity.subject.clone(),
        store::departed_identity(identity.connection, &identity.subject),
        store::departed_external_id(&identity.subject),
    ];
    names.extend(identity.email.clone());
    Ok(tx.has_departed(&names).await?)
}

/// `None` where a unique key says that another transaction was there first.
fn unless_raced(done: store::Result<()>) -> store::Result<Option<()>> {
    match done {
        Ok(()) => Ok(Some(())),
        Err(store::Error::Conflict(_)) => Ok(None),
        Err(other) => Err(other),
    }
}
