//! A Postgres server that this process starts, owns and takes with it when it ends.
//!
//! It listens on a Unix socket only, trusts whoever reaches that socket, and never runs as root. What lies in
//! [`Options::directory`]: `data` (kept) or `throwaway-…` (one run), `postgres.log`, `dev.lock`.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use nix::sys::signal::Signal;

pub use super::error::EmbeddedPostgresError;
use super::{
    account::Account,
    binaries::Binaries,
    cluster,
    directory::{Directory, RELOCATED},
    error::failed_to,
    poll, socket,
    supervisor::{Program, Supervised, describe, last_lines, log_end},
};

const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long the children of a killed server may take to let go of its data.
const HANDOVER_LIMIT: Duration = Duration::from_secs(10);

/// Whether the data outlives the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Kept, and safe against a crash of the machine.
    Durable,
    /// New at each start and deleted at the stop; nothing waits for the disk, autovacuum is off.
    ThrowAway,
}

/// Where and how the server runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds everything of this server; made when absent. It must belong to us, and one process at a time may use it.
    pub directory: PathBuf,
    /// Whether the data is kept.
    pub durability: Durability,
    /// The directory of `initdb` and `postgres`; searched for when absent ([`Binaries::find`]).
    pub binaries: Option<PathBuf>,
}

/// A server that answers; dropping it stops it.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    // Before `directory`: fields drop in this order, and the lock must outlive the server.
    server: Supervised,
    binaries: Binaries,
    data: PathBuf,
    socket_directory: PathBuf,
    durability: Durability,
    stopped: bool,
    directory: Directory,
}

impl EmbeddedPostgres {
    /// Starts the server, making its data first if there is none, and waits until it answers (at most 30 s).
    ///
    /// A server that an earlier, killed run left in the same directory is stopped first. Blocks the thread.
    ///
    /// # Errors
    /// [`EmbeddedPostgresError`]; nothing is left running then.
    pub fn start(options: &Options) -> Result<Self, EmbeddedPostgresError> {
        let account = Account::for_postgres().map_err(failed_to("find an account for", Path::new("postgres")))?;
        Self::start_as(account, options)
    }

    pub(super) fn start_as(account: Option<Account>, options: &Options) -> Result<Self, EmbeddedPostgresError> {
        let durability = options.durability;
        let directory = Directory::claim(&options.directory, account, Path::new(RELOCATED))?;
        let data = cluster::data_directory(&directory.path, durability);
        let log = log_of(&directory.path);
        cluster::sweep(&directory.path)?;
        let found = cluster::major_of(&data)?;
        let binaries = Binaries::find(options.binaries.as_deref(), found)?;
        match found {
            None => cluster::initialise(&binaries, &data, account, durability, &log)?,
            Some(found) if found == binaries.major => {}
            Some(found) => {
                return Err(EmbeddedPostgresError::OtherMajor { data, found, available: binaries.major });
            }
        }
        let socket_directory = socket::directory_for(&data, account);
        socket::claim(&socket_directory, account)?;
        let program = program(&binaries, &data, &socket_directory, account, durability);
        let server = match start_server(&program, &log, &socket_directory) {
            Ok(server) => server,
            Err(error) => {
                // What went wrong first is what matters.
                let _ = tidy_up(&directory, &data, &socket_directory, durability);
                return Err(error);
            }
        };
        Ok(Self { server, binaries, data, socket_directory, durability, stopped: false, directory })
    }

