//! The verifier against a gateway that is not real, over real sockets. One binary.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that panics has failed"
)]

mod bounds;
mod client_key;
mod doors;
mod fake;
mod feed;
mod judge;
mod stale;
