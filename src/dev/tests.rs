//! Real servers: started, killed in every way, started again.

use std::{
    env, fs, io,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage, config::Host};

use super::{
    account::Account,
    poll,
    postgres::{Durability, EmbeddedPostgres, EmbeddedPostgresError, Options},
};

const HELPER_DIRECTORY: &str = "EPHEMINT_TEST_HELPER_DIRECTORY";
const LIMIT: Duration = Duration::from_secs(20);

/// A directory that the server's account can reach, so that nothing moves to `/var/lib`.
fn reachable() -> TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

fn options(parent: &TempDir, durability: Durability) -> Options {
    Options { directory: parent.path().join("pg"), durability, binaries: None }
}

/// The rows of one-column answers.
fn ask(url: &str, sql: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = client.simple_query(sql).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        let column = |message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        answer.into_iter().filter_map(column).collect()
    })
}

fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    poll(LIMIT, || io::Result::Ok(probe())).unwrap().unwrap_or_else(|| panic!("waited in vain for {what}"))
}

fn kill_hard(process: u32) {
    kill(Pid::from_raw(i32::try_from(process).unwrap()), Signal::SIGKILL).unwrap();
}

/// Another process that owns a server; it ends with this test, at the latest.
struct Helper(Child);

impl Helper {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "dev::tests::helper_process", "--ignored"]).env(HELPER_DIRECTORY, directory);
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn kill_hard(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The helper notes its server's process id and URL beside the directory.
fn note_of(directory: &Path) -> PathBuf {
    directory.with_extension("note")
}

fn server_of(directory: &Path) -> (u32, String) {
    let note = wait_for("the helper's server", || {
        let note = fs::read_to_string(note_of(directory)).ok()?;
        note.strip_suffix('\n').map(str::to_owned)
    });
    let (process, url) = note.split_once(' ').unwrap();
    (process.parse().unwrap(), url.to_owned())
}

#[test]
#[ignore = "not a test: other tests run this in a process of its own and kill it"]
fn helper_process() {
    let Some(directory) = env::var_os(HELPER_DIRECTORY).map(PathBuf::from) else { return };
    let options = Options { directory: directory.clone(), durability: Durability::Durable, binaries: None };
    let server = EmbeddedPostgres::start(&options).unwrap();
    fs::write(note_of(&directory), format!("{} {}\n", server.id(), server.url("postgres"))).unwrap();
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

/// Inode numbers of the listening TCP sockets among the open files of `process`.
#[cfg(target_os = "linux")]
fn listening_ports(process: u32) -> Vec<String> {
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let listening = |line: &&str| line.split_whitespace().nth(3) == Some("0A");
    let inodes: Vec<&str> = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter(listening)
        .filter_map(|line| line.split_whitespace().nth(9))
        .collect();
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let targets = open.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    let targets = targets.map(|target| target.to_string_lossy().into_owned());
    targets.filter(|target| inodes.iter().any(|inode| *target == format!("socket:[{inode}]"))).collect()
}

#[test]
fn a_server_answers_on_its_socket_only_and_never_as_root() {
    let parent = reachable();
    let options = options(&parent, Durability::ThrowAway);
    let server = EmbeddedPostgres::start(&options).unwrap();

    assert_eq!(ask(&server.url("postgres"), "SELECT current_user"), ["ephemint"]);
    assert_eq!(ask(&server.url("postgres"), "SHOW listen_addresses"), [""]);
    assert_eq!(ask(&server.url("postgres"), "SHOW fsync"), ["off"]);
    assert!(ask(&server.url("postgres"), "SHOW server_version")[0].starts_with(server.version()));
    assert_eq!(server.relocated(), None);
    let sockets = server.socket_directory().metadata().unwrap();
    assert_eq!(sockets.mode() & 0o777, 0o700);
    #[cfg(target_os = "linux")]
    {
        assert_ne!(Path::new(&format!("/proc/{}", server.id())).metadata().unwrap().uid(), 0);
        assert_eq!(listening_ports(server.id()), [""; 0]);
    }

    let second = EmbeddedPostgres::start(&options).unwrap_err();
    assert!(matches!(second, EmbeddedPostgresError::AlreadyRunning { .. }), "{second}");

    let sockets = server.socket_directory().to_owned();
    server.stop().unwrap();
    assert!(!options.directory.exists());
    assert!(!sockets.exists());
}

#[test]
fn data_survives_a_stop_and_a_server_that_is_killed() {
    let parent = reachable();
    let options = options(&parent, Durability::Durable);
    // Where we are root, the account of last resort gets its turn here.
    let account = geteuid().is_root().then(|| Account::named("nobody").unwrap().unwrap());
    let start = || EmbeddedPostgres::start_as(account, &options).unwrap();

    let server = start();
    ask(&server.url("postgres"), "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('one')");
    server.stop().unwrap();

    let mut server = start();
    ask(&server.url("postgres"), "INSERT INTO kept VALUES ('two')");
    kill_hard(server.id());
    let status = wait_for("the end of the server", || server.try_wait().unwrap());
    assert!(!status.success());
    drop(server);

    let server = start();
    assert_eq!(ask(&server.url("postgres"), "SELECT word FROM kept ORDER BY word"), ["one", "two"]);
}

#[test]
fn a_server_stops_cleanly_and_takes_its_throw_away_data_along_when_the_pipe_closes() {
    let parent = reachable();
    let options = options(&parent, Durability::ThrowAway);
    let mut server = EmbeddedPostgres::start(&options).unwrap();
    server.cut_lifeline();
    let status = wait_for("the end of the server", || server.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert!(fs::read_to_string(server.log()).unwrap().contains("database system is shut down"));
    let data = options.directory.join(format!("throwaway-{}", std::process::id()));
    wait_for("the watcher's clean-up", || (!data.join("PG_VERSION").exists()).then_some(()));
    wait_for("the end of the sockets", || (!server.socket_directory().exists()).then_some(()));
}

#[test]
fn a_server_dies_with_a_process_that_is_killed() {
    let parent = reachable();
    let options = options(&parent, Durability::Durable);
    let mut helper = Helper::start(&options.directory);
    let (_, url) = server_of(&options.directory);
    ask(&url, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('one')");
    helper.kill_hard();
    // Only a clean shutdown removes this file, and nobody but the watcher is left to ask for one.
    let pid_file = options.directory.join("data/postmaster.pid");
    wait_for("the end of the server", || (!pid_file.exists()).then_some(()));

    let server = EmbeddedPostgres::start(&options).unwrap();
    assert_eq!(ask(&server.url("postgres"), "SELECT word FROM kept"), ["one"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_that_was_left_behind_is_stopped_by_the_next_start() {
    let parent = reachable();
    let options = options(&parent, Durability::Durable);
    let mut helper = Helper::start(&options.directory);
    let (process, url) = server_of(&options.directory);
    ask(&url, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('one')");
    kill_hard(watcher_of(process));
    helper.kill_hard();
    assert_eq!(ask(&url, "SELECT word FROM kept"), ["one"], "the server is an orphan now");

    let server = EmbeddedPostgres::start(&options).unwrap();
    assert_ne!(server.id(), process);
    assert_eq!(ask(&server.url("postgres"), "SELECT word FROM kept"), ["one"]);
}

/// The shell in the process group of `server`.
#[cfg(target_os = "linux")]
fn watcher_of(server: u32) -> u32 {
    let is_watcher = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // After the name in parentheses: state, parent, group.
        let group = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2));
        *process != server && group == Some(&server.to_string())
    };
    let processes = fs::read_dir("/proc").unwrap();
    let mut processes = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes.find(is_watcher).expect("a watcher")
}

#[test]
fn an_initdb_that_is_killed_midway_leaves_no_half_made_data() {
    let parent = reachable();
    let options = options(&parent, Durability::Durable);
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&options.directory).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut helper = Helper::start(&options.directory);
    wait_for("initdb at work", || {
        let unfinished = names().into_iter().find(|name| name.starts_with("initdb-"))?;
        options.directory.join(unfinished).join("PG_VERSION").exists().then_some(())
    });
    helper.kill_hard();
    assert!(!options.directory.join("data").exists());

    let server = EmbeddedPostgres::start(&options).unwrap();
    assert_eq!(ask(&server.url("postgres"), "SELECT 1"), ["1"]);
    let mut left = names();
    left.sort_unstable();
    assert_eq!(left, ["data", "dev.lock", "postgres.log"]);
}

#[test]
fn data_of_another_major_version_is_refused_with_the_remedy() {
    let parent = reachable();
    let options = options(&parent, Durability::Durable);
    let data = options.directory.join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "9\n").unwrap();
    let error = EmbeddedPostgres::start(&options).unwrap_err();
    assert!(matches!(error, EmbeddedPostgresError::OtherMajor { found: 9, .. }), "{error}");
    assert!(error.to_string().contains("delete that directory to start afresh"), "{error}");
}

#[test]
fn a_server_that_cannot_start_is_reported_with_its_log() {
    let parent = reachable();
    let options = options(&parent, Durability::ThrowAway);
    let server = EmbeddedPostgres::start(&options).unwrap();
    let version = server.version().split('.').next().unwrap().to_owned();
    drop(server);
    let durable = Options { durability: Durability::Durable, ..options };
    fs::create_dir_all(durable.directory.join("data")).unwrap();
    fs::write(durable.directory.join("data/PG_VERSION"), version).unwrap();
    let error = EmbeddedPostgres::start(&durable).unwrap_err();
    let EmbeddedPostgresError::Ended { log, .. } = &error else { panic!("{error}") };
    assert!(log.contains("FATAL") || log.contains("could not"), "{log}");
}

#[test]
fn a_url_survives_names_that_need_encoding() {
    let parent = reachable();
    let server = EmbeddedPostgres::start(&options(&parent, Durability::ThrowAway)).unwrap();
    let config: tokio_postgres::Config = server.url("a b/ü?&=%").parse().unwrap();
    assert_eq!(config.get_dbname(), Some("a b/ü?&=%"));
    assert_eq!(config.get_user(), Some("ephemint"));
    assert_eq!(config.get_hosts(), [Host::Unix(server.socket_directory().to_owned())]);
}
