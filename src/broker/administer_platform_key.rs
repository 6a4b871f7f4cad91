//! Platform keys: listed and revoked here, made on the command line alone, by whoever holds the database.

use crate::{FlowError, Gateway, administer::Page};
use model::ids::{self, KeyId};
use store::{Call, KeyEnd, LastKey, Operator, PlatformAct, PlatformKey};

pub async fn list(
    gw: &Gateway,
    by: Operator,
    page: Page<ids::Credential>,
) -> Result<Vec<PlatformKey>, FlowError> {
    Ok(gw.db.platform_keys(by.into(), page.after, page.rows()).await?)
}

/// Good for nothing from the commit on. Errors: `platform_key.last`, because nobody could administer the
/// platform until somebody at the command line makes another; there it can be revoked.
pub async fn revoke(gw: &Gateway, by: Operator, id: KeyId, call: &Call) -> Result<(), FlowError> {
    let act = PlatformAct { by: by.into(), request_id: &call.request_id, at: call.at };
    match gw.db.revoke_platform_key(act, id, LastKey::Kept).await? {
        KeyEnd::Revoked { .. } => Ok(()),
        KeyEnd::Unknown => Err(FlowError::Missing),
        KeyEnd::Last => Err(FlowError::conflict("platform_key.last", "no other platform key lives")),
    }
}
