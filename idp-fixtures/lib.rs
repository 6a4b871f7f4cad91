//! Fake identity providers.
