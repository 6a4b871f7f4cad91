//! `/forward-auth`: whom a reverse proxy lets on to an app.

use crate::house::{
    House, Tenant, house,
    walk::{claims, param, redeem, text, to_the_acs},
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
async fn who_is_signed_in_passes_by_token_or_by_session_until_it_ends() {
    let house = house();
    let tenant = house.tenant().await;
    let app = tenant.app.id.to_string();
    let mut door = to_the_acs(house, &tenant).await;
    let (_, tokens) = redeem(house, &tenant, &param(&door.post().await, "code")).await;
    let access = text(&tokens, "access_token").to_owned();
    let said = claims(&access);
    let held = door.browser.cookies(&house.base);
    let cookie = held.iter().find(|c| c.name.starts_with("vst_session_")).unwrap();
    let cookie = format!("{}={}", cookie.name, cookie.value);
    let bearer = format!("Bearer {access}");
    let by_token = [("x-vestibule-app", app.as_str()), ("authorization", bearer.as_str())];
    let by_session = [("x-vestibule-app", app.as_str()), ("cookie", cookie.as_str())];
    for (path, headers) in [
        ("/forward-auth", &by_token),
        ("/forward-auth", &by_session),
        // Envoy's way: the held request's own path and query stand behind ours.
        ("/forward-auth/reports?app=x&role=owner", &by_session),
    ] {
        let passed = ask(house, path, headers).await;
        assert_eq!(passed.status(), 200, "{path} {headers:?}");
        assert_eq!(header(&passed, "x-vestibule-user"), text(&said, "sub"));
        assert_eq!(header(&passed, "x-vestibule-org"), tenant.org.to_string());
        assert_eq!(header(&passed, "x-vestibule-session"), text(&said, "sid"));
        assert_eq!(header(&passed, "x-vestibule-email"), format!("ada@{}", tenant.domain));
        let given = header(&passed, "authorization").strip_prefix("Bearer ").unwrap();
        let fresh = claims(given);
        for name in ["sub", "org_id", "sid", "aud", "iss", "con"] {
            assert_eq!(fresh[name], said[name], "{name}");
        }
        let audience = [("x-vestibule-app", app.as_str()), ("authorization", &format!("Bearer {given}"))];
        assert_eq!(ask(house, "/forward-auth", &audience).await.status(), 200, "the app's token is one");
    }
    let needs = format!("/forward-auth?app={app}&role=owner,admin");
    assert_eq!(refusal(&ask(house, &needs, &by_session[1..]).await), (403, "forward.role"));
    let roles = format!("/orgs/{}/users/{}/roles", tenant.org, text(&said, "sub"));
    assert_eq!(house.api("PUT", &house.platform_key, &roles, Some(json!(["admin"]))).await.0, 200);
    let passed = ask(house, &needs, &by_session[1..]).await;
    assert_eq!((passed.status().as_u16(), header(&passed, "x-vestibule-roles")), (200, "admin"));
    end(house, &tenant, text(&said, "sid")).await;
    for headers in [by_token, by_session] {
        let answer = ask(house, "/forward-auth", &headers).await;
        assert_eq!(refusal(&answer), (401, "forward.signed_out"), "{headers:?}");
        let start = header(&answer, "x-vestibule-sign-in");
        assert!(start.starts_with("http://localhost:1/start?iss=http"), "{start}");
        assert!(
            header(&answer, "x-vestibule-user").is_empty() && header(&answer, "authorization").is_empty()
        );
    }
}

#[tokio::test]
async fn a_token_for_another_app_passes_nobody_and_neither_does_an_unnamed_org_of_several() {
    let house = house();
    let (acme, globex) = (house.tenant().await, house.tenant().await);
    let app = acme.app.id.to_string();
    assert_eq!(refusal(&ask(house, "/forward-auth", &[]).await), (400, "forward.app"));
    assert_eq!(refusal(&ask(house, "/forward-auth?app=app_0", &[]).await), (400, "forward.app"));
    let unknown = format!("/forward-auth?app=app_{}", "0".repeat(26));
    assert_eq!(refusal(&ask(house, &unknown, &[]).await), (400, "forward.app"));
    let mut cookies = Vec::new();
    for tenant in [&acme, &globex] {
        let mut door = to_the_acs(house, tenant).await;
        let (_, tokens) = redeem(house, tenant, &param(&door.post().await, "code")).await;
        let held = door.browser.cookies(&house.base);
        let cookie = held.iter().find(|c| c.name.starts_with("vst_session_")).unwrap();
        cookies.push(format!("{}={}", cookie.name, cookie.value));
        let bearer = format!("Bearer {}", text(&tokens, "access_token"));
        let answer = ask(house, &format!("/forward-auth?app={app}"), &[("authorization", &bearer)]).await;
        let right = if tenant.app.id == acme.app.id { 200 } else { 401 };
        assert_eq!(answer.status().as_u16(), right, "the audience is another app's");
        let id = format!("Bearer {}", text(&tokens, "id_token"));
        let answer = ask(house, &format!("/forward-auth?app={app}"), &[("authorization", &id)]).await;
        assert_eq!(refusal(&answer), (401, "forward.signed_out"));
    }
    let both = cookies.join("; ");
    let of = |org: &str| format!("/forward-auth?app={app}{org}");
    let several = ask(house, &of(""), &[("cookie", &both)]).await;
    assert_eq!(refusal(&several), (401, "forward.signed_out"));
    for tenant in [&acme, &globex] {
        let named = of(&format!("&organization={}", tenant.slug));
        let passed = ask(house, &named, &[("cookie", &both)]).await;
        assert_eq!(
            (passed.status().as_u16(), header(&passed, "x-vestibule-org")),
            (200, tenant.org.to_string().as_str())
        );
    }
    let nobody = of(&format!("&organization={}", globex.slug));
    assert_eq!(refusal(&ask(house, &nobody, &[("cookie", &cookies[0])]).await), (401, "forward.signed_out"));
}
