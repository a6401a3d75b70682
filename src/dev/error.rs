//! Why an embedded Postgres did not start or stop.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::binaries::BinariesError;

/// Why an embedded Postgres did not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedPostgresError {
    /// No usable server programs.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// Another live process holds the directory.
    #[error("already running in {}{}", directory.display(), process.map(|id| format!(" (process {id})")).unwrap_or_default())]
    AlreadyRunning {
        /// The directory both want.
        directory: PathBuf,
        /// The holder, when it has noted itself.
        process: Option<u32>,
    },
    /// The data was written by another major version.
    #[error(
        "the data in {} belongs to PostgreSQL {found}, but the server is {available}; install PostgreSQL {found}, or delete \
         that directory to start afresh",
        data.display()
    )]
    OtherMajor {
        /// The data directory.
        data: PathBuf,
        /// The major version that wrote it.
        found: u32,
        /// The major version of the server programs.
        available: u32,
    },
    /// A directory that we must own alone may be in somebody else's hands.
    #[error("{} cannot be trusted: {fault}; remove it or choose another data directory", path.display())]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A server that an earlier run left behind does not stop.
    #[error("an earlier server, process {process}, still runs in {} and does not stop", data.display())]
    Orphan {
        /// Its process id.
        process: i32,
        /// Its data directory.
        data: PathBuf,
    },
    /// The data directory could not be made.
    #[error("initdb failed with {ended}; its last lines were:\n{log}")]
    Initdb {
        /// How it ended.
        ended: String,
        /// The end of its output.
        log: String,
    },
    /// The server ended while it was starting.
    #[error("postgres ended with {ended} while starting; its log ends with:\n{log}")]
    Ended {
        /// How it ended.
        ended: String,
        /// The end of its log.
        log: String,
    },
    /// The server runs, but has not answered within the limit.
    #[error("postgres did not answer within {seconds} s; its log ends with:\n{log}")]
    NotReady {
        /// The limit.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A file or process operation failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Names the operation and its object, for `map_err`.
pub(super) fn failed_to(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedPostgresError {
    let path = path.to_owned();
    move |source| EmbeddedPostgresError::Io { action, path, source }
}
