//! Bulk requests (RFC 7644 3.7): from one body to operations, each to be done as its own request would be, and
//! the order in which they can be: what is made before what refers to it by `bulkId:`.

use crate::{Kind, Object, Problem, ScimError, dialect};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

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
    pub id: Option<String>,
    data: Option<Object>,
}

/// A request whose every operation can be read.
#[derive(Clone, Debug)]
pub struct Bulk {
    pub operations: Vec<Operation>,
    /// After so many errors the rest is left undone.
    pub fail_on_errors: Option<usize>,
}

/// Why an operation cannot be done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// For nothing: here is its resource and its body.
    Ready { id: Option<String>, body: Vec<u8> },
    /// For one that is still to be done.
    For(String),
    /// It never can: no operation makes this, or the one that should have has failed.
    Never(String),
}

/// What became of the operations that make something, by `bulkId`: the id, or none.
pub type Made = BTreeMap<String, Option<String>>;

fn wrong(at: usize, what: &str) -> ScimError {
    ScimError::of(Problem::ValueWrong, format!("Operations[{at}]: {what}"))
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
                .ok_or(ScimError::of(Problem::ValueWrong, "failOnErrors is a whole number above 0"))?,
        ),
    };
    let Some(Value::Array(listed)) = text(&request, "Operations") else {
        return Err(ScimError::of(Problem::ValueMissing, "Operations is a list of operations"));
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
    Ok(Operation { method, bulk_id, version: word("version")?, kind, id, data })
}

impl Operation {
    /// Can it be done, when these have been made of all that are to be?
    pub fn waits(&self, made: &Made, to_come: &BTreeSet<String>) -> Waits {
        let mut names = BTreeSet::new();
        names.extend(self.id.as_deref().and_then(|id| id.strip_prefix(PREFIX)).map(str::to_owned));
        if let Some(data) = &self.data {
            data.values().for_each(|value| named(value, &mut names));
        }
        for name in &names {
            match made.get(name) {
                Some(Some(_)) => {}
                Some(None) => return Waits::Never(name.clone()),
                None if to_come.contains(name) => return Waits::For(name.clone()),
                None => return Waits::Never(name.clone()),
            }
        }
        let id = self.id.clone().map(|id| resolved(id, made));
        let mut data = Value::Object(self.data.clone().unwrap_or_default());
        replace(&mut data, made);
        Waits::Ready { id, body: data.to_string().into_bytes() }
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
mod tests {
    use super::*;
    use serde_json::json;

    fn bulk(operations: Value) -> Result<Bulk, ScimError> {
        parse(json!({"schemas": [REQUEST_URN], "Operations": operations}).to_string().as_bytes())
    }

    #[test]
    fn what_refers_waits_for_what_is_to_come_and_gives_up_on_what_is_not() {
        let read = bulk(json!([
            {"method": "post", "path": "/Groups", "bulkId": "g", "data": {"members": [{"value": "bulkId:u"}]}},
            {"method": "PATCH", "path": "Users/bulkId:u", "data": {"x": 1}},
        ]))
        .unwrap();
        let [group, user] = read.operations.as_slice() else { panic!("two") };
        let to_come = BTreeSet::from(["u".to_owned()]);
        assert_eq!(group.waits(&Made::new(), &to_come), Waits::For("u".into()));
        assert_eq!(group.waits(&Made::new(), &BTreeSet::new()), Waits::Never("u".into()));
        assert_eq!(user.waits(&Made::from([("u".into(), None)]), &to_come), Waits::Never("u".into()));
        let made = Made::from([("u".into(), Some("usr_1".into()))]);
        let Waits::Ready { id, body } = group.waits(&made, &to_come) else { panic!("ready") };
        assert_eq!((id, body), (None, br#"{"members":[{"value":"usr_1"}]}"#.to_vec()));
        let Waits::Ready { id, .. } = user.waits(&made, &to_come) else { panic!("ready") };
        assert_eq!(id.as_deref(), Some("usr_1"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        let data = json!({"userName": "a"});
        for wrong in [
            json!([1]),
            json!([{"path": "/Users", "bulkId": "a", "data": data}]),
            json!([{"method": "GET", "path": "/Users/x"}]),
            json!([{"method": "POST", "path": "/Users", "data": data}]),
            json!([{"method": "POST", "path": "/Users/x", "bulkId": "a", "data": data}]),
            json!([{"method": "POST", "path": "/Teams", "bulkId": "a", "data": data}]),
            json!([{"method": "DELETE", "path": "/Users"}]),
            json!([{"method": "PUT", "path": "/Users/x"}]),
            json!([{"method": "PUT", "path": "/Users/x", "data": []}]),
            json!([{"method": "POST", "path": "/Users", "bulkId": 1, "data": data}]),
            json!([{"method": "POST", "path": "/Users", "bulkId": "a", "data": data},
                   {"method": "POST", "path": "/Users", "bulkId": "a", "data": data}]),
        ] {
            let said = bulk(wrong.clone()).expect_err(&wrong.to_string());
            assert!(said.detail.contains("Operations["), "{wrong}: {said:?}");
        }
        let many = |count: usize| json!(vec![json!({"method": "DELETE", "path": "/Users/x"}); count]);
        assert!(bulk(many(OPERATIONS_MAX)).is_ok());
        assert_eq!(bulk(many(OPERATIONS_MAX + 1)).unwrap_err().status, 413);
        for count in [json!(0), json!(-1), json!("1")] {
            let body = json!({"failOnErrors": count, "Operations": []});
            assert!(parse(body.to_string().as_bytes()).is_err());
        }
    }
}
