//! A real Postgres for tests: its own data directory and port, gone with the process that started it.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::unistd::{Gid, Uid, User};
use tempfile::TempDir;

const HBA: &str = "\
hostssl template1 all 127.0.0.1/32 cert
host all all 127.0.0.1/32 trust
";

/// Runs the server, and ends it when standard input does: also when the test process is killed.
const KEEPER: &str = r#"
directory=$1; shift
"$@" &
exec 2>/dev/null
read -r _
kill -QUIT $!
wait $!
rm -rf "$directory"
"#;

/// What a server is started with.
#[derive(Default)]
pub(super) struct Setup<'a> {
    /// Certificate and key of the server, and the authority for client certificates, all PEM; without it there is no TLS.
    pub(super) tls: Option<[&'a str; 3]>,
    /// Whether it starts as a replica that follows nobody.
    pub(super) standby: bool,
}

/// A running server; superuser `postgres`, no password, on 127.0.0.1 only.
///
/// With TLS, the database `template1` asks for a client certificate.
pub(super) struct TestServer {
    port: u16,
    directory: PathBuf,
    keeper: Child,
    stdin: Option<ChildStdin>,
}

impl TestServer {
    pub(super) fn start(setup: &Setup<'_>) -> Self {
        let programs = programs();
        let directory = TempDir::new().unwrap();
        own(directory.path(), 0o700);
        let data = directory.path().join("data");
        let made = as_postgres(&programs.join("initdb"), directory.path())
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--locale=C", "--wal-segsize=1", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        for (name, pem) in ["server.crt", "server.key", "root.crt"].iter().zip(setup.tls.iter().flatten()) {
            fs::write(data.join(name), pem).unwrap();
            own(&data.join(name), 0o600);
        }
        if setup.standby {
            fs::write(data.join("standby.signal"), "").unwrap();
        }

        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = as_postgres(Path::new("sh"), directory.path());
        command.args(["-c", KEEPER, "sh"]).arg(directory.path()).arg(programs.join("postgres")).arg("-D").arg(&data);
        let tls = if setup.tls.is_some() { "on" } else { "off" };
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "shared_buffers=1MB",
            "ssl_ca_file=root.crt",
            &format!("port={port}"),
            &format!("ssl={tls}"),
        ] {
            command.args(["-c", setting]);
        }
        // Its own group: an interrupt at the terminal ends the test process, and thereby the keeper in good order.
        command.process_group(0).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = command.spawn().unwrap();
        let stdin = keeper.stdin.take();
        let log = BufReader::new(keeper.stderr.take().unwrap());
        let server = Self { port, directory: directory.keep(), keeper, stdin };

        let (sender, lines) = mpsc::channel();
        thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("is ready to accept")) {
            let Ok(line) = lines.recv_timeout(Duration::from_secs(30)) else {
                panic!("the server does not start:\n{}", said.join("\n"))
            };
            said.push(line);
        }
        server
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// A place for files that end with the server.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The newest Postgres that is installed as Debian does it.
fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(_, path)| path.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop().unwrap().1
}

/// Postgres refuses to run as root; then the account of the package runs it.
fn account() -> Option<(Uid, Gid)> {
    Uid::effective().is_root().then(|| {
        let user = User::from_name("postgres").unwrap().unwrap();
        (user.uid, user.gid)
    })
}

fn as_postgres(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null());
    if let Some((user, group)) = account() {
        command.uid(user.as_raw()).gid(group.as_raw());
    }
    command
}

fn own(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if let Some((user, group)) = account() {
        chown(path, Some(user.as_raw()), Some(group.as_raw())).unwrap();
    }
}
