//! Identity providers that are not real, an app that is, and a browser that needs no screen.
//!
//! The demo, the tests and `./run --check` sign in through these: [`SamlIdp`] speaks as Okta does,
//! [`OidcIdp`] as Entra does, [`RelyingParty`] is an app that knows its issuer by discovery alone, and
//! [`Browser`] walks between them. [`evil`] forges what an attacker would post. [`Desk`] is the demo's
//! index page, [`walk()`] the demo's story without a screen.
//! Each server is bound to 127.0.0.1, runs in the caller's runtime and stops when it is dropped.
//! An instrument for tests: it keeps no secret, and nothing here may serve a real person.

pub mod browser;
pub mod desk;
pub mod evil;
pub mod oidc_idp;
pub mod relying_party;
pub mod saml_idp;
pub mod walk;

mod app_tokens;
mod attack;
mod authn_request;
mod cookie_jar;
mod desk_pages;
mod desk_results;
mod html_form;
mod id_token;
mod instrument;
mod oidc_authorize;
mod oidc_token;
mod org_api;
mod pages;
mod people;
mod provision;
mod saml_response;
mod server;
mod signing;
mod walk_end;
mod walk_tokens;

#[cfg(test)]
mod tests_oidc;
#[cfg(test)]
mod tests_saml;

pub use browser::{Browser, Page};
pub use cookie_jar::{SameSite, StoredCookie};
pub use desk::{Desk, DeskSettings};
pub use evil::Forgery;
pub use html_form::Form;
pub use id_token::OidcFault;
pub use instrument::now;
pub use oidc_idp::{OidcClient, OidcIdp, OidcIdpSettings};
pub use org_api::{DeskOrg, Vendor};
pub use people::Person;
pub use provision::provision;
pub use relying_party::{RelyingParty, RpSettings};
pub use saml_idp::{SamlIdp, SamlIdpSettings, ServiceProvider};
pub use saml_response::{ResponseParams, Signed};
pub use server::Running;
pub use walk::{Step, WalkError, walk};

/// Why a fixture could not do what a test asked of it.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    #[error("port {port} on 127.0.0.1 cannot be opened: {source}")]
    Listen { port: u16, source: std::io::Error },
    #[error("no signing key could be made: {0}")]
    Key(String),
    #[error("{url} did not answer: {reason}")]
    Http { url: String, reason: String },
    #[error("{url} answered {status}; wanted {wanted}: {body}")]
    Unexpected { url: String, status: u16, wanted: String, body: String },
    #[error("nobody here is called {0}")]
    UnknownPerson(String),
}
