//! A user as SCIM knows one: read from POST and PUT bodies in every client's shape, kept as one
//! canonical document with the fields promoted that are searched and matched, rendered with what the
//! server adds. Text is kept as sent; comparing names is the store's business. A password is never
//! kept and never returned. RFC 7643 4.1, RFC 7644 3.3 and 3.5.1.

use crate::{
    ENTERPRISE_URN, Meta, Object, Problem, Projection, Reference, ScimError, USER_URN,
    canon::{is_primary, text_of},
    dialect,
    edit::{self, Verb},
};
use serde_json::Value;

/// Longest promoted text, in bytes: each stands in an index, whose rows Postgres bounds at 2,704.
pub const PROMOTED_BYTES_MAX: usize = 1024;
/// Largest document that is stored, as JSON: a full one of Entra's has 4 KiB. A page holds many at once.
pub const DOCUMENT_BYTES_MAX: usize = 65_536;

/// What a client says a user is.
#[derive(Clone, Debug, PartialEq)]
pub struct UserDraft {
    pub user_name: String,
    pub external_id: Option<String>,
    /// `None`: not said. Of a new user that means true, of an existing one the present value.
    pub active: Option<bool>,
    pub display_name: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    /// The primary address, else the first.
    pub email: Option<String>,
    /// The whole canonical document, less id, meta, groups, password and schemas.
    pub attributes: Object,
}

/// A stored user: a draft that knows whether it is active.
#[derive(Clone, Debug, PartialEq)]
pub struct UserDocument {
    pub user_name: String,
    pub external_id: Option<String>,
    pub active: bool,
    pub display_name: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub email: Option<String>,
    pub attributes: Object,
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PatchOutcome {
    pub changed: bool,
    pub turned_inactive: bool,
    pub turned_active: bool,
}

/// One address of a user, as the store's side table wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Email<'a> {
    pub value: &'a str,
    pub kind: Option<&'a str>,
    pub primary: bool,
}

/// Reads a POST or PUT body. Errors as `dialect::read`, and `invalidValue` when userName is missing
/// or a value has a type its attribute cannot have.
pub fn parse(body: &[u8]) -> Result<UserDraft, ScimError> {
    let mut attributes = Object::new();
    edit::assign_all(&mut attributes, Verb::Replace, dialect::read(body)?)?;
    UserDraft::promote(attributes)
}

impl UserDraft {
    /// Reads the promoted fields out of canonical attributes.
    pub(crate) fn promote(attributes: Object) -> Result<Self, ScimError> {
        let name = attributes.get("name").and_then(Value::as_object);
        let part = |key| name.and_then(|name| text_of(name, key));
        let missing = || ScimError::of(Problem::ValueMissing, "userName: a name is required");
        let user_name = text_of(&attributes, "userName").filter(|name| !name.trim().is_empty());
        let user_name = bounded("userName", Some(user_name.ok_or_else(missing)?))?.ok_or_else(missing)?;
        let draft = Self {
            user_name,
            external_id: bounded("externalId", text_of(&attributes, "externalId"))?,
            active: attributes.get("active").and_then(Value::as_bool),
            display_name: bounded("displayName", text_of(&attributes, "displayName"))?,
            given_name: bounded("name.givenName", part("givenName"))?,
            family_name: bounded("name.familyName", part("familyName"))?,
            email: main_email(&attributes).map(str::to_owned),
            attributes,
        };
        for email in emails(&draft.attributes) {
            bounded("emails.value", Some(email.value))?;
            bounded("emails.type", email.kind)?;
        }
        Ok(draft)
    }

