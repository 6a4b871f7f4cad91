//! A browser signs in at an app behind a proxy: what it is given, and what of a sign-in is held to the browser that
//! began it, to the app and to the app's own address.

use crate::{
    house::{
        TestApp, VERIFIER, authorize_url, challenge,
        front::{Desk, FRONT, Seen, desk, desk_with},
        house, now,
        walk::{param, to_the_acs},
    },
    operations::inside,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::ids::{AppId, AttemptId};
use serde_json::json;
use std::collections::BTreeMap;
use vestibule::seams::SystemChance;

fn query_of(url: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(url.split_once('?').unwrap().1.as_bytes()).into_owned().collect()
}

/// An attempt as it would be sealed for this app: with a verifier that is known here.
fn planted(desk: &mut Desk, redirect_uri: &str, lives_secs: i64) -> String {
    let (id, app): (AttemptId, AppId) = (AttemptId::new(now(), &SystemChance), desk.app.parse().unwrap());
    let plain = json!({"redirect_uri": redirect_uri, "verifier": VERIFIER, "to": "/x",
                       "expires_at": now().secs() + lives_secs});
    let belongs = [id.uuid().into_bytes(), app.uuid().into_bytes()].concat();
    let gw = &house().gw;
    let sealed = gw.db.seals().seal("proxy.attempt", &belongs, plain.to_string().as_bytes(), &SystemChance);
    let sealed = URL_SAFE_NO_PAD.encode(sealed.unwrap());
    desk.jar.insert(format!("__Host-vestibule-{id}"), sealed);
    id.to_string()
}

async fn answer(desk: &mut Desk, code: &str, state: &str) -> Seen {
    let said = [("code", code), ("state", state), ("iss", house().base.as_str())];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(said).finish();
    desk.ask("GET", &format!("callback?{query}"), &[]).await
}

#[tokio::test]
async fn a_browser_signs_in_and_holds_a_pass_that_is_asked_about_and_no_token() {
    let house = house();
    let (tenant, mut desk) = (house.tenant().await, desk(house).await);
    let stopped = desk.forward(&[("x-forwarded-uri", "/reports?a=1&b=2")]).await;
    assert_eq!(stopped.refusal(), (401, "forward.signed_out"));
    let sign_in = format!("{FRONT}/_vestibule/sign-in?to=/reports?a=1&b=2");
    assert_eq!(stopped.header("x-vestibule-sign-in"), sign_in);
    let url =
        desk.begin(&format!("prompt=login&organization={}&scope=x&to=/reports?a=1&b=2", tenant.slug)).await;
    assert!(url.starts_with(&house.url("/oauth2/authorize?")), "{url}");
    let asked = query_of(&url);
    for (name, value) in [
        ("client_id", desk.app.as_str()),
        ("redirect_uri", "https://desk.example/_vestibule/callback"),
        ("response_type", "code"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("organization", &tenant.slug),
    ] {
        assert_eq!(asked[name], value);
    }
    let query = desk.at_the_issuer(&tenant, &url).await;
    let given = desk.ask("GET", &format!("callback?{query}"), &[]).await;
    assert_eq!((given.status, given.header("location")), (303, "https://desk.example/reports?a=1&b=2"));
    let set = given.set_cookies();
    let pass = set.iter().find(|line| line.starts_with("__Host-vestibule-pass=vst_pass_")).unwrap();
    for word in ["; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/", "; Max-Age="] {
        assert!(pass.contains(word), "{pass}");
    }
    assert!(!pass.contains("Domain"));
    assert_eq!((set.len(), desk.jar.len()), (2, 1), "the attempt is taken back: {set:?}");
    assert!(!format!("{given:?}").contains("eyJ"), "no token");
    // Who it is, and nothing of what the client says.
    let mine =
        [("x-vestibule-user", "usr_root"), ("x-vestibule-roles", "owner"), ("x-vestibule-email", "root@x")];
    let passed = desk.forward(&mine).await;
    assert_eq!(passed.status, 200, "{}", passed.body);
    assert!(passed.header("x-vestibule-user").starts_with("usr_0"));
    assert_eq!(passed.header("x-vestibule-roles"), "");
    assert_eq!(passed.header("x-vestibule-email"), format!("ada@{}", tenant.domain));
    assert_eq!(passed.header("x-vestibule-org"), tenant.org.to_string());
    assert!(passed.header("x-vestibule-session").starts_with("ses_"));
    // A bearer decides alone.
    let none = desk.forward(&[("authorization", "Bearer a.b.c")]).await;
    assert_eq!(none.refusal(), (401, "forward.signed_out"));
    // The record says what was given.
    let path = format!("/orgs/{}/audit/events?action=token.issued", tenant.org);
    let (_, events) = house.api("GET", &tenant.org_key, &path, None).await;
    assert!(events.to_string().contains("\"pass\""), "{events}");
}

#[tokio::test]
async fn what_the_issuer_knows_already_is_answered_without_a_page() {
    let house = house();
    let (tenant, mut desk) = (house.tenant().await, desk(house).await);
    desk.sign_in(&tenant, "/").await;
    desk.jar.clear();
    let url = desk.begin("to=/again").await;
    let back = desk.issuer.get_once(&url).await.unwrap();
    let query = back.header("location").unwrap().split_once('?').unwrap().1.to_owned();
    let given = desk.ask("GET", &format!("callback?{query}"), &[]).await;
    assert_eq!((given.status, given.header("location")), (303, "https://desk.example/again"));
    // `prompt` is passed on where it means a person, and what the issuer does not know is not.
    let url = desk.begin("prompt=none&login_hint=a%40b.example&x=y&to=/").await;
    let asked = query_of(&url);
    assert_eq!((asked.get("prompt"), asked.get("x")), (None, None));
    assert_eq!(asked["login_hint"], "a@b.example");
    // Whoever leads here from elsewhere does not choose whose pass it will be.
    for (site, is_heard) in
        [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)]
    {
        let seen = desk.ask("GET", "sign-in?organization=other&to=/", &[("sec-fetch-site", site)]).await;
        let asked = query_of(seen.header("location"));
        assert_eq!(asked.contains_key("organization"), is_heard, "{site}");
    }
}

#[tokio::test]
async fn the_way_on_stays_at_the_apps_own_address() {
    let house = house();
    let (tenant, mut desk) = (house.tenant().await, desk(house).await);
    for (to, wanted) in [
        ("//evil.example", "/"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("%2F%2Fevil.example", "/"),
        ("@evil.example", "/"),
        (".evil.example", "/"),
        ("/_vestibule/sign-out", "/"),
        ("/a%0d%0aSet-Cookie:x=y", "/a%0d%0aSet-Cookie:x=y"),
    ] {
        let given = desk.sign_in(&tenant, to).await;
        assert_eq!(given.header("location"), format!("{FRONT}{wanted}"), "{to}");
        assert_eq!(given.set_cookies().len(), 2, "{to}");
        desk = desk.other();
    }
}

#[tokio::test]
async fn an_answer_is_taken_by_the_browser_that_asked_and_for_the_app_it_asked_for() {
    let house = house();
    let (tenant, mut victim) = (house.tenant().await, desk(house).await);
    let mut attacker = victim.other();
    let by = format!("organization={}&to=/x", tenant.slug);
    let url = attacker.begin(&by).await;
    let theirs = attacker.at_the_issuer(&tenant, &url).await;
    let unknown = (400, "proxy.attempt_unknown");
    let refused = victim.ask("GET", &format!("callback?{theirs}"), &[]).await;
    assert_eq!(refused.refusal(), unknown, "begun in no browser of theirs");
    let own_url = victim.begin(&by).await;
    let refused = victim.ask("GET", &format!("callback?{theirs}"), &[]).await;
    assert_eq!(refused.refusal(), unknown, "with an attempt of its own, by another state");
    assert!(refused.body.contains("href=\"/_vestibule/sign-in?to=/\""), "{}", refused.body);
    // Their code, put beside the state of the victim's own attempt: it has another challenge.
    let (code, state) =
        (query_of(&format!("?{theirs}"))["code"].clone(), query_of(&own_url)["state"].clone());
    let refused = answer(&mut victim, &code, &state).await;
    assert_eq!(refused.refusal(), (400, "oauth.invalid_grant"));
    assert!(refused.body.contains("href=\"/_vestibule/sign-in?to=/x\""), "{}", refused.body);
    assert!(victim.jar.keys().all(|name| !name.ends_with("-pass")));
    // Any change of the cookie, and none at all.
    let (name, sealed) = attacker.jar.iter().next().map(|(n, v)| (n.clone(), v.clone())).unwrap();
    for at in [0, 3, sealed.len() / 2, sealed.len() - 1] {
        let letter = if sealed.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("{}{letter}{}", &sealed[..at], &sealed[at + 1..]);
        attacker.jar.insert(name.clone(), changed);
        let refused = attacker.ask("GET", &format!("callback?{theirs}"), &[]).await;
        assert_eq!(refused.refusal(), unknown, "changed at {at}");
    }
    // Under the name that plain http sets.
    attacker.jar = BTreeMap::from([(name.replace("__Host-", ""), sealed.clone())]);
    assert_eq!(attacker.ask("GET", &format!("callback?{theirs}"), &[]).await.refusal(), unknown);
    // At another app, which has the same front and even serves the org.
    let mut other = desk(house).await;
    other.jar.insert(name.clone(), sealed.clone());
    assert_eq!(other.ask("GET", &format!("callback?{theirs}"), &[]).await.refusal(), unknown);
    // All of that cost whoever began it nothing.
    attacker.jar = BTreeMap::from([(name, sealed)]);
    assert_eq!(attacker.ask("GET", &format!("callback?{theirs}"), &[]).await.status, 303);
}

#[tokio::test]
async fn an_answer_is_the_issuers_in_time_and_a_code() {
    let house = house();
    let (tenant, mut desk) = (house.tenant().await, desk(house).await);
    let url = desk.begin(&format!("organization={}&to=/x?y=1", tenant.slug)).await;
    let query = desk.at_the_issuer(&tenant, &url).await;
    let said = query_of(&format!("?{query}"));
    let (code, state) = (&said["code"], &said["state"]);
    for (query, code) in [
        (format!("code={code}&state={state}"), "proxy.issuer"),
        (format!("code={code}&state={state}&iss=https%3A%2F%2Fother.example"), "proxy.issuer"),
        (format!("error=access_denied&state={state}&iss={}", said["iss"]), "proxy.denied"),
        (format!("state={state}&iss={}", said["iss"]), "proxy.denied"),
        (format!("code=x&state={state}&iss={}", said["iss"]), "oauth.invalid_grant"),
    ] {
        let refused = desk.ask("GET", &format!("callback?{query}"), &[]).await;
        assert_eq!(refused.header("x-vestibule-code"), code, "{query}");
        assert!(refused.body.contains("href=\"/_vestibule/sign-in?to=/x?y=1\""), "{}", refused.body);
        assert!(refused.set_cookies().is_empty());
    }
    for query in ["", "state=", "state=x&code=y", "code=y"] {
        let refused = desk.ask("GET", &format!("callback?{query}"), &[]).await;
        assert_eq!(refused.refusal(), (400, "proxy.attempt_unknown"), "{query}");
    }
    let late = planted(&mut desk, &format!("{FRONT}/_vestibule/callback"), 0);
    assert_eq!(answer(&mut desk, code, &late).await.refusal(), (400, "proxy.attempt_expired"));
    assert_eq!(desk.ask("GET", &format!("callback?{query}"), &[]).await.status, 303);
}

/// The page of a refusal is ours at the app's host: nothing of it is the app's.
#[tokio::test]
async fn a_refusals_page_takes_its_style_from_the_issuer_and_nothing_else_from_anywhere() {
    let house = house();
    let mut desk = desk(house).await;
    let refused = desk.ask("GET", "callback?state=x", &[]).await;
    let policy = refused.header("content-security-policy");
    assert!(policy.contains(&format!("style-src {};", house.base)), "{policy}");
    for word in ["default-src 'none'", "script-src 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(word), "{policy}");
    }
    assert!(refused.body.contains(&format!("href=\"{}/assets/style.css\"", house.base)));
}

#[tokio::test]
async fn a_code_is_redeemed_here_for_a_front_of_this_app_alone() {
    let house = house();
    let tenant = house.tenant().await;
    let ordinary = "https://desk.example/cb";
    let uris = json!({"redirect_uris": [ordinary, format!("{FRONT}/_vestibule/callback")]});
    let mut desk = desk_with(house, uris).await;
    let front = format!("{FRONT}/_vestibule/callback");
    let challenge = challenge();
    // A code of the app's own, for the verifier that the attempt has.
    let code = async |desk: &mut Desk, redirect_uri: &str| {
        let more = [
            ("client_id", desk.app.as_str()),
            ("redirect_uri", redirect_uri),
            ("code_challenge", &challenge),
        ];
        let url = authorize_url(house, &tenant, &more);
        let back = desk.issuer.get_once(&url).await.unwrap();
        param(&back, "code")
    };
    desk.issuer = {
        let mut door = to_the_acs(house, &tenant).await;
        door.post().await;
        door.browser
    };
    let ordinary_code = code(&mut desk, ordinary).await;
    let state = planted(&mut desk, &front, 60);
    assert_eq!(answer(&mut desk, &ordinary_code, &state).await.refusal(), (400, "oauth.invalid_grant"));
    // Nor does it, once used, end there what it gave the app.
    let own = TestApp {
        id: desk.app.parse().unwrap(),
        secret: desk.secret.clone(),
        redirect_uri: ordinary.to_owned(),
    };
    let grant = [("grant_type", "authorization_code"), ("code", &ordinary_code), ("code_verifier", VERIFIER)];
    let (status, given) = house.as_app(&own, "/oauth2/token", &grant).await;
    assert_eq!(status, 200, "{given}");
    assert_eq!(answer(&mut desk, &ordinary_code, &state).await.refusal(), (400, "oauth.invalid_grant"));
    let refresh =
        [("grant_type", "refresh_token"), ("refresh_token", given["refresh_token"].as_str().unwrap())];
    assert_eq!(house.as_app(&own, "/oauth2/token", &refresh).await.0, 200);
    let state = planted(&mut desk, ordinary, 60);
    assert_eq!(answer(&mut desk, &ordinary_code, &state).await.refusal(), (400, "proxy.attempt_unknown"));
    let mut other = crate::house::front::desk(house).await;
    std::mem::swap(&mut other.issuer, &mut desk.issuer);
    let others_code = code(&mut other, &front).await;
    std::mem::swap(&mut other.issuer, &mut desk.issuer);
    let state = planted(&mut desk, &front, 60);
    assert_eq!(answer(&mut desk, &others_code, &state).await.refusal(), (400, "oauth.invalid_grant"));
    let own = code(&mut desk, &front).await;
    let state = planted(&mut desk, &front, 60);
    let (jar, given) = (desk.jar.clone(), answer(&mut desk, &own, &state).await);
    assert_eq!(given.status, 303, "{}", given.body);
    assert_eq!(desk.forward(&[]).await.status, 200);
    // Who has read the code somewhere and does not know its verifier ends nothing by it.
    let mut stranger = desk.other();
    let theirs = query_of(&stranger.begin("to=/").await)["state"].clone();
    assert_eq!(answer(&mut stranger, &own, &theirs).await.refusal(), (400, "oauth.invalid_grant"));
    assert_eq!(desk.forward(&[]).await.status, 200);
    // Used twice: somebody has a copy, so what came of the first use is over too.
    let held = std::mem::replace(&mut desk.jar, jar);
    assert_eq!(answer(&mut desk, &own, &state).await.refusal(), (400, "oauth.invalid_grant"));
    desk.jar = held;
    assert_eq!(desk.forward(&[]).await.refusal(), (401, "forward.signed_out"));
}

#[tokio::test]
async fn of_an_apps_fronts_the_one_that_the_browser_is_at() {
    let house = house();
    let tenant = house.tenant().await;
    let at = |origin: &str| format!("{origin}/_vestibule/callback");
    let uris = json!({"redirect_uris": [
        "https://desk.example/cb", at("https://a.example"), at("https://b.example:8443"), at("http://localhost:3999"),
        at("http://127.0.0.1:3998"),
    ]});
    let mut desk = desk_with(house, uris).await;
    for (host, forwarded, origin) in [
        ("a.example", "", "https://a.example"),
        ("A.EXAMPLE:443", "", "https://a.example"),
        ("b.example:8443", "", "https://b.example:8443"),
        ("b.example", "", "https://b.example:8443"),
        ("127.0.0.1:8080", "a.example", "https://a.example"),
        ("b.example:8443", "a.example", "https://b.example:8443"),
        ("127.0.0.1:8080", "b.example", "https://b.example:8443"),
        ("localhost:3999", "", "http://localhost:3999"),
    ] {
        host.clone_into(&mut desk.host);
        let seen = desk.ask("GET", "sign-in?to=/", &[("x-forwarded-host", forwarded)]).await;
        assert_eq!(query_of(seen.header("location"))["redirect_uri"], at(origin), "{host} {forwarded}");
        let cookie = seen.set_cookies().join(" ");
        assert_eq!(cookie.contains("__Host-vestibule-att_"), origin.starts_with("https"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), origin.starts_with("https"), "{cookie}");
        let told = desk.forward(&[("x-forwarded-host", forwarded), ("x-forwarded-uri", "/x")]).await;
        assert_eq!(told.header("x-vestibule-sign-in"), format!("{origin}/_vestibule/sign-in?to=/x"));
    }
    for host in ["evil.example", "a.example.evil.example", "desk.example", "", "[::1"] {
        host.clone_into(&mut desk.host);
        for path in ["sign-in?to=/", "callback", "sign-out"] {
            assert_eq!(desk.ask("GET", path, &[]).await.refusal(), (404, "proxy.nowhere"), "{host} {path}");
        }
        assert_eq!(desk.forward(&[]).await.header("x-vestibule-sign-in"), "");
    }
    // An app that has none, and none at all.
    desk.host = "desk.example".to_owned();
    for app in [tenant.app.id.to_string(), format!("app_{}", "0".repeat(26)), "x".to_owned()] {
        desk.app = app;
        assert_eq!(desk.ask("GET", "sign-in?to=/", &[]).await.refusal(), (404, "proxy.nowhere"));
    }
}

#[tokio::test]
async fn attempts_are_few_and_short_and_a_pages_own_requests_make_none() {
    let house = house();
    let mut desk = desk(house).await;
    let longest = format!("/{}", "x".repeat(1023));
    let mut first = None;
    for _ in 0..5 {
        desk.begin(&format!("to={longest}")).await;
        first.get_or_insert_with(|| desk.jar.keys().next().unwrap().clone());
    }
    assert_eq!(desk.jar.len(), 3);
    assert!(!desk.jar.contains_key(&first.unwrap()), "the oldest went");
    assert!(desk.cookies().len() < 6 * 1024, "{}", desk.cookies().len());
    for dest in ["empty", "image", "iframe", "script"] {
        let refused = desk.ask("GET", "sign-in?to=/", &[("sec-fetch-dest", dest)]).await;
        assert_eq!(refused.refusal(), (401, "forward.signed_out"), "{dest}");
        assert!(refused.set_cookies().is_empty());
    }
    let document = desk.ask("GET", "sign-in?to=/", &[("sec-fetch-dest", "document")]).await;
    assert_eq!(document.status, 303);
    // A jar that somebody filled: some are taken back, and no more than fit in an answer's head.
    let mut full = desk.other();
    for n in 0..40 {
        let id = model::ids::AttemptId::from_uuid(uuid::Uuid::from_u128(n));
        full.jar.insert(format!("__Host-vestibule-{id}"), "x".to_owned());
    }
    assert_eq!(full.ask("GET", "sign-in?to=/", &[]).await.set_cookies().len(), 9);
    let early = desk.ask("GET", "sign-in?to=/", &[("sec-purpose", "prefetch")]).await;
    assert_eq!(early.refusal(), (401, "forward.signed_out"));
    let long = format!("login_hint={}&to=/", "x".repeat(2_100));
    let refused = desk.ask("GET", &format!("sign-in?{long}"), &[]).await;
    assert_eq!(refused.refusal(), (400, "oauth.invalid_request"));
}

#[tokio::test]
async fn a_proxy_that_cannot_answer_itself_has_the_browser_sent_to_sign_in() {
    let house = house();
    let (tenant, mut desk) = (house.tenant().await, desk(house).await);
    let traefik = format!("/forward-auth?app={}&sign_in=redirect", desk.app);
    let sign_in = format!("{FRONT}/_vestibule/sign-in?to=");
    let uri = ("x-forwarded-uri", "/reports?a=1&b=2");
    let sent = desk
        .forward_at(&traefik, &[uri, ("x-forwarded-method", "GET"), ("sec-fetch-dest", "document")])
        .await;
    assert_eq!((sent.status, sent.header("location")), (303, format!("{sign_in}/reports?a=1&b=2").as_str()));
    let sent = desk.forward_at(&traefik, &[("x-forwarded-uri", "//evil.example")]).await;
    assert_eq!((sent.status, sent.header("location")), (303, format!("{sign_in}/").as_str()));
    let app = desk.app.clone();
    let envoy = [("x-vestibule-app", app.as_str()), ("x-vestibule-sign-in", "redirect")];
    let sent = desk.forward_at("/forward-auth/reports?a=1&b=2", &envoy).await;
    assert_eq!((sent.status, sent.header("location")), (303, format!("{sign_in}/reports?a=1&b=2").as_str()));
    // What is no page to come back to, or was not asked for, is told.
    for (path, headers) in [
        (&traefik, vec![uri, ("x-forwarded-method", "POST")]),
        (&traefik, vec![uri, ("sec-fetch-dest", "empty")]),
        (&format!("/forward-auth?app={app}"), vec![uri]),
    ] {
        let told = desk.forward_at(path, &headers).await;
        assert_eq!(told.refusal(), (401, "forward.signed_out"), "{headers:?}");
        assert_eq!(told.header("x-vestibule-sign-in"), format!("{sign_in}/reports?a=1&b=2"));
    }
    // Somebody who lacks a role is not sent round in a circle.
    desk.sign_in(&tenant, "/").await;
    let lacking = desk.forward_at(&format!("{traefik}&role=owner"), &[uri]).await;
    assert_eq!(lacking.refusal(), (403, "forward.role"));
}

/// Until now a pass is as old as its family, and every use of it a minute later makes it younger.
#[tokio::test]
async fn a_pass_that_is_not_used_ends_and_one_that_is_used_goes_on() {
    let house = house();
    let (tenant, mut desk) = (house.tenant().await, desk(house).await);
    desk.sign_in(&tenant, "/").await;
    let mut sql = inside(house, tenant.org).await;
    let mut older = async |secs: i64| {
        let set = "UPDATE refresh_families SET rotated_at = now() - make_interval(secs => $1)";
        sqlx::query(set).bind(secs as f64).execute(&mut sql).await.unwrap();
        let age = "SELECT extract(epoch FROM now() - rotated_at)::bigint FROM refresh_families";
        let status = desk.forward(&[]).await.status;
        (status, sqlx::query_scalar::<_, i64>(age).fetch_one(&mut sql).await.unwrap() < secs)
    };
    assert_eq!(older(50).await, (200, false), "noted once a minute");
    assert_eq!(older(86_000).await, (200, true), "and then it is young again");
    assert_eq!(older(86_401).await, (401, false), "unused for a day");
    // Where the org says how long a browser may be away, that holds.
    assert_eq!(older(900).await.0, 200);
    let limit = json!({"session_idle_secs": 600});
    let path = format!("/orgs/{}", tenant.org);
    assert_eq!(house.api("PATCH", &house.platform_key, &path, Some(limit)).await.0, 200);
    assert_eq!((older(540).await.0, older(601).await.0), (200, 401));
    let limit = json!({"session_idle_secs": 60});
    assert_eq!(house.api("PATCH", &house.platform_key, &path, Some(limit)).await.0, 200);
    assert_eq!(older(10).await, (200, false));
    assert_eq!(older(30).await, (200, true), "of a short time it is noted in time");
}
