//! Leaving, and who is told: the app that sends its person here to sign out, and the apps that hear of an end
//! by their back-channel, whoever caused it.

use crate::house::{
    House, Tenant, TestApp, house,
    served::{Asked, Reply, Served},
    walk::{claims, is_active, param, redeem, refresh, text, to_the_acs},
};
use idp_fixtures::Browser;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// Sets what of the tenant's app is given.
async fn set(house: &House, app: &TestApp, change: Value) {
    let path = format!("/apps/{}", app.id);
    let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(change)).await;
    assert_eq!(status, 200, "{said}");
}

/// A person signed in: the browser, and the app's tokens.
async fn signed_in(house: &House, tenant: &Tenant) -> (Browser, Value) {
    let mut door = to_the_acs(house, tenant).await;
    let (status, tokens) = redeem(house, tenant, &param(&door.post().await, "code")).await;
    assert_eq!(status, 200, "{tokens}");
    (door.browser, tokens)
}

fn leave_url(house: &House, fields: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    house.url(&format!("/oauth2/logout?{query}"))
}

/// The claims of a logout token as it was posted.
fn told(asked: &Asked) -> Value {
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    let form: Vec<(String, String)> = form_urlencoded::parse(&asked.body).into_owned().collect();
    assert_eq!((form.len(), form[0].0.as_str()), (1, "logout_token"));
    claims(&form[0].1)
}

async fn listener() -> Served {
    Served::start(|_| Reply::status(200)).await
}

