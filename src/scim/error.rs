//! What a SCIM client is told when it is refused. Every problem has one stable code, one status and,
//! where RFC 7644 3.12 knows one, a `scimType`. The code stands at the end of `detail` too, because
//! the detail is the one field an identity provider's console shows.

use serde_json::{Value, json};
use std::fmt;

/// Why a request is refused. One line in docs/REFUSALS.md each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    BodyTooLarge,
    /// The body broke off, or did not arrive in time.
    BodyLate,
    NotJson,
    NotAnObject,
    DuplicateKey,
    Nul,
    TooDeep,
    ValueMissing,
    ValueWrong,
    ValueTooLong,
    TooManyValues,
    /// A user's document beyond its bound.
    DocumentTooLarge,
    FilterSyntax,
    FilterTooComplex,
    /// The attribute's type does not admit the comparison.
    FilterWrong,
    PathSyntax,
    PathUnknown,
    NoTarget,
    /// PATCH's remove does not say of what.
    PathMissing,
    Mutability,
    PatchSyntax,
    BulkSyntax,
    TooManyOperations,
    MemberUnknown,
    /// A group as the member of a group.
    GroupInGroup,
    /// Operations of a bulk request that wait for each other.
    Circular,
    /// A `bulkId:` that no operation of the request has made.
    Unresolved,
    QueryWrong,
    CursorWrong,
    CursorExpired,
    /// Another page size than the walk began with, or none at all.
    CountWrong,
    /// A preference of ours that there is not.
    PreferenceUnknown,
    /// A bulk request as a dry run: more than is judged together, or than its time was enough for.
    DryRunTooLarge,
    /// The search would have cost more than a request may.
    TooCostly,
    Taken,
    Missing,
    Unauthorized,
    Forbidden,
    ScopeMissing,
    VersionMismatch,
    Throttled,
    Held,
    Unavailable,
    /// The person belongs to another directory of the same org.
    OtherDirectory,
    /// The org's plan has no seat left.
    NoSeat,
    /// Nobody's seat, and the org lets no directory take one over.
    NotAdopted,
    /// A part of the protocol that is not served here.
    NotServed,
    MethodNotAllowed,
    /// More members than one answer shows.
    TooManyMembers,
    Internal,
}

impl Problem {
    pub const ALL: [Self; 50] = [
        Self::BodyTooLarge,
        Self::BodyLate,
        Self::NotJson,
        Self::NotAnObject,
        Self::DuplicateKey,
        Self::Nul,
        Self::TooDeep,
        Self::ValueMissing,
        Self::ValueWrong,
        Self::ValueTooLong,
        Self::TooManyValues,
        Self::DocumentTooLarge,
        Self::FilterSyntax,
        Self::FilterTooComplex,
        Self::FilterWrong,
        Self::PathSyntax,
        Self::PathUnknown,
        Self::NoTarget,
        Self::PathMissing,
        Self::Mutability,
        Self::PatchSyntax,
        Self::BulkSyntax,
        Self::TooManyOperations,
        Self::MemberUnknown,
        Self::GroupInGroup,
        Self::Circular,
        Self::Unresolved,
        Self::QueryWrong,
        Self::CursorWrong,
        Self::CursorExpired,
        Self::CountWrong,
        Self::PreferenceUnknown,
        Self::DryRunTooLarge,
        Self::TooCostly,
        Self::Taken,
        Self::Missing,
        Self::Unauthorized,
        Self::Forbidden,
        Self::ScopeMissing,
        Self::VersionMismatch,
        Self::Throttled,
        Self::Held,
        Self::Unavailable,
        Self::OtherDirectory,
        Self::NoSeat,
        Self::NotAdopted,
        Self::NotServed,
        Self::MethodNotAllowed,
        Self::TooManyMembers,
        Self::Internal,
    ];

