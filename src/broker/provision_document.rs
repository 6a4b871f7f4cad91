//! Between a seat's row and the SCIM document that it is kept with.

use crate::FlowError;
use scim::{Object, user::UserDocument};
use serde_json::{Value, json};
use store::User;

/// The stored document; of a seat that no directory wrote, and where it was not read, the one its columns
/// make.
pub(crate) fn document_of(user: &User) -> Result<UserDocument, FlowError> {
    let mut attributes = user.attributes.as_object().cloned().unwrap_or_default();
    if !attributes.contains_key("userName") {
        let mut name = Object::new();
        for (key, part) in [("givenName", &user.given_name), ("familyName", &user.family_name)] {
            name.extend(part.as_ref().map(|part| (key.to_owned(), json!(part))));
        }
        attributes.insert("userName".to_owned(), json!(user.user_name));
        attributes.extend(user.external_id.as_ref().map(|id| ("externalId".to_owned(), json!(id))));
        attributes.extend((!name.is_empty()).then_some(("name".to_owned(), Value::Object(name))));
        attributes.extend(user.display_name.as_ref().map(|name| ("displayName".to_owned(), json!(name))));
        let primary = |email| ("emails".to_owned(), json!([{"value": email, "primary": true}]));
        attributes.extend(user.email.as_ref().map(primary));
    }
    UserDocument::stored(user.active, attributes).map_err(|error| {
        FlowError::Fault(format!("the stored document of {} does not open: {error}", user.id))
    })
}

pub(crate) fn filled(user: User, document: &UserDocument) -> User {
    User {
        user_name: document.user_name.clone(),
        external_id: document.external_id.clone(),
        active: document.active,
        email: document.email.clone(),
        display_name: document.display_name.clone(),
        given_name: document.given_name.clone(),
        family_name: document.family_name.clone(),
        attributes: Value::Object(document.attributes.clone()),
        ..user
    }
}

pub(crate) fn addresses_of(document: &UserDocument) -> Vec<(&str, Option<&str>)> {
    document.emails().map(|email| (email.value, email.kind)).collect()
}
