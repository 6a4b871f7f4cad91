//! JSON objects that are objects. What serde derives for a struct reads an array too, its members by
//! position: a caller's slip would then be taken for what it was not meant to be.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use std::{borrow::Cow, fmt, marker::PhantomData};

/// A `T` that is read from an object, its members by name, and from nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Named(PhantomData)).map(Self)
    }
}

/// It is described as what it holds.
impl<T: JsonSchema> JsonSchema for Members<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        T::json_schema(schemas)
    }
}

struct Named<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        a: u8,
        #[serde(default)]
        b: u8,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Tagged {
        Pair(Pair),
    }

    #[test]
    fn members_are_read_by_name_and_never_by_position() {
        let read = |text: &str| serde_json::from_str::<Members<Pair>>(text).map_err(|e| e.to_string());
        assert_eq!(read(r#"{"a":1}"#), Ok(Members(Pair { a: 1, b: 0 })));
        assert!(read("[1,2]").unwrap_err().contains("expected an object"));
        assert!(read("[]").is_err() && read("1").is_err());
        assert!(read(r#"{"a":1,"a":2}"#).unwrap_err().contains("duplicate field `a`"));
        assert!(read(r#"{"a":1,"c":2}"#).unwrap_err().contains("unknown field `c`"));
        assert!(read(r#"{"b":1}"#).unwrap_err().contains("missing field `a`"));
        let tagged = |text: &str| serde_json::from_str::<Members<Tagged>>(text);
        assert!(tagged(r#"{"type":"pair","a":1}"#).is_ok() && tagged(r#"["pair",1]"#).is_err());
    }
}
