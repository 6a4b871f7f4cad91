//! Bulk requests (RFC 7644 3.7): from one body to operations, each to be done as its own request would be, and
//! the order in which they can be: what is made before what refers to it by `bulkId:`.

use crate::{Kind, Object, Problem, ScimError, dialect};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The message's own schemas.
pub const REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
pub const RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// Most operations of one request; each is a commit of its own.
pub const OPERATIONS_MAX: usize = 1_000;

const PREFIX: &str = "bulkId:";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    const ALL: [Self; 4] = [Self::Post, Self::Put, Self::Patch, Self::Delete];
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// One operation as it was asked for.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: Method,
    pub bulk_id: Option<String>,
    /// As of `If-Match`.
    pub version: Option<String>,
    pub kind: Kind,
    /// Which resource: none for a POST. May be `bulkId:…`.
    id: Option<String>,
    data: Option<Object>,
    /// Every `bulkId:` in the two that is not known to be made.
    names: BTreeSet<String>,
}

/// A request whose every operation can be read.
#[derive(Clone, Debug)]
pub struct Bulk {
    pub operations: Vec<Operation>,
    /// After so many errors the rest is left undone.
    pub fail_on_errors: Option<usize>,
}

/// What can be done with the operation whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It can be done: here is its resource and its body.
    Ready { id: Option<String>, body: Vec<u8> },
    /// It waits for this one, and nobody who is left can go first.
    Circular(String),
    /// It never can: no operation makes this, or the one that should have has failed.
    Never(String),
}

/// What became of the operations that make something, by `bulkId`: the id, or none.
type Made = BTreeMap<String, Option<String>>;

/// Those still to be done, in rounds: each round goes through the request in its order and takes whoever waits
/// for nobody by then. An operation is looked at once, and once more for each name that it waits for, so that a
/// request costs as many looks as it has operations and references: these are bounded by its body.
#[derive(Debug)]
pub struct Line {
    /// By place in the request, from 1.
    left: BTreeMap<usize, Operation>,
    /// The `bulkId`s of what is left and makes something.
    to_come: BTreeSet<String>,
    made: Made,
    /// Places, by the one name that each waits for at present.
    waiting: BTreeMap<String, Vec<usize>>,
    ready: BTreeSet<Position>,
    at: Position,
    #[cfg(test)]
    looks: usize,
}

/// Round and place.
type Position = (usize, usize);

/// When the place's turn comes round again.
const fn after((round, at): Position, place: usize) -> Position {
    if place > at { (round, place) } else { (round.saturating_add(1), place) }
}

fn syntax(detail: impl fmt::Display) -> ScimError {
    ScimError::of(Problem::BulkSyntax, detail)
}

fn wrong(at: usize, what: &str) -> ScimError {
    syntax(format!("Operations[{at}]: {what}"))
}

fn text(object: &Object, name: &str) -> Option<Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
}

/// Reads a BulkRequest. An error is of the whole request: nothing of it is done.
pub fn parse(body: &[u8]) -> Result<Bulk, ScimError> {
    let request = dialect::read(body)?;
    let fail_on_errors = match text(&request, "failOnErrors") {
        None | Some(Value::Null) => None,
        Some(count) => Some(
            count
                .as_u64()
                .filter(|count| *count > 0)
                .and_then(|n| usize::try_from(n).ok())
                .ok_or_else(|| syntax("failOnErrors is a whole number above 0"))?,
        ),
    };
    let Some(Value::Array(listed)) = text(&request, "Operations") else {
        return Err(syntax("Operations is a list of operations"));
    };
    if listed.len() > OPERATIONS_MAX {
        let said = format!("{} operations; at most {OPERATIONS_MAX}", listed.len());
        return Err(ScimError::of(Problem::TooManyOperations, said));
    }
    let mut operations = Vec::with_capacity(listed.len());
    let mut names = BTreeSet::new();
    for (at, one) in listed.into_iter().enumerate() {
        let operation = operation(at, one)?;
        if let Some(name) = &operation.bulk_id
            && operation.method == Method::Post
            && !names.insert(name.clone())
        {
            return Err(wrong(at, "another operation has the same bulkId"));
        }
        operations.push(operation);
    }
    Ok(Bulk { operations, fail_on_errors })
}

