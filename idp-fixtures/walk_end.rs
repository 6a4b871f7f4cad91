//! The walk's end: what attackers try, and what the org's own record says of it all.

use crate::{
    Forgery, SamlIdp,
    attack::{foreign_key, hold, tells_nothing, victim},
    org_api::OrgApi,
    walk::{Done, Failed, Scene, Step, Told, WalkError, holds},
};
use model::Timestamp;
use serde_json::Value;

/// One of each kind: no signature, a valid one that covers something else, a valid one for another app.
const FORGERIES: [Forgery; 3] = [Forgery::Unsigned, Forgery::Xsw3, Forgery::WrongAudience];
/// As much of the record as one page holds.
const EVENTS_MAX: u32 = 200;
/// What the walk itself must have left in the record.
const ACTIONS: [&str; 5] =
    ["login.accepted", "login.refused", "token.issued", "token.refresh_replayed", "user.deactivated"];

pub(crate) async fn attacks<F: FnMut(Step)>(scene: &Scene<'_>, told: &mut Told<F>) -> Result<(), WalkError> {
    if let Some(idp) = scene.saml_idp {
        told.step("Forged SAML Responses are refused", forged(scene, idp)).await?;
    }
    told.step("A Response that was used is refused", replayed(scene)).await?;
    told.step("Another org's key sees nothing", foreign(scene)).await
}

async fn forged(scene: &Scene<'_>, idp: &SamlIdp) -> Done<()> {
    let mut held = hold(&scene.desk.app_url, scene.saml).await?;
    let (login, victim) = (&scene.saml.person.login, victim(scene.saml));
    let mut codes = Vec::new();
    for forgery in FORGERIES {
        let response = held.forge(idp, forgery, login, &victim)?;
        let verdict = held.send(&response).await?;
        holds(verdict.status == 403 && verdict.code.is_some(), || {
            format!("{forgery:?}: {}", verdict.words())
        })?;
        codes.push(verdict.code.unwrap_or_default());
    }
    Ok(((), codes.join(", ")))
}

async fn replayed(scene: &Scene<'_>) -> Done<()> {
    let mut held = hold(&scene.desk.app_url, scene.saml).await?;
    let honest = held.honest.clone();
    let first = held.send(&honest).await?;
    holds(first.status == 303, || format!("the honest answer was not accepted: {}", first.words()))?;
    let again = held.send(&honest).await?;
    holds(again.status == 403 && again.code.as_deref() == Some("login.replayed"), || again.words())?;
    Ok(((), format!("first 303, then {}", again.words())))
}

async fn foreign(scene: &Scene<'_>) -> Done<()> {
    let gateway_url = &scene.desk.gateway_url;
    let (theirs, nobodys) = foreign_key(&scene.http, gateway_url, scene.oidc, scene.saml).await?;
    holds(tells_nothing(&theirs, &nobodys), || {
        format!("{}\nand {}", theirs.unexpected("404"), nobodys.unexpected("the same"))
    })?;
    Ok(((), "404, the same to the byte as for an org that does not exist".to_owned()))
}

pub(crate) async fn records<F: FnMut(Step)>(scene: &Scene<'_>, told: &mut Told<F>) -> Result<(), WalkError> {
    told.step("The org's record holds it all", audited(scene)).await?;
    told.step("Usage is counted", metered(scene)).await
}

async fn audited(scene: &Scene<'_>) -> Done<()> {
    let (events, said) = scene.api(scene.saml).audit(EVENTS_MAX).await?;
    holds(said.status == 200, || said.unexpected("200"))?;
    let own: Vec<&str> = events
        .iter()
        .filter(|event| since(event, scene.began_at))
        .filter_map(|event| event.get("action")?.as_str())
        .collect();
    for wanted in ACTIONS {
        holds(own.contains(&wanted), || format!("no {wanted} among {}", own.join(", ")))?;
    }
    Ok(((), format!("{} events of this walk, {} among them", own.len(), ACTIONS.join(", "))))
}

fn since(event: &Value, began_at: Timestamp) -> bool {
    let at = event.get("at").and_then(Value::as_str).and_then(|at| Timestamp::parse_rfc3339(at).ok());
    at.is_some_and(|at| at >= began_at)
}

async fn metered(scene: &Scene<'_>) -> Done<()> {
    let logins = logins(&scene.api(scene.saml)).await?;
    let before = scene.logins_before;
    holds(logins > before, || format!("auth.login was {before} before the walk and is {logins} after it"))?;
    Ok(((), format!("{logins} sign-ins, {before} of them before this walk")))
}

/// What the org's usage says of sign-ins so far.
pub(crate) async fn logins(api: &OrgApi<'_>) -> Result<i64, Failed> {
    let said = api.get("/usage").await?;
    holds(said.status == 200, || said.unexpected("200"))?;
    Ok(counted(&said.json(), "auth.login"))
}

/// The sum of one meter over its days.
fn counted(usage: &Value, meter: &str) -> i64 {
    let rows = usage.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named =
        |row: &&Value| ["meter", "metric"].iter().any(|n| row.get(*n).and_then(Value::as_str) == Some(meter));
    rows.iter().filter(named).filter_map(|row| row.get("value")?.as_i64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_named_meter_counts() {
        let usage = json!({"data": [{"meter": "auth.login", "value": 2}, {"metric": "auth.login", "value": 3},
                                    {"meter": "auth.mau", "value": 9}]});
        assert_eq!(counted(&usage, "auth.login"), 5);
        assert_eq!(counted(&json!({"data": []}), "auth.login"), 0);
    }

    #[test]
    fn an_event_of_an_earlier_walk_is_not_of_this_one() {
        let began = Timestamp::parse_rfc3339("2026-11-21T10:00:00Z").unwrap();
        assert!(since(&json!({"at": "2026-11-21T10:00:00Z"}), began));
        assert!(!since(&json!({"at": "2026-11-21T09:59:59.999Z"}), began));
        assert!(!since(&json!({}), began));
    }
}