/// The first receipt of this person for which `done` holds.
async fn receipt(house: &House, tenant: &Tenant, user: &str, done: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/orgs/{}/users/{user}/deprovisionings", tenant.slug);
    for _ in 0..200 {
        let (_, list) = house.api("GET", &tenant.org_key, &path, None).await;
        if done(&list["data"][0]) {
            return list["data"][0].clone();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no such receipt");
}

#[tokio::test]
async fn an_app_sends_its_person_to_sign_out_and_gets_them_back() {
    let house = house();
    let tenant = house.tenant().await;
    let ears = listener().await;
    let uris = json!({"post_logout_redirect_uris": ["http://localhost:1/bye?a=1"], "backchannel_logout_uri": ears.url});
    set(house, &tenant.app, uris).await;
    let (mut browser, tokens) = signed_in(house, &tenant).await;
    let fields = [
        ("id_token_hint", text(&tokens, "id_token")),
        ("post_logout_redirect_uri", "http://localhost:1/bye?a=1"),
        ("state", "a b&c"),
    ];
    let page = browser.get_once(&leave_url(house, &fields)).await.unwrap();
    assert_eq!(
        (page.status, page.header("location")),
        (303, Some("http://localhost:1/bye?a=1&state=a+b%26c"))
    );
    let gone = page.header("set-cookie").unwrap();
    let named = format!("vst_session_{}=;", tenant.org);
    assert!(gone.starts_with(&named) && gone.contains("Max-Age=0"), "{gone}");
    assert!(!is_active(house, &tenant, text(&tokens, "access_token")).await);
    assert_eq!(refresh(house, &tenant, text(&tokens, "refresh_token")).await.0, 400);
    let heard = ears.wait_for(1).await;
    let (said, given) = (told(&heard[0]), claims(text(&tokens, "id_token")));
    for (name, right) in
        [("iss", &given["iss"]), ("aud", &given["aud"]), ("sub", &given["sub"]), ("sid", &given["sid"])]
    {
        assert_eq!(&said[name], right, "{name}");
    }
    assert!(said["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(said.get("nonce").is_none() && said["jti"].is_string());
    // Once more: over already, and no error.
    let page = browser.get_once(&leave_url(house, &fields)).await.unwrap();
    assert_eq!(page.status, 303);
}

#[tokio::test]
async fn who_cannot_prove_which_session_is_asked_and_another_browsers_session_is_not_ended_for_them() {
    let house = house();
    let tenant = house.tenant().await;
    set(house, &tenant.app, json!({"post_logout_redirect_uris": ["http://localhost:1/bye"]})).await;
    let (mut mine, my_tokens) = signed_in(house, &tenant).await;
    let (_, other_tokens) = signed_in(house, &tenant).await;
    let client = tenant.app.id.to_string();
    let plain = [
        ("client_id", client.as_str()),
        ("post_logout_redirect_uri", "http://localhost:1/bye"),
        ("state", "s"),
    ];
    let page = mine.get_once(&leave_url(house, &plain)).await.unwrap();
    assert_eq!((page.status, page.field("state").as_deref()), (200, Some("s")), "asked, and nothing lost");
    let hinted = [("id_token_hint", text(&other_tokens, "id_token"))];
    let page = mine.get_once(&leave_url(house, &hinted)).await.unwrap();
    assert_eq!(page.status, 200);
    for tokens in [&my_tokens, &other_tokens] {
        assert!(is_active(house, &tenant, text(tokens, "access_token")).await);
    }
    // A page elsewhere that posts the answer brings no cookie along, and so ends nothing.
    let mut stranger = Browser::new().unwrap();
    let confirmed = [plain.as_slice(), &[("confirmed", "yes")]].concat();
    let page = stranger.post_once(&house.url("/oauth2/logout"), &confirmed).await.unwrap();
    assert_eq!(page.status, 303);
    assert!(is_active(house, &tenant, text(&my_tokens, "access_token")).await);
    let page = mine.post_once(&house.url("/oauth2/logout"), &confirmed).await.unwrap();
    assert_eq!((page.status, page.header("location")), (303, Some("http://localhost:1/bye?state=s")));
    assert!(!is_active(house, &tenant, text(&my_tokens, "access_token")).await);
    assert!(is_active(house, &tenant, text(&other_tokens, "access_token")).await);
    // Whoever has seen an ID token ends no session by it from a browser of their own, confirmed or not.
    let bye = ("post_logout_redirect_uri", "http://localhost:1/bye");
    let (hinted, confirmed) = ([hinted[0], bye], [hinted[0], bye, ("confirmed", "yes")]);
    for page in [
        stranger.get_once(&leave_url(house, &hinted)).await.unwrap(),
        stranger.post_once(&house.url("/oauth2/logout"), &confirmed).await.unwrap(),
    ] {
        assert_eq!(
            (page.status, page.header("location")),
            (303, Some(bye.1)),
            "nothing is here to ask about"
        );
    }
    assert!(is_active(house, &tenant, text(&other_tokens, "access_token")).await);
    // What another site posts or frames brings no cookie: the person is asked, by a page that does. A browser that
    // does not say where its form comes from may have been sent by another site.
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(hinted).finish();
    let url = house.url("/oauth2/logout");
    let post = || {
        let posted = house.http.post(&url).header("content-type", "application/x-www-form-urlencoded");
        posted.body(form.clone())
    };
    let asked = [
        post(),
        post().header("sec-fetch-site", "cross-site"),
        house.http.get(leave_url(house, &hinted)).header("sec-fetch-dest", "iframe"),
    ];
    for request in asked {
        let page = request.send().await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(page.text().await.unwrap().contains("confirmed"));
    }
    let own = post().header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(own.status(), 303, "nothing is here to ask about");
    assert!(is_active(house, &tenant, text(&other_tokens, "access_token")).await);
}

#[tokio::test]
async fn what_an_app_says_wrong_ends_nothing_and_leads_nowhere() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.app(0).await);
    set(house, &tenant.app, json!({"post_logout_redirect_uris": ["http://localhost:1/bye"]})).await;
    let (mut browser, tokens) = signed_in(house, &tenant).await;
    let (id_token, access) = (text(&tokens, "id_token"), text(&tokens, "access_token"));
    let (head, rest) = id_token.split_at(id_token.len() - 10);
    let forged = format!("{head}{}", rest.chars().rev().collect::<String>());
    let (client, other) = (tenant.app.id.to_string(), other.id.to_string());
    let bye = ("post_logout_redirect_uri", "http://localhost:1/bye");
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[("id_token_hint", &forged), bye], "logout.hint"),
        (&[("id_token_hint", access), bye], "logout.hint"),
        (&[("id_token_hint", id_token), ("client_id", &other), bye], "logout.client"),
        (&[("client_id", "nobody"), bye], "logout.client"),
        (&[bye], "logout.redirect_uri"),
        (&[("client_id", &other), bye], "logout.redirect_uri"),
        (
            &[("id_token_hint", id_token), ("post_logout_redirect_uri", "http://localhost:1/bye/")],
            "logout.redirect_uri",
        ),
        (
            &[("client_id", &client), ("post_logout_redirect_uri", "http://localhost:1/bye#x")],
            "logout.redirect_uri",
        ),
        (&[("state", "a"), ("state", "b")], "oauth.invalid_request"),
    ];
    for (fields, code) in cases {
        let page = browser.get_once(&leave_url(house, fields)).await.unwrap();
        assert_eq!((page.status, page.header("x-vestibule-code")), (400, Some(code)), "{fields:?}");
        assert!(page.header("location").is_none() && page.header("set-cookie").is_none());
    }
    assert!(is_active(house, &tenant, access).await);
}

