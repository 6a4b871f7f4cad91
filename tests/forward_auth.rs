//! `/forward-auth`: whom a reverse proxy lets on to an app.

use crate::house::{
    House, Tenant, house,
    walk::{claims, param, redeem, refresh, text, to_the_acs},
};
use reqwest::Response;
use serde_json::json;

async fn ask(house: &House, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = house.http.get(house.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Status, and the code of a refusal.
fn refusal(answer: &Response) -> (u16, &str) {
    (answer.status().as_u16(), header(answer, "x-vestibule-code"))
}

async fn end(house: &House, tenant: &Tenant, session: &str) {
    let path = format!("/orgs/{}/sessions/{session}", tenant.org);
    assert_eq!(house.api("DELETE", &house.platform_key, &path, None).await.0, 204);
}

#[tokio::test]
async fn a_token_for_this_app_passes_until_its_session_ends_and_a_cookie_never() {
    let house = house();
    let (tenant, other) = (house.tenant().await, house.tenant().await);
    let app = tenant.app.id.to_string();
    let mut door = to_the_acs(house, &tenant).await;
    let (_, tokens) = redeem(house, &tenant, &param(&door.post().await, "code")).await;
    let access = text(&tokens, "access_token").to_owned();
    let said = claims(&access);
    let bearer = format!("Bearer {access}");
    let by_token = [("x-vestibule-app", app.as_str()), ("authorization", bearer.as_str())];
    // Envoy's way, too: the held request's own path and query stand behind ours.
    for path in ["/forward-auth", "/forward-auth/reports?app=x&role=owner"] {
        let passed = ask(house, path, &by_token).await;
        assert_eq!(passed.status(), 200, "{path}");
        assert_eq!(header(&passed, "x-vestibule-user"), text(&said, "sub"));
        assert_eq!(header(&passed, "x-vestibule-org"), tenant.org.to_string());
        assert_eq!(header(&passed, "x-vestibule-session"), text(&said, "sid"));
        assert_eq!(header(&passed, "x-vestibule-email"), format!("ada@{}", tenant.domain));
        assert_eq!(
            passed.headers().get("x-vestibule-teams").map(|teams| teams.len()),
            Some(0),
            "there, and empty"
        );
    }
    let needs = format!("/forward-auth?app={app}&role=owner,admin");
    assert_eq!(refusal(&ask(house, &needs, &by_token[1..]).await), (403, "forward.role"));
    let roles = format!("/orgs/{}/users/{}/roles", tenant.org, text(&said, "sub"));
    assert_eq!(house.api("PUT", &house.platform_key, &roles, Some(json!(["admin"]))).await.0, 200);
    let (_, anew) = refresh(house, &tenant, text(&tokens, "refresh_token")).await;
    let bearer = format!("Bearer {}", text(&anew, "access_token"));
    let by_token = [("x-vestibule-app", app.as_str()), ("authorization", bearer.as_str())];
    let passed = ask(house, &needs, &by_token[1..]).await;
    assert_eq!((passed.status().as_u16(), header(&passed, "x-vestibule-roles")), (200, "admin"));
    // The browser's session opens nothing here, nor does what is for another app, or is no access token.
    let held = door.browser.cookies(&house.base);
    let cookie = held.iter().find(|c| c.name.starts_with("vst_session_")).unwrap();
    let cookie = format!("{}={}", cookie.name, cookie.value);
    let id_token = format!("Bearer {}", text(&anew, "id_token"));
    let others = format!("/forward-auth?app={}", other.app.id);
    for (path, shown) in [
        ("/forward-auth", ("cookie", &cookie)),
        ("/forward-auth", ("authorization", &id_token)),
        (&others, ("authorization", &bearer)),
    ] {
        let answer = ask(house, path, &[("x-vestibule-app", &app), (shown.0, shown.1)]).await;
        assert_eq!(refusal(&answer), (401, "forward.signed_out"), "{path} {}", shown.0);
    }
    end(house, &tenant, text(&said, "sid")).await;
    let answer = ask(house, "/forward-auth", &by_token).await;
    assert_eq!(refusal(&answer), (401, "forward.signed_out"));
    assert!(header(&answer, "x-vestibule-sign-in").starts_with("http://localhost:1/start?iss=http"));
    assert!(answer.headers().get("x-vestibule-user").is_none());
}

#[tokio::test]
async fn an_app_that_is_none_is_the_proxys_mistake() {
    let house = house();
    let unknown = format!("/forward-auth?app=app_{}", "0".repeat(26));
    for path in ["/forward-auth", "/forward-auth?app=app_0", &unknown] {
        assert_eq!(refusal(&ask(house, path, &[]).await), (400, "forward.app"), "{path}");
    }
}
