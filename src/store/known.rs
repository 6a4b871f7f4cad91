//! Credentials that the gate has looked up within the last second. A directory sends its requests one after
//! the other, and to look each of them up costs a trip to Postgres that its transaction makes again: as it
//! opens it asks whether the credential is still good (`Db::read`, `Db::write`). So what is remembered here
//! opens no door by itself, and who has been locked out meanwhile is told so there.

use crate::{
    Call, Db, Result,
    gate::{GateError, OrgRoute},
};
use model::{Timestamp, TokenDigest};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use uuid::Uuid;

/// Whose a credential is, and at which org.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct CredentialRoute {
    #[sqlx(flatten)]
    pub(crate) org: OrgRoute,
    pub(crate) key_id: Uuid,
    pub(crate) holder_id: Uuid,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<OffsetDateTime>,
}

impl CredentialRoute {
    /// What was found, unless it has expired.
    pub(crate) fn living(found: Option<Self>, call: &Call) -> std::result::Result<Self, GateError> {
        let is_live = |found: &Self| found.expires_at.is_none_or(|end| call.at < Timestamp::from(end));
        found.filter(is_live).ok_or(GateError::Unknown)
    }
}

impl Db {
    /// As the gate's `credential`, as it was within the last second.
    pub(crate) async fn credential_of_late(
        &self,
        digest: &TokenDigest,
        kind: &'static str,
    ) -> Result<Option<CredentialRoute>> {
        let asked_at = Instant::now();
        if let Some(route) = self.known.find(digest, kind, asked_at) {
            return Ok(Some(route));
        }
        let found = self.credential(digest, kind).await?;
        if let Some(route) = &found {
            self.known.note(digest, kind, route, asked_at);
        }
        Ok(found)
    }
}

const GOOD_FOR: Duration = Duration::from_secs(1);
/// Holders of credentials are remembered, and no guesses: this many in one second are many.
const KNOWN_MAX: usize = 4_096;

/// By digest and kind.
type Shown = ([u8; 32], &'static str);

#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Shown, (Instant, CredentialRoute)>>);

impl Known {
    fn all(&self) -> MutexGuard<'_, HashMap<Shown, (Instant, CredentialRoute)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(
        &self,
        digest: &TokenDigest,
        kind: &'static str,
        now: Instant,
    ) -> Option<CredentialRoute> {
        let all = self.all();
        let (seen, route) = all.get(&(*digest.bytes(), kind))?;
        (now.saturating_duration_since(*seen) < GOOD_FOR).then(|| route.clone())
    }

    pub(crate) fn note(
        &self,
        digest: &TokenDigest,
        kind: &'static str,
        route: &CredentialRoute,
        now: Instant,
    ) {
        let mut all = self.all();
        if all.len() >= KNOWN_MAX {
            all.retain(|_, (seen, _)| now.saturating_duration_since(*seen) < GOOD_FOR);
        }
        if all.len() < KNOWN_MAX {
            all.insert((*digest.bytes(), kind), (now, route.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> CredentialRoute {
        let org = OrgRoute {
            org_id: Uuid::nil(),
            slug: String::new(),
            state: "active".to_owned(),
            plan: String::new(),
            region: String::new(),
        };
        CredentialRoute {
            org,
            key_id: Uuid::nil(),
            holder_id: Uuid::nil(),
            scopes: Vec::new(),
            expires_at: None,
        }
    }

    #[test]
    fn what_was_seen_is_known_for_a_second_by_its_own_digest_and_kind() {
        let (known, start) = (Known::default(), Instant::now());
        let (digest, other) = (TokenDigest::of("a"), TokenDigest::of("b"));
        known.note(&digest, "scim", &route(), start);
        assert!(known.find(&digest, "scim", start + GOOD_FOR / 2).is_some());
        assert!(known.find(&digest, "scim_secret", start).is_none());
        assert!(known.find(&other, "scim", start).is_none());
        assert!(known.find(&digest, "scim", start + GOOD_FOR).is_none());
    }

    #[test]
    fn it_forgets_before_it_grows() {
        let (known, start) = (Known::default(), Instant::now());
        for n in 0..=KNOWN_MAX {
            known.note(&TokenDigest::of(&n.to_string()), "scim", &route(), start);
        }
        assert_eq!(known.all().len(), KNOWN_MAX);
        known.note(&TokenDigest::of("later"), "scim", &route(), start + GOOD_FOR);
        assert_eq!(known.all().len(), 1);
    }
}
