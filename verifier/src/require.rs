//! What a route asks beyond a good token: scopes, roles, permissions, and how strongly and how
//! lately the person signed in (RFC 6750 3.1, RFC 9470).

use crate::{Claims, Denied};
use std::collections::{BTreeMap, BTreeSet};

/// Which roles give which permissions: the app's own, or those of Vestibule's catalogue
/// (`GET /api/v1/roles`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue(BTreeMap<String, BTreeSet<String>>);

impl Catalogue {
    /// From roles, each with its permissions.
    ///
    /// ```
    /// use vestibule_verifier::Catalogue;
    /// let roles = Catalogue::of([("admin", &["invoice:read", "invoice:write"][..]), ("viewer", &["invoice:read"])]);
    /// ```
    pub fn of<'a>(roles: impl IntoIterator<Item = (&'a str, &'a [&'a str])>) -> Self {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (role, permissions) in roles {
            let held = all.entry(role.to_owned()).or_default();
            held.extend(permissions.iter().map(|permission| (*permission).to_owned()));
        }
        Self(all)
    }

    /// The roles that give a permission.
    fn giving(&self, permission: &str) -> Vec<String> {
        let gives = self.0.iter().filter(|(_, permissions)| permissions.contains(permission));
        gives.map(|(role, _)| role.clone()).collect()
    }
}

/// What a route asks of a token; all of it must hold. An empty one asks nothing more than a good token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Require {
    scopes: Vec<String>,
    /// One role out of each list.
    roles: Vec<Vec<String>>,
    acr_values: Option<Vec<String>>,
    max_age_secs: Option<u64>,
}

impl Require {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// This scope has been granted.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.push(scope.to_owned());
        self
    }

    /// The person has this role.
    #[must_use]
    pub fn role(self, role: &str) -> Self {
        self.any_role(&[role])
    }

    /// The person has one of these roles; of none, nobody passes.
    #[must_use]
    pub fn any_role(mut self, roles: &[&str]) -> Self {
        self.roles.push(roles.iter().map(|role| (*role).to_owned()).collect());
        self
    }

    /// The person has a role that gives this permission; one that no role gives, nobody has.
    #[must_use]
    pub fn permission(mut self, permission: &str, catalogue: &Catalogue) -> Self {
        self.roles.push(catalogue.giving(permission));
        self
    }

    /// The sign-in was of one of these classes (`acr`); asked of none, nobody passes.
    #[must_use]
    pub fn any_acr(mut self, values: &[&str]) -> Self {
        self.acr_values = Some(values.iter().map(|value| (*value).to_owned()).collect());
        self
    }

    /// The person signed in at most so many seconds ago.
    #[must_use]
    pub fn max_age_secs(mut self, secs: u64) -> Self {
        self.max_age_secs = Some(self.max_age_secs.map_or(secs, |own| own.min(secs)));
        self
    }

    /// Whether a token has it all, at `now_secs` since 1970.
    ///
    /// # Errors
    /// `Scope` and `Role` (403); `Authentication` (401) where another sign-in helps: the app sends the
    /// person to `/oauth2/authorize` with the `acr_values` and `max_age` that it names.
    pub fn check(&self, claims: &Claims, now_secs: u64) -> Result<(), Denied> {
        if !self.scopes.iter().all(|scope| claims.has_scope(scope)) {
            return Err(Denied::Scope(self.scopes.join(" ")));
        }
        if !self.roles.iter().all(|any| any.iter().any(|role| claims.has_role(role))) {
            return Err(Denied::Role);
        }
        let among =
            |values: &Vec<String>| claims.acr().is_some_and(|acr| values.iter().any(|value| value == acr));
        let wished = self.acr_values.as_ref().filter(|values| !among(values));
        // Somebody whose sign-in has no time has not signed in lately.
        let age = |max| claims.auth_time().is_none_or(|at| now_secs.saturating_sub(at) > max);
        let old = self.max_age_secs.filter(|max| age(*max));
        if wished.is_some() || old.is_some() {
            let acr_values = wished.map(|values| values.join(" "));
            return Err(Denied::Authentication { acr_values, max_age_secs: old });
        }
        Ok(())
    }
}
