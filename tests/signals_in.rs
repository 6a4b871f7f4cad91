//! What a customer's identity provider tells us of its people's sessions, and what it may not tell: logout
//! tokens, Global Token Revocations (Okta's Universal Logout) and Security Event Tokens.

use crate::{
    house::{
        House, Site, Tenant, house, now,
        openid::{at_an_openid_provider, connected, sign_in},
        walk::{claims, is_active, refresh, text, tokens},
    },
    scim_bulk_rehearsed::within,
};
use idp_fixtures::OidcIdp;
use model::{
    Chance,
    ids::{ConnectionId, EventId},
};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use vestibule::seams::SystemChance;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn jti() -> String {
    EventId::new(now(), &SystemChance as &dyn Chance).to_string()
}

fn merged(mut base: Value, more: Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    base
}

fn typ(typ: &str) -> Map<String, Value> {
    Map::from_iter([("typ".to_owned(), json!(typ))])
}

/// A request as the identity provider makes it: status, and what was said.
async fn post(house: &House, path: &str, bearer: Option<&str>, (kind, body): (&str, String)) -> (u16, Value) {
    let mut request = house.http.post(house.url(path)).header("content-type", kind).body(body);
    if let Some(token) = bearer {
        request = request.bearer_auth(token);
    }
    let sent = request.send().await.unwrap();
    let status = sent.status().as_u16();
    if status != 404 {
        assert_eq!(sent.headers()["cache-control"], "no-store");
    }
    let text = sent.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn logout_token(idp: &OidcIdp, more: Value) -> String {
    let at = now().secs();
    let base = json!({"iss": idp.issuer(), "aud": "vestibule", "iat": at, "exp": at + 120, "jti": jti(),
        "events": {LOGOUT: {}}});
    idp.sign(typ("logout+jwt"), &merged(base, more)).unwrap()
}

async fn log_out(house: &House, con: ConnectionId, token: &str) -> (u16, Value) {
    let form = ("application/x-www-form-urlencoded", format!("logout_token={token}"));
    post(house, &format!("/oidc/{con}/backchannel-logout"), None, form).await
}

fn revocation_token(house: &House, idp: &OidcIdp, con: ConnectionId, more: Value) -> String {
    let at = now().secs();
    let base = json!({"iss": idp.issuer(), "aud": house.gw.links.revocation_endpoint(con), "sub": "vestibule",
        "iat": at, "nbf": at - 300, "exp": at + 300, "jti": jti()});
    idp.sign(typ("global-token-revocation+jwt"), &merged(base, more)).unwrap()
}

async fn revoke(house: &House, con: ConnectionId, token: &str, subject: Value) -> (u16, Value) {
    let body = ("application/json", json!({"sub_id": subject}).to_string());
    post(house, &format!("/signals/{con}/global-token-revocation"), Some(token), body).await
}

fn event(house: &House, idp: &OidcIdp, con: ConnectionId, uri: &str, more: Value) -> String {
    let base = json!({"iss": idp.issuer(), "aud": house.gw.links.events_endpoint(con), "iat": now().secs(),
        "jti": jti(), "events": {uri: {"event_timestamp": now().secs(), "reason_admin": {"en": "x"}}}});
    idp.sign(typ("secevent+jwt"), &merged(base, more)).unwrap()
}

async fn push(house: &House, con: ConnectionId, set: &str) -> (u16, Value) {
    let body = ("application/secevent+jwt", set.to_owned());
    post(house, &format!("/signals/{con}/events"), None, body).await
}

async fn alive(house: &House, tenant: &Tenant, tokens: &Value) -> bool {
    is_active(house, tenant, text(tokens, "access_token")).await
}

async fn dead(house: &House, tenant: &Tenant, tokens: &Value) {
    assert!(!alive(house, tenant, tokens).await, "the access token");
    assert_eq!(refresh(house, tenant, text(tokens, "refresh_token")).await.0, 400, "the refresh token");
}

/// The newest audit event of this action.
async fn recorded(house: &House, tenant: &Tenant, action: &str) -> Value {
    let path = format!("/orgs/{}/audit/events?action={action}", tenant.slug);
    house.api("GET", &tenant.org_key, &path, None).await.1["data"][0].clone()
}

fn value<'a>(event: &'a Value, path: &str) -> &'a Value {
    &event["values"][path]
}

fn person(idp: &OidcIdp, login: &str) -> Value {
    json!({"format": "iss_sub", "iss": idp.issuer(), "sub": idp.subject(login, "vestibule").unwrap()})
}

