//! Changes to an extension that has no schema here: its attributes are the directory's own, kept as they
//! were sent and declared by being sent (docs/adr). Names are found without letter case, as everywhere
//! (RFC 7643 2.1); what is inside a list is taken out by a filter, and put in with the whole list.

use crate::{
    Condition, ENTERPRISE_URN, Object, Problem, ScimError,
    attributes::{IGNORED, among},
    canon,
    edit::{not_an_object, object_at},
    path::Path,
};
use serde_json::Value;

/// Most extensions beside the enterprise one that a user may carry.
const EXTENSIONS_MAX: usize = 16;

/// The key in its held spelling, if it is held.
fn held(object: &Object, name: &str) -> Option<String> {
    object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
}

/// Null takes a value away (RFC 7643 2.5).
fn put(object: &mut Object, name: &str, value: Value) {
    let key = held(object, name).unwrap_or_else(|| name.to_owned());
    match value {
        Value::Null => drop(object.remove(&key)),
        value => drop(object.insert(key, value)),
    }
}

/// Adds or replaces what a path names, or all of the extension that an object names.
pub(crate) fn assign(
    map: &mut Object,
    (urn, name): (&str, &str),
    path: &Path,
    value: Value,
) -> Result<(), ScimError> {
    if path.filter.is_some() {
        let detail = "a list of an extension without a schema is replaced whole";
        return Err(ScimError::of(Problem::PathUnknown, detail).at(urn));
    }
    if among(&IGNORED, name) {
        return Ok(());
    }
    let known = map.keys().filter(|key| key.contains(':') && *key != ENTERPRISE_URN).count();
    let key = match held(map, urn) {
        Some(key) => key,
        None if known >= EXTENSIONS_MAX => {
            let detail = format!("at most {EXTENSIONS_MAX} extensions");
            return Err(ScimError::of(Problem::TooManyValues, detail).at(urn));
        }
        None => urn.to_owned(),
    };
    let place = object_at(map, &key)?;
    match (name, &path.attr.sub, canon::without_passwords(value)) {
        ("", _, Value::Object(values)) => {
            values.into_iter().for_each(|(name, value)| put(place, &name, value))
        }
        ("", _, Value::Null) => {}
        ("", _, other) => return Err(not_an_object(urn, &other)),
        (name, None, value) => put(place, name, value),
        (name, Some(sub), value) => {
            let key = held(place, name).unwrap_or_else(|| name.to_owned());
            put(object_at(place, &key)?, sub, value);
        }
    }
    Ok(())
}

/// Removes the extension, an attribute, a member of one, or the values of a list that a filter chooses.
pub(crate) fn remove(map: &mut Object, (urn, name): (&str, &str), path: &Path) -> Result<(), ScimError> {
    let filter = path.filter.as_ref().map(Condition::inside_foreign).transpose()?;
    let Some(urn) = held(map, urn) else { return Ok(()) };
    if name.is_empty() {
        map.remove(&urn);
        return Ok(());
    }
    let Some(Value::Object(place)) = map.get_mut(&urn) else { return Ok(()) };
    let Some(key) = held(place, name) else { return Ok(()) };
    let without = |value: &mut Value, sub: &str| {
        if let Value::Object(object) = value {
            object.retain(|key, _| !key.eq_ignore_ascii_case(sub));
        }
    };
    match (place.get_mut(&key), filter, &path.attr.sub) {
        (Some(Value::Array(list)), Some(filter), None) => list.retain(|one| !filter.matches(one)),
        (Some(Value::Array(list)), Some(filter), Some(sub)) => {
            list.iter_mut().filter(|one| filter.matches(one)).for_each(|one| without(one, sub));
        }
        (Some(one), None, Some(sub)) => without(one, sub),
        (Some(_), None, None) => drop(place.remove(&key)),
        // A single value has none to choose from.
        (Some(_), Some(_), _) | (None, ..) => {}
    }
    Ok(())
}
