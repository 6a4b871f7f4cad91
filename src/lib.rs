//! Vestibule: one process between the customers' identity providers and our apps.
//! This crate wires settings, stores, keys and the one outgoing socket together; the
//! judges, the ledgers and the nouns live in the crates below it.

#[cfg(feature = "demo")]
pub mod demo;
pub mod embedded;
pub mod http;
pub mod jobs;
pub mod outbound;
pub mod platform_keys;
pub mod recover;
pub mod running;
pub mod seal_keys;
pub mod seams;
pub mod settings;
pub mod signing_keys;
pub mod telemetry;
pub mod tls;
pub mod wiring;
