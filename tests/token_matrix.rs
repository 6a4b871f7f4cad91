//! Every token and credential that is given out, at every door that takes one: each opens its own and no other,
//! and is refused at the rest in that door's own words. `OPENS` is the whole of what is expected. A kind of
//! credential or a route that is not named here is red.

use crate::house::{
    House, Tenant, VERIFIER, authorize_url,
    front::{Desk, desk},
    house, now,
    walk::{claims, is_active, param, redeem, refresh, text, to_the_acs},
};
use model::SigningAlg;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use token::{
    credential::CredentialKind,
    logout::{LogoutClaims, mint_logout},
};
use vestibule::http::{DoorKind, Entry, routes};

/// What is given out, and the doors that it opens.
#[rustfmt::skip]
const OPENS: &[(&str, &[&str])] = &[
    ("access token",        &["userinfo", "introspect: token", "forward: bearer"]),
    ("service token",       &["introspect: token", "forward: bearer"]),
    ("id token",            &["leave: hint", "authorize: hint"]),
    ("logout token",        &[]),
    ("authorization code",  &["token: code"]),
    ("refresh token",       &["token: refresh token", "revoke: token"]),
    ("session cookie",      &["authorize: session", "sign-out: session", "account: session"]),
    ("attempt cookie",      &["assertion consumer: attempt"]),
    ("pass",                &["forward: pass", "proxy sign-out: pass"]),
    ("proxy's attempt",     &["proxy callback: attempt"]),
    ("scim bearer",         &["scim: bearer"]),
    ("fetched scim token",  &["scim: bearer"]),
    ("platform key",        &["org api: bearer", "platform api: bearer"]),
    ("org key",             &["org api: bearer"]),
    ("app secret",          &["token: secret", "introspect: secret", "revoke: secret", "feed: secret", "streams: secret"]),
    ("directory secret",    &["token: directory's secret"]),
    ("service secret",      &["token: service account's secret"]),
    ("feed cursor",         &["feed: cursor"]),
    ("api cursor",          &["org api: cursor"]),
    ("scim cursor",         &["scim: cursor"]),
    // To sign with and to be looked up, and shown to no door.
    ("webhook secret",      &[]),
    ("domain's TXT value",  &[]),
];

const DOORS: &[&str] = &[
    "userinfo",
    "introspect: token",
    "introspect: secret",
    "revoke: token",
    "revoke: secret",
    "token: code",
    "token: refresh token",
    "token: secret",
    "token: directory's secret",
    "token: service account's secret",
    "leave: hint",
    "authorize: hint",
    "authorize: session",
    "sign-out: session",
    "account: session",
    "forward: bearer",
    "forward: pass",
    "proxy callback: attempt",
    "proxy sign-out: pass",
    "assertion consumer: attempt",
    "scim: bearer",
    "scim: cursor",
    "org api: bearer",
    "org api: cursor",
    "platform api: bearer",
    "feed: secret",
    "feed: cursor",
    "streams: secret",
];

/// Routes that take a credential and are neither the directories' nor `/api/v1`'s by a key, with one of their
/// doors. The OIDC callback opens the attempt's cookie as the assertion consumer does.
const TAKES: &[(&str, &str)] = &[
    ("GET /oauth2/userinfo", "userinfo"),
    ("POST /oauth2/userinfo", "userinfo"),
    ("POST /oauth2/introspect", "introspect: token"),
    ("POST /oauth2/revoke", "revoke: token"),
    ("POST /oauth2/token", "token: code"),
    ("GET /oauth2/authorize", "authorize: session"),
    ("POST /oauth2/authorize", "authorize: session"),
    ("GET /oauth2/logout", "leave: hint"),
    ("POST /oauth2/logout", "leave: hint"),
    ("POST /logout", "sign-out: session"),
    ("GET /account", "account: session"),
    ("POST /account/end", "account: session"),
    ("GET /forward-auth", "forward: bearer"),
    ("GET /forward-auth/{tail:.*}", "forward: bearer"),
    ("POST /forward-auth/{tail:.*}", "forward: bearer"),
    ("PUT /forward-auth/{tail:.*}", "forward: bearer"),
    ("PATCH /forward-auth/{tail:.*}", "forward: bearer"),
    ("DELETE /forward-auth/{tail:.*}", "forward: bearer"),
    ("GET /proxy/{app}/callback", "proxy callback: attempt"),
    ("GET /proxy/{app}/sign-out", "proxy sign-out: pass"),
    ("POST /proxy/{app}/sign-out", "proxy sign-out: pass"),
    ("POST /saml/{con}/acs", "assertion consumer: attempt"),
    ("GET /oidc/{con}/callback", "assertion consumer: attempt"),
    ("GET /api/v1/revocations", "feed: secret"),
    ("POST /api/v1/revocations/acks", "feed: secret"),
    ("GET /ssf/streams", "streams: secret"),
    ("POST /ssf/streams", "streams: secret"),
    ("PATCH /ssf/streams", "streams: secret"),
    ("PUT /ssf/streams", "streams: secret"),
    ("DELETE /ssf/streams", "streams: secret"),
    ("GET /ssf/status", "streams: secret"),
    ("POST /ssf/status", "streams: secret"),
    ("POST /ssf/verify", "streams: secret"),
];

