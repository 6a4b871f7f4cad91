//! Where a directory's walks through pages by index stand: sealed by its story, one value a directory,
//! for minutes. Nothing is lost with it but a walk's footing: then rows are skipped by number again.

use super::{Live, timed};
use crate::{Door, OrgScope};
use model::ids::DirectoryId;
use redis::AsyncCommands;

/// So long a page is awaited.
const KEPT_SECS: u64 = 600;

impl Live {
    /// What was kept for this directory; nothing when Redis is away.
    pub async fn walks<D: Door>(&self, scope: &OrgScope<D>, directory: DirectoryId) -> Option<Vec<u8>> {
        let mut redis = self.redis.clone();
        let asked = timed("walks", redis.get::<_, Option<Vec<u8>>>(key(scope, directory))).await;
        asked.inspect_err(|error| tracing::debug!(%error, "a walk's footing is not known")).ok().flatten()
    }

    pub async fn put_walks<D: Door>(&self, scope: &OrgScope<D>, directory: DirectoryId, sealed: &[u8]) {
        let mut redis = self.redis.clone();
        let kept = redis.set_ex::<_, _, ()>(key(scope, directory), sealed, KEPT_SECS);
        if let Err(error) = timed("put_walks", kept).await {
            tracing::debug!(%error, "a walk's footing was not kept");
        }
    }
}

fn key<D: Door>(scope: &OrgScope<D>, directory: DirectoryId) -> String {
    format!("w:{{{}}}:{directory}", scope.org())
}
