//! What an act leaves behind: audit events and usage, as ONE value. A writing transaction cannot commit
//! without one, and the org's webhooks are told what it says.

use crate::Timestamp;
pub use crate::act::Act;
use serde_json::Value;

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `user`, `directory`, `org_key`, `platform_key`, `app`, `job`, `visitor`.
    pub kind: &'static str,
    pub id: String,
}

/// One audit event. `values` are the fields that may
/// hold personal data: they are stored beside the event, salted and sealed, each deletable.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    pub action: Act,
    /// Kind and id of what was acted on: (`user`, `usr_…`).
    pub target: Option<(&'static str, String)>,
    pub outcome: Outcome,
    pub values: Vec<(&'static str, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Refused,
}

/// One line of the ledger that metering reads: meter name, its natural key, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub meter: &'static str,
    pub natural_key: String,
    pub value: i64,
}

#[derive(Debug)]
pub struct Record {
    pub first: AuditEvent,
    pub more: Vec<AuditEvent>,
    pub usage: Vec<Usage>,
}

impl Record {
    pub const fn of(first: AuditEvent) -> Self {
        Self { first, more: Vec::new(), usage: Vec::new() }
    }
    #[must_use]
    pub fn and(mut self, event: AuditEvent) -> Self {
        self.more.push(event);
        self
    }
    #[must_use]
    pub fn metered(mut self, usage: Usage) -> Self {
        self.usage.push(usage);
        self
    }
    pub fn events(&self) -> impl Iterator<Item = &AuditEvent> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

impl AuditEvent {
    pub const fn done(action: Act) -> Self {
        Self { action, target: None, outcome: Outcome::Done, values: Vec::new() }
    }
    pub const fn refused(action: Act) -> Self {
        Self { action, target: None, outcome: Outcome::Refused, values: Vec::new() }
    }
    #[must_use]
    pub fn on(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.target = Some((kind, id.to_string()));
        self
    }
    #[must_use]
    pub fn value(mut self, path: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((path, value.into()));
        self
    }
}

/// Where a request came from: on every audit event.
#[derive(Clone, Debug)]
pub struct Origin {
    pub actor: Actor,
    pub request_id: String,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub session: Option<String>,
    pub at: Timestamp,
}