#[tokio::test]
async fn a_logout_token_ends_its_session_and_its_persons() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    let con = tenant.connection;
    let sub = idp.subject(&grace, "vestibule").unwrap();
    idp.set_claim("sid", json!("upstream-1"));
    let first = sign_in(house, &tenant, &grace).await.unwrap();
    idp.set_claim("sid", json!("upstream-2"));
    let second = sign_in(house, &tenant, &grace).await.unwrap();
    // Neither a session that nobody has here, nor another person's with this one's name, ends anything.
    for nobody in
        [json!({"sid": "upstream-3"}), json!({"sid": "upstream-1", "sub": "else"}), json!({"sub": "x"})]
    {
        assert_eq!(log_out(house, con, &logout_token(&idp, nobody)).await.0, 200);
    }
    assert!(alive(house, &tenant, &first).await && alive(house, &tenant, &second).await);
    assert_eq!(value(&recorded(house, &tenant, "signal.ignored").await, "why"), "unknown_subject");
    let token = logout_token(&idp, json!({"sid": "upstream-1"}));
    assert_eq!(log_out(house, con, &token).await, (200, json!("")));
    dead(house, &tenant, &first).await;
    assert!(alive(house, &tenant, &second).await, "another session of the same person");
    let event = recorded(house, &tenant, "session.revoked").await;
    assert_eq!(event["actor"]["id"], json!(con));
    // A token works once, and what it says is over stays so.
    let (status, said) = log_out(house, con, &token).await;
    assert_eq!((status, &said["error_description"]), (400, &json!("signals.replayed")));
    assert_eq!(value(&recorded(house, &tenant, "signal.refused").await, "code"), "signals.replayed");
    assert_eq!(log_out(house, con, &logout_token(&idp, json!({"sub": sub}))).await.0, 200);
    dead(house, &tenant, &second).await;
    let again = sign_in(house, &tenant, &grace).await.unwrap();
    assert!(alive(house, &tenant, &again).await);
}

/// However many are signed in: a provider's session is found by its name.
#[tokio::test]
async fn a_providers_session_is_found_by_its_name_among_many() {
    let house = Site::named("upstream").open();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    idp.set_claim("sid", json!("upstream-1"));
    let one = sign_in(house, &tenant, &grace).await.unwrap();
    let mut inside = within(house, &tenant).await;
    let many = "INSERT INTO vst.sessions (org_id, ses_id, user_id, con_id, digest, rs, acr, amr, auth_time, created_at,
                                          seen_at, expires_at, upstream_sid)
                SELECT org_id, gen_random_uuid(), user_id, con_id, sha256(n::text::bytea), rs, acr, amr, auth_time,
                       created_at, seen_at, expires_at, 'another-' || n
                  FROM vst.sessions, generate_series(1, 20000) AS n";
    assert_eq!(sqlx::query(many).execute(&mut inside).await.unwrap().rows_affected(), 20_000);
    sqlx::raw_sql("COMMIT; SET ROLE vst_owner; ANALYZE vst.sessions").execute(&mut inside).await.unwrap();
    let token = logout_token(&idp, json!({"sid": "upstream-1"}));
    assert_eq!(log_out(house, tenant.connection, &token).await, (200, json!("")));
    dead(house, &tenant, &one).await;
    let used = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'sessions_by_upstream'";
    let late = Instant::now() + Duration::from_secs(30);
    while sqlx::query_scalar::<_, i64>(used).fetch_one(&mut inside).await.unwrap() == 0 {
        assert!(Instant::now() < late, "all that are signed in were read");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Threat 15 and CVE-2026-18569, and threat 17: a token of one purpose is none of another's.
#[tokio::test]
async fn threat_17_no_other_token_of_the_providers_is_a_signal() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    let (con, sub) = (tenant.connection, idp.subject(&grace, "vestibule").unwrap());
    let live = sign_in(house, &tenant, &grace).await.unwrap();
    let logout = logout_token(&idp, json!({"sub": sub}));
    let revocation = revocation_token(house, &idp, con, json!({}));
    let set =
        event(house, &idp, con, &format!("{CAEP}session-revoked"), json!({"sub_id": person(&idp, &grace)}));
    let at = now().secs();
    let id_token = json!({"iss": idp.issuer(), "aud": "vestibule", "sub": sub, "iat": at, "exp": at + 60, "nonce": "n", "jti": jti()});
    let id_token = idp.sign(typ("JWT"), &id_token).unwrap();
    let ours = [text(&live, "access_token"), text(&live, "id_token")];
    for foreign in [revocation.as_str(), &set, &id_token, ours[0], ours[1], "x"] {
        let (status, said) = log_out(house, con, foreign).await;
        assert_eq!((status, &said["error"]), (400, &json!("invalid_request")), "{said}");
    }
    for foreign in [logout.as_str(), &set, &id_token, ours[0], ours[1], "x"] {
        assert_eq!(revoke(house, con, foreign, person(&idp, &grace)).await.0, 401);
    }
    for foreign in [logout.as_str(), &revocation, &id_token, ours[0], ours[1], "x"] {
        let (status, said) = push(house, con, foreign).await;
        assert_eq!(status, 400, "{said}");
        assert!(["invalid_key", "invalid_request"].contains(&said["err"].as_str().unwrap()), "{said}");
    }
    for alg in ["none", "HS256"] {
        let mut header = typ("logout+jwt");
        header.insert("alg".into(), json!(alg));
        let claims = claims(&logout_token(&idp, json!({"sub": sub})));
        let (status, said) = log_out(house, con, &idp.sign(header, &claims).unwrap()).await;
        assert_eq!((status, &said["error_description"]), (400, &json!("signals.header")), "{alg}");
    }
    assert!(alive(house, &tenant, &live).await);
    // Nor is a signal anything else: not an ID token's place, nor a bearer's.
    for signal in [&logout, &revocation, &set] {
        let sent = house.http.get(house.url("/oauth2/userinfo")).bearer_auth(signal).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 401);
    }
}

