//! The core Group (RFC 7643 4.2).

use super::{Attribute, Shape, attribute, complex, text};

/// Members are added and removed whole: what is inside an entry never changes. How a person is shown is the
/// user's own to say (RFC 7643 8.7.1 has no `display` here).
static MEMBER: [Attribute; 3] = [
    text("value", "The id of the user").exact().immutable(),
    attribute("$ref", Shape::Reference(&["User"]), "The address of the user").exact().immutable(),
    text("type", "What kind of resource it is").immutable().canonical(&["User"]),
];

pub(crate) static GROUP: [Attribute; 3] = [
    text("displayName", "The name that is unique in the directory").required().unique(),
    text("externalId", "The directory's own key of the group").exact(),
    complex("members", &MEMBER, "The users in the group").many(),
];
