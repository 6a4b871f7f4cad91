//! OpenID Connect in: what a customer's provider publishes, the request we send it, and its answer.
//! This crate takes the bytes of responses and gives an accepted identity or a named refusal; it
//! opens no socket and follows no link. `openidconnect` reads the protocol and checks signatures;
//! before it stand our own stricter readings of form, header and types. OIDC Core 3.1, RFC 9700.

pub mod code_flow;
mod email;
pub mod id_token;
pub mod provider;
pub mod signal;
mod signed;
mod strict;
