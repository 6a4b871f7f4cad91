//! Signing in by SAML: what works, and what each binding refuses.

use crate::house::{
    authorize_url, house,
    walk::{claims, code, is_active, param, redeem, sent_back, text, to_the_acs, tokens},
};
use idp_fixtures::Browser;
use model::record::{Act, AuditEvent, Record};
use serde_json::json;
use store::ConnectionState;

#[tokio::test]
async fn a_saml_sign_in_gives_tokens_that_say_who_and_where() {
    let house = house();
    let tenant = house.tenant().await;
    let mut door = to_the_acs(house, &tenant).await;
    let page = door.post().await;
    assert_eq!(page.status, 303);
    assert_eq!(param(&page, "state"), "app-state");
    assert_eq!(param(&page, "iss"), house.base);
    let (status, tokens) = redeem(house, &tenant, &param(&page, "code")).await;
    assert_eq!(status, 200, "{tokens}");
    let access = claims(text(&tokens, "access_token"));
    assert_eq!(access["org_id"], json!(tenant.org.to_string()));
    assert_eq!(access["team_ids"], json!([]));
    assert_eq!(access["roles"], json!([]));
    assert_eq!(access["con"], json!(tenant.connection.to_string()));
    assert_eq!(access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(), 300);
    let id = claims(text(&tokens, "id_token"));
    assert_eq!(id["nonce"], json!("app-nonce"));
    assert_eq!(id["aud"], json!(tenant.app.id.to_string()));
    assert_eq!(id["email"], json!(format!("ada@{}", tenant.domain)));
    assert!(is_active(house, &tenant, text(&tokens, "access_token")).await);
}

#[tokio::test]
async fn a_second_sign_in_finds_the_same_seat() {
    let house = house();
    let tenant = house.tenant().await;
    let first = claims(text(&tokens(house, &tenant).await, "access_token"));
    let second = claims(text(&tokens(house, &tenant).await, "access_token"));
    assert_eq!(first["sub"], second["sub"]);
    assert_ne!(first["sid"], second["sid"]);
}

#[tokio::test]
async fn first_sign_ins_at_one_instant_share_one_seat() {
    let house = house();
    let tenant = house.tenant().await;
    let mut doors = Vec::new();
    for _ in 0..8 {
        doors.push(to_the_acs(house, &tenant).await);
    }
    let posts = doors.into_iter().map(|mut door| tokio::spawn(async move { door.post().await }));
    let mut seats = std::collections::BTreeSet::new();
    for post in posts.collect::<Vec<_>>() {
        let page = post.await.unwrap();
        assert_eq!(page.status, 303, "{:?}", page.header("x-vestibule-code"));
        let (_, tokens) = redeem(house, &tenant, &param(&page, "code")).await;
        seats.insert(claims(text(&tokens, "access_token"))["sub"].to_string());
    }
    assert_eq!(seats.len(), 1);
}

#[tokio::test]
async fn a_living_session_answers_another_request_without_the_provider() {
    let house = house();
    let tenant = house.tenant().await;
    let mut door = to_the_acs(house, &tenant).await;
    door.post().await;
    let again = door.browser.get_once(&authorize_url(house, &tenant, &[("prompt", "none")])).await.unwrap();
    let (status, _) = redeem(house, &tenant, &param(&again, "code")).await;
    assert_eq!(status, 200);
    let mut stranger = Browser::new().unwrap();
    let refused = stranger.get_once(&authorize_url(house, &tenant, &[("prompt", "none")])).await.unwrap();
    assert_eq!(param(&refused, "error"), "login_required");
}

#[tokio::test]
async fn a_response_is_taken_once_and_from_its_own_browser_alone() {
    let house = house();
    let tenant = house.tenant().await;
    let mut door = to_the_acs(house, &tenant).await;
    let mut thief = Browser::new().unwrap();
    let fields = [("SAMLResponse", door.saml_response.as_str()), ("RelayState", door.relay_state.as_str())];
    let stolen = thief.post_once(&door.acs, &fields).await.unwrap();
    assert_eq!((stolen.status, stolen.header("x-vestibule-code")), (400, Some("login.attempt_unknown")));
    assert_eq!(door.post().await.status, 303);
    let replayed = door.post().await;
    assert_eq!((replayed.status, replayed.header("x-vestibule-code")), (403, Some("login.replayed")));
}

#[tokio::test]
async fn a_response_for_one_connection_is_refused_at_every_other() {
    let house = house();
    let (attacker, victim) = (house.tenant().await, house.tenant().await);
    let mut door = to_the_acs(house, &attacker).await;
    door.acs = house.gw.links.saml_acs(victim.connection);
    let refused = door.post().await;
    assert_eq!(refused.header("x-vestibule-code"), Some("login.attempt_other_connection"));
}

