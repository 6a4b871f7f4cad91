//! Who asks at the token endpoint, and everywhere else where an app proves itself: by the one way it is
//! registered with, and no other.

use crate::{FlowError, Gateway};
use model::{
    Refusal, Timestamp, TokenDigest,
    ids::{AppId, OrgId},
};
use store::{App, AuthMethod, Call, Client};
use token::client_assertion;

/// What an app shows of itself.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// Its name alone: a public client.
    Nothing,
    Secret(&'a str),
    /// A JWT that it has signed (RFC 7523).
    Assertion(&'a str),
}

/// What an app proved itself by, for as long as that is good: for what goes on after the proof.
#[derive(Clone, Copy, Debug)]
pub enum Standing {
    /// By nothing: a public client is good for nothing that goes on.
    None,
    Secret(TokenDigest),
    /// One of the keys it had then.
    Keys(Option<TokenDigest>),
}

impl Standing {
    /// Of an app that this very proof has authenticated.
    pub fn of(app: &App, proof: Proof<'_>) -> Self {
        match proof {
            Proof::Nothing => Self::None,
            Proof::Secret(secret) => Self::Secret(TokenDigest::of(secret)),
            Proof::Assertion(_) => Self::Keys(app.key_set()),
        }
    }

    /// Does the app still prove itself by that?
    pub fn holds(&self, app: &App, now: Timestamp) -> bool {
        match self {
            Self::None => false,
            Self::Secret(secret) => app.knows(secret, now),
            Self::Keys(keys) => keys.is_some() && *keys == app.key_set(),
        }
    }
}

fn wrong() -> FlowError {
    Refusal::stranger("oauth.invalid_client").into()
}

/// The app, authenticated as it is registered; `org` is the one that its request names. Errors:
/// `oauth.invalid_client`; `oauth.assertion_…` of the judge, and `oauth.assertion_replayed`.
pub async fn authenticate(
    gw: &Gateway,
    id: AppId,
    proof: Proof<'_>,
    org: Option<OrgId>,
    call: &Call,
) -> Result<Client, FlowError> {
    let client = gw.db.client(id, org).await?.ok_or_else(wrong)?;
    let app = &client.app;
    match (app.auth_method, proof) {
        (AuthMethod::None, Proof::Nothing) => Ok(client),
        // A client with a secret may use either header or body: both carry the same secret over TLS.
        (AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost, Proof::Secret(secret))
            if app.knows(&TokenDigest::of(secret), call.at) =>
        {
            Ok(client)
        }
        (AuthMethod::PrivateKeyJwt, Proof::Assertion(jwt)) => {
            used_once(gw, app, jwt, call).await?;
            Ok(client)
        }
        (
            AuthMethod::None
            | AuthMethod::ClientSecretBasic
            | AuthMethod::ClientSecretPost
            | AuthMethod::PrivateKeyJwt,
            Proof::Nothing | Proof::Secret(_) | Proof::Assertion(_),
        ) => Err(wrong()),
    }
}

/// An assertion is used up before what it was sent for is done, whatever becomes of that.
async fn used_once(gw: &Gateway, app: &App, jwt: &str, call: &Call) -> Result<(), FlowError> {
    let keys = app.keys.as_ref().ok_or_else(wrong)?;
    let accepted = client_assertion::verify(jwt, keys, app.id, gw.links.issuer(), call.at)?;
    if gw.db.first_assertion(app.id, &accepted.jti, accepted.until).await? {
        Ok(())
    } else {
        Err(Refusal::proven("oauth.assertion_replayed").into())
    }
}
