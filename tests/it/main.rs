//! The suite: the service from outside, on a real Postgres, over real sockets.

mod admin_sessions;
mod exchange;
mod public_session;
mod sql;
mod support;
