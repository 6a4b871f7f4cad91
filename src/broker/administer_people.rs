//! People, teams and roles as an administrator sees and sets them. Whoever loses a team or role has
//! their tokens fetched anew (`reassert`), in the commit that takes it away; sessions live on.

use crate::{
    FlowError, Gateway,
    administer::{PRINTABLE, Page, ROLES, SLUG, known_roles, name_of, one_of, slug_of},
    quota, revoke,
};
use model::{
    Timestamp,
    ids::{self, ConnectionId, SessionId, TeamId, UserId},
    members::Members,
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use store::{
    Administrator, BY_API, EndingTimes, GroupMapping, Identity, OrgScope, Receipt, SessionRow, Team,
    TeamMember, User, UserFilter, scopes_of,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    #[schemars(regex(pattern = SLUG))]
    pub slug: String,
    #[schemars(length(min = 1, max = 200), regex(pattern = PRINTABLE))]
    pub name: String,
}

/// The roles that the API gives a person: what they were before does not count.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct NewRoles(
    #[schemars(extend("items" = one_of(ROLES.iter().map(|role| role.name))))] pub Vec<String>,
);

/// All that groups give, each group once.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct NewMappings(#[schemars(length(max = MAPPINGS_MAX))] pub Vec<Members<GroupMapping>>);

/// A person with what tokens say of them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserWithRoles")]
pub struct UserView {
    #[serde(flatten)]
    pub user: User,
    pub roles: Vec<String>,
    pub team_ids: Vec<TeamId>,
    /// As whom the person signs in, and where.
    pub identities: Vec<Identity>,
}

const MAPPINGS_MAX: usize = 1_000;
const GROUP_ID_CHARS_MAX: usize = 256;

pub async fn users(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    filter: UserFilter,
    page: Page<ids::User>,
) -> Result<Vec<User>, FlowError> {
    Ok(gw.db.read(scope, "user.list").await?.users(&filter, page.after, page.rows()).await?)
}

pub async fn user(gw: &Gateway, scope: &OrgScope<Administrator>, id: UserId) -> Result<UserView, FlowError> {
    let mut tx = gw.db.read(scope, "user.read").await?;
    let user = tx.user(id).await?.ok_or(FlowError::Missing)?;
    Ok(UserView {
        user,
        roles: tx.roles_of(id).await?,
        team_ids: tx.teams_of(id).await?,
        identities: tx.identities_of(id).await?,
    })
}

/// Takes an identity off the seat, and ends the person's sessions: another subject of that connection may
/// be bound at its next sign-in, if the seat's addresses say so.
pub async fn unbind(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: UserId,
    connection: ConnectionId,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "user.unbind").await?;
    tx.lock_user(id).await?.ok_or(FlowError::Missing)?;
    let subject = tx.unbind_identity(connection, id).await?.ok_or(FlowError::Missing)?;
    let ended = revoke::end_person(gw, &mut tx, id, "identity_unbound", None).await?;
    let event = AuditEvent::done(Act::IdentityUnbound)
        .on("user", id)
        .value("connection", connection.to_string())
        .value("subject", subject)
        .value("receipt", ended.receipt.to_string());
    tx.commit(Record::of(event)).await?;
    revoke::tell(gw, scope, ended.about, ended.revoked, Some(ended.receipt)).await;
    Ok(())
}

/// A person's sessions that live: not ended, not expired, and under no watermark of any scope.
pub async fn sessions(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: UserId,
    page: Page<ids::Session>,
) -> Result<Vec<SessionRow>, FlowError> {
    let mut tx = gw.db.read(scope, "user.sessions").await?;
    tx.user(id).await?.ok_or(FlowError::Missing)?;
    let mut marks: BTreeMap<(ids::ConnectionId, SessionId), i64> = BTreeMap::new();
    let rows = tx.live_sessions(id, gw.lifetimes.session_absolute_secs).await?;
    for row in &rows {
        let named = scopes_of(row.id, row.user, row.connection, None);
        marks.insert((row.connection, row.id), tx.as_of(&named).await?.terminated);
    }
    let lives = |row: &SessionRow| marks.get(&(row.connection, row.id)).is_none_or(|mark| *mark <= row.rs);
    Ok(page.of(rows.into_iter().filter(lives).collect(), |row| row.id))
}

