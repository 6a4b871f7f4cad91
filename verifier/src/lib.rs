#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

#[cfg(feature = "actix")]
pub mod actix;
mod cache;
mod claims;
mod client_key;
mod denied;
#[cfg(any(feature = "actix", feature = "tower"))]
mod door;
mod extra;
mod feed;
mod json;
mod jws;
mod keyring;
mod keys;
#[cfg(feature = "sqlx-postgres")]
pub mod postgres;
mod pulse;
mod remote;
mod require;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
mod verifier;
mod watermarks;

pub use claims::Claims;
pub use denied::{Denied, Fault, RETRY_AFTER_SECS, bearer};
pub use extra::Quota;
pub use jws::TOKEN_BYTES_MAX;
pub use require::{Catalogue, Require};
pub use settings::{Builder, Mode, StartError};
pub use verifier::{Health, Verifier, Way};
pub use watermarks::Action;

/// A verified caller, as the middlewares hand it on: an actix extractor, and an extension of a tower
/// request (`axum::Extension<Verified>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(pub Claims);
