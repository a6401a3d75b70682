//! The `ephemint` program. Everything is in the library; see `ephemint::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ephemint::cli::main()
}
