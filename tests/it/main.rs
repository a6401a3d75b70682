//! The integration tests: one binary, one module per subject.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod floors;
mod house;
mod imports;
mod sql_files;
mod tokens;
mod tree;
