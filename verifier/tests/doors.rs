//! The middlewares, and what routes ask: the same answers by actix and by tower.

use crate::fake::{Asked, Gateway};
use actix_web::{App, HttpResponse, http::StatusCode, test as calls, web};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;
use vestibule_verifier::{
    Catalogue, Denied, Require, Verified, Verifier, actix::Verify, testing, tower::VerifyLayer,
};

fn asks() -> Require {
    let roles = Catalogue::of([("admin", &["invoice:write"][..]), ("viewer", &["invoice:read"])]);
    Require::new()
        .scope("profile")
        .permission("invoice:write", &roles)
        .any_acr(&["phr", "phrh"])
        .max_age_secs(600)
}

/// Authorization headers, what is answered, and what `WWW-Authenticate` has in it.
fn table(gateway: &Gateway) -> Vec<(Vec<String>, u16, &'static str)> {
    let bearer = |more: Value| vec![format!("Bearer {}", gateway.token(more))];
    let old = crate::fake::tokens::now() - 601;
    vec![
        (bearer(json!({})), 200, ""),
        (vec![], 401, "Bearer"),
        (vec!["Basic YTpi".into()], 401, "Bearer"),
        (vec!["Bearer x".into()], 401, "Bearer error=\"invalid_token\""),
        ([bearer(json!({})), bearer(json!({}))].concat(), 400, "error=\"invalid_request\""),
        (bearer(json!({"aud": "app_2"})), 401, "error=\"invalid_token\""),
        (bearer(json!({"sub": "usr_2"})), 401, "error=\"invalid_token\""),
        (bearer(json!({"scope": "openid"})), 403, "error=\"insufficient_scope\""),
        (bearer(json!({"scope": "openid"})), 403, "scope=\"profile\""),
        (bearer(json!({"roles": ["viewer"]})), 403, "error=\"insufficient_scope\""),
        (bearer(json!({"acr": "pwd"})), 401, "error=\"insufficient_user_authentication\""),
        (bearer(json!({"acr": "pwd"})), 401, "acr_values=\"phr phrh\""),
        (bearer(json!({"acr": null})), 401, "acr_values=\"phr phrh\""),
        (bearer(json!({"auth_time": old})), 401, "max_age=\"600\""),
        (bearer(json!({"auth_time": null})), 401, "max_age=\"600\""),
    ]
}

async fn prepared() -> (Gateway, Verifier, Verifier) {
    let gateway = Gateway::start().await;
    gateway.revoke("org_1", 6, "usr:usr_2", "terminate");
    let verifier = gateway.verifier().await;
    gateway.set(|state| (state.feed, state.asked) = (false, Asked::Fails));
    let deaf = gateway.builder().build().unwrap();
    crate::fake::until(3, async || deaf.health().keys == 1).await;
    (gateway, verifier, deaf)
}

#[actix_web::test]
async fn actix() {
    let (gateway, verifier, deaf) = prepared().await;
    let who = |caller: Verified| async move { HttpResponse::Ok().body(caller.0.sub().to_owned()) };
    let app = App::new()
        .service(web::resource("/good").wrap(Verify::new(verifier).require(asks())).to(who))
        .service(web::resource("/stale").wrap(Verify::new(deaf)).to(who))
        .service(web::resource("/open").to(who));
    let app = calls::init_service(app).await;
    let call = async |path: &str, headers: &[String]| {
        let mut request = calls::TestRequest::get().uri(path);
        for header in headers {
            request = request.append_header(("authorization", header.as_str()));
        }
        calls::call_service(&app, request.to_request()).await
    };
    for (headers, status, part) in table(&gateway) {
        let answer = call("/good", &headers).await;
        assert_eq!(answer.status().as_u16(), status, "{part}");
        let said = answer.headers().get("www-authenticate").map_or("", |v| v.to_str().unwrap());
        assert!(said.contains(part), "{said}, not {part}");
        assert_eq!(said.is_empty(), status == 200);
        if status == 200 {
            assert_eq!(calls::read_body(answer).await, "usr_1");
        } else {
            assert_eq!(answer.headers().get("cache-control").unwrap(), "no-store");
        }
    }
    let good = [format!("Bearer {}", gateway.token(json!({})))];
    let stale = call("/stale", &good).await;
    assert_eq!(stale.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stale.headers().get("retry-after").unwrap(), "2");
    assert_eq!(call("/open", &good).await.status(), StatusCode::INTERNAL_SERVER_ERROR, "nothing verified it");
}

