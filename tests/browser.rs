//! What a browser carries: cookies are read as they were sent, and an app's request is held to what it
//! may ask for.

use crate::house::{
    House, authorize_url, house,
    walk::{claims, code, param, redeem, text, to_the_acs},
};
use idp_fixtures::Browser;

async fn silent(house: &House, url: &str, cookie: &[u8]) -> Option<String> {
    let cookie = reqwest::header::HeaderValue::from_bytes(cookie).unwrap();
    let page = house.http.get(url).header("cookie", cookie).send().await.unwrap();
    let location = page.headers().get("location")?.to_str().unwrap().to_owned();
    let query = location.split_once('?')?.1;
    let error = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "error");
    error.map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn a_session_cookie_is_read_byte_for_byte_and_once() {
    let house = house();
    let tenant = house.tenant().await;
    let mut door = to_the_acs(house, &tenant).await;
    door.post().await;
    let held = door.browser.cookies(&house.base);
    let value = &held.iter().find(|c| c.name.starts_with("vst_session_")).unwrap().value;
    let url = authorize_url(house, &tenant, &[("prompt", "none")]);
    let ask = |cookie: Vec<u8>| {
        let url = url.clone();
        async move { silent(house, &url, &cookie).await }
    };
    let own = format!("vst_session_{}={value}", tenant.org);
    assert_eq!(ask(own.clone().into_bytes()).await, None, "the session answers");
    let required = Some("login_required".to_owned());
    assert_eq!(ask(own.replacen('_', "%5F", 1).into_bytes()).await, required, "an encoded name");
    assert_eq!(ask(format!("{own}; {own}").into_bytes()).await, required, "a name that comes twice");
    let broken = [b"\xff=1; ".as_slice(), own.as_bytes()].concat();
    assert_eq!(ask(broken).await, None, "a pair that is no text is passed over");
    assert_eq!(ask(format!("other; =; {own}").into_bytes()).await, None, "what is not ours is passed over");
}

#[tokio::test]
async fn a_browser_keeps_five_sign_ins_that_are_under_way() {
    let house = house();
    let tenant = house.tenant().await;
    let mut browser = Browser::new().unwrap();
    let mut first = None;
    for _ in 0..7 {
        browser.get_once(&authorize_url(house, &tenant, &[])).await.unwrap();
        let names: Vec<String> = browser.cookies(&house.base).into_iter().map(|c| c.name).collect();
        first.get_or_insert(names[0].clone());
    }
    let names: Vec<String> = browser.cookies(&house.base).into_iter().map(|c| c.name).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(!names.contains(&first.unwrap()), "the oldest went");
}

#[tokio::test]
async fn what_is_asked_for_beyond_the_scopes_we_know_is_not_given() {
    let house = house();
    let tenant = house.tenant().await;
    let mut door = to_the_acs(house, &tenant).await;
    door.post().await;
    let asked = [("prompt", "none"), ("scope", "admin:everything openid billing:write openid")];
    let page = door.browser.get_once(&authorize_url(house, &tenant, &asked)).await.unwrap();
    let (status, given) = redeem(house, &tenant, &param(&page, "code")).await;
    assert_eq!((status, text(&given, "scope")), (200, "openid"));
    assert_eq!(claims(text(&given, "access_token"))["scope"], "openid");
}

#[tokio::test]
async fn an_apps_own_words_are_bounded() {
    let house = house();
    let tenant = house.tenant().await;
    let long = "s".repeat(3_000);
    let mut browser = Browser::new().unwrap();
    let page = browser.get_once(&authorize_url(house, &tenant, &[("state", &long)])).await.unwrap();
    assert_eq!(param(&page, "error"), "invalid_request");
}

#[tokio::test]
async fn a_client_secret_is_taken_whole() {
    let house = house();
    let tenant = house.tenant().await;
    let code = code(house, &tenant).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", crate::house::VERIFIER),
    ];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let sent = house
        .http
        .post(house.url("/oauth2/token"))
        .basic_auth(tenant.app.id.to_string(), Some(format!("{}&x=y", tenant.app.secret)))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    assert_eq!(sent.send().await.unwrap().status().as_u16(), 401);
}

/// Who proves to be one client and says another's name is neither (RFC 6749 2.3).
#[tokio::test]
async fn a_client_says_one_name() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let [own, foreign] = [&tenant, &other].map(|tenant| tenant.app.id.to_string());
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
        for (id, is_taken) in [(&own, true), (&foreign, false)] {
            let form = [("client_id", id.as_str()), ("token", "x"), ("grant_type", "x")];
            let (status, said) = house.as_app(&tenant.app, path, &form).await;
            assert_eq!(said["error"] != "invalid_client", is_taken, "{path} {status} {said}");
        }
    }
}

/// An answer in a form that is not served is an error in one that is.
#[tokio::test]
async fn an_answer_goes_back_in_a_form_that_is_served() {
    let house = house();
    let tenant = house.tenant().await;
    for (mode, error) in
        [("fragment", Some("invalid_request")), ("jwt", Some("invalid_request")), ("query", None)]
    {
        let url = authorize_url(house, &tenant, &[("response_mode", mode), ("prompt", "none")]);
        let said = silent(house, &url, b"").await;
        assert_eq!(said.as_deref(), error.or(Some("login_required")), "{mode}");
    }
}
