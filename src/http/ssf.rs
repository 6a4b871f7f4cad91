//! Shared Signals out, as an app asks for it (Shared Signals Framework 1.0, 7 and 8.1): what we are, our events'
//! keys, and the app's own stream. The app proves itself as at introspection.

use super::{
    DoorKind, Entry,
    Made::Plain,
    client_auth::confidential,
    guard::facts,
    oauth_error, shielded,
    token::{Body, whole},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web::{self, Data},
};
use broker::{
    FlowError, Gateway,
    streams::{self, EVENTS, PUSH, StreamBody, VERIFICATION_SECS_MIN, missing, unreadable},
};
use model::{ids::AppId, members::Members};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use store::Stream;

const fn open(path: &'static str, made: fn() -> actix_web::Route) -> Entry {
    Entry { method: Method::GET, path, door: DoorKind::Open, made: Plain(made) }
}

const fn by_app(method: Method, path: &'static str, made: fn() -> actix_web::Route) -> Entry {
    Entry { method, path, door: DoorKind::Client, made: Plain(made) }
}

pub const ROUTES: &[Entry] = &[
    open("/.well-known/ssf-configuration", || web::route().to(configuration)),
    open("/ssf/jwks", || web::route().to(jwks)),
    by_app(Method::POST, "/ssf/streams", || web::route().to(create)),
    by_app(Method::GET, "/ssf/streams", || web::route().to(read)),
    by_app(Method::PATCH, "/ssf/streams", || web::route().to(change)),
    by_app(Method::PUT, "/ssf/streams", || web::route().to(change)),
    by_app(Method::DELETE, "/ssf/streams", || web::route().to(remove)),
    by_app(Method::GET, "/ssf/status", || web::route().to(status)),
    by_app(Method::POST, "/ssf/status", || web::route().to(set_status)),
    by_app(Method::POST, "/ssf/verify", || web::route().to(verify)),
];

/// A stream's settings fit into a fraction of it.
const BODY_BYTES_MAX: usize = 32 * 1024;

async fn configuration(gw: Data<Gateway>) -> HttpResponse {
    let at = |path: &str| gw.links.at(path);
    HttpResponse::Ok().insert_header(("Cache-Control", "public, max-age=300")).json(json!({
        "spec_version": "1_0",
        "issuer": gw.links.issuer(),
        "jwks_uri": at("/ssf/jwks"),
        "delivery_methods_supported": [PUSH],
        "configuration_endpoint": at("/ssf/streams"),
        "status_endpoint": at("/ssf/status"),
        "verification_endpoint": at("/ssf/verify"),
        "critical_subject_members": ["user"],
        "default_subjects": "ALL",
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
    }))
}

async fn jwks(gw: Data<Gateway>) -> HttpResponse {
    let story = gw.get_ref().clone();
    match shielded(async move { story.set_key().await }).await {
        Ok(key) => HttpResponse::Ok()
            .insert_header(("Cache-Control", "public, max-age=300"))
            .content_type("application/json")
            .body(key.jwks().to_string()),
        Err(error) => refused(&error),
    }
}

fn shown(gw: &Gateway, stream: &Stream) -> Value {
    let uris: Vec<&str> = stream.events.iter().filter_map(|word| streams::uri_of(word)).collect();
    let supported: Vec<&str> = EVENTS.iter().map(|(_, uri)| *uri).collect();
    let mut said = json!({
        "stream_id": stream.id,
        "iss": gw.links.issuer(),
        "aud": stream.app,
        "delivery": {"method": PUSH, "endpoint_url": stream.endpoint_url},
        "events_supported": supported,
        "events_requested": uris,
        "events_delivered": uris,
        "min_verification_interval": VERIFICATION_SECS_MIN,
    });
    if let (Some(text), Some(members)) = (&stream.description, said.as_object_mut()) {
        members.insert("description".to_owned(), json!(text));
    }
    said
}

fn status_of(stream: &Stream) -> Value {
    let mut said = json!({"stream_id": stream.id, "status": stream.status.as_str()});
    let dropped = stream
        .dropped_at
        .map(|at| format!("events that waited too long, or were too many, are dropped since {at}"));
    let reasons: Vec<&str> = [&stream.reason, &dropped].into_iter().flatten().map(String::as_str).collect();
    if let (false, Some(members)) = (reasons.is_empty(), said.as_object_mut()) {
        members.insert("reason".to_owned(), json!(reasons.join("; ")));
    }
    said
}

fn no_store(status: StatusCode, said: &Value) -> HttpResponse {
    HttpResponse::build(status).insert_header(("Cache-Control", "no-store")).json(said)
}

fn empty() -> HttpResponse {
    HttpResponse::NoContent().insert_header(("Cache-Control", "no-store")).finish()
}

