//! JSON read strictly: a member named twice is refused at any depth (two parsers would disagree
//! about which one counts), and a number that is no whole number from zero up stays apart from one
//! that is, so that a claim of a wrong type can only be an error.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::{collections::HashMap, fmt};

/// A value, as far as tokens need it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool,
    Whole(u64),
    /// Negative, with a fraction, or with an exponent.
    OtherNumber,
    Text(String),
    List(Vec<Json>),
    Object(HashMap<String, Json>),
}

/// By this member's name serde_json gives numbers as texts, where a program of which this crate is a
/// part has switched its `arbitrary_precision` on.
const NUMBER: &str = "$serde_json::private::Number";

/// An object in which no member, at any depth, is named twice, and after which nothing follows.
pub(crate) fn object(bytes: &[u8]) -> Option<HashMap<String, Json>> {
    match serde_json::from_slice(bytes).ok()? {
        Json::Object(members) => Some(members),
        Json::Null | Json::Bool | Json::Whole(_) | Json::OtherNumber | Json::Text(_) | Json::List(_) => None,
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }
    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Whole(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(u64::try_from(value).map_or(Json::OtherNumber, Json::Whole))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Json::List(all))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut all = HashMap::new();
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            if all.insert(name, value).is_some() {
                return Err(A::Error::custom("a repeated member"));
            }
        }
        if let (1, Some(Json::Text(digits))) = (all.len(), all.get(NUMBER)) {
            let whole = !digits.starts_with('+');
            return Ok(digits.parse().ok().filter(|_| whole).map_or(Json::OtherNumber, Json::Whole));
        }
        Ok(Json::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_member_is_refused_at_any_depth_and_so_is_anything_behind() {
        assert!(object(br#"{"a":1,"b":[{"c":1.5,"d":null,"e":true,"f":-1}]}"#).is_some());
        let bad = [
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
            r#"{"a":1,"\u0061":2}"#,
            "[]",
            "1",
            "null",
            "{} x",
            "{}{}",
            r#"{"a":1e400}"#,
            r#"{"a":01}"#,
            "",
        ];
        for text in bad {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(object(deep.as_bytes()), None, "no stack is deep enough for everything");
    }

    #[test]
    fn only_a_whole_number_from_zero_up_is_one() {
        let read = |text: &str| object(format!("{{\"n\":{text}}}").as_bytes()).unwrap().remove("n").unwrap();
        assert_eq!(read("0"), Json::Whole(0));
        assert_eq!(read("18446744073709551615"), Json::Whole(u64::MAX));
        for other in ["-1", "-0", "1.0", "1e3", "18446744073709551616", "0.5"] {
            assert_eq!(read(other), Json::OtherNumber, "{other}");
        }
        assert_eq!(read("\"7\""), Json::Text("7".into()));
    }

    #[test]
    fn numbers_that_come_as_texts_of_serde_jsons_own_are_numbers() {
        let read = |text: &str| {
            let wrapped = format!("{{\"n\":{{\"{NUMBER}\":\"{text}\"}}}}");
            object(wrapped.as_bytes()).unwrap().remove("n").unwrap()
        };
        assert_eq!(read("12"), Json::Whole(12));
        for other in ["-1", "1.0", "1e400", "+1", "", "x"] {
            assert_eq!(read(other), Json::OtherNumber, "{other}");
        }
    }
}
