//! The people an identity provider knows. A directory that a test may change while the server runs,
//! since people move between groups and leave.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::sync::{PoisonError, RwLock};

/// One account at an identity provider. `login` is what is typed; `email` is what is asserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub login: String,
    pub password: String,
    pub email: String,
    pub given_name: String,
    pub family_name: String,
    /// What the groups claim says: names at Okta, object ids at Entra.
    pub groups: Vec<String>,
}

impl Person {
    /// A person whose login is their email.
    pub fn new(email: &str, password: &str, given_name: &str, family_name: &str) -> Self {
        Self {
            login: email.to_owned(),
            password: password.to_owned(),
            email: email.to_owned(),
            given_name: given_name.to_owned(),
            family_name: family_name.to_owned(),
            groups: Vec::new(),
        }
    }
    pub fn in_groups(mut self, groups: &[&str]) -> Self {
        self.groups = groups.iter().map(|g| (*g).to_owned()).collect();
        self
    }
    pub fn display_name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
    }
    /// An opaque id that stays the same between runs: a hash of where it is used and the login.
    pub(crate) fn stable_id(&self, realm: &str) -> String {
        stable_id(realm, &self.login)
    }
}

/// See [`Person::stable_id`]; also names tenants.
pub(crate) fn stable_id(realm: &str, name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{realm}\n{name}").as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref())
}

/// The shape of an Entra object id (8-4-4-4-12), made from the same hash.
pub(crate) fn stable_uuid(realm: &str, name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{realm}\n{name}").as_bytes());
    let mut text = String::new();
    for (i, byte) in hash.as_ref().iter().take(16).enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

pub(crate) struct People(RwLock<Vec<Person>>);

impl People {
    pub(crate) fn new(people: Vec<Person>) -> Self {
        Self(RwLock::new(people))
    }
    pub(crate) fn find(&self, login: &str) -> Option<Person> {
        self.all().into_iter().find(|p| p.login.eq_ignore_ascii_case(login.trim()))
    }
    pub(crate) fn with_password(&self, login: &str, password: &str) -> Option<Person> {
        self.find(login).filter(|p| p.password == password)
    }
    pub(crate) fn all(&self) -> Vec<Person> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Adds a person, or replaces the one with the same login.
    pub(crate) fn put(&self, person: Person) {
        let mut people = self.0.write().unwrap_or_else(PoisonError::into_inner);
        people.retain(|p| p.login != person.login);
        people.push(person);
    }
}
