//! `/api/v1/orgs/{org}/connections` and `/directories`: how people come in, and where they come from.

use super::{
    admin::Ask,
    connection_view::{ConnectionView, DirectoryView},
    openapi::{Operation, PAGED, Verb, body, operation, to},
    told::{List, Once, Reply},
};
use broker::{
    administer_connection::{self, NewConnection},
    administer_connection_change::{self, ConnectionPatch},
    administer_directory::{self, NewDirectory, NewToken},
    administer_directory_change::{self, DirectoryPatch, People},
    refusals,
};
use model::{Timestamp, ids::KeyId};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Credential, ListedGroup, Refusals};

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/orgs/{org}/connections", "connections:write", "Make a connection, as a draft", || {
        to(create)
    })
    .named("create_connection")
    .reading(body::<NewConnection>(&[
        r#"{"type":"saml","name":"Okta","metadata_url":"https://acme.okta.example/metadata","groups_attribute":"groups","attribute_map":{"email":"mail","given_name":"givenName","family_name":"sn","display_name":"cn"},"jit":true,"subject_is_external_id":false,"allow_idp_initiated":false}"#,
        r#"{"type":"saml","name":"Okta","metadata_xml":"<EntityDescriptor/>"}"#,
        r#"{"type":"saml","name":"ADFS","idp_entity_id":"http://adfs.acme.example/trust","sso_url":"https://adfs.acme.example/ls","certificates":["MIIC…"]}"#,
        r#"{"type":"oidc","name":"Entra","issuer":"https://login.example/tenant/v2.0","client_id":"8c1d","client_secret":"kept sealed","groups_claim":"groups","jit":true,"subject_is_external_id":false,"trust_email":false}"#,
    ]))
    .misreading(&["api.name_malformed", "api.url_refused", "connection.metadata_source", "connection.text_malformed"])
    .conflicting(&["api.too_many"])
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
        r#"{"name":"Entra","jit":true,"client_id":"8c1d","client_secret":"kept sealed","groups_claim":"groups","trust_email":false}"#,
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
    operation(Verb::Post, "/api/v1/orgs/{org}/directories", "directories:write", "Make a directory", || {
        to(create_directory)
    })
    .named("create_directory")
    .reading(body::<NewDirectory>(&[r#"{"name":"Okta","provider":"okta"}"#]))
    .misreading(&["api.name_malformed"])
    .conflicting(&["api.too_many"]),
    operation(Verb::Get, "/api/v1/orgs/{org}/directories", "directories:read", "List directories", || {
        to(directories)
    })
    .named("list_directories")
    .asking(PAGED),
    operation(Verb::Get, "/api/v1/orgs/{org}/directories/{dir}", "directories:read", "Read a directory", || {
        to(directory)
    })
    .named("get_directory"),
    operation(
        Verb::Patch,
        "/api/v1/orgs/{org}/directories/{dir}",
        "directories:write",
        "Rename a directory",
        || to(change_directory),
    )
    .named("change_directory")
    .reading(body::<DirectoryPatch>(&[r#"{"name":"Okta EU"}"#]))
    .misreading(&["api.name_malformed"]),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/directories/{dir}",
        "directories:write",
        "Remove a directory, its tokens and its groups; while it owns active people only with release=true",
        || to(remove_directory),
    )
    .named("remove_directory")
    .asking(&["release"])
    .conflicting(&["directory.owns_people"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/groups",
        "directories:read",
        "List the directories' groups; the id is what a group mapping names",
        || to(groups),
    )
    .named("list_groups")
    .asking(PAGED),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/directories/{dir}/tokens",
        "directories:write",
        "Make a SCIM token, shown once",
        || to(create_token),
    )
    .named("create_directory_token")
    .reading(body::<NewToken>(&[r#"{"name":"Okta","expires_in_days":365}"#]))
    .misreading(&["api.name_malformed", "directory.token_days"])
    .conflicting(&["api.too_many"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/directories/{dir}/tokens",
        "directories:read",
        "List its tokens, without their text",
        || to(tokens),
    )
    .named("list_directory_tokens")
    .asking(PAGED),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/directories/{dir}/tokens/{key}",
        "directories:write",
        "Revoke a token",
        || to(revoke_token),
    )
    .named("revoke_directory_token"),
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

/// A directory's token at its birth.
#[derive(Serialize, JsonSchema)]
struct BornToken {
    id: KeyId,
    token: Once,
    expires_at: Option<Timestamp>,
}

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

async fn create_directory(ask: Ask) -> Reply<DirectoryView> {
    let scope = ask.org().await?;
    let new = ask.json::<NewDirectory>()?;
    ask.answer(scope, |gw, scope| async move {
        administer_directory::create(&gw, &scope, new).await.map(|d| DirectoryView::of(&gw.links, d))
    })
    .await
}

async fn directories(ask: Ask) -> Reply<List<DirectoryView>> {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |d: &DirectoryView| d.directory.id,
        |gw, scope, page| async move {
            let rows = administer_directory::list(&gw, &scope, page).await?;
            Ok(rows.into_iter().map(|d| DirectoryView::of(&gw.links, d)).collect())
        },
    )
    .await
}

async fn directory(ask: Ask) -> Reply<DirectoryView> {
    let scope = ask.org().await?;
    let id = ask.id("dir")?;
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::read(&gw, &scope, id).await.map(|d| DirectoryView::of(&gw.links, d))
    })
    .await
}

async fn change_directory(ask: Ask) -> Reply<DirectoryView> {
    let scope = ask.org().await?;
    let (id, patch) = (ask.id("dir")?, ask.json::<DirectoryPatch>()?);
    ask.answer(scope, move |gw, scope| async move {
        let changed = administer_directory_change::change(&gw, &scope, id, patch).await?;
        Ok(DirectoryView::of(&gw.links, changed))
    })
    .await
}

async fn remove_directory(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let id = ask.id("dir")?;
    let people = match ask.query("release").as_deref() {
        None | Some("false") => People::Kept,
        Some("true") => People::Released,
        Some(_) => return Err(ask.wrong("release", "true or false")),
    };
    ask.answer(scope, move |gw, scope| async move {
        administer_directory_change::remove(&gw, &scope, id, people).await
    })
    .await
}

async fn groups(ask: Ask) -> Reply<List<ListedGroup>> {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |group: &ListedGroup| group.id,
        |gw, scope, page| async move { administer_directory_change::groups(&gw, &scope, page).await },
    )
    .await
}

async fn create_token(ask: Ask) -> Reply<BornToken> {
    let scope = ask.org().await?;
    let (id, new) = (ask.id("dir")?, ask.json::<NewToken>()?);
    ask.answer(scope, move |gw, scope| async move {
        let born = administer_directory::create_token(&gw, &scope, id, new).await?;
        Ok(BornToken { id: born.id, token: Once(born.text), expires_at: born.expires_at })
    })
    .await
}

async fn tokens(ask: Ask) -> Reply<List<Credential>> {
    let scope = ask.org().await?;
    let id = ask.id("dir")?;
    ask.list(scope, |c: &Credential| c.id, move |gw, scope, page| async move {
        administer_directory::credentials(&gw, &scope, Some(id), page).await
    })
    .await
}

async fn revoke_token(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let (directory, key) = (ask.id("dir")?, ask.id("key")?);
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::revoke_credential(&gw, &scope, Some(directory), key).await
    })
    .await
}
