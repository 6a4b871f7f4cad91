//! Where a directory's walks through pages by index stand: sealed by its story, one value a credential,
//! for minutes. Nothing is lost with it but a walk's footing: then rows are skipped by number again.

use super::{Live, timed};
use crate::{Door, OrgScope};
use model::ids::KeyId;
use redis::AsyncCommands;

/// So long a page is awaited.
const KEPT_SECS: u64 = 600;

impl Live {
    /// What was kept for this credential; nothing when Redis is away.
    pub async fn walks<D: Door>(&self, scope: &OrgScope<D>, credential: KeyId) -> Option<Vec<u8>> {
        let mut redis = self.redis.clone();
        let asked = timed("walks", redis.get::<_, Option<Vec<u8>>>(key(scope, credential))).await;
        asked.inspect_err(|error| tracing::debug!(%error, "a walk's footing is not known")).ok().flatten()
    }

    pub async fn put_walks<D: Door>(&self, scope: &OrgScope<D>, credential: KeyId, sealed: &[u8]) {
        let mut redis = self.redis.clone();
        let kept = redis.set_ex::<_, _, ()>(key(scope, credential), sealed, KEPT_SECS);
        if let Err(error) = timed("put_walks", kept).await {
            tracing::debug!(%error, "a walk's footing was not kept");
        }
    }
}

fn key<D: Door>(scope: &OrgScope<D>, credential: KeyId) -> String {
    format!("w:{{{}}}:{credential}", scope.org())
}