    /// The connection URL of `database` for the superuser `ephemint`; `postgres` always exists.
    ///
    /// The socket directory travels as the parameter `host`, which tokio-postgres and libpq understand. General URL
    /// parsers refuse the form, because a user without a host is no valid URL.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = percent_encode(self.socket_directory.as_os_str().as_encoded_bytes());
        format!("postgresql://ephemint@/{}?host={host}", percent_encode(database.as_bytes()))
    }

    /// The directory of the socket, to be given to `psql -h`.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        &self.socket_directory
    }

    /// The server's version, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.binaries.version
    }

    /// The programs that were found, `psql` often among them.
    #[must_use]
    pub fn binaries(&self) -> &Path {
        &self.binaries.directory
    }

    /// Where the data went instead, when we are root and the server's account cannot reach the directory asked for.
    #[must_use]
    pub fn relocated(&self) -> Option<&Path> {
        self.directory.relocated.then_some(&*self.directory.path)
    }

    /// The server's log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        log_of(&self.directory.path)
    }

    /// The process id of the server.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// The exit status when the server has ended although nobody stopped it; nothing while it runs.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, EmbeddedPostgresError> {
        self.server.try_wait().map_err(failed_to("wait for the server in", &self.data))
    }

    /// Stops the server: open transactions are rolled back (SIGINT), after 10 s it ends at once (SIGQUIT).
    ///
    /// # Errors
    /// When the process cannot be signalled, or throw-away data not be deleted.
    pub fn stop(mut self) -> Result<(), EmbeddedPostgresError> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<(), EmbeddedPostgresError> {
        self.stopped = true;
        self.server.stop(STOP_LIMIT).map_err(failed_to("stop the server in", &self.data))?;
        tidy_up(&self.directory, &self.data, &self.socket_directory, self.durability)
    }

    #[cfg(test)]
    pub(super) fn cut_lifeline(&mut self) {
        self.server.cut_lifeline();
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        if !self.stopped {
            // Nobody is left to hear of a failure; the next start tidies up.
            let _ = self.shut_down();
        }
    }
}

fn log_of(directory: &Path) -> PathBuf {
    directory.join("postgres.log")
}

/// Deletes what only a running server needs, and throw-away data with all that belongs to it.
fn tidy_up(
    directory: &Directory,
    data: &Path,
    sockets: &Path,
    durability: Durability,
) -> Result<(), EmbeddedPostgresError> {
    socket::remove(sockets);
    if durability == Durability::ThrowAway {
        cluster::remove(data)?;
        // A log without its data is of no use, and a leftover one does no harm.
        let _ = fs::remove_file(log_of(&directory.path));
        directory.remove();
    }
    Ok(())
}

/// The data directory comes first: the next run recognises a server that was left behind by that.
fn program(
    binaries: &Binaries,
    data: &Path,
    sockets: &Path,
    account: Option<Account>,
    durability: Durability,
) -> Program {
    let mut program = Program::new(binaries.directory.join("postgres"));
    program = program.arguments([Path::new("-D"), data, Path::new("-k"), sockets]);
    program = program.arguments(["-p".to_owned(), socket::PORT.to_string()]);
    let always = ["listen_addresses=", "unix_socket_permissions=0700", "logging_collector=off", "jit=off"];
    let by_durability: &[&str] = match durability {
        Durability::Durable => &["max_connections=100", "shared_buffers=64MB"],
        Durability::ThrowAway => {
            &["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "max_connections=200"]
        }
    };
    for setting in always.iter().chain(by_durability) {
        program = program.arguments(["-c", setting]);
    }
    program.account = account;
    program.stop_signal = Signal::SIGINT;
    program.last_resort = Signal::SIGQUIT;
    if durability == Durability::ThrowAway {
        program.remove_after = vec![data.to_owned(), sockets.to_owned()];
    }
    program
}

fn start_server(program: &Program, log: &Path, sockets: &Path) -> Result<Supervised, EmbeddedPostgresError> {
    let started = poll(HANDOVER_LIMIT, || match try_start(program, log, sockets) {
        Err(EmbeddedPostgresError::Ended { log, .. }) if is_handover(&log) => Ok(None),
        other => other.map(Some),
    })?;
    started.map_or_else(|| try_start(program, log, sockets), Ok)
}

/// A killed server's children, or the server itself as long as nobody has reaped it, still hold the data for a moment.
fn is_handover(log: &str) -> bool {
    log.contains("pre-existing shared memory block") || log.contains("\"postmaster.pid\" already exists")
}

fn try_start(program: &Program, log: &Path, sockets: &Path) -> Result<Supervised, EmbeddedPostgresError> {
    let before = log_end(log);
    let mut server = Supervised::spawn(program, log).map_err(failed_to("run", &program.executable))?;
    let ready = poll(READY_LIMIT, || {
        let ended = server.try_wait().map_err(failed_to("wait for", &program.executable))?;
        if let Some(status) = ended {
            return Err(EmbeddedPostgresError::Ended { ended: describe(status), log: last_lines(log, before) });
        }
        Ok(socket::answers(sockets).then_some(()))
    })?;
    match ready {
        Some(()) => Ok(server),
        None => Err(EmbeddedPostgresError::NotReady { seconds: READY_LIMIT.as_secs(), log: last_lines(log, before) }),
    }
}

/// Keeps what RFC 3986 §2.3 calls unreserved and encodes every other byte.
fn percent_encode(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
