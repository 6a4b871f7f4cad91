//! The provider and the app prove each other real: the app is a stock `openidconnect` client, the browser
//! knows neither, and every fault of the provider must be refused by the app for its own reason.

use crate::{
    Browser, OidcClient, OidcFault, OidcIdp, OidcIdpSettings, Page, Person, RelyingParty, ResponseParams,
    RpSettings, SamlIdp, SamlIdpSettings, ServiceProvider, now,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::DeflateEncoder};
use serde_json::{Value, json};
use std::io::Write;

const ADA: &str = "ada@northwind.example";
const PASSWORD: &str = "correct horse";

fn ada() -> Person {
    Person::new(ADA, PASSWORD, "Ada", "Lovelace").in_groups(&["8d1e-group"])
}

/// An Entra with one client, and the app that is that client.
async fn pair() -> (OidcIdp, RelyingParty) {
    let people = vec![ada(), Person::new("bo@northwind.example", "b", "Bo", "Berg")];
    let idp = OidcIdp::start(OidcIdpSettings { people, ..OidcIdpSettings::default() }).await.unwrap();
    let app = RelyingParty::start(RpSettings {
        issuer: idp.issuer().to_owned(),
        client_id: "app 1".into(),
        client_secret: "s3cret:+/ %".into(),
        ..RpSettings::default()
    })
    .await
    .unwrap();
    idp.set_client(OidcClient {
        client_id: "app 1".into(),
        client_secret: "s3cret:+/ %".into(),
        redirect_uris: vec![app.redirect_uri().to_owned()],
    });
    (idp, app)
}

async fn session(browser: &mut Browser, app: &RelyingParty) -> Value {
    let page = browser.get(&format!("{}/session.json", app.base_url())).await.unwrap();
    serde_json::from_str(&page.body).unwrap()
}

#[tokio::test]
async fn a_browser_signs_in_through_the_provider_and_the_app_verifies_what_it_is_told() {
    let (idp, app) = pair().await;
    let mut browser = Browser::new().unwrap();
    assert_eq!(session(&mut browser, &app).await, json!({"signed_in": false}));
    let page = browser.sign_in(app.base_url(), ADA, PASSWORD).await.unwrap();
    assert!(page.body.contains("Signed in as Ada Lovelace"), "{}", page.body);
    let seen = session(&mut browser, &app).await;
    let claims = &seen["id_token"];
    assert_eq!((&claims["email"], &claims["groups"]), (&json!(ADA), &json!(["8d1e-group"])));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(idp.issuer()), &json!("app 1")));
    let authorize = browser.history().iter().find(|v| v.contains("/authorize?")).unwrap();
    for wanted in ["code_challenge_method=S256", "nonce=", "state=", "login_hint=ada"] {
        assert!(authorize.contains(wanted), "{authorize}");
    }
    // The subject is the same at the next sign-in, in another browser.
    let mut other = Browser::new().unwrap();
    other.sign_in(app.base_url(), ADA, PASSWORD).await.unwrap();
    assert_eq!(session(&mut other, &app).await["id_token"]["sub"], claims["sub"]);
}

#[tokio::test]
async fn a_wrong_password_signs_nobody_in() {
    let (_idp, app) = pair().await;
    let mut browser = Browser::new().unwrap();
    let page = browser.sign_in(app.base_url(), ADA, "wrong").await.unwrap();
    assert_eq!(page.status, 401);
    assert_eq!(session(&mut browser, &app).await, json!({"signed_in": false}));
}

#[tokio::test]
async fn every_fault_is_refused_by_a_stock_client_and_honesty_is_accepted_again() {
    let (idp, app) = pair().await;
    for fault in OidcFault::ALL {
        idp.set_fault(Some(fault));
        let mut browser = Browser::new().unwrap();
        let page = browser.sign_in(app.base_url(), ADA, PASSWORD).await.unwrap();
        assert!(page.body.contains("The ID token was refused"), "{fault:?}: {}", page.body);
        assert_eq!(session(&mut browser, &app).await, json!({"signed_in": false}), "{fault:?}");
    }
    idp.set_fault(None);
    idp.set_claim("exp", json!("soon"));
    assert_eq!(sign_in(&app).await.status, 400);
    idp.set_claim("exp", json!(now().secs() + 60));
    assert_eq!(sign_in(&app).await.status, 200);
}

async fn sign_in(app: &RelyingParty) -> Page {
    Browser::new().unwrap().sign_in(app.base_url(), ADA, PASSWORD).await.unwrap()
}

#[tokio::test]
async fn prompt_and_login_hint_decide_whether_the_session_will_do() {
    let (_idp, app) = pair().await;
    let start = |more: &str| format!("{}/sign-in?{more}", app.base_url());
    let mut browser = Browser::new().unwrap();
    let page = browser.get(&start("prompt=none")).await.unwrap();
    assert!(page.body.contains("login_required"), "{}", page.body);
    browser.sign_in(&start(""), ADA, PASSWORD).await.unwrap();
    assert!(browser.get(&start("prompt=none")).await.unwrap().body.contains("Signed in as Ada"));
    assert!(browser.get(&start("prompt=login")).await.unwrap().field("password").is_some());
    let page = browser.get(&start("email=bo@northwind.example")).await.unwrap();
    assert_eq!(page.field("login").as_deref(), Some("bo@northwind.example"));
}

