//! A directory searches: one endpoint's resources or all of them, any filter of the language, in any
//! order, a page at a time, and never more than a page of a bounded size in memory. What was not asked
//! for is not read. A page begins where the one before it ended, so that whoever stays is on one of
//! them whatever else changes meanwhile. RFC 7644 3.4.2 and 3.4.3, RFC 9865.

use crate::{
    FlowError, Gateway,
    provision::refused,
    provision_document::document_of,
    provision_group::{GroupView, shown},
    provision_user::{Seat, memberships, shows_groups},
    provision_walk::{Footing, Walk},
};
use model::{
    Refusal,
    ids::{GroupId, UserId},
};
use scim::{
    Condition, Kind, ListQuery, Paging, Problem, Projection,
    list::Told,
    sort::{SortBy, SortKey},
};
use std::collections::BTreeMap;
use store::{Either, Found, Group, OrgScope, Position, ScimClient, Search, Sorting, Start, TenantRead, User};

/// A page ends with the document that reaches this: 200 people of 10 KiB. It is several times as much in
/// memory, for each request.
const PAGE_BYTES_MAX: i64 = 2_097_152;
/// So many rows are skipped by number when a page does not follow one that was shown.
pub const SKIPPED_MAX: u64 = 100_000;
/// What the columns beside the document tell of a person.
const IN_COLUMNS: [&str; 8] =
    ["id", "schemas", "meta", "userName", "externalId", "active", "displayName", "groups"];

/// Where a search is asked, and so of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    Users,
    Groups,
    Everything,
}

#[derive(Debug)]
pub enum Resource {
    User(Box<Seat>),
    Group(GroupView),
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    pub told: Told,
    pub items: Vec<Resource>,
}

/// What is asked, resolved for each type.
struct Asked {
    users: Condition,
    groups: Condition,
    keys: [Option<SortKey>; 2],
    descending: bool,
}

impl Among {
    const fn endpoint(self) -> &'static str {
        match self {
            Self::Users => Kind::User.endpoint(),
            Self::Groups => Kind::Group.endpoint(),
            Self::Everything => "/",
        }
    }
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Users => &[Kind::User],
            Self::Groups => &[Kind::Group],
            Self::Everything => &[Kind::User, Kind::Group],
        }
    }
}

impl Asked {
    fn of(among: Among, query: &ListQuery) -> Result<Self, FlowError> {
        let condition = |kind| match &query.filter {
            _ if !among.kinds().contains(&kind) => Ok(Condition::Constant(false)),
            None => Ok(Condition::Constant(true)),
            Some(filter) => Condition::of(filter, kind),
        };
        let key = |kind, sort: &SortBy| match among.kinds().contains(&kind) {
            true => sort.key(kind),
            false => Ok(None),
        };
        let keys = match &query.sort {
            Some(sort) => [key(Kind::User, sort)?, key(Kind::Group, sort)?],
            None => [None, None],
        };
        let descending = query.sort.as_ref().is_some_and(|sort| sort.descending);
        Ok(Self { users: condition(Kind::User)?, groups: condition(Kind::Group)?, keys, descending })
    }

    /// Is one person asked for, by name?
    fn one_user_name(&self, among: Among) -> Option<&str> {
        if among == Among::Users { self.users.user_name() } else { None }
    }

    fn sorting(&self) -> Option<Sorting<'_>> {
        let [users, groups] = self.keys.each_ref().map(Option::as_ref);
        (users.is_some() || groups.is_some()).then_some(Sorting {
            users,
            groups,
            descending: self.descending,
        })
    }
}

