//! An org with several ways in: the person is asked by which, and the app's request goes on with the
//! answer unchanged.

use crate::house::{
    House, Tenant, authorize_url, house,
    walk::{claims, param, redeem, text},
};
use idp_fixtures::{Browser, Person, SamlIdp, SamlIdpSettings, ServiceProvider};
use serde_json::json;

/// A second identity provider of the org, enabled.
pub async fn second(house: &House, tenant: &Tenant, name: &str) -> (String, SamlIdp) {
    let people = vec![Person::new(&format!("ada@{}", tenant.domain), "pw", "Ada", "Lovelace")];
    let idp = SamlIdp::start(SamlIdpSettings { people, ..SamlIdpSettings::default() }).await.unwrap();
    let list = format!("/orgs/{}/connections", tenant.org);
    let new = json!({"type": "saml", "name": name, "jit": true, "metadata_xml": idp.metadata_xml()});
    let (status, made) = house.api("POST", &house.platform_key, &list, Some(new)).await;
    assert_eq!(status, 201, "{made}");
    let id = text(&made, "id").to_owned();
    let enable = format!("{list}/{id}/enable");
    assert_eq!(house.api("POST", &house.platform_key, &enable, None).await.0, 200);
    let sp = &made["sp"];
    idp.set_sp(ServiceProvider {
        entity_id: text(sp, "entity_id").into(),
        acs_url: text(sp, "acs_url").into(),
    });
    (id, idp)
}

async fn page(house: &House, url: &str) -> (u16, reqwest::header::HeaderMap, String) {
    let sent = house.http.get(url).send().await.unwrap();
    (sent.status().as_u16(), sent.headers().clone(), sent.text().await.unwrap())
}

/// The form's own fields, and the value of the button that says so.
fn pressed(body: &str, button: &str) -> Vec<(String, String)> {
    let between =
        |text: &str, left: &str| text.split_once(left).unwrap().1.split('"').next().unwrap().to_owned();
    let mut fields: Vec<_> = body
        .split("<input type=\"hidden\"")
        .skip(1)
        .map(|input| (between(input, "name=\""), between(input, "value=\"").replace("&amp;", "&")))
        .collect();
    let buttons = body.split("<button name=\"connection\"").skip(1);
    let mut named =
        buttons.filter(|b| b.split_once('>').unwrap().1.starts_with(&format!("{button}</button>")));
    fields.push((
        "connection".to_owned(),
        between(named.next().unwrap_or_else(|| panic!("{body}")), "value=\""),
    ));
    fields
}

#[tokio::test]
async fn a_person_is_asked_by_which_connection_and_comes_in_by_it() {
    let house = house();
    let tenant = house.tenant().await;
    let (id, _idp) = second(house, &tenant, "<b>Contractors & \"co\"").await;
    let asked = authorize_url(house, &tenant, &[("login_hint", "ada&co@x.example")]);
    let (status, headers, body) = page(house, &asked).await;
    assert_eq!(status, 200);
    assert!(headers.get("set-cookie").is_none(), "no attempt yet");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    assert!(!body.contains("<b>"), "a name is text: {body}");
    let (first, other) =
        (body.find("Continue with Okta").unwrap(), body.find("Continue with &lt;b&gt;").unwrap());
    assert!(first < other, "in the order they were made");
    let fields = pressed(&body, "Continue with &lt;b&gt;Contractors &amp; &quot;co&quot;");
    assert!(fields.contains(&("connection".to_owned(), id.clone())));
    let before: Vec<_> =
        form_urlencoded::parse(asked.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    assert!(before.iter().all(|field| fields.contains(field)), "{before:?} in {fields:?}");
    let chosen = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
    let url = house.url(&format!("/oauth2/authorize?{chosen}"));
    let login = format!("ada@{}", tenant.domain);
    let mut browser = Browser::new().unwrap();
    let at_the_door =
        browser.sign_in_until(&url, &login, "pw", |p| p.field("SAMLResponse").is_some()).await.unwrap();
    let posted = ["SAMLResponse", "RelayState"].map(|name| (name, at_the_door.field(name).unwrap()));
    let posted: Vec<_> = posted.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let back = browser.post_once(&house.url(&format!("/saml/{id}/acs")), &posted).await.unwrap();
    let (status, given) = redeem(house, &tenant, &param(&back, "code")).await;
    assert_eq!((status, text(&claims(text(&given, "access_token")), "con")), (200, id.as_str()), "{given}");
}

#[tokio::test]
async fn nobody_is_asked_what_is_said_or_has_one_answer() {
    let house = house();
    let tenant = house.tenant().await;
    let (id, idp) = second(house, &tenant, "Contractors").await;
    let own = tenant.connection.to_string();
    for (named, provider) in [(own.as_str(), &tenant.idp), (id.as_str(), &idp)] {
        let (status, headers, _) =
            page(house, &authorize_url(house, &tenant, &[("connection", named)])).await;
        let location = headers["location"].to_str().unwrap();
        let origin = provider.metadata_xml();
        let host = location.split('/').nth(2).unwrap();
        assert!(status == 303 && origin.contains(host), "{location}");
    }
    let (status, headers, _) = page(house, &authorize_url(house, &tenant, &[("prompt", "none")])).await;
    assert!(status == 303 && headers["location"].to_str().unwrap().contains("error=login_required"));
    let (_, _, body) = page(house, &authorize_url(house, &tenant, &[("connection", "")])).await;
    assert_eq!(
        body.matches("name=\"connection\"").count(),
        2,
        "an empty wish is none: two buttons, no hidden field"
    );
    let disable = format!("/orgs/{}/connections/{id}/disable", tenant.org);
    assert_eq!(house.api("POST", &house.platform_key, &disable, None).await.0, 200);
    assert_eq!(page(house, &authorize_url(house, &tenant, &[])).await.0, 303, "one is left");
    let (status, headers, _) = page(house, &authorize_url(house, &tenant, &[("connection", &id)])).await;
    assert!(status == 303 && headers["location"].to_str().unwrap().contains("login.no_connection"));
}
