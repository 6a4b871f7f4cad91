//! A directory lists people: narrowed by the filters that are served, a page at a time, and never more
//! than a page of a bounded size in memory. What was not asked for is not read. RFC 7644 3.4.2.

use crate::{
    FlowError, Gateway,
    provision::{Page, fit},
    provision_user::{Seat, document_of},
};
use model::{ids::UserId, user::normalised};
use scim::{ListQuery, UserTerm, served};
use store::{Documents, OrgScope, ScimClient, TenantRead, UserFilter, Window};

/// Most people that one address is looked up to: an address names a person, not a company.
const PEOPLE_AT_MAX: i64 = 1_000;
/// A page ends with the document that reaches this: 200 people of 10 KiB. It is several times as much in
/// memory, for each request.
const PAGE_BYTES_MAX: i64 = 2_097_152;
/// What the columns beside the document tell of a person.
const IN_COLUMNS: [&str; 8] =
    ["id", "schemas", "meta", "userName", "externalId", "active", "displayName", "groups"];

/// GET of the list, narrowed by the filters that are served. A page ends early when its documents are
/// large: a service may return fewer than were asked for (RFC 7644 3.4.2.4). Errors:
/// `scim.filter_unserved`.
pub async fn people(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    query: &ListQuery,
) -> Result<Page<Seat>, FlowError> {
    let terms = query.filter.as_ref().map(served::users).transpose()?.unwrap_or_default();
    let mut page = Page { total: 0, start_index: query.paging.start_index, items: Vec::new() };
    let mut tx = gw.db.read(scope, "scim.user.list").await?;
    let Some(filter) = narrowed(&mut tx, terms).await? else { return Ok(page) };
    page.total = u64::try_from(tx.count_users(&filter).await?).unwrap_or_default();
    if query.paging.count == 0 {
        return Ok(page);
    }
    let documents = match query.projection.is_among(&IN_COLUMNS) {
        true => Documents::Unread,
        false => Documents::Bytes(PAGE_BYTES_MAX),
    };
    let (offset, limit) = (query.paging.offset(), i64::from(query.paging.count));
    let users = tx.users(&filter, &Window { after: None, offset, limit, documents }).await?;
    let mut groups = Vec::new();
    if query.projection.wants("groups") {
        let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
        groups = tx.groups_of_people(&ids, scope.door().directory).await?;
    }
    for user in users {
        let document = document_of(&user)?;
        let groups = groups.iter().filter(|one| one.user == user.id).cloned().collect();
        page.items.push(Seat { user, document, groups });
    }
    Ok(page)
}

/// The store's filter of a conjunction; `None` when nothing can match it.
async fn narrowed(tx: &mut TenantRead, terms: Vec<UserTerm>) -> Result<Option<UserFilter>, FlowError> {
    let mut filter = UserFilter::default();
    for term in terms {
        let fits = match term {
            UserTerm::UserName(name) => fit(&mut filter.user_name, normalised(&name)),
            UserTerm::ExternalId(id) => fit(&mut filter.external_id, id),
            UserTerm::DisplayName(name) => fit(&mut filter.display_name, normalised(&name)),
            UserTerm::Active(active) => fit(&mut filter.active, active),
            UserTerm::Id(id) => id.parse().is_ok_and(|id| fit(&mut filter.id, id)),
            UserTerm::Email { value, kind } => {
                let mut found = tx.people_at(&value, kind.as_deref(), PEOPLE_AT_MAX).await?;
                found.retain(|id| filter.among.as_ref().is_none_or(|among| among.contains(id)));
                let some = !found.is_empty();
                filter.among = Some(found);
                some
            }
        };
        if !fits {
            return Ok(None);
        }
    }
    Ok(Some(filter))
}
