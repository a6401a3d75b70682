//! The suite: the service from outside, on a real Postgres, over real sockets.

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
mod gateway;
mod keys;
mod sql;
mod support;
mod tokens;
mod validators;
