//! What a directory does on its first day: makes its person, pushes a group, and the org's administrator
//! says what that group gives. Over SCIM and the public API alone, and safe to do again: what is there
//! stays. A person who has left stays so. RFC 7644 3.3 and 3.5.2.

use crate::{
    DeskSettings, FixtureError,
    instrument::http_client,
    org_api::{Exchange, Found, OrgApi, PATCH_OP},
};
use openidconnect::url::form_urlencoded::byte_serialize;
use reqwest::Method;
use serde_json::{Value, json};

const TEAM_SLUG: &str = "engineering";
/// The group in the directory and the team here have the same name; only the group's id counts.
const GROUP_NAME: &str = "Engineering";
/// What the group gives besides the team.
pub(crate) const ROLE: &str = "member";

/// What an org has after it.
pub(crate) struct Provisioned {
    pub(crate) person: Found,
    /// `team_…`, which the person's group gives.
    pub(crate) team_id: String,
    pub(crate) made: bool,
}

/// Provisions every org of the demo.
///
/// Errors: `Http` when nobody answers; `Unexpected` when the gateway refuses.
pub async fn provision(desk: &DeskSettings) -> Result<(), FixtureError> {
    let http = http_client()?;
    for org in &desk.orgs {
        OrgApi { http: &http, gateway_url: &desk.gateway_url, org }.provision().await?;
    }
    Ok(())
}

/// The answer, or why it will not do.
fn wanted(said: Exchange) -> Result<Exchange, FixtureError> {
    if said.ok() {
        return Ok(said);
    }
    let wanted = "a success".to_owned();
    Err(FixtureError::Unexpected { url: said.url, status: said.status, wanted, body: said.answer })
}

/// The `id` of the answer, or of the first listed thing for which `fits` holds.
fn id_of(value: &Value, list: &str, fits: impl Fn(&Value) -> bool) -> Option<String> {
    let found = value.get(list)?.as_array()?.iter().find(|one| fits(one))?;
    Some(found.get("id")?.as_str()?.to_owned())
}

fn own_id(said: Exchange) -> Result<String, FixtureError> {
    let said = wanted(said)?;
    match said.json().get("id").and_then(Value::as_str) {
        Some(id) => Ok(id.to_owned()),
        None => {
            let wanted = "an id".to_owned();
            Err(FixtureError::Unexpected { url: said.url, status: said.status, wanted, body: said.answer })
        }
    }
}

impl OrgApi<'_> {
    pub(crate) async fn provision(&self) -> Result<Provisioned, FixtureError> {
        let (found, looked) = self.find().await?;
        wanted(looked)?;
        let (person, made) = match found {
            Some(person) => (person, false),
            None => (Found { id: own_id(self.create().await?)?, active: true }, true),
        };
        let team_id = self.team().await?;
        let group = self.group(&person.id).await?;
        self.map(&group, &team_id).await?;
        Ok(Provisioned { person, team_id, made })
    }

    async fn team(&self) -> Result<String, FixtureError> {
        let teams = wanted(self.get("/teams?limit=200").await?)?.json();
        let slug = |team: &Value| team.get("slug").and_then(Value::as_str) == Some(TEAM_SLUG);
        match id_of(&teams, "data", slug) {
            Some(id) => Ok(id),
            None => {
                let body = json!({"slug": TEAM_SLUG, "name": GROUP_NAME});
                own_id(self.api(Method::POST, "/teams", Some(body)).await?)
            }
        }
    }

    /// The group with the person in it.
    async fn group(&self, person: &str) -> Result<String, FixtureError> {
        let filter = format!("displayName eq {}", json!(GROUP_NAME));
        let filter: String = byte_serialize(filter.as_bytes()).collect();
        let path = format!("/Groups?filter={filter}&excludedAttributes=members");
        let groups = wanted(self.scim(Method::GET, &path, None).await?)?.json();
        let members = json!([{"value": person}]);
        match id_of(&groups, "Resources", |_| true) {
            Some(id) => {
                let add = json!({"op": "add", "path": "members", "value": members});
                let body = json!({"schemas": [PATCH_OP], "Operations": [add]});
                wanted(self.scim(Method::PATCH, &format!("/Groups/{id}"), Some(body)).await?)?;
                Ok(id)
            }
            None => {
                let schema = "urn:ietf:params:scim:schemas:core:2.0:Group";
                let body = json!({"schemas": [schema], "displayName": GROUP_NAME, "members": members});
                own_id(self.scim(Method::POST, "/Groups", Some(body)).await?)
            }
        }
    }

    /// The group gives the team and the role; what other groups give stays.
    async fn map(&self, group: &str, team: &str) -> Result<(), FixtureError> {
        let present = wanted(self.get("/group-mappings").await?)?.json();
        let mapping = json!({"group_id": group, "team_id": team, "roles": [ROLE]});
        match with_mapping(&present, mapping) {
            None => Ok(()),
            Some(all) => wanted(self.api(Method::PUT, "/group-mappings", Some(all)).await?).map(drop),
        }
    }
}

/// All mappings with this one, or `None` when it is among them.
fn with_mapping(present: &Value, mapping: Value) -> Option<Value> {
    let mut all = present.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    if all.contains(&mapping) {
        return None;
    }
    all.retain(|one| one.get("group_id") != mapping.get("group_id"));
    all.push(mapping);
    Some(Value::Array(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_added_once_and_others_stay() {
        let other = json!({"group_id": "sso", "team_id": null, "roles": ["admin"]});
        let ours = json!({"group_id": "grp_1", "team_id": "team_1", "roles": [ROLE]});
        let all = with_mapping(&json!({"data": [other]}), ours.clone()).unwrap();
        assert_eq!(all, json!([other, ours]));
        assert_eq!(with_mapping(&json!({"data": all}), ours.clone()), None);
        let moved = json!({"group_id": "grp_1", "team_id": "team_2", "roles": [ROLE]});
        assert_eq!(with_mapping(&json!({"data": [other, ours]}), moved.clone()), Some(json!([other, moved])));
    }
}