#[tokio::test]
async fn a_removed_persons_apps_are_told_of_every_session_and_the_receipt_names_them() {
    let house = house();
    let tenant = house.tenant().await;
    let ears = Served::start({
        let mut asked = 0;
        // The first two answers fail: it comes again.
        move |_| {
            asked += 1;
            Reply::status(if asked <= 2 { 500 } else { 204 })
        }
    })
    .await;
    set(house, &tenant.app, json!({"backchannel_logout_uri": ears.url})).await;
    let ada = json!({"userName": format!("ada@{}", tenant.domain)});
    let (_, made) = house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(ada)).await;
    let user = text(&made, "id").to_owned();
    let (first, second) = (signed_in(house, &tenant).await.1, signed_in(house, &tenant).await.1);
    let path = format!("/scim/v2/Users/{user}");
    assert_eq!(house.scim("DELETE", &tenant.scim_token, &path, None).await.0, 204);
    let heard = ears.wait_for(4).await;
    let sids: BTreeSet<String> = heard.iter().map(|asked| text(&told(asked), "sid").to_owned()).collect();
    let sid = |tokens: &Value| text(&claims(text(tokens, "access_token")), "sid").to_owned();
    assert_eq!(sids, BTreeSet::from([sid(&first), sid(&second)]));
    let done = |receipt: &Value| receipt["apps"][0]["backchannel"]["acknowledged_at"].is_string();
    let receipt = receipt(house, &tenant, &user, done).await;
    assert_eq!(receipt["cause"], "scim_deleted");
    let app = &receipt["apps"][0];
    let posted = &app["backchannel"];
    assert_eq!(
        (&app["client_id"], &posted["sessions"], &posted["acknowledged"], &posted["last_error"]),
        (&json!(tenant.app.id), &json!(2), &json!(2), &Value::Null)
    );
    let path = format!("/orgs/{}/deprovisionings/times", tenant.slug);
    let (status, times) = house.api("GET", &tenant.org_key, &path, None).await;
    assert_eq!((status, &times["count"]), (200, &json!(1)), "{times}");
    let ms = |name: &str| times[name].as_f64().unwrap_or_else(|| panic!("{name} in {times}"));
    assert!(0.0 < ms("committed_p50_ms") && ms("committed_p50_ms") <= ms("acknowledged_p99_ms"), "{times}");
    assert_eq!(receipt["apps"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_ends_many_is_told_of_each_and_an_app_without_ears_is_no_line_of_the_receipt() {
    let house = house();
    let tenant = house.tenant().await;
    let ears = listener().await;
    set(house, &tenant.app, json!({"backchannel_logout_uri": ears.url})).await;
    let (one, two) = (signed_in(house, &tenant).await.1, signed_in(house, &tenant).await.1);
    let path = format!("/orgs/{}/revoke", tenant.slug);
    assert!(house.api("POST", &tenant.org_key, &path, None).await.0 < 300);
    let heard = ears.wait_for(2).await;
    let sids: BTreeSet<String> = heard.iter().map(|asked| text(&told(asked), "sid").to_owned()).collect();
    assert_eq!(sids.len(), 2);
    assert!(!is_active(house, &tenant, text(&one, "access_token")).await);
    // Once a session and app: another end of what has ended is told to nobody.
    assert!(house.api("POST", &tenant.org_key, &path, None).await.0 < 300);
    set(house, &tenant.app, json!({"backchannel_logout_uri": null})).await;
    let third = signed_in(house, &tenant).await.1;
    let user = text(&claims(text(&third, "access_token")), "sub").to_owned();
    let path = format!("/orgs/{}/users/{user}/revoke", tenant.slug);
    assert!(house.api("POST", &tenant.org_key, &path, None).await.0 < 300);
    let receipt = receipt(house, &tenant, &user, |receipt| receipt["committed_at"].is_string()).await;
    assert_eq!(receipt["apps"], json!([]));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(ears.seen().len(), 2);
    drop(two);
}

/// An app's own address is the platform's to choose, and still not anybody's.
#[tokio::test]
async fn a_back_channel_is_a_url_that_may_be_called() {
    let house = house();
    let app = house.app(0).await;
    let path = format!("/apps/{}", app.id);
    for wrong in [
        "http://example.com/out",
        "https://10.0.0.1/out",
        "https://169.254.169.254/",
        "x",
        "https://a.example/#f",
    ] {
        let body = json!({"backchannel_logout_uri": wrong});
        let (status, said) = house.api("PATCH", &house.platform_key, &path, Some(body)).await;
        assert_eq!(
            (status, &said["code"], &said["field"]),
            (400, &json!("api.url_refused"), &json!("backchannel_logout_uri")),
            "{wrong}"
        );
    }
}
