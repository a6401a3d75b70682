//! The suite: the service from outside, on a real Postgres, over real sockets.

mod exchange;
mod sql;
mod support;
