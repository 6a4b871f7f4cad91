//! The demo's story told without a browser, for `./run --check`: people of two companies sign in, one
//! leaves and is gone everywhere, comes back to nothing old, and attackers get nowhere. A black-box
//! client of the gateway, the app and the identity providers; each step is timed and named for a person.
//! It stops at the first thing that is not as it should be, and says what it saw.

use crate::{
    Browser, FixtureError, SamlIdp,
    app_tokens::{Issuer, Tokens},
    attack::sign_in_url,
    desk::DeskSettings,
    instrument::{http_client, now},
    org_api::{DeskOrg, OrgApi, Vendor},
    provision::ROLE,
    walk_end, walk_tokens,
};
use model::Timestamp;
use serde_json::Value;
use std::{sync::Arc, time::Instant};

/// One thing that was tried and held.
#[derive(Clone, Debug)]
pub struct Step {
    pub name: &'static str,
    pub millis: f64,
    pub detail: String,
}

/// The first thing that did not hold.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{step}: {why}")]
pub struct WalkError {
    pub step: &'static str,
    pub why: String,
}

/// Why a step did not hold.
pub(crate) struct Failed(pub(crate) String);

impl From<FixtureError> for Failed {
    fn from(error: FixtureError) -> Self {
        Self(error.to_string())
    }
}
impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self(why)
    }
}
impl From<&str> for Failed {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// `why` is only made when the thing does not hold.
pub(crate) fn holds(it_does: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if it_does { Ok(()) } else { Err(Failed(why())) }
}

/// What a step gives on, and a line about it.
pub(crate) type Done<T> = Result<(T, String), Failed>;

pub(crate) struct Told<F>(F);

impl<F: FnMut(Step)> Told<F> {
    pub(crate) async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Done<T>>,
    ) -> Result<T, WalkError> {
        let began = Instant::now();
        let (value, detail) = work.await.map_err(|Failed(why)| WalkError { step: name, why })?;
        (self.0)(Step { name, millis: began.elapsed().as_secs_f64() * 1_000.0, detail });
        Ok(value)
    }
}

/// What every chapter uses.
pub(crate) struct Scene<'a> {
    pub(crate) desk: &'a DeskSettings,
    pub(crate) saml_idp: Option<&'a Arc<SamlIdp>>,
    pub(crate) http: reqwest::Client,
    pub(crate) issuer: Issuer,
    pub(crate) redirect_uri: String,
    pub(crate) saml: &'a DeskOrg,
    pub(crate) oidc: &'a DeskOrg,
    pub(crate) began_at: Timestamp,
    /// The team that the directory's group gives, by org id.
    teams: Vec<(String, String)>,
    pub(crate) logins_before: i64,
}

impl Scene<'_> {
    pub(crate) fn api<'s>(&'s self, org: &'s DeskOrg) -> OrgApi<'s> {
        OrgApi { http: &self.http, gateway_url: &self.desk.gateway_url, org }
    }
    pub(crate) fn team(&self, org: &DeskOrg) -> &str {
        self.teams.iter().find(|(id, _)| *id == org.id).map_or("", |(_, team)| team)
    }
}

/// Walks the whole story; `report` hears of each step as it ends. `desk` has an org of either vendor;
/// `saml_idp` is the first's provider, without which nothing can be forged and that step is left out.
///
/// Errors: the first step that did not hold, and what was seen instead.
pub async fn walk(
    desk: &DeskSettings,
    saml_idp: Option<&Arc<SamlIdp>>,
    report: impl FnMut(Step),
) -> Result<(), WalkError> {
    let mut told = Told(report);
    let mut scene = told.step("The gateway describes itself", arrive(desk, saml_idp)).await?;
    for org in [scene.saml, scene.oidc] {
        let team = told.step("The directory provisions by SCIM", provisioned(&scene, org)).await?;
        scene.teams.push((org.id.clone(), team));
    }
    let mut ada = told.step("Sign in by SAML, at the app", signed_in(&scene, scene.saml)).await?;
    let mut grace = told.step("Sign in by OpenID Connect, at the app", signed_in(&scene, scene.oidc)).await?;
    walk_tokens::rotate_and_replay(&scene, &mut told).await?;
    walk_tokens::leave_and_return(&scene, &mut told, &mut ada).await?;
    told.step("Leaving in Entra's dialect, seen at the app", left_entra(&scene, &mut grace)).await?;
    walk_end::attacks(&scene, &mut told).await?;
    walk_end::records(&scene, &mut told).await
}

async fn arrive<'a>(desk: &'a DeskSettings, saml_idp: Option<&'a Arc<SamlIdp>>) -> Done<Scene<'a>> {
    let org = |vendor| desk.orgs.iter().find(|org| org.vendor == vendor);
    let saml = org(Vendor::Okta).ok_or("there is no org that signs in by SAML")?;
    let oidc = org(Vendor::Entra).ok_or("there is no org that signs in by OpenID Connect")?;
    let redirect_uri = desk.app.redirect_uri.clone().unwrap_or_else(|| format!("{}/callback", desk.app_url));
    let http = http_client()?;
    let issuer = Issuer::discover(http.clone(), desk.app.clone(), &redirect_uri).await?;
    let detail = format!("issuer {}", desk.app.issuer);
    let api = OrgApi { http: &http, gateway_url: &desk.gateway_url, org: saml };
    let logins_before = walk_end::logins(&api).await?;
    Ok((
        Scene {
            desk,
            saml_idp,
            http,
            issuer,
            redirect_uri,
            saml,
            oidc,
            began_at: now(),
            teams: Vec::new(),
            logins_before,
        },
        detail,
    ))
}

