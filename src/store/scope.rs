//! WHICH org, and HOW you got in. An `OrgScope` has private fields and is made in `gate.rs` alone;
//! a story that takes `&OrgScope<ScimClient>` cannot be called by a visitor: it does not type-check.

use crate::Stage;
use model::{
    Timestamp,
    ids::{AppId, ConnectionId, DirectoryId, KeyId, OrgId, SessionId, UserId},
    org::{OrgState, Passage},
    record::{Actor, Origin},
};
use schemars::JsonSchema;
use serde::Serialize;

/// What a request brings along, whoever makes it.
#[derive(Clone, Debug)]
pub struct Call {
    pub request_id: String,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub at: Timestamp,
}

/// How far inside the org a door reaches: what `app.reach` says to the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Org,
    Seat(UserId),
}

/// A way in. `PASSAGE` is what the org's state must admit.
pub trait Door: Send + Sync + 'static {
    const PASSAGE: Passage;
    fn reach(&self) -> Reach {
        Reach::Org
    }
    fn actor(&self) -> Actor;
    fn session(&self) -> Option<SessionId> {
        None
    }
    /// The org's own credential that opened it. Every writing transaction asks whether it is still good.
    fn credential(&self) -> Option<KeyId> {
        None
    }
    /// The directory whose credential that is.
    fn directory(&self) -> Option<DirectoryId> {
        None
    }
    /// Has whoever came in shown anything that a stranger has not? Nobody stands back for whoever only names an
    /// org. `writes`: what is done is kept.
    fn is_known(&self, _writes: bool) -> bool {
        true
    }
    /// Is nothing kept of what is done by this door?
    fn is_rehearsal(&self) -> bool {
        false
    }
    /// Where it is done together with others, if it is so rehearsed.
    fn stage(&self) -> Option<&Stage> {
        None
    }
}

/// A connection plans the first five executions of a statement anew, each for its own values, before it keeps a plan:
/// that is half of what a sign-in takes on a connection that has seen few. What a sign-in asks is found by its key,
/// whatever the values are.
const PLANNED_ONCE: &str = "; SET LOCAL plan_cache_mode = force_generic_plan";

/// Somebody who is signing in.
#[derive(Clone, Copy, Debug)]
pub struct Visitor;
impl Door for Visitor {
    const PASSAGE: Passage = Passage::SignIn;
    /// Nothing of a visitor's is kept but by a signed answer of a provider, or a session that lives.
    fn is_known(&self, writes: bool) -> bool {
        writes
    }
    fn actor(&self) -> Actor {
        Actor { kind: "visitor", id: "visitor".to_owned() }
    }
}

/// A customer's identity provider, by what it has signed for one of its connections.
#[derive(Clone, Copy, Debug)]
pub struct Upstream {
    pub connection: ConnectionId,
}
impl Door for Upstream {
    const PASSAGE: Passage = Passage::SignIn;
    fn actor(&self) -> Actor {
        Actor { kind: "connection", id: self.connection.to_string() }
    }
}

impl OrgScope<Visitor> {
    /// For whoever has proven a signature of this connection's, which is of this org.
    #[must_use]
    pub fn proven(self, connection: ConnectionId) -> OrgScope<Upstream> {
        let door = Upstream { connection };
        OrgScope { origin: Origin { actor: door.actor(), ..self.origin }, facts: self.facts, door }
    }
}

/// A directory with its bearer token, or the secret of its OAuth client.
#[derive(Clone, Debug)]
pub struct ScimClient {
    pub directory: DirectoryId,
    pub key: KeyId,
    /// What it may do; none named is everything.
    pub scopes: Vec<String>,
    pub(crate) trial: Trial,
}

/// Is what a directory asks only to be tried? Then everything is judged and nothing is kept: the commit answers what
/// it would have written. Only what is tried can be on a stage.
#[derive(Clone, Debug)]
pub(crate) enum Trial {
    No,
    Alone,
    On(Stage),
}

/// In which form a directory shows that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimForm {
    /// Its own bearer token.
    Bearer,
    /// The secret of its OAuth client: good for fetching, and for nothing else.
    Secret,
    /// What was fetched with the secret.
    Fetched,
}

impl ScimForm {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "scim",
            Self::Secret => "scim_secret",
            Self::Fetched => "scim_access",
        }
    }
}

impl ScimClient {
    pub fn may(&self, scope: &str) -> bool {
        self.scopes.is_empty() || self.scopes.iter().any(|held| held == scope)
    }
}

impl Door for ScimClient {
    const PASSAGE: Passage = Passage::Provision;
    fn actor(&self) -> Actor {
        Actor { kind: "directory", id: self.directory.to_string() }
    }
    fn credential(&self) -> Option<KeyId> {
        Some(self.key)
    }
    fn directory(&self) -> Option<DirectoryId> {
        Some(self.directory)
    }
    fn is_rehearsal(&self) -> bool {
        !matches!(self.trial, Trial::No)
    }
    fn stage(&self) -> Option<&Stage> {
        match &self.trial {
            Trial::On(stage) => Some(stage),
            Trial::No | Trial::Alone => None,
        }
    }
}

impl OrgScope<ScimClient> {
    /// The same, for a dry run.
    #[must_use]
    pub fn rehearsing(mut self) -> Self {
        self.door.trial = Trial::Alone;
        self
    }

    /// The same, for one of several that are rehearsed together.
    pub(crate) fn on(mut self, stage: Stage) -> Self {
        self.door.trial = Trial::On(stage);
        self
    }
}

