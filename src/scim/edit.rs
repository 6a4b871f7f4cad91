//! Changes to a user's canonical attributes: set what a path names, merge an object of names and
//! paths, remove. POST and PUT bodies are read by the same code as a PATCH without a path, so a client
//! gets the same leniency everywhere (RFC 7644 3.5.2.1 to 3.5.2.3).
//! Works on a copy its caller owns: an error half way leaves the stored document untouched.

use crate::{
    ENTERPRISE_URN, Kind, Object, Problem, ScimError, USER_URN,
    attributes::{Attribute, ENTERPRISE, IGNORED, Mutability, READ_ONLY, USER, among, find},
    canon, edit_foreign, edit_values,
    path::{AttrPath, Path},
};
use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Add,
    Replace,
}

/// What an attribute path names.
enum Target<'p> {
    /// The resource itself: the bare core URN.
    Whole,
    /// The enterprise extension as one object.
    Enterprise,
    Known {
        extension: Option<&'static str>,
        attribute: &'static Attribute,
    },
    /// An extension this server has no schema of; kept as sent.
    Foreign {
        urn: &'p str,
        name: &'p str,
    },
    Ignored,
}

fn target(path: &AttrPath) -> Result<Target<'_>, ScimError> {
    let (extension, table) = match path.urn.as_deref() {
        _ if path.is_core_of(Kind::User) => (None, USER.as_slice()),
        Some(ENTERPRISE_URN) => (Some(ENTERPRISE_URN), ENTERPRISE.as_slice()),
        Some(urn) if !path.is_core() => return Ok(Target::Foreign { urn, name: &path.name }),
        Some(_) | None => return Err(unknown(&path.name)),
    };
    match find(table, &path.name).filter(|found| found.mutability == Mutability::ReadWrite) {
        Some(attribute) => Ok(Target::Known { extension, attribute }),
        None if path.name.is_empty() && extension.is_some() => Ok(Target::Enterprise),
        None if path.name.is_empty() => Ok(Target::Whole),
        None if extension.is_none() && among(&READ_ONLY, &path.name) => {
            Err(ScimError::of(Problem::Mutability, format!("{} is read-only", path.name)))
        }
        None if among(&IGNORED, &path.name) => Ok(Target::Ignored),
        None => Err(unknown(&path.name)),
    }
}

pub(crate) fn not_an_object(place: &str, value: &Value) -> ScimError {
    ScimError::of(Problem::ValueWrong, "an object of attributes is expected").received(value).at(place)
}

fn unknown(name: &str) -> ScimError {
    ScimError::of(Problem::PathUnknown, format!("no such attribute: {name}"))
}