/// Routes that take none of ours: what a customer's provider signs is judged by its own keys.
const NOTHING: &[&str] = &[
    "POST /oidc/{con}/backchannel-logout",
    "POST /signals/{con}/global-token-revocation",
    "POST /signals/{con}/events",
    "GET /.well-known/ssf-configuration",
    "GET /ssf/jwks",
    "GET /healthz",
    "GET /readyz",
    "GET /.well-known/openid-configuration",
    "GET /.well-known/oauth-authorization-server",
    "GET /oauth2/jwks",
    "GET /logout",
    "GET /saml/{con}/metadata",
    "GET /oidc/{con}/initiate",
    "GET /proxy/{app}/sign-in",
    "GET /assets/style.css",
    "GET /assets/continue.js",
    "GET /api/openapi.json",
    "GET /api/v1/roles",
    "GET /api/v1/webhook-event-types",
    "GET /scim/v2/ServiceProviderConfig",
    "GET /scim/v2/ResourceTypes",
    "GET /scim/v2/ResourceTypes/{id}",
    "GET /scim/v2/Schemas",
    "GET /scim/v2/Schemas/{id}",
    "GET /orgs/{slug}/scim/v2/ServiceProviderConfig",
    "GET /orgs/{slug}/scim/v2/ResourceTypes",
    "GET /orgs/{slug}/scim/v2/ResourceTypes/{id}",
    "GET /orgs/{slug}/scim/v2/Schemas",
    "GET /orgs/{slug}/scim/v2/Schemas/{id}",
];

/// Forms of a credential that nobody is given yet.
const NOT_GIVEN: &[CredentialKind] = &[CredentialKind::SetupLink];

/// Everything that one person, app, directory and org hold at once.
struct Kit {
    held: BTreeMap<&'static str, String>,
    /// Of the login attempt that stands before the assertion consumer.
    attempt: String,
    saml_response: String,
    relay_state: String,
    directory_client: String,
    service: String,
    /// At an app behind a proxy, signed in, and before a second sign-in: what leads to the callback, and the name
    /// of its cookie.
    desk: Desk,
    desk_answer: (String, String),
}

