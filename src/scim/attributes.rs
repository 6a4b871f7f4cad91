//! What an attribute is, as RFC 7643 2.2 and 7 describe one. The tables of users and groups
//! (`attributes/`) are made of these: the schema documents are rendered from them, every body is read
//! by them and every filter resolved by them, so that what is announced is what is done.

mod group;
mod user;

pub(crate) use group::GROUP;
pub(crate) use user::{ENTERPRISE, USER};

use crate::Kind;
use serde_json::Value;

/// The data type of an attribute (RFC 7643 2.3).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Text,
    /// A URI: what it refers to.
    Reference(&'static [&'static str]),
    /// Base64; has no order (RFC 7644 3.4.2.2).
    Binary,
    Boolean,
    DateTime,
    Complex(&'static [Attribute]),
}

/// When a value may be written (RFC 7643 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutability {
    ReadWrite,
    ReadOnly,
    Immutable,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) shape: Shape,
    pub(crate) many: bool,
    pub(crate) required: bool,
    /// Letter case counts in a comparison (`caseExact`).
    pub(crate) exact: bool,
    pub(crate) mutability: Mutability,
    /// No two resources of the org have the same (`uniqueness: server`).
    pub(crate) unique: bool,
    /// Values that are suggested, never demanded.
    pub(crate) canonical: &'static [&'static str],
}

pub(crate) const fn attribute(name: &'static str, shape: Shape, about: &'static str) -> Attribute {
    Attribute {
        name,
        about,
        shape,
        many: false,
        required: false,
        exact: false,
        mutability: Mutability::ReadWrite,
        unique: false,
        canonical: &[],
    }
}
pub(crate) const fn text(name: &'static str, about: &'static str) -> Attribute {
    attribute(name, Shape::Text, about)
}
pub(crate) const fn flag(name: &'static str, about: &'static str) -> Attribute {
    attribute(name, Shape::Boolean, about)
}
pub(crate) const fn complex(
    name: &'static str,
    subs: &'static [Attribute],
    about: &'static str,
) -> Attribute {
    attribute(name, Shape::Complex(subs), about)
}

impl Attribute {
    pub(crate) const fn many(self) -> Self {
        Self { many: true, ..self }
    }
    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
    pub(crate) const fn exact(self) -> Self {
        Self { exact: true, ..self }
    }
    pub(crate) const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }
    pub(crate) const fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }
    pub(crate) const fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }
    pub(crate) const fn canonical(self, canonical: &'static [&'static str]) -> Self {
        Self { canonical, ..self }
    }
    /// The sub-attributes of a complex attribute; none of any other.
    pub(crate) const fn subs(&self) -> &'static [Self] {
        match self.shape {
            Shape::Complex(subs) => subs,
            Shape::Text | Shape::Reference(_) | Shape::Binary | Shape::Boolean | Shape::DateTime => &[],
        }
    }
}

/// Of every resource (RFC 7643 3.1); in no schema document but here.
pub(crate) static COMMON: [Attribute; 4] = [
    text("id", "Issued by the server, never used again").exact().read_only(),
    text("externalId", "The directory's own key of the resource").exact(),
    complex("meta", &META, "Facts of the resource itself").read_only(),
    attribute("schemas", Shape::Reference(&["uri"]), "Schemas of the resource").many().required(),
];
static META: [Attribute; 5] = [
    text("resourceType", "User or Group").exact().read_only(),
    attribute("created", Shape::DateTime, "When it was made").read_only(),
    attribute("lastModified", Shape::DateTime, "When it was last changed").read_only(),
    attribute("location", Shape::Reference(&["uri"]), "Its address").exact().read_only(),
    text("version", "Its entity tag").exact().read_only(),
];

/// Written by the server alone (RFC 7643 3.1, 4.1.2).
pub(crate) const READ_ONLY: [&str; 3] = ["id", "meta", "groups"];
/// Taken and dropped: passwords are never kept, `schemas` follows from what is there.
pub(crate) const IGNORED: [&str; 2] = ["password", "schemas"];

/// The core schema's own attributes, and `externalId`.
pub(crate) const fn core(kind: Kind) -> &'static [Attribute] {
    match kind {
        Kind::User => &USER,
        Kind::Group => &GROUP,
    }
}

/// An attribute without an extension's URN: of the core schema, or common to all.
pub(crate) fn find_core(kind: Kind, name: &str) -> Option<&'static Attribute> {
    find(core(kind), name).or_else(|| find(&COMMON, name))
}

pub(crate) fn find(table: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    table.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

pub(crate) fn among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
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
