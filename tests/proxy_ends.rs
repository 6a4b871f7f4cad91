//! What ends a pass, each at the very next request; what only changes who it says; and where it opens nothing.

use crate::house::{
    House, Tenant,
    front::{Desk, FRONT, desk, desk_with},
    house,
};
use serde_json::{Value, json};

const OUT: (u16, &str) = (401, "forward.signed_out");

/// A person at a desk of this org's, let on.
async fn at_the_desk(house: &'static House, tenant: &Tenant) -> Desk {
    let mut desk = desk(house).await;
    desk.sign_in(tenant, "/").await;
    assert_eq!(desk.forward(&[]).await.status, 200);
    desk
}

async fn done(house: &House, method: &str, path: &str, body: Option<Value>) {
    let (status, said) = house.api(method, &house.platform_key, path, body).await;
    assert!((200..300).contains(&status), "{method} {path}: {status} {said}");
}

async fn says(desk: &Desk, name: &str) -> String {
    let passed = desk.forward(&[]).await;
    assert_eq!(passed.status, 200, "{}", passed.body);
    passed.header(name).to_owned()
}

#[tokio::test]
async fn whatever_ends_a_person_session_app_or_org_ends_the_pass_at_the_next_request() {
    let house = house();
    for end in [
        "deactivated",
        "session",
        "person's sessions",
        "org's",
        "connection",
        "app left",
        "suspended",
        "app gone",
    ] {
        let (tenant, other) = (house.tenant().await, house.tenant().await);
        // Of these two orgs alone: what it leaves is written in each.
        let mut desk = desk_with(house, json!({"orgs": [tenant.org, other.org]})).await;
        desk.sign_in(&tenant, "/").await;
        let (user, session) =
            (says(&desk, "x-vestibule-user").await, says(&desk, "x-vestibule-session").await);
        let of = format!("/orgs/{}", tenant.org);
        let nothing = Some(json!({}));
        match end {
            "deactivated" => {
                // A directory says so of the seat, which it has taken over.
                done(house, "PATCH", &of, Some(json!({"scim_adopts": true}))).await;
                let ada = json!({"userName": format!("ada@{}", tenant.domain), "active": true});
                let (status, made) =
                    house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(ada)).await;
                assert_eq!((status, made["id"].as_str()), (201, Some(user.as_str())), "{made}");
                assert_eq!(desk.forward(&[]).await.status, 200, "still active");
                let gone = json!({
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                    "Operations": [{"op": "replace", "value": {"active": false}}],
                });
                let path = format!("/scim/v2/Users/{user}");
                assert_eq!(house.scim("PATCH", &tenant.scim_token, &path, Some(gone)).await.0, 200);
            }
            "session" => done(house, "DELETE", &format!("{of}/sessions/{session}"), None).await,
            "person's sessions" => done(house, "POST", &format!("{of}/users/{user}/revoke"), nothing).await,
            "org's" => done(house, "POST", &format!("{of}/revoke"), nothing).await,
            "connection" => {
                done(house, "POST", &format!("{of}/connections/{}/disable", tenant.connection), nothing)
                    .await;
            }
            "app left" => {
                let orgs = Some(json!({"orgs": [other.org]}));
                let path = format!("/apps/{}", desk.app);
                for _ in 0..200 {
                    let (status, said) = house.api("PATCH", &house.platform_key, &path, orgs.clone()).await;
                    if status == 200 {
                        break;
                    }
                    assert_eq!(status, 503, "{said}");
                }
            }
            "suspended" => done(house, "PATCH", &of, Some(json!({"state": "suspended"}))).await,
            "app gone" => {
                done(house, "DELETE", &format!("/apps/{}", desk.app), None).await;
                assert_eq!(desk.forward(&[]).await.refusal(), (400, "forward.app"));
                continue;
            }
            other => panic!("{other}"),
        }
        assert_eq!(desk.forward(&[]).await.refusal(), OUT, "{end}");
        if end == "suspended" {
            done(house, "PATCH", &of, Some(json!({"state": "active"}))).await;
            assert_eq!(desk.forward(&[]).await.refusal(), OUT, "its end revives none");
        }
    }
}

