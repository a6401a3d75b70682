//! The browser's side as people meet it: a real, headless Chromium, nginx with the shipped configuration, the service and Postgres.
//!
//! A machine without Chromium fails these tests and is told what to install. Screenshots of every page stay in
//! `target/screenshots`.

#[cfg(test)]
mod browser;
#[cfg(test)]
mod chromedriver;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod pages;

#[cfg(test)]
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the other suite, which uses the rest")]
mod support;
