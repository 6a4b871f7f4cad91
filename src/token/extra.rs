//! The claims that an app has chosen to have beside the usual ones. They stand in its access tokens, as of the
//! instant of all others, or are left out by name: a token is never longer than its readers take.

use crate::claims::{Claims, wrong};
use model::Refusal;
use serde_json::{Map, Value, json};

/// Names what was asked for and is not here, because the token would be too long with it.
const OMITTED: &str = "claims_omitted";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    pub team_slugs: Option<Vec<String>>,
    pub permissions: Option<Vec<String>>,
    pub entitlements: Option<Map<String, Value>>,
    pub omitted: Option<Vec<String>>,
}

impl Extra {
    /// The claims, as they stand in a token.
    pub fn claims(&self) -> Map<String, Value> {
        let all = [
            ("team_slugs", self.team_slugs.as_ref().map(|slugs| json!(slugs))),
            ("permissions", self.permissions.as_ref().map(|permissions| json!(permissions))),
            ("entitlements", self.entitlements.clone().map(Value::Object)),
            (OMITTED, self.omitted.as_ref().map(|names| json!(names))),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// The same choice, with nothing of it given.
    pub(crate) fn left_out(&self) -> Self {
        Self { omitted: Some(self.claims().keys().cloned().collect()), ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn read(claims: &Claims) -> Result<Self, Refusal> {
        Ok(Self {
            team_slugs: claims.maybe_texts("team_slugs")?,
            permissions: claims.maybe_texts("permissions")?,
            entitlements: match claims.0.get("entitlements") {
                None => None,
                Some(Value::Object(members)) => Some(members.clone()),
                Some(_) => return Err(wrong("entitlements")),
            },
            omitted: claims.maybe_texts(OMITTED)?,
        })
    }
}