    /// Stable code, HTTP status, `scimType` of RFC 7644 table 9.
    const fn row(self) -> (&'static str, u16, Option<&'static str>) {
        match self {
            Self::BodyTooLarge => ("scim.body_too_large", 413, None),
            Self::BodyLate => ("scim.body_late", 408, None),
            Self::NotJson => ("scim.not_json", 400, Some("invalidSyntax")),
            Self::NotAnObject => ("scim.not_an_object", 400, Some("invalidSyntax")),
            Self::DuplicateKey => ("scim.duplicate_key", 400, Some("invalidSyntax")),
            Self::Nul => ("scim.nul", 400, Some("invalidValue")),
            Self::TooDeep => ("scim.too_deep", 400, Some("invalidSyntax")),
            Self::ValueMissing => ("scim.value_missing", 400, Some("invalidValue")),
            Self::ValueWrong => ("scim.value_wrong", 400, Some("invalidValue")),
            Self::ValueTooLong => ("scim.value_too_long", 400, Some("invalidValue")),
            Self::TooManyValues => ("scim.too_many_values", 400, Some("invalidValue")),
            Self::DocumentTooLarge => ("scim.document_too_large", 413, None),
            Self::FilterSyntax => ("scim.filter_syntax", 400, Some("invalidFilter")),
            Self::FilterTooComplex => ("scim.filter_too_complex", 400, Some("invalidFilter")),
            Self::FilterWrong => ("scim.filter_wrong", 400, Some("invalidFilter")),
            Self::PathSyntax => ("scim.path_syntax", 400, Some("invalidPath")),
            Self::PathUnknown => ("scim.path_unknown", 400, Some("invalidPath")),
            Self::NoTarget => ("scim.no_target", 400, Some("noTarget")),
            Self::PathMissing => ("scim.path_missing", 400, Some("noTarget")),
            Self::Mutability => ("scim.mutability", 400, Some("mutability")),
            Self::PatchSyntax => ("scim.patch_syntax", 400, Some("invalidSyntax")),
            Self::BulkSyntax => ("scim.bulk_syntax", 400, Some("invalidSyntax")),
            Self::TooManyOperations => ("scim.too_many_operations", 413, None),
            Self::MemberUnknown => ("scim.member_unknown", 400, Some("invalidValue")),
            Self::GroupInGroup => ("scim.group_in_group", 400, Some("invalidValue")),
            Self::Circular => ("scim.circular", 409, None),
            Self::Unresolved => ("scim.unresolved", 400, Some("invalidValue")),
            Self::QueryWrong => ("scim.query_wrong", 400, Some("invalidValue")),
            Self::CursorWrong => ("scim.cursor_wrong", 400, Some("invalidCursor")),
            Self::CursorExpired => ("scim.cursor_expired", 400, Some("expiredCursor")),
            Self::CountWrong => ("scim.count_wrong", 400, Some("invalidCount")),
            Self::PreferenceUnknown => ("scim.preference_unknown", 400, None),
            Self::DryRunTooLarge => ("scim.dry_run_too_large", 413, None),
            Self::TooCostly => ("scim.too_costly", 400, Some("tooMany")),
            Self::Taken => ("scim.taken", 409, Some("uniqueness")),
            Self::Missing => ("scim.missing", 404, None),
            Self::Unauthorized => ("scim.unauthorized", 401, None),
            Self::Forbidden => ("scim.forbidden", 403, None),
            Self::ScopeMissing => ("scim.scope_missing", 403, None),
            Self::VersionMismatch => ("scim.version_mismatch", 412, None),
            Self::Throttled => ("scim.throttled", 429, None),
            Self::Held => ("scim.held", 429, None),
            Self::Unavailable => ("scim.unavailable", 503, None),
            Self::OtherDirectory => ("scim.other_directory", 409, None),
            // Not 409, which a directory takes for a person who is here already and looks for; not 429 or 5xx,
            // which it tries again.
            Self::NoSeat => ("quota.seats", 403, None),
            Self::NotAdopted => ("scim.not_adopted", 403, None),
            Self::NotServed => ("scim.not_served", 501, None),
            Self::MethodNotAllowed => ("scim.method_not_allowed", 405, None),
            Self::TooManyMembers => ("scim.too_many_members", 400, Some("tooMany")),
            Self::Internal => ("scim.internal", 500, None),
        }
    }
    /// What whoever reads the provisioning log may do about it, in a line; docs/REFUSALS.md says more.
    const fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::ValueMissing => "Map a value to it in the directory",
            Self::ValueWrong | Self::Nul => "Correct its mapping in the directory",
            Self::ValueTooLong => "Shorten it in the directory",
            Self::TooManyValues | Self::DocumentTooLarge => "Map fewer values",
            Self::DuplicateKey => "Map each attribute once",
            Self::PathUnknown | Self::Mutability => "Take its mapping out of the directory",
            Self::NoTarget => "Add the value before it is changed",
            Self::MemberUnknown => "Provision people before their groups",
            Self::PathMissing => "Name in path what is to be removed",
            Self::GroupInGroup => "Push the groups inside it by themselves, or assign their people to it",
            Self::Held => "Let an administrator of the org look at its holds",
            Self::ScopeMissing => "Use a token with the scope",
            Self::Taken => "Rename or remove the other one",
            Self::OtherDirectory => "Take the person off one of the two directories",
            Self::NoSeat => "Deactivate somebody, or have the plan raised",
            Self::NotAdopted => "Let the org's administrator set scim_adopts",
            Self::VersionMismatch => "Read it again, then change it",
            Self::BodyTooLarge | Self::TooManyOperations | Self::DryRunTooLarge => "Send less at once",
            Self::TooManyMembers => "Exclude the list by excludedAttributes",
            Self::FilterTooComplex => "Ask in several requests",
            Self::CursorWrong | Self::CursorExpired => "Begin the list again",
            Self::NotServed => "Switch it off in the directory",
            Self::BodyLate
            | Self::NotJson
            | Self::NotAnObject
            | Self::TooDeep
            | Self::FilterSyntax
            | Self::FilterWrong
            | Self::PathSyntax
            | Self::PatchSyntax
            | Self::BulkSyntax
            | Self::QueryWrong
            | Self::CountWrong
            | Self::PreferenceUnknown
            | Self::TooCostly
            | Self::Missing
            | Self::Unauthorized
            | Self::Forbidden
            | Self::Throttled
            | Self::Circular
            | Self::Unresolved
            | Self::Unavailable
            | Self::MethodNotAllowed
            | Self::Internal => return None,
        })
    }
    pub const fn code(self) -> &'static str {
        self.row().0
    }
    /// The problem of a stable code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| problem.code() == code)
    }
}

