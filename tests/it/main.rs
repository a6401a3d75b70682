//! The suite: the service from outside, on a real Postgres, over real sockets; and the rules of the house.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test ends at its first surprise")]

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod dev;
mod discovery;
mod docs;
mod exchange;
mod floors;
mod gateway;
mod keys;
mod sql;
mod sql_files;
mod statements;
mod support;
mod tokens;
mod validators;