/// Threats 4, 26 and 29: what one connection's provider signs ends nothing at another's.
#[tokio::test]
async fn threat_26_another_connections_provider_ends_nothing_here() {
    let house = house();
    let (a, idp_a, _) = at_an_openid_provider(house).await;
    let (b, idp_b, grace) = at_an_openid_provider(house).await;
    idp_b.set_claim("sid", json!("s"));
    let victim = sign_in(house, &b, &grace).await.unwrap();
    let sub = idp_b.subject(&grace, "vestibule").unwrap();
    let subjects = [
        person(&idp_b, &grace),
        json!({"format": "iss_sub", "iss": idp_a.issuer(), "sub": sub}),
        json!({"format": "email", "email": grace}),
        json!({"format": "opaque", "id": sub}),
    ];
    let revoked = format!("{CAEP}session-revoked");
    // A's provider at its own door, in B's name, and at B's door.
    for named in [json!({"sub": sub}), json!({"sid": "s"}), json!({"sub": sub, "sid": "s"})] {
        assert_eq!(log_out(house, a.connection, &logout_token(&idp_a, named.clone())).await.0, 200);
        let forged = merged(named, json!({"iss": idp_b.issuer()}));
        assert_eq!(log_out(house, a.connection, &logout_token(&idp_a, forged.clone())).await.0, 400);
        assert_eq!(log_out(house, b.connection, &logout_token(&idp_a, forged)).await.0, 400);
    }
    for subject in subjects {
        let own = revocation_token(house, &idp_a, a.connection, json!({}));
        assert_eq!(revoke(house, a.connection, &own, subject.clone()).await.0, 404, "{subject}");
        let iss = json!({"iss": idp_b.issuer()});
        let forged = revocation_token(house, &idp_a, b.connection, iss.clone());
        assert_eq!(revoke(house, b.connection, &forged, subject.clone()).await.0, 401);
        let more = json!({"sub_id": subject});
        let own = event(house, &idp_a, a.connection, &revoked, more.clone());
        assert_eq!(push(house, a.connection, &own).await.0, 202);
        let forged = event(house, &idp_a, b.connection, &revoked, merged(more, iss));
        let (status, said) = push(house, b.connection, &forged).await;
        assert_eq!((status, &said["err"]), (400, &json!("invalid_key")));
    }
    // B's own provider, for somebody else: another client, another connection.
    let elsewhere = revocation_token(house, &idp_b, a.connection, json!({}));
    let (status, said) = revoke(house, b.connection, &elsewhere, person(&idp_b, &grace)).await;
    assert_eq!((status, &said["error_description"]), (401, &json!("signals.audience")));
    let client = revocation_token(house, &idp_b, b.connection, json!({"sub": "another"}));
    let (status, said) = revoke(house, b.connection, &client, person(&idp_b, &grace)).await;
    assert_eq!((status, &said["error_description"]), (401, &json!("signals.subject")));
    let more = json!({"sub_id": person(&idp_b, &grace), "aud": house.gw.links.events_endpoint(a.connection)});
    let (_, said) = push(house, b.connection, &event(house, &idp_b, b.connection, &revoked, more)).await;
    assert_eq!(said["err"], "invalid_audience");
    let token = logout_token(&idp_b, json!({"sub": sub, "aud": "another"}));
    let (_, said) = log_out(house, b.connection, &token).await;
    assert_eq!(said["error_description"], "signals.audience");
    assert!(alive(house, &b, &victim).await);
}