    /// Every address with a value.
    pub fn emails(&self) -> impl Iterator<Item = Email<'_>> {
        emails(&self.attributes)
    }

    /// The document of a new user: active unless it says otherwise. `scim.document_too_large` beyond
    /// `DOCUMENT_BYTES_MAX`.
    pub fn create(self) -> Result<UserDocument, ScimError> {
        let active = self.active.unwrap_or(true);
        fits(&self.attributes, None)?;
        Ok(self.settled(active))
    }

    /// PUT over a present user (RFC 7644 3.5.1). Without `active` the present value stays, so that a
    /// client that leaves it out does not bring a leaver back. Errors as `create`.
    pub fn replace(self, present: &UserDocument) -> Result<(UserDocument, PatchOutcome), ScimError> {
        let active = self.active.unwrap_or(present.active);
        fits(&self.attributes, Some(&present.attributes))?;
        let next = self.settled(active);
        let outcome = PatchOutcome::between(present, &next);
        Ok((next, outcome))
    }

    fn settled(self, active: bool) -> UserDocument {
        let mut attributes = self.attributes;
        attributes.insert("active".into(), Value::Bool(active));
        UserDocument {
            user_name: self.user_name,
            external_id: self.external_id,
            active,
            display_name: self.display_name,
            given_name: self.given_name,
            family_name: self.family_name,
            email: self.email,
            attributes,
        }
    }
}

impl UserDocument {
    /// Opens what the store kept. `active` is the column, which rules over the document.
    pub fn stored(active: bool, attributes: Object) -> Result<Self, ScimError> {
        UserDraft::promote(attributes).map(|draft| draft.settled(active))
    }
    /// Every address with a value.
    pub fn emails(&self) -> impl Iterator<Item = Email<'_>> {
        emails(&self.attributes)
    }
}

impl PatchOutcome {
    pub(crate) fn between(before: &UserDocument, after: &UserDocument) -> Self {
        Self {
            changed: before.attributes != after.attributes,
            turned_inactive: before.active && !after.active,
            turned_active: !before.active && after.active,
        }
    }
}

/// A document that is too large already may be changed as long as it does not grow: nothing must keep a
/// directory from deactivating a person.
fn fits(next: &Object, present: Option<&Object>) -> Result<(), ScimError> {
    let bytes = |document: &Object| serde_json::to_vec(document).map_or(usize::MAX, |json| json.len());
    let size = bytes(next);
    // `active` may be one that `next` does not name yet.
    let slack = r#""active":false,"#.len();
    if size <= DOCUMENT_BYTES_MAX
        || present.is_some_and(|present| size <= bytes(present).saturating_add(slack))
    {
        return Ok(());
    }
    let detail = format!("a user has at most {DOCUMENT_BYTES_MAX} bytes; this one would have {size}");
    Err(ScimError::of(Problem::DocumentTooLarge, detail))
}

/// Empty text is unassigned where it would be matched on.
pub(crate) fn bounded(name: &str, text: Option<&str>) -> Result<Option<String>, ScimError> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.len() > PROMOTED_BYTES_MAX => {
            let detail = format!("at most {PROMOTED_BYTES_MAX} bytes; received {}", text.len());
            Err(ScimError::of(Problem::ValueTooLong, detail).at(name))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

fn elements<'a>(attributes: &'a Object, name: &str) -> impl Iterator<Item = &'a Value> {
    attributes.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn emails(attributes: &Object) -> impl Iterator<Item = Email<'_>> {
    elements(attributes, "emails").filter_map(|element| {
        let parts = element.as_object()?;
        let value = text_of(parts, "value").filter(|value| !value.is_empty())?;
        let kind = text_of(parts, "type").filter(|kind| !kind.is_empty());
        Some(Email { value, kind, primary: is_primary(element) })
    })
}

fn main_email(attributes: &Object) -> Option<&str> {
    let primary = emails(attributes).find(|email| email.primary);
    primary.or_else(|| emails(attributes).next()).map(|email| email.value)
}

/// The resource as a client reads it (RFC 7643 4.1): the document, `id`, `schemas`, `meta`, `groups`,
/// cut to the projection.
pub fn render(
    id: &str,
    document: &UserDocument,
    meta: &Meta,
    groups: &[Reference],
    projection: &Projection,
) -> Value {
    let mut resource = document.attributes.clone();
    let extensions = document.attributes.keys().filter(|key| key.contains(':'));
    let schemas = std::iter::once(USER_URN).chain(extensions.map(String::as_str));
    resource.insert("schemas".into(), schemas.map(Value::from).collect());
    resource.insert("id".into(), Value::from(id));
    resource.insert("meta".into(), meta.render("User"));
    if !groups.is_empty() {
        resource.insert("groups".into(), groups.iter().map(|group| group.render("direct")).collect());
    }
    debug_assert!(resource.get(ENTERPRISE_URN).is_none_or(Value::is_object));
    projection.apply(resource)
}