/// Answers with the caller's name.
#[derive(Clone)]
struct Who;

impl Service<http::Request<()>> for Who {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<()>) -> Self::Future {
        let Verified(claims) = request.extensions().get().expect("a verified caller");
        ready(Ok(http::Response::new(claims.sub().to_owned())))
    }
}

#[tokio::test]
async fn tower() {
    let (gateway, verifier, deaf) = prepared().await;
    let mut service = VerifyLayer::new(verifier).require(asks()).layer(Who);
    for (headers, status, part) in table(&gateway) {
        let mut request = http::Request::builder().uri("/");
        for header in &headers {
            request = request.header("authorization", header);
        }
        let answer = service.call(request.body(()).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{part}");
        let said = answer.headers().get("www-authenticate").map_or("", |v| v.to_str().unwrap());
        assert!(said.contains(part), "{said}, not {part}");
        assert_eq!(answer.body(), if status == 200 { "usr_1" } else { "" });
    }
    let request =
        http::Request::builder().header("authorization", format!("Bearer {}", gateway.token(json!({}))));
    let stale = VerifyLayer::new(deaf).layer(Who).call(request.body(()).unwrap()).await.unwrap();
    assert_eq!(stale.status(), 503);
    assert_eq!(stale.headers().get("retry-after").unwrap(), "2");
    assert!(stale.headers().get("www-authenticate").is_none());
}

#[test]
fn what_a_route_asks_holds_on_its_second() {
    let claims = |json: Value| testing::claims(&json.to_string()).unwrap();
    let now = crate::fake::tokens::now();
    let ada = claims(json!({"roles": ["viewer"], "scope": "a b", "acr": "phr", "auth_time": now}));
    assert_eq!(Require::new().check(&ada, now), Ok(()));
    assert_eq!(Require::new().scope("a").scope("b").check(&ada, now), Ok(()));
    assert_eq!(Require::new().scope("a").scope("c").check(&ada, now), Err(Denied::Scope("a c".into())));
    assert_eq!(Require::new().scope("").check(&ada, now), Err(Denied::Scope(String::new())));
    assert_eq!(Require::new().any_role(&["admin", "viewer"]).check(&ada, now), Ok(()));
    assert_eq!(Require::new().role("viewer").role("admin").check(&ada, now), Err(Denied::Role));
    assert_eq!(Require::new().any_role(&[]).check(&ada, now), Err(Denied::Role), "one of none");
    let unknown = Require::new().permission("x:y", &Catalogue::of([("viewer", &["x:z"][..])]));
    assert_eq!(unknown.check(&ada, now), Err(Denied::Role));
    assert!(Require::new().any_acr(&[]).check(&ada, now).is_err());
    let fresh = Require::new().max_age_secs(60);
    assert_eq!(fresh.check(&ada, now + 60), Ok(()));
    assert!(fresh.check(&ada, now + 61).is_err());
    assert!(fresh.max_age_secs(600).check(&ada, now + 61).is_err(), "the stricter of two");
    let said = Require::new().any_acr(&["phrh"]).max_age_secs(0).check(&ada, now + 1);
    let both = Denied::Authentication { acr_values: Some("phrh".into()), max_age_secs: Some(0) };
    assert_eq!(said, Err(both));
    assert!(testing::claims("[]").is_err() && testing::claims(r#"{"rs": "1"}"#).is_err());
}