#[tokio::test]
async fn universal_logout_ends_everything_of_a_person_refresh_tokens_too() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    let con = tenant.connection;
    let sub = idp.subject(&grace, "vestibule").unwrap();
    for subject in [
        person(&idp, &grace),
        json!({"format": "email", "email": grace.to_uppercase()}),
        json!({"format": "opaque", "id": sub}),
    ] {
        let live = sign_in(house, &tenant, &grace).await.unwrap();
        let token = revocation_token(house, &idp, con, json!({}));
        assert_eq!(revoke(house, con, &token, subject.clone()).await, (204, json!("")), "{subject}");
        dead(house, &tenant, &live).await;
        let (status, said) = revoke(house, con, &token, subject).await;
        assert_eq!((status, &said["error_description"]), (401, &json!("signals.replayed")));
    }
    let live = sign_in(house, &tenant, &grace).await.unwrap();
    let user = text(&claims(text(&live, "access_token")), "sub").to_owned();
    let path = format!("/orgs/{}/users/{user}/deprovisionings", tenant.slug);
    let (_, list) = house.api("GET", &tenant.org_key, &path, None).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 3, "a receipt each");
    assert_eq!(
        (&list["data"][0]["cause"], &list["data"][0]["sessions_ended"]),
        (&json!("global_token_revocation"), &json!(1))
    );
    // What is wrong is said, and ends nothing.
    let path = format!("/signals/{con}/global-token-revocation");
    for body in
        ["", "{}", r#"{"sub_id":{"format":"uid","id":"x"}}"#, r#"{"subject":{"format":"email","email":"a"}}"#]
    {
        let token = revocation_token(house, &idp, con, json!({}));
        let (status, said) = post(house, &path, Some(&token), ("application/json", body.to_owned())).await;
        assert_eq!((status, &said["error_description"]), (400, &json!("signals.body")), "{body}");
    }
    let good = json!({"sub_id": person(&idp, &grace)}).to_string();
    let token = revocation_token(house, &idp, con, json!({}));
    assert_eq!(post(house, &path, None, ("application/json", good.clone())).await.0, 401);
    assert_eq!(post(house, &path, Some(&token), ("text/plain", good.clone())).await.0, 400);
    let large = format!("{good}{}", " ".repeat(40_000));
    assert_eq!(post(house, &path, Some(&token), ("application/json", large)).await.0, 400);
    let unknown = json!({"format": "iss_sub", "iss": idp.issuer(), "sub": "nobody"});
    assert_eq!(revoke(house, con, &token, unknown).await.0, 404);
    let at = now().secs();
    for more in
        [json!({"exp": at - 61}), json!({"iat": at - 700}), json!({"exp": null}), json!({"jti": null})]
    {
        let token = revocation_token(house, &idp, con, more.clone());
        assert_eq!(revoke(house, con, &token, person(&idp, &grace)).await.0, 401, "{more}");
    }
    assert!(alive(house, &tenant, &live).await);
}

