//! The table of `/api/v1`: each operation once, with the scope its door asks, the body it reads, and the
//! codes it refuses with. The routes are made from it, the doors ask it, and `GET /api/openapi.json` is
//! written from it. What it answers is not written down here: it is the type that its handler gives.

use super::{
    DoorKind, Entry, Made,
    admin::Ask,
    admin_apps, admin_connections, admin_directories, admin_keys, admin_orgs, admin_people, admin_plans,
    admin_requests, admin_service_accounts, audit, feed,
    openapi_document::describe,
    told::{Answer, Reply, Told},
};
use actix_web::{HttpResponse, Route, http::Method, web};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
    const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// What a body may look like: the schema of what it is read as, and examples.
#[derive(Clone, Copy)]
pub struct Body {
    pub examples: &'static [&'static str],
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
}

pub const fn body<T: DeserializeOwned + JsonSchema>(examples: &'static [&'static str]) -> Body {
    Body { examples, schema: SchemaGenerator::subschema_for::<T> }
}

/// A handler, and what it answers.
pub struct Served {
    pub route: Route,
    pub(super) content: fn(&mut SchemaGenerator) -> Map<String, Value>,
}

pub fn to<F, Fut, T>(handler: F) -> Served
where
    F: Fn(Ask) -> Fut + Clone + 'static,
    Fut: Future<Output = Reply<T>> + 'static,
    T: Answer,
{
    Served { route: web::to(handler), content: T::content }
}

/// One operation of `/api/v1`.
#[derive(Clone, Copy)]
pub struct Operation {
    pub verb: Verb,
    pub path: &'static str,
    pub door: DoorKind,
    /// The scope an org key needs; none where only the platform's key or anybody passes.
    pub scope: &'static str,
    pub summary: &'static str,
    /// What a client that is made from the description calls it.
    pub name: &'static str,
    pub status: u16,
    pub body: Option<Body>,
    /// The query's fields: any other is refused.
    pub query: &'static [&'static str],
    /// Codes of its own, beside those that every call of its kind has: 400, 409 and 422.
    pub misreads: &'static [&'static str],
    pub conflicts: &'static [&'static str],
    pub refuses: &'static [&'static [&'static str]],
    pub(super) served: fn() -> Served,
}

/// An operation on an org, by its key with this scope or by the platform's. A platform key alone
/// where `scope` is empty.
pub const fn operation(
    verb: Verb,
    path: &'static str,
    scope: &'static str,
    summary: &'static str,
    served: fn() -> Served,
) -> Operation {
    let door = if scope.is_empty() { DoorKind::Platform } else { DoorKind::Org };
    let status = match verb {
        Verb::Post => 201,
        Verb::Delete => 204,
        Verb::Get | Verb::Put | Verb::Patch => 200,
    };
    Operation {
        verb,
        path,
        door,
        scope,
        summary,
        name: "",
        status,
        body: None,
        query: &[],
        misreads: &[],
        conflicts: &[],
        refuses: &[],
        served,
    }
}

impl Operation {
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }
    #[must_use]
    pub const fn reading(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }
    #[must_use]
    pub const fn answering(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
    #[must_use]
    pub const fn asking(mut self, query: &'static [&'static str]) -> Self {
        self.query = query;
        self
    }
    /// 400 with one of these, too.
    #[must_use]
    pub const fn misreading(mut self, codes: &'static [&'static str]) -> Self {
        self.misreads = codes;
        self
    }
    /// 409 with one of these, too.
    #[must_use]
    pub const fn conflicting(mut self, codes: &'static [&'static str]) -> Self {
        self.conflicts = codes;
        self
    }
    /// 422 with one of these, too.
    #[must_use]
    pub const fn refusing(mut self, codes: &'static [&'static [&'static str]]) -> Self {
        self.refuses = codes;
        self
    }
    /// By an app, which proves itself as at the token endpoint.
    #[must_use]
    pub const fn by_client(mut self) -> Self {
        self.door = DoorKind::Client;
        self
    }
    #[must_use]
    pub const fn open(mut self) -> Self {
        self.door = DoorKind::Open;
        self
    }
}

/// What every list asks.
pub const PAGED: &[&str] = &["limit", "cursor"];

const OWN: &[Operation] =
    &[operation(Verb::Get, "/api/openapi.json", "", "This description", || to(document))
        .named("describe")
        .open()];

/// The operations by what they are about.
pub(super) const FACES: &[(&str, &[Operation])] = &[
    ("Orgs", admin_orgs::OPERATIONS),
    ("Plans", admin_plans::OPERATIONS),
    ("Connections", admin_connections::OPERATIONS),
    ("Directories", admin_directories::OPERATIONS),
    ("Request log", admin_requests::OPERATIONS),
    ("Keys and webhooks", admin_keys::OPERATIONS),
    ("Service accounts", admin_service_accounts::OPERATIONS),
    ("People and teams", admin_people::OPERATIONS),
    ("The platform", admin_apps::OPERATIONS),
    ("Audit and usage", audit::OPERATIONS),
    ("Revocations", feed::OPERATIONS),
    ("This description", OWN),
];

pub fn operations() -> impl Iterator<Item = &'static Operation> {
    FACES.iter().flat_map(|(_, operations)| *operations)
}

/// The same as lines of the one route table.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let entry = |o: &'static Operation| Entry {
            method: o.verb.method(),
            path: o.path,
            door: o.door,
            made: Made::Served(o.served),
        };
        operations().map(entry).collect()
    });
    ENTRIES.iter()
}

async fn document(_: Ask) -> Reply<Map<String, Value>> {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| describe().to_string());
    Ok(Told::assertion(HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_scope_can_be_given_to_a_key_and_every_operation_stands_once() {
        let mut seen = BTreeSet::new();
        for operation in operations() {
            assert!(seen.insert((operation.path, operation.verb.as_str())), "{}", operation.path);
            let known = broker::administer::KEY_SCOPES.contains(&operation.scope);
            assert_eq!(operation.door == DoorKind::Org, known, "{} {}", operation.path, operation.scope);
            let on_an_org = operation.path.starts_with("/api/v1/orgs/{org}");
            assert!(operation.door != DoorKind::Org || on_an_org, "{}", operation.path);
        }
        for scope in broker::administer::KEY_SCOPES.iter().filter(|s| **s != "*") {
            assert!(operations().any(|o| o.scope == *scope), "{scope} opens nothing");
        }
    }
}
