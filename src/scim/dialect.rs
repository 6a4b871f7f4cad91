//! From bytes to JSON that is safe to keep: size, nesting, duplicate names and NUL are judged here,
//! once, before any attribute is looked at. Two names that differ only in letter case are the same
//! attribute (RFC 7643 2.1), so they count as duplicates: which one counts must not be a guess.
//! Never looks at what the attributes mean.

use crate::{Object, Problem, ScimError};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::{cell::Cell, collections::HashSet, fmt};

/// Largest request body: a group of 10,000 members fits, and one request cannot hold the heap hostage.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of objects and arrays. SCIM itself needs five.
pub const JSON_DEPTH_MAX: usize = 32;

/// Reads a request body. Refuses more than `BODY_BYTES_MAX` bytes, nesting beyond `JSON_DEPTH_MAX`,
/// what is not one JSON object in UTF-8, duplicate names and NUL characters.
pub fn read(body: &[u8]) -> Result<Object, ScimError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(ScimError::of(Problem::BodyTooLarge, format!("at most {BODY_BYTES_MAX} bytes")));
    }
    // Before serde: its own guard stops at 128, and only after it has begun to build.
    if deepest(body) > JSON_DEPTH_MAX {
        return Err(ScimError::of(Problem::TooDeep, format!("at most {JSON_DEPTH_MAX} levels of JSON")));
    }
    let found = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Strict(&found)
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| match found.get() {
            Some(Problem::Nul) => ScimError::of(Problem::Nul, "a NUL character cannot be stored"),
            Some(problem) => ScimError::of(problem, "an attribute is named twice in one object"),
            None => {
                let place = format!("line {}, column {}", error.line(), error.column());
                ScimError::of(Problem::NotJson, format!("the body is not JSON: {place}"))
            }
        })?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(ScimError::of(Problem::NotAnObject, "the body must be one JSON object")),
    }
}

fn deepest(body: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Builds a `Value`, noting in the cell what JSON itself would let pass.
#[derive(Clone, Copy)]
struct Strict<'c>(&'c Cell<Option<Problem>>);

impl Strict<'_> {
    fn refuse<E: Error>(self, problem: Problem) -> E {
        self.0.set(Some(problem));
        E::custom(problem.code())
    }
    fn text<E: Error>(self, text: String) -> Result<String, E> {
        if text.contains('\0') { Err(self.refuse(Problem::Nul)) } else { Ok(text) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.text(value.to_owned()).map(Value::String)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let (mut object, mut seen) = (Object::new(), HashSet::new());
        while let Some(name) = entries.next_key::<String>()? {
            let name = self.text(name)?;
            if !seen.insert(name.to_ascii_lowercase()) {
                return Err(self.refuse(Problem::DuplicateKey));
            }
            object.insert(name, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: impl AsRef<[u8]>) -> &'static str {
        read(body.as_ref()).unwrap_err().code
    }

    #[test]
    fn plain_json_comes_through_unchanged() {
        let body = r#"{"a":[1,-2,2.5,true,null,"é\n"],"b":{"c":{}}}"#;
        assert_eq!(
            Value::Object(read(body.as_bytes()).unwrap()),
            serde_json::from_str::<Value>(body).unwrap()
        );
    }

    #[test]
    fn duplicate_names_are_refused_also_when_only_the_case_differs() {
        assert_eq!(code(r#"{"active":true,"active":false}"#), "scim.duplicate_key");
        assert_eq!(code(r#"{"x":[{"active":true,"Active":false}]}"#), "scim.duplicate_key");
    }

    #[test]
    fn nul_is_refused_in_values_and_names() {
        assert_eq!(code(r#"{"a":"b\u0000"}"#), "scim.nul");
        assert_eq!(code(r#"{"a\u0000":"b"}"#), "scim.nul");
    }

    #[test]
    fn nesting_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(read(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(code(nested(JSON_DEPTH_MAX + 1)), "scim.too_deep");
        assert_eq!(code("[".repeat(500_000)), "scim.too_deep");
        let text = format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(100));
        assert!(read(text.as_bytes()).is_ok());
    }

    #[test]
    fn the_body_is_bounded_and_is_one_object() {
        let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(read(sized(BODY_BYTES_MAX).as_bytes()).is_ok());
        assert_eq!(read(sized(BODY_BYTES_MAX + 1).as_bytes()).unwrap_err().status, 413);
        for bad in ["", "{", "{} {}", "{\"a\":tru}", "{'a':1}"] {
            assert_eq!(code(bad), "scim.not_json", "{bad}");
        }
        assert_eq!(code(b"{\"a\":\"\xff\"}"), "scim.not_json");
        assert_eq!(code("[]"), "scim.not_an_object");
    }
}
