//! The one error that `http` renders, each caller in its own dialect. `code()` is stable text,
//! listed in docs/REFUSALS.md.

use model::{Refusal, org::OrgState, record::Record};
use std::borrow::Cow;
use store::GateError;

#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// A judge said no, by name.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// No such thing, or not this caller's.
    #[error("not found")]
    Missing,
    /// The org's state shuts this door.
    #[error("the org is {}", .0.as_str())]
    Closed(OrgState),
    /// Something of that name is there already, or has been changed meanwhile.
    #[error("conflict: {code}")]
    Conflict { code: &'static str, detail: String },
    /// The caller's input is wrong: which field, and what would be right.
    #[error("invalid {field}: {detail}")]
    Invalid { code: &'static str, field: Cow<'static, str>, detail: String },
    /// Try again later.
    #[error("busy")]
    Busy { retry_after_secs: u32 },
    /// More requests than this credential or its org may make.
    #[error("rate limited")]
    Limited { retry_after_secs: u32 },
    /// The commit got no answer: it may have happened.
    #[error("in doubt")]
    InDoubt,
    /// A dry run: everything was judged, and this would have been written; nothing, if it changes nothing.
    #[error("rehearsed")]
    Rehearsed(Option<Box<Record>>),
    /// Our own fault; the cause is for the log.
    #[error("fault: {0}")]
    Fault(String),
}

impl FlowError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Missing => "not_found",
            Self::Closed(OrgState::Suspended) => "org.suspended",
            Self::Closed(_) => "not_found",
            Self::Conflict { code, .. } | Self::Invalid { code, .. } => code,
            Self::Busy { .. } => "busy",
            Self::Limited { .. } => "rate_limited",
            Self::InDoubt => "in_doubt",
            Self::Fault(_) | Self::Rehearsed(_) => "internal",
        }
    }
    pub fn invalid(
        code: &'static str,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self::Invalid { code, field: field.into(), detail: detail.into() }
    }
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into() }
    }
}

impl From<store::Error> for FlowError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(cause) => {
                tracing::error!(%cause, "postgres is unavailable");
                Self::Busy { retry_after_secs: 1 }
            }
            store::Error::Late(cause) => {
                tracing::warn!(%cause, "postgres took too long");
                Self::Busy { retry_after_secs: 1 }
            }
            store::Error::InDoubt(cause) => {
                tracing::error!(%cause, "a commit got no answer");
                Self::InDoubt
            }
            store::Error::Crowded => Self::Busy { retry_after_secs: 1 },
            // As at the door, for whoever was inside when it shut.
            store::Error::CredentialGone => Refusal::stranger("api.unauthorized").into(),
            store::Error::OrgClosed(state) => Self::Closed(state),
            store::Error::Rehearsed(record) => Self::Rehearsed(Some(record)),
            store::Error::Conflict(constraint) => Self::Conflict { code: "conflict", detail: constraint },
            other => Self::Fault(format!("{other}: {}", cause_of(&other))),
        }
    }
}

fn cause_of(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(String::new, ToString::to_string)
}

impl From<GateError> for FlowError {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Unknown => Self::Missing,
            GateError::Closed(state) => Self::Closed(state),
            GateError::Store(error) => error.into(),
        }
    }
}
