//! Prints an error with all its sources, once, where it is handled.

use std::{error::Error, fmt};

/// Displays an error and every source beneath it, joined by `: `.
pub struct ErrorChain<'a>(pub &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(formatter, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer failed")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn every_source_is_named_once() {
        assert_eq!(
            ErrorChain(&Outer(std::fmt::Error)).to_string(),
            "the outer failed: an error occurred when formatting an argument"
        );
    }
}
