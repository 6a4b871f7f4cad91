//! `/api/v1/orgs/{org}/connections`: how people come in.

use super::{
    admin::Ask,
    connection_view::ConnectionView,
    openapi::{Operation, PAGED, Verb, body, operation, to},
    told::{List, Reply},
};
use broker::{
    administer_connection::{self, NewConnection},
    administer_connection_change::{self, ConnectionPatch},
    refusals,
};
use store::Refusals;

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/orgs/{org}/connections", "connections:write", "Make a connection, as a draft", || {
        to(create)
    })
    .named("create_connection")
    .reading(body::<NewConnection>(&[
        r#"{"type":"saml","name":"Okta","metadata_url":"https://acme.okta.example/metadata","groups_attribute":"groups","attribute_map":{"email":"mail","given_name":"givenName","family_name":"sn","display_name":"cn"},"jit":true,"subject_is_external_id":false,"allow_idp_initiated":false,"signals":{"issuer":"https://acme.okta.example","jwks_url":"https://acme.okta.example/oauth2/v1/keys","audience":"vestibule"}}"#,
        r#"{"type":"saml","name":"Okta","metadata_xml":"<EntityDescriptor/>"}"#,
        r#"{"type":"saml","name":"ADFS","idp_entity_id":"http://adfs.acme.example/trust","sso_url":"https://adfs.acme.example/ls","certificates":["MIIC…"]}"#,
        r#"{"type":"oidc","name":"Entra","issuer":"https://login.example/tenant/v2.0","client_id":"8c1d","client_secret":"kept sealed","groups_claim":"groups","jit":true,"subject_is_external_id":false,"trust_email":false,"signals":{"issuer":"https://login.example","jwks_url":"https://login.example/keys"}}"#,
    ]))
    .misreading(&["api.name_malformed", "api.url_refused", "connection.metadata_source", "connection.text_malformed"])
    .conflicting(&["api.too_many", "quota.connections"])
    .refusing(&[METADATA, DISCOVERY]),
    operation(Verb::Get, "/api/v1/orgs/{org}/connections", "connections:read", "List connections", || to(list))
        .named("list_connections")
        .asking(PAGED),
    operation(Verb::Get, "/api/v1/orgs/{org}/connections/{con}", "connections:read", "Read a connection", || to(read))
        .named("get_connection"),
    operation(Verb::Patch, "/api/v1/orgs/{org}/connections/{con}", "connections:write", "Change a connection", || {
        to(change)
    })
    .named("change_connection")
    .reading(body::<ConnectionPatch>(&[
        r#"{"name":"Okta","metadata_url":"https://acme.okta.example/metadata","attribute_map":{"email":"mail","given_name":"givenName","family_name":"sn","display_name":"cn"},"groups_attribute":"groups","jit":true,"subject_is_external_id":false,"allow_idp_initiated":false}"#,
        r#"{"metadata_xml":"<EntityDescriptor/>"}"#,
        r#"{"sso_url":"https://acme.okta.example/sso","certificates":["MIIC…"]}"#,
        r#"{"name":"Entra","jit":true,"client_id":"8c1d","client_secret":"kept sealed","groups_claim":"groups","trust_email":false,"signals":{"issuer":"https://login.example","jwks_url":"https://login.example/keys"}}"#,
        r#"{"signals":null}"#,
    ]))
    .misreading(&[
        "api.name_malformed",
        "api.url_refused",
        "connection.metadata_source",
        "connection.other_kind",
        "connection.text_malformed",
    ])
    .conflicting(&["connection.changed_meanwhile"])
    .refusing(&[METADATA, &["connection.idp_changed", "connection.not_rehearsed"]]),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/connections/{con}",
        "connections:write",
        "Remove a connection; ends all that came in by it",
        || to(remove),
    )
    .named("remove_connection"),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/connections/{con}/enable",
        "connections:write",
        "Let people in by it: a platform key; an org's key only after a rehearsal",
        || to(enable),
    )
    .named("enable_connection")
    .answering(200)
    .refusing(&[&["connection.not_rehearsed"]]),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/connections/{con}/disable",
        "connections:write",
        "Shut it; ends all that came in by it",
        || to(disable),
    )
    .named("disable_connection")
    .answering(200),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/connections/{con}/refusals",
        "connections:read",
        "Refusals before a proven signature, newest first: counts by minute and code, with the first one's facts",
        || to(refused),
    )
    .named("list_refusals")
    .asking(PAGED),
];

