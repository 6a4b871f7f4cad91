//! An org whose people sign in by OpenID Connect, and their walk to the provider and back.

use super::{
    House, Tenant, authorize_url, now,
    walk::{param, redeem},
};
use idp_fixtures::{Browser, OidcClient, OidcIdp, OidcIdpSettings, Page, Person};
use model::{
    Secret,
    ids::ConnectionId,
    record::{Act, AuditEvent, Record},
};
use serde_json::{Value, json};
use store::{ConnectionKind, ConnectionState, NewConnection};
use vestibule::seams::SystemChance;

/// The tenant's people sign in at this provider from now on.
pub async fn at_an_openid_provider(house: &'static House) -> (Tenant, OidcIdp, String) {
    connected(house, house.tenant().await, json!({"jit": true})).await
}

/// The same of a tenant that is there, with more in the connection's configuration.
pub async fn connected(house: &'static House, mut tenant: Tenant, more: Value) -> (Tenant, OidcIdp, String) {
    let grace = format!("grace@{}", tenant.domain);
    let people = vec![Person::new(&grace, "pw", "Grace", "Hopper")];
    let idp = OidcIdp::start(OidcIdpSettings { people, ..OidcIdpSettings::default() }).await.unwrap();
    let id = ConnectionId::new(now(), &SystemChance);
    let mut config = json!({"issuer": idp.issuer(), "client_id": "vestibule", "groups_claim": "groups"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
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
            let room = tx.room().await.unwrap().unwrap();
            tx.create_connection(room, &new).await.unwrap();
            tx.set_connection_state(id, ConnectionState::Enabled).await.unwrap();
            tx.commit(Record::of(AuditEvent::done(Act::ConnectionCreated))).await.unwrap();
        })
        .await;
    idp.set_client(OidcClient {
        client_id: "vestibule".into(),
        client_secret: "upstream-secret".into(),
        redirect_uris: vec![house.gw.links.oidc_callback(id)],
    });
    tenant.connection = id;
    (tenant, idp, grace)
}

/// Walks to the provider and back, up to the page or redirect that the gateway answers with.
pub async fn walk(house: &House, tenant: &Tenant, login: &str, browser: &mut Browser) -> Page {
    let callback = callback_url(house, tenant, login, browser, &[]).await;
    browser.get_once(&callback).await.unwrap()
}

/// The provider's answer, not yet delivered.
pub async fn callback_url(
    house: &House,
    tenant: &Tenant,
    login: &str,
    browser: &mut Browser,
    more: &[(&str, &str)],
) -> String {
    let page = browser.get(&authorize_url(house, tenant, more)).await.unwrap();
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

/// A whole sign-in in a browser of its own: the tokens, or the code of its refusal.
pub async fn sign_in(house: &House, tenant: &Tenant, login: &str) -> Result<Value, String> {
    let page = walk(house, tenant, login, &mut Browser::new().unwrap()).await;
    if page.status != 303 {
        return Err(page.header("x-vestibule-code").unwrap_or("no code").to_owned());
    }
    let (status, tokens) = redeem(house, tenant, &param(&page, "code")).await;
    assert_eq!(status, 200, "{tokens}");
    Ok(tokens)
}
