//! What is remembered, in Postgres: the only room that names its driver.
//!
//! Never stored: session tokens, client secrets, passwords and private keys in the clear. Each statement is a file under `sql/`, listed in
//! [`queries`] and run by [`run`]; each entity has a store.
//!
//! - [`url`], `tls`, [`pool`]: how the database is reached, every wait bounded.
//! - [`migrate`]: the schema.
//! - [`sessions`] with [`session_changes`], [`session_reads`] and [`former_tokens`], [`accounts`], [`login_throttle`], [`signing_keys`],
//!   [`clients`], [`hook_deliveries`], [`canary`]: the stores.
//! - [`revocation_feed`], [`ended_sessions`]: what the revocation log says, and which ends that comes to.

pub mod accounts;
mod at_home;
mod behind_pooler;
pub mod canary;
pub mod clients;
mod connection_string;
pub mod ended_sessions;
pub mod error;
pub mod former_tokens;
pub mod hook_deliveries;
mod loan;
pub mod login_throttle;
pub mod migrate;
pub mod pool;
pub mod queries;
pub mod replicas;
pub mod revocation_feed;
pub mod run;
mod schema;
pub mod session_changes;
pub mod session_reads;
pub mod sessions;
pub mod signing_keys;
#[cfg(test)]
mod test_server;
mod tls;
#[cfg(test)]
mod tls_tests;
pub mod url;
