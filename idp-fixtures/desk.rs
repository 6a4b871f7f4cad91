//! The demo's index page: four doors to the same gateway, for the app's user, the directory, the
//! developer and the security reviewer. A black-box client of the public API; what it shows is what was
//! sent and answered. Every act is a POST whose result has its own address, so a reload does nothing twice.
//! It shows credentials, so it answers nobody but this machine's own browser.

use crate::{
    FixtureError, Forgery, RpSettings, Running, SamlIdp,
    attack::{self, Verdict},
    desk_pages::{Doors, Seat},
    desk_results::{self, Moved},
    instrument::{http_client, random_token},
    org_api::{DeskOrg, OrgApi, Vendor},
    pages, server,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{HOST, LOCATION},
    },
    web,
};
use serde::Deserialize;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Results that can still be looked at; older ones are gone.
const RESULTS_MAX: usize = 50;
/// Lines of the record on the index page.
const TAIL_EVENTS: u32 = 12;
const STYLE: &str = include_str!("desk.css");

#[derive(Clone, Debug)]
pub struct DeskSettings {
    /// 0: any free port.
    pub port: u16,
    /// Without a trailing slash, as every address here.
    pub gateway_url: String,
    pub app_url: String,
    /// The demo app's registration: what its access tokens are for, and whom the walk speaks as.
    pub app: RpSettings,
    pub orgs: Vec<DeskOrg>,
}

/// The index page as a server.
pub struct Desk;

struct State {
    settings: DeskSettings,
    saml_idp: Option<Arc<SamlIdp>>,
    http: reqwest::Client,
    own_hosts: [String; 2],
    results: Mutex<VecDeque<(String, String)>>,
}

impl Desk {
    /// Opens the port, answers from now on. Without `saml_idp` no Response can be forged.
    pub async fn start(
        settings: DeskSettings,
        saml_idp: Option<Arc<SamlIdp>>,
    ) -> Result<Running, FixtureError> {
        let bound = server::bind(settings.port)?;
        let host = bound.base_url.trim_start_matches("http://").to_owned();
        let own_hosts = [host.replace("localhost", "127.0.0.1"), host];
        let http = http_client()?;
        let state = State { settings, saml_idp, http, own_hosts, results: Mutex::default() };
        let state = web::Data::from(Arc::new(state));
        bound.serve(move |config| {
            config
                .app_data(state.clone())
                .route("/", web::get().to(index))
                .route("/style.css", web::get().to(style))
                .route("/results/{id}", web::get().to(result))
                .route("/directory/{slug}/{change}", web::post().to(directory))
                .route("/reviewer/forge", web::post().to(forge))
                .route("/reviewer/forge-all", web::post().to(forge_all))
                .route("/reviewer/replay", web::post().to(replay))
                .route("/reviewer/foreign-key", web::post().to(foreign_key));
        })
    }
}

impl State {
    fn api<'s>(&'s self, org: &'s DeskOrg) -> OrgApi<'s> {
        OrgApi { http: &self.http, gateway_url: &self.settings.gateway_url, org }
    }

    fn org(&self, fits: impl Fn(&DeskOrg) -> bool) -> Result<&DeskOrg, String> {
        let found = self.settings.orgs.iter().find(|org| fits(org));
        found.ok_or_else(|| "The demo has no such org. Go back to the four doors.".to_owned())
    }

    fn saml(&self) -> Result<(&DeskOrg, &SamlIdp), String> {
        let idp = self.saml_idp.as_deref().ok_or("The demo runs without a SAML provider.")?;
        Ok((self.org(|org| org.vendor == Vendor::Okta)?, idp))
    }

    /// Another site's page, or a name that only leads here, gets nothing: the credentials are on show.
    fn is_from_here(&self, request: &HttpRequest) -> bool {
        let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
        let host = header(HOST.as_str()).unwrap_or_default();
        let reading = request.method().is_safe();
        let same_site = header("sec-fetch-site").is_none_or(|from| matches!(from, "same-origin" | "none"));
        self.own_hosts.iter().any(|own| own == host) && (reading || same_site)
    }