#[tokio::test]
async fn events_end_what_they_say_and_others_are_only_noted() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    let con = tenant.connection;
    for uri in [
        format!("{CAEP}session-revoked"),
        format!("{CAEP}credential-change"),
        format!("{RISC}account-disabled"),
        format!("{RISC}account-purged"),
        format!("{RISC}credential-compromise"),
    ] {
        let live = sign_in(house, &tenant, &grace).await.unwrap();
        let set = event(house, &idp, con, &uri, json!({"sub_id": person(&idp, &grace)}));
        assert_eq!(push(house, con, &set).await, (202, json!("")), "{uri}");
        dead(house, &tenant, &live).await;
        let next = sign_in(house, &tenant, &grace).await.unwrap();
        // The same once more: acknowledged, and nothing of it.
        assert_eq!(push(house, con, &set).await.0, 202);
        assert!(alive(house, &tenant, &next).await, "{uri}: an event happens once");
    }
    idp.set_claim("sid", json!("one"));
    let one = sign_in(house, &tenant, &grace).await.unwrap();
    idp.set_claim("sid", json!("two"));
    let two = sign_in(house, &tenant, &grace).await.unwrap();
    let part = json!({"format": "complex", "user": person(&idp, &grace), "session": {"format": "opaque", "id": "one"}});
    let set = event(house, &idp, con, &format!("{CAEP}session-revoked"), json!({"sub_id": part}));
    assert_eq!(push(house, con, &set).await.0, 202);
    dead(house, &tenant, &one).await;
    assert!(alive(house, &tenant, &two).await, "another session of the person");
    let stream = json!({"sub_id": {"format": "opaque", "id": "stream"}});
    let verify = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    assert_eq!(push(house, con, &event(house, &idp, con, verify, stream)).await.0, 202);
    assert_eq!(recorded(house, &tenant, "signal.verified").await["target"]["id"], json!(con));
    let enabled = format!("{RISC}account-enabled");
    let more = json!({"sub_id": person(&idp, &grace)});
    assert_eq!(push(house, con, &event(house, &idp, con, &enabled, more.clone())).await.0, 202);
    let ignored = recorded(house, &tenant, "signal.ignored").await;
    assert_eq!((value(&ignored, "why"), value(&ignored, "kind")), (&json!("unknown_event"), &json!(enabled)));
    for (spoil, err) in [
        (json!({"iss": "https://evil.example"}), "invalid_issuer"),
        (json!({"aud": "them"}), "invalid_audience"),
        (json!({"exp": now().secs() + 60}), "invalid_request"),
        (json!({"sub": "x"}), "invalid_request"),
        (json!({"events": {"a": {}, "b": {}}}), "invalid_request"),
        (json!({"sub_id": null}), "invalid_request"),
    ] {
        let set =
            event(house, &idp, con, &format!("{CAEP}session-revoked"), merged(more.clone(), spoil.clone()));
        let (status, said) = push(house, con, &set).await;
        assert_eq!((status, &said["err"]), (400, &json!(err)), "{spoil}");
        assert!(said["description"].is_string());
    }
    let path = format!("/signals/{con}/events");
    let set = event(house, &idp, con, &format!("{CAEP}session-revoked"), more);
    assert_eq!(post(house, &path, None, ("application/json", set)).await.0, 400);
    assert!(alive(house, &tenant, &two).await);
}

/// A SAML connection has no keys for this of its own: it names them. What its provider calls a person is the
/// NameID, in its entity id's name.
#[tokio::test]
async fn a_saml_connection_names_whose_signals_it_heeds() {
    let house = house();
    let tenant = house.tenant().await;
    let (_elsewhere, idp, _) = at_an_openid_provider(house).await;
    let con = tenant.connection;
    let live = tokens(house, &tenant).await;
    let ada = format!("ada@{}", tenant.domain);
    let token = || revocation_token(house, &idp, con, json!({"sub": "anything"}));
    let email = json!({"format": "email", "email": ada});
    let (status, said) = revoke(house, con, &token(), email.clone()).await;
    assert_eq!((status, &said["error_description"]), (401, &json!("signals.not_configured")));
    let path = format!("/orgs/{}/connections/{con}", tenant.slug);
    let signals = json!({"issuer": idp.issuer(), "jwks_url": idp.jwks_url()});
    let body = json!({"signals": signals});
    // What an enabled connection trusts is not its org's key to say.
    let (status, said) = house.api("PATCH", &tenant.org_key, &path, Some(body.clone())).await;
    assert_eq!((status, &said["code"]), (422, &json!("connection.not_rehearsed")));
    for wrong in ["http://10.0.0.1/keys", "https://169.254.169.254/keys", "ftp://x.example/"] {
        let body = json!({"signals": {"issuer": "x", "jwks_url": wrong}});
        let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(body)).await;
        assert_eq!(
            (status, &said["code"], &said["field"]),
            (400, &json!("api.url_refused"), &json!("signals.jwks_url"))
        );
    }
    let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(body)).await;
    assert_eq!((status, &said["config"]["signals"]), (200, &signals), "{said}");
    assert_eq!(said["sp"]["signals_url"], json!(house.gw.links.events_endpoint(con)));
    let (saml_issuer, name_id) = (said["config"]["idp_entity_id"].clone(), json!(ada));
    let stranger = json!({"format": "iss_sub", "iss": "https://else.example", "sub": name_id});
    assert_eq!(revoke(house, con, &token(), stranger).await.0, 404);
    let named = json!({"format": "iss_sub", "iss": saml_issuer, "sub": name_id});
    let found = revoke(house, con, &token(), named).await.0;
    let found = if found == 204 { found } else { revoke(house, con, &token(), email.clone()).await.0 };
    assert_eq!(found, 204);
    dead(house, &tenant, &live).await;
    let again = tokens(house, &tenant).await;
    let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(json!({"signals": null}))).await;
    assert_eq!((status, &said["config"]["signals"]), (200, &Value::Null));
    assert_eq!(revoke(house, con, &token(), email).await.0, 401);
    assert_eq!(
        log_out(house, con, &logout_token(&idp, json!({"sub": ada}))).await.0,
        400,
        "no logout token for SAML"
    );
    assert!(alive(house, &tenant, &again).await);
}