/// What `saml::metadata` and the certificates are refused with, and the address they are fetched from.
const METADATA: &[&str] = &[
    "connection.metadata_not_xml",
    "connection.metadata_unreachable",
    "saml.certificate_key_too_small",
    "saml.certificate_key_unsupported",
    "saml.certificate_malformed",
    "saml.doctype_forbidden",
    "saml.encoding_unsupported",
    "saml.metadata_certificates_expired",
    "saml.metadata_entity_id",
    "saml.metadata_expired",
    "saml.metadata_many_idps",
    "saml.metadata_no_signing_certificate",
    "saml.metadata_no_sso_url",
    "saml.metadata_not_an_idp",
    "saml.metadata_url_refused",
    "saml.no_trusted_certificate",
    "saml.nul_byte",
    "saml.processing_instruction",
    "saml.time_malformed",
    "saml.too_deep",
    "saml.too_large",
    "saml.too_many_attributes",
    "saml.too_many_certificates",
    "saml.too_many_elements",
    "saml.too_many_namespaces",
    "saml.xml_malformed",
];

/// What an issuer is refused with.
const DISCOVERY: &[&str] = &[
    "oidc.discovery_malformed",
    "oidc.discovery_too_long",
    "oidc.endpoint",
    "oidc.issuer_mismatch",
    "oidc.no_algorithm",
    "oidc.provider_unreachable",
];

async fn create(ask: Ask) -> Reply<ConnectionView> {
    let scope = ask.org().await?;
    let new = ask.json::<NewConnection>()?;
    ask.answer(scope, |gw, scope| async move {
        ConnectionView::of(&gw.links, &administer_connection::create(&gw, &scope, new).await?)
    })
    .await
}

async fn list(ask: Ask) -> Reply<List<ConnectionView>> {
    let scope = ask.org().await?;
    ask.list(scope, ConnectionView::id, |gw, scope, page| async move {
        let rows = administer_connection::list(&gw, &scope, page).await?;
        rows.iter().map(|c| ConnectionView::of(&gw.links, c)).collect()
    })
    .await
}

async fn read(ask: Ask) -> Reply<ConnectionView> {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.answer(scope, move |gw, scope| async move {
        ConnectionView::of(&gw.links, &administer_connection::read(&gw, &scope, id).await?)
    })
    .await
}

async fn change(ask: Ask) -> Reply<ConnectionView> {
    let scope = ask.org().await?;
    let (id, patch) = (ask.id("con")?, ask.json::<ConnectionPatch>()?);
    ask.answer(scope, move |gw, scope| async move {
        let changed = administer_connection_change::change(&gw, &scope, id, patch).await?;
        ConnectionView::of(&gw.links, &changed)
    })
    .await
}

async fn remove(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.answer(scope, move |gw, scope| async move { administer_connection::remove(&gw, &scope, id).await })
        .await
}

async fn enable(ask: Ask) -> Reply<ConnectionView> {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.answer(scope, move |gw, scope| async move {
        ConnectionView::of(&gw.links, &administer_connection::enable(&gw, &scope, id).await?)
    })
    .await
}

async fn disable(ask: Ask) -> Reply<ConnectionView> {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.answer(scope, move |gw, scope| async move {
        ConnectionView::of(&gw.links, &administer_connection::disable(&gw, &scope, id).await?)
    })
    .await
}

async fn refused(ask: Ask) -> Reply<List<Refusals>> {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.list(
        scope,
        |r: &Refusals| r.id,
        move |gw, scope, page| async move { refusals::list(&gw, &scope, id, page).await },
    )
    .await
}
