//! Black-box conformance tests for SCIM 2.0 servers. The cases are data (`cases/`, `dialects/`), each with
//! the section it obeys; what a script cannot do is in `coded/`. The report says what to do about a failure.
//! README.md is the manual.

pub mod args;
pub mod case;
pub mod catalogue;
pub mod coded;
pub mod expect;
pub mod left;
pub mod look;
pub mod play;
pub mod progress;
pub mod report;
pub mod runner;
pub mod script;
pub mod server;
pub mod stage;
pub mod troupe;
pub mod wire;

#[cfg(test)]
mod tests;