    /// Keeps a result under an address of its own and sends the browser there.
    fn show(&self, done: Result<String, String>) -> HttpResponse {
        let html = done.unwrap_or_else(|why| desk_results::failed(&why));
        let id = random_token();
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if results.len() >= RESULTS_MAX {
            results.pop_front();
        }
        let address = format!("/results/{id}");
        results.push_back((id, html));
        HttpResponse::SeeOther().insert_header((LOCATION, address)).finish()
    }
}

fn elsewhere() -> HttpResponse {
    let text = "Open this page by its own address on this machine, http://localhost and its port.";
    pages::page(
        StatusCode::FORBIDDEN,
        "Not from here",
        "desk",
        &format!("<h1>Not from here</h1><p>{text}</p>"),
    )
}

fn said(error: &FixtureError) -> String {
    error.to_string()
}

async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body([pages::STYLE, STYLE].concat())
}

async fn index(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    if !state.is_from_here(&request) {
        return elsewhere();
    }
    let mut seats = Vec::new();
    for org in &state.settings.orgs {
        let seat = match state.api(org).find().await {
            Ok((Some(found), _)) => Seat::Known { active: found.active },
            Ok((None, answer)) if answer.ok() => Seat::Absent,
            Ok((None, answer)) => Seat::Unreadable(answer.unexpected("200")),
            Err(why) => Seat::Unreadable(said(&why)),
        };
        seats.push((org, seat));
    }
    let tail = match state.org(|org| org.vendor == Vendor::Okta) {
        Err(why) => Err(why),
        Ok(org) => match state.api(org).audit(TAIL_EVENTS).await {
            Ok((events, answer)) if answer.ok() => Ok(events),
            Ok((_, answer)) => Err(answer.unexpected("200")),
            Err(why) => Err(said(&why)),
        },
    };
    let doors = Doors { settings: &state.settings, seats, tail, forging: state.saml_idp.is_some() };
    pages::page(StatusCode::OK, "Vestibule demo", "desk", &doors.render())
}

async fn result(state: web::Data<State>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    if !state.is_from_here(&request) {
        return elsewhere();
    }
    let results = state.results.lock().unwrap_or_else(PoisonError::into_inner);
    match results.iter().find(|(known, _)| *known == *id) {
        Some((_, html)) => pages::page(StatusCode::OK, "Vestibule demo", "desk", html),
        None => {
            let html =
                desk_results::failed("This result is no longer kept. Do it again from the four doors.");
            pages::page(StatusCode::NOT_FOUND, "Vestibule demo", "desk", &html)
        }
    }
}

async fn directory(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    if !state.is_from_here(&request) {
        return elsewhere();
    }
    let (slug, change) = path.into_inner();
    match change.as_str() {
        "join" => state.show(joined(&state, &slug).await),
        "leave" => state.show(moved(&state, &slug, false).await),
        "return" => state.show(moved(&state, &slug, true).await),
        _ => HttpResponse::NotFound().finish(),
    }
}

async fn joined(state: &State, slug: &str) -> Result<String, String> {
    let org = state.org(|org| org.slug == slug)?;
    state.api(org).provision().await.map_err(|e| said(&e))?;
    Ok(desk_results::joined(org))
}

async fn moved(state: &State, slug: &str, active: bool) -> Result<String, String> {
    let org = state.org(|org| org.slug == slug)?;
    let api = state.api(org);
    let (found, looked) = api.find().await.map_err(|e| said(&e))?;
    let found = found.ok_or_else(|| looked.unexpected("one user"))?;
    let patched = api.set_active(&found.id, active).await.map_err(|e| said(&e))?;
    let receipt = match active || !patched.ok() {
        true => None,
        false => Some(api.receipt(&found.id).await.map_err(|e| said(&e))?),
    };
    Ok(desk_results::moved(&Moved { org, active, looked, patched, receipt }))
}

#[derive(Deserialize)]
struct Chosen {
    forgery: String,
}

async fn forge(state: web::Data<State>, request: HttpRequest, chosen: web::Form<Chosen>) -> HttpResponse {
    if !state.is_from_here(&request) {
        return elsewhere();
    }
    let known = Forgery::ALL.iter().find(|f| format!("{f:?}") == chosen.forgery);
    match known {
        Some(forgery) => state.show(forged(&state, &[*forgery]).await),
        None => HttpResponse::BadRequest().finish(),
    }
}

async fn forge_all(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    if !state.is_from_here(&request) {
        return elsewhere();
    }
    state.show(forged(&state, &Forgery::ALL).await)
}

