//! Changes to a multi-valued attribute: append without duplicates, replace, remove by filter or by
//! value, and the value filter that creates what it does not find, which Entra relies on
//! (`add emails[type eq "work"].value`). At most one value is primary after each change.

use crate::{
    Condition, Filter, Object, Problem, ScimError,
    attributes::Attribute,
    canon::{self, is_primary, settle_primary, text_of},
    edit::{Verb, sub_of},
    filter::Op,
    path::Path,
    user::DOCUMENT_BYTES_MAX,
};
use model::user::normalised;
use serde_json::Value;

/// Adds to or replaces the values a path names.
pub(crate) fn assign(
    place: &mut Object,
    verb: Verb,
    path: &Path,
    attribute: &'static Attribute,
    value: Value,
) -> Result<(), ScimError> {
    let mut list = take(place, attribute);
    match (&path.filter, &path.attr.sub) {
        (None, None) => match verb {
            Verb::Replace => {
                place.extend(canon::value(attribute, value)?.map(|value| (attribute.name.to_owned(), value)));
                return Ok(());
            }
            Verb::Add => {
                for element in canon::elements(attribute, value)? {
                    append(&mut list, element);
                }
            }
        },
        (filter, Some(name)) => {
            let sub = sub_of(attribute, name)?;
            let value = canon::one(sub, value)?;
            let matched = matched_or_made(&mut list, verb, filter.as_ref(), attribute)?;
            affordable(attribute, matched.len(), value.as_ref())?;
            for at in &matched {
                if let Some(Value::Object(element)) = list.get_mut(*at) {
                    match &value {
                        Some(value) => drop(element.insert(sub.name.into(), value.clone())),
                        None => drop(element.remove(sub.name)),
                    }
                }
            }
            settle(&mut list, &matched);
        }
        (Some(filter), None) => {
            let wrong = || {
                ScimError::of(Problem::ValueWrong, "an object of sub-attributes is expected")
                    .at(attribute.name)
            };
            let value = canon::one(attribute, value)?.ok_or_else(wrong)?;
            let matched = matched_or_made(&mut list, verb, Some(filter), attribute)?;
            affordable(attribute, matched.len(), Some(&value))?;
            let Value::Object(parts) = value else { return Err(wrong()) };
            for at in &matched {
                if let Some(Value::Object(element)) = list.get_mut(*at) {
                    if verb == Verb::Replace {
                        element.clear();
                    }
                    element.extend(parts.clone());
                }
            }
            settle(&mut list, &matched);
        }
    }
    list.retain(|element| element.as_object().is_some_and(|element| !element.is_empty()));
    canon::within(attribute, list.len())?;
    put(place, attribute, list);
    Ok(())
}

/// Removes the values a path, or the value sent beside it, names. Nothing found is nothing done:
/// clients repeat themselves.
pub(crate) fn remove(
    place: &mut Object,
    path: &Path,
    attribute: &'static Attribute,
    sent: Option<&Value>,
) -> Result<(), ScimError> {
    let sub = path.attr.sub.as_deref().map(|name| sub_of(attribute, name)).transpose()?;
    let filter = inside(path.filter.as_ref(), attribute)?;
    let mut list = take(place, attribute);
    let chosen = |element: &Value| filter.as_ref().is_none_or(|filter| filter.matches(element));
    match (sub, sent) {
        (None, Some(sent)) if path.filter.is_none() && !sent.is_null() => {
            let named = canon::elements(attribute, sent.clone())?;
            list.retain(|element| !named.iter().any(|name| names(name, element)));
        }
        (None, _) => list.retain(|element| !chosen(element)),
        (Some(sub), _) => {
            for element in list.iter_mut().filter(|element| chosen(element)) {
                if let Value::Object(element) = element {
                    element.remove(sub.name);
                }
            }
            // A type without a value says nothing; it would only stand in the way of the next add.
            list.retain(|element| !is_hollow(element) || !chosen(element));
        }
    }
    put(place, attribute, list);
    Ok(())
}

fn inside(filter: Option<&Filter>, attribute: &'static Attribute) -> Result<Option<Condition>, ScimError> {
    filter.map(|filter| Condition::inside(filter, attribute)).transpose()
}

fn is_hollow(element: &Value) -> bool {
    element.as_object().is_none_or(|element| {
        element.keys().all(|key| matches!(key.as_str(), "type" | "primary" | "display"))
    })
}