fn operation(at: usize, one: Value) -> Result<Operation, ScimError> {
    let Value::Object(one) = one else { return Err(wrong(at, "an operation is an object")) };
    let word = |name: &str| match text(&one, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) => Ok(Some(word)),
        Some(_) => Err(wrong(at, &format!("{name} is a text"))),
    };
    let said = word("method")?.ok_or_else(|| wrong(at, "method is missing"))?;
    let method = Method::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(&said));
    let method = method.ok_or_else(|| wrong(at, "method is POST, PUT, PATCH or DELETE"))?;
    let path = word("path")?.ok_or_else(|| wrong(at, "path is missing"))?;
    let mut steps = path.trim_start_matches('/').splitn(2, '/');
    let kind = match steps.next() {
        Some("Users") => Kind::User,
        Some("Groups") => Kind::Group,
        _ => return Err(wrong(at, "path begins with /Users or /Groups")),
    };
    let id = steps.next().filter(|id| !id.is_empty()).map(str::to_owned);
    let bulk_id = word("bulkId")?;
    match (method, &id, &bulk_id) {
        (Method::Post, Some(_), _) => return Err(wrong(at, "a POST is to /Users or /Groups themselves")),
        (Method::Post, None, None) => return Err(wrong(at, "bulkId is missing: a POST needs one")),
        (Method::Put | Method::Patch | Method::Delete, None, _) => {
            return Err(wrong(at, "path names no resource"));
        }
        _ => {}
    }
    let data = match (text(&one, "data"), method) {
        (Some(Value::Object(data)), _) => Some(data),
        (None | Some(Value::Null), Method::Delete) => None,
        (None | Some(Value::Null), _) => return Err(wrong(at, "data is missing")),
        (Some(_), _) => return Err(wrong(at, "data is an object")),
    };
    let mut names = BTreeSet::new();
    names.extend(id.as_deref().and_then(|id| id.strip_prefix(PREFIX)).map(str::to_owned));
    data.iter().flat_map(Object::values).for_each(|value| named(value, &mut names));
    Ok(Operation { method, bulk_id, version: word("version")?, kind, id, data, names })
}

impl Operation {
    /// What it makes, for others to refer to.
    fn makes(&self) -> Option<&String> {
        self.bulk_id.as_ref().filter(|_| self.method == Method::Post)
    }
}

impl Line {
    /// All of a request that `parse` has read: no two of them make the same `bulkId`.
    pub fn new(operations: Vec<Operation>) -> Self {
        let to_come = operations.iter().filter_map(Operation::makes).cloned().collect();
        let left: BTreeMap<usize, Operation> = (1..).zip(operations).collect();
        let places: Vec<usize> = left.keys().copied().collect();
        let mut line = Self {
            left,
            to_come,
            made: Made::new(),
            waiting: BTreeMap::new(),
            ready: BTreeSet::new(),
            at: (0, 0),
            #[cfg(test)]
            looks: 0,
        };
        places.into_iter().for_each(|place| line.look(place));
        line
    }

    /// Whose turn it is; none when all are done. When all who are left wait, it is whoever is asked last in the
    /// round, and is refused. Before the next turn, `done` says what became of it.
    pub fn advance(&mut self) -> Option<(Operation, Turn)> {
        let (_, at) = self.at;
        let position = self.ready.pop_first().or_else(|| {
            let last = self.left.range(..at).next_back().or_else(|| self.left.last_key_value());
            last.map(|(place, _)| after(self.at, *place))
        })?;
        self.at = position;
        let mut operation = self.left.remove(&position.1)?;
        let turn = match operation.names.first() {
            Some(name) if self.to_come.contains(name) => Turn::Circular(name.clone()),
            Some(name) => Turn::Never(name.clone()),
            None => {
                let id = operation.id.take().map(|id| resolved(id, &self.made));
                let mut data = Value::Object(operation.data.take().unwrap_or_default());
                replace(&mut data, &self.made);
                Turn::Ready { id, body: data.to_string().into_bytes() }
            }
        };
        Some((operation, turn))
    }

    /// The operation is done and has made this, or has failed.
    pub fn done(&mut self, operation: &Operation, id: Option<String>) {
        let Some(name) = operation.makes() else { return };
        self.to_come.remove(name);
        self.made.insert(name.clone(), id);
        for place in self.waiting.remove(name).unwrap_or_default() {
            self.look(place);
        }
    }

    /// Lets it wait for the first of its names that is still to come, or be ready: to be done, or to be refused.
    fn look(&mut self, place: usize) {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        let Some(operation) = self.left.get_mut(&place) else { return };
        while let Some(name) = operation.names.first()
            && matches!(self.made.get(name), Some(Some(_)))
        {
            operation.names.pop_first();
        }
        match operation.names.first() {
            Some(name) if self.to_come.contains(name) => {
                self.waiting.entry(name.clone()).or_default().push(place);
            }
            _ => {
                self.ready.insert(after(self.at, place));
            }
        }
    }
}

fn resolved(text: String, made: &Made) -> String {
    let id = text.strip_prefix(PREFIX).and_then(|name| made.get(name)).and_then(Clone::clone);
    id.unwrap_or(text)
}

/// Every `bulkId:` in it. The depth of the body is bounded.
fn named(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => names.extend(text.strip_prefix(PREFIX).map(str::to_owned)),
        Value::Array(all) => all.iter().for_each(|one| named(one, names)),
        Value::Object(all) => all.values().for_each(|one| named(one, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replace(value: &mut Value, made: &Made) {
    match value {
        Value::String(text) => *text = resolved(std::mem::take(text), made),
        Value::Array(all) => all.iter_mut().for_each(|one| replace(one, made)),
        Value::Object(all) => all.values_mut().for_each(|one| replace(one, made)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
