//! PgBouncer in transaction mode between a service and the run's Postgres.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Stdio,
};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::database::{cluster, eventually};

/// A running PgBouncer; killed when dropped.
pub(crate) struct Pooler {
    directory: TempDir,
    _child: Child,
}

impl Pooler {
    /// Few connections to the server, so that many clients take turns on each.
    pub(crate) async fn start(server_connections: u8) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        // PgBouncer does not run as root; whoever it runs as makes its socket here.
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let server = cluster().await.socket_directory().display();
        let settings = format!(
            "[databases]\n* = host={server} port=5432 user=ephemint\n\
             [pgbouncer]\nlisten_port = 5432\nunix_socket_dir = {directory}\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = {server_connections}\nmax_client_conn = 500\nlog_connections = 0\nlog_disconnections = 0\n",
            directory = path.display()
        );
        let file = path.join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let mut command = Command::new("pgbouncer");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").arg(&file);
        if nix::unistd::Uid::effective().is_root() {
            // The account of the server, whose socket nobody else may reach.
            let owner = fs::metadata(cluster().await.socket_directory()).unwrap().uid();
            let account = nix::unistd::User::from_uid(owner.into()).unwrap().expect("an account");
            command.args(["-u", &account.name]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("this test needs pgbouncer: {error}"));
        let socket = path.join(".s.PGSQL.5432");
        eventually("a pooler", async || socket.exists().then_some(())).await;
        Self { directory, _child: child }
    }

    /// The URL of a database through this pooler.
    pub(crate) fn url(&self, database: &str) -> String {
        let host = self.directory.path().display().to_string().replace('/', "%2F");
        format!("postgresql://ephemint@/{database}?host={host}")
    }
}
