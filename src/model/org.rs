//! An org's life. Every door asks `OrgState` what it still lets through; the match is
//! written out so that a new state does not slip past one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrgState {
    Trial,
    Active,
    PastDue,
    Suspended,
    Deleted,
    Purged,
}

/// What somebody wants at a door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    /// A person signs in, an app redeems, refreshes, introspects.
    SignIn,
    /// A directory provisions.
    Provision,
    /// The org's own administrator or key reads and writes.
    Administer,
    /// The operator of the platform.
    Operate,
}

impl OrgState {
    pub const ALL: [Self; 6] =
        [Self::Trial, Self::Active, Self::PastDue, Self::Suspended, Self::Deleted, Self::Purged];

    /// May this passage be used in this state? A suspended org's directory still provisions, so that
    /// people who leave meanwhile are gone when it comes back; nobody signs in. A deleted org is
    /// recoverable, by the operator alone.
    pub const fn admits(self, passage: Passage) -> bool {
        match (self, passage) {
            (Self::Trial | Self::Active | Self::PastDue, _) => true,
            (Self::Suspended, Passage::SignIn) => false,
            (Self::Suspended, Passage::Provision | Passage::Administer | Passage::Operate) => true,
            (Self::Deleted, Passage::SignIn | Passage::Provision | Passage::Administer) => false,
            (Self::Deleted, Passage::Operate) => true,
            (Self::Purged, Passage::SignIn | Passage::Provision | Passage::Administer | Passage::Operate) => {
                false
            }
        }
    }
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
            Self::Purged => "purged",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
