//! What an app may have in its access tokens beside what every token says; each by its own choice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtraClaim {
    /// The teams' slugs, in the order of `team_ids`.
    TeamSlugs,
    /// What the roles allow, by the catalogue of roles.
    Permissions,
    /// The org's plan, and how much of each kind it has.
    Entitlements,
}

impl ExtraClaim {
    pub const ALL: [Self; 3] = [Self::TeamSlugs, Self::Permissions, Self::Entitlements];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TeamSlugs => "team_slugs",
            Self::Permissions => "permissions",
            Self::Entitlements => "entitlements",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|claim| claim.as_str() == text)
    }
}