/// What stays the same however often a person signs in.
async fn lasting(house: &'static House, tenant: &Tenant) -> (BTreeMap<&'static str, String>, [String; 2]) {
    for name in ["grace", "linus", "mary"] {
        let person = json!({"userName": format!("{name}@{}", tenant.domain)});
        assert_eq!(house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(person)).await.0, 201);
    }
    let at = |rest: &str| format!("/orgs/{}/{rest}", tenant.slug);
    let key = &tenant.org_key;
    let made = async |path: String, body: Option<Value>| {
        let (status, made) = house.api("POST", key, &path, body).await;
        assert_eq!(status, 201, "{path}: {made}");
        made
    };
    let client = made(at(&format!("directories/{}/clients", tenant.directory)), Some(json!({}))).await;
    let id = text(&client, "client_id").to_owned();
    let basic = |request: RequestBuilder| request.basic_auth(&id, Some(text(&client, "client_secret")));
    let form = [("grant_type", "client_credentials"), ("scope", "scim")];
    let fetched = body(basic(posted(house, "/oauth2/token", &form)).send().await.unwrap()).await;
    let audience = tenant.app.id.to_string();
    let service = json!({"name": "Importer", "roles": [], "audience": audience});
    let service = made(at("service-accounts"), Some(service)).await;
    let (service_id, service_secret) = (text(&service, "client_id"), text(&service, "client_secret"));
    let form = [("grant_type", "client_credentials")];
    let fetching = posted(house, "/oauth2/token", &form).basic_auth(service_id, Some(service_secret));
    let service_token = body(fetching.send().await.unwrap()).await;
    let hook = json!({"url": "http://localhost:1/hook", "events": ["domain.verified"]});
    let hook = made(at("webhooks"), Some(hook)).await;
    let domain = made(at("domains"), Some(json!({"name": format!("more.{}", tenant.domain)}))).await;
    let page = house.api("GET", key, &at("users?limit=1"), None).await.1;
    let found = house.scim("GET", &tenant.scim_token, "/scim/v2/Users?cursor=&count=1", None).await.1;
    let feed = house.api_as_app("GET", &tenant.app, "/revocations?wait_secs=0", None).await.1;
    let held = [
        ("scim bearer", tenant.scim_token.as_str()),
        ("fetched scim token", text(&fetched, "access_token")),
        ("platform key", &house.platform_key),
        ("org key", &tenant.org_key),
        ("app secret", &tenant.app.secret),
        ("directory secret", text(&client, "client_secret")),
        ("service secret", service_secret),
        ("service token", text(&service_token, "access_token")),
        ("feed cursor", text(&feed, "cursor")),
        ("api cursor", text(&page, "next_cursor")),
        ("scim cursor", text(&found, "nextCursor")),
        ("webhook secret", text(&hook, "secret")),
        ("domain's TXT value", text(&domain, "txt_value")),
    ];
    (held.map(|(kind, text)| (kind, text.to_owned())).into(), [id, service_id.to_owned()])
}

