//! `attributes` and `excludedAttributes`: which part of a resource a client wants (RFC 7644 3.9).
//! `id` and `schemas` are always returned; nothing that is never returned is in a resource at all.

use crate::{Object, Problem, ScimError, path::AttrPath};
use serde_json::Value;

/// Most attribute names in one request.
pub const NAMES_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Projection {
    #[default]
    All,
    Only(Vec<AttrPath>),
    Without(Vec<AttrPath>),
}

const ALWAYS: [&str; 2] = ["id", "schemas"];

impl Projection {
    /// Reads the two parameters, comma-separated. `invalidValue` when both are given, a name is not
    /// an attribute path, or there are more than `NAMES_MAX`.
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        let given =
            |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(names).transpose();
        match (given(attributes)?, given(excluded)?) {
            (None, None) => Ok(Self::All),
            (Some(only), None) => Ok(Self::Only(only)),
            (None, Some(without)) => Ok(Self::Without(without)),
            (Some(_), Some(_)) => Err(ScimError::of(
                Problem::QueryWrong,
                "attributes and excludedAttributes exclude each other",
            )),
        }
    }

    /// Is any of this attribute to be returned? Spares the store what nobody reads: `members`, `groups`.
    pub fn wants(&self, name: &str) -> bool {
        let named = |path: &AttrPath| path.is_core() && path.name.eq_ignore_ascii_case(name);
        match self {
            Self::All => true,
            Self::Only(paths) => paths.iter().any(named),
            Self::Without(paths) => !paths.iter().any(|path| named(path) && path.sub.is_none()),
        }
    }

    /// Is everything that is to be returned among these? Then nobody has to read the rest.
    pub fn is_among(&self, names: &[&str]) -> bool {
        let known =
            |path: &AttrPath| path.is_core() && names.iter().any(|name| path.name.eq_ignore_ascii_case(name));
        matches!(self, Self::Only(paths) if paths.iter().all(known))
    }

    pub(crate) fn apply(&self, resource: Object) -> Value {
        Value::Object(match self {
            Self::All => resource,
            Self::Only(paths) => only(&resource, paths),
            Self::Without(paths) => without(resource, paths),
        })
    }
}

fn names(text: &str) -> Result<Vec<AttrPath>, ScimError> {
    let paths: Option<Vec<AttrPath>> =
        text.split(',').take(NAMES_MAX + 1).map(|name| AttrPath::parse(name.trim())).collect();
    match paths {
        Some(paths) if paths.len() <= NAMES_MAX => Ok(paths),
        Some(_) => Err(ScimError::of(Problem::QueryWrong, format!("at most {NAMES_MAX} attribute names"))),
        None => Err(ScimError::of(Problem::QueryWrong, "not a list of attribute names")),
    }
}

fn find_key(object: &Object, name: &str) -> Option<String> {
    object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
}

