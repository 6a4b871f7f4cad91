//! The nouns. What every floor above speaks of and none of them owns: ids that
//! cannot be mixed up, time, secrets, an org's life-cycle, the record of an act.
//! Nothing here opens a socket, reads a clock or knows a table.

pub mod act;
pub mod claims;
pub mod count;
pub mod ids;
pub mod members;
pub mod org;
pub mod quota;
pub mod record;
pub mod refusal;
pub mod revocation;
pub mod secret;
pub mod signing;
pub mod time;
pub mod user;

pub use ids::{Chance, Id};
pub use refusal::Refusal;
pub use secret::{Secret, TokenDigest};
pub use signing::{KeyState, SigningAlg};
pub use time::Timestamp;