/// GET of a list, or POST to `.search`. A page ends early when its documents are large: a service may
/// return fewer than were asked for (RFC 7644 3.4.2.4). `base` is the service's address as the caller
/// writes it. Errors: `invalidFilter` for a comparison that an attribute does not admit, `tooMany` for
/// what costs more than a request may, those of a cursor, `scim.too_many_members`, and `scim.scope_missing` for
/// a filter by groups with a credential that may not see them.
pub async fn search(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    among: Among,
    query: &ListQuery,
    base: &str,
) -> Result<Page, FlowError> {
    let asked = Asked::of(among, query)?;
    if asked.users.asks_of_groups() && !scope.door().may("groups:read") {
        return Err(Refusal::proven("scim.scope_missing").with("detail", "groups:read").into());
    }
    let walk = Walk::of(gw, scope, among.endpoint(), query);
    let footing = match &query.paging {
        Paging::Index(start) if *start > 1 && query.count > 0 => walk.footing(*start).await,
        Paging::Index(_) | Paging::Cursor(None) => None,
        Paging::Cursor(Some(cursor)) => Some(walk.opened(cursor)?),
    };
    let position = footing.as_ref().map(|footing| &footing.position);
    let before = match &query.paging {
        Paging::Index(start) => start.saturating_sub(1),
        Paging::Cursor(_) => 0,
    };
    let skipped = if position.is_some() { 0 } else { before };
    if skipped > SKIPPED_MAX && query.count > 0 {
        let detail = format!(
            "a page so deep follows the one before it, or is found by cursor; at most \
                              {SKIPPED_MAX} are skipped"
        );
        return Err(refused(Problem::TooCostly, &detail));
    }
    // Most of whom a directory asks for so are about to be made.
    if before == 0
        && footing.is_none()
        && query.count > 0
        && let Some(name) = asked.one_user_name(among)
    {
        let found = named(gw, scope, name, &query.projection).await?;
        let items: Vec<Resource> = found.map(person).into_iter().collect();
        let total = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let start_index = matches!(query.paging, Paging::Index(_)).then_some(1);
        return Ok(Page { told: Told { total, start_index, next_cursor: None }, items });
    }
    let sorting = asked.sorting();
    let found = Search {
        users: &asked.users,
        groups: &asked.groups,
        sorting: sorting.as_ref(),
        start: match position {
            Some(position) => Start::After(position),
            None => Start::At(i64::try_from(skipped).unwrap_or(i64::MAX)),
        },
        limit: i64::from(query.count),
        directory: scope.door().directory,
        base,
    };
    let mut reader = Reader { tx: gw.db.read(scope, "scim.search").await?, scope, search: &found };
    let (items, more) = match query.count {
        0 => (Vec::new(), None),
        _ => reader.page(among, &query.projection).await?,
    };
    let shown = u64::try_from(items.len()).unwrap_or(u64::MAX);
    let total = match (&footing, &more) {
        (Some(footing), _) if matches!(query.paging, Paging::Cursor(_)) => footing.total,
        // The last page ends with the last of all; one that follows another knows how many there were
        // when the walk began, and that there is one more at least.
        (Some(_), None) => before + shown,
        // So does a first page, be it empty.
        (None, None) if shown > 0 || (before == 0 && query.count > 0) => before + shown,
        (Some(footing), Some(_)) => footing.total.max(before + shown + 1),
        (None, _) => reader.total(among).await?,
    };
    drop(reader);
    let mut told = Told { total, start_index: None, next_cursor: None };
    match &query.paging {
        Paging::Index(start) => {
            told.start_index = Some(*start);
            if let Some(last) = more {
                walk.keep(*start, start.saturating_add(shown), Footing { position: last, total }).await?;
            }
        }
        Paging::Cursor(_) => {
            let next = more.map(|last| walk.cursor(Footing { position: last, total }));
            told.next_cursor = next.transpose()?;
        }
    }
    Ok(Page { told, items })
}

/// Who has this user name, in the form that it is compared in.
async fn named(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    name: &str,
    projection: &Projection,
) -> Result<Option<Seat>, FlowError> {
    let Some((user, more)) = gw.db.user_named(scope, name).await? else { return Ok(None) };
    let groups = if shows_groups(scope, projection) {
        let mut tx = more.read("scim.user.groups").await?;
        memberships(&mut tx, scope, projection, &[user.id]).await?
    } else {
        Vec::new()
    };
    Ok(Some(Seat { document: document_of(&user)?, user, groups }))
}

