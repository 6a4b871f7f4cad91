//! PATCH (RFC 7644 3.5.2). The whole request is read before anything is done, so a bad path costs
//! nothing; a user is changed as a copy, so an error leaves the original; a group's members become
//! row changes and the group is never loaded. Takes Entra's capitalised operations, its values beside
//! a `remove`, and objects without a path whose keys are paths.

use crate::{
    Filter, Object, Problem, ScimError, dialect,
    edit::{self, Verb},
    get,
    group::{self, GroupChange},
    path::Path,
    user::{UserDocument, UserDraft},
};
use serde_json::Value;

pub use crate::user::PatchOutcome;

/// Most operations of one request. The clients' largest captured has 17; a profile asks for 50.
pub const OPERATIONS_MAX: usize = 1_000;

/// Most comparisons in all value filters of one request: each may read the whole document, so their
/// number is what a request costs.
pub const TERMS_MAX: usize = OPERATIONS_MAX;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// Add or replace what a path names.
    Assign {
        verb: Verb,
        path: Path,
        value: Value,
    },
    /// Add or replace each attribute of an object.
    AssignAll {
        verb: Verb,
        values: Object,
    },
    Remove {
        path: Path,
        value: Option<Value>,
    },
}

impl Operation {
    fn terms(&self) -> usize {
        match self {
            Self::Assign { path, .. } | Self::Remove { path, .. } => {
                path.filter.as_ref().map_or(0, Filter::terms)
            }
            Self::AssignAll { values, .. } => {
                let paths = values.keys().filter_map(|key| Path::parse(key).ok());
                paths.filter_map(|path| path.filter).map(|filter| filter.terms()).sum()
            }
        }
    }
}

/// A PATCH request that has been read to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    pub(crate) operations: Vec<Operation>,
}

const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn syntax(detail: &str) -> ScimError {
    ScimError::of(Problem::PatchSyntax, detail)
}

/// Reads a PatchOp body. `invalidSyntax` when it is not one, `invalidPath` for a bad path, `noTarget`
/// for a remove without a path, `invalidValue` for an add or replace without a value.
pub fn parse(body: &[u8]) -> Result<Patch, ScimError> {
    let body = dialect::read(body)?;
    let names_patch = |list: &Vec<Value>| {
        list.iter().filter_map(Value::as_str).any(|urn| urn.eq_ignore_ascii_case(PATCH_URN))
    };
    if get(&body, "schemas").is_some_and(|schemas| !schemas.as_array().is_some_and(names_patch)) {
        return Err(syntax("schemas must name the PatchOp message"));
    }
    let Some(Value::Array(list)) = get(&body, "Operations") else {
        return Err(syntax("Operations must be a list"));
    };
    if list.is_empty() {
        return Err(syntax("Operations must not be empty"));
    }
    if list.len() > OPERATIONS_MAX {
        let detail = format!("at most {OPERATIONS_MAX} operations");
        return Err(ScimError::of(Problem::TooManyOperations, detail));
    }
    let read =
        |(n, one): (usize, &Value)| operation(one).map_err(|error| error.at(format!("Operations[{n}]")));
    let operations = list.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    if operations.iter().map(Operation::terms).sum::<usize>() > TERMS_MAX {
        let detail = format!("at most {TERMS_MAX} comparisons in the paths of one request");
        return Err(ScimError::of(Problem::TooManyOperations, detail));
    }
    Ok(Patch { operations })
}

fn operation(sent: &Value) -> Result<Operation, ScimError> {
    let sent = sent.as_object().ok_or_else(|| syntax("an operation must be an object"))?;
    let op = get(sent, "op").and_then(Value::as_str).ok_or_else(|| syntax("an operation needs op"))?;
    let path = match get(sent, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if path.trim().is_empty() => None,
        Some(Value::String(path)) => Some(Path::parse(path)?),
        Some(_) => return Err(ScimError::of(Problem::PathSyntax, "path must be text")),
    };
    let value = get(sent, "value").cloned();
    let verb = match op.to_ascii_lowercase().as_str() {
        "add" => Verb::Add,
        "replace" => Verb::Replace,
        "remove" => {
            let path = path.ok_or_else(|| ScimError::of(Problem::PathMissing, "remove needs a path"))?;
            return Ok(Operation::Remove { path, value });
        }
        _ => return Err(syntax("op must be add, replace or remove")),
    };
    let value = value.ok_or_else(|| ScimError::of(Problem::ValueMissing, format!("{op} needs a value")))?;
    match (path, value) {
        (Some(path), value) => Ok(Operation::Assign { verb, path, value }),
        (None, Value::Object(values)) => Ok(Operation::AssignAll { verb, values }),
        (None, _) => Err(ScimError::of(Problem::ValueWrong, "without a path the value must be an object")),
    }
}

/// The user after the patch, and what it did. The given document is not touched: on an error nothing
/// has happened. Errors as RFC 7644 3.5.2.1 to 3.5.2.3 name them.
pub fn apply(patch: &Patch, document: &UserDocument) -> Result<(UserDocument, PatchOutcome), ScimError> {
    let mut attributes = document.attributes.clone();
    for (n, operation) in patch.operations.iter().enumerate() {
        let done = match operation {
            Operation::Assign { verb, path, value } => {
                edit::assign(&mut attributes, *verb, path, value.clone())
            }
            Operation::AssignAll { verb, values } => edit::assign_all(&mut attributes, *verb, values.clone()),
            Operation::Remove { path, value } => edit::remove(&mut attributes, path, value.as_ref()),
        };
        done.map_err(|error| error.at(format!("Operations[{n}]")))?;
    }
    UserDraft::promote(attributes)?.replace(document)
}

/// What the patch asks of a group, in order, as changes to rows. Never looks at the group.
pub fn group_changes(patch: &Patch) -> Result<GroupChange, ScimError> {
    group::changes(patch)
}