/// Receipts of a person's endings; they outlive the person's row, so an unknown id gives none.
pub async fn deprovisionings(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: UserId,
    limit: i64,
) -> Result<Vec<Receipt>, FlowError> {
    let mut tx = gw.db.read(scope, "user.deprovisionings").await?;
    let receipts = tx.receipts(id, limit).await?;
    if receipts.is_empty() {
        tx.user(id).await?.ok_or(FlowError::Missing)?;
    }
    Ok(receipts)
}

/// How long endings took that began between these two instants.
pub async fn ending_times(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    from: Timestamp,
    to: Timestamp,
) -> Result<EndingTimes, FlowError> {
    Ok(gw.db.read(scope, "org.ending_times").await?.ending_times(from, to).await?)
}

/// Sets the roles that the API gives; what groups gave stays. Answers all the person has now.
/// Errors: `role.unknown`.
pub async fn set_roles(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: UserId,
    NewRoles(roles): NewRoles,
) -> Result<Vec<String>, FlowError> {
    known_roles(&roles)?;
    let mut tx = gw.db.write(scope, "user.set_roles").await?;
    tx.lock_user(id).await?.ok_or(FlowError::Missing)?;
    let before = tx.roles_of(id).await?;
    let taken = tx.set_roles(id, &roles, BY_API).await?;
    let after = tx.roles_of(id).await?;
    let about = Scope::User(id);
    let revoked = if taken { Some(tx.revoke(about, Action::Reassert, "role_taken").await?) } else { None };
    let event = AuditEvent::done(Act::UserRolesSet)
        .on("user", id)
        .value("before", json!(before))
        .value("after", json!(after));
    tx.commit(Record::of(event)).await?;
    if let Some(revoked) = revoked {
        revoke::tell(gw, scope, about, revoked, None).await;
    }
    Ok(after)
}

/// Errors: `api.slug_malformed`, `api.name_malformed`, `team.slug_taken`.
pub async fn create_team(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewTeam,
) -> Result<Team, FlowError> {
    slug_of(&body.slug)?;
    let name = name_of("name", &body.name)?;
    let id = TeamId::new(scope.now(), gw.chance.as_ref());
    let tx = gw.db.write(scope, "team.create").await?;
    let (mut tx, room) = quota::admit(gw, scope, tx).await?;
    match tx.create_team(room, id, &body.slug, &name).await {
        Err(store::Error::Conflict(_)) => {
            return Err(FlowError::conflict("team.slug_taken", "the org has a team with this slug"));
        }
        other => other?,
    }
    let event = AuditEvent::done(Act::TeamCreated)
        .on("team", id)
        .value("after", json!({"slug": body.slug, "name": name}));
    tx.commit(Record::of(event)).await?;
    Ok(Team { id, slug: body.slug, name, created_at: scope.now() })
}

pub async fn teams(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    page: Page<ids::Team>,
) -> Result<Vec<Team>, FlowError> {
    Ok(gw.db.read(scope, "team.list").await?.teams(page.after, page.rows()).await?)
}

/// Removes a team; everybody's tokens are fetched anew, so that none names it.
pub async fn remove_team(gw: &Gateway, scope: &OrgScope<Administrator>, id: TeamId) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "team.remove").await?;
    tx.lock_mappings().await?;
    // The head before what cascades: a person's removal takes them in the same order.
    let revoked = tx.revoke(Scope::Org, Action::Reassert, "team_removed").await?;
    if !tx.remove_team(id).await? {
        return Err(FlowError::Missing);
    }
    tx.commit(Record::of(AuditEvent::done(Act::TeamRemoved).on("team", id))).await?;
    revoke::tell(gw, scope, Scope::Org, revoked, None).await;
    Ok(())
}

pub async fn members(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    team: TeamId,
    page: Page<ids::User>,
) -> Result<Vec<TeamMember>, FlowError> {
    let mut tx = gw.db.read(scope, "team.members").await?;
    if !tx.has_team(team).await? {
        return Err(FlowError::Missing);
    }
    Ok(tx.team_members(team, page.after, page.rows()).await?)
}

/// Puts a person into a team; already there is no error.
pub async fn join(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    team: TeamId,
    user: UserId,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "team.join").await?;
    tx.share_user(user).await?.ok_or(FlowError::Missing)?;
    if !tx.has_team(team).await? {
        return Err(FlowError::Missing);
    }
    if !tx.join_team(team, user, BY_API).await? {
        return Ok(());
    }
    let event = AuditEvent::done(Act::TeamMemberAdded).on("team", team).value("user", user.to_string());
    Ok(tx.commit(Record::of(event)).await?)
}