fn person(seat: Seat) -> Resource {
    Resource::User(Box::new(seat))
}

struct Reader<'a> {
    tx: TenantRead,
    scope: &'a OrgScope<ScimClient>,
    search: &'a Search<'a>,
}

type Items = (Vec<Resource>, Option<Position>);

impl Reader<'_> {
    async fn page(&mut self, among: Among, projection: &Projection) -> Result<Items, FlowError> {
        match among {
            Among::Users => {
                let bytes = (!projection.is_among(&IN_COLUMNS)).then_some(PAGE_BYTES_MAX);
                let Found { rows, more } =
                    self.tx.search_users(self.search, bytes).await.map_err(too_costly)?;
                Ok((self.people(rows, projection).await?.into_iter().map(person).collect(), more))
            }
            Among::Groups => {
                let Found { rows, more } = self.tx.search_groups(self.search).await.map_err(too_costly)?;
                Ok((self.groups(rows, projection).await?.into_iter().map(Resource::Group).collect(), more))
            }
            Among::Everything => {
                let found = self.tx.search_both(self.search, PAGE_BYTES_MAX).await.map_err(too_costly)?;
                Ok((self.both(&found.rows, projection).await?, found.more))
            }
        }
    }

    async fn total(&mut self, among: Among) -> Result<u64, FlowError> {
        let counted = self.tx.search_total(self.search, among.kinds()).await.map_err(too_costly)?;
        Ok(u64::try_from(counted).unwrap_or_default())
    }

    async fn people(&mut self, users: Vec<User>, projection: &Projection) -> Result<Vec<Seat>, FlowError> {
        let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
        let mut groups = BTreeMap::<UserId, Vec<_>>::new();
        for one in memberships(&mut self.tx, self.scope, projection, &ids).await? {
            groups.entry(one.user).or_default().push(one);
        }
        let seat = |user: User| {
            let groups = groups.remove(&user.id).unwrap_or_default();
            Ok(Seat { document: document_of(&user)?, user, groups })
        };
        users.into_iter().map(seat).collect()
    }

    async fn groups(
        &mut self,
        groups: Vec<Group>,
        projection: &Projection,
    ) -> Result<Vec<GroupView>, FlowError> {
        let ids: Vec<GroupId> = groups.iter().map(|group| group.id).collect();
        let members = shown(&mut self.tx, projection, &ids).await?;
        let mut sorted = members.map(|members| {
            let mut sorted = BTreeMap::<GroupId, Vec<_>>::new();
            for one in members {
                sorted.entry(one.group).or_default().push(one);
            }
            sorted
        });
        let view = |group: Group| {
            let members = sorted.as_mut().map(|sorted| sorted.remove(&group.id).unwrap_or_default());
            GroupView { group, members }
        };
        Ok(groups.into_iter().map(view).collect())
    }

    async fn both(&mut self, found: &[Either], projection: &Projection) -> Result<Vec<Resource>, FlowError> {
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for one in found {
            match one {
                Either::User(id) => users.push(*id),
                Either::Group(id) => groups.push(*id),
            }
        }
        let users = self.tx.users_of(&users).await?;
        let groups = self.tx.groups_by_id(&groups).await?;
        let people = self.people(users, projection).await?.into_iter();
        let mut people: BTreeMap<UserId, Seat> = people.map(|seat| (seat.user.id, seat)).collect();
        let views = self.groups(groups, projection).await?.into_iter();
        let mut views: BTreeMap<GroupId, GroupView> = views.map(|view| (view.group.id, view)).collect();
        // Who has gone between two looks is not shown.
        let shown = found.iter().filter_map(|one| match one {
            Either::User(id) => people.remove(id).map(person),
            Either::Group(id) => views.remove(id).map(Resource::Group),
        });
        Ok(shown.collect())
    }
}

fn too_costly(error: store::Error) -> FlowError {
    match error {
        store::Error::TooCostly => refused(
            Problem::TooCostly,
            "the search took too long; filter by userName, externalId, id, displayName, emails or members",
        ),
        other => other.into(),
    }
}
