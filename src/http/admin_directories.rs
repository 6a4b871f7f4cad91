//! `/api/v1/orgs/{org}/directories`: where people come from, and what a directory shows itself by.

use super::{
    admin::Ask,
    openapi::{Operation, PAGED, Verb, body, operation, to},
    told::{List, Once, Reply},
};
use broker::{
    Links,
    administer_directory::{self, NewDirectory, NewToken},
    administer_directory_change::{self, DirectoryPatch, People},
    blast_guard::Guard,
    holds::{self, Decision},
};
use model::{
    Timestamp,
    ids::{DirectoryId, KeyId},
};
use schemars::JsonSchema;
use serde::Serialize;
use store::{Credential, Directory, HeldPerson, Hold, HoldState, Holder, ListedGroup};

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/orgs/{org}/directories", "directories:write", "Make a directory", || {
        to(create_directory)
    })
    .named("create_directory")
    .reading(body::<NewDirectory>(&[
        r#"{"name":"Okta","provider":"okta"}"#,
        r#"{"name":"Entra","blast_guard":{"percent":5,"at_least":3}}"#,
    ]))
    .misreading(&["api.name_malformed", "directory.guard"])
    .conflicting(&["api.too_many", "quota.directories"]),
    operation(Verb::Get, "/api/v1/orgs/{org}/directories", "directories:read", "List directories", || {
        to(directories)
    })
    .named("list_directories")
    .asking(PAGED),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/directories/{dir}",
        "directories:read",
        "Read a directory",
        || to(directory),
    )
    .named("get_directory"),
    operation(
        Verb::Patch,
        "/api/v1/orgs/{org}/directories/{dir}",
        "directories:write",
        "Rename a directory, or set its blast guard",
        || to(change_directory),
    )
    .named("change_directory")
    .reading(body::<DirectoryPatch>(&[r#"{"name":"Okta EU"}"#, r#"{"blast_guard":"off"}"#]))
    .misreading(&["api.name_malformed", "directory.guard"]),
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
    .reading(body::<NewToken>(&[
        r#"{"name":"Okta","expires_in_days":365}"#,
        r#"{"name":"Audit","scopes":["users:read","groups:read"]}"#,
    ]))
    .misreading(CREDENTIAL_FIELDS)
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
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/directories/{dir}/clients",
        "directories:write",
        "Make a secret of the directory's OAuth client, shown once; two may live at once",
        || to(create_secret),
    )
    .named("create_directory_secret")
    .reading(body::<NewToken>(&[r#"{"name":"Entra","expires_in_days":365}"#]))
    .misreading(CREDENTIAL_FIELDS)
    .conflicting(&["api.too_many", "directory.two_secrets"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/directories/{dir}/clients",
        "directories:read",
        "List the client's secrets, without their text",
        || to(secrets),
    )
    .named("list_directory_secrets")
    .asking(PAGED),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/directories/{dir}/clients/{key}",
        "directories:write",
        "Revoke a secret, and every token that was fetched with it",
        || to(revoke_secret),
    )
    .named("revoke_directory_secret"),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/directories/{dir}/holds",
        "directories:read",
        "List when the blast guard held it, newest first",
        || to(list_holds),
    )
    .named("list_holds")
    .asking(&["state", "limit", "cursor"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/directories/{dir}/holds/{hold}/people",
        "directories:read",
        "List whom a hold names",
        || to(held_people),
    )
    .named("list_held_people"),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/directories/{dir}/holds/{hold}/approve",
        "directories:write",
        "Let those people through whom the hold names, for a day unless it is said otherwise",
        || to(approve),
    )
    .named("approve_hold")
    .reading(body::<Decision>(&[r#"{"for_secs":3600,"everybody":false}"#]))
    .answering(200)
    .misreading(&["directory.hold_secs"])
    .conflicting(&["directory.hold_decided"]),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/directories/{dir}/holds/{hold}/refuse",
        "directories:write",
        "Keep these people, for a day unless it is said otherwise",
        || to(refuse),
    )
    .named("refuse_hold")
    .reading(body::<Decision>(&[r#"{"for_secs":86400}"#]))
    .answering(200)
    .misreading(&["directory.hold_secs"])
    .conflicting(&["directory.hold_decided"]),
];

const CREDENTIAL_FIELDS: &[&str] =
    &["api.name_malformed", "directory.scope_unknown", "directory.scopes_empty", "directory.token_days"];

/// A directory's token at its birth.
#[derive(Serialize, JsonSchema)]
struct BornToken {
    id: KeyId,
    token: Once,
    expires_at: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Directory")]
struct DirectoryView {
    #[serde(flatten)]
    directory: Directory,
    /// Where its SCIM client calls.
    base_url: String,
    blast_guard: Guard,
}

impl DirectoryView {
    fn of(links: &Links, directory: Directory) -> Self {
        let blast_guard = Guard::of(&directory);
        Self { directory, base_url: links.scim_base(), blast_guard }
    }
}

/// With what the identity provider is told to fetch its tokens (OAuth 2.0 client credentials, scope `scim`).
#[derive(Serialize, JsonSchema)]
struct BornSecret {
    id: KeyId,
    /// The directory's own id.
    client_id: DirectoryId,
    client_secret: Once,
    token_endpoint: String,
    expires_at: Option<Timestamp>,
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
    ask.list(
        scope,
        |c: &Credential| c.id,
        move |gw, scope, page| async move {
            administer_directory::credentials(&gw, &scope, Holder::Directory(id), page).await
        },
    )
    .await
}

async fn revoke_token(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let (directory, key) = (ask.id("dir")?, ask.id("key")?);
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::revoke_credential(&gw, &scope, Holder::Directory(directory), key).await
    })
    .await
}

async fn create_secret(ask: Ask) -> Reply<BornSecret> {
    let scope = ask.org().await?;
    let (id, new) = (ask.id("dir")?, ask.json::<NewToken>()?);
    ask.answer(scope, move |gw, scope| async move {
        let born = administer_directory::create_secret(&gw, &scope, id, new).await?;
        Ok(BornSecret {
            id: born.id,
            client_id: id,
            client_secret: Once(born.text),
            token_endpoint: gw.links.at("/oauth2/token"),
            expires_at: born.expires_at,
        })
    })
    .await
}

async fn secrets(ask: Ask) -> Reply<List<Credential>> {
    let scope = ask.org().await?;
    let id = ask.id("dir")?;
    ask.list(
        scope,
        |c: &Credential| c.id,
        move |gw, scope, page| async move {
            administer_directory::credentials(&gw, &scope, Holder::DirectorysClient(id), page).await
        },
    )
    .await
}

async fn revoke_secret(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let (directory, key) = (ask.id("dir")?, ask.id("key")?);
    ask.answer(scope, move |gw, scope| async move {
        administer_directory::revoke_credential(&gw, &scope, Holder::DirectorysClient(directory), key).await
    })
    .await
}

async fn list_holds(ask: Ask) -> Reply<List<Hold>> {
    let scope = ask.org().await?;
    let (id, state) = (ask.id("dir")?, ask.query("state"));
    ask.list(
        scope,
        |hold: &Hold| hold.id,
        move |gw, scope, page| async move { holds::list(&gw, &scope, id, (state, page)).await },
    )
    .await
}

async fn held_people(ask: Ask) -> Reply<List<HeldPerson>> {
    let scope = ask.org().await?;
    let (directory, hold) = (ask.id("dir")?, ask.id("hold")?);
    ask.answer(scope, move |gw, scope| async move {
        holds::people(&gw, &scope, directory, hold).await.map(List::whole)
    })
    .await
}

async fn approve(ask: Ask) -> Reply<Hold> {
    decide(ask, HoldState::Approved).await
}

async fn refuse(ask: Ask) -> Reply<Hold> {
    decide(ask, HoldState::Refused).await
}

async fn decide(ask: Ask, state: HoldState) -> Reply<Hold> {
    let scope = ask.org().await?;
    let (place, decision) = ((ask.id("dir")?, ask.id("hold")?), ask.json::<Decision>()?);
    ask.answer(
        scope,
        move |gw, scope| async move { holds::decide(&gw, &scope, place, state, &decision).await },
    )
    .await
}
