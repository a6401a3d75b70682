//! An nginx that this process starts, owns and takes with it when it ends.
//!
//! What lies in [`Options::directory`]: `nginx.conf`, `nginx.log` (what it prints) and `run`, its prefix, with its own logs.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder},
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::geteuid};

use super::{
    account::Account,
    directory::{Directory, RELOCATED},
    error::EmbeddedPostgresError,
    poll,
    supervisor::{Program, Supervised, describe, last_lines, log_end},
};

const READY_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_millis(250);
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Where it is looked for beside `PATH`, which often lacks the places of system programs.
const SYSTEM_PLACES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
/// As whom it runs when we are root: it needs no rights, only ports above 1023.
const ACCOUNTS: [&str; 3] = ["www-data", "nginx", "nobody"];

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// nginx is not installed.
    #[error("no nginx found: install it (Debian: apt-get install nginx); looked in PATH, {}", SYSTEM_PLACES.join(", "))]
    NotInstalled,
    /// Something else listens there, or nobody may.
    #[error("the gateway cannot listen on {address}; free that port or choose another")]
    AddressTaken {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The directory cannot be used.
    #[error("the gateway's directory cannot be used")]
    Directory(#[source] EmbeddedPostgresError),
    /// nginx ended while it was starting: its configuration was refused, most often.
    #[error("nginx ended with {ended} while starting; it said:\n{log}")]
    Ended {
        /// How it ended.
        ended: String,
        /// The end of its output.
        log: String,
    },
    /// nginx runs, but does not take connections.
    #[error("nginx did not listen on {address} within {seconds} s; it said:\n{log}")]
    NotReady {
        /// Where it should listen.
        address: SocketAddr,
        /// The limit.
        seconds: u64,
        /// The end of its output.
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

/// Where and how nginx runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds everything of this nginx; made when absent. It must belong to us, and one process at a time may use it.
    pub directory: PathBuf,
    /// The configuration, with all its paths relative; see [`gateway_config::nginx`](super::gateway_config::nginx).
    pub config: String,
    /// An address that the configuration listens on.
    pub listen: SocketAddr,
    /// The program; searched for when absent ([`find`]).
    pub program: Option<PathBuf>,
}

/// An nginx that takes connections; dropping it stops it.
#[derive(Debug)]
pub struct Gateway {
    // Before `directory`: fields drop in this order, and the lock must outlive the server.
    server: Supervised,
    listen: SocketAddr,
    prefix: PathBuf,
    directory: Directory,
}

/// The nginx that is installed: the first in `PATH`, `/usr/sbin` and `/usr/local/sbin`.
#[must_use]
pub fn find() -> Option<PathBuf> {
    find_in(env::var_os("PATH").as_deref())
}

fn find_in(path: Option<&OsStr>) -> Option<PathBuf> {
    let listed = path.map(env::split_paths).into_iter().flatten().filter(|directory| directory.is_absolute());
    let places = listed.chain(SYSTEM_PLACES.map(PathBuf::from));
    places.map(|place| place.join("nginx")).find(|program| is_executable(program))
}

fn is_executable(program: &Path) -> bool {
    program.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

impl Gateway {
    /// Starts nginx and waits until it takes connections (at most 10 s).
    ///
    /// Where we are root, it runs as an account without rights. Blocks the thread.
    ///
    /// # Errors
    /// [`GatewayError`]; nothing is left running then.
    pub fn start(options: &Options) -> Result<Self, GatewayError> {
        let executable = options.program.clone().or_else(find).ok_or(GatewayError::NotInstalled)?;
        let account = account().map_err(failed_to("find an account for", &executable))?;
        let directory = Directory::claim(&options.directory, account, Path::new(RELOCATED));
        let directory = directory.map_err(GatewayError::Directory)?;
        let prefix = directory.path.join("run");
        prepare(&prefix, account).map_err(failed_to("prepare", &prefix))?;
        let config = directory.path.join("nginx.conf");
        write_readable(&config, &options.config).map_err(failed_to("write", &config))?;

        // nginx would try for seconds, and whoever has the address now would look like a gateway that is ready.
        drop(TcpListener::bind(options.listen).map_err(|source| {
            let address = options.listen;
            GatewayError::AddressTaken { address, source }
        })?);
        let mut program = Program::new(executable).arguments(["-e", "stderr", "-g", "daemon off;", "-p"]);
        program = program.arguments([prefix.as_path(), Path::new("-c"), config.as_path()]);
        program.account = account;
        // The master takes its workers along on SIGTERM; SIGKILL would leave them behind.
        program.last_resort = Signal::SIGTERM;
        let server = start_server(&program, &log_of(&directory.path), &prefix, options.listen)?;
        Ok(Self { server, listen: options.listen, prefix, directory })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The prefix: the directory that the configuration's relative paths begin at, with `access.log` and `error.log`.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// What nginx prints.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        log_of(&self.directory.path)
    }

    /// The exit status when nginx has ended although nobody stopped it; nothing while it runs.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, GatewayError> {
        self.server.try_wait().map_err(failed_to("wait for the nginx in", &self.prefix))
    }

    /// Stops nginx at once; requests in flight are cut.
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub fn stop(mut self) -> Result<(), GatewayError> {
        self.server.stop(STOP_LIMIT).map_err(failed_to("stop the nginx in", &self.prefix))?;
        Ok(())
    }
}

fn log_of(directory: &Path) -> PathBuf {
    directory.join("nginx.log")
}

/// Ourselves, or an account without rights where we are root.
fn account() -> io::Result<Option<Account>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ACCOUNTS {
        if let Some(account) = Account::named(name)? {
            return Ok(Some(account));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("none of the users {} exists", ACCOUNTS.join(", "))))
}

/// Makes the prefix, writable for nginx alone, and forgets the process id of an earlier run.
fn prepare(prefix: &Path, account: Option<Account>) -> io::Result<()> {
    if !prefix.is_dir() {
        DirBuilder::new().mode(0o700).create(prefix)?;
    }
    if let Some(account) = account {
        account.take_over(prefix)?;
    }
    match fs::remove_file(prefix.join("nginx.pid")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The configuration holds no secret, and nginx reads it under its own account.
fn write_readable(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

fn start_server(program: &Program, log: &Path, prefix: &Path, address: SocketAddr) -> Result<Supervised, GatewayError> {
    let before = log_end(log);
    let mut server = Supervised::spawn(program, log).map_err(failed_to("run", &program.executable))?;
    let ready = poll(READY_LIMIT, || {
        let ended = server.try_wait().map_err(failed_to("wait for", &program.executable))?;
        if let Some(status) = ended {
            return Err(GatewayError::Ended { ended: describe(status), log: last_lines(log, before) });
        }
        // The file is written once all addresses are bound, so it is this nginx that answers, and no other.
        let bound = fs::read_to_string(prefix.join("nginx.pid")).is_ok_and(|id| id.trim() == server.id().to_string());
        Ok((bound && TcpStream::connect_timeout(&reachable(address), CONNECT_LIMIT).is_ok()).then_some(()))
    })?;
    match ready {
        Some(()) => Ok(server),
        None => Err(GatewayError::NotReady { address, seconds: READY_LIMIT.as_secs(), log: last_lines(log, before) }),
    }
}

/// Where a server that listens on `address` can be reached from here.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    match address {
        SocketAddr::V4(_) => ([127, 0, 0, 1], address.port()).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

/// Names the operation and its object, for `map_err`.
fn failed_to(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GatewayError {
    let path = path.to_owned();
    move |source| GatewayError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tempfile::TempDir;

    use super::*;

    /// A directory that nginx's account can reach, so that nothing moves to `/var/lib`.
    fn reachable_directory() -> TempDir {
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap()
    }

    fn options(parent: &TempDir, address: SocketAddr, server: &str) -> Options {
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};"))
            .concat();
        let config = format!(
            "pid nginx.pid; error_log error.log; events {{}}\n\
             http {{ {temporary} access_log off; server {{ listen {address}; {server} }} }}\n"
        );
        Options { directory: parent.path().join("gateway"), config, listen: address, program: None }
    }

    fn free_address() -> SocketAddr {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
    }

    #[test]
    fn it_is_found_beside_the_path_too() {
        assert_eq!(find_in(None), find_in(Some(OsStr::new("relative:/nonexistent"))));
        let parent = tempfile::tempdir().unwrap();
        let program = parent.path().join("nginx");
        fs::write(&program, "").unwrap();
        assert_ne!(find_in(Some(parent.path().as_os_str())), Some(program.clone()), "it cannot be executed");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_in(Some(parent.path().as_os_str())), Some(program));
    }

    #[test]
    fn it_takes_connections_never_runs_as_root_and_leaves_its_port() {
        let parent = reachable_directory();
        let gateway = Gateway::start(&options(&parent, free_address(), "return 204;")).unwrap();
        TcpStream::connect(gateway.address()).unwrap();
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::MetadataExt;
            assert_ne!(Path::new(&format!("/proc/{}", gateway.server.id())).metadata().unwrap().uid(), 0);
        }
        let address = gateway.address();
        gateway.stop().unwrap();
        let again = Gateway::start(&options(&parent, address, "return 204;")).unwrap();
        again.stop().unwrap();
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let parent = reachable_directory();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = Gateway::start(&options(&parent, address, "return 204;")).unwrap_err();
        assert!(matches!(error, GatewayError::AddressTaken { address: named, .. } if named == address), "{error}");
    }

    #[test]
    fn a_configuration_that_is_refused_is_reported_in_nginxs_words() {
        let parent = reachable_directory();
        let error = Gateway::start(&options(&parent, free_address(), "no_such_directive on;")).unwrap_err();
        let GatewayError::Ended { log, .. } = &error else { panic!("{error}") };
        assert!(log.contains("unknown directive \"no_such_directive\""), "{log}");
    }

    #[test]
    fn an_absent_program_is_reported() {
        let parent = reachable_directory();
        let program = Some(PathBuf::from("/nonexistent/nginx"));
        let error = Gateway::start(&Options { program, ..options(&parent, free_address(), "") }).unwrap_err();
        let GatewayError::Ended { log, .. } = &error else { panic!("{error}") };
        assert!(log.contains("/nonexistent/nginx"), "{log}");
    }
}
