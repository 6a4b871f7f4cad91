//! A filter as one resource type understands it: attributes found in the schema, values of the right
//! type, `ne` and `pr` spelled out. It is what both back ends read: `matcher` applies it to JSON in
//! memory, the store turns it into SQL with bound parameters. Pure: it names places, never columns.
//! RFC 7644 3.4.2.2.

use model::{Timestamp, user::normalised};
use serde_json::Number;

/// What is asked of a resource, or of one value of a multi-valued attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Constant(bool),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// The value at this place passes. Where there is none, nothing passes.
    Value {
        place: Place,
        test: Test,
    },
    /// At least one value of the list passes all of `inner`, whose places are within that value.
    Some {
        list: List,
        inner: Box<Self>,
    },
}

/// Where a single value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Id,
    ExternalId,
    Created,
    LastModified,
    Location,
    Version,
    UserName,
    DisplayName,
    GivenName,
    FamilyName,
    Active,
    /// An attribute, or a sub-attribute of a complex one, that stands in the document alone.
    Document {
        extension: Option<&'static str>,
        name: &'static str,
        sub: Option<&'static str>,
    },
    /// Within a value of a list: one of its sub-attributes.
    Part(&'static str),
    /// Within a value of a list: the value itself.
    Itself,
}

/// Where several values stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    Schemas,
    Emails,
    /// Another multi-valued complex attribute of the core schema.
    Document(&'static str),
    /// A user's groups.
    Groups,
    /// A group's members.
    Members,
    /// An attribute of an extension that has no schema here: what is there, opened if it is a list.
    /// Both names in ASCII lower case; they are compared without letter case.
    Foreign {
        urn: String,
        name: String,
    },
    /// Within a value of such an attribute: a member of it, opened if it is a list.
    ForeignPart(String),
}

/// What one value has to be. A value of another JSON type passes no test but `Present`.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Assigned: neither null nor empty.
    Present,
    Text {
        how: How,
        /// In the form that it is compared in.
        wanted: String,
        case: Case,
    },
    Flag(bool),
    Time {
        order: Order,
        wanted: Timestamp,
    },
    Number {
        order: Order,
        wanted: Number,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Ordered(Order),
    Contains,
    Starts,
    Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Equal,
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Does letter case count (`caseExact`)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Exact,
    /// Compared as `model::user::normalised` makes it: lower case, no white space around it.
    Folded,
}

impl Case {
    pub(crate) const fn of(exact: bool) -> Self {
        if exact { Self::Exact } else { Self::Folded }
    }
}

impl Test {
    pub(crate) fn text(how: How, wanted: &str, case: Case) -> Self {
        let wanted = match (case, how) {
            (Case::Exact, _) => wanted.to_owned(),
            (Case::Folded, How::Ordered(_)) => normalised(wanted),
            // A blank at the end of a part counts: `displayName sw "John "`.
            (Case::Folded, How::Contains | How::Starts | How::Ends) => wanted.to_lowercase(),
        };
        Self::Text { how, wanted, case }
    }
}

impl Condition {
    pub(crate) const fn value(place: Place, test: Test) -> Self {
        Self::Value { place, test }
    }
    pub(crate) fn some(list: List, inner: Self) -> Self {
        match inner {
            Self::Constant(false) => Self::Constant(false),
            inner => Self::Some { list, inner: Box::new(inner) },
        }
    }
    /// All of them; one that can never hold is the whole of it.
    pub(crate) fn all(mut all: Vec<Self>) -> Self {
        if all.contains(&Self::Constant(false)) {
            return Self::Constant(false);
        }
        all.retain(|one| *one != Self::Constant(true));
        match all.len() {
            0 => Self::Constant(true),
            1 => all.remove(0),
            _ => Self::All(all),
        }
    }
    pub(crate) fn any(mut any: Vec<Self>) -> Self {
        if any.contains(&Self::Constant(true)) {
            return Self::Constant(true);
        }
        any.retain(|one| *one != Self::Constant(false));
        match any.len() {
            0 => Self::Constant(false),
            1 => any.remove(0),
            _ => Self::Any(any),
        }
    }
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(!value),
            other => Self::Not(Box::new(other)),
        }
    }

    /// Is at most a handful of resources left to look at, found by an index? Then a search that takes
    /// long is the database's doing and not the asker's.
    pub fn is_narrow(&self) -> bool {
        match self {
            Self::Constant(value) => !value,
            Self::All(all) => all.iter().any(Self::is_narrow),
            Self::Any(any) => any.iter().all(Self::is_narrow),
            Self::Not(_) => false,
            Self::Value { place, test } => {
                let keyed =
                    matches!(place, Place::Id | Place::ExternalId | Place::UserName | Place::DisplayName);
                keyed && test.is_equality()
            }
            Self::Some { list, inner } => {
                matches!(list, List::Emails | List::Members) && inner.equals_part("value")
            }
        }
    }

    /// The user name, in the form that it is compared in, where nothing is asked but who has it: one person or nobody.
    pub fn user_name(&self) -> Option<&str> {
        match self {
            Self::Value {
                place: Place::UserName,
                test: Test::Text { how: How::Ordered(Order::Equal), wanted, case: Case::Folded },
            } => Some(wanted),
            _ => None,
        }
    }

    /// Does it ask in which groups somebody is?
    pub fn asks_of_groups(&self) -> bool {
        match self {
            Self::Constant(_) | Self::Value { .. } => false,
            Self::All(these) | Self::Any(these) => these.iter().any(Self::asks_of_groups),
            Self::Not(inner) => inner.asks_of_groups(),
            Self::Some { list, inner } => *list == List::Groups || inner.asks_of_groups(),
        }
    }

    /// Is this, or one of these that must all hold, an equality with this sub-attribute?
    fn equals_part(&self, name: &str) -> bool {
        match self {
            Self::All(all) => all.iter().any(|one| one.equals_part(name)),
            Self::Value { place: Place::Part(part), test } => *part == name && test.is_equality(),
            _ => false,
        }
    }
}

impl Test {
    fn is_equality(&self) -> bool {
        matches!(self, Self::Text { how: How::Ordered(Order::Equal), .. })
    }
}
