//! A condition applied to JSON in memory: to one value of a multi-valued attribute (PATCH's value
//! paths), or to a whole resource as a client reads it, which is what the store's SQL is held to.
//! null, `[]` and absent are one (RFC 7643 2.5).

use crate::{
    Condition, Object,
    condition::{Case, How, List, Order, Place, Test},
    get,
};
use model::{Timestamp, user::normalised};
use serde_json::Value;
use std::cmp::Ordering;

impl Condition {
    /// Does the resource, or the value of a list, satisfy the condition?
    pub fn matches(&self, value: &Value) -> bool {
        match self {
            Self::Constant(always) => *always,
            Self::All(all) => all.iter().all(|one| one.matches(value)),
            Self::Any(any) => any.iter().any(|one| one.matches(value)),
            Self::Not(one) => !one.matches(value),
            Self::Value { place, test } => place.find(value).is_some_and(|value| test.passes(value)),
            Self::Some { list, inner } => list.find(value).into_iter().any(|value| inner.matches(value)),
        }
    }
}

impl Place {
    /// The value at this place of a resource, or of a value of a list.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Itself => Some(value),
            Self::Part(name) => value.get(name),
            Self::Id => value.get("id"),
            Self::ExternalId => value.get("externalId"),
            Self::Created => value.get("meta")?.get("created"),
            Self::LastModified => value.get("meta")?.get("lastModified"),
            Self::Location => value.get("meta")?.get("location"),
            Self::Version => value.get("meta")?.get("version"),
            Self::UserName => value.get("userName"),
            Self::DisplayName => value.get("displayName"),
            Self::GivenName => value.get("name")?.get("givenName"),
            Self::FamilyName => value.get("name")?.get("familyName"),
            Self::Active => value.get("active"),
            Self::Document { extension, name, sub } => {
                let from = extension.map_or(Some(value), |urn| value.get(urn))?.get(name)?;
                sub.map_or(Some(from), |sub| from.get(sub))
            }
        }
    }
}

impl List {
    /// Every value that stands there.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let under = |object: &'a Value, name: &str| object.as_object().and_then(|object| get(object, name));
        opened(match self {
            Self::Schemas => value.get("schemas"),
            Self::Emails => value.get("emails"),
            Self::Document(name) => value.get(name),
            Self::Groups => value.get("groups"),
            Self::Members => value.get("members"),
            Self::Foreign { urn, name } => under(value, urn).and_then(|extension| under(extension, name)),
            Self::ForeignPart(name) => under(value, name),
        })
    }
}

fn opened(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
    }
}

impl Test {
    fn passes(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Present, Value::Null) => false,
            (Self::Present, Value::String(text)) => !text.is_empty(),
            (Self::Present, Value::Array(list)) => !list.is_empty(),
            (Self::Present, Value::Object(object)) => !Object::is_empty(object),
            (Self::Present, Value::Bool(_) | Value::Number(_)) => true,
            (Self::Text { how, wanted, case: Case::Exact }, Value::String(text)) => how.holds(text, wanted),
            (Self::Text { how, wanted, case: Case::Folded }, Value::String(text)) => {
                how.holds(&normalised(text), wanted)
            }
            (Self::Flag(wanted), Value::Bool(flag)) => wanted == flag,
            (Self::Time { order, wanted }, Value::String(text)) => {
                Timestamp::parse_rfc3339(text).is_ok_and(|at| order.holds(at.cmp(wanted)))
            }
            (Self::Number { order, wanted }, Value::Number(number)) => {
                let pair = number.as_f64().zip(wanted.as_f64());
                pair.and_then(|(number, wanted)| number.partial_cmp(&wanted))
                    .is_some_and(|found| order.holds(found))
            }
            (Self::Text { .. } | Self::Flag(_) | Self::Time { .. } | Self::Number { .. }, _) => false,
        }
    }
}

impl How {
    /// Both in the form they are compared in; by code point.
    fn holds(self, text: &str, wanted: &str) -> bool {
        match self {
            Self::Ordered(order) => order.holds(text.cmp(wanted)),
            Self::Contains => text.contains(wanted),
            Self::Starts => text.starts_with(wanted),
            Self::Ends => text.ends_with(wanted),
        }
    }
}

