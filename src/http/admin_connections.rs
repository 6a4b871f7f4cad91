//! `/api/v1/orgs/{org}/connections` and `/directories`: how people come in, and where they come from.

use super::{
    admin::{Ask, Reply, plain},
    admin_keys::born,
    openapi::{Operation, PAGED, Verb, body, operation},
};
use actix_web::web::to;
use broker::{
    Links,
    administer_connection::{self, NewConnection},
    administer_connection_change::{self, ConnectionPatch},
    administer_directory::{self, NewDirectory, NewToken},
    administer_directory_change::{self, DirectoryPatch, People},
    refusals,
};
use model::ids::{ConnectionId, DirectoryId};
use serde_json::{Value, json};
use store::{Connection, ConnectionKind, Credential, Directory, ListedGroup, Refusals};

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/orgs/{org}/connections", "connections:write", "Make a connection, as a draft", || {
        to(create)
    })
    .reading(body::<NewConnection>(&[
        r#"{"type":"saml","name":"Okta","metadata_url":"https://acme.okta.example/metadata","groups_attribute":"groups","attribute_map":{"email":"mail","given_name":"givenName","family_name":"sn","display_name":"cn"},"jit":true,"subject_is_external_id":false,"allow_idp_initiated":false}"#,
        r#"{"type":"saml","name":"Okta","metadata_xml":"<EntityDescriptor/>"}"#,
        r#"{"type":"saml","name":"ADFS","idp_entity_id":"http://adfs.acme.example/trust","sso_url":"https://adfs.acme.example/ls","certificates":["MIIC…"]}"#,
        r#"{"type":"oidc","name":"Entra","issuer":"https://login.example/tenant/v2.0","client_id":"8c1d","client_secret":"kept sealed","groups_claim":"groups","jit":true,"subject_is_external_id":false,"trust_email":false}"#,
    ])),
    operation(Verb::Get, "/api/v1/orgs/{org}/connections", "connections:read", "List connections", || to(list))
        .asking(PAGED),
    operation(Verb::Get, "/api/v1/orgs/{org}/connections/{con}", "connections:read", "Read a connection", || to(read)),
    operation(Verb::Patch, "/api/v1/orgs/{org}/connections/{con}", "connections:write", "Change a connection", || {
        to(change)
    })
    .reading(body::<ConnectionPatch>(&[
        r#"{"name":"Okta","metadata_url":"https://acme.okta.example/metadata","attribute_map":{"email":"mail","given_name":"givenName","family_name":"sn","display_name":"cn"},"groups_attribute":"groups","jit":true,"subject_is_external_id":false,"allow_idp_initiated":false}"#,
        r#"{"metadata_xml":"<EntityDescriptor/>"}"#,
        r#"{"sso_url":"https://acme.okta.example/sso","certificates":["MIIC…"]}"#,
        r#"{"name":"Entra","jit":true,"client_id":"8c1d","client_secret":"kept sealed","groups_claim":"groups","trust_email":false}"#,
    ])),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/connections/{con}",
        "connections:write",
        "Remove a connection; ends all that came in by it",
        || to(remove),
    ),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/connections/{con}/enable",
        "connections:write",
        "Let people in by it: a platform key; an org's key only after a rehearsal",
        || to(enable),
    )
    .answering(200),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/connections/{con}/disable",
        "connections:write",
        "Shut it; ends all that came in by it",
        || to(disable),
    )
    .answering(200),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/connections/{con}/refusals",
        "connections:read",
        "Refusals before a proven signature, newest first: counts by minute and code, with the first one's facts",
        || to(refused),
    )
    .asking(PAGED),
    operation(Verb::Post, "/api/v1/orgs/{org}/directories", "directories:write", "Make a directory", || {
        to(create_directory)
    })
    .reading(body::<NewDirectory>(&[r#"{"name":"Okta","provider":"okta"}"#])),
    operation(Verb::Get, "/api/v1/orgs/{org}/directories", "directories:read", "List directories", || {
        to(directories)
    })
    .asking(PAGED),
    operation(Verb::Get, "/api/v1/orgs/{org}/directories/{dir}", "directories:read", "Read a directory", || {
        to(directory)
    }),
    operation(
        Verb::Patch,
        "/api/v1/orgs/{org}/directories/{dir}",
        "directories:write",
        "Rename a directory",
        || to(change_directory),
    )
    .reading(body::<DirectoryPatch>(&[r#"{"name":"Okta EU"}"#])),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/directories/{dir}",
        "directories:write",
        "Remove a directory, its tokens and its groups. While it owns active people only with release=true: \
         they stay active, and no directory's word deactivates them",
        || to(remove_directory),
    )
    .asking(&["release"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/groups",
        "directories:read",
        "List the directories' groups; the id is what a group mapping names",
        || to(groups),
    )
    .asking(PAGED),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/directories/{dir}/tokens",
        "directories:write",
        "Make a SCIM token, shown once",
        || to(create_token),
    )
    .reading(body::<NewToken>(&[r#"{"name":"Okta","expires_in_days":365}"#])),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/directories/{dir}/tokens",
        "directories:read",
        "List its tokens, without their text",
        || to(tokens),
    )
    .asking(PAGED),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/directories/{dir}/tokens/{key}",
        "directories:write",
        "Revoke a token",
        || to(revoke_token),
    ),
];

/// A connection with what the customer has to enter at the identity provider. Never the secret.
fn view(links: &Links, connection: &Connection) -> Value {
    let id = connection.id;
    let sp = match connection.kind {
        ConnectionKind::Saml => json!({
            "entity_id": links.saml_entity_id(id),
            "acs_url": links.saml_acs(id),
            "metadata_url": links.saml_entity_id(id),
        }),
        ConnectionKind::Oidc => json!({"callback_url": links.oidc_callback(id)}),
    };
    json!({
        "id": id, "type": connection.kind, "name": connection.name, "state": connection.state,
        "config": connection.config, "created_at": connection.created_at, "sp": sp,
    })
}

fn directory_view(links: &Links, directory: &Directory) -> Value {
    let mut shown = plain(directory);
    if let Some(members) = shown.as_object_mut() {
        members.insert("base_url".to_owned(), json!(links.scim_base()));
    }
    shown
}

async fn create(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let new = ask.json::<NewConnection>()?;
    ask.answer(scope, |gw, scope| async move {
        administer_connection::create(&gw, &scope, new).await.map(|c| view(&gw.links, &c))
    })
    .await
}

async fn list(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |c: &(ConnectionId, Value)| c.0,
        |c| c.1.clone(),
        |gw, scope, page| async move {
            let rows = administer_connection::list(&gw, &scope, page).await?;
            Ok(rows.iter().map(|c| (c.id, view(&gw.links, c))).collect())
        },
    )
    .await
}

async fn read(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.answer(scope, move |gw, scope| async move {
        administer_connection::read(&gw, &scope, id).await.map(|c| view(&gw.links, &c))
    })
    .await
}

async fn change(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (id, patch) = (ask.id("con")?, ask.json::<ConnectionPatch>()?);
    ask.answer(scope, move |gw, scope| async move {
        administer_connection_change::change(&gw, &scope, id, patch).await.map(|c| view(&gw.links, &c))
    })
    .await
}

async fn remove(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.answer(scope, move |gw, scope| async move { administer_connection::remove(&gw, &scope, id).await })
        .await
}

async fn enable(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.answer(scope, move |gw, scope| async move {
        administer_connection::enable(&gw, &scope, id).await.map(|c| view(&gw.links, &c))
    })
    .await
}

async fn disable(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.answer(scope, move |gw, scope| async move {
        administer_connection::disable(&gw, &scope, id).await.map(|c| view(&gw.links, &c))
    })
    .await
}

async fn refused(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("con")?;
    ask.list(
        scope,
        |r: &Refusals| r.id,
        plain,
        move |gw, scope, page| async move { refusals::list(&gw, &scope, id, page).await },
    )
    .await
}

async fn create_directory(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let new = ask.json::<NewDirectory>()?;
    ask.answer(scope, |gw, scope| async move {
        administer_directory::create(&gw, &scope, new).await.map(|d| directory_view(&gw.links, &d))
    })
    .await
}

async fn directories(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |d: &(DirectoryId, Value)| d.0,
        |d| d.1.clone(),
        |gw, scope, page| async move {
            let rows = administer_directory::list(&gw, &scope, page).await?;
            Ok(rows.iter().map(|d| (d.id, directory_view(&gw.links, d))).collect())
        },
    )
    .await
}

async fn directory(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("dir")?;
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::read(&gw, &scope, id).await.map(|d| directory_view(&gw.links, &d))
    })
    .await
}

async fn change_directory(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (id, patch) = (ask.id("dir")?, ask.json::<DirectoryPatch>()?);
    ask.answer(scope, move |gw, scope| async move {
        let changed = administer_directory_change::change(&gw, &scope, id, patch).await?;
        Ok(directory_view(&gw.links, &changed))
    })
    .await
}

async fn remove_directory(ask: Ask) -> Reply {
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

async fn groups(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |group: &ListedGroup| group.id,
        plain,
        |gw, scope, page| async move { administer_directory_change::groups(&gw, &scope, page).await },
    )
    .await
}

async fn create_token(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (id, new) = (ask.id("dir")?, ask.json::<NewToken>()?);
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::create_token(&gw, &scope, id, new).await.map(|b| born("token", &b))
    })
    .await
}

async fn tokens(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("dir")?;
    ask.list(scope, |c: &Credential| c.id, plain, move |gw, scope, page| async move {
        administer_directory::credentials(&gw, &scope, Some(id), page).await
    })
    .await
}

async fn revoke_token(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (directory, key) = (ask.id("dir")?, ask.id("key")?);
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::revoke_credential(&gw, &scope, Some(directory), key).await
    })
    .await
}