/// A person signed in, and before a second sign-in.
async fn kit(
    house: &'static House,
    tenant: &Tenant,
    (lasting, [client, service]): &(BTreeMap<&'static str, String>, [String; 2]),
) -> Kit {
    let mut door = to_the_acs(house, tenant).await;
    let (status, given) = redeem(house, tenant, &param(&door.post().await, "code")).await;
    assert_eq!(status, 200, "{given}");
    let silent = authorize_url(house, tenant, &[("prompt", "none")]);
    let code = param(&door.browser.get_once(&silent).await.unwrap(), "code");
    let cookie = |browser: &idp_fixtures::Browser, attempt: bool| {
        let ours = browser.cookies(&house.base).into_iter().filter(|cookie| cookie.name.starts_with("vst_"));
        let mut found = ours.filter(|cookie| cookie.name.starts_with("vst_session_") != attempt);
        found.next().map(|cookie| (cookie.name, cookie.value)).unwrap()
    };
    let session = cookie(&door.browser, false).1;
    let second = to_the_acs(house, tenant).await;
    let (attempt, sealed) = cookie(&second.browser, true);
    let said = claims(text(&given, "access_token"));
    let told = LogoutClaims {
        issuer: house.gw.links.issuer(),
        client_id: tenant.app.id,
        user: text(&said, "sub").parse().unwrap(),
        session: text(&said, "sid").parse().unwrap(),
        jti: "evt_1",
    };
    let ring = house.gw.keys.now();
    let logout = mint_logout(&told, ring.signer(SigningAlg::Es256).unwrap(), now()).unwrap();
    let mut desk = desk(house).await;
    desk.sign_in(tenant, "/").await;
    let pass = desk.pass().to_owned();
    let answer = desk.begin("to=/").await;
    let answer = desk.issuer.get_once(&answer).await.unwrap();
    let answer = answer.header("location").unwrap().split_once('?').unwrap().1.to_owned();
    let attempt_of = |(name, _): &(&String, &String)| name.starts_with("__Host-vestibule-att_");
    let (name, proxys) = desk.jar.iter().find(attempt_of).map(|(n, v)| (n.clone(), v.clone())).unwrap();
    let mut held = lasting.clone();
    held.extend([
        ("pass", pass),
        ("proxy's attempt", proxys),
        ("access token", text(&given, "access_token").to_owned()),
        ("id token", text(&given, "id_token").to_owned()),
        ("refresh token", text(&given, "refresh_token").to_owned()),
        ("logout token", logout),
        ("authorization code", code),
        ("session cookie", session),
        ("attempt cookie", sealed),
    ]);
    let (saml_response, relay_state) = (second.saml_response, second.relay_state);
    Kit {
        held,
        attempt,
        saml_response,
        relay_state,
        directory_client: client.clone(),
        service: service.clone(),
        desk,
        desk_answer: (answer, name),
    }
}

fn posted(house: &House, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let kind = "application/x-www-form-urlencoded";
    house.http.post(house.url(path)).header("content-type", kind).body(form)
}

async fn body(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default()
}

fn query(path: &str, pairs: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{path}?{query}")
}

/// The request that shows a text at this door.
fn showing(house: &House, tenant: &Tenant, kit: &Kit, door: &str, shown: &str) -> RequestBuilder {
    let (app, own) = (tenant.app.id.to_string(), Some(&tenant.app.secret));
    let form = |path, pairs: &[(&str, &str)]| posted(house, path, pairs).basic_auth(&app, own);
    let secret = |path, pairs: &[(&str, &str)]| posted(house, path, pairs).basic_auth(&app, Some(shown));
    let get = |path: &str| house.http.get(house.url(path));
    let cookie = format!("vst_session_{}={shown}", tenant.org);
    let by_code = [("grant_type", "authorization_code"), ("code", shown), ("code_verifier", VERIFIER)];
    match door {
        "userinfo" => get("/oauth2/userinfo").bearer_auth(shown),
        "introspect: token" => form("/oauth2/introspect", &[("token", shown)]),
        "introspect: secret" => secret("/oauth2/introspect", &[("token", &kit.held["access token"])]),
        "revoke: token" => form("/oauth2/revoke", &[("token", shown)]),
        "revoke: secret" => secret("/oauth2/revoke", &[("token", "none of ours")]),
        "token: code" => form("/oauth2/token", &by_code),
        "token: refresh token" => {
            form("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", shown)])
        }
        "token: secret" => secret(
            "/oauth2/token",
            &[("grant_type", "refresh_token"), ("refresh_token", &kit.held["refresh token"])],
        ),
        "token: directory's secret" => {
            posted(house, "/oauth2/token", &[("grant_type", "client_credentials"), ("scope", "scim")])
                .basic_auth(&kit.directory_client, Some(shown))
        }
        "token: service account's secret" => {
            posted(house, "/oauth2/token", &[("grant_type", "client_credentials")])
                .basic_auth(&kit.service, Some(shown))
        }
        "leave: hint" => get(&query("/oauth2/logout", &[("id_token_hint", shown)])),
        "authorize: hint" => {
            house.http.get(authorize_url(house, tenant, &[("prompt", "none"), ("id_token_hint", shown)]))
        }
        "authorize: session" => {
            house.http.get(authorize_url(house, tenant, &[("prompt", "none")])).header("cookie", cookie)
        }
        "sign-out: session" => posted(house, "/logout", &[]).header("cookie", cookie),
        "account: session" => get("/account").header("cookie", cookie),
        "forward: bearer" => get(&query("/forward-auth", &[("app", &app)])).bearer_auth(shown),
        "forward: pass" => at_the_desk(house, kit, shown),
        "proxy callback: attempt" => {
            let (query, name) = &kit.desk_answer;
            get(&format!("/proxy/{}/callback?{query}", kit.desk.app))
                .header("cookie", format!("{name}={shown}"))
        }
        "proxy sign-out: pass" => posted(house, &format!("/proxy/{}/sign-out", kit.desk.app), &[])
            .header("cookie", format!("__Host-vestibule-pass={shown}")),
        "streams: secret" => get("/ssf/streams").basic_auth(&app, Some(shown)),
        "assertion consumer: attempt" => {
            let fields = [("SAMLResponse", &*kit.saml_response), ("RelayState", &*kit.relay_state)];
            let path = format!("/saml/{}/acs", tenant.connection);
            posted(house, &path, &fields).header("cookie", format!("{}={shown}", kit.attempt))
        }
        "scim: bearer" => get("/scim/v2/Users").bearer_auth(shown),
        "scim: cursor" => get(&query("/scim/v2/Users", &[("cursor", shown), ("count", "1")]))
            .bearer_auth(&tenant.scim_token),
        "org api: bearer" => get(&format!("/api/v1/orgs/{}/users", tenant.slug)).bearer_auth(shown),
        "org api: cursor" => {
            let path = format!("/api/v1/orgs/{}/users", tenant.slug);
            get(&query(&path, &[("limit", "1"), ("cursor", shown)])).bearer_auth(&tenant.org_key)
        }
        "platform api: bearer" => get("/api/v1/apps").bearer_auth(shown),
        "feed: secret" => get("/api/v1/revocations?wait_secs=0").basic_auth(&app, Some(shown)),
        "feed: cursor" => {
            get(&query("/api/v1/revocations", &[("wait_secs", "0"), ("after", shown)])).basic_auth(&app, own)
        }
        other => panic!("no request for {other}"),
    }
}

