//! A filter applied to a JSON document in memory: PATCH's value filters, and the oracle for whatever
//! the store does in SQL. Letter case counts only for `caseExact` attributes; null, `[]` and absent
//! are one (RFC 7643 2.5); a complex value compares by its `value` (Ping's `emails eq "x"`).

use crate::{
    Filter,
    attributes::{self, boolean},
    filter::Op,
    get,
    path::AttrPath,
};
use model::Timestamp;
use serde_json::Value;
use std::cmp::Ordering;

impl Filter {
    /// Does the document (or one value of a multi-valued attribute) satisfy the filter?
    pub fn matches(&self, document: &Value) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.matches(document)),
            Self::Or(all) => all.iter().any(|one| one.matches(document)),
            Self::Not(one) => !one.matches(document),
            Self::Present(path) => values(path, document).into_iter().any(is_assigned),
            Self::Some { path, inner } => {
                values(path, document).into_iter().any(|value| inner.matches(value))
            }
            Self::Compare { path, op, value } => {
                let found = values(path, document);
                match (op, value) {
                    (Op::Eq, Value::Null) => !found.into_iter().any(is_assigned),
                    (Op::Ne, Value::Null) => found.into_iter().any(is_assigned),
                    (Op::Ne, _) => !found.into_iter().any(|one| holds(leaf(path), one, Op::Eq, value)),
                    _ => found.into_iter().any(|one| holds(leaf(path), one, *op, value)),
                }
            }
        }
    }
}

fn leaf(path: &AttrPath) -> &str {
    path.sub.as_deref().unwrap_or(&path.name)
}

/// Every value the path leads to, arrays opened.
fn values<'a>(path: &AttrPath, document: &'a Value) -> Vec<&'a Value> {
    let step = |from: &'a Value, name: &str| from.as_object().and_then(|object| get(object, name));
    let root = match &path.urn {
        None => Some(document),
        Some(urn) => step(document, urn),
    };
    let found = open(root.and_then(|root| step(root, &path.name)));
    match &path.sub {
        None => found,
        Some(sub) => found.into_iter().flat_map(|value| open(step(value, sub))).collect(),
    }
}

fn open(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
    }
}

fn is_assigned(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => list.iter().any(is_assigned),
        Value::Object(object) => object.values().any(is_assigned),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn holds(leaf: &str, actual: &Value, op: Op, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Value::Object(object), _) => {
            get(object, "value").is_some_and(|value| !value.is_object() && holds(leaf, value, op, wanted))
        }
        (Value::String(actual), Value::String(wanted)) => {
            let dates =
                || Some((Timestamp::parse_rfc3339(actual).ok()?, Timestamp::parse_rfc3339(wanted).ok()?));
            if attributes::is_date(leaf)
                && let Some((actual, wanted)) = dates()
            {
                return ordered(actual.cmp(&wanted), op);
            }
            if attributes::is_exact(leaf) {
                text_holds(actual, op, wanted)
            } else if matches!(op, Op::Co | Op::Sw | Op::Ew) {
                text_holds(&actual.to_lowercase(), op, &wanted.to_lowercase())
            } else {
                ordered(folded(actual).cmp(folded(wanted)), op)
            }
        }
        (Value::Number(actual), Value::Number(wanted)) => {
            let order = match (actual.as_i64(), wanted.as_i64()) {
                (Some(actual), Some(wanted)) => Some(actual.cmp(&wanted)),
                _ => actual.as_f64().zip(wanted.as_f64()).and_then(|(a, w)| a.partial_cmp(&w)),
            };
            order.is_some_and(|order| ordered(order, op))
        }
        // Entra asks `roles[primary eq "True"]`: a string against a boolean.
        (Value::Bool(actual), _) => op == Op::Eq && boolean(wanted) == Some(*actual),
        _ => false,
    }
}

/// A text's characters without letter case; compared one by one, so that a long text costs no copy.
fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// Are two texts the same but for letter case?
pub(crate) fn same_text(one: &str, other: &str) -> bool {
    folded(one).eq(folded(other))
}

fn text_holds(actual: &str, op: Op, wanted: &str) -> bool {
    match op {
        Op::Co => actual.contains(wanted),
        Op::Sw => actual.starts_with(wanted),
        Op::Ew => actual.ends_with(wanted),
        Op::Eq | Op::Ne | Op::Gt | Op::Ge | Op::Lt | Op::Le => ordered(actual.cmp(wanted), op),
    }
}

fn ordered(order: Ordering, op: Op) -> bool {
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Co | Op::Sw | Op::Ew => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ENTERPRISE_URN;
    use serde_json::json;

    fn matches(filter: &str) -> bool {
        Filter::parse(filter).unwrap().matches(&json!({
            "userName": "Ada@Example.com", "externalId": "Ab1", "active": false, "title": "", "logins": 12,
            "nickName": null, "name": {"givenName": "Ada"},
            "emails": [{"value": "ada@work", "type": "work", "primary": true}, {"value": "ada@home", "type": "home"}],
            "meta": {"lastModified": "2026-11-20T12:00:00Z"},
            ENTERPRISE_URN: {"department": "R&D"},
        }))
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
            "logins gt 11",
            "logins le 12",
            "logins ge 12.0",
            r#"name.givenName ge "ad""#,
            r#"name.givenName lt "b""#,
            "active eq false",
            r#"active eq "False""#,
            r#"externalId eq "Ab1""#,
            "nickName eq null",
            "missing eq null",
            "userName ne null",
            "missing ne \"x\"",
            r#"emails eq "ADA@work""#,
            r#"emails.value eq "ada@home""#,
            r#"emails[type eq "work"].value eq "ada@work""#,
            r#"emails[primary eq "True"].value sw "ada""#,
            r#"meta.lastModified gt "2026-11-20T12:30:00+01:00""#,
            r#"meta.lastModified eq "2026-11-20T13:00:00+01:00""#,
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "r&d""#,
            r#"not (userName eq "bob") and (title pr or active eq false)"#,
        ] {
            assert!(matches(yes), "{yes}");
        }
        for no in [
            r#"externalId eq "ab1""#,
            "title pr",
            "nickName pr",
            "missing pr",
            "logins lt 12",
            r#"logins eq "12""#,
            r#"emails[type eq "home" and value eq "ada@work"]"#,
            r#"emails[type eq "home"].value eq "ada@work""#,
            "userName eq null",
            r#"missing eq "x""#,
            r#"meta.lastModified lt "2026-11-20T12:30:00+01:00""#,
            "active ne false",
            r#"missing gt "a""#,
            r#"department eq "r&d""#,
        ] {
            assert!(!matches(no), "{no}");
        }
    }
}
