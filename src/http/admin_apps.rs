//! `/api/v1/apps`, `/api/v1/platform-keys` and `/api/v1/roles`: what the platform itself keeps.

use super::{
    admin::Ask,
    openapi::{Operation, PAGED, Verb, body, operation, to},
    told::{List, Once, Reply, Told},
};
use broker::{
    administer::{ROLES, Role},
    administer_app::{self, NewApp, Rotation, Shown},
    administer_app_change::{self, AppPatch},
    administer_platform_key,
    app_keys::KeySet,
    idempotent,
};
use model::{
    SigningAlg, Timestamp,
    claims::ExtraClaim,
    ids::{AppId, KeyId, OrgId},
};
use schemars::JsonSchema;
use serde::Serialize;
use store::{App, AuthMethod, PlatformKey, Serves};

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/apps", "", "Make an app; its secret is shown once", || to(create)).reading(
        body::<NewApp>(&[
            r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":"all","audience":"https://desk.example","token_endpoint_auth_method":"client_secret_basic","refresh_grace_secs":10,"initiate_login_uri":"https://desk.example/sign-in","backchannel_logout_uri":"https://desk.example/signed-out","id_token_signed_response_alg":"ES256"}"#,
            r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":["org_00000000000000000000000000"],"audience":"https://desk.example","token_endpoint_auth_method":"client_secret_basic","refresh_grace_secs":10,"initiate_login_uri":"https://desk.example/sign-in","backchannel_logout_uri":"https://desk.example/signed-out","id_token_signed_response_alg":"ES256"}"#,
            r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"token_endpoint_auth_method":"private_key_jwt","claims":["team_slugs","permissions","entitlements"],"resources":["https://files.example"],"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"1"}]}}"#,
        ]),
    )
    .named("create_app")
    .misreading(&[
        "api.name_malformed",
        "api.url_refused",
        "app.auth_method",
        "app.claims",
        "app.jwks",
        "app.orgs",
        "app.redirect_uris",
        "app.refresh_grace",
        "app.resources",
        "app.signing_alg",
    ]),
    operation(Verb::Get, "/api/v1/apps", "", "List apps", || to(list)).named("list_apps").asking(PAGED),
    operation(Verb::Get, "/api/v1/apps/{app}", "", "An app, with the orgs it serves", || to(read)).named("get_app"),
    operation(
        Verb::Patch,
        "/api/v1/apps/{app}",
        "",
        "Change an app; an org that it serves no more refuses its tokens at once, and for good",
        || to(change),
    )
    .named("change_app")
    .reading(body::<AppPatch>(&[
        r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":"all","refresh_grace_secs":10,"initiate_login_uri":"https://desk.example/sign-in","backchannel_logout_uri":"https://desk.example/signed-out","id_token_signed_response_alg":"ES256"}"#,
        r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":["org_00000000000000000000000000"],"refresh_grace_secs":10,"initiate_login_uri":null,"backchannel_logout_uri":null,"id_token_signed_response_alg":"ES256"}"#,
        r#"{"claims":["permissions"],"resources":["https://files.example"],"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"1"}]}}"#,
    ]))
    .misreading(&[
        "api.name_malformed",
        "api.url_refused",
        "app.claims",
        "app.jwks",
        "app.orgs",
        "app.redirect_uris",
        "app.refresh_grace",
        "app.resources",
        "app.signing_alg",
    ]),
    operation(
        Verb::Post,
        "/api/v1/apps/{app}/rotate-secret",
        "",
        "Give an app a new secret, shown once; for 24 h the old one is good too. With `retire_old` no new \
         one is made, and the old one ends now",
        || to(rotate),
    )
    .named("rotate_app_secret")
    .reading(body::<Rotation>(&[r#"{"retire_old":false}"#, r#"{"retire_old":true}"#]))
    .answering(200)
    .conflicting(&["app.no_secret"]),
    operation(
        Verb::Delete,
        "/api/v1/apps/{app}",
        "",
        "Remove an app; its codes, refresh tokens and access tokens are good for nothing here",
        || to(remove),
    )
    .named("remove_app"),
    operation(Verb::Get, "/api/v1/platform-keys", "", "List platform keys, without their text", || to(keys))
        .named("list_platform_keys")
        .asking(PAGED),
    operation(
        Verb::Delete,
        "/api/v1/platform-keys/{key}",
        "",
        "Revoke a platform key at once; not the last one that lives",
        || to(revoke_key),
    )
    .named("revoke_platform_key")
    .conflicting(&["platform_key.last"]),
    operation(Verb::Get, "/api/v1/roles", "", "The catalogue of roles and their permissions", || to(roles))
        .named("list_roles")
        .open(),
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "App")]
struct AppView {
    client_id: AppId,
    name: String,
    /// The `aud` of its access tokens.
    audience: String,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    token_endpoint_auth_method: AuthMethod,
    all_orgs: bool,
    /// Until then the secret before is good beside the one it has.
    old_secret_until: Option<Timestamp>,
    /// How long a refresh token that was used gives the same answer again.
    refresh_grace_secs: i64,
    /// Where the app begins a sign-in by itself (OIDC Core 4).
    initiate_login_uri: Option<String>,
    /// Where it is told that a session ended (OpenID Connect Back-Channel Logout 1.0).
    backchannel_logout_uri: Option<String>,
    /// By which its access, ID and logout tokens are signed.
    id_token_signed_response_alg: SigningAlg,
    /// What it has in its access tokens besides.
    claims: Vec<ExtraClaim>,
    /// The audiences of other apps for which it may ask for a token.
    resources: Vec<String>,
    /// Its public keys, with `private_key_jwt`.
    jwks: Option<KeySet>,
}

impl From<App> for AppView {
    fn from(app: App) -> Self {
        Self {
            client_id: app.id,
            name: app.name,
            audience: app.audience,
            redirect_uris: app.redirect_uris,
            post_logout_redirect_uris: app.post_logout_redirect_uris,
            token_endpoint_auth_method: app.auth_method,
            all_orgs: app.all_orgs,
            old_secret_until: app.old_secret.map(|(_, until)| until),
            refresh_grace_secs: app.refresh_grace_secs,
            initiate_login_uri: app.initiate_login_uri,
            backchannel_logout_uri: app.backchannel_logout_uri,
            id_token_signed_response_alg: app.signing_alg,
            claims: app.claims,
            resources: app.resources,
            jwks: app.keys.map(|keys| KeySet { keys: keys.jwks() }),
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct AppWithOrgs {
    #[serde(flatten)]
    app: AppView,
    orgs: ServedOrgs,
}

impl From<Shown> for AppWithOrgs {
    fn from(Shown { app, serves }: Shown) -> Self {
        let orgs = match serves {
            Serves::All => ServedOrgs::All(Every::All),
            Serves::These(orgs) => ServedOrgs::These(orgs),
        };
        Self { app: app.into(), orgs }
    }
}

/// `all`, or these.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum ServedOrgs {
    All(Every),
    These(Vec<OrgId>),
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Every {
    All,
}

#[derive(Serialize, JsonSchema)]
struct BornApp {
    #[serde(flatten)]
    app: AppWithOrgs,
    /// Absent when the app authenticates without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Once")]
    client_secret: Option<Once>,
}

#[derive(Serialize, JsonSchema)]
struct RotatedApp {
    client_id: AppId,
    /// Absent with `retire_old`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Once")]
    client_secret: Option<Once>,
    /// Until then the secret before is good too.
    old_secret_until: Option<Timestamp>,
}

async fn create(ask: Ask) -> Reply<BornApp> {
    let by = ask.platform().await?;
    let (new, call) = (ask.json::<NewApp>()?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move {
        let (app, secret) = administer_app::create(&gw, by, new, &call).await?;
        Ok(BornApp { app: app.into(), client_secret: secret.map(Once) })
    })
    .await
}

async fn list(ask: Ask) -> Reply<List<AppView>> {
    let by = ask.platform().await?;
    let everywhere = idempotent::platform_shelf(&ask.gateway(), by, &ask.call()).org();
    let page = ask.page(everywhere)?;
    let (gw, limit) = (ask.gateway(), page.limit);
    let rows = ask.told(async move { administer_app::list(&gw, by, page).await }).await?;
    let id: fn(&AppView) -> AppId = |app| app.client_id;
    ask.paged(everywhere, limit, rows.into_iter().map(AppView::from).collect(), id)
}

async fn read(ask: Ask) -> Reply<AppWithOrgs> {
    let by = ask.platform().await?;
    let (id, shelf) = (ask.id("app")?, idempotent::platform_shelf(&ask.gateway(), by, &ask.call()));
    ask.answer(
        shelf,
        move |gw, _| async move { administer_app::read(&gw, by, id).await.map(AppWithOrgs::from) },
    )
    .await
}

async fn change(ask: Ask) -> Reply<AppWithOrgs> {
    let by = ask.platform().await?;
    let (id, patch, call) = (ask.id("app")?, ask.json::<AppPatch>()?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move {
        administer_app_change::change(&gw, by, id, patch, &call).await.map(AppWithOrgs::from)
    })
    .await
}

async fn rotate(ask: Ask) -> Reply<RotatedApp> {
    let by = ask.platform().await?;
    let (id, asked, call) = (ask.id("app")?, ask.json::<Rotation>()?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move {
        let (secret, old_secret_until) = administer_app::rotate(&gw, by, id, asked, &call).await?.unzip();
        Ok(RotatedApp { client_id: id, client_secret: secret.map(Once), old_secret_until })
    })
    .await
}

async fn remove(ask: Ask) -> Reply<()> {
    let by = ask.platform().await?;
    let (id, call) = (ask.id("app")?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move { administer_app_change::delete(&gw, by, id, &call).await })
        .await
}

async fn keys(ask: Ask) -> Reply<List<PlatformKey>> {
    let by = ask.platform().await?;
    let everywhere = idempotent::platform_shelf(&ask.gateway(), by, &ask.call()).org();
    let page = ask.page(everywhere)?;
    let (gw, limit) = (ask.gateway(), page.limit);
    let rows = ask.told(async move { administer_platform_key::list(&gw, by, page).await }).await?;
    let id: fn(&PlatformKey) -> KeyId = |key| key.id;
    ask.paged(everywhere, limit, rows, id)
}

async fn revoke_key(ask: Ask) -> Reply<()> {
    let by = ask.platform().await?;
    let (id, call) = (ask.id("key")?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move { administer_platform_key::revoke(&gw, by, id, &call).await })
        .await
}

async fn roles(_: Ask) -> Reply<List<Role>> {
    Ok(Told::shown(&List::whole(ROLES.to_vec())))
}
