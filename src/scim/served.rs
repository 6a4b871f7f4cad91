//! Which filters a list is served by: conjunctions of equalities over indexed columns. Every filter
//! of the grammar parses, but a full scan over a directory is a cost nobody should be able to order
//! by URL (RFC 7644 7.2), so any other shape is refused with the list of those that work.

use crate::{Filter, Problem, ScimError, attributes::boolean, filter::Op, path::AttrPath};
use serde_json::Value;

/// Most terms of a served conjunction; the clients send one or two.
pub const SERVED_TERMS_MAX: usize = 8;

const USERS_SERVED: &str = "filters served on Users: eq on userName, externalId, id, displayName, active, emails, \
     emails.value, emails[type eq \"…\"].value, joined by and";
const GROUPS_SERVED: &str =
    "filters served on Groups: eq on displayName, externalId, id, members, members.value, joined by and";

/// One equality over users. Comparison is the store's: `userName`, `displayName` and addresses by
/// `model::user::normalised`, `id` and `externalId` byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserTerm {
    UserName(String),
    ExternalId(String),
    Id(String),
    DisplayName(String),
    Active(bool),
    /// One address has this value and, if given, this type.
    Email {
        value: String,
        kind: Option<String>,
    },
}

/// One equality over groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupTerm {
    Id(String),
    DisplayName(String),
    ExternalId(String),
    /// The user with this id is a member. Not checked to be an id: an unknown one matches nothing.
    Member(String),
}

/// The conjunction a filter over Users is. `invalidFilter` when it is another shape.
pub fn users(filter: &Filter) -> Result<Vec<UserTerm>, ScimError> {
    terms(filter, user_term).ok_or_else(|| ScimError::of(Problem::FilterUnserved, USERS_SERVED))
}

/// The conjunction a filter over Groups is. `invalidFilter` when it is another shape.
pub fn groups(filter: &Filter) -> Result<Vec<GroupTerm>, ScimError> {
    terms(filter, group_term).ok_or_else(|| ScimError::of(Problem::FilterUnserved, GROUPS_SERVED))
}

fn terms<T>(filter: &Filter, read: fn(&Filter) -> Option<T>) -> Option<Vec<T>> {
    let mut found = Vec::new();
    let mut waiting = vec![filter];
    while let Some(next) = waiting.pop() {
        match next {
            Filter::And(all) => waiting.extend(all.iter().rev()),
            one if found.len() < SERVED_TERMS_MAX => found.push(read(one)?),
            _ => return None,
        }
    }
    Some(found)
}

fn equality(filter: &Filter) -> Option<(&AttrPath, &Value)> {
    match filter {
        Filter::Compare { path, op: Op::Eq, value } => Some((path, value)),
        _ => None,
    }
}

/// `wanted` of these sub-attribute names, all compared by equality with a string inside one `[...]`.
fn inside<'a>(inner: &'a Filter, name: &str) -> Option<&'a str> {
    equality(inner).filter(|(path, _)| path.is(name, None)).and_then(|(_, value)| value.as_str())
}

fn user_term(filter: &Filter) -> Option<UserTerm> {
    if let Filter::Some { path, inner } = filter {
        let (value, kind) = match inner.as_ref() {
            Filter::And(both) => {
                let [first, second] = both.as_slice() else { return None };
                let (value, kind) = match (inside(first, "value"), inside(second, "value")) {
                    (Some(value), None) => (value, inside(second, "type")?),
                    (None, Some(value)) => (value, inside(first, "type")?),
                    (Some(_), Some(_)) | (None, None) => return None,
                };
                (value, Some(kind.to_owned()))
            }
            one => (inside(one, "value")?, None),
        };
        return path.is("emails", None).then(|| UserTerm::Email { value: value.to_owned(), kind });
    }
    let (path, value) = equality(filter)?;
    if path.is("active", None) {
        return boolean(value).map(UserTerm::Active);
    }
    let text = value.as_str()?.to_owned();
    match path {
        p if p.is("userName", None) => Some(UserTerm::UserName(text)),
        p if p.is("externalId", None) => Some(UserTerm::ExternalId(text)),
        p if p.is("id", None) => Some(UserTerm::Id(text)),
        p if p.is("displayName", None) => Some(UserTerm::DisplayName(text)),
        p if p.is("emails", None) || p.is("emails", Some("value")) => {
            Some(UserTerm::Email { value: text, kind: None })
        }
        _ => None,
    }
}

