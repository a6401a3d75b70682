//! What the product does, in domain words: start, exchange, revoke, and keep the keys.
//!
//! Services read the clock once per operation and pass `now` down. They know nothing of HTTP.

pub mod accounts;
pub mod activity;
pub mod barrier;
pub mod canary;
pub mod clients;
mod entry_size;
pub mod events;
pub mod exchange;
pub mod freshness;
pub mod key_ring;
mod key_rotation;
mod key_rules;
pub mod keys;
pub mod live_sessions;
pub mod log_position;
mod login;
mod login_crowd;
mod login_throttle;
pub mod password_pool;
pub mod registry;
pub mod revocation_follower;
pub mod revocations;
pub mod session_cache;
pub mod session_count;
pub mod session_loader;
pub mod sessions;
pub mod token_cache;
pub mod webhook;
