//! `/api/v1/apps` and `/api/v1/roles`: what the platform itself keeps.

use super::{
    admin::{Ask, Reply},
    openapi::{Operation, PAGED, Verb, body, operation},
};
use actix_web::{HttpResponse, web::to};
use broker::{
    administer::ROLES,
    administer_app::{self, NewApp},
    idempotent,
};
use model::ids::AppId;
use serde_json::{Value, json};
use store::App;

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Post, "/api/v1/apps", "", "Make an app; its secret is shown once", || to(create)).reading(
        body::<NewApp>(&[
            r#"{"name":"Desk","redirect_uris":["https://desk.example/cb"],"post_logout_redirect_uris":["https://desk.example/"],"orgs":"all","audience":"https://desk.example","token_endpoint_auth_method":"client_secret_basic","refresh_grace_secs":10,"initiate_login_uri":"https://desk.example/sign-in"}"#,
        ]),
    ),
    operation(Verb::Get, "/api/v1/apps", "", "List apps", || to(list)).asking(PAGED),
    operation(Verb::Get, "/api/v1/roles", "", "The catalogue of roles and their permissions", || to(roles)).open(),
];

fn view(app: &App) -> Value {
    json!({
        "client_id": app.id, "name": app.name, "audience": app.audience, "redirect_uris": app.redirect_uris,
        "post_logout_redirect_uris": app.post_logout_redirect_uris,
        "token_endpoint_auth_method": app.auth_method, "all_orgs": app.all_orgs,
        "refresh_grace_secs": app.refresh_grace_secs, "initiate_login_uri": app.initiate_login_uri,
    })
}

async fn create(ask: Ask) -> Reply {
    let by = ask.platform().await?;
    let (new, call) = (ask.json::<NewApp>()?, ask.call());
    let shelf = idempotent::platform_shelf(&ask.gateway(), by, &call);
    ask.answer(shelf, move |gw, _| async move {
        let (app, secret) = administer_app::create(&gw, by, new, &call).await?;
        let mut shown = view(&app);
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

async fn roles() -> HttpResponse {
    HttpResponse::Ok().json(json!({"data": ROLES, "next_cursor": null}))
}
