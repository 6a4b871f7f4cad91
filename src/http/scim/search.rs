//! Lists: GET of an endpoint or of the service itself, and POST to `.search` of either, which asks the
//! same without showing a filter to the log of every proxy. RFC 7644 3.4.2, 3.4.3.

use super::{Answer, Caller, body, render};
use crate::http::{scim_error::Refused, witness::Found};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use broker::{
    FlowError, Gateway,
    provision_search::{self, Among, Page, Resource},
};
use scim::{ListQuery, list};
use serde_json::Value;

/// The decoded parameters of a query. `+` is a blank, as forms have it (Entra sends it so); but in a
/// value that has blanks written as `%20`, a `+` is a plus sign: `emails eq "ada+test@x"`.
pub(super) fn pairs(req: &HttpRequest) -> Vec<(String, String)> {
    let plain = |part: &str| {
        let spelled = part.contains("%20");
        if spelled { part.replace('+', "%2B") } else { part.to_owned() }
    };
    let query: Vec<String> = req.query_string().split('&').map(plain).collect();
    form_urlencoded::parse(query.join("&").as_bytes()).into_owned().collect()
}

/// Reads the parameters of these names, or all of them.
pub(super) fn query(req: &HttpRequest, names: &[&str]) -> Result<ListQuery, FlowError> {
    let pairs = pairs(req);
    let wanted = |name: &str| names.is_empty() || names.iter().any(|one| one.eq_ignore_ascii_case(name));
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(ListQuery::from_pairs(pairs.filter(|(name, _)| wanted(name)))?)
}

pub(super) async fn users(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    get(req, gw, Among::Users).await
}

pub(super) async fn groups(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    get(req, gw, Among::Groups).await
}

pub(super) async fn everything(req: HttpRequest, gw: Data<Gateway>) -> Answer {
    get(req, gw, Among::Everything).await
}

pub(super) async fn search_users(req: HttpRequest, gw: Data<Gateway>, payload: Payload) -> Answer {
    post(req, gw, payload, Among::Users).await
}

pub(super) async fn search_groups(req: HttpRequest, gw: Data<Gateway>, payload: Payload) -> Answer {
    post(req, gw, payload, Among::Groups).await
}

pub(super) async fn search_everything(req: HttpRequest, gw: Data<Gateway>, payload: Payload) -> Answer {
    post(req, gw, payload, Among::Everything).await
}

async fn get(req: HttpRequest, gw: Data<Gateway>, among: Among) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let query = query(&req, &[]).map_err(|error| Refused::about(error, &caller.about))?;
    listed(&caller, among, query).await
}

async fn post(req: HttpRequest, gw: Data<Gateway>, payload: Payload, among: Among) -> Answer {
    let caller = Caller::enter(&req, gw).await?;
    let body = body(payload).await?;
    let query = ListQuery::from_search(&body).map_err(|error| Refused::about(error.into(), &caller.about))?;
    listed(&caller, among, query).await
}

async fn listed(caller: &Caller, among: Among, query: ListQuery) -> Answer {
    let projection = query.projection.clone();
    let (gw, scope) = caller.outside();
    let base = caller.base.clone();
    let story = async move { provision_search::search(&gw, &scope, among, &query, &base).await };
    let Page { told, items } = caller.runs(story).await?;
    let resource = |one: &Resource| match one {
        Resource::User(seat) => render::user(&caller.base, seat, &projection).1,
        Resource::Group(view) => render::group(&caller.base, view, &projection).1,
    };
    let resources: Vec<Value> = items.iter().map(resource).collect();
    let mut response = HttpResponse::Ok();
    response.extensions_mut().insert(Found(told.total));
    Ok(render::json(response, &list::list_response(&told, resources)))
}
