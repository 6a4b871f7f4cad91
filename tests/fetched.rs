//! What is fetched when a connection is made, from a real server: SAML metadata and OpenID discovery,
//! each in the ways it goes wrong, and the code by which the administrator learns of it.

use crate::{
    administer::{an_org, operate},
    house::{
        House, house,
        served::{Reply, Served},
        walk::text,
    },
};
use serde_json::{Value, json};
use std::time::Duration;

/// Self-signed, of 2020 alone.
const EXPIRED: &str = "MIIBDDCBsgIBATAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdvbGQtaWRwMB4XDTIwMDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAwMFowEjEQMA4GA1UEAwwHb2xkLWlkcDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABC3XUiDZViEh5h7+HZnXgQgUEQ1LHq4oT2137zEPBcsYxCyJe8fZzVFkOZYn17d/s8/nm1l6NDJYpRX84ARlEH4wCgYIKoZIzj0EAwIDSQAwRgIhAKEciZcuqME0EM5CzPMcl+8f9s62FMXz6191r6apEWqIAiEA+F9XqQVmoezeCE8LE0V4JxjaW6RINPQnqmtS6BZbPe8=";

async fn saml_from(house: &House, org: &str, url: &str) -> (u16, Value) {
    let new = json!({"type": "saml", "name": "Okta", "metadata_url": url});
    operate(house, "POST", &format!("/orgs/{org}/connections"), Some(new)).await
}

/// What the code and the facts say when the URL answers so.
async fn refused(house: &House, org: &str, reply: Reply) -> (String, Value) {
    let server = Served::start(move |_| reply.clone()).await;
    let (status, said) = saml_from(house, org, &format!("{}/metadata", server.url)).await;
    assert_eq!(status, 422, "{said}");
    (text(&said, "code").to_owned(), said["facts"].clone())
}

