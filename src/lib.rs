//! Ephemint keeps revocable sessions in Postgres and exchanges them, at the gateway, for very short-lived JWTs.
//!
//! ```text
//!        ┌──────────────────────────────────────────────────────────────┐
//! roof   │  main.rs       cli/            app/            dev/           │
//!        ├──────────────────────────────────────────────────────────────┤
//! 3      │  http/         what the outside may ask, and what it is told  │
//!        ├──────────────────────────────────────────────────────────────┤
//! 2      │  service/      what the product does, in domain words         │
//!        ├──────────────────────────────────────────────────────────────┤
//! 1      │  storage/  remembers │ crypto/  proves │ outbound/  tells     │
//!        ├──────────────────────────────────────────────────────────────┤
//! ground │  domain/    clock  random    config/   telemetry/             │
//!        └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! A module imports only from floors below its own; a test enforces it. Read it in this order: [`domain::session`] (when is
//! a session alive?), [`service::exchange`] (the core act), [`http::gateway`] (how a gateway asks), [`storage`] and `sql/`
//! (what is kept), [`crypto`] (what is sealed, digested and signed), `app` (how it is wired).

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod dev;
pub mod domain;
pub mod http;
pub mod outbound;
pub mod random;
pub mod service;
pub mod storage;
pub mod telemetry;
pub mod version;
