//! `/api/v1/orgs/{org}/users`, `/teams`, `/group-mappings`, `/sessions`: people and what they may.

use super::{
    admin::Ask,
    openapi::{Operation, PAGED, Verb, body, operation, to},
    told::{List, Reply},
};
use broker::{
    administer_people::{self, NewMappings, NewRoles, NewTeam, UserView},
    revoke,
};
use model::{
    Timestamp,
    ids::{self, ConnectionId, DeprovisioningId, SessionId, UserId},
};
use schemars::JsonSchema;
use serde::Serialize;
use store::{EndingTimes, GroupMapping, Receipt, SessionRow, Team, TeamMember, User, UserFilter};

const THIRTY_DAYS_SECS: i64 = 30 * 86_400;

pub const OPERATIONS: &[Operation] = &[
    operation(Verb::Get, "/api/v1/orgs/{org}/users", "users:read", "List people", || to(users))
        .named("list_users")
        .asking(&["email", "active", "limit", "cursor"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/users/{usr}",
        "users:read",
        "A person, with roles and teams",
        || to(user),
    )
    .named("get_user"),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/users/{usr}/sessions",
        "users:read",
        "A person's living sessions",
        || to(sessions),
    )
    .named("list_sessions")
    .asking(PAGED),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/users/{usr}/revoke",
        "sessions:write",
        "End all of a person's sessions and tokens",
        || to(revoke_user),
    )
    .named("revoke_user")
    .answering(200),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/users/{usr}/deprovisionings",
        "users:read",
        "Receipts of a person's endings, newest first",
        || to(deprovisionings),
    )
    .named("list_deprovisionings")
    .asking(&["limit"]),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/deprovisionings/times",
        "users:read",
        "How long endings took: of the last 30 days, or between two instants",
        || to(ending_times),
    )
    .named("get_deprovisioning_times")
    .asking(&["from", "to"]),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/users/{usr}/identities/{con}",
        "users:write",
        "Take an identity off a person; ends their sessions",
        || to(unbind),
    )
    .named("unbind_identity"),
    operation(
        Verb::Put,
        "/api/v1/orgs/{org}/users/{usr}/roles",
        "users:write",
        "Set a person's roles",
        || to(set_roles),
    )
    .named("set_roles")
    .reading(body::<NewRoles>(&[r#"["admin"]"#]))
    .misreading(&["role.unknown"]),
    operation(Verb::Post, "/api/v1/orgs/{org}/teams", "teams:write", "Make a team", || to(create_team))
        .named("create_team")
        .reading(body::<NewTeam>(&[r#"{"slug":"support","name":"Support"}"#]))
        .misreading(&["api.name_malformed", "api.slug_malformed"])
        .conflicting(&["quota.teams", "team.slug_taken"]),
    operation(Verb::Get, "/api/v1/orgs/{org}/teams", "teams:read", "List teams", || to(teams))
        .named("list_teams")
        .asking(PAGED),
    operation(Verb::Delete, "/api/v1/orgs/{org}/teams/{team}", "teams:write", "Remove a team", || {
        to(remove_team)
    })
    .named("remove_team"),
    operation(
        Verb::Get,
        "/api/v1/orgs/{org}/teams/{team}/members",
        "teams:read",
        "List a team's members",
        || to(members),
    )
    .named("list_members")
    .asking(PAGED),
    operation(
        Verb::Put,
        "/api/v1/orgs/{org}/teams/{team}/members/{usr}",
        "teams:write",
        "Put a person in",
        || to(join),
    )
    .named("add_member")
    .answering(204),
    operation(
        Verb::Delete,
        "/api/v1/orgs/{org}/teams/{team}/members/{usr}",
        "teams:write",
        "Take a person out",
        || to(leave),
    )
    .named("remove_member"),
    operation(Verb::Get, "/api/v1/orgs/{org}/group-mappings", "teams:read", "What groups give", || {
        to(mappings)
    })
    .named("get_group_mappings"),
    operation(Verb::Put, "/api/v1/orgs/{org}/group-mappings", "teams:write", "Set what groups give", || {
        to(set_mappings)
    })
    .named("set_group_mappings")
    .reading(body::<NewMappings>(&[
        r#"[{"group_id":"00g1","team_id":"team_00000000000000000000000000","roles":["member"]}]"#,
    ]))
    .misreading(&["mapping.malformed", "mapping.team_unknown", "role.unknown"]),
    operation(Verb::Delete, "/api/v1/orgs/{org}/sessions/{ses}", "sessions:write", "End one session", || {
        to(revoke_session)
    })
    .named("revoke_session"),
    operation(
        Verb::Post,
        "/api/v1/orgs/{org}/revoke",
        "sessions:write",
        "End every session of the org",
        || to(revoke_org),
    )
    .named("revoke_org")
    .answering(204),
];

#[derive(Serialize, JsonSchema)]
struct Session {
    id: SessionId,
    user_id: UserId,
    connection_id: ConnectionId,
    /// How the person signed in, as the identity provider said it.
    acr: Option<String>,
    /// RFC 8176, as the identity provider said it.
    amr: Vec<String>,
    auth_time: Timestamp,
    created_at: Timestamp,
    seen_at: Timestamp,
    expires_at: Timestamp,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user,
            connection_id: row.connection,
            acr: row.acr,
            amr: row.amr,
            auth_time: row.auth_time,
            created_at: row.created_at,
            seen_at: row.seen_at,
            expires_at: row.expires_at,
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct Revoked {
    /// The receipt: `GET /orgs/{org}/users/{usr}/deprovisionings`.
    deprovisioning_id: DeprovisioningId,
}

/// The roles a person has now, whoever gave them.
#[derive(Serialize, JsonSchema)]
struct Roles {
    roles: Vec<String>,
}

async fn users(ask: Ask) -> Reply<List<User>> {
    let scope = ask.org().await?;
    let active = match ask.query("active").as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(ask.wrong("active", "true or false")),
    };
    let filter = UserFilter { email: ask.query("email"), active };
    ask.list(
        scope,
        |u: &User| u.id,
        |gw, scope, page| async move { administer_people::users(&gw, &scope, filter, page).await },
    )
    .await
}

async fn user(ask: Ask) -> Reply<UserView> {
    let scope = ask.org().await?;
    let id = ask.id("usr")?;
    ask.answer(scope, move |gw, scope| async move { administer_people::user(&gw, &scope, id).await }).await
}

async fn sessions(ask: Ask) -> Reply<List<Session>> {
    let scope = ask.org().await?;
    let id = ask.id("usr")?;
    ask.list(
        scope,
        |s: &Session| s.id,
        move |gw, scope, page| async move {
            let rows = administer_people::sessions(&gw, &scope, id, page).await?;
            Ok(rows.into_iter().map(Session::from).collect())
        },
    )
    .await
}

async fn revoke_user(ask: Ask) -> Reply<Revoked> {
    let scope = ask.org().await?;
    let id = ask.id("usr")?;
    ask.answer(scope, move |gw, scope| async move {
        revoke::user(&gw, &scope, id).await.map(|deprovisioning_id| Revoked { deprovisioning_id })
    })
    .await
}

async fn deprovisionings(ask: Ask) -> Reply<List<Receipt>> {
    let scope = ask.org().await?;
    let (id, page) = (ask.id("usr")?, ask.page::<ids::Deprovisioning>(scope.org())?);
    let limit = i64::try_from(page.limit).unwrap_or(50);
    ask.answer(scope, move |gw, scope| async move {
        administer_people::deprovisionings(&gw, &scope, id, limit).await.map(List::whole)
    })
    .await
}

async fn ending_times(ask: Ask) -> Reply<EndingTimes> {
    let scope = ask.org().await?;
    let to = ask.time("to")?.unwrap_or_else(|| ask.call().at);
    let from = ask.time("from")?.unwrap_or_else(|| to.minus_secs(THIRTY_DAYS_SECS));
    ask.answer(
        scope,
        move |gw, scope| async move { administer_people::ending_times(&gw, &scope, from, to).await },
    )
    .await
}

async fn unbind(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let (id, connection) = (ask.id("usr")?, ask.id("con")?);
    ask.answer(
        scope,
        move |gw, scope| async move { administer_people::unbind(&gw, &scope, id, connection).await },
    )
    .await
}

async fn set_roles(ask: Ask) -> Reply<Roles> {
    let scope = ask.org().await?;
    let (id, roles) = (ask.id("usr")?, ask.items::<NewRoles>()?);
    ask.answer(scope, move |gw, scope| async move {
        administer_people::set_roles(&gw, &scope, id, roles).await.map(|roles| Roles { roles })
    })
    .await
}

async fn create_team(ask: Ask) -> Reply<Team> {
    let scope = ask.org().await?;
    let new = ask.json::<NewTeam>()?;
    ask.answer(scope, |gw, scope| async move { administer_people::create_team(&gw, &scope, new).await }).await
}

async fn teams(ask: Ask) -> Reply<List<Team>> {
    let scope = ask.org().await?;
    ask.list(
        scope,
        |t: &Team| t.id,
        |gw, scope, page| async move { administer_people::teams(&gw, &scope, page).await },
    )
    .await
}

async fn remove_team(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let id = ask.id("team")?;
    ask.answer(scope, move |gw, scope| async move { administer_people::remove_team(&gw, &scope, id).await })
        .await
}

async fn members(ask: Ask) -> Reply<List<TeamMember>> {
    let scope = ask.org().await?;
    let id = ask.id("team")?;
    ask.list(
        scope,
        |m: &TeamMember| m.id,
        move |gw, scope, page| async move { administer_people::members(&gw, &scope, id, page).await },
    )
    .await
}

async fn join(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let (team, user) = (ask.id("team")?, ask.id("usr")?);
    ask.answer(scope, move |gw, scope| async move { administer_people::join(&gw, &scope, team, user).await })
        .await
}

async fn leave(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let (team, user) = (ask.id("team")?, ask.id("usr")?);
    ask.answer(scope, move |gw, scope| async move { administer_people::leave(&gw, &scope, team, user).await })
        .await
}

async fn mappings(ask: Ask) -> Reply<List<GroupMapping>> {
    let scope = ask.org().await?;
    ask.answer(
        scope,
        |gw, scope| async move { administer_people::mappings(&gw, &scope).await.map(List::whole) },
    )
    .await
}

async fn set_mappings(ask: Ask) -> Reply<List<GroupMapping>> {
    let scope = ask.org().await?;
    let new = ask.items::<NewMappings>()?;
    ask.answer(scope, |gw, scope| async move {
        administer_people::set_mappings(&gw, &scope, new).await.map(List::whole)
    })
    .await
}

async fn revoke_session(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    let id = ask.id("ses")?;
    ask.answer(scope, move |gw, scope| async move { revoke::session(&gw, &scope, id).await }).await
}

async fn revoke_org(ask: Ask) -> Reply<()> {
    let scope = ask.org().await?;
    ask.answer(scope, |gw, scope| async move { revoke::org(&gw, &scope).await }).await
}
