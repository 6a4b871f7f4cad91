//! Signing in by OpenID Connect: the same admission, and what each tie refuses.

use crate::house::{
    House, Tenant, authorize_url, house, now,
    walk::{claims, param, redeem, text},
};
use idp_fixtures::{Browser, OidcClient, OidcFault, OidcIdp, OidcIdpSettings, Page, Person};
use model::{
    Secret,
    ids::ConnectionId,
    record::{AuditEvent, Record},
};
use serde_json::json;
use store::{ConnectionKind, ConnectionState, NewConnection};
use vestibule::seams::SystemChance;

/// The tenant's people sign in at this provider from now on.
async fn at_an_openid_provider(house: &'static House) -> (Tenant, OidcIdp, String) {
    let tenant = house.tenant().await;
    let grace = format!("grace@{}", tenant.domain);
    let people = vec![Person::new(&grace, "pw", "Grace", "Hopper")];
    let idp = OidcIdp::start(OidcIdpSettings { people, ..OidcIdpSettings::default() }).await.unwrap();
    let id = ConnectionId::new(now(), &SystemChance);
    let config = json!({"issuer": idp.issuer(), "client_id": "vestibule", "groups_claim": "groups"});
    let (scope, old) = (house.visitor(&tenant).await, tenant.connection);
    house
        .on(async move {
            let mut tx = house.gw.db.write(&scope, "test.connect").await.unwrap();
            tx.set_connection_state(old, ConnectionState::Disabled).await.unwrap();
            let secret = Secret::new("upstream-secret".to_owned());
            let new = NewConnection {
                id,
                kind: ConnectionKind::Oidc,
                name: "Entra",
                config: &config,
                secret: Some(&secret),
            };
            tx.create_connection(&new).await.unwrap();
            tx.set_connection_state(id, ConnectionState::Enabled).await.unwrap();
            tx.commit(Record::of(AuditEvent::done("connection.created"))).await.unwrap();
        })
        .await;
    idp.set_client(OidcClient {
        client_id: "vestibule".into(),
        client_secret: "upstream-secret".into(),
        redirect_uris: vec![house.gw.links.oidc_callback(id)],
    });
    (tenant, idp, grace)
}

/// Walks to the provider and back, up to the page or redirect that the gateway answers with.
async fn walk(house: &House, tenant: &Tenant, login: &str, browser: &mut Browser) -> Page {
    let callback = callback_url(house, tenant, login, browser).await;
    browser.get_once(&callback).await.unwrap()
}

/// The provider's answer, not yet delivered.
async fn callback_url(house: &House, tenant: &Tenant, login: &str, browser: &mut Browser) -> String {
    let page = browser.get(&authorize_url(house, tenant, &[])).await.unwrap();
    let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
    let fields: Vec<(String, String)> = form
        .fields
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .filter(|(name, _)| !form.visible.iter().any(|(visible, _)| visible == name))
        .chain(form.visible.iter().map(|(name, kind)| {
            (name.clone(), if kind == "password" { "pw".to_owned() } else { login.to_owned() })
        }))
        .collect();
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let provider = page.url.split('/').take(3).collect::<Vec<_>>().join("/");
    let action =
        if form.action.starts_with('/') { format!("{provider}{}", form.action) } else { form.action };
    let answered = browser.post_once(&action, &pairs).await.unwrap();
    answered.header("location").unwrap_or_else(|| panic!("no redirect: {}", answered.body)).to_owned()
}

#[tokio::test]
async fn an_openid_sign_in_gives_the_same_tokens() {
    let house = house();
    let (tenant, _idp, grace) = at_an_openid_provider(house).await;
    let page = walk(house, &tenant, &grace, &mut Browser::new().unwrap()).await;
    let (status, tokens) = redeem(house, &tenant, &param(&page, "code")).await;
    assert_eq!(status, 200, "{tokens}");
    let access = claims(text(&tokens, "access_token"));
    assert_eq!(access["org_id"], json!(tenant.org.to_string()));
}

#[tokio::test]
async fn what_a_provider_gets_wrong_is_refused_by_name() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    for fault in OidcFault::ALL {
        idp.set_fault(Some(fault));
        let page = walk(house, &tenant, &grace, &mut Browser::new().unwrap()).await;
        let code = page.header("x-vestibule-code").unwrap_or_default().to_owned();
        assert!(page.status == 403 && code.starts_with("oidc."), "{fault:?}: {} {code}", page.status);
    }
}

#[tokio::test]
async fn an_answer_is_for_the_browser_and_the_connection_that_asked() {
    let house = house();
    let (tenant, _idp, grace) = at_an_openid_provider(house).await;
    let (other, _other_idp, _) = at_an_openid_provider(house).await;
    let mut browser = Browser::new().unwrap();
    let callback = callback_url(house, &tenant, &grace, &mut browser).await;
    let thief = Browser::new().unwrap().get_once(&callback).await.unwrap();
    assert_eq!(thief.header("x-vestibule-code"), Some("login.attempt_unknown"));
    let elsewhere = callback.replace(
        &house.gw.links.oidc_callback(connection_of(&callback)),
        &house.gw.links.oidc_callback(other.connection),
    );
    let crossed = browser.get_once(&elsewhere).await.unwrap();
    assert_eq!(crossed.header("x-vestibule-code"), Some("login.attempt_other_connection"));
    assert_eq!(browser.get_once(&callback).await.unwrap().status, 303);
    let again = browser.get_once(&callback).await.unwrap();
    assert!(again.status >= 400, "a code works once");
}

fn connection_of(callback: &str) -> ConnectionId {
    callback.split("/oidc/").nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
}
