//! Where a value stands in the tables: columns, the document, the rows of memberships. `u` is a person's
//! row, `g` a group's.

use scim::{
    Kind,
    condition::{Case, How, List, Order, Place},
    sort::{self, Form, SortKey},
};
use sqlx::{Encode, Postgres, QueryBuilder, Type};
use std::fmt::{self, Display};
use uuid::Uuid;

/// What SQL is written for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) kind: Kind,
    /// Groups are the directory's own.
    pub(crate) directory: Uuid,
    /// What `meta.location` and `$ref` begin with.
    pub(crate) base: &'a str,
}

/// A name that the generator gave to a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alias(usize);

impl Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// What a place is a place of.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    Resource,
    /// A JSON value `v` that the schema describes.
    Known(Alias),
    /// A JSON value `v` of any type.
    Loose(Alias),
    /// A text `v`.
    Plain(Alias),
    /// A row of `group_members`, as a person's group; beside it the group's, with a `g` to its name.
    Group(Alias),
    /// A row of `group_members`, as a group's member.
    Member(Alias),
}

/// A statement in the making.
pub(super) struct Sql<'a> {
    builder: QueryBuilder<Postgres>,
    asker: Asker<'a>,
    aliases: usize,
}

impl<'a> Sql<'a> {
    pub(super) fn new(start: &str, asker: Asker<'a>) -> Self {
        Self { builder: QueryBuilder::new(start), asker, aliases: 0 }
    }
    /// For another kind of resource from here on.
    pub(super) const fn of(&mut self, kind: Kind) {
        self.asker.kind = kind;
    }
    pub(super) const fn kind(&self) -> Kind {
        self.asker.kind
    }
    /// The generator's own words; never anything from outside.
    pub(super) fn push(&mut self, words: impl Display) {
        self.builder.push(words);
    }
    pub(super) fn bind<T: Type<Postgres> + for<'q> Encode<'q, Postgres> + Send + 'static>(
        &mut self,
        value: T,
    ) {
        self.builder.push_bind(value);
    }
    pub(super) fn bind_directory(&mut self) {
        self.bind(self.asker.directory);
    }
    pub(super) const fn builder(&mut self) -> &mut QueryBuilder<Postgres> {
        &mut self.builder
    }
    pub(super) const fn alias(&mut self) -> Alias {
        self.aliases += 1;
        Alias(self.aliases)
    }
    pub(super) const fn id(&self) -> &'static str {
        match self.asker.kind {
            Kind::User => "u.user_id",
            Kind::Group => "g.group_id",
        }
    }
    const fn row(&self) -> &'static str {
        match self.asker.kind {
            Kind::User => "u",
            Kind::Group => "g",
        }
    }

    /// The text at a place, as a client reads it; NULL where there is none.
    pub(super) fn text(&mut self, place: &Place, at: At) {
        let row = self.row();
        match (place, at) {
            (Place::Itself, At::Plain(alias)) => self.push(format_args!("{alias}.v")),
            (Place::Itself, At::Known(alias) | At::Loose(alias)) => {
                self.push(format_args!("({alias}.v #>> '{{}}')"));
            }
            (Place::Part(name), At::Known(alias) | At::Loose(alias)) => {
                self.push(format_args!("({alias}.v ->> "));
                self.bind(*name);
                self.push(")");
            }
            (Place::Part(name), At::Group(alias)) => match *name {
                "value" => self.push(format_args!("id_text('grp_', {alias}.group_id)")),
                "$ref" => self.address(Kind::Group, &format!("{alias}.group_id")),
                "display" => self.push(format_args!("{alias}g.display_name")),
                "type" => self.push("'direct'"),
                _ => self.push("NULL::text"),
            },
            (Place::Part(name), At::Member(alias)) => match *name {
                "value" => self.push(format_args!("id_text('usr_', {alias}.user_id)")),
                "$ref" => self.address(Kind::User, &format!("{alias}.user_id")),
                "type" => self.push("'User'"),
                _ => self.push("NULL::text"),
            },
            (Place::Id, _) => {
                let id = self.id();
                self.push(format_args!("id_text('{}', {id})", prefix(self.asker.kind)));
            }
            (Place::Location, _) => self.address(self.asker.kind, self.id()),
            (Place::Version, _) => self.push(format_args!("('W/\"' || {row}.version || '\"')")),
            (Place::Created, _) => self.push(format_args!("time_text({row}.created_at)")),
            (Place::LastModified, _) => self.push(format_args!("time_text({row}.modified_at)")),
            (Place::Active, _) => self.push("u.active::text"),
            (Place::ExternalId, _) if self.asker.kind == Kind::Group => self.push("g.external_id"),
            (Place::DisplayName, _) if self.asker.kind == Kind::Group => self.push("g.display_name"),
            (Place::UserName, _) => self.push("u.user_name"),
            (Place::ExternalId, _) => self.document(&["externalId"]),
            (Place::DisplayName, _) => self.document(&["displayName"]),
            (Place::GivenName, _) => self.document(&["name", "givenName"]),
            (Place::FamilyName, _) => self.document(&["name", "familyName"]),
            (Place::Document { extension, name, sub }, _) => {
                let keys: Vec<&str> = extension.iter().chain([name]).chain(sub).copied().collect();
                self.document(&keys);
            }
            (Place::Part(_) | Place::Itself, _) => self.push("NULL::text"),
        }
    }

    fn document(&mut self, keys: &[&str]) {
        if self.asker.kind == Kind::Group {
            return self.push("NULL::text");
        }
        self.push("(u.attributes #>> ");
        self.bind(keys.iter().map(|key| (*key).to_owned()).collect::<Vec<String>>());
        self.push(")");
    }

    /// The address of a resource.
    fn address(&mut self, kind: Kind, id: &str) {
        self.push("(");
        self.bind(format!("{}{}/", self.asker.base, kind.endpoint()));
        self.push(format_args!(" || id_text('{}', {id}))", prefix(kind)));
    }

    pub(super) fn moment(&mut self, place: &Place) {
        let column = if *place == Place::Created { "created_at" } else { "modified_at" };
        self.push(format_args!("{}.{column}", self.row()));
    }

    /// Writes an equality by a key, if the place is one. What is no id is nobody's.
    pub(super) fn keyed(&mut self, place: &Place, wanted: &str, at: At) -> bool {
        let (column, id) = match (place, at) {
            (Place::Id, _) => (self.id().to_owned(), uuid(self.asker.kind, wanted)),
            (Place::Location, _) => {
                let start = format!("{}{}/", self.asker.base, self.asker.kind.endpoint());
                let id = wanted.strip_prefix(&start).and_then(|id| uuid(self.asker.kind, id));
                (self.id().to_owned(), id)
            }
            (Place::Part("value"), At::Group(alias)) => {
                (format!("{alias}.group_id"), uuid(Kind::Group, wanted))
            }
            (Place::Part("value"), At::Member(alias)) => {
                (format!("{alias}.user_id"), uuid(Kind::User, wanted))
            }
            // An empty one is in no column.
            (Place::ExternalId, _) if !wanted.is_empty() => {
                self.push(format_args!("{}.external_id = ", self.row()));
                self.bind(wanted.to_owned());
                return true;
            }
            _ => return false,
        };
        match id {
            Some(id) => {
                self.push(format_args!("{column} = "));
                self.bind(id);
            }
            None => self.push("false"),
        }
        true
    }

    /// The column that holds the place's text as it is compared, in the order of its bytes. A person's
    /// empty display name is in none, so where one could pass the document is asked.
    pub(super) fn folded_column(&self, place: &Place, how: How, wanted: &str) -> Option<&'static str> {
        let empty_passes = wanted.is_empty() || matches!(how, How::Ordered(Order::Below | Order::AtMost));
        match (place, self.asker.kind) {
            (Place::UserName, _) => Some("u.user_name_norm"),
            (Place::DisplayName, Kind::Group) => Some("g.display_name_norm"),
            (Place::DisplayName, Kind::User) if !empty_passes => Some("u.display_name_norm"),
            _ => None,
        }
    }

    /// The values of a list in the document, as rows.
    pub(super) fn elements(&mut self, name: &'static str) {
        self.push("jsonb_array_elements(CASE jsonb_typeof(u.attributes -> ");
        self.bind(name);
        self.push(") WHEN 'array' THEN u.attributes -> ");
        self.bind(name);
        self.push(" ELSE '[]' END)");
    }

    /// The members of an object, as rows of key and value.
    pub(super) fn members(&mut self, object: &str, alias: &str) {
        self.push(format_args!(
            "jsonb_each(CASE jsonb_typeof({object}) WHEN 'object' THEN {object} ELSE '{{}}' END) AS {alias}(k, o)"
        ));
    }

    /// What is there, opened if it is a list.
    pub(super) fn opened(&mut self, value: &str, alias: Alias) {
        self.push(format_args!(
            "jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} WHEN 'null' THEN '[]'
                                  ELSE jsonb_build_array({value}) END) AS {alias}(v)"
        ));
    }

    /// The text that a resource is ordered by, in the order of its bytes; NULL where there is none.
    pub(super) fn sort_key(&mut self, key: Option<&SortKey>) {
        let Some(SortKey { at, form }) = key else { return self.push("NULL::text") };
        match (at, form) {
            (sort::At::Single(place), Form::Time) => {
                self.push("to_char(");
                self.moment(place);
                self.push(" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')");
            }
            (sort::At::Single(place), form) => match self.sorted_column(place) {
                // In that order already, so that an index over it serves.
                Some(column) => return self.push(column),
                None => self.cut(*form, |sql| sql.text(place, At::Resource)),
            },
            (sort::At::Preferred(list, place), form) => {
                let name = match list {
                    List::Emails => "emails",
                    List::Document(name) => name,
                    List::Schemas
                    | List::Groups
                    | List::Members
                    | List::Foreign { .. }
                    | List::ForeignPart(_) => return self.push("NULL::text"),
                };
                let alias = self.alias();
                self.push("(SELECT ");
                self.cut(*form, |sql| sql.text(place, At::Known(alias)));
                self.push(" FROM ");
                self.elements(name);
                self.push(format_args!(
                    " WITH ORDINALITY AS {alias}(v, n)
                     ORDER BY COALESCE(({alias}.v ->> 'primary') = 'true', false) DESC, {alias}.n LIMIT 1)"
                ));
            }
        }
        self.push(" COLLATE \"C\"");
    }

    fn sorted_column(&self, place: &Place) -> Option<&'static str> {
        match (place, self.asker.kind) {
            (Place::UserName, _) => Some("u.user_name_norm"),
            (Place::DisplayName, Kind::User) => Some("u.display_name_norm"),
            (Place::DisplayName, Kind::Group) => Some("g.display_name_norm"),
            _ => None,
        }
    }

    /// A cursor carries the key, so a long one counts by its beginning. What is empty is not there.
    fn cut(&mut self, form: Form, text: impl FnOnce(&mut Self)) {
        let folded = form == Form::Text(Case::Folded);
        self.push(if folded { "NULLIF(left(folded(" } else { "NULLIF(left((" });
        text(self);
        self.push(format_args!("), {SORTED_CHARS}), '')"));
    }
}

/// So much of a text counts when a list is ordered by it.
const SORTED_CHARS: usize = 256;

const fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "usr_",
        Kind::Group => "grp_",
    }
}

fn uuid(kind: Kind, text: &str) -> Option<Uuid> {
    match kind {
        Kind::User => text.parse::<model::ids::UserId>().ok().map(|id| id.uuid()),
        Kind::Group => text.parse::<model::ids::GroupId>().ok().map(|id| id.uuid()),
    }
}
