//! What a request may say, must say and may not: parameters that are left out, unknown, or not ours to follow.

use super::at::At;
use idp_fixtures::Browser;

pub async fn response_type_missing(at: &At) {
    let said = at.at_once(&mut Browser::new().unwrap(), &at.without("response_type")).await;
    assert!(["invalid_request", "unsupported_response_type"].contains(&said["error"].as_str()), "{said:?}");
    assert_eq!(said["state"], "app-state");
}

pub async fn no_nonce(at: &At) {
    let answer = at.through(&mut Browser::new().unwrap(), &at.without("nonce")).await;
    let tokens = at.redeem(&answer).await;
    at.id_token(&tokens, None).await;
}

/// With this in the request a sign-in ends as without (Core 3.1.2.1, 15.1).
pub async fn not_minded(at: &At, more: (&str, &str)) {
    at.sign_in(&[more]).await;
}

pub async fn foreign_redirect_uri(at: &At) {
    let url = at.url(&[("redirect_uri", "http://localhost:1/callback/foreign")]);
    nowhere(at, &url).await;
}

/// A page, and no way to any app.
async fn nowhere(_: &At, url: &str) {
    let page = Browser::new().unwrap().get_once(url).await.unwrap();
    assert_eq!((page.status, page.header("location")), (400, None), "{}", page.body);
    assert_eq!(page.header("x-vestibule-code"), Some("oauth.redirect_uri_unknown"));
    assert!(page.forms().is_empty(), "{}", page.body);
}

pub async fn by_post(at: &At) {
    let mut browser = Browser::new().unwrap();
    let url = at.url(&[]);
    let (path, query) = url.split_once('?').unwrap();
    let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let page = browser.post_once(path, &fields).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.body);
    let provider = page.header("location").unwrap().to_owned();
    let answer = at.through(&mut browser, &provider).await;
    at.id_token(&at.redeem(&answer).await, Some("app-nonce")).await;
}

/// Told in the words of Core 3.1.2.6, which the suite takes for an answer.
pub async fn request_object(at: &At, name: &str) {
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    let value = if name == "request" { unsigned } else { "https://app.example/request.jwt" };
    let said = at.at_once(&mut Browser::new().unwrap(), &at.url(&[(name, value)])).await;
    assert_eq!(
        (said["error"].as_str(), said["state"].as_str()),
        (&*format!("{name}_not_supported"), "app-state")
    );
}

/// The address in the request itself is judged first; none is read from an object.
pub async fn request_object_elsewhere(at: &At) {
    let url =
        at.url(&[("redirect_uri", "http://localhost:1/foreign"), ("request", "eyJhbGciOiJub25lIn0.e30.")]);
    nowhere(at, &url).await;
}

/// What the provider gives is told; what it does not give is an error, whatever the person did there.
pub async fn contexts(at: &At) {
    let first = at.sign_in(&[]).await;
    let given = first.id["acr"].as_str().unwrap().to_owned();
    let again = at.sign_in(&[("acr_values", &format!("1 {given}"))]).await;
    assert_eq!(again.id["acr"], first.id["acr"]);
    let said = at.through(&mut Browser::new().unwrap(), &at.url(&[("acr_values", "1 2")])).await;
    let told = (said["error"].as_str(), said["state"].as_str());
    assert_eq!(told, ("unmet_authentication_requirements", "app-state"));
}