async fn forged(state: &State, forgeries: &[Forgery]) -> Result<String, String> {
    let (org, idp) = state.saml()?;
    let victim = attack::victim(org);
    let mut held = attack::hold(&state.settings.app_url, org).await.map_err(|e| said(&e))?;
    let mut verdicts: Vec<(Forgery, Verdict)> = Vec::new();
    for forgery in forgeries {
        let response = held.forge(idp, *forgery, &org.person.login, &victim).map_err(|e| said(&e))?;
        verdicts.push((*forgery, held.send(&response).await.map_err(|e| said(&e))?));
    }
    Ok(desk_results::forged(org, &victim, &verdicts))
}

async fn replay(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    if !state.is_from_here(&request) {
        return elsewhere();
    }
    state.show(replayed(&state).await)
}

async fn replayed(state: &State) -> Result<String, String> {
    let (org, _) = state.saml()?;
    let mut held = attack::hold(&state.settings.app_url, org).await.map_err(|e| said(&e))?;
    let honest = held.honest.clone();
    let first = held.send(&honest).await.map_err(|e| said(&e))?;
    let again = held.send(&honest).await.map_err(|e| said(&e))?;
    Ok(desk_results::replayed(org, &first, &again))
}

async fn foreign_key(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    if !state.is_from_here(&request) {
        return elsewhere();
    }
    state.show(foreign(&state).await)
}

async fn foreign(state: &State) -> Result<String, String> {
    let at = state.org(|org| org.vendor == Vendor::Okta)?;
    let key_of = state.org(|org| org.slug != at.slug)?;
    let asked = attack::foreign_key(&state.http, &state.settings.gateway_url, key_of, at).await;
    let (theirs, nobodys) = asked.map_err(|e| said(&e))?;
    Ok(desk_results::foreign_key(key_of, at, &theirs, &nobodys))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk_pages::tests::settings;

    /// No gateway listens there: every page must still be drawn.
    async fn desk() -> Running {
        let nowhere = DeskSettings { gateway_url: "http://localhost:1".into(), ..settings() };
        Desk::start(nowhere, None).await.unwrap()
    }

    #[tokio::test]
    async fn without_a_gateway_the_doors_say_so_and_an_act_leads_to_a_page_of_its_own() {
        let desk = desk().await;
        let mut browser = crate::Browser::new().unwrap();
        let page = browser.get(desk.base_url()).await.unwrap();
        assert_eq!(page.status, 200);
        assert!(page.body.contains("Cannot be read") && !page.body.contains("<script"));
        assert!(!page.body.contains("Send a forged SAML Response"), "there is no provider to forge with");
        let address = format!("{}/directory/acme/leave", desk.base_url());
        let posted = browser.post_once(&address, &[]).await.unwrap();
        assert_eq!(posted.status, 303);
        let result =
            browser.get(&format!("{}{}", desk.base_url(), posted.header("location").unwrap())).await.unwrap();
        assert!(result.status == 200 && result.body.contains("It did not happen"), "{}", result.body);
        let gone = browser.get(&format!("{}/results/x", desk.base_url())).await.unwrap();
        assert_eq!(gone.status, 404);
    }

    #[tokio::test]
    async fn another_sites_form_and_another_name_for_this_machine_get_nothing() {
        let desk = desk().await;
        let http = http_client().unwrap();
        let leave = http.post(format!("{}/directory/acme/leave", desk.base_url()));
        let crossed = leave.header("Sec-Fetch-Site", "cross-site").send().await.unwrap();
        assert_eq!(crossed.status().as_u16(), 403);
        let rebound = http.get(desk.base_url()).header("Host", "attacker.example").send().await.unwrap();
        assert_eq!(rebound.status().as_u16(), 403);
        assert!(!rebound.text().await.unwrap().contains("vst_org_acme"));
    }

    #[tokio::test]
    async fn only_so_many_results_are_kept() {
        let state = State {
            settings: settings(),
            saml_idp: None,
            http: http_client().unwrap(),
            own_hosts: Default::default(),
            results: Mutex::default(),
        };
        for n in 0..=RESULTS_MAX {
            state.show(Ok(n.to_string()));
        }
        let results = state.results.lock().unwrap();
        assert_eq!((results.len(), results[0].1.as_str()), (RESULTS_MAX, "1"));
    }
}
