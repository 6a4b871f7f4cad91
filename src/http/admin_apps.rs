//! `/api/v1/apps`, `/api/v1/platform-keys` and `/api/v1/roles`: what the platform itself keeps.

use super::{
    admin::{Ask, Reply, plain},
    openapi::{Operation, PAGED, Verb, body, operation},
};
use actix_web::{HttpResponse, web::to};
use broker::{
    administer::ROLES,
    administer_app::{self, AppPatch, NewApp, Rotation, Shown},
    administer_platform_key, idempotent,
};
use model::ids::{AppId, KeyId};
use serde_json::{Value, json};
use store::{App, PlatformKey, Serves};

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/apps", "", "Make an app; its secret is shown once", || to(create)).reading(
        body::<NewApp>(&[
            r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":"all","audience":"https://desk.example","token_endpoint_auth_method":"client_secret_basic","refresh_grace_secs":10,"initiate_login_uri":"https://desk.example/sign-in"}"#,
            r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":["org_00000000000000000000000000"],"audience":"https://desk.example","token_endpoint_auth_method":"client_secret_basic","refresh_grace_secs":10,"initiate_login_uri":"https://desk.example/sign-in"}"#,
        ]),
    ),
    operation(Verb::Get, "/api/v1/apps", "", "List apps", || to(list)).asking(PAGED),
    operation(Verb::Get, "/api/v1/apps/{app}", "", "An app, with the orgs it serves", || to(read)),
    operation(
        Verb::Patch,
        "/api/v1/apps/{app}",
        "",
        "Change an app; an org that it serves no more refuses its tokens at once",
        || to(change),
    )
    .reading(body::<AppPatch>(&[
        r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":"all","refresh_grace_secs":10,"initiate_login_uri":"https://desk.example/sign-in"}"#,
        r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":["org_00000000000000000000000000"],"refresh_grace_secs":10,"initiate_login_uri":null}"#,
    ])),
    operation(
        Verb::Post,
        "/api/v1/apps/{app}/rotate-secret",
        "",
        "Give an app a new secret, shown once; for 24 h the old one is good too. With `retire_old` no new \
         one is made, and the old one ends now",
        || to(rotate),
    )
    .reading(body::<Rotation>(&[r#"{"retire_old":false}"#, r#"{"retire_old":true}"#]))
    .answering(200),
    operation(
        Verb::Delete,
        "/api/v1/apps/{app}",
        "",
        "Remove an app; its codes, refresh tokens and access tokens are good for nothing here",
        || to(remove),
    ),
    operation(Verb::Get, "/api/v1/platform-keys", "", "List platform keys, without their text", || to(keys))
        .asking(PAGED),
    operation(
        Verb::Delete,
        "/api/v1/platform-keys/{key}",
        "",
        "Revoke a platform key at once; not the last one that lives",
        || to(revoke_key),
    ),
    operation(Verb::Get, "/api/v1/roles", "", "The catalogue of roles and their permissions", || to(roles)).open(),
];

fn view(app: &App) -> Value {
    json!({
        "client_id": app.id, "name": app.name, "audience": app.audience, "redirect_uris": app.redirect_uris,
        "post_logout_redirect_uris": app.post_logout_redirect_uris,
        "token_endpoint_auth_method": app.auth_method, "all_orgs": app.all_orgs,
        "old_secret_until": app.old_secret.as_ref().map(|(_, until)| until),
        "refresh_grace_secs": app.refresh_grace_secs, "initiate_login_uri": app.initiate_login_uri,
    })
}

/// The same with the orgs that it serves: `"all"`, or their ids.
fn view_whole(shown: &Shown) -> Value {
    let mut app = view(&shown.app);
    if let Some(members) = app.as_object_mut() {
        let orgs = match &shown.serves {
            Serves::All => json!("all"),
            Serves::These(orgs) => json!(orgs),
        };
        members.insert("orgs".to_owned(), orgs);
    }
    app
}

async fn create(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let (new, call) = (ask.json::<NewApp>()?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move {
        let (app, secret) = administer_app::create(&gw, by, new, &call).await?;
        let mut shown = view_whole(&app);
        if let (Some(members), Some(secret)) = (shown.as_object_mut(), secret) {
            members.insert("client_secret".to_owned(), json!(secret.reveal()));
        }
        Ok(shown)
    })
    .await
}

async fn list(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let everywhere = idempotent::platform_shelf(&ask.gateway(), by, &ask.call()).org();
    let page = ask.page(everywhere)?;
    let (gw, limit) = (ask.gateway(), page.limit);
    let rows = ask.told(async move { administer_app::list(&gw, by, page).await }).await?;
    let id: fn(&App) -> AppId = |app| app.id;
    ask.paged(everywhere, limit, rows, id, view)
}

async fn read(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let (id, shelf) = (ask.id("app")?, idempotent::platform_shelf(&ask.gateway(), by, &ask.call()));
    ask.answer(shelf, move |gw, _| async move {
        administer_app::read(&gw, by, id).await.map(|shown| view_whole(&shown))
    })
    .await
}

async fn change(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let (id, patch, call) = (ask.id("app")?, ask.json::<AppPatch>()?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move {
        administer_app::change(&gw, by, id, patch, &call).await.map(|shown| view_whole(&shown))
    })
    .await
}

async fn rotate(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let (id, asked, call) = (ask.id("app")?, ask.json::<Rotation>()?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move {
        Ok(match administer_app::rotate(&gw, by, id, asked, &call).await? {
            Some((secret, until)) => {
                json!({"client_id": id, "client_secret": secret.reveal(), "old_secret_until": until})
            }
            None => json!({"client_id": id, "old_secret_until": null}),
        })
    })
    .await
}

async fn remove(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let (id, call) = (ask.id("app")?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move { administer_app::delete(&gw, by, id, &call).await }).await
}

async fn keys(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let everywhere = idempotent::platform_shelf(&ask.gateway(), by, &ask.call()).org();
    let page = ask.page(everywhere)?;
    let (gw, limit) = (ask.gateway(), page.limit);
    let rows = ask.told(async move { administer_platform_key::list(&gw, by, page).await }).await?;
    let id: fn(&PlatformKey) -> KeyId = |key| key.id;
    ask.paged(everywhere, limit, rows, id, plain)
}

async fn revoke_key(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let (id, call) = (ask.id("key")?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move { administer_platform_key::revoke(&gw, by, id, &call).await })
        .await
}

async fn roles() -> HttpResponse {
    HttpResponse::Ok().json(json!({"data": ROLES, "next_cursor": null}))
}
