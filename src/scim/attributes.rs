//! The attributes of a user, as a table: RFC 7643 4.1 and 4.3 less what this server does not keep
//! (`password`). The schema documents are rendered from it and every body is read by it, so what is
//! announced is what is done.

use serde_json::Value;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Text,
    Boolean,
    Complex(&'static [Attribute]),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) many: bool,
    pub(crate) required: bool,
}

const fn text(name: &'static str) -> Attribute {
    Attribute { name, shape: Shape::Text, many: false, required: false }
}
const fn flag(name: &'static str) -> Attribute {
    Attribute { name, shape: Shape::Boolean, many: false, required: false }
}
const fn complex(name: &'static str, subs: &'static [Attribute]) -> Attribute {
    Attribute { name, shape: Shape::Complex(subs), many: false, required: false }
}
const fn many(name: &'static str, subs: &'static [Attribute]) -> Attribute {
    Attribute { name, shape: Shape::Complex(subs), many: true, required: false }
}

const NAME: [Attribute; 6] = [
    text("formatted"),
    text("familyName"),
    text("givenName"),
    text("middleName"),
    text("honorificPrefix"),
    text("honorificSuffix"),
];
const PLURAL: [Attribute; 4] = [text("value"), text("display"), text("type"), flag("primary")];
const ADDRESS: [Attribute; 8] = [
    text("formatted"),
    text("streetAddress"),
    text("locality"),
    text("region"),
    text("postalCode"),
    text("country"),
    text("type"),
    flag("primary"),
];
const MANAGER: [Attribute; 3] = [text("value"), text("$ref"), text("displayName")];

/// The core User (RFC 7643 4.1).
pub(crate) static USER: [Attribute; 20] = [
    Attribute { name: "userName", shape: Shape::Text, many: false, required: true },
    text("externalId"),
    complex("name", &NAME),
    text("displayName"),
    text("nickName"),
    text("profileUrl"),
    text("title"),
    text("userType"),
    text("preferredLanguage"),
    text("locale"),
    text("timezone"),
    flag("active"),
    many("emails", &PLURAL),
    many("phoneNumbers", &PLURAL),
    many("ims", &PLURAL),
    many("photos", &PLURAL),
    many("addresses", &ADDRESS),
    many("entitlements", &PLURAL),
    many("roles", &PLURAL),
    many("x509Certificates", &PLURAL),
];

/// The enterprise extension (RFC 7643 4.3).
pub(crate) static ENTERPRISE: [Attribute; 6] = [
    text("employeeNumber"),
    text("costCenter"),
    text("organization"),
    text("division"),
    text("department"),
    complex("manager", &MANAGER),
];

/// Written by the server alone (RFC 7643 3.1, 4.1.2).
pub(crate) const READ_ONLY: [&str; 3] = ["id", "meta", "groups"];
/// Taken and dropped: passwords are never kept, `schemas` follows from what is there.
pub(crate) const IGNORED: [&str; 2] = ["password", "schemas"];

pub(crate) fn find(table: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    table.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

pub(crate) fn among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Attributes whose letter case counts in a comparison (`caseExact`).
pub(crate) fn is_exact(name: &str) -> bool {
    among(&["id", "externalId", "$ref", "profileUrl", "location", "version", "resourceType"], name)
}

pub(crate) fn is_date(name: &str) -> bool {
    among(&["created", "lastModified"], name)
}

/// A boolean, also as Entra's and OneLogin's string.
pub(crate) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