/// A person with a session, on their own things.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub user: UserId,
    pub session: SessionId,
}
impl Door for Subject {
    const PASSAGE: Passage = Passage::SignIn;
    fn reach(&self) -> Reach {
        Reach::Seat(self.user)
    }
    fn actor(&self) -> Actor {
        Actor { kind: "user", id: self.user.to_string() }
    }
    fn session(&self) -> Option<SessionId> {
        Some(self.session)
    }
}

/// An authenticated app that serves this org, or one that has nothing to authenticate by.
#[derive(Clone, Copy, Debug)]
pub struct AppClient {
    pub app: AppId,
    pub is_public: bool,
}
impl Door for AppClient {
    const PASSAGE: Passage = Passage::SignIn;
    fn is_known(&self, _writes: bool) -> bool {
        !self.is_public
    }
    fn actor(&self) -> Actor {
        Actor { kind: "app", id: self.app.to_string() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminKind {
    Platform,
    Org,
}

/// A key that administers this org: the platform's, or the org's own with its scopes.
#[derive(Clone, Debug)]
pub struct Administrator {
    pub kind: AdminKind,
    pub key: KeyId,
    pub scopes: Vec<String>,
}
impl Door for Administrator {
    const PASSAGE: Passage = Passage::Administer;
    fn actor(&self) -> Actor {
        let kind = match self.kind {
            AdminKind::Platform => "platform_key",
            AdminKind::Org => "org_key",
        };
        Actor { kind, id: self.key.to_string() }
    }
    fn credential(&self) -> Option<KeyId> {
        match self.kind {
            AdminKind::Platform => None,
            AdminKind::Org => Some(self.key),
        }
    }
}

/// The platform's operator, on the org's own life: also on a deleted one.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    pub key: KeyId,
}
impl Door for Operator {
    const PASSAGE: Passage = Passage::Operate;
    fn actor(&self) -> Actor {
        Actor { kind: "platform_key", id: self.key.to_string() }
    }
}

/// Work without a caller.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub name: &'static str,
}
impl Door for Job {
    const PASSAGE: Passage = Passage::Operate;
    fn actor(&self) -> Actor {
        Actor { kind: "job", id: self.name.to_owned() }
    }
}

/// What the gate knows of an org: for logs, for the doors.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "OrgFacts", description = "An org as it is listed.")]
pub struct OrgFacts {
    pub id: OrgId,
    pub slug: String,
    pub state: OrgState,
    pub plan: String,
    pub region: String,
}

#[derive(Clone, Debug)]
pub struct OrgScope<D: Door> {
    facts: OrgFacts,
    door: D,
    origin: Origin,
}

impl<D: Door> OrgScope<D> {
    /// Only `gate.rs` calls this.
    pub(crate) fn opened(facts: OrgFacts, door: D, call: &Call) -> Self {
        let origin = Origin {
            actor: door.actor(),
            request_id: call.request_id.clone(),
            ip: call.ip.clone(),
            user_agent: call.user_agent.clone(),
            session: door.session().map(|id| id.to_string()),
            at: call.at,
        };
        // The request's own span: every line of its log says which org, of which plan and region.
        let span = tracing::Span::current();
        tracing::record_all!(span, org = %facts.id, tier = facts.plan.as_str(), region = facts.region.as_str());
        Self { facts, door, origin }
    }
    pub const fn org(&self) -> OrgId {
        self.facts.id
    }
    pub const fn facts(&self) -> &OrgFacts {
        &self.facts
    }
    pub const fn door(&self) -> &D {
        &self.door
    }
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
    /// The instant of the request: what every decision in it takes as now.
    pub const fn now(&self) -> Timestamp {
        self.origin.at
    }
    /// The SQL that opens this scope's transaction. Built from typed ids alone: nothing that came
    /// from outside as text is in it.
    pub(crate) fn opening(&self, begin: &str) -> String {
        let org = self.facts.id.uuid();
        let plans = if D::PASSAGE == Passage::SignIn { PLANNED_ONCE } else { "" };
        match self.door.reach() {
            Reach::Org => {
                format!("{begin}{plans}; SET LOCAL app.org_id = '{org}'; SET LOCAL app.reach = 'org'")
            }
            Reach::Seat(user) => format!(
                "{begin}{plans}; SET LOCAL app.org_id = '{org}'; SET LOCAL app.reach = 'seat'; \
                 SET LOCAL app.user_id = '{}'",
                user.uuid()
            ),
        }
    }

    /// The same for a transaction that reads by a credential: it answers the org's state while that is good.
    pub(crate) fn looking(&self, credential: KeyId) -> String {
        format!("{}; SELECT look_by('{}')", self.opening("BEGIN READ ONLY"), credential.uuid())
    }

    /// The same for a transaction that writes by a credential: it holds the credential's door until the commit,
    /// and answers what stands behind it (migrations/0040).
    pub(crate) fn entering(&self, begin: &str, credential: KeyId) -> String {
        format!("{}; SELECT * FROM enter_by('{}')", self.opening(begin), credential.uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_names_an_org_is_not_here() {
        let app = AppId::from_uuid(uuid::Uuid::nil());
        assert!(!Visitor.is_known(false) && Visitor.is_known(true));
        let named = AppClient { app, is_public: true };
        assert!(!named.is_known(false) && !named.is_known(true));
        assert!(AppClient { is_public: false, ..named }.is_known(false));
        assert!(Upstream { connection: ConnectionId::from_uuid(uuid::Uuid::nil()) }.is_known(false));
    }
}
