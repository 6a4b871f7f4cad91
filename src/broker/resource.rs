//! What a token is for, where the one who asks for it says so (RFC 8707): the audience of one app, of those that the
//! operator lets it ask for, and of an app that serves the org.

use crate::{FlowError, Gateway};
use model::{Refusal, claims::ExtraClaim};
use store::{App, Door, OrgScope, TenantTx};
use url::Url;

/// Longer is no audience of an app.
const RESOURCE_BYTES_MAX: usize = 200;

pub(crate) fn refused() -> FlowError {
    Refusal::proven("oauth.invalid_target").into()
}

/// An absolute URI without a fragment (RFC 8707 2), as it stands. Errors: `oauth.invalid_target`.
pub fn checked(resource: &str) -> Result<&str, FlowError> {
    let is_uri = resource.len() <= RESOURCE_BYTES_MAX
        && resource.bytes().all(|byte| byte.is_ascii_graphic())
        && !resource.contains('#')
        && Url::parse(resource).is_ok();
    if is_uri { Ok(resource) } else { Err(refused()) }
}

/// Its own audience, or one that the operator lets it ask for.
fn may_ask(app: &App, audience: &str) -> bool {
    audience == app.audience || app.resources.iter().any(|one| one == audience)
}

/// Whether the app may ask for this at this org: its own audience, or one of its `resources` that is of an app
/// which serves the org. Errors: `oauth.invalid_target`.
pub(crate) async fn authorized<D: Door>(
    gw: &Gateway,
    scope: &OrgScope<D>,
    app: &App,
    resource: Option<&str>,
) -> Result<(), FlowError> {
    match resource {
        Some(uri) if !may_ask(app, uri) => Err(refused()),
        Some(uri) if uri != app.audience => {
            let found = gw.db.read(scope, "resource.authorize").await?.audience(uri).await?;
            found.map(|_| ()).ok_or_else(refused)
        }
        Some(_) | None => Ok(()),
    }
}

/// Whom a token is for, and what is chosen to stand in it.
pub(crate) struct Target {
    pub audience: String,
    pub chosen: Vec<ExtraClaim>,
}

/// What was authorized, or else the app itself. A token request may say it again, and nothing else (RFC 8707 2.2);
/// and what was authorized has to be so still. Errors: `oauth.invalid_target`.
pub(crate) async fn target(
    tx: &mut TenantTx,
    app: &App,
    authorized: Option<&str>,
    asked: Option<&str>,
) -> Result<Target, FlowError> {
    let audience = authorized.unwrap_or(&app.audience);
    if asked.is_some_and(|asked| asked != audience) || !may_ask(app, audience) {
        return Err(refused());
    }
    let chosen = if audience == app.audience {
        app.claims.clone()
    } else {
        tx.audience(audience).await?.ok_or_else(refused)?
    };
    Ok(Target { audience: audience.to_owned(), chosen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_an_absolute_uri_without_a_fragment() {
        for right in
            ["https://api.example", "https://api.example/v1?x=1", "urn:example:api", "http://localhost:1/"]
        {
            assert!(checked(right).is_ok(), "{right}");
        }
        let long = format!("https://api.example/{}", "x".repeat(200));
        for wrong in
            ["", "api", "/v1", "//api.example", "https://api.example#x", "https://a b", "https://ä", &long]
        {
            assert_eq!(checked(wrong).unwrap_err().code(), "oauth.invalid_target", "{wrong}");
        }
    }
}
