//! What a handler of `/api/v1` answers: the response together with the type it was written from, which
//! is what `GET /api/openapi.json` describes. A handler cannot answer what is not described.

use super::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, Responder, body::BoxBody};
use model::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::{borrow::Cow, marker::PhantomData};

/// A response whose body is a `T`.
pub struct Told<T> {
    response: HttpResponse,
    written_from: PhantomData<fn() -> T>,
}

pub type Reply<T> = Result<Told<T>, Problem>;

impl<T> Told<T> {
    /// Whoever calls it has written the body from a `T`, or reads it from where one was kept.
    pub(super) const fn assertion(response: HttpResponse) -> Self {
        Self { response, written_from: PhantomData }
    }
}

impl<T: Serialize> Told<T> {
    /// 200 with this.
    pub fn shown(value: &T) -> Self {
        Self::assertion(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(value))
    }
}

impl<T> Responder for Told<T> {
    type Body = BoxBody;
    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.response
    }
}

/// What can be answered.
pub trait Answer: 'static {
    /// Its schema by media type.
    fn content(schemas: &mut SchemaGenerator) -> Map<String, Value>;
}

impl<T: JsonSchema + 'static> Answer for T {
    fn content(schemas: &mut SchemaGenerator) -> Map<String, Value> {
        let json = json!({"schema": schemas.subschema_for::<T>()});
        Map::from_iter([("application/json".to_owned(), json)])
    }
}

/// A page of a list, or a list that has one page.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    pub data: Vec<T>,
    /// The next page's `cursor`; `null` on the last one.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    pub const fn whole(data: Vec<T>) -> Self {
        Self { data, next_cursor: None }
    }
}

/// A secret in the one answer that shows it.
pub struct Once(pub Secret<String>);

impl Serialize for Once {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.0.reveal())
    }
}

impl JsonSchema for Once {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Once".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "Shown in this answer alone."})
    }
}
