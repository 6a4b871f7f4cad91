//! The record, as bytes: an event's canonical leaf with its salted commitments, what an export
//! writes, and how a webhook is signed. A leaf holds no personal data, so that a value can be
//! deleted and the tree above it still stands. Pure: salts, times and keys are arguments.

pub mod canonical;
pub mod export;
pub mod leaf;
pub mod webhook;
