//! `/account`: a person's own sessions in the orgs that this browser is signed in to, each of which they may end. A
//! form of another site brings no cookie of ours (`SameSite=Lax`), and so ends nothing.

use super::{
    DoorKind, Entry,
    Made::Plain,
    back::{drop_session, is_own, see_other, sessions},
    guard::facts,
    pages, pages_account, shielded,
    token::{Body, form},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{self, Data},
};
use broker::{
    FlowError, Gateway,
    accounts::{self, Ending},
};
use model::ids::OrgId;

pub const ROUTES: &[Entry] = &[
    Entry {
        method: Method::GET,
        path: "/account",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(account)),
    },
    Entry {
        method: Method::POST,
        path: "/account/end",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(end)),
    },
];

async fn account(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    let (story, call, cookies) = (gw.get_ref().clone(), facts(&req).call, sessions(&req, &gw));
    let held: Vec<OrgId> = cookies.iter().map(|cookie| cookie.org).collect();
    match shielded(async move { accounts::own(&story, &cookies, &call).await }).await {
        Ok(own) => {
            let mut response = pages_account::account(&own, facts(&req).call.at);
            let is_over = |org: &&OrgId| !own.iter().any(|one| one.account.org == **org);
            held.iter().filter(is_over).for_each(|org| drop_session(&gw, &mut response, *org));
            response
        }
        Err(error) => pages::refused(&req, &error),
    }
}

/// `org`, and `session` or `others`.
async fn end(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    if !is_own(&req) {
        return see_other("/account");
    }
    let ended = async {
        let form = form(&req, &body)?;
        let wrong = |field| FlowError::invalid("oauth.invalid_request", field, "not an id of ours");
        let org: OrgId = form.get("org").and_then(|id| id.parse().ok()).ok_or_else(|| wrong("org"))?;
        let ending = match form.get("session") {
            Some(id) => Ending::One(id.parse().map_err(|_| wrong("session"))?),
            None => Ending::Others,
        };
        let (story, call, cookies) = (gw.get_ref().clone(), facts(&req).call, sessions(&req, &gw));
        shielded(async move { accounts::end(&story, &cookies, org, ending, &call).await }).await
    };
    match ended.await {
        // Whoever is signed out meanwhile sees that there.
        Ok(()) | Err(FlowError::Missing) => see_other("/account"),
        Err(error) => pages::refused(&req, &error),
    }
}