/// A refusal in SCIM's own dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScimError {
    /// HTTP status.
    pub status: u16,
    /// RFC 7644 table 9.
    pub scim_type: Option<&'static str>,
    /// Stable code, `scim.*`.
    pub code: &'static str,
    /// For the administrator who reads the provisioning log; bounded, names no secret.
    pub detail: String,
}

/// A detail is cut here: it may quote what the client sent, and travels as a refusal's fact.
const DETAIL_CHARS_MAX: usize = 300;
/// A received value is shown up to this length.
const SHOWN_CHARS_MAX: usize = 60;

impl ScimError {
    pub fn of(problem: Problem, detail: impl fmt::Display) -> Self {
        let (code, status, scim_type) = problem.row();
        let detail = detail.to_string().chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect();
        Self { status, scim_type, code, detail }
    }
    /// The same, with what it is about in front: an attribute, an operation, a resource.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        let detail = format!("{place}: {}", self.detail).chars().take(DETAIL_CHARS_MAX).collect();
        Self { detail, ..self }
    }
    /// The same, with the value of a known attribute that came. What is long is not shown: a key or a
    /// password in the wrong place is.
    #[must_use]
    pub(crate) fn received(self, value: &Value) -> Self {
        let shown = match value {
            Value::String(text) if text.chars().count() > SHOWN_CHARS_MAX => {
                format!("text of {} characters", text.chars().count())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
            Value::Array(list) => format!("a list of {}", list.len()),
            Value::Object(_) => "an object".to_owned(),
        };
        let detail = format!("{}; received {shown}", self.detail);
        let detail = detail.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect();
        Self { detail, ..self }
    }
    pub(crate) fn is(&self, problem: Problem) -> bool {
        self.code == problem.code()
    }
    /// What is wrong, what would help, and the code: what the client is told.
    pub fn said(&self) -> String {
        let remedy = Problem::of_code(self.code).and_then(Problem::remedy);
        let parts = [Some(self.detail.as_str()).filter(|text| !text.is_empty()), remedy];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(". ");
        format!("{text} [{}]", self.code).trim_start().to_owned()
    }
    /// The body of the answer (RFC 7644 3.12): `status` is a JSON string.
    pub fn render(&self) -> Value {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.to_string(),
            "detail": self.said(),
        });
        if let (Some(scim_type), Some(body)) = (self.scim_type, body.as_object_mut()) {
            body.insert("scimType".into(), Value::from(scim_type));
        }
        body
    }
}

impl fmt::Display for ScimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}
impl std::error::Error for ScimError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_its_own_and_errors_read_as_rfc_7644_3_12() {
        let codes: HashSet<_> = Problem::ALL.iter().map(|p| p.code()).collect();
        assert_eq!(codes.len(), Problem::ALL.len());
        assert!(codes.iter().all(|c| c.starts_with("scim.") || *c == "quota.seats"));
        assert!(Problem::ALL.into_iter().all(|p| Problem::of_code(p.code()) == Some(p)));
        let error = ScimError::of(Problem::Taken, "userName is taken\n");
        assert_eq!(
            error.render(),
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "409",
                   "scimType": "uniqueness",
                   "detail": "userName is taken. Rename or remove the other one [scim.taken]"})
        );
        assert!(ScimError::of(Problem::Missing, "").render().get("scimType").is_none());
        assert_eq!(ScimError::of(Problem::NotJson, "x".repeat(301)).detail.len(), 300);
    }

    #[test]
    fn a_detail_names_the_place_and_shows_a_value_that_is_short() {
        let error = || ScimError::of(Problem::ValueWrong, "true or false is expected");
        let short = error().received(&json!("y\u{7}es")).at("active").at("Operations[2]");
        assert_eq!(short.detail, "Operations[2]: active: true or false is expected; received \"y\\u0007es\"");
        let long = error().received(&json!("s3cret".repeat(20)));
        assert_eq!(long.detail, "true or false is expected; received text of 120 characters");
        assert_eq!(error().received(&json!([1])).detail, "true or false is expected; received a list of 1");
        assert_eq!(error().at("x".repeat(400)).detail.len(), DETAIL_CHARS_MAX);
    }
}
