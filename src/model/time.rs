//! Time as a value: microseconds since the Unix epoch, UTC. Callers pass `now`;
//! only the process's Clock reads the machine's.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// An instant, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 time")]
pub struct NotATime;

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }
    pub const fn micros(self) -> i64 {
        self.0
    }
    /// Whole seconds since the epoch, rounded down: the unit of JWT's NumericDate.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
    pub const fn plus_secs(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(1_000_000)))
    }
    pub const fn minus_secs(self, secs: i64) -> Self {
        Self(self.0.saturating_sub(secs.saturating_mul(1_000_000)))
    }
    /// Reads RFC 3339 / xs:dateTime with an explicit zone. A value without a zone is refused.
    pub fn parse_rfc3339(text: &str) -> Result<Self, NotATime> {
        if text.len() > 40 {
            return Err(NotATime);
        }
        OffsetDateTime::parse(text, &Rfc3339).map(Self::from).map_err(|_| NotATime)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(t: OffsetDateTime) -> Self {
        Self(i64::try_from(t.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for OffsetDateTime {
    /// Instants outside year -9999..9999 become the epoch's own: none is ever stored.
    fn from(t: Timestamp) -> Self {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(t.0) * 1_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&OffsetDateTime::from(*self).format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_a_missing_zone() {
        let t = Timestamp::parse_rfc3339("2026-11-21T10:00:00.250Z").unwrap();
        assert_eq!(t.to_string(), "2026-11-21T10:00:00.25Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-11-21T12:00:00.250+02:00").unwrap(), t);
        assert_eq!(Timestamp::parse_rfc3339("2026-11-21T10:00:00"), Err(NotATime));
    }
}
