//! A group as SCIM knows one: a name, the directory's own id, and users as members. Members are rows,
//! never a list in a document: a PATCH becomes additions and removals that cost what they change, not
//! what the group holds. Who is a member is decided by user id alone; an entry that is not the id of
//! a user here is refused, never created (RFC 7643 4.2, RFC 7644 3.5.2).

use crate::{
    Filter, GROUP_URN, Kind, Meta, Object, Problem, Projection, Reference, ScimError,
    canon::text_of,
    dialect,
    edit::Verb,
    filter::Op,
    patch::{Operation, Patch},
    path::Path,
    user::bounded,
};
use model::ids::{GroupId, UserId};
use serde_json::Value;
use std::collections::HashSet;

/// What a client says a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDraft {
    pub display_name: String,
    pub external_id: Option<String>,
    /// Each once, in the order sent.
    pub members: Vec<UserId>,
}

/// One step of a change of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    Add(Vec<UserId>),
    /// Those that are members go; the others were not there.
    Remove(Vec<UserId>),
    RemoveAll,
    Replace(Vec<UserId>),
}

/// A PATCH of a group. The steps of `members` are done in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GroupChange {
    pub rename: Option<String>,
    /// `Some(None)` clears it.
    pub external_id: Option<Option<String>>,
    pub members: Vec<MemberChange>,
}

/// Reads a POST or PUT body. Errors as `dialect::read`; `invalidValue` when displayName is missing or
/// a member is not the id of a user.
pub fn parse(body: &[u8]) -> Result<GroupDraft, ScimError> {
    let body = dialect::read(body)?;
    let mut change = GroupChange::default();
    change.assign_all(Verb::Replace, &body)?;
    let missing = || ScimError::of(Problem::ValueMissing, "displayName: a name is required");
    let members = change.members.pop().map_or_else(Vec::new, |step| match step {
        MemberChange::Add(ids) | MemberChange::Replace(ids) => ids,
        MemberChange::Remove(_) | MemberChange::RemoveAll => Vec::new(),
    });
    Ok(GroupDraft {
        display_name: change.rename.ok_or_else(missing)?,
        external_id: change.external_id.flatten(),
        members,
    })
}

pub(crate) fn changes(patch: &Patch) -> Result<GroupChange, ScimError> {
    let mut change = GroupChange::default();
    for (n, operation) in patch.operations.iter().enumerate() {
        let done = match operation {
            Operation::AssignAll { verb, values } => change.assign_all(*verb, values),
            Operation::Assign { verb, path, value } => change.assign(*verb, path, value),
            Operation::Remove { path, value } => change.remove(path, value.as_ref()),
        };
        done.map_err(|error| error.at(format!("Operations[{n}]")))?;
    }
    Ok(change)
}

enum Target {
    DisplayName,
    ExternalId,
    Members,
    Whole,
    Ignored,
}

fn target(path: &Path) -> Result<Target, ScimError> {
    let attr = &path.attr;
    let is = |name: &str| attr.is_core_of(Kind::Group) && attr.name.eq_ignore_ascii_case(name);
    let found = match () {
        () if is("members") => return Ok(Target::Members),
        () if is("displayName") => Target::DisplayName,
        () if is("externalId") => Target::ExternalId,
        () if is("schemas") => Target::Ignored,
        () if is("") => Target::Whole,
        () if is("id") || is("meta") => {
            return Err(ScimError::of(Problem::Mutability, format!("{} is read-only", attr.name)));
        }
        () => return Err(unknown(path)),
    };
    if path.filter.is_some() || attr.sub.is_some() { Err(unknown(path)) } else { Ok(found) }
}

fn unknown(path: &Path) -> ScimError {
    ScimError::of(Problem::PathUnknown, format!("no such attribute of a group: {}", path.attr.name))
}

impl GroupChange {
    /// Does the patch ask for nothing at all?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Okta's rename is an object with `id` in it, Entra's groups carry a schema of its own: what is
    /// read-only or unknown is passed over. Members that are not named are not touched.
    fn assign_all(&mut self, verb: Verb, values: &Object) -> Result<(), ScimError> {
        for (key, value) in values {
            let Ok(path) = Path::parse(key) else { continue };
            match target(&path) {
                Ok(Target::Whole | Target::Ignored) | Err(_) => {}
                Ok(Target::DisplayName | Target::ExternalId | Target::Members) => {
                    self.assign(verb, &path, value)?
                }
            }
        }
        Ok(())
    }