/// Takes a person out of a team, as far as the API put them there: what a group gave, only that
/// group takes away.
pub async fn leave(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    team: TeamId,
    user: UserId,
) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "team.leave").await?;
    tx.lock_user(user).await?.ok_or(FlowError::Missing)?;
    if !tx.leave_team(team, user, BY_API).await? {
        return Err(FlowError::Missing);
    }
    let about = Scope::User(user);
    let revoked = tx.revoke(about, Action::Reassert, "team_left").await?;
    let event = AuditEvent::done(Act::TeamMemberRemoved).on("team", team).value("user", user.to_string());
    tx.commit(Record::of(event)).await?;
    revoke::tell(gw, scope, about, revoked, None).await;
    Ok(())
}

pub async fn mappings(gw: &Gateway, scope: &OrgScope<Administrator>) -> Result<Vec<GroupMapping>, FlowError> {
    Ok(gw.db.read(scope, "mapping.list").await?.group_mappings().await?)
}

fn checked(mappings: &[GroupMapping]) -> Result<(), FlowError> {
    let wrong = |field: &'static str, right: &str| Err(FlowError::invalid("mapping.malformed", field, right));
    if mappings.len() > MAPPINGS_MAX {
        return wrong("body", "at most 1000 mappings");
    }
    let distinct: BTreeSet<&str> = mappings.iter().map(|m| m.group_id.as_str()).collect();
    if distinct.len() != mappings.len() {
        return wrong("group_id", "each group once");
    }
    for mapping in mappings {
        let chars = mapping.group_id.chars().count();
        if chars == 0 || chars > GROUP_ID_CHARS_MAX || mapping.group_id.contains(char::is_control) {
            return wrong("group_id", "1 to 256 characters, none of them a control character");
        }
        known_roles(&mapping.roles)?;
    }
    Ok(())
}

/// Replaces what groups give, and brings everybody in line now. Errors: `mapping.malformed`,
/// `mapping.team_unknown`, `role.unknown`.
pub async fn set_mappings(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    NewMappings(mappings): NewMappings,
) -> Result<Vec<GroupMapping>, FlowError> {
    let mappings: Vec<GroupMapping> = mappings.into_iter().map(|Members(mapping)| mapping).collect();
    checked(&mappings)?;
    let mut tx = gw.db.write(scope, "mapping.set").await?;
    tx.lock_mappings().await?;
    let before = tx.group_mappings().await?;
    for team in mappings.iter().filter_map(|m| m.team_id) {
        if !tx.has_team(team).await? {
            return Err(FlowError::invalid("mapping.team_unknown", "team_id", "a team of this org"));
        }
    }
    let lost = tx.set_group_mappings(&mappings).await?;
    let revoked = revoke::reassert_losers(&mut tx, &lost, "mapping_changed").await?;
    let after = tx.group_mappings().await?;
    let event = AuditEvent::done(Act::OrgGroupMappingsSet)
        .on("org", scope.org())
        .value("before", json!(before))
        .value("after", json!(after))
        .value("people_who_lost", lost.len());
    tx.commit(Record::of(event)).await?;
    for (about, revoked) in revoked {
        revoke::tell(gw, scope, about, revoked, None).await;
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_name_each_group_once_and_roles_of_the_catalogue() {
        let mapping = |group: &str, role: &str| GroupMapping {
            group_id: group.to_owned(),
            team_id: None,
            roles: vec![role.to_owned()],
        };
        let code = |list: &[GroupMapping]| checked(list).map_err(|e| e.code());
        assert_eq!(code(&[mapping("a", "admin"), mapping("b", "viewer")]), Ok(()));
        assert_eq!(code(&[mapping("a", "admin"), mapping("a", "viewer")]), Err("mapping.malformed"));
        assert_eq!(code(&[mapping("", "admin")]), Err("mapping.malformed"));
        assert_eq!(code(&[mapping("a\0", "admin")]), Err("mapping.malformed"));
        assert_eq!(code(&[mapping("a", "root")]), Err("role.unknown"));
        let many: Vec<_> = (0..=MAPPINGS_MAX).map(|n| mapping(&n.to_string(), "admin")).collect();
        assert_eq!(code(&many[1..]), Ok(()));
        assert_eq!(code(&many), Err("mapping.malformed"));
    }
}
