//! What the tests share: a real Postgres, a real service on real sockets, and a clock that tests move.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod database;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod raw;
