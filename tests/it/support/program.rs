//! The real binary as a process, for tests of starting, stopping, signals and exit codes.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

use super::app::settings;

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_ephemint"))
}

/// A configuration file with the settings of [`settings`]; it goes when dropped.
pub(crate) fn config_file(url: &str, more: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), settings(url, more)).unwrap();
    file
}

/// The program with a configuration file and a clean environment.
pub(crate) fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.env_clear().arg("--config").arg(config).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end, with a configuration file and a clean environment.
pub(crate) async fn run(config: &Path, arguments: &[&str]) -> Output {
    tokio::time::timeout(Duration::from_secs(60), command(config, arguments).output()).await.unwrap().unwrap()
}

/// Runs a command to its end with this on standard input.
pub(crate) async fn run_with(config: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = command(config, arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that is not interested closes its end.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap()
}

/// What a command said on standard error.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running `ephemint serve`; killed when dropped.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) public: String,
    pub(crate) gateway: String,
    pub(crate) admin: String,
    /// The log so far; the rest goes on being read.
    pub(crate) log: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Serving {
    /// Starts the service and waits until it says that it is ready.
    pub(crate) async fn start(config: &Path) -> Self {
        Self::start_as(command(config, &["serve"])).await
    }

    /// The same with a command that a test has changed.
    pub(crate) async fn start_as(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                log.lock().unwrap().push(line.clone());
                let parsed: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if parsed["message"] == "ephemint is ready" {
                    return parsed;
                }
            }
            panic!("the service ended before it was ready:\n{}", log.lock().unwrap().join("\n"));
        };
        let ready = tokio::time::timeout(Duration::from_secs(60), ready).await.unwrap();
        let address = |name: &str| ready[name].as_str().unwrap().to_owned();
        let (public, gateway, admin) = (address("public"), address("gateway"), address("admin"));
        let rest = std::sync::Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                rest.lock().unwrap().push(line);
            }
        });
        Self { child, public, gateway, admin, log }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).unwrap();
    }

    /// Waits until the process has ended by itself; returns its exit code.
    pub(crate) async fn exit_code(&mut self, patience: Duration) -> i32 {
        let status = tokio::time::timeout(patience, self.child.wait()).await.expect("an end in time").unwrap();
        status.code().expect("an exit, not a death by signal")
    }

    /// The process's memory in KiB: now, and the most it ever was.
    pub(crate) fn memory_kib(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
        };
        (field("VmRSS"), field("VmHWM"))
    }

    /// Waits until the log has a line with this message.
    pub(crate) async fn logged(&self, message: &str) {
        let wanted = format!("\"message\":\"{message}\"");
        for _ in 0..1_000 {
            if self.log.lock().unwrap().iter().any(|line| line.contains(&wanted)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never logged: {message}");
    }
}

/// Adds a client that may do everything, the way an operator does; returns its secret.
pub(crate) async fn add_client(config: &Path) -> String {
    let mut arguments = vec!["clients", "add", "ops", "--json"];
    for scope in ephemint::domain::client::Scope::ALL {
        arguments.extend(["--scope", scope.as_str()]);
    }
    let output = run(config, &arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    printed["client_secret"].as_str().unwrap().to_owned()
}
