//! What an app has chosen to have in its access tokens besides. Slugs and entitlements come out of the snapshot
//! that the token is minted from; permissions are what the catalogue of roles says of the roles in it.

use crate::administer::ROLES;
use model::claims::ExtraClaim;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use token::extra::Extra;

pub(crate) fn extra(
    chosen: &[ExtraClaim],
    roles: &[String],
    team_slugs: Option<Vec<String>>,
    entitlements: Option<Map<String, Value>>,
) -> Extra {
    let has = |claim| chosen.contains(&claim);
    Extra {
        team_slugs: team_slugs.filter(|_| has(ExtraClaim::TeamSlugs)),
        permissions: has(ExtraClaim::Permissions).then(|| permissions(roles)),
        entitlements: entitlements.filter(|_| has(ExtraClaim::Entitlements)),
        omitted: None,
    }
}

fn permissions(roles: &[String]) -> Vec<String> {
    let held = ROLES.iter().filter(|role| roles.iter().any(|held| held == role.name));
    let all: BTreeSet<&str> = held.flat_map(|role| role.permissions.iter().copied()).collect();
    all.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_those_of_all_roles_each_once() {
        let of =
            |roles: &[&str]| permissions(&roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["viewer"]), ["org:read"]);
        assert_eq!(of(&["member", "viewer"]), ["members:read", "org:read"]);
        assert!(of(&[]).is_empty() && of(&["unheard of"]).is_empty());
    }
}
