//! Which build this is.

/// The version of the crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from; `unknown` where it was built outside a checkout.
pub const COMMIT: &str = env!("EPHEMINT_COMMIT");
