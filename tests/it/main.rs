//! The suite: the service from outside, on a real Postgres, over real sockets.

mod dev;
mod docs;
mod exchange;
mod gateway;
mod sql;
mod support;
