//! The SCIM judge: request bytes become a draft, a patch, a filter or a named error, and stored
//! documents become SCIM resources. No socket, no clock, no table; RFC 7643 and RFC 7644, and the
//! dialects that Okta, Entra, OneLogin and the others really speak.
//! What a client sends is compared by nobody here: names and addresses are kept as sent.

mod attributes;
pub mod bulk;
mod canon;
pub mod condition;
pub mod dialect;
mod edit;
mod edit_foreign;
mod edit_values;
pub mod error;
pub mod filter;
pub mod group;
pub mod list;
mod matcher;
pub mod patch;
pub mod path;
pub mod projection;
pub mod redact;
mod resolve;
pub mod schema;
pub mod sort;
pub mod user;

#[cfg(test)]
mod dialogues;
#[cfg(test)]
mod patch_tests;

pub use condition::Condition;
pub use error::{Problem, ScimError};
pub use filter::Filter;
pub use list::{ListQuery, Paging};
pub use projection::Projection;
pub use sort::SortBy;

use model::Timestamp;
use serde_json::{Map, Value, json};

/// A JSON object.
pub type Object = Map<String, Value>;

pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Media type of every response (RFC 7644 8.1).
pub const MEDIA_TYPE: &str = "application/scim+json";

/// A type of resource (RFC 7643 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    User,
    Group,
}

impl Kind {
    /// As `meta.resourceType` says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }
    /// The core schema.
    pub const fn urn(self) -> &'static str {
        match self {
            Self::User => USER_URN,
            Self::Group => GROUP_URN,
        }
    }
    /// Below the service's address.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::User => "/Users",
            Self::Group => "/Groups",
        }
    }
}

/// What the store knows about a resource beside its document (RFC 7643 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub created: Timestamp,
    pub modified: Timestamp,
    /// The row's version; rendered as a weak entity tag.
    pub version: i64,
    /// Absolute URL of the resource.
    pub location: String,
}

/// One resource named inside another: a user's group, a group's member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub id: String,
    pub display: Option<String>,
    /// Absolute URL of the resource referred to.
    pub location: String,
}

/// The weak entity tag of a version (RFC 7644 3.14).
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// Does an `If-Match` or `If-None-Match` header name this version? Weak comparison; `*` names any.
pub fn etag_matches(header: &str, version: i64) -> bool {
    let ours = etag(version);
    let opaque = ours.strip_prefix("W/").unwrap_or(&ours);
    header.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == opaque)
}

impl Meta {
    pub(crate) fn render(&self, resource_type: &str) -> Value {
        json!({
            "resourceType": resource_type,
            "created": self.created,
            "lastModified": self.modified,
            "location": self.location,
            "version": etag(self.version),
        })
    }
}

impl Reference {
    pub(crate) fn render(&self, kind: &str) -> Value {
        let mut entry = Object::new();
        entry.insert("value".into(), Value::from(self.id.as_str()));
        entry.insert("$ref".into(), Value::from(self.location.as_str()));
        if let Some(display) = &self.display {
            entry.insert("display".into(), Value::from(display.as_str()));
        }
        entry.insert("type".into(), Value::from(kind));
        Value::Object(entry)
    }
}

/// The value under an attribute name, whatever its letter case (RFC 7643 2.1).
pub(crate) fn get<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_compare_weakly() {
        assert!(etag_matches("W/\"3\"", 3));
        assert!(etag_matches("\"2\", \"3\"", 3));
        assert!(etag_matches("*", 3));
        assert!(!etag_matches("W/\"30\"", 3));
        assert!(!etag_matches("", 3));
    }
}
