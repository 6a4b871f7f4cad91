//! Who is asked to sign in, and who is not: `prompt`, `max_age`, `id_token_hint`.

use super::at::At;
use crate::house::walk::text;
use idp_fixtures::Browser;
use std::time::Duration;

/// The second time the person signs in once more, though a session lives, and later.
pub async fn signs_in_anew(at: &At, asked: (&str, &str)) {
    let mut first = at.sign_in(&[]).await;
    // What passes is a second of `auth_time`, and `max_age=1` with it.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let page = first.browser.get(&at.url(&[asked])).await.unwrap();
    let asks = page.forms().iter().any(|form| form.visible_of_type("password").is_some());
    assert!(asks, "nobody is asked: {} {}", page.url, page.body);
    let answer = at.through(&mut first.browser, &at.url(&[asked])).await;
    let second = at.id_token(&at.redeem(&answer).await, Some("app-nonce")).await;
    assert_eq!(second["sub"], first.id["sub"]);
    assert!(second["auth_time"].as_i64() > first.id["auth_time"].as_i64(), "{second} {}", first.id);
}

/// The second time nobody is asked, and it is the same person by the same sign-in.
pub async fn silently(at: &At, asked: &[(&str, &str)]) {
    let mut first = at.sign_in(&[]).await;
    let hint = text(&first.tokens, "id_token").to_owned();
    let asked: Vec<(&str, &str)> = asked
        .iter()
        .map(|(name, value)| (*name, if *name == "id_token_hint" { &hint } else { *value }))
        .collect();
    let answer = at.at_once(&mut first.browser, &at.url(&asked)).await;
    let second = at.id_token(&at.redeem(&answer).await, Some("app-nonce")).await;
    for same in ["sub", "auth_time"] {
        assert_eq!(second[same], first.id[same], "{same}");
    }
}

pub async fn nobody_there(at: &At) {
    let said = at.at_once(&mut Browser::new().unwrap(), &at.url(&[("prompt", "none")])).await;
    assert_eq!((said["error"].as_str(), said["state"].as_str()), ("login_required", "app-state"));
}
