//! The stories: each flow told in one function, in three beats: read, speak, write. The last beat
//! is one named transaction that cannot commit without its record. No actix, no SQL, no Redis
//! command here; never a transaction open while somebody else's server thinks.

pub mod administer;
pub mod administer_app;
pub mod administer_connection;
pub mod administer_connection_change;
pub mod administer_directory;
pub mod administer_directory_change;
pub mod administer_domain;
pub mod administer_org;
pub mod administer_people;
pub mod administer_plan;
pub mod administer_platform_key;
pub mod administer_service;
pub mod administer_webhook;
pub mod admit;
pub mod app_keys;
pub mod arrive;
pub mod attempt;
pub mod begin;
pub mod begin_oidc;
pub mod blast_guard;
pub mod client;
pub mod counted;
pub mod end;
pub mod error;
mod extra_claims;
pub mod feed;
pub mod feed_acks;
pub mod find_seat;
pub mod finish_oidc;
pub mod finish_saml;
pub mod gateway;
pub mod idempotent;
pub mod inspect;
pub mod providers;
pub mod provision;
pub mod provision_bulk;
pub mod provision_group;
mod provision_names;
pub mod provision_search;
pub mod provision_user;
mod provision_walk;
mod quota;
pub mod read_audit;
pub mod redeem;
pub mod refresh;
pub mod refusals;
pub mod request_log;
pub mod resource;
pub mod revoke;
pub mod scim_access;
pub mod service_token;
pub mod uses;

pub use error::FlowError;
pub use gateway::{Gateway, Lifetimes, Links, Outbound, OutboundAnswer, OutboundFault, OutboundRequest};
