//! What the tests share: a real Postgres, a real service on real sockets, and a clock that tests move.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod audit;
pub(crate) mod browser;
pub(crate) mod database;
pub(crate) mod origins;
pub(crate) mod pooler;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod site;
pub(crate) mod timing;
pub(crate) mod visitor;
pub(crate) mod wire;

/// Bytes in lower-case hexadecimal, as Postgres writes them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
