//! Strict reading: JSON without repeated members (two parsers would disagree about which one
//! counts), and claims of exactly one type each, a wrong one being a refusal and never "absent".

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Refusal;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A JSON object in which no member, at any depth, is named twice.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes).ok()? {
        Strict(Value::Object(members)) => Some(members),
        Strict(_) => None,
    }
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if all.insert(name, value).is_some() {
                return Err(A::Error::custom("a repeated member"));
            }
        }
        Ok(Value::Object(all))
    }
}

/// The claims of a token whose signature is not proven yet.
pub(crate) struct Claims(pub(crate) Map<String, Value>);

/// A claim that is missing where it must be, or of a wrong type.
pub(crate) fn wrong(name: &str) -> Refusal {
    Refusal::stranger("oidc.claim").with("claim", name)
}

/// A NUL is no character of any claim, and none that a database keeps.
fn is_plain(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.contains('\0')
}

impl Claims {
    /// A text of at most so many bytes, without NUL.
    pub(crate) fn maybe_text(&self, name: &str, bytes_max: usize) -> Result<Option<String>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if is_plain(text, bytes_max) => Ok(Some(text.clone())),
            Some(_) => Err(wrong(name)),
        }
    }
    pub(crate) fn text(&self, name: &str, bytes_max: usize) -> Result<String, Refusal> {
        self.maybe_text(name, bytes_max)?.ok_or_else(|| wrong(name))
    }
    /// Whole seconds since 1970; a fraction, a text or a negative number is refused.
    pub(crate) fn maybe_secs(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_i64().filter(|secs| *secs >= 0).map(Some).ok_or_else(|| wrong(name)),
        }
    }
    pub(crate) fn secs(&self, name: &str) -> Result<i64, Refusal> {
        self.maybe_secs(name)?.ok_or_else(|| wrong(name))
    }
    pub(crate) fn maybe_bool(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(wrong(name)),
        }
    }
    /// At most `max` texts, each of at most so many bytes, without NUL; absent gives none.
    pub(crate) fn texts(&self, name: &str, max: usize, bytes_max: usize) -> Result<Vec<String>, Refusal> {
        let items = match self.0.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() <= max => items,
            Some(_) => return Err(wrong(name)),
        };
        let plain = |item: &Value| item.as_str().filter(|text| is_plain(text, bytes_max)).map(str::to_owned);
        items.iter().map(plain).collect::<Option<_>>().ok_or_else(|| wrong(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_member_is_refused_at_any_depth() {
        assert!(object(br#"{"a":1,"b":[{"c":1.5,"d":null,"e":true,"f":-1}]}"#).is_some());
        for bad in
            [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"a":2}]}"#, r#"{"a":1,"\u0061":2}"#, "[]", "1", "{} x"]
        {
            assert!(object(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
