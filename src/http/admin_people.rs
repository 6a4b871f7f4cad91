//! `/api/v1/orgs/{org}/users`, `/teams`, `/group-mappings`, `/sessions`: people and what they may.

use super::{
    admin::{Ask, Reply, plain},
    openapi::{Operation, PAGED, Verb, body, operation},
};
use actix_web::web::to;
use broker::{
    administer_people::{self, NewTeam},
    revoke,
};
use model::ids;
use serde_json::{Value, json};
use store::{GroupMapping, SessionRow, Team, TeamMember, User, UserFilter};

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Get, "/api/v1/orgs/{org}/users", "users:read", "List people", || to(users))
        .asking(&["email", "active", "limit", "cursor"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/users/{usr}",
        "users:read",
        "A person, with roles and teams",
        || to(user),
    ),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/users/{usr}/sessions",
        "users:read",
        "A person's living sessions",
        || to(sessions),
    )
    .asking(PAGED),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/users/{usr}/revoke",
        "sessions:write",
        "End all of a person's sessions and tokens",
        || to(revoke_user),
    )
    .answering(200),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/users/{usr}/deprovisionings",
        "users:read",
        "Receipts of a person's endings, newest first",
        || to(deprovisionings),
    )
    .asking(&["limit"]),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/users/{usr}/identities/{con}",
        "users:write",
        "Take an identity off a person; ends their sessions",
        || to(unbind),
    ),
    operation(
        Verb::Put,
        "/api/v1/orgs/{org}/users/{usr}/roles",
        "users:write",
        "Set a person's roles",
        || to(set_roles),
    )
    .reading(body::<Vec<String>>(&[r#"["admin"]"#])),
    operation(Verb::Post, "/api/v1/orgs/{org}/teams", "teams:write", "Make a team", || to(create_team))
        .reading(body::<NewTeam>(&[r#"{"slug":"support","name":"Support"}"#])),
    operation(Verb::Get, "/api/v1/orgs/{org}/teams", "teams:read", "List teams", || to(teams)).asking(PAGED),
    operation(Verb::Delete, "/api/v1/orgs/{org}/teams/{team}", "teams:write", "Remove a team", || {
        to(remove_team)
    }),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/teams/{team}/members",
        "teams:read",
        "List a team's members",
        || to(members),
    )
    .asking(PAGED),
    operation(
        Verb::Put,
        "/api/v1/orgs/{org}/teams/{team}/members/{usr}",
        "teams:write",
        "Put a person in",
        || to(join),
    )
    .answering(204),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/teams/{team}/members/{usr}",
        "teams:write",
        "Take a person out",
        || to(leave),
    ),
    operation(Verb::Get, "/api/v1/orgs/{org}/group-mappings", "teams:read", "What groups give", || {
        to(mappings)
    }),
    operation(Verb::Put, "/api/v1/orgs/{org}/group-mappings", "teams:write", "Set what groups give", || {
        to(set_mappings)
    })
    .reading(body::<Vec<GroupMapping>>(&[
        r#"[{"group_id":"00g1","team_id":"team_00000000000000000000000000","roles":["member"]}]"#,
    ])),
    operation(Verb::Delete, "/api/v1/orgs/{org}/sessions/{ses}", "sessions:write", "End one session", || {
        to(revoke_session)
    }),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/revoke",
        "sessions:write",
        "End every session of the org",
        || to(revoke_org),
    )
    .answering(204),
];

async fn users(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let active = match ask.query("active").as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(ask.wrong("active", "true or false")),
    };
    let filter = UserFilter { email: ask.query("email"), active, ..UserFilter::default() };
    ask.list(
        scope,
        |u: &User| u.id,
        plain,
        |gw, scope, page| async move { administer_people::users(&gw, &scope, filter, page).await },
    )
    .await
}

async fn user(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("usr")?;
    ask.answer(scope, move |gw, scope| async move { administer_people::user(&gw, &scope, id).await }).await
}

fn session_view(row: &SessionRow) -> Value {
    json!({
        "id": row.id, "user_id": row.user, "connection_id": row.connection, "acr": row.acr, "amr": row.amr,
        "auth_time": row.auth_time, "created_at": row.created_at, "seen_at": row.seen_at,
        "expires_at": row.expires_at,
    })
}

async fn sessions(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("usr")?;
    ask.list(
        scope,
        |s: &SessionRow| s.id,
        session_view,
        move |gw, scope, page| async move { administer_people::sessions(&gw, &scope, id, page).await },
    )
    .await
}

async fn revoke_user(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("usr")?;
    ask.answer(scope, move |gw, scope| async move {
        revoke::user(&gw, &scope, id).await.map(|receipt| json!({"deprovisioning_id": receipt}))
    })
    .await
}

async fn deprovisionings(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (id, page) = (ask.id("usr")?, ask.page::<ids::Deprovisioning>(scope.org())?);
    let limit = i64::try_from(page.limit).unwrap_or(50);
    ask.answer(scope, move |gw, scope| async move {
        let receipts = administer_people::deprovisionings(&gw, &scope, id, limit).await?;
        Ok(json!({"data": receipts, "next_cursor": null}))
    })
    .await
}

async fn unbind(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (id, connection) = (ask.id("usr")?, ask.id("con")?);
    ask.answer(
        scope,
        move |gw, scope| async move { administer_people::unbind(&gw, &scope, id, connection).await },
    )
    .await
}

async fn set_roles(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (id, roles) = (ask.id("usr")?, ask.json::<Vec<String>>()?);
    ask.answer(scope, move |gw, scope| async move {
        administer_people::set_roles(&gw, &scope, id, roles).await.map(|roles| json!({"roles": roles}))
    })
    .await
}

async fn create_team(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let new = ask.json::<NewTeam>()?;
    ask.answer(scope, |gw, scope| async move { administer_people::create_team(&gw, &scope, new).await }).await
}

async fn teams(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |t: &Team| t.id,
        plain,
        |gw, scope, page| async move { administer_people::teams(&gw, &scope, page).await },
    )
    .await
}