#[tokio::test]
async fn roles_are_read_anew_and_their_loss_ends_nothing() {
    let house = house();
    let tenant = house.tenant().await;
    let desk = at_the_desk(house, &tenant).await;
    let user = says(&desk, "x-vestibule-user").await;
    let roles = format!("/orgs/{}/users/{user}/roles", tenant.org);
    let teams = format!("/orgs/{}/teams", tenant.org);
    assert_eq!(says(&desk, "x-vestibule-roles").await, "");
    done(house, "PUT", &roles, Some(json!(["admin"]))).await;
    assert_eq!(says(&desk, "x-vestibule-roles").await, "admin");
    let owners = format!("/forward-auth?app={}&role=owner", desk.app);
    assert_eq!(desk.forward_at(&owners, &[]).await.refusal(), (403, "forward.role"));
    let (_, team) =
        house.api("POST", &house.platform_key, &teams, Some(json!({"slug": "t", "name": "T"}))).await;
    let member = format!("{teams}/{}/members/{user}", team["id"].as_str().unwrap());
    done(house, "PUT", &member, None).await;
    assert_eq!(says(&desk, "x-vestibule-teams").await, team["id"]);
    // Each of these has access tokens fetched anew.
    done(house, "DELETE", &member, None).await;
    done(house, "PUT", &roles, Some(json!([]))).await;
    assert_eq!(
        (says(&desk, "x-vestibule-teams").await, says(&desk, "x-vestibule-roles").await),
        Default::default()
    );
}