/// Adds or replaces each attribute of an object without a path. Keys may be names, dotted paths, URNs
/// or value paths; what is read-only or unknown is passed over, as clients echo whole documents.
pub(crate) fn assign_all(map: &mut Object, verb: Verb, values: Object) -> Result<(), ScimError> {
    for (key, value) in values {
        let Ok(path) = Path::parse(&key) else { continue };
        // Leaving `active` out, or unassigned, keeps the present value: never a way back in.
        if value.is_null() && path.attr.is("active", None) {
            continue;
        }
        match assign(map, verb, &path, value) {
            Err(error) if error.is(Problem::PathUnknown) || error.is(Problem::Mutability) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Adds or replaces what a path names.
pub(crate) fn assign(map: &mut Object, verb: Verb, path: &Path, value: Value) -> Result<(), ScimError> {
    match target(&path.attr)? {
        Target::Ignored => Ok(()),
        Target::Whole => match value {
            Value::Object(values) if !values.keys().any(|key| is_whole(key)) => assign_all(map, verb, values),
            other => Err(not_an_object(USER_URN, &other)),
        },
        Target::Enterprise => match value {
            Value::Null => Ok(()),
            Value::Object(values) => {
                for (name, value) in values {
                    let inner = AttrPath { urn: Some(ENTERPRISE_URN.into()), name, sub: None };
                    // Only names of the extension count here, so this cannot nest.
                    if !inner.name.is_empty() && find(&ENTERPRISE, &inner.name).is_some() {
                        assign(map, verb, &Path { attr: inner, filter: None }, value)?;
                    }
                }
                Ok(())
            }
            other => Err(not_an_object(ENTERPRISE_URN, &other)),
        },
        Target::Foreign { urn, name } => {
            edit_foreign::assign(map, (urn, name), path, value)?;
            prune(map);
            Ok(())
        }
        Target::Known { extension, attribute } => {
            let place = match extension {
                None => &mut *map,
                Some(urn) => object_at(map, urn)?,
            };
            let result = assign_known(place, verb, path, attribute, value);
            prune(map);
            result
        }
    }
}

fn is_whole(key: &str) -> bool {
    AttrPath::parse(key).is_some_and(|path| path.is_core() && path.name.is_empty())
}

fn assign_known(
    place: &mut Object,
    verb: Verb,
    path: &Path,
    attribute: &'static Attribute,
    value: Value,
) -> Result<(), ScimError> {
    if attribute.many {
        return edit_values::assign(place, verb, path, attribute, value);
    }
    if path.filter.is_some() {
        return Err(ScimError::of(Problem::PathUnknown, "it has one value, not a list to choose from")
            .at(attribute.name));
    }
    if let Some(name) = &path.attr.sub {
        let sub = sub_of(attribute, name)?;
        let object = object_at(place, attribute.name)?;
        match canon::one(sub, value)? {
            // Entra clears a manager by an empty value.
            Some(Value::String(text)) if text.is_empty() && sub.name == "value" => object.clear(),
            Some(value) => drop(object.insert(sub.name.into(), value)),
            None => drop(object.remove(sub.name)),
        }
        return Ok(());
    }
    match canon::value(attribute, value)? {
        Some(Value::Object(parts)) if attribute.name != "manager" => {
            object_at(place, attribute.name)?.extend(parts);
        }
        Some(value) => drop(place.insert(attribute.name.into(), value)),
        None if attribute.name == "active" => {
            return Err(ScimError::of(
                Problem::ValueWrong,
                "active: true or false is expected; received null",
            ));
        }
        None if verb == Verb::Add => {}
        None => drop(place.remove(attribute.name)),
    }
    Ok(())
}

/// The sub-attribute of a complex attribute by name. `invalidPath` when there is none.
pub(crate) fn sub_of(attribute: &'static Attribute, name: &str) -> Result<&'static Attribute, ScimError> {
    canon::find_sub(attribute, name).ok_or_else(|| unknown(&format!("{}.{name}", attribute.name)))
}

/// Removes what a path names. `sent` is the value Entra and Okta put beside the path: for a list it
/// says which values go; for anything else it says nothing.
pub(crate) fn remove(map: &mut Object, path: &Path, sent: Option<&Value>) -> Result<(), ScimError> {
    match target(&path.attr)? {
        Target::Ignored => {}
        Target::Whole => return Err(ScimError::of(Problem::PathMissing, "remove needs an attribute")),
        Target::Enterprise => drop(map.remove(ENTERPRISE_URN)),
        Target::Foreign { urn, name } => edit_foreign::remove(map, (urn, name), path)?,
        Target::Known { extension, attribute } => {
            if attribute.required {
                let error = ScimError::of(Problem::Mutability, "it is required and cannot be removed");
                return Err(error.at(attribute.name));
            }
            let place = match extension {
                None => &mut *map,
                Some(urn) => object_at(map, urn)?,
            };
            match &path.attr.sub {
                _ if attribute.many => edit_values::remove(place, path, attribute, sent)?,
                _ if path.filter.is_some() => return Err(unknown(attribute.name)),
                None => drop(place.remove(attribute.name)),
                Some(name) => {
                    let sub = sub_of(attribute, name)?;
                    if let Some(Value::Object(object)) = place.get_mut(attribute.name) {
                        object.remove(sub.name);
                    }
                }
            }
        }
    }
    prune(map);
    Ok(())
}

/// The object under a key, made if absent.
pub(crate) fn object_at<'m>(map: &'m mut Object, key: &str) -> Result<&'m mut Object, ScimError> {
    let wrong = ScimError::of(Problem::ValueWrong, "it is kept as a single value, not as an object").at(key);
    map.entry(key).or_insert_with(|| Value::Object(Object::new())).as_object_mut().ok_or(wrong)
}

/// Objects that have lost their last attribute are unassigned.
fn prune(map: &mut Object) {
    let empty = |value: &Value| value.as_object().is_some_and(Object::is_empty);
    if let Some(Value::Object(enterprise)) = map.get_mut(ENTERPRISE_URN) {
        enterprise.retain(|_, value| !empty(value));
    }
    map.retain(|_, value| !empty(value));
}
