//! Tokens out: signing keys, access and ID tokens, authorization codes, refresh tokens, opaque
//! credentials, and sealing. Each text is parsed strictly (prefix, exact length, canonical
//! base64url) before anybody looks anything up, and each purpose has a form no other accepts.
//! Pure: time and chance are arguments; only new keys and an ECDSA signature's own nonce come from the library, and
//! what is remembered (`verified`) answers as it would be found out anew.

pub mod access;
mod claims;
pub mod client_assertion;
pub mod client_keys;
pub mod code;
pub mod credential;
pub mod extra;
pub mod key_life;
pub mod key_ring;
pub mod logout;
pub mod mint;
pub mod pass;
pub mod refresh;
pub mod seal;
pub mod set;
pub mod signing_key;
mod text;
mod verified;