#[tokio::test]
async fn a_pass_is_of_one_app_and_one_kind_of_address() {
    let house = house();
    let tenant = house.tenant().await;
    let own = at_the_desk(house, &tenant).await;
    let mut other = desk(house).await;
    other.jar = own.jar.clone();
    assert_eq!(other.forward(&[]).await.refusal(), OUT, "another app's");
    // It cannot be given back there either.
    other.ask("POST", "sign-out", &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(own.forward(&[]).await.status, 200);
    let mut plain = own.other();
    plain.jar.insert("vestibule-pass".to_owned(), own.pass().to_owned());
    assert_eq!(plain.forward(&[]).await.refusal(), OUT, "a name that a sibling of the host can set");
    plain.jar.insert("__Host-vestibule-pass".to_owned(), own.pass().to_owned());
    assert_eq!(plain.forward(&[]).await.status, 200);
    let twice = format!("{}; {}", own.cookies(), own.cookies());
    assert_eq!(own.other().forward(&[("cookie", &twice)]).await.refusal(), OUT, "a name that comes twice");
    // What browsers take for the start of another name, which a sibling may set, stands before ours.
    for (space, status) in
        [("\u{2000}", 401), ("\u{a0}", 401), ("\u{85}", 401), ("\u{3000}", 401), (" \t", 200)]
    {
        let cookie = format!("a=b;{space}{}", own.cookies());
        assert_eq!(own.other().forward(&[("cookie", &cookie)]).await.status, status, "{space:?}");
    }
    let pass = own.pass().to_owned();
    for at in [0, 8, 9, 20, 80, 120, pass.len() - 1] {
        let letter = if pass.as_bytes()[at] == b'A' { "B" } else { "A" };
        plain
            .jar
            .insert("__Host-vestibule-pass".into(), format!("{}{letter}{}", &pass[..at], &pass[at + 1..]));
        assert_eq!(plain.forward(&[]).await.refusal(), OUT, "changed at {at}");
    }
}

/// `SameSite=Lax` keeps such a request from bringing the cookie; where one does, it is stopped once more.
#[tokio::test]
async fn another_sites_page_changes_nothing_by_a_pass() {
    let house = house();
    let tenant = house.tenant().await;
    let mut desk = at_the_desk(house, &tenant).await;
    let cross = ("sec-fetch-site", "cross-site");
    for method in ["POST", "DELETE", "post", ""] {
        for name in ["x-forwarded-method", "x-original-method"] {
            let stopped = desk.forward(&[cross, (name, method)]).await;
            assert_eq!(stopped.refusal(), (403, "forward.cross_site"), "{name} {method}");
        }
    }
    for (site, method) in
        [("cross-site", "GET"), ("cross-site", "HEAD"), ("same-origin", "POST"), ("same-site", "POST")]
    {
        let headers = [("sec-fetch-site", site), ("x-forwarded-method", method)];
        assert_eq!(desk.forward(&headers).await.status, 200, "{site} {method}");
    }
    let app = desk.app.clone();
    // Envoy's own method says it.
    let url = house.url("/forward-auth/transfer");
    let sent = house.http.post(url).header("cookie", desk.cookies()).header("x-vestibule-app", &app);
    assert_eq!(sent.header(cross.0, cross.1).send().await.unwrap().status().as_u16(), 403);
    desk.jar.clear();
    assert_eq!(desk.forward(&[cross, ("x-forwarded-method", "POST")]).await.refusal(), OUT);
}

#[tokio::test]
async fn a_person_gives_the_pass_back_and_nobody_else_does_it_for_them() {
    let house = house();
    let tenant = house.tenant().await;
    let back = json!({"post_logout_redirect_uris": ["https://other.example/bye", format!("{FRONT}/bye")]});
    let link: &[(&str, &str)] = &[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "document")];
    for (method, headers) in [("GET", link), ("POST", &[("sec-fetch-site", "same-origin")]), ("POST", &[])] {
        let mut desk = desk_with(house, back.clone()).await;
        desk.sign_in(&tenant, "/").await;
        let held = desk.cookies();
        // What the person does not do is asked about, and ends nothing.
        for (method, headers) in [
            ("GET", vec![]),
            ("GET", vec![("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")]),
            ("GET", vec![("sec-fetch-site", "same-site"), ("sec-fetch-dest", "document")]),
            ("GET", vec![("sec-fetch-site", "none"), ("sec-fetch-dest", "document")]),
            ("GET", vec![("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "image")]),
            ("GET", [link, &[("sec-purpose", "prefetch")]].concat()),
            ("POST", vec![("sec-fetch-site", "cross-site")]),
            ("POST", vec![("sec-fetch-site", "same-site")]),
        ] {
            let asked = desk.ask(method, "sign-out", &headers).await;
            assert_eq!(asked.status, 200, "{method} {headers:?}");
            assert!(asked.body.contains("<form method=\"post\" action=\"/_vestibule/sign-out\">"));
            assert!(asked.header("content-security-policy").contains("form-action 'self' http://localhost"));
        }
        assert_eq!(desk.forward(&[]).await.status, 200);
        let left = desk.ask(method, "sign-out", headers).await;
        let issuer = format!(
            "/oauth2/logout?client_id={}&post_logout_redirect_uri=https%3A%2F%2Fdesk.example%2Fbye",
            desk.app
        );
        assert_eq!((left.status, left.header("location")), (303, house.url(&issuer).as_str()));
        assert!(desk.jar.is_empty(), "the cookie is taken back");
        let copy = desk.other().forward(&[("cookie", &held)]).await;
        assert_eq!(copy.refusal(), OUT, "and a copy of it is good for nothing");
        // The session at the issuer is another thing: it is asked about there.
        let asked = desk.issuer.get_once(left.header("location")).await.unwrap();
        assert!(asked.body.contains("End this session"), "{}", asked.body);
    }
    let path = format!("/orgs/{}/audit/events?action=token.revoked", tenant.org);
    let (_, events) = house.api("GET", &tenant.org_key, &path, None).await;
    assert_eq!(events["data"].as_array().unwrap().len(), 3, "{events}");
    assert_eq!(events["data"][0]["actor"]["type"], "user", "{events}");
}

#[tokio::test]
async fn the_persons_own_sign_out_and_account_page_reach_it() {
    let house = house();
    let tenant = house.tenant().await;
    let mut desk = at_the_desk(house, &tenant).await;
    assert!(desk.issuer.post_once(&house.url("/logout"), &[]).await.unwrap().status == 200);
    assert_eq!(desk.forward(&[]).await.refusal(), OUT);
}
