//! What can be wrong with a configuration, and how it is worded. No secret is ever part of the wording.

use std::{fmt, io, path::PathBuf};

use serde::Serialize;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The program's own default.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// A text handed over by the program itself.
    Text,
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Text => formatter.write_str("given text"),
            Self::Variable(name) => write!(formatter, "variable {}", name.escape_debug()),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}{}", .key.escape_debug(), origin(.problem, .source_of_value))]
pub struct Fault {
    /// The setting, or what stands in its place.
    pub key: String,
    /// What is wrong with it.
    pub problem: Problem,
    /// Where it came from.
    pub source_of_value: Source,
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No setting has this key.
    #[error("unknown setting; {hint}")]
    Unknown {
        /// The nearest key, or the keys that there are.
        hint: String,
    },
    /// A required setting is absent.
    #[error("required, but not set; allowed is {allowed}")]
    Missing {
        /// What is allowed, in words.
        allowed: String,
    },
    /// The value breaks the setting's own rule.
    #[error("found {found}; allowed is {allowed}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Refused {
        /// The value as it was written; not for secrets.
        found: String,
        /// What is allowed, in words.
        allowed: String,
        /// What to do about it, where there is more to say.
        hint: Option<String>,
    },
    /// The value is fine alone, but not together with another.
    #[error("unsafe combination: {rule}")]
    Combination {
        /// The rule that is broken, with both sides named.
        rule: String,
    },
    /// Two variables set the same thing.
    #[error("given twice, also by {other}; keep one")]
    GivenTwice {
        /// The other variable.
        other: String,
    },
    /// Only secrets are read from a file named by a variable.
    #[error("only secrets may come from a file; set {instead} itself")]
    NotASecret {
        /// The variable to set.
        instead: String,
    },
    /// The variable's bytes are no text.
    #[error("the value is not UTF-8")]
    NotText,
    /// A file is absent or cannot be read.
    #[error("the file {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// The file is not TOML. The offending line is not quoted, since it may hold a secret.
    #[error("not valid TOML at line {line}, column {column}: {reason}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What the parser expected.
        reason: String,
    },
}

impl Problem {
    /// The file at `path` could not be read.
    pub(super) fn unreadable(path: PathBuf, error: &io::Error) -> Self {
        Self::Unreadable { path, reason: error.to_string() }
    }
}

/// Everything that is wrong with a configuration, one fault a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.faults))]
pub struct ConfigError {
    /// The faults, never empty: those of the sources first, then those of the settings.
    pub faults: Vec<Fault>,
}

/// What is not set came from nowhere.
fn origin(problem: &Problem, source: &Source) -> String {
    if matches!(problem, Problem::Missing { .. }) { String::new() } else { format!(" ({source})") }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
