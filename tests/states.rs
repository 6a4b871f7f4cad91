//! Every door × every state an org can be in, driven over HTTP from the route table. `states_table.rs`
//! is the whole of what is expected: a new state is a new column, a new route of another kind a new row, and
//! either is red until it stands here. Then what a suspension finds half done, and what a return revives.

use crate::house::{
    House, Tenant, authorize_url, call,
    front::{Desk, desk},
    house, now,
    walk::{AtTheDoor, is_active, param, redeem, refresh, text, to_the_acs},
};
use crate::states_table::{OF_NO_ORG, STATES, TABLE};
use idp_fixtures::{Browser, Page};
use model::{
    ids::{ConnectionId, UserId},
    org::OrgState,
    record::{Act, AuditEvent, Record},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::{OrgChange, OrgFacts};
use vestibule::{
    http::{DoorKind, Entry, routes},
    seams::SystemChance,
};

/// Puts the org into a state without ending anything: what is asked here is the doors alone.
pub async fn put(house: &'static House, tenant: &Tenant, state: OrgState) {
    let facts = OrgFacts {
        id: tenant.org,
        slug: tenant.slug.clone(),
        state,
        plan: "standard".into(),
        region: "eu".into(),
    };
    let change = async move {
        let scope = house.gw.db.founding(house.operator, facts, &call());
        let mut tx = house.gw.db.write(&scope, "test.state").await.unwrap();
        tx.change_org(&OrgChange { state: Some(state), ..OrgChange::default() }).await.unwrap();
        tx.commit(Record::of(AuditEvent::done(Act::OrgChanged))).await.unwrap();
    };
    house.on(change).await;
}

/// What was alive when the org was: a person's tokens and session, a code not yet redeemed, a sign-in
/// that stands before the assertion consumer.
struct Kit {
    service: (String, String),
    access: String,
    refresh: String,
    code: String,
    browser: Browser,
    door: AtTheDoor,
    /// At an app behind a proxy: signed in, and with the answer to a second sign-in.
    desk: Desk,
    desk_answer: String,
}

async fn kit(house: &'static House, tenant: &Tenant) -> Kit {
    let mut door = to_the_acs(house, tenant).await;
    let (status, given) = redeem(house, tenant, &param(&door.post().await, "code")).await;
    assert_eq!(status, 200, "{given}");
    let silent = authorize_url(house, tenant, &[("prompt", "none")]);
    let code = param(&door.browser.get_once(&silent).await.unwrap(), "code");
    let mut desk = desk(house).await;
    desk.sign_in(tenant, "/").await;
    let url = desk.begin("to=/").await;
    let answer = desk.issuer.get_once(&url).await.unwrap();
    let new = json!({"name": "service", "audience": tenant.app.id});
    let place = format!("/orgs/{}/service-accounts", tenant.org);
    let (status, made) = house.api("POST", &tenant.org_key, &place, Some(new)).await;
    assert_eq!(status, 201, "{made}");
    Kit {
        service: (text(&made, "client_id").to_owned(), text(&made, "client_secret").to_owned()),
        access: text(&given, "access_token").to_owned(),
        refresh: text(&given, "refresh_token").to_owned(),
        code,
        browser: door.browser,
        door: to_the_acs(house, tenant).await,
        desk,
        desk_answer: answer.header("location").unwrap().split_once('?').unwrap().1.to_owned(),
    }
}

fn label(entry: &Entry) -> String {
    format!("{} {}", entry.method, entry.path)
}

/// A path of the table with nobody's ids in it.
fn filled(entry: &Entry, tenant: &Tenant) -> String {
    let nobody = |name: &str| match name {
        "con" => ConnectionId::new(now(), &SystemChance).to_string(),
        _ => UserId::new(now(), &SystemChance).to_string(),
    };
    let part = |part: &str| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
        Some("org" | "slug") => tenant.slug.clone(),
        Some("con") if ["/saml", "/oidc", "/signals"].iter().any(|begin| entry.path.starts_with(begin)) => {
            tenant.connection.to_string()
        }
        Some("host") => format!("login.{}", tenant.domain),
        Some(name) => nobody(name),
        None => part.to_owned(),
    };
    entry.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn send(house: &House, entry: &Entry, path: &str, bearer: &str) -> (u16, Value) {
    let kind = if entry.door == DoorKind::Scim { "application/scim+json" } else { "application/json" };
    let mut request = house.http.request(entry.method.as_str().parse().unwrap(), house.url(path));
    if entry.method != actix_web::http::Method::GET {
        request = request.header("content-type", kind).body("{");
    }
    let sent = request.bearer_auth(bearer).send().await.unwrap();
    let status = sent.status().as_u16();
    let text = sent.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn said(status: u16, body: &Value) -> String {
    match body["code"].as_str().or(body["error_description"].as_str()) {
        Some(_) if body["error"] == "invalid_grant" => format!("{status} invalid_grant"),
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    }
}

/// A call of `/api/v1` with a query that no call knows: the door looks first, so that name comes back
/// exactly when the door let the caller through.
async fn administer(house: &House, tenant: &Tenant, entry: &Entry, key: &str) -> String {
    let path = format!("{}?nobody-asks-this=1", filled(entry, tenant));
    let (status, body) = send(house, entry, &path, key).await;
    if body["code"] == "api.query_unknown" { "served".to_owned() } else { said(status, &body) }
}

fn landed(tenant: &Tenant, page: &Page) -> String {
    let sent = page.header("location").unwrap_or_default();
    if sent.starts_with(tenant.idp.sso_url()) {
        return "to the provider".to_owned();
    }
    if sent.is_empty() {
        let code = page.header("x-vestibule-code").map(|code| format!(" {code}")).unwrap_or_default();
        return format!("{}{code}", page.status);
    }
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(sent.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    match query.get("error") {
        Some(error) => format!("{error} {}", query["error_description"]),
        None => query.contains_key("code").then(|| "code".to_owned()).unwrap(),
    }
}

/// Status and code, if there is one.
fn refused((status, code): (u16, &str)) -> String {
    format!("{status} {code}").trim_end().to_owned()
}

/// The browser's and the apps' routes, each by its own walk. A row or two for each; none for a route
/// that is of no org.
async fn walked(
    house: &'static House,
    tenant: &Tenant,
    entry: &Entry,
    kit: &mut Kit,
) -> Vec<(String, String)> {
    let own = label(entry);
    let one = |row: &str, answer: String| vec![(row.to_owned(), answer)];
    let mut stranger = Browser::new().unwrap();
    let page = |page: Page| landed(tenant, &page);
    match own.as_str() {
        "GET /oauth2/authorize" => {
            let again = authorize_url(house, tenant, &[("prompt", "none")]);
            let hint = format!("ada@{}", tenant.domain);
            let by_email = authorize_url(house, tenant, &[("organization", ""), ("login_hint", &hint)]);
            let fresh = stranger.get_once(&authorize_url(house, tenant, &[])).await.unwrap();
            let mut rows = one(&own, page(fresh));
            rows.extend(one("authorize, with a session", page(kit.browser.get_once(&again).await.unwrap())));
            rows.extend(one("authorize, by email", page(stranger.get_once(&by_email).await.unwrap())));
            rows
        }
        "POST /oauth2/authorize" => {
            let url = authorize_url(house, tenant, &[]);
            let query = url.split_once('?').unwrap().1.to_owned();
            let fields: Vec<(String, String)> =
                form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            one(&own, page(stranger.post_once(&house.url("/oauth2/authorize"), &fields).await.unwrap()))
        }
        "POST /saml/{con}/acs" => one("assertion consumer", page(kit.door.post().await)),
        "GET /saml/{con}/metadata" => {
            one("SAML metadata", page(stranger.get_once(&house.url(&filled(entry, tenant))).await.unwrap()))
        }
        "GET /oidc/{con}/callback" => {
            let url = house.url(&format!("{}?code=c&state=s", filled(entry, tenant)));
            one("OIDC callback", page(stranger.get_once(&url).await.unwrap()))
        }
        "GET /oidc/{con}/initiate" => {
            let url = house.url(&filled(entry, tenant));
            one("OIDC tile, at SAML's", page(stranger.get_once(&url).await.unwrap()))
        }
        // A tenant's connection is SAML's, and names nobody for signals.
        "POST /oidc/{con}/backchannel-logout"
        | "POST /signals/{con}/global-token-revocation"
        | "POST /signals/{con}/events" => {
            let (kind, body) = match entry.path.rsplit('/').next() {
                Some("backchannel-logout") => ("application/x-www-form-urlencoded", "logout_token=a.b.c"),
                Some("events") => ("application/secevent+jwt", "a.b.c"),
                _ => ("application/json", "{}"),
            };
            let request = house.http.post(house.url(&filled(entry, tenant))).header("content-type", kind);
            let sent = request.bearer_auth("a.b.c").body(body).send().await.unwrap();
            let status = sent.status().as_u16();
            let body: Value = sent.json().await.unwrap();
            let code = body["error_description"].as_str().or(body["description"].as_str()).unwrap();
            one(&own, format!("{status} {code}"))
        }
        "POST /logout" => {
            one("sign-out", page(kit.browser.post_once(&house.url("/logout"), &[]).await.unwrap()))
        }
        "GET /account" => {
            let shown = kit.browser.get_once(&house.url("/account")).await.unwrap();
            let nobody = shown.body.contains("You are not signed in");
            one("own sessions", if nobody { "nobody" } else { "seen" }.to_owned())
        }
        route if route.ends_with("/forward-auth") || route.ends_with("/forward-auth/{tail:.*}") => {
            let below = if route.contains("{tail") { "/held/path" } else { "" };
            let asked = house
                .http
                .request(entry.method.as_str().parse().unwrap(), house.url(&format!("/forward-auth{below}")))
                .header("x-vestibule-app", tenant.app.id.to_string())
                .bearer_auth(&kit.access);
            let sent = asked.send().await.unwrap();
            let status = sent.status().as_u16();
            let code = sent.headers().get("x-vestibule-code").map(|code| code.to_str().unwrap().to_owned());
            let mut rows = one(
                "forward-auth",
                code.map_or_else(|| status.to_string(), |code| format!("{status} {code}")),
            );
            rows.extend(one("forward-auth, by a pass", refused(kit.desk.forward(&[]).await.refusal())));
            rows
        }
        "GET /proxy/{app}/callback" => {
            // Another browser than the one whose pass the other rows are about.
            let (mut other, path) = (kit.desk.other(), format!("callback?{}", kit.desk_answer));
            other.jar = kit.desk.jar.clone();
            let seen = other.ask("GET", &path, &[]).await;
            one(
                "proxy's callback",
                if seen.status == 303 { "pass".to_owned() } else { refused(seen.refusal()) },
            )
        }
        "POST /proxy/{app}/sign-out" => {
            let mut other = kit.desk.other();
            other.jar = kit.desk.jar.clone();
            let left = other.ask("POST", "sign-out", &[]).await;
            let is_over = left.status == 303 && kit.desk.forward(&[]).await.status == 401;
            one("a pass given back", if is_over { "over" } else { "lives" }.to_owned())
        }
        "GET /oauth2/logout" => {
            one("leaving", page(kit.browser.get_once(&house.url("/oauth2/logout")).await.unwrap()))
        }
        "POST /oauth2/logout" => {
            let confirmed = [("confirmed", "yes")];
            // Another browser than the one whose session the other rows are about.
            let left = stranger.post_once(&house.url("/oauth2/logout"), &confirmed).await;
            one("leaving, confirmed", page(left.unwrap()))
        }
        "POST /oauth2/token" => {
            let (status, body) = redeem(house, tenant, &kit.code).await;
            let mut rows = one("token, by code", said(status, &body));
            let (status, body) = refresh(house, tenant, &kit.refresh).await;
            rows.extend(one("token, by refresh token", said(status, &body)));
            let (id, secret) = &kit.service;
            let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            let request = house.http.post(house.url("/oauth2/token")).body(body);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let sent = request.send().await.unwrap();
            let (status, body) = (sent.status().as_u16(), sent.json().await.unwrap());
            rows.extend(one("token, by service account", said(status, &body)));
            rows
        }
        "POST /oauth2/introspect" => {
            let active = is_active(house, tenant, &kit.access).await;
            one("introspect", if active { "active" } else { "inactive" }.to_owned())
        }
        "GET /oauth2/userinfo" | "POST /oauth2/userinfo" => {
            let (status, body) = send(house, entry, "/oauth2/userinfo", &kit.access).await;
            one(&own, said(status, &body))
        }
        // An unknown token: the others here still need theirs.
        "POST /oauth2/revoke" => {
            let token = kit.refresh.chars().rev().collect::<String>();
            let (status, body) = house.as_app(&tenant.app, "/oauth2/revoke", &[("token", &token)]).await;
            one("revoke", said(status, &body))
        }
        other => {
            assert!(OF_NO_ORG.contains(&other), "{other}: of which org, and what answers in each state?");
            vec![]
        }
    }
}

/// The rows of one route.
async fn driven(
    house: &'static House,
    tenant: &Tenant,
    entry: &Entry,
    kit: &mut Kit,
) -> Vec<(String, String)> {
    match entry.door {
        DoorKind::Org => vec![
            ("Org: the org's key".to_owned(), administer(house, tenant, entry, &tenant.org_key).await),
            (
                "Org: the platform's key".to_owned(),
                administer(house, tenant, entry, &house.platform_key).await,
            ),
        ],
        // These two end or bring back the org: called in earnest, at the end.
        DoorKind::Platform if is_life(entry) => vec![],
        // The org has one host, so that taking it away is answered by more than "not found".
        DoorKind::Platform if entry.path.contains("{org}") => {
            let (status, body) = send(house, entry, &filled(entry, tenant), &house.platform_key).await;
            let answer = if status == 404 { said(status, &body) } else { "served".to_owned() };
            vec![("Platform, on an org".to_owned(), answer)]
        }
        DoorKind::Scim => {
            let (status, _) = send(house, entry, &filled(entry, tenant), &tenant.scim_token).await;
            let shut = matches!(status, 401 | 403);
            vec![("Scim".to_owned(), if shut { status.to_string() } else { "served".to_owned() })]
        }
        DoorKind::Platform | DoorKind::Open | DoorKind::Client | DoorKind::Bearer => {
            walked(house, tenant, entry, kit).await
        }
    }
}

fn is_life(entry: &Entry) -> bool {
    matches!(label(entry).as_str(), "DELETE /api/v1/orgs/{org}" | "POST /api/v1/orgs/{org}/restore")
}

#[tokio::test]
async fn every_door_answers_in_every_state_as_the_table_says() {
    let house = house();
    assert_eq!(OrgState::ALL.map(OrgState::as_str), STATES, "a state without its column");
    let mut seen: BTreeMap<String, BTreeMap<&str, BTreeSet<String>>> = BTreeMap::new();
    for state in OrgState::ALL {
        let tenant = house.tenant().await;
        let mut kit = kit(house, &tenant).await;
        let host = json!({"host": format!("login.{}", tenant.domain)});
        let hosts = format!("/orgs/{}/hosts", tenant.org);
        assert_eq!(house.api("POST", &house.platform_key, &hosts, Some(host)).await.0, 201);
        put(house, &tenant, state).await;
        let mut note = |row: String, answer: String| {
            seen.entry(row).or_default().entry(state.as_str()).or_default().insert(answer);
        };
        // The walks that end the session and the pass come after those that need them.
        let ends = ["POST /logout", "POST /proxy/{app}/sign-out"];
        let (last, first): (Vec<_>, Vec<_>) = routes().partition(|e| ends.contains(&label(e).as_str()));
        for entry in first.into_iter().chain(last) {
            for (row, answer) in driven(house, &tenant, entry, &mut kit).await {
                note(row, answer);
            }
        }
        let of = format!("/orgs/{}", tenant.org);
        for (row, method, path) in [("restore", "POST", format!("{of}/restore")), ("delete", "DELETE", of)] {
            put(house, &tenant, state).await;
            let (status, body) = house.api(method, &house.platform_key, &path, None).await;
            note(row.to_owned(), said(status, &body));
        }
    }
    let expected: BTreeMap<_, _> = TABLE
        .iter()
        .map(|(row, answers)| {
            let cells = STATES.into_iter().zip(answers.map(|a| BTreeSet::from([a.to_owned()])));
            ((*row).to_owned(), cells.collect::<BTreeMap<_, _>>())
        })
        .collect();
    for (row, cells) in &seen {
        assert_eq!(Some(cells), expected.get(row), "{row}");
    }
    assert_eq!(seen.len(), expected.len(), "a row that nothing walks");
}

/// How an org leaves and comes back, by the API.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Suspended,
    Deleted,
}

impl Leave {
    async fn go(self, house: &House, tenant: &Tenant) {
        let of = format!("/orgs/{}", tenant.org);
        let suspended = Some(json!({"state": "suspended"}));
        let (status, body) = match self {
            Self::Suspended => house.api("PATCH", &house.platform_key, &of, suspended).await,
            Self::Deleted => house.api("DELETE", &house.platform_key, &of, None).await,
        };
        assert!(status < 300, "{status} {body}");
    }
    async fn come_back(self, house: &House, tenant: &Tenant) {
        let of = format!("/orgs/{}", tenant.org);
        let active = Some(json!({"state": "active"}));
        let (status, body) = match self {
            Self::Suspended => house.api("PATCH", &house.platform_key, &of, active).await,
            Self::Deleted => house.api("POST", &house.platform_key, &format!("{of}/restore"), None).await,
        };
        assert_eq!((status, text(&body, "state")), (200, "active"), "{body}");
    }
}

/// Nothing that was alive before is: the sign-in half done, the code, the tokens, the session.
async fn all_dead(house: &'static House, tenant: &Tenant, kit: &mut Kit, acs: &str, silent: &str) {
    assert_eq!(landed(tenant, &kit.door.post().await), acs, "the sign-in that was under way");
    assert_eq!(redeem(house, tenant, &kit.code).await.0, 400, "the code");
    assert_eq!(refresh(house, tenant, &kit.refresh).await.0, 400, "the refresh token");
    assert!(!is_active(house, tenant, &kit.access).await, "the access token");
    let userinfo = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(&kit.access);
    assert_eq!(userinfo.send().await.unwrap().status().as_u16(), 401, "the access token's own");
    assert_eq!(kit.desk.forward(&[]).await.status, 401, "the pass");
    let answer = kit.desk.ask("GET", &format!("callback?{}", kit.desk_answer), &[]).await;
    assert_eq!(answer.status, 400, "the sign-in at a proxy that was under way");
    let again = authorize_url(house, tenant, &[("prompt", "none")]);
    let page = kit.browser.get_once(&again).await.unwrap();
    assert!(landed(tenant, &page).starts_with(silent), "the session: {}", landed(tenant, &page));
}

async fn leave_and_come_back(leave: Leave, acs: &str) {
    let house = house();
    let tenant = house.tenant().await;
    let mut kit = kit(house, &tenant).await;
    leave.go(house, &tenant).await;
    all_dead(house, &tenant, &mut kit, acs, "access_denied").await;
    leave.come_back(house, &tenant).await;
    all_dead(house, &tenant, &mut kit, "403 login.revoked_meanwhile", "login_required").await;
    // What belongs to the org itself goes on as it was: its keys, its directory, its people.
    let users = format!("/orgs/{}/users", tenant.org);
    assert_eq!(house.api("GET", &tenant.org_key, &users, None).await.0, 200);
    assert_eq!(house.scim("GET", &tenant.scim_token, "/scim/v2/Users", None).await.0, 200);
    let again = self::kit(house, &tenant).await;
    assert!(is_active(house, &tenant, &again.access).await, "a new sign-in is a new session");
    let (status, rotated) = refresh(house, &tenant, &again.refresh).await;
    assert_eq!(status, 200, "{rotated}");
}

#[tokio::test]
async fn a_suspension_ends_what_is_under_way_and_its_end_revives_none_of_it() {
    leave_and_come_back(Leave::Suspended, "404 org.suspended").await;
}

#[tokio::test]
async fn a_deletion_ends_what_is_under_way_and_a_restore_revives_none_of_it() {
    leave_and_come_back(Leave::Deleted, "404 not_found").await;
}

#[tokio::test]
async fn who_leaves_during_a_suspension_is_gone_when_the_org_is_back() {
    let house = house();
    let tenant = house.tenant().await;
    let ada = format!("ada@{}", tenant.domain);
    let user =
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": ada, "active": true});
    let (status, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(user)).await;
    assert_eq!(status, 201, "{made}");
    Leave::Suspended.go(house, &tenant).await;
    let gone = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false}}],
    });
    let path = format!("/scim/v2/Users/{}", text(&made, "id"));
    let (status, said) = house.scim("PATCH", &tenant.scim_token, &path, Some(gone)).await;
    assert_eq!(status, 200, "a suspended org's directory still provisions: {said}");
    Leave::Suspended.come_back(house, &tenant).await;
    let refused = to_the_acs(house, &tenant).await.post().await;
    assert_eq!(landed(&tenant, &refused), "403 login.user_inactive");
}

#[tokio::test]
async fn a_code_of_a_suspended_org_is_not_used_up_by_trying() {
    let house = house();
    let tenant = house.tenant().await;
    let kit = kit(house, &tenant).await;
    put(house, &tenant, OrgState::Suspended).await;
    assert_eq!(redeem(house, &tenant, &kit.code).await.0, 400);
    // The state alone, without the revocation that a suspension writes: the door had refused.
    put(house, &tenant, OrgState::Active).await;
    let (status, given) = redeem(house, &tenant, &kit.code).await;
    assert_eq!(status, 200, "{given}");
}
