//! What `ephemint dev` and the tests start beside the service: a Postgres of our own, an nginx in front, a demo microservice
//! behind, and other programs that must not outlive us.
//!
//! Nothing here is used by `ephemint serve`, which never starts a database. What starts a program blocks its thread:
//! call it before the runtime starts, or from a blocking task.

use std::{thread, time::Duration};

use crate::clock::{Clock, SystemClock};

pub mod account;
pub mod binaries;
mod cluster;
pub mod demo_account;
mod demo_page;
mod directory;
pub mod environment;
mod error;
pub mod gateway;
pub mod gateway_config;
pub mod microservice;
#[cfg(test)]
mod microservice_tests;
pub mod postgres;
pub mod remote_key_set;
mod socket;
pub mod supervisor;
#[cfg(test)]
mod tests;
pub mod walkthrough;

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Asks `probe` every 5 ms until it has an answer; `None` when `limit` has passed without one.
fn poll<T, E>(limit: Duration, mut probe: impl FnMut() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
    let clock = SystemClock::new();
    loop {
        if let Some(answer) = probe()? {
            return Ok(Some(answer));
        }
        if clock.monotonic() >= limit {
            return Ok(None);
        }
        thread::sleep(POLL_INTERVAL);
    }
}
