//! One value of one attribute, from whatever shape a client sent it in to the one shape that is kept:
//! booleans from strings, a manager from a bare string or a list of one, a single email without its
//! list, names in the schema's spelling. Text itself is never changed; sub-attributes the schema does
//! not know are dropped. `None` means unassigned: null, `[]` and `{}` alike (RFC 7643 2.5).

use crate::{
    Object, Problem, ScimError,
    attributes::{Attribute, Shape, boolean, find},
    get,
};
use serde_json::Value;

/// Most values of one multi-valued attribute. Operations compare each with each, so this bounds them.
pub(crate) const VALUES_MAX: usize = 256;

/// The canonical value of a whole attribute.
pub(crate) fn value(attribute: &'static Attribute, sent: Value) -> Result<Option<Value>, ScimError> {
    if !attribute.many {
        return one(attribute, sent);
    }
    let mut list = elements(attribute, sent)?;
    let winner = list.iter().position(is_primary);
    settle_primary(&mut list, winner);
    Ok((!list.is_empty()).then_some(Value::Array(list)))
}

/// The canonical values of a multi-valued attribute; a lone value counts as a list of one.
pub(crate) fn elements(attribute: &'static Attribute, sent: Value) -> Result<Vec<Value>, ScimError> {
    let sent = match sent {
        Value::Array(list) => list,
        one => vec![one],
    };
    within(attribute, sent.len())?;
    let mut list = Vec::with_capacity(sent.len());
    for element in sent {
        list.extend(one(attribute, element)?);
    }
    Ok(list)
}

pub(crate) fn within(attribute: &Attribute, count: usize) -> Result<(), ScimError> {
    if count <= VALUES_MAX {
        return Ok(());
    }
    let error =
        ScimError::of(Problem::TooManyValues, format!("at most {VALUES_MAX} values; received {count}"));
    Err(error.at(attribute.name))
}

/// The canonical form of one value.
pub(crate) fn one(attribute: &'static Attribute, sent: Value) -> Result<Option<Value>, ScimError> {
    let wrong = |sent: &Value| {
        let expected = match attribute.shape {
            Shape::Text | Shape::Reference(_) | Shape::Binary | Shape::DateTime => "text is expected",
            Shape::Boolean => "true or false is expected",
            Shape::Complex(_) => "an object of sub-attributes is expected",
        };
        ScimError::of(Problem::ValueWrong, expected).received(sent).at(attribute.name)
    };
    match (attribute.shape, sent) {
        (_, Value::Null) => Ok(None),
        (shape, Value::Array(mut list)) => match (list.pop(), list.is_empty()) {
            (None, _) => Ok(None),
            // Entra's documents show the manager as a list of one.
            (Some(only), true) if matches!(shape, Shape::Complex(_)) && !only.is_array() => {
                one(attribute, only)
            }
            (Some(last), _) => {
                list.push(last);
                Err(wrong(&Value::Array(list)))
            }
        },
        (Shape::Text | Shape::Reference(_) | Shape::Binary | Shape::DateTime, sent) => match sent {
            Value::String(text) => Ok(Some(Value::String(text))),
            Value::Number(number) => Ok(Some(Value::String(number.to_string()))),
            other => Err(wrong(&other)),
        },
        (Shape::Boolean, sent) => {
            boolean(&sent).map(|value| Some(Value::Bool(value))).ok_or_else(|| wrong(&sent))
        }
        (Shape::Complex(_), Value::Object(object)) => complex(attribute, object),
        (Shape::Complex(subs), sent @ (Value::String(_) | Value::Number(_))) => {
            let sub = find(subs, "value").ok_or_else(|| wrong(&sent))?;
            let bare = Object::from_iter([(sub.name.to_owned(), sent)]);
            complex(attribute, bare)
        }
        (Shape::Complex(_), sent @ Value::Bool(_)) => Err(wrong(&sent)),
    }
}

fn complex(attribute: &'static Attribute, object: Object) -> Result<Option<Value>, ScimError> {
    let mut kept = Object::new();
    for (key, sent) in object {
        if let Some(sub) = find_sub(attribute, &key)
            && let Some(value) = one(sub, sent).map_err(|error| error.at(attribute.name))?
        {
            kept.insert(sub.name.to_owned(), value);
        }
    }
    // A manager of "" is how some clients say: none.
    let cleared = !attribute.many && text_of(&kept, "value") == Some("");
    Ok((!kept.is_empty() && !cleared).then_some(Value::Object(kept)))
}

/// A sub-attribute by name; OneLogin's `manager.managerId` is SCIM 1.1's name of `value`.
pub(crate) fn find_sub(attribute: &'static Attribute, name: &str) -> Option<&'static Attribute> {
    let name = match attribute.name {
        "manager" if name.eq_ignore_ascii_case("managerId") => "value",
        _ => name,
    };
    find(attribute.subs(), name)
}

pub(crate) fn text_of<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    get(object, name).and_then(Value::as_str)
}

pub(crate) fn is_primary(element: &Value) -> bool {
    element.get("primary").is_some_and(|primary| *primary == true)
}

/// At most one value is primary (RFC 7643 2.4): the winner stays, the others are cleared.
pub(crate) fn settle_primary(list: &mut [Value], winner: Option<usize>) {
    let Some(winner) = winner else { return };
    for (at, element) in list.iter_mut().enumerate() {
        if at != winner
            && is_primary(element)
            && let Some(element) = element.as_object_mut()
        {
            element.insert("primary".into(), Value::Bool(false));
        }
    }
}

/// A copy without any `password`, at any depth: for extensions whose schema is the client's own.
pub(crate) fn without_passwords(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object
                .into_iter()
                .filter(|(key, _)| !key.eq_ignore_ascii_case("password"))
                .map(|(key, value)| (key, without_passwords(value)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(without_passwords).collect()),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}