/// One value written to every match must still fit a document: 256 copies of a large text would be
/// made before the document as a whole is measured.
fn affordable(attribute: &Attribute, copies: usize, value: Option<&Value>) -> Result<(), ScimError> {
    let bytes = value.map_or(0, |value| serde_json::to_vec(value).map_or(usize::MAX, |json| json.len()));
    if bytes.saturating_mul(copies) <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    Err(ScimError::of(Problem::ValueTooLong, format!("{bytes} bytes, for {copies} values"))
        .at(attribute.name))
}

/// Where the filter matches; for `add`, a new value made of the filter's own equalities if nowhere.
fn matched_or_made(
    list: &mut Vec<Value>,
    verb: Verb,
    filter: Option<&Filter>,
    attribute: &'static Attribute,
) -> Result<Vec<usize>, ScimError> {
    let condition = inside(filter, attribute)?;
    let matches = |element: &Value| condition.as_ref().is_none_or(|one| one.matches(element));
    let found: Vec<usize> =
        list.iter().enumerate().filter(|(_, element)| matches(element)).map(|(at, _)| at).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let nothing = || ScimError::of(Problem::NoTarget, "no value matches the filter").at(attribute.name);
    let mut made = Object::new();
    match (verb, filter) {
        (_, None) => {}
        (Verb::Add, Some(filter)) => {
            described(filter, attribute, &mut made)?.then_some(()).ok_or_else(nothing)?;
        }
        (Verb::Replace, Some(_)) => return Err(nothing()),
    }
    list.push(Value::Object(made));
    Ok(vec![list.len() - 1])
}

/// Writes the equalities of a conjunction into `made`; false when the filter is anything else.
fn described(filter: &Filter, attribute: &'static Attribute, made: &mut Object) -> Result<bool, ScimError> {
    match filter {
        Filter::And(all) => {
            for one in all {
                if !described(one, attribute, made)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Filter::Compare { path, op: Op::Eq, value } if path.urn.is_none() && path.sub.is_none() => {
            let sub = sub_of(attribute, &path.name)?;
            if let Some(value) = canon::one(sub, value.clone())? {
                made.insert(sub.name.into(), value);
            }
            Ok(true)
        }
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::Some { .. }
        | Filter::Or(_)
        | Filter::Not(_) => Ok(false),
    }
}

/// Appends a value unless it is there; the same value and type again is merged into what is there.
fn append(list: &mut Vec<Value>, element: Value) {
    let at = match list.iter().position(|held| same(held, &element)) {
        Some(at) => {
            if let (Some(Value::Object(held)), Value::Object(parts)) = (list.get_mut(at), element) {
                held.extend(parts);
            }
            at
        }
        None => {
            list.push(element);
            list.len() - 1
        }
    };
    settle(list, &[at]);
}

fn same(held: &Value, element: &Value) -> bool {
    let (Some(held_parts), Some(parts)) = (held.as_object(), element.as_object()) else { return false };
    match (text_of(held_parts, "value"), text_of(parts, "value")) {
        (Some(mine), Some(theirs)) => mine == theirs && text_of(held_parts, "type") == text_of(parts, "type"),
        _ => held == element,
    }
}

/// Does the sent entry name this value? By `value` if it has one, else by all it says.
fn names(entry: &Value, element: &Value) -> bool {
    let (Some(entry), Some(element)) = (entry.as_object(), element.as_object()) else { return false };
    match text_of(entry, "value") {
        Some(value) => {
            let kind = text_of(entry, "type");
            text_of(element, "value").is_some_and(|held| normalised(held) == normalised(value))
                && (kind.is_none() || kind == text_of(element, "type"))
        }
        None => entry.iter().all(|(key, value)| element.get(key) == Some(value)),
    }
}

fn settle(list: &mut [Value], touched: &[usize]) {
    let winner = touched.iter().copied().find(|at| list.get(*at).is_some_and(is_primary));
    settle_primary(list, winner);
}

fn take(place: &mut Object, attribute: &Attribute) -> Vec<Value> {
    match place.remove(attribute.name) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn put(place: &mut Object, attribute: &Attribute, list: Vec<Value>) {
    if !list.is_empty() {
        place.insert(attribute.name.into(), Value::Array(list));
    }
}