/// Person, group, team and mapping, made if absent; the person active in the end.
async fn provisioned(scene: &Scene<'_>, org: &DeskOrg) -> Done<String> {
    let api = scene.api(org);
    let there = api.provision().await?;
    let did = match (there.made, there.person.active) {
        (true, _) => "is made",
        (false, true) => "was there already",
        (false, false) => {
            let back = api.set_active(&there.person.id, true).await?;
            holds(back.ok(), || back.unexpected("200 or 204"))?;
            "is active again"
        }
    };
    let who = org.person.display_name();
    Ok((there.team_id, format!("{who} at {} {did}; the group gives a team and a role", org.name)))
}

/// Through the app and the identity provider, as a person would; the app shows what it verified.
async fn signed_in(scene: &Scene<'_>, org: &DeskOrg) -> Done<Browser> {
    let mut browser = Browser::new()?;
    let start = sign_in_url(&scene.desk.app_url, &org.person.email);
    let (login, password) = (&org.person.login, &org.person.password);
    let page = match org.vendor {
        Vendor::Okta => browser.sign_in_via_saml(&start, login, password).await?,
        Vendor::Entra => browser.sign_in(&start, login, password).await?,
    };
    holds(page.status == 200 && page.url.starts_with(&scene.desk.app_url), || {
        let code = page.header("x-vestibule-code").unwrap_or("none");
        format!("ended at {} with {}, code {code}", page.url, page.status)
    })?;
    let session = app_session(scene, &mut browser).await?;
    holds(session.get("active") == Some(&Value::Bool(true)), || format!("the app shows {session}"))?;
    let claims = session.get("access_token").cloned().unwrap_or_default();
    Ok((browser, told_of(&claims, org, scene.team(org))?))
}

/// The claims an app decides by: org, teams, roles, connection.
pub(crate) fn told_of(claims: &Value, org: &DeskOrg, team: &str) -> Result<String, Failed> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    holds(text("org_id") == org.id, || format!("org_id is {}, not {}: {claims}", text("org_id"), org.id))?;
    holds(text("con") == org.connection_id, || format!("con is {}, not {}", text("con"), org.connection_id))?;
    for (name, wanted) in [("team_ids", team), ("roles", ROLE)] {
        let list = claims.get(name).and_then(Value::as_array);
        let named = list.is_some_and(|list| list.iter().any(|one| one == wanted));
        holds(named, || format!("{name} does not name {wanted}: {claims}"))?;
    }
    Ok(format!("verified: org_id {}, team_ids [{team}], roles [{ROLE}]", org.id))
}

/// What the app would show this browser now.
pub(crate) async fn app_session(scene: &Scene<'_>, browser: &mut Browser) -> Result<Value, Failed> {
    let page = browser.get(&format!("{}/session.json", scene.desk.app_url)).await?;
    serde_json::from_str(&page.body).map_err(|e| Failed(format!("{}: {e}", page.url)))
}

/// Whether the gateway stands by this access token at this moment.
pub(crate) async fn is_active(scene: &Scene<'_>, tokens: &Tokens) -> Result<bool, Failed> {
    let said = scene.issuer.introspect(&tokens.access_token).await?.ok_or("there is no introspection")?;
    Ok(said.get("active") == Some(&Value::Bool(true)))
}

async fn left_entra(scene: &Scene<'_>, browser: &mut Browser) -> Done<()> {
    let api = scene.api(scene.oidc);
    let (found, said) = api.find().await?;
    let found = found.ok_or_else(|| said.unexpected("one user"))?;
    let left = api.set_active(&found.id, false).await?;
    holds(left.ok(), || left.unexpected("200 or 204"))?;
    let session = app_session(scene, browser).await?;
    let back = api.set_active(&found.id, true).await?;
    holds(session.get("active") == Some(&Value::Bool(false)), || format!("the app still shows {session}"))?;
    holds(back.ok(), || back.unexpected("200 or 204"))?;
    Ok((
        (),
        format!("\"active\": \"False\" answered in {:.0} ms; the app's next look was refused", left.millis),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Person;
    use serde_json::json;

    fn acme() -> DeskOrg {
        DeskOrg {
            slug: "acme".into(),
            id: "org_1".into(),
            name: "Acme".into(),
            idp_name: "Okta".into(),
            vendor: Vendor::Okta,
            connection_id: "con_1".into(),
            org_key: "k".into(),
            scim_token: "t".into(),
            person: Person::new("ada@acme.example", "pw", "Ada", "L"),
        }
    }

    #[test]
    fn claims_of_another_org_connection_or_shape_do_not_hold() {
        let good = json!({"org_id": "org_1", "con": "con_1", "team_ids": ["team_1"], "roles": ["member"]});
        assert!(told_of(&good, &acme(), "team_1").is_ok());
        for (name, bad) in [
            ("org_id", json!("org_2")),
            ("con", json!("con_2")),
            ("team_ids", json!("team_1")),
            ("team_ids", json!(["team_2"])),
            ("roles", json!([])),
            ("roles", Value::Null),
        ] {
            let mut claims = good.clone();
            claims[name] = bad;
            assert!(told_of(&claims, &acme(), "team_1").is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_step_that_fails_names_itself_and_is_not_reported() {
        let mut heard = Vec::new();
        let mut told = Told(|step: Step| heard.push(step.name));
        told.step("first", async { Ok(((), String::new())) }).await.unwrap();
        let failed = told.step::<()>("second", async { Err("why".into()) }).await.unwrap_err();
        assert_eq!(failed.to_string(), "second: why");
        assert_eq!(heard, ["first"]);
    }
}
