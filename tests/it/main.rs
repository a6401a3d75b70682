//! The suite: the service from outside, on a real Postgres, over real sockets.

mod admin_sessions;
mod exchange;
mod listeners;
mod logs;
mod problems;
mod public_session;
mod sql;
mod support;
