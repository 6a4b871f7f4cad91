//! What an app has chosen to have in its tokens beside the usual claims (`"claims"` of the app at Vestibule). None is
//! told unless it was chosen; one that would have made the token too long is named instead.

use crate::{Claims, claims::Members, denied::Fault, json::Json};
use std::collections::BTreeMap;

/// How much of something an org's plan gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// So many, and no more.
    AtMost(u64),
    /// The plan sets no bound.
    Unbounded,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extra {
    team_slugs: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    plan: Option<String>,
    quotas: BTreeMap<String, Quota>,
    omitted: Vec<String>,
}

impl Extra {
    /// # Errors
    /// `Claim`, for one of another type.
    pub(crate) fn read(said: &Members) -> Result<Self, Fault> {
        let (mut plan, mut quotas) = (None, BTreeMap::new());
        match said.0.get("entitlements") {
            None => {}
            Some(Json::Object(members)) => {
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("plan", Json::Text(text)) => plan = Some(text.clone()),
                        ("plan", _) => return Err(Fault::Claim("entitlements")),
                        (_, Json::Whole(most)) => {
                            quotas.insert(name.clone(), Quota::AtMost(*most));
                        }
                        (_, Json::Null) => {
                            quotas.insert(name.clone(), Quota::Unbounded);
                        }
                        _ => return Err(Fault::Claim("entitlements")),
                    }
                }
            }
            Some(_) => return Err(Fault::Claim("entitlements")),
        }
        Ok(Self {
            team_slugs: said.texts("team_slugs")?,
            permissions: said.texts("permissions")?,
            plan,
            quotas,
            omitted: said.texts("claims_omitted")?.unwrap_or_default(),
        })
    }
}

/// What the app has chosen to be told besides: `None` where it has not, or where the token would have been too long.
impl Claims {
    /// The teams' slugs, in the order of [`team_ids`](Self::team_ids).
    pub fn team_slugs(&self) -> Option<&[String]> {
        self.extra().team_slugs.as_deref()
    }

    /// What the roles allow, by Vestibule's catalogue.
    pub fn permissions(&self) -> Option<&[String]> {
        self.extra().permissions.as_deref()
    }

    /// Whether the token says that this is allowed. Where permissions are not told, nothing is.
    pub fn has_permission(&self, permission: &str) -> bool {
        self.permissions().is_some_and(|all| all.iter().any(|held| held == permission))
    }

    /// The org's plan (`entitlements`).
    pub fn plan(&self) -> Option<&str> {
        self.extra().plan.as_deref()
    }

    /// How much of this kind the org's plan gives (`entitlements`): `seats`, `teams`, …
    pub fn quota(&self, kind: &str) -> Option<Quota> {
        self.extra().quotas.get(kind).copied()
    }

    /// What was chosen and is not here, because the token would have been too long with it.
    pub fn claims_omitted(&self) -> &[String] {
        &self.extra().omitted
    }
}
