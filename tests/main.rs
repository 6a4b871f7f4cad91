//! The house as its callers meet it: over HTTP, on real Postgres and Redis. One binary, because
//! each further one links everything again.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod account;
mod accounts;
mod administer;
mod administer_calls;
mod administer_directory;
mod administer_platform;
mod arrive;
mod bad_bodies;
mod bad_input;
mod blast_guard;
mod browser;
mod chooser;
mod deleted_meanwhile;
mod described;
mod dialects;
mod docs;
mod domains;
mod due;
mod enclosure;
mod engines_killed;
mod exports;
mod extra_claims;
mod feed;
mod fetched;
mod former_sessions;
mod forward_auth;
mod hardening;
#[path = "history/judge.rs"]
#[allow(dead_code, reason = "for its unit tests alone: tests/history is a binary of its own")]
mod history_judge;
#[path = "history/plan.rs"]
#[allow(dead_code, reason = "for its unit tests alone: tests/history is a binary of its own")]
mod history_plan;
mod holds;
mod hosts;
mod house;
mod in_doubt;
mod limits;
mod lock_order;
mod login;
mod login_oidc;
mod logout;
mod mappings;
mod methods;
mod mint_late;
mod mint_pauses;
mod observed;
mod openid_modules;
mod operations;
mod otlp;
mod plans;
mod plans_race;
mod platform_keys;
mod policies;
mod pool;
mod private_key_jwt;
mod provision;
mod provision_dialogues;
mod proxy_ends;
mod proxy_sign_in;
mod raw_http;
mod redis_guard;
mod redis_lost;
mod refresh;
mod request_log;
mod resources;
mod scim_bulk;
mod scim_bulk_rehearsed;
mod scim_bulk_stage;
mod scim_clients;
mod scim_conformance;
mod scim_filters;
mod scim_indexes;
mod scim_made;
mod scim_pages;
mod scim_scale;
mod seats;
mod served_again;
mod service_accounts;
mod session_limits;
mod sign_in_asked;
mod sign_in_gifts;
mod signals_held;
mod signals_in;
mod signals_out;
mod signing_keys;
mod start_refused;
mod states;
mod states_table;
mod tenancy;
mod token_forged;
mod token_matrix;
mod userinfo;
mod verifier;
mod verifier_key;
mod walls;
mod webhook_events;
mod webhooks;
