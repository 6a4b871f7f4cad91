//! What a revocation kills: a scope, an action, and the one rule by which anything born with a
//! stamp `rs` is dead. No clock takes part: watermarks only grow, so skew opens nothing and
//! re-enabling a person revives nothing.

use crate::ids::{AppId, ConnectionId, ServiceId, SessionId, UserId};
use std::{fmt, str::FromStr};

/// What a revocation row is about, inside its org. Text: `org`, or a kind, a colon and the whole id
/// (`usr:usr_…`, `ses:ses_…`, `app:app_…`, `con:con_…`, `svc:svc_…`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    Org,
    User(UserId),
    Session(SessionId),
    App(AppId),
    Connection(ConnectionId),
    Service(ServiceId),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Sessions, refresh families and access tokens all die.
    Terminate,
    /// Access tokens must be fetched anew; the session lives on.
    Reassert,
}

/// What stands between a birth and its death: the newest `seq` of one action on one scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watermark {
    pub scope: Scope,
    pub seq: i64,
    pub action: Action,
}

/// Which actions end a thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bearing {
    /// An access token: both actions.
    AccessToken,
    /// A session, refresh family, code, login attempt or invitation: `terminate` alone.
    Lasting,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("neither a revocation scope nor an action")]
pub struct NotARevocation;

/// Dead iff for any scope it names a watermark is above the stamp it was born with.
/// Marks of scopes that it does not name are passed over.
pub fn is_dead(bearing: Bearing, birth_rs: i64, named: &[Scope], watermarks: &[Watermark]) -> bool {
    watermarks.iter().any(|mark| {
        let bites = match (bearing, mark.action) {
            (Bearing::AccessToken, Action::Terminate | Action::Reassert)
            | (Bearing::Lasting, Action::Terminate) => true,
            (Bearing::Lasting, Action::Reassert) => false,
        };
        bites && mark.seq > birth_rs && named.contains(&mark.scope)
    })
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("org"),
            Self::User(id) => write!(f, "usr:{id}"),
            Self::Session(id) => write!(f, "ses:{id}"),
            Self::App(id) => write!(f, "app:{id}"),
            Self::Connection(id) => write!(f, "con:{id}"),
            Self::Service(id) => write!(f, "svc:{id}"),
        }
    }
}

impl FromStr for Scope {
    type Err = NotARevocation;
    fn from_str(text: &str) -> Result<Self, NotARevocation> {
        if text == "org" {
            return Ok(Self::Org);
        }
        let (kind, id) = text.split_once(':').ok_or(NotARevocation)?;
        match kind {
            "usr" => id.parse().map(Self::User),
            "ses" => id.parse().map(Self::Session),
            "app" => id.parse().map(Self::App),
            "con" => id.parse().map(Self::Connection),
            "svc" => id.parse().map(Self::Service),
            _ => return Err(NotARevocation),
        }
        .map_err(|_| NotARevocation)
    }
}

impl Action {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Reassert => "reassert",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = NotARevocation;
    fn from_str(text: &str) -> Result<Self, NotARevocation> {
        [Self::Terminate, Self::Reassert]
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or(NotARevocation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn user(n: u128) -> Scope {
        Scope::User(UserId::from_uuid(Uuid::from_u128(n)))
    }

    #[test]
    fn texts_round_trip_and_kinds_do_not_mix() {
        let id = Uuid::from_u128(9);
        let all = [
            Scope::Org,
            user(9),
            Scope::Session(SessionId::from_uuid(id)),
            Scope::App(AppId::from_uuid(id)),
            Scope::Connection(ConnectionId::from_uuid(id)),
            Scope::Service(ServiceId::from_uuid(id)),
        ];
        for scope in all {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!(user(9).to_string(), "usr:usr_00000000000000000000000009");
        for bad in ["", "Org", "org:", "usr:", "usr:ses_00000000000000000000000009", "usr_0", "all:org"] {
            assert_eq!(bad.parse::<Scope>(), Err(NotARevocation), "{bad}");
        }
        for action in [Action::Terminate, Action::Reassert] {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        assert_eq!("Terminate".parse::<Action>(), Err(NotARevocation));
    }

    #[test]
    fn dead_only_above_the_stamp_on_a_named_scope_by_an_action_that_bites() {
        let mark = |scope, seq, action| [Watermark { scope, seq, action }];
        let named = [Scope::Org, user(1)];
        let dead = |bearing, marks: &[Watermark]| is_dead(bearing, 5, &named, marks);
        assert!(dead(Bearing::AccessToken, &mark(user(1), 6, Action::Reassert)));
        assert!(!dead(Bearing::Lasting, &mark(user(1), 6, Action::Reassert)));
        assert!(dead(Bearing::Lasting, &mark(user(1), 6, Action::Terminate)));
        assert!(dead(Bearing::Lasting, &mark(Scope::Org, 6, Action::Terminate)));
        assert!(!dead(Bearing::AccessToken, &mark(user(1), 5, Action::Terminate)), "seen at birth");
        assert!(!dead(Bearing::AccessToken, &mark(user(2), 9, Action::Terminate)), "somebody else");
        assert!(!dead(Bearing::AccessToken, &[]));
    }
}