impl Order {
    const fn holds(self, found: Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::Above => found.is_gt(),
            Self::AtLeast => found.is_ge(),
            Self::Below => found.is_lt(),
            Self::AtMost => found.is_le(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ENTERPRISE_URN, Filter, Kind, USER_URN};
    use serde_json::json;

    fn matches(filter: &str) -> bool {
        let user = json!({
            "schemas": [USER_URN, ENTERPRISE_URN, "urn:acme:User"], "id": "usr_1",
            "userName": "Ada@Example.com", "externalId": "Ab1", "active": false, "title": "", "userType": "7",
            "displayName": " Ada L ", "name": {"givenName": "Ada"}, "profileUrl": "https://X",
            "emails": [{"value": "ada@work", "type": "work", "primary": true}, {"value": "ada@home", "type": "home"}],
            "groups": [{"value": "grp_1", "display": "Staff"}],
            "meta": {"lastModified": "2026-11-20T12:00:00Z", "version": "W/\"3\""},
            ENTERPRISE_URN: {"department": "R&D", "manager": {"value": "M1"}},
            "urn:acme:User": {"Level": 12, "tags": ["A", "b"], "on": true, "deep": [{"a": "x"}, {"a": "y", "b": ["z"]}]},
        });
        Condition::of(&Filter::parse(filter).unwrap(), Kind::User).unwrap().matches(&user)
    }

    #[test]
    fn every_operator_does_what_the_table_says() {
        for yes in [
            r#"userName eq "ada@example.COM""#,
            r#"USERNAME sw "ADA""#,
            r#"userName ew ".com""#,
            r#"userName co "@exa""#,
            r#"userName ne "bob""#,
            "userName pr",
            r#"name.givenName ge "ad""#,
            r#"name.givenName lt "b""#,
            "active eq false",
            r#"active eq "False""#,
            "active ne true",
            r#"externalId eq "Ab1""#,
            "nickName eq null",
            "missing eq null",
            "userName ne null",
            r#"missing ne "x""#,
            "not (missing pr)",
            "userType eq 7",
            r#"emails eq "ADA@work""#,
            r#"emails.value eq "ada@home""#,
            "emails pr",
            r#"emails[type eq "work"].value eq "ada@work""#,
            r#"emails[primary eq "True"].value sw "ada""#,
            r#"emails[type ne "work"].value eq "ada@home""#,
            r#"emails.type ne "other""#,
            r#"groups.display eq "staff""#,
            r#"meta.lastModified gt "2026-11-20T12:30:00+01:00""#,
            r#"meta.lastModified eq "2026-11-20T13:00:00+01:00""#,
            r#"meta.lastModified le "2026-11-20T12:00:00""#,
            r#"meta.lastModified sw "2026-11""#,
            r#"meta.resourceType eq "User""#,
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "r&d""#,
            r#"URN:ietf:params:scim:schemas:core:2.0:user:userName sw "ada""#,
            r#"schemas eq "urn:acme:user""#,
            r#"name[givenName eq "ada"]"#,
            r#"not (userName eq "bob") and (title pr or active eq false)"#,
            r#"urn:acme:User:level gt 11.5"#,
            r#"urn:acme:User:tags eq "B""#,
            r#"urn:acme:User:on eq "true""#,
            r#"urn:acme:User:deep.b eq "z""#,
            r#"urn:acme:User:deep[a eq "y" and b pr]"#,
        ] {
            assert!(matches(yes), "{yes}");
        }
        for no in [
            r#"externalId eq "ab1""#,
            r#"profileUrl eq "https://x""#,
            "title pr",
            "nickName pr",
            "missing pr",
            r#"emails[type eq "home" and value eq "ada@work"]"#,
            r#"emails[type eq "home"].value eq "ada@work""#,
            r#"emails.type ne "work""#,
            r#"emails[colour eq "red"]"#,
            r#"emails[not (type pr)]"#,
            "userName eq null",
            "addresses pr",
            r#"addresses.country ne "x" and addresses pr"#,
            r#"missing eq "x""#,
            r#"title[a eq "b"]"#,
            r#"meta.lastModified lt "2026-11-20T12:30:00+01:00""#,
            "active ne false",
            r#"missing gt "a""#,
            r#"department eq "r&d""#,
            r#"meta.resourceType eq "Group""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:Group:displayName pr"#,
            "urn:acme:User:level lt 12",
            r#"urn:acme:User:level eq "12""#,
            r#"urn:acme:User:deep[a eq "x" and b pr]"#,
            r#"urn:acme:Other:level pr"#,
        ] {
            assert!(!matches(no), "{no}");
        }
    }

    #[test]
    fn a_blank_at_the_end_of_a_part_counts_and_around_a_whole_value_does_not() {
        assert!(matches(r#"displayName eq "ada l""#));
        assert!(matches(r#"displayName sw "ADA ""#));
        assert!(!matches(r#"displayName sw " ada""#));
    }
}