fn group_term(filter: &Filter) -> Option<GroupTerm> {
    if let Filter::Some { path, inner } = filter {
        let member = inside(inner, "value")?;
        return path.is("members", None).then(|| GroupTerm::Member(member.to_owned()));
    }
    let (path, value) = equality(filter)?;
    let text = value.as_str()?.to_owned();
    match path {
        p if p.is("id", None) => Some(GroupTerm::Id(text)),
        p if p.is("displayName", None) => Some(GroupTerm::DisplayName(text)),
        p if p.is("externalId", None) => Some(GroupTerm::ExternalId(text)),
        p if p.is("members", None) || p.is("members", Some("value")) => Some(GroupTerm::Member(text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Result<Vec<UserTerm>, ScimError> {
        users(&Filter::parse(text).unwrap())
    }
    fn email(value: &str, kind: Option<&str>) -> Vec<UserTerm> {
        vec![UserTerm::Email { value: value.into(), kind: kind.map(str::to_owned) }]
    }

    #[test]
    fn the_filters_clients_send_are_served() {
        assert_eq!(user(r#"userName eq "A@b""#).unwrap(), [UserTerm::UserName("A@b".into())]);
        assert_eq!(
            user(r#"urn:ietf:params:scim:schemas:core:2.0:User:userName Eq "a""#).unwrap(),
            [UserTerm::UserName("a".into())]
        );
        assert_eq!(user(r#"emails[type eq "work"].value eq "x""#).unwrap(), email("x", Some("work")));
        assert_eq!(user(r#"emails[value eq "x" and type eq "work"]"#).unwrap(), email("x", Some("work")));
        assert_eq!(user(r#"emails[value eq "x"]"#).unwrap(), email("x", None));
        assert_eq!(user(r#"emails eq "x""#).unwrap(), email("x", None));
        assert_eq!(user(r#"emails.value eq "x""#).unwrap(), email("x", None));
        assert_eq!(
            user(r#"(userName eq "a" and (externalId eq "b")) and active eq "True""#).unwrap(),
            [UserTerm::UserName("a".into()), UserTerm::ExternalId("b".into()), UserTerm::Active(true)]
        );
        let group = groups(&Filter::parse(r#"id eq "g" and members eq "u""#).unwrap()).unwrap();
        assert_eq!(group, [GroupTerm::Id("g".into()), GroupTerm::Member("u".into())]);
        let group = groups(&Filter::parse(r#"members[value eq "u"]"#).unwrap()).unwrap();
        assert_eq!(group, [GroupTerm::Member("u".into())]);
    }

    #[test]
    fn any_other_shape_is_refused_and_told_what_is_served() {
        for text in [
            r#"userName sw "a""#,
            "userName pr",
            r#"userName eq "a" or userName eq "b""#,
            r#"not (userName eq "a")"#,
            r#"title eq "x""#,
            "userName eq 5",
            r#"emails[type eq "work"]"#,
            r#"emails[type eq "work" and value eq "x" and primary eq true]"#,
            r#"emails[value eq "x" or type eq "y"]"#,
            r#"emails[value sw "x"]"#,
            r#"phoneNumbers[value eq "x"]"#,
            r#"emails.type eq "work""#,
            r#"emails[value eq "x" and value eq "y"]"#,
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:userName eq "a""#,
        ] {
            let error = user(text).unwrap_err();
            assert_eq!(
                (error.code, error.scim_type),
                ("scim.filter_unserved", Some("invalidFilter")),
                "{text}"
            );
            assert!(error.detail.contains("userName"));
        }
        let many = |count: usize| vec![r#"id eq "x""#; count].join(" and ");
        assert!(user(&many(SERVED_TERMS_MAX)).is_ok());
        assert!(user(&many(SERVED_TERMS_MAX + 1)).is_err());
    }
}
