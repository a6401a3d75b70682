//! Requests that the service makes to others. Nothing else here may open a connection to anything but the database.
//!
//! - [`webhook`]: posts a message to one receiver.

pub mod webhook;
