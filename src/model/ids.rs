//! Ids that cannot be mixed: each kind has its own prefix and its own type.
//! UUID v7 inside, so that they sort by birth; opaque outside, and never reused.

use crate::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, hash::Hash, marker::PhantomData, str::FromStr};
use uuid::Uuid;

/// Where randomness comes from. The process gives the operating system's; a test gives a seed's.
pub trait Chance: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

/// 32 bytes of it: a token, a key, a request id.
pub fn random32(chance: &dyn Chance) -> [u8; 32] {
    let mut bytes = [0; 32];
    chance.fill(&mut bytes);
    bytes
}

/// A kind of id. `PREFIX` is what the outside reads, `NAME` what an error says.
pub trait Kind: 'static + Send + Sync {
    const PREFIX: &'static str;
    const NAME: &'static str;
}

/// An id of kind `K`. `Display` gives `usr_` and 26 characters of Crockford's base 32;
/// `FromStr` refuses any other prefix, length or letter case.
pub struct Id<K: Kind>(Uuid, PhantomData<K>);

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("not the id of a {0}")]
pub struct NotAnId(pub &'static str);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LETTERS: usize = 26;

impl<K: Kind> Id<K> {
    pub fn new(now: Timestamp, chance: &dyn Chance) -> Self {
        let mut random = [0; 10];
        chance.fill(&mut random);
        let millis = u64::try_from(now.micros().div_euclid(1_000)).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(), PhantomData)
    }
    /// The least id that can be born at this instant: ids sort by birth, and a range begins here.
    pub fn earliest(at: Timestamp) -> Self {
        let millis = u64::try_from(at.micros().div_euclid(1_000)).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid(), PhantomData)
    }
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }
    pub const fn uuid(&self) -> Uuid {
        self.0
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.as_u128();
        let mut letters = [b'0'; LETTERS];
        for (place, letter) in (0..LETTERS).rev().zip(&mut letters) {
            let five = ((bits >> (place * 5)) & 31) as u8;
            *letter = ALPHABET.get(usize::from(five)).copied().unwrap_or(b'0');
        }
        f.write_str(K::PREFIX)?;
        f.write_str(str::from_utf8(&letters).map_err(|_| fmt::Error)?)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let wrong = NotAnId(K::NAME);
        let letters = text.strip_prefix(K::PREFIX).ok_or(wrong)?;
        if letters.len() != LETTERS || letters.as_bytes().first().is_none_or(|first| *first > b'7') {
            return Err(wrong);
        }
        let mut bits: u128 = 0;
        for letter in letters.bytes() {
            let five = ALPHABET.iter().position(|known| *known == letter).ok_or(wrong)?;
            bits = (bits << 5) | five as u128;
        }
        Ok(Self(Uuid::from_u128(bits), PhantomData))
    }
}

impl<K: Kind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: Kind> Copy for Id<K> {}
impl<K: Kind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K: Kind> Eq for Id<K> {}
impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K: Kind> Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
impl<K: Kind> JsonSchema for Id<K> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        K::NAME.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = format!("^{}[0-7][0-9a-hjkmnp-tv-z]{{25}}$", K::PREFIX);
        json_schema!({"type": "string", "pattern": pattern})
    }
}

macro_rules! kinds {
    ($($kind:ident $alias:ident $prefix:literal $name:literal;)*) => {$(
        #[derive(Debug, Clone, Copy)]
        pub enum $kind {}
        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
            const NAME: &'static str = $name;
        }
        pub type $alias = Id<$kind>;
    )*};
}

kinds! {
    Org OrgId "org_" "org";
    Team TeamId "team_" "team";
    User UserId "usr_" "user";
    Stream StreamId "str_" "stream";
    Group GroupId "grp_" "group";
    Connection ConnectionId "con_" "connection";
    Directory DirectoryId "dir_" "directory";
    App AppId "app_" "app";
    Service ServiceId "svc_" "service account";
    Session SessionId "ses_" "session";
    Family FamilyId "fam_" "refresh family";
    Credential KeyId "key_" "key";
    Event EventId "evt_" "event";
    Webhook WebhookId "whk_" "webhook";
    Domain DomainId "dom_" "domain";
    Deprovisioning DeprovisioningId "dep_" "deprovisioning";
    Attempt AttemptId "att_" "login attempt";
    Refused RefusalId "rfs_" "counted refusal";
    Hold HoldId "hold_" "hold";
    Logged LoggedId "req_" "logged request";
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Chance for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn the_earliest_of_an_instant_stands_between_it_and_the_one_before() {
        let at = Timestamp::from_micros(1_800_000_000_500_000);
        let just_before = UserId::new(Timestamp::from_micros(at.micros() - 1), &Sevens);
        assert!(just_before < UserId::earliest(at) && UserId::earliest(at) < UserId::new(at, &Sevens));
    }

    #[test]
    fn round_trips_and_refuses_another_kind() {
        let id = UserId::new(Timestamp::from_secs(1_800_000_000), &Sevens);
        let text = id.to_string();
        assert_eq!(text.len(), 30);
        assert_eq!(text.parse::<UserId>(), Ok(id));
        assert_eq!(text.parse::<OrgId>(), Err(NotAnId("org")));
        assert!(text.to_uppercase().parse::<UserId>().is_err());
        assert!(text[..29].parse::<UserId>().is_err());
        assert!("usr_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<UserId>().is_err(), "130 bits do not fit");
    }
}