fn refused(error: &FlowError) -> HttpResponse {
    let status = match error {
        FlowError::Missing => StatusCode::NOT_FOUND,
        FlowError::Conflict { .. } => StatusCode::CONFLICT,
        FlowError::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
        _ => return oauth_error::response(error),
    };
    let mut response =
        no_store(status, &json!({"error": "invalid_request", "error_description": error.code()}));
    if let FlowError::Limited { retry_after_secs } = error {
        response.headers_mut().insert(header::RETRY_AFTER, (*retry_after_secs).into());
    }
    response
}

fn answered(done: Result<HttpResponse, FlowError>) -> HttpResponse {
    done.unwrap_or_else(|error| refused(&error))
}

fn json_of<T: DeserializeOwned>(body: &Body) -> Result<T, FlowError> {
    let body = whole(body)?;
    if body.len() > BODY_BYTES_MAX {
        return Err(unreadable("too large"));
    }
    let read = serde_json::from_slice::<Members<T>>(body);
    let Members(read) = read.map_err(|error| unreadable(&error.to_string()))?;
    Ok(read)
}

/// The query's only parameter.
fn asked_id(req: &HttpRequest) -> Result<Option<String>, FlowError> {
    Ok(super::token::pairs(req.query_string().as_bytes())?.remove("stream_id"))
}

async fn app(req: &HttpRequest, gw: &Data<Gateway>) -> Result<AppId, FlowError> {
    Ok(confidential(req, gw).await?.0.app.id)
}

async fn create(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let done = async {
        let (app, call) = (app(&req, &gw).await?, facts(&req).call);
        let (body, story) = (json_of::<StreamBody>(&body)?, gw.get_ref().clone());
        let made = shielded(async move { streams::create(&story, app, body, &call).await }).await?;
        Ok(no_store(StatusCode::CREATED, &shown(&gw, &made)))
    };
    answered(done.await)
}

/// One by its id, or the list of them.
async fn read(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    let done = async {
        let (app, id) = (app(&req, &gw).await?, asked_id(&req)?);
        let story = gw.get_ref().clone();
        let wanted = id.clone();
        let found = shielded(async move { streams::read(&story, app, wanted.as_deref()).await }).await;
        match (found, id) {
            (Ok(stream), Some(_)) => Ok(no_store(StatusCode::OK, &shown(&gw, &stream))),
            (Ok(stream), None) => Ok(no_store(StatusCode::OK, &json!([shown(&gw, &stream)]))),
            (Err(FlowError::Missing), None) => Ok(no_store(StatusCode::OK, &json!([]))),
            (Err(error), _) => Err(error),
        }
    };
    answered(done.await)
}

async fn change(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let done = async {
        let (app, call) = (app(&req, &gw).await?, facts(&req).call);
        let (body, story) = (json_of::<StreamBody>(&body)?, gw.get_ref().clone());
        let whole = *req.method() == Method::PUT;
        let changed = shielded(async move { streams::change(&story, app, body, whole, &call).await }).await?;
        Ok(no_store(StatusCode::OK, &shown(&gw, &changed)))
    };
    answered(done.await)
}

async fn remove(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    let done = async {
        let (app, call) = (app(&req, &gw).await?, facts(&req).call);
        let id = asked_id(&req)?.ok_or_else(|| missing("stream_id"))?;
        let story = gw.get_ref().clone();
        shielded(async move { streams::remove(&story, app, &id, &call).await }).await?;
        Ok(empty())
    };
    answered(done.await)
}

async fn status(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    let done = async {
        let app = app(&req, &gw).await?;
        let id = asked_id(&req)?.ok_or_else(|| missing("stream_id"))?;
        let story = gw.get_ref().clone();
        let found = shielded(async move { streams::read(&story, app, Some(&id)).await }).await?;
        Ok(no_store(StatusCode::OK, &status_of(&found)))
    };
    answered(done.await)
}

#[derive(Deserialize)]
struct StatusBody {
    stream_id: String,
    status: String,
    reason: Option<String>,
}

async fn set_status(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let done = async {
        let (app, call) = (app(&req, &gw).await?, facts(&req).call);
        let (body, story) = (json_of::<StatusBody>(&body)?, gw.get_ref().clone());
        let set = async move {
            let asked = (body.stream_id.as_str(), body.status.as_str(), body.reason.as_deref());
            streams::set_status(&story, app, asked, &call).await
        };
        Ok(no_store(StatusCode::OK, &status_of(&shielded(set).await?)))
    };
    answered(done.await)
}

#[derive(Deserialize)]
struct VerifyBody {
    stream_id: String,
    state: Option<String>,
}

async fn verify(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    let done = async {
        let (app, call) = (app(&req, &gw).await?, facts(&req).call);
        let (body, story) = (json_of::<VerifyBody>(&body)?, gw.get_ref().clone());
        let asked = async move {
            streams::verify(&story, app, (&body.stream_id, body.state.as_deref()), &call).await
        };
        shielded(asked).await?;
        Ok(empty())
    };
    answered(done.await)
}