    fn assign(&mut self, verb: Verb, path: &Path, value: &Value) -> Result<(), ScimError> {
        match target(path)? {
            Target::Ignored => {}
            Target::Whole => match value {
                Value::Object(values) => self.assign_all(verb, values)?,
                other => {
                    let error = ScimError::of(Problem::ValueWrong, "an object of attributes is expected");
                    return Err(error.received(other).at(GROUP_URN));
                }
            },
            Target::DisplayName => self.rename = Some(display_name(value)?),
            Target::ExternalId => self.external_id = Some(external_id(value)?),
            Target::Members if path.filter.is_some() || path.attr.sub.is_some() => {
                let detail = "members: an entry is added or removed whole, never changed";
                return Err(ScimError::of(Problem::Mutability, detail));
            }
            Target::Members => {
                let ids = members(value)?;
                match verb {
                    Verb::Add if ids.is_empty() => {}
                    Verb::Add => self.members.push(MemberChange::Add(ids)),
                    Verb::Replace => self.members.push(MemberChange::Replace(ids)),
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, path: &Path, value: Option<&Value>) -> Result<(), ScimError> {
        match target(path)? {
            Target::Ignored => {}
            Target::Whole => return Err(ScimError::of(Problem::PathMissing, "remove needs an attribute")),
            Target::DisplayName => {
                return Err(ScimError::of(
                    Problem::Mutability,
                    "displayName: it is required and cannot be removed",
                ));
            }
            Target::ExternalId => self.external_id = Some(None),
            Target::Members if path.attr.sub.is_some() => {
                return Err(ScimError::of(Problem::Mutability, "members: an entry is removed whole"));
            }
            Target::Members => match (&path.filter, value) {
                (Some(filter), _) => {
                    let mut ids = Vec::new();
                    chosen(filter, &mut ids)?;
                    self.push_removal(ids);
                }
                // Entra names whom to remove in the value. Read without it, this empties the group.
                (None, Some(value)) if !value.is_null() => self.push_removal(removed(value)?),
                (None, _) => self.members.push(MemberChange::RemoveAll),
            },
        }
        Ok(())
    }

    fn push_removal(&mut self, ids: Vec<UserId>) {
        if !ids.is_empty() {
            self.members.push(MemberChange::Remove(ids));
        }
    }
}

fn display_name(value: &Value) -> Result<String, ScimError> {
    let missing = || ScimError::of(Problem::ValueMissing, "displayName: a name is required").received(value);
    let text = value.as_str().filter(|name| !name.trim().is_empty()).ok_or_else(missing)?;
    bounded("displayName", Some(text))?.ok_or_else(missing)
}

fn external_id(value: &Value) -> Result<Option<String>, ScimError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => bounded("externalId", Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(ScimError::of(Problem::ValueWrong, "text is expected").received(value).at("externalId"))
        }
    }
}

/// The ids in a list of members, each once. A lone entry or bare string counts as a list of one.
fn members(value: &Value) -> Result<Vec<UserId>, ScimError> {
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for entry in entries(value) {
        let id = user_id(entry_text(entry)?)?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Whom a removal names. What is not the id of a user is nobody's, so there is nothing to remove.
fn removed(value: &Value) -> Result<Vec<UserId>, ScimError> {
    let texts = entries(value).iter().map(entry_text).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.into_iter().filter_map(|text| text.parse().ok()).collect())
}

fn entries(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(list) => list,
        one => std::slice::from_ref(one),
    }
}

fn entry_text(entry: &Value) -> Result<&str, ScimError> {
    let text = match entry {
        Value::String(text) => Some(text.as_str()),
        Value::Object(entry) => {
            if text_of(entry, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("group")) {
                return Err(nested());
            }
            text_of(entry, "value")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    let wrong =
        || ScimError::of(Problem::ValueWrong, "the id of a user is expected as value").received(entry);
    text.ok_or_else(|| wrong().at("members"))
}

fn user_id(text: &str) -> Result<UserId, ScimError> {
    let unknown = || ScimError::of(Problem::MemberUnknown, "members: no user has this id");
    text.parse().map_err(|_| match text.parse::<GroupId>() {
        Ok(_) => nested(),
        Err(_) => unknown().received(&Value::from(text)),
    })
}

fn nested() -> ScimError {
    ScimError::of(Problem::GroupInGroup, "members: a group cannot be a member of a group")
}

/// The ids in `members[value eq "a" or value eq "b"]`. Any other filter would need the members.
fn chosen(filter: &Filter, ids: &mut Vec<UserId>) -> Result<(), ScimError> {
    match filter {
        Filter::Or(all) => all.iter().try_for_each(|one| chosen(one, ids)),
        Filter::Compare { path, op: Op::Eq, value: Value::String(text) } if path.is("value", None) => {
            ids.extend(text.parse::<UserId>().ok());
            Ok(())
        }
        Filter::Compare { .. }
        | Filter::Present(_)
        | Filter::Some { .. }
        | Filter::And(_)
        | Filter::Not(_) => {
            Err(ScimError::of(Problem::PathUnknown, "members: they are chosen by value eq \"id\" alone"))
        }
    }
}

/// The resource as a client reads it (RFC 7643 4.2). `members` is `None` when they were not loaded.
pub fn render(
    id: &str,
    (display_name, external_id): (&str, Option<&str>),
    meta: &Meta,
    members: Option<&[Reference]>,
    projection: &Projection,
) -> Value {
    let mut resource = Object::new();
    resource.insert("schemas".into(), Value::from(vec![GROUP_URN]));
    resource.insert("id".into(), Value::from(id));
    resource.insert("displayName".into(), Value::from(display_name));
    resource.extend(external_id.map(|text| ("externalId".to_owned(), Value::from(text))));
    resource.insert("meta".into(), meta.render("Group"));
    if let Some(members) = members {
        resource.insert("members".into(), members.iter().map(|member| member.render("User")).collect());
    }
    projection.apply(resource)
}