async fn remove_team(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("team")?;
    ask.answer(scope, move |gw, scope| async move { administer_people::remove_team(&gw, &scope, id).await })
        .await
}

async fn members(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("team")?;
    ask.list(
        scope,
        |m: &TeamMember| m.id,
        plain,
        move |gw, scope, page| async move { administer_people::members(&gw, &scope, id, page).await },
    )
    .await
}

async fn join(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (team, user) = (ask.id("team")?, ask.id("usr")?);
    ask.answer(scope, move |gw, scope| async move { administer_people::join(&gw, &scope, team, user).await })
        .await
}

async fn leave(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let (team, user) = (ask.id("team")?, ask.id("usr")?);
    ask.answer(scope, move |gw, scope| async move { administer_people::leave(&gw, &scope, team, user).await })
        .await
}

async fn mappings(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    ask.answer(scope, |gw, scope| async move {
        let mappings = administer_people::mappings(&gw, &scope).await?;
        Ok(json!({"data": mappings, "next_cursor": null}))
    })
    .await
}

async fn set_mappings(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let new = ask.json::<Vec<GroupMapping>>()?;
    ask.answer(scope, |gw, scope| async move {
        let mappings = administer_people::set_mappings(&gw, &scope, new).await?;
        Ok(json!({"data": mappings, "next_cursor": null}))
    })
    .await
}

async fn revoke_session(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    let id = ask.id("ses")?;
    ask.answer(scope, move |gw, scope| async move { revoke::session(&gw, &scope, id).await }).await
}

async fn revoke_org(ask: Ask) -> Reply {
    let scope = ask.org().await?;
    ask.answer(scope, |gw, scope| async move { revoke::org(&gw, &scope).await }).await
}
