//! Who asks at the token endpoint, and everywhere else where an app proves itself: by the one way it is
//! registered with, and no other.

use crate::{FlowError, Gateway};
use model::{
    Refusal, TokenDigest,
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