/// Threat 7: a connection that is not enabled says nothing; and one that is, may hear another issuer.
#[tokio::test]
async fn threat_7_a_disabled_connection_has_no_say() {
    let house = house();
    let (tenant, idp, grace) = connected(house, house.tenant().await, json!({"jit": true})).await;
    let con = tenant.connection;
    let path = format!("/orgs/{}/connections/{con}/disable", tenant.slug);
    assert!(sign_in(house, &tenant, &grace).await.is_ok());
    assert_eq!(house.api("POST", &tenant.org_key, &path, None).await.0, 200);
    let token = revocation_token(house, &idp, con, json!({}));
    assert_eq!(revoke(house, con, &token, person(&idp, &grace)).await.0, 404);
    let set =
        event(house, &idp, con, &format!("{CAEP}session-revoked"), json!({"sub_id": person(&idp, &grace)}));
    assert_eq!(push(house, con, &set).await.0, 404);
    assert_eq!(log_out(house, con, &logout_token(&idp, json!({"sub": "x"}))).await.0, 404);
    let nobody = ConnectionId::new(now(), &SystemChance);
    assert_eq!(push(house, nobody, &set).await.0, 404);
}

/// Of one org, too: who has no identity at a connection is nobody to its provider.
#[tokio::test]
async fn a_connection_means_its_own_people_and_their_sessions_by_it() {
    let house = house();
    let tenant = house.tenant().await;
    let saml = tenant.connection;
    let (tenant, idp, grace) = connected(house, tenant, json!({"jit": true})).await;
    let con = tenant.connection;
    let path = format!("/orgs/{}/connections/{saml}/enable", tenant.slug);
    assert_eq!(house.api("POST", &house.platform_key, &path, None).await.0, 200);
    let ada = format!("ada@{}", tenant.domain);
    let own = Tenant { connection: saml, ..tenant };
    let start = crate::house::authorize_url(house, &own, &[("connection", &saml.to_string())]);
    let mut browser = idp_fixtures::Browser::new().unwrap();
    let page =
        browser.sign_in_until(&start, &ada, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    let (answer, relay) = (page.field("SAMLResponse").unwrap(), page.field("RelayState").unwrap());
    let fields = [("SAMLResponse", answer.as_str()), ("RelayState", relay.as_str())];
    let page = browser.post_once(&house.gw.links.saml_acs(saml), &fields).await.unwrap();
    let (_, live) = crate::house::walk::redeem(house, &own, &crate::house::walk::param(&page, "code")).await;
    for subject in [
        json!({"format": "email", "email": ada}),
        json!({"format": "opaque", "id": ada}),
        json!({"format": "iss_sub", "iss": idp.issuer(), "sub": ada}),
    ] {
        let token = revocation_token(house, &idp, con, json!({}));
        assert_eq!(revoke(house, con, &token, subject.clone()).await.0, 404, "{subject}");
        let set = event(house, &idp, con, &format!("{CAEP}session-revoked"), json!({"sub_id": subject}));
        assert_eq!(push(house, con, &set).await.0, 202);
    }
    for more in
        [json!({"sub": ada}), json!({"sid": ada}), json!({"sub": idp.subject(&grace, "vestibule").unwrap()})]
    {
        assert_eq!(log_out(house, con, &logout_token(&idp, more)).await.0, 200);
    }
    assert!(alive(house, &own, &live).await);
}
