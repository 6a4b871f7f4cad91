//! `sortBy` and `sortOrder` (RFC 7644 3.4.2.3): which value of a resource it is ordered by. Of several
//! values the primary one counts, else the first; letter case as `caseExact` says; a resource without a
//! value comes last, in descending order first. The store does the ordering.

use crate::{
    ENTERPRISE_URN, Kind, Problem, ScimError,
    attributes::{Attribute, ENTERPRISE, Shape, find, find_core},
    condition::{Case, List, Place},
    path::AttrPath,
    resolve,
};

/// What a list is to be ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortBy {
    path: AttrPath,
    pub descending: bool,
}

/// The value that resources of one type are ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub at: At,
    pub form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Single(Place),
    /// The place within the primary value of the list, else within its first.
    Preferred(List, Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text(Case),
    Flag,
    Time,
}

impl SortBy {
    /// Reads the two parameters. `invalidValue` when `sortBy` is no attribute path, or the order neither
    /// of the two.
    pub fn parse(by: Option<&str>, order: Option<&str>) -> Result<Option<Self>, ScimError> {
        let wrong = |detail: &str| ScimError::of(Problem::QueryWrong, detail);
        let descending = match order.map(str::trim).unwrap_or_default() {
            "" => false,
            order if order.eq_ignore_ascii_case("ascending") => false,
            order if order.eq_ignore_ascii_case("descending") => true,
            _ => return Err(wrong("sortOrder is ascending or descending")),
        };
        let Some(by) = by.map(str::trim).filter(|by| !by.is_empty()) else { return Ok(None) };
        let path = AttrPath::parse(by).filter(|path| !path.name.is_empty());
        Ok(Some(Self { path: path.ok_or_else(|| wrong("sortBy is not an attribute path"))?, descending }))
    }

    /// What resources of this type are ordered by; `None` when they have no such attribute. `invalidValue`
    /// for what has no order: a complex attribute without a `value`, a relation, a binary.
    pub fn key(&self, kind: Kind) -> Result<Option<SortKey>, ScimError> {
        let path = &self.path;
        let (extension, found) = match path.urn.as_deref() {
            Some(ENTERPRISE_URN) if kind == Kind::User => {
                (Some(ENTERPRISE_URN), find(&ENTERPRISE, &path.name))
            }
            _ if path.is_core_of(kind) => (None, find_core(kind, &path.name)),
            _ => return Ok(None),
        };
        let Some(found) = found else { return Ok(None) };
        let sub = match &path.sub {
            Some(name) => match find(found.subs(), name) {
                Some(sub) => Some(sub),
                None => return Ok(None),
            },
            None => find(found.subs(), "value"),
        };
        let leaf = sub.unwrap_or(found);
        let form = match leaf.shape {
            Shape::Text | Shape::Reference(_) => Form::Text(Case::of(leaf.exact)),
            Shape::Boolean => Form::Flag,
            Shape::DateTime => Form::Time,
            Shape::Binary | Shape::Complex(_) => return Err(unordered(found)),
        };
        let at = match (resolve::list(found.name), sub) {
            _ if !found.many => match resolve::place(extension, found, sub) {
                Some(place) => At::Single(place),
                None => return Ok(None),
            },
            (list @ (List::Emails | List::Document(_)), Some(sub)) => {
                At::Preferred(list, Place::Part(sub.name))
            }
            _ => return Err(unordered(found)),
        };
        Ok(Some(SortKey { at, form }))
    }
}

fn unordered(found: &Attribute) -> ScimError {
    let detail =
        format!("{} has no order: sort by a single value, or by one of its sub-attributes", found.name);
    ScimError::of(Problem::QueryWrong, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(by: &str, kind: Kind) -> Result<Option<SortKey>, ScimError> {
        SortBy::parse(Some(by), None).unwrap().unwrap().key(kind)
    }
    fn single(by: &str) -> Place {
        match key(by, Kind::User).unwrap().unwrap().at {
            At::Single(place) => place,
            At::Preferred(..) => panic!("{by}"),
        }
    }

    #[test]
    fn the_two_parameters_are_read_in_any_letter_case() {
        assert_eq!(SortBy::parse(None, Some("descending")), Ok(None));
        assert_eq!(SortBy::parse(Some(" "), None), Ok(None));
        assert!(SortBy::parse(Some("userName"), Some("Descending")).unwrap().unwrap().descending);
        assert!(!SortBy::parse(Some("userName"), None).unwrap().unwrap().descending);
        for (by, order) in [("user name", None), ("userName", Some("down")), ("emails[a pr]", None)] {
            assert_eq!(SortBy::parse(Some(by), order).unwrap_err().code, "scim.query_wrong", "{by}");
        }
    }

    #[test]
    fn a_key_is_one_value_in_the_form_it_is_compared_in() {
        assert_eq!(single("USERNAME"), Place::UserName);
        assert_eq!(single("name.familyName"), Place::FamilyName);
        assert_eq!(key("meta.lastModified", Kind::Group).unwrap().unwrap().form, Form::Time);
        assert_eq!(key("externalId", Kind::User).unwrap().unwrap().form, Form::Text(Case::Exact));
        assert_eq!(key("active", Kind::User).unwrap().unwrap().form, Form::Flag);
        for by in ["emails", "emails.value"] {
            let at = At::Preferred(List::Emails, Place::Part("value"));
            assert_eq!(key(by, Kind::User).unwrap().unwrap().at, at);
        }
        let manager = format!("{ENTERPRISE_URN}:manager");
        let place = Place::Document { extension: Some(ENTERPRISE_URN), name: "manager", sub: Some("value") };
        assert_eq!(single(&manager), place);
    }

    #[test]
    fn what_is_not_there_orders_nothing_and_what_has_no_order_is_refused() {
        for (by, kind) in [("colour", Kind::User), ("userName", Kind::Group), ("name.x", Kind::User)] {
            assert_eq!(key(by, kind), Ok(None), "{by}");
        }
        assert_eq!(key("meta.resourceType", Kind::User), Ok(None), "all have the same");
        for by in ["name", "addresses", "groups", "schemas", "meta", "x509Certificates"] {
            assert_eq!(key(by, Kind::User).unwrap_err().code, "scim.query_wrong", "{by}");
        }
        assert!(key("members.value", Kind::Group).is_err());
    }
}
