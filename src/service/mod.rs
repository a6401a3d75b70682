//! What the product does, in domain words: start, exchange, revoke, and keep the keys.
//!
//! Services read the clock once per operation and pass `now` down. They know nothing of HTTP.

pub mod accounts;
pub mod activity;
pub mod clients;
pub mod events;
pub mod exchange;
pub mod key_ring;
mod key_rotation;
mod key_rules;
pub mod keys;
mod login;
mod login_throttle;
pub mod password_pool;
pub mod sessions;
pub mod webhook;
