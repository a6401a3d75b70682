//! The suite: the service from outside, on a real Postgres, over real sockets.

mod docs;
mod exchange;
mod sql;
mod support;
