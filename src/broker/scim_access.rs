//! A directory fetches an access token with its client's secret (RFC 6749 4.4): opaque, of an hour or a few,
//! good for SCIM and for nothing else, and over with the secret.

use crate::{FlowError, Gateway};
use model::{
    Refusal, Secret, TokenDigest,
    ids::KeyId,
    record::{Act, AuditEvent, Record},
};
use store::{NewScimAccess, OrgScope, ScimClient};
use token::credential::{OrgBoundKind, org_bearer};

/// What such a token is for, as clients ask for it.
pub const SCOPE: &str = "scim";
/// Fetched tokens of one secret that live at once; with one more the oldest ends. A client that fetches one
/// for each request has the newest hundred.
const LIVING_MAX: i64 = 100;

pub struct Fetched {
    pub token: Secret<String>,
    pub expires_in_secs: i64,
    /// `scim`, or the narrower scopes of the secret.
    pub scope: String,
}

/// `scope` is opened by the secret. Errors: `oauth.invalid_scope`.
pub async fn fetch(
    gw: &Gateway,
    scope: &OrgScope<ScimClient>,
    asked: Option<&str>,
) -> Result<Fetched, FlowError> {
    let door = scope.door();
    let asked: Vec<&str> = asked.unwrap_or(SCOPE).split(' ').filter(|word| !word.is_empty()).collect();
    let whole = asked.is_empty() || asked.contains(&SCOPE);
    if let Some(beyond) = asked.iter().find(|word| **word != SCOPE && !held(door, word)) {
        return Err(Refusal::proven("oauth.invalid_scope").with("scope", format!("{beyond:.40}")).into());
    }
    let scopes: Vec<String> =
        if whole { door.scopes.clone() } else { asked.iter().map(|word| (*word).to_owned()).collect() };
    let token = org_bearer(OrgBoundKind::ScimAccess, scope.org(), gw.chance.as_ref());
    let id = KeyId::new(scope.now(), gw.chance.as_ref());
    let mut tx = gw.db.write(scope, "scim.fetch_token").await?;
    let new = NewScimAccess {
        id,
        holder: door.directory,
        parent: door.key,
        digest: &TokenDigest::of(token.reveal()),
        scopes: &scopes,
        expires_at: scope.now().plus_secs(gw.lifetimes.scim_token_secs),
    };
    // No later than its secret.
    let ends = tx.create_scim_access(&new, LIVING_MAX).await?;
    let expires_in_secs = ends.secs() - scope.now().secs();
    let event = AuditEvent::done(Act::DirectoryTokenFetched)
        .on("key", id)
        .value("directory", door.directory.to_string())
        .value("secret", door.key.to_string());
    tx.commit(Record::of(event)).await?;
    let said = if scopes.is_empty() { SCOPE.to_owned() } else { scopes.join(" ") };
    Ok(Fetched { token, expires_in_secs, scope: said })
}

fn held(door: &ScimClient, word: &str) -> bool {
    crate::administer_directory::SCIM_SCOPES.contains(&word) && door.may(word)
}