#[tokio::test]
async fn a_connection_disabled_meanwhile_admits_nobody() {
    let house = house();
    let tenant = house.tenant().await;
    let mut door = to_the_acs(house, &tenant).await;
    let scope = house.visitor(&tenant).await;
    let connection = tenant.connection;
    let disabled = async move {
        let mut tx = house.gw.db.write(&scope, "test.disable").await.unwrap();
        tx.set_connection_state(connection, ConnectionState::Disabled).await.unwrap();
        tx.commit(Record::of(AuditEvent::done(Act::ConnectionDisabled))).await.unwrap();
    };
    house.on(disabled).await;
    let refused = door.post().await;
    assert_eq!(
        (refused.status, refused.header("x-vestibule-code")),
        (403, Some("login.connection_disabled"))
    );
}

#[tokio::test]
async fn a_code_is_held_to_its_client_redirect_uri_and_verifier() {
    let house = house();
    let tenant = house.tenant().await;
    let other = house.app(0).await;
    let code = code(house, &tenant).await;
    let form = |verifier: &str, redirect: &str| {
        vec![
            ("grant_type".to_owned(), "authorization_code".to_owned()),
            ("code".to_owned(), code.clone()),
            ("redirect_uri".to_owned(), redirect.to_owned()),
            ("code_verifier".to_owned(), verifier.to_owned()),
        ]
    };
    let good = crate::house::VERIFIER;
    let wrong = "another-verifier-of-at-least-forty-three-characters";
    for (app, form) in [
        (&other, form(good, &tenant.app.redirect_uri)),
        (&tenant.app, form(wrong, &tenant.app.redirect_uri)),
        (&tenant.app, form(good, "http://localhost:1/elsewhere")),
    ] {
        let pairs: Vec<(&str, &str)> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let (status, said) = house.as_app(app, "/oauth2/token", &pairs).await;
        assert_eq!((status, &said["error"]), (400, &json!("invalid_grant")));
    }
    // None of these used it up.
    assert_eq!(redeem(house, &tenant, &code).await.0, 200);
}

#[tokio::test]
async fn of_200_parallel_redemptions_exactly_one_succeeds() {
    let house = house();
    let tenant = house.tenant().await;
    let code = code(house, &tenant).await;
    let all = futures_join((0..200).map(|_| redeem(house, &tenant, &code))).await;
    assert_eq!(all.iter().filter(|(status, _)| *status == 200).count(), 1);
    assert!(all.iter().all(|(status, said)| *status == 200 || said["error"] == "invalid_grant"));
}

/// Runs them all at once.
pub async fn futures_join<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (slot, future) in done.iter_mut().zip(&mut pending) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(done.iter_mut().filter_map(Option::take).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn an_unknown_client_or_redirect_uri_never_redirects() {
    let house = house();
    let tenant = house.tenant().await;
    let mut browser = Browser::new().unwrap();
    for more in [
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", "http://localhost:1/callback/"),
        ("redirect_uri", "http://localhost:1/callback?x=1"),
        ("client_id", "app_00000000000000000000000000"),
        ("client_id", "x"),
    ] {
        let page = browser.get_once(&authorize_url(house, &tenant, &[more])).await.unwrap();
        assert_eq!((page.status, page.header("location")), (400, None), "{more:?}");
    }
    let plain = browser
        .get_once(&authorize_url(house, &tenant, &[("code_challenge_method", "plain")]))
        .await
        .unwrap();
    assert!(sent_back(&plain).contains(&("error".to_owned(), "invalid_request".to_owned())));
}

#[tokio::test]
async fn an_org_is_found_by_email_domain_or_asked_for() {
    let house = house();
    let tenant = house.tenant().await;
    let mut browser = Browser::new().unwrap();
    let hint = format!("ada@{}", tenant.domain);
    let found = browser
        .get_once(&authorize_url(house, &tenant, &[("organization", ""), ("login_hint", &hint)]))
        .await
        .unwrap();
    assert!(found.header("location").is_some_and(|l| l.starts_with(tenant.idp.sso_url())));
    let asked = browser.get_once(&authorize_url(house, &tenant, &[("organization", "")])).await.unwrap();
    assert_eq!(asked.status, 200);
    assert!(asked.body.contains("Work email"));
}

#[tokio::test]
async fn a_session_that_was_idle_too_long_answers_nothing() {
    let house = house();
    let tenant = house.tenant().await;
    let mut door = to_the_acs(house, &tenant).await;
    door.post().await;
    let scope = house.visitor(&tenant).await;
    let shorten = async move {
        let mut tx = house.gw.db.write(&scope, "test.idle").await.unwrap();
        let change = store::OrgChange { session_idle_secs: Some(1), ..store::OrgChange::default() };
        tx.change_org(&change).await.unwrap();
        tx.commit(Record::of(AuditEvent::done(Act::OrgChanged))).await.unwrap();
    };
    house.on(shorten).await;
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    let silent = door.browser.get_once(&authorize_url(house, &tenant, &[("prompt", "none")])).await.unwrap();
    assert_eq!(param(&silent, "error"), "login_required");
}