/// A request that the proxy before the app holds, with this as its pass.
fn at_the_desk(house: &House, kit: &Kit, shown: &str) -> RequestBuilder {
    let url = house.url(&query("/forward-auth", &[("app", &kit.desk.app)]));
    house.http.get(url).header("cookie", format!("__Host-vestibule-pass={shown}"))
}

/// Whether the door opened. One that did not has to say so in its own dialect.
async fn knock(house: &House, tenant: &Tenant, kit: &Kit, door: &str, shown: &str) -> Result<bool, String> {
    let sent = showing(house, tenant, kit, door, shown).send().await.unwrap();
    let (status, location) = (sent.status().as_u16(), sent.headers().get("location").cloned());
    let kind =
        sent.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let text = sent.text().await.unwrap();
    let said: Value = serde_json::from_str(&text).unwrap_or_default();
    let wrong = || Err(format!("{status} {kind} {text}"));
    let refused = |right: bool| if right { Ok(false) } else { wrong() };
    let page = kind.starts_with("text/html");
    match (door, status) {
        ("introspect: token", 200) => said["active"].as_bool().map_or_else(wrong, Ok),
        // RFC 7009 2.2: an unknown token is answered alike. What it did is asked for.
        ("revoke: token", 200) | ("sign-out: session", 200) => {
            Ok(!is_active(house, tenant, &kit.held["access token"]).await)
        }
        ("authorize: session", 303) => {
            let back = location.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
            if back.contains("code=") { Ok(true) } else { refused(back.contains("error=login_required")) }
        }
        // It means somebody, who is not signed in.
        ("authorize: hint", 303) => {
            let back = location.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
            if back.contains("error=login_required") {
                Ok(true)
            } else {
                refused(back.contains("error=invalid_request"))
            }
        }
        ("account: session", 200) => Ok(!text.contains("You are not signed in")),
        ("proxy sign-out: pass", 303) => {
            let own = at_the_desk(house, kit, &kit.held["pass"]).send().await.unwrap();
            Ok(own.status().as_u16() == 401)
        }
        ("proxy callback: attempt", 400) => refused(page && !text.contains(shown)),
        ("forward: bearer" | "forward: pass", 401) => refused(said["error"] == "invalid_token"),
        // It has no stream yet.
        ("streams: secret", 404) => Ok(true),
        // A position that is none of this database is told as a gap, with what there is.
        ("feed: cursor", 200) => Ok(said["gap"] == false),
        ("feed: cursor" | "org api: cursor", 400) => refused(said["code"].is_string()),
        ("scim: cursor", 400) => refused(said["scimType"].is_string()),
        ("assertion consumer: attempt" | "proxy callback: attempt", 303) | (_, 200) => Ok(true),
        ("leave: hint" | "assertion consumer: attempt", 400) => refused(page && !text.contains(shown)),
        ("token: code" | "token: refresh token", 400) => refused(said["error"] == "invalid_grant"),
        ("userinfo", 401) => refused(said["error"] == "invalid_token"),
        (
            "token: secret"
            | "introspect: secret"
            | "revoke: secret"
            | "token: directory's secret"
            | "token: service account's secret"
            | "streams: secret",
            401,
        ) => refused(said["error"] == "invalid_client"),
        ("scim: bearer", 401) => {
            refused(said["schemas"] == json!(["urn:ietf:params:scim:api:messages:2.0:Error"]))
        }
        ("org api: bearer" | "platform api: bearer", 401) => {
            refused(kind == "application/problem+json" && said["code"] == "api.unauthorized")
        }
        ("feed: secret", 401) => refused(kind == "application/problem+json" && said["code"].is_string()),
        _ => wrong(),
    }
}