fn only(resource: &Object, paths: &[AttrPath]) -> Object {
    let mut kept = Object::new();
    for name in ALWAYS {
        kept.extend(resource.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    for path in paths {
        match &path.urn {
            _ if path.is_core() => copy(resource, &mut kept, path),
            None => {}
            Some(urn) => {
                let Some(key) = find_key(resource, urn) else { continue };
                let Some(Value::Object(extension)) = resource.get(&key) else { continue };
                if path.name.is_empty() {
                    kept.insert(key, Value::Object(extension.clone()));
                    continue;
                }
                let mut part = match kept.remove(&key) {
                    Some(Value::Object(part)) => part,
                    _ => Object::new(),
                };
                copy(extension, &mut part, path);
                if !part.is_empty() {
                    kept.insert(key, Value::Object(part));
                }
            }
        }
    }
    kept
}

fn copy(from: &Object, to: &mut Object, path: &AttrPath) {
    let Some(key) = find_key(from, &path.name) else { return };
    let Some(value) = from.get(&key) else { return };
    let Some(sub) = &path.sub else {
        to.insert(key, value.clone());
        return;
    };
    let part = |value: &Value| {
        let object = value.as_object()?;
        let name = find_key(object, sub)?;
        Some((name.clone(), object.get(&name)?.clone()))
    };
    match value {
        // Values of a list keep their places, so that two sub-attributes land in the same value.
        Value::Array(list) => {
            let empty = || Value::Array(vec![Value::Object(Object::new()); list.len()]);
            if let Value::Array(kept) = to.entry(key).or_insert_with(empty) {
                for (place, value) in kept.iter_mut().zip(list) {
                    if let (Some(place), Some(part)) = (place.as_object_mut(), part(value)) {
                        place.extend([part]);
                    }
                }
            }
        }
        one => {
            if let Some(part) = part(one)
                && let Value::Object(place) = to.entry(key).or_insert_with(|| Value::Object(Object::new()))
            {
                place.extend([part]);
            }
        }
    }
}

fn without(mut resource: Object, paths: &[AttrPath]) -> Object {
    for path in paths {
        match &path.urn {
            _ if path.is_core() && ALWAYS.iter().any(|name| path.name.eq_ignore_ascii_case(name)) => {}
            _ if path.is_core() => strip(&mut resource, path),
            None => {}
            Some(urn) => {
                let Some(key) = find_key(&resource, urn) else { continue };
                if path.name.is_empty() {
                    resource.remove(&key);
                } else if let Some(Value::Object(extension)) = resource.get_mut(&key) {
                    strip(extension, path);
                }
            }
        }
    }
    resource
}

fn strip(object: &mut Object, path: &AttrPath) {
    let Some(key) = find_key(object, &path.name) else { return };
    let Some(sub) = &path.sub else {
        object.remove(&key);
        return;
    };
    let cut = |value: &mut Value| {
        if let Value::Object(value) = value {
            value.retain(|name, _| !name.eq_ignore_ascii_case(sub));
        }
    };
    match object.get_mut(&key) {
        Some(Value::Array(list)) => list.iter_mut().for_each(cut),
        Some(one) => cut(one),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ENTERPRISE_URN;
    use serde_json::json;

    fn cut(attributes: Option<&str>, excluded: Option<&str>) -> Value {
        let resource = json!({
            "schemas": ["s"], "id": "1", "userName": "a", "name": {"givenName": "g", "familyName": "f"},
            "emails": [{"value": "x", "type": "work"}, {"value": "y"}], ENTERPRISE_URN: {"department": "d", "division": "e"},
        });
        let Value::Object(resource) = resource else { panic!() };
        Projection::parse(attributes, excluded).unwrap().apply(resource)
    }

    #[test]
    fn only_what_was_asked_for_and_what_is_always_returned() {
        let dept = format!("{ENTERPRISE_URN}:department");
        assert_eq!(
            cut(Some("USERNAME, name.givenName,password"), None),
            json!({"schemas": ["s"], "id": "1", "userName": "a", "name": {"givenName": "g"}})
        );
        assert_eq!(
            cut(Some(&format!("emails.value,emails.type,{dept}")), None)["emails"],
            json!([{"value": "x", "type": "work"}, {"value": "y"}])
        );
        assert_eq!(cut(Some(&dept), None)[ENTERPRISE_URN], json!({"department": "d"}));
    }

    #[test]
    fn what_is_excluded_goes_but_never_id_and_schemas() {
        let left = cut(None, Some(&format!("id,schemas,Emails,name.familyName,{ENTERPRISE_URN}")));
        assert_eq!(left, json!({"schemas": ["s"], "id": "1", "userName": "a", "name": {"givenName": "g"}}));
    }

    #[test]
    fn both_at_once_bad_names_and_too_many_are_refused() {
        assert_eq!(Projection::parse(Some("a"), Some("b")).unwrap_err().code, "scim.query_wrong");
        assert!(Projection::parse(Some("a b"), None).is_err());
        let many = |count: usize| vec!["a"; count].join(",");
        assert!(Projection::parse(Some(&many(NAMES_MAX)), None).is_ok());
        assert!(Projection::parse(Some(&many(NAMES_MAX + 1)), None).is_err());
        assert!(!Projection::parse(Some(""), Some("members")).unwrap().wants("members"));
        assert!(!Projection::parse(Some("displayName"), None).unwrap().wants("members"));
        assert!(Projection::parse(Some("members.value"), None).unwrap().wants("Members"));
        assert!(Projection::All.wants("members"));
        let among = |attributes: &str| {
            Projection::parse(Some(attributes), None).unwrap().is_among(&["userName", "active"])
        };
        assert!(among("USERNAME,active"));
        assert!(!among("userName,title") && !among(&format!("{ENTERPRISE_URN}:active")));
        assert!(!Projection::All.is_among(&["userName"]));
    }
}
