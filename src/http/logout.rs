//! Leaving: our own sign-out page, and the one that apps send people to (RP-Initiated Logout 1.0). What an app
//! said wrong is a page, and never a redirect: nobody vouched for the address.

use super::{
    DoorKind, Entry,
    Made::Plain,
    back::{drop_session, is_own, see_other, sessions},
    guard::facts,
    pages, shielded,
    token::{Body, form, pairs},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{self, Data},
};
use broker::{
    FlowError, Gateway,
    end::{self, Leaving, Left},
};
use model::ids::OrgId;
use std::collections::BTreeMap;

pub const ROUTES: &[Entry] = &[
    Entry {
        method: Method::GET,
        path: "/logout",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(logout_page)),
    },
    Entry {
        method: Method::POST,
        path: "/logout",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(logout)),
    },
    Entry {
        method: Method::GET,
        path: "/oauth2/logout",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(leave)),
    },
    Entry {
        method: Method::POST,
        path: "/oauth2/logout",
        door: DoorKind::Open,
        made: Plain(|| web::route().to(leave)),
    },
];

/// An ID token and two addresses have room in it.
const ASKED_BYTES_MAX: usize = 32 * 1024;

async fn logout_page() -> HttpResponse {
    pages::sign_out("/logout", &BTreeMap::new())
}

/// Ends what this browser has, in every org.
async fn logout(req: HttpRequest, gw: Data<Gateway>) -> HttpResponse {
    if !is_own(&req) {
        return pages::sign_out("/logout", &BTreeMap::new());
    }
    let cookies = sessions(&req, &gw);
    let (story, call, held) = (gw.get_ref().clone(), facts(&req).call, cookies.clone());
    let ended = shielded(async move {
        for cookie in &held {
            match end::end(&story, cookie, &call).await {
                Ok(()) | Err(FlowError::Missing | FlowError::Closed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    });
    if let Err(error) = ended.await {
        return pages::refused(&req, &error);
    }
    let mut response = pages::signed_out();
    cookies.iter().for_each(|cookie| drop_session(&gw, &mut response, cookie.org));
    response
}

async fn leave(req: HttpRequest, body: Body, gw: Data<Gateway>) -> HttpResponse {
    match try_leave(&req, &body, &gw).await {
        Ok(response) => response,
        Err(error) => pages::not_left(&req, &error),
    }
}

async fn try_leave(req: &HttpRequest, body: &Body, gw: &Data<Gateway>) -> Result<HttpResponse, FlowError> {
    let asked = match *req.method() {
        Method::POST => form(req, body)?,
        _ => pairs(req.query_string().as_bytes())?,
    };
    if asked.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > ASKED_BYTES_MAX {
        return Err(FlowError::invalid("oauth.invalid_request", "query", "too long"));
    }
    let get = |name: &str| asked.get(name).cloned().filter(|value| !value.is_empty());
    let own = is_own(req);
    let leaving = Leaving {
        id_token_hint: get("id_token_hint"),
        client_id: get("client_id"),
        post_logout_redirect_uri: get("post_logout_redirect_uri"),
        confirmed: *req.method() == Method::POST && get(pages::CONFIRMED).is_some() && own,
        brings_cookies: brings_lax_cookies(req),
    };
    let (story, call, cookies) = (gw.get_ref().clone(), facts(req).call, sessions(req, gw));
    let held: Vec<OrgId> = cookies.iter().map(|cookie| cookie.org).collect();
    let left = shielded(async move { end::leave(&story, &leaving, &cookies, &call).await }).await?;
    Ok(match left {
        Left::Ask => pages::sign_out("/oauth2/logout", &asked),
        Left::Over { back, orgs } => {
            let mut response = match back {
                Some(uri) => see_other(&with_state(&uri, get("state").as_deref())),
                None => pages::signed_out(),
            };
            // A form that another site posts brings no cookie, and takes none away.
            held.iter()
                .filter(|org| orgs.contains(org))
                .for_each(|org| drop_session(gw, &mut response, *org));
            response
        }
    })
}

/// Would this browser have brought a session that it has? Lax cookies come with a page's own requests and with
/// navigations by GET, not with what another site's page frames, fetches or posts.
fn brings_lax_cookies(req: &HttpRequest) -> bool {
    let said = |name| req.headers().get(name).and_then(|value| value.to_str().ok());
    match *req.method() {
        Method::GET => said("sec-fetch-dest").is_none_or(|dest| dest == "document"),
        _ => said("sec-fetch-site").is_some() && is_own(req),
    }
}

/// The app's `state`, given back as it came.
fn with_state(uri: &str, state: Option<&str>) -> String {
    let Some(state) = state else { return uri.to_owned() };
    let joint = if uri.contains('?') { '&' } else { '?' };
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish();
    format!("{uri}{joint}{query}")
}