#[tokio::test]
async fn each_token_opens_its_own_doors_and_no_other() {
    let house = house();
    let tenant = house.tenant().await;
    let lasting = lasting(house, &tenant).await;
    let one = kit(house, &tenant, &lasting).await;
    let given: BTreeSet<&str> = one.held.keys().copied().collect();
    assert_eq!(
        given,
        OPENS.iter().map(|(kind, _)| *kind).collect(),
        "what is given out, and what is expected"
    );
    let mut amiss = Vec::new();
    for (kind, opens) in OPENS {
        for door in DOORS.iter().filter(|door| !opens.contains(door)) {
            match knock(house, &tenant, &one, door, &one.held[kind]).await {
                Ok(false) => {}
                Ok(true) => amiss.push(format!("{kind} opens {door}")),
                Err(said) => amiss.push(format!("{kind} at {door}: {said}")),
            }
        }
    }
    assert!(amiss.is_empty(), "{amiss:#?}");
    // None of it cost what is in the kit anything.
    assert!(is_active(house, &tenant, &one.held["access token"]).await);
    assert_eq!(refresh(house, &tenant, &one.held["refresh token"]).await.0, 200);
    for (kind, opens) in OPENS {
        for door in *opens {
            let fresh = kit(house, &tenant, &lasting).await;
            let knocked = knock(house, &tenant, &fresh, door, &fresh.held[kind]).await;
            assert_eq!(knocked, Ok(true), "{kind} at {door}");
        }
    }
}

#[test]
fn every_route_and_every_form_of_a_credential_stands_in_the_matrix() {
    let label = |entry: &Entry| format!("{} {}", entry.method, entry.path);
    for entry in routes() {
        let label = label(entry);
        let takes = TAKES.iter().any(|(route, _)| *route == label);
        let nothing = NOTHING.contains(&label.as_str());
        match entry.door {
            DoorKind::Scim | DoorKind::Org | DoorKind::Platform => assert!(!takes && !nothing, "{label}"),
            DoorKind::Client | DoorKind::Bearer => assert!(takes && !nothing, "{label}: by which door?"),
            DoorKind::Open => assert!(takes != nothing, "{label}: which credential does it take, if any?"),
        }
    }
    let known: BTreeSet<String> = routes().map(label).collect();
    for route in TAKES.iter().map(|(route, _)| *route).chain(NOTHING.iter().copied()) {
        assert!(known.contains(route), "no route {route}");
    }
    for (route, door) in TAKES {
        assert!(DOORS.contains(door), "{route}: no door {door}");
    }
    let opened: BTreeSet<&str> = OPENS.iter().flat_map(|(_, doors)| doors.iter().copied()).collect();
    assert_eq!(opened, DOORS.iter().copied().collect(), "a door that nothing opens, or that is not there");
    let forms = [
        (CredentialKind::Platform, "platform key"),
        (CredentialKind::OrgKey, "org key"),
        (CredentialKind::Scim, "scim bearer"),
        (CredentialKind::ScimAccess, "fetched scim token"),
        (CredentialKind::Session, "session cookie"),
        (CredentialKind::ClientSecret, "app secret"),
    ];
    for kind in CredentialKind::ALL {
        let named = forms.iter().filter(|(form, _)| *form == kind).count();
        assert_eq!(named + usize::from(NOT_GIVEN.contains(&kind)), 1, "{kind:?} is not in the matrix");
    }
}