#[tokio::test]
async fn metadata_is_taken_from_a_url_whatever_type_it_claims() {
    let house = house();
    let tenant = house.tenant().await;
    for kind in ["application/samlmetadata+xml", "text/html", "application/octet-stream"] {
        let xml = format!("\u{feff}{}", tenant.idp.metadata_xml());
        let server = Served::start(move |_| Reply::text(kind, xml.clone())).await;
        let (status, made) = saml_from(house, &tenant.org.to_string(), &server.url).await;
        assert_eq!((status, text(&made, "state")), (201, "draft"), "{kind}: {made}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn each_way_that_metadata_goes_wrong_has_its_code() {
    let house = house();
    let tenant = house.tenant().await;
    let org = tenant.org.to_string();
    let xml = tenant.idp.metadata_xml();
    let moved = Reply::status(302).with("Location", "http://169.254.169.254/latest");
    let (code, facts) = refused(house, &org, moved).await;
    assert_eq!(code, "connection.metadata_unreachable");
    let why = text(&facts, "why");
    assert!(why.contains("status 302") && why.contains("169.254.169.254"), "named, not followed: {why}");
    let (code, facts) = refused(house, &org, Reply::status(404)).await;
    assert_eq!((&*code, text(&facts, "why")), ("connection.metadata_unreachable", "status 404"));
    let (code, facts) = refused(house, &org, Reply::text("text/xml", vec![b' '; 1_000_001])).await;
    assert_eq!(code, "connection.metadata_unreachable");
    assert!(text(&facts, "why").starts_with("outbound.too_large: "), "{facts}");
    let (code, facts) =
        refused(house, &org, Reply::text("text/xml", xml.clone()).after(Duration::from_secs(7))).await;
    assert_eq!(code, "connection.metadata_unreachable");
    assert!(text(&facts, "why").starts_with("outbound.timeout: "), "{facts}");
    for page in
        ["<!DOCTYPE html>\n<html><title>Sign in</title>", "\n<HTML lang=en>", "{\"issuer\":\"x\"}", ""]
    {
        let (code, facts) = refused(house, &org, Reply::text("text/xml", page)).await;
        assert_eq!(
            (&*code, text(&facts, "received")),
            ("connection.metadata_not_xml", &*page.trim().replace('\n', ""))
        );
    }
    let (code, _) = refused(house, &org, Reply::text("text/xml", xml[..xml.len() / 2].to_owned())).await;
    assert_eq!(code, "saml.xml_malformed");
    let old = with_certificate(&xml, EXPIRED);
    assert_eq!(
        refused(house, &org, Reply::text("text/xml", old)).await.0,
        "saml.metadata_certificates_expired"
    );
    let sp = saml::metadata::write_sp("https://sp.example", "https://sp.example/acs");
    assert_eq!(refused(house, &org, Reply::text("text/xml", sp)).await.0, "saml.metadata_not_an_idp");
    let (status, said) = saml_from(house, &org, "https://10.1.2.3/metadata").await;
    assert_eq!((status, text(&said, "code")), (422, "connection.metadata_unreachable"));
    assert!(text(&said["facts"], "why").starts_with("outbound.address_denied: "), "{said}");
    let (_, list) = operate(house, "GET", &format!("/orgs/{org}/connections"), None).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "none of them left a draft");
}

fn with_certificate(xml: &str, certificate: &str) -> String {
    let (before, rest) = xml.split_once("X509Certificate>").unwrap();
    let (_, after) = rest.split_once("</").unwrap();
    format!("{before}X509Certificate>{certificate}</{after}")
}

/// A discovery document of this issuer.
fn document(issuer: &str) -> Value {
    json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}

/// The answer to a connection at an issuer whose document is `edited`.
async fn discovered(house: &House, org: &str, edited: impl Fn(&mut Value)) -> (u16, Value) {
    let server = Served::start(|_| Reply::status(500)).await;
    let mut document = document(&server.url);
    edited(&mut document);
    server.answer(move |asked| {
        assert_eq!(asked.path, "/.well-known/openid-configuration");
        Reply::text("application/json", document.to_string())
    });
    at_issuer(house, org, &server.url).await
}

async fn at_issuer(house: &House, org: &str, issuer: &str) -> (u16, Value) {
    let new =
        json!({"type": "oidc", "name": "Entra", "issuer": issuer, "client_id": "c", "client_secret": "s"});
    operate(house, "POST", &format!("/orgs/{org}/connections"), Some(new)).await
}

#[tokio::test]
async fn each_way_that_discovery_goes_wrong_has_its_code() {
    let house = house();
    let org = an_org(house).await;
    assert_eq!(discovered(house, &org, |_| {}).await.0, 201);
    let (status, said) =
        discovered(house, &org, |d| d["issuer"] = json!("https://login.example/common")).await;
    assert_eq!((status, text(&said, "code")), (422, "oidc.issuer_mismatch"), "{said}");
    assert_eq!(text(&said["facts"], "received"), "https://login.example/common");
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        let missing = |d: &mut Value| drop(d.as_object_mut().unwrap().remove(name));
        let (status, said) = discovered(house, &org, missing).await;
        assert_eq!((status, text(&said, "code")), (422, "oidc.endpoint"), "{name}: {said}");
        assert_eq!(text(&said["facts"], "endpoint"), name);
        let (_, said) = discovered(house, &org, |d| d[name] = json!("http://idp.example/x")).await;
        assert_eq!((text(&said, "code"), text(&said["facts"], "endpoint")), ("oidc.endpoint", name));
    }
    let (_, said) =
        discovered(house, &org, |d| d["id_token_signing_alg_values_supported"] = json!(["HS256"])).await;
    assert_eq!(text(&said, "code"), "oidc.no_algorithm");
    let page = Served::start(|_| Reply::text("text/html", "<html>Sign in</html>")).await;
    assert_eq!(text(&at_issuer(house, &org, &page.url).await.1, "code"), "oidc.discovery_malformed");
    let moved = Served::start(|_| Reply::status(301).with("Location", "https://elsewhere.example/")).await;
    let (_, said) = at_issuer(house, &org, &moved.url).await;
    assert_eq!(text(&said, "code"), "oidc.provider_unreachable");
    assert!(text(&said["facts"], "why").contains("elsewhere.example"), "{said}");
    let hangs = Served::start(|_| Reply::status(200).after(Duration::from_secs(7))).await;
    let (_, said) = at_issuer(house, &org, &hangs.url).await;
    assert_eq!(text(&said, "code"), "oidc.provider_unreachable");
    assert!(text(&said["facts"], "why").starts_with("outbound.timeout: "), "{said}");
    assert_eq!(
        operate(house, "GET", &format!("/orgs/{org}/connections"), None).await.1["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