#[tokio::test]
async fn a_code_works_once_for_its_client_and_with_its_verifier() {
    let (idp, app) = pair().await;
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; // RFC 7636, appendix B
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let redirect = app.redirect_uri();
    let url = format!(
        "{}/authorize?client_id=app%201&redirect_uri={redirect}&response_type=code&scope=openid&state=x&\
         code_challenge={challenge}&code_challenge_method=S256",
        idp.base_url()
    );
    let token = format!("{}/token", idp.base_url());
    let mut browser = Browser::new().unwrap();
    browser.sign_in(app.base_url(), ADA, PASSWORD).await.unwrap();
    let wrong_pairs =
        [("code_verifier", "x"), ("redirect_uri", "http://x/"), ("client_secret", "x"), ("", "")];
    for (name, value) in wrong_pairs {
        let answer = browser.get_once(&url).await.unwrap();
        let location = answer.header("location").unwrap().to_owned();
        let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
            ("client_id", "app 1"),
            ("client_secret", "s3cret:+/ %"),
        ];
        fields.iter_mut().filter(|(n, _)| *n == name).for_each(|f| f.1 = value);
        let good = name.is_empty();
        let answer = browser.post_once(&token, &fields).await.unwrap();
        assert_eq!(answer.status == 200, good, "{name}: {}", answer.body);
        if good {
            assert_eq!(browser.post_once(&token, &fields).await.unwrap().status, 400, "a second time");
        }
    }
    let plain = url.replace("S256", "plain");
    let location = browser.get_once(&plain).await.unwrap().header("location").unwrap().to_owned();
    assert!(location.contains("error=invalid_request"), "{location}");
    let stranger = url.replace("/callback", "/elsewhere");
    assert_eq!(browser.get_once(&stranger).await.unwrap().status, 400);
}

/// An app that is given somebody else's answer has not begun that sign-in.
#[tokio::test]
async fn an_answer_in_another_browser_signs_nobody_in() {
    let (_idp, app) = pair().await;
    let mut victim = Browser::new().unwrap();
    let mut attacker = Browser::new().unwrap();
    attacker.sign_in(app.base_url(), ADA, PASSWORD).await.unwrap();
    let step = attacker.get_once(&format!("{}/sign-in", app.base_url())).await.unwrap();
    let step = attacker.get_once(step.header("location").unwrap()).await.unwrap();
    let page = victim.get(step.header("location").unwrap()).await.unwrap();
    assert_eq!(page.status, 400);
    assert_eq!(session(&mut victim, &app).await, json!({"signed_in": false}));
}

#[tokio::test]
async fn the_saml_provider_answers_a_deflated_request_with_a_form_for_the_acs() {
    let people = vec![ada()];
    let idp = SamlIdp::start(SamlIdpSettings { people, ..SamlIdpSettings::default() }).await.unwrap();
    let acs = format!("{}/style.css", idp.base_url());
    idp.set_sp(ServiceProvider { entity_id: "https://sp.example".into(), acs_url: acs.clone() });
    let xml = format!(
        "<p:AuthnRequest xmlns:p=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"req1\" Version=\"2.0\" \
         IssueInstant=\"{}\"><Issuer xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\">https://sp.example</Issuer>\
         </p:AuthnRequest>",
        now()
    );
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(xml.as_bytes()).unwrap();
    let mut url = openidconnect::url::Url::parse(idp.sso_url()).unwrap();
    url.query_pairs_mut()
        .append_pair("SAMLRequest", &STANDARD.encode(deflate.finish().unwrap()))
        .append_pair("RelayState", "r&s\"1");
    let mut browser = Browser::new().unwrap();
    let carries = |p: &Page| p.field("SAMLResponse").is_some();
    let page = browser.sign_in_until(url.as_str(), ADA, PASSWORD, carries).await.unwrap();
    assert_eq!(page.field("RelayState").as_deref(), Some("r&s\"1"));
    assert_eq!(page.forms()[0].action, acs);
    assert!(page.body.contains("/continue.js") && !page.body.contains("onload"));
    let response = String::from_utf8(STANDARD.decode(page.field("SAMLResponse").unwrap()).unwrap()).unwrap();
    assert!(
        response.contains("InResponseTo=\"req1\"") && response.contains(&format!("Destination=\"{acs}\""))
    );
    let params = ResponseParams::new(&acs, "https://sp.example", None, now());
    assert!(idp.response_for("nobody@northwind.example", &params).is_err());
}

#[tokio::test]
async fn a_readable_access_token_is_verified_and_its_end_is_seen_at_the_next_look() {
    let (idp, app) = pair().await;
    let own = |extra: Value| {
        let mut claims = json!({"org_id": "org_1", "team_ids": ["team_1"], "roles": []});
        claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        claims.as_object().cloned()
    };
    idp.set_access_claims(own(json!({})));
    let mut browser = Browser::new().unwrap();
    let page = browser.sign_in(app.base_url(), ADA, PASSWORD).await.unwrap();
    assert!(page.body.contains("org_1") && page.body.contains("Active"), "{}", page.body);
    let seen = session(&mut browser, &app).await;
    assert_eq!((&seen["active"], &seen["access_token"]["team_ids"]), (&json!(true), &json!(["team_1"])));
    idp.revoke_access_tokens();
    assert_eq!(session(&mut browser, &app).await["active"], json!(false));
    assert!(browser.get(app.base_url()).await.unwrap().body.contains("Ended"));
    let past = now().secs() - 1;
    for wrong in [json!({"aud": "another"}), json!({"iss": "http://other"}), json!({"exp": past})] {
        idp.set_access_claims(own(wrong.clone()));
        let page = sign_in(&app).await;
        assert!(page.body.contains("The access token was refused"), "{wrong}: {}", page.body);
    }
}

#[tokio::test]
async fn a_server_stops_when_it_is_dropped() {
    let (idp, app) = pair().await;
    let url = format!("{}/jwks", idp.base_url());
    let mut browser = Browser::new().unwrap();
    assert_eq!(browser.get(&url).await.unwrap().status, 200);
    drop((idp, app));
    for _ in 0..100 {
        if Browser::new().unwrap().get(&url).await.is_err() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{url} still answers");
}
