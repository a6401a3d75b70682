//! Drives servers with wrk and reads what it found.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

const ROTATE: &str = include_str!("rotate.lua");
const LOGIN: &str = include_str!("login.lua");

/// How hard a server is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Force {
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
    /// Mean rest of each connection between two requests, in milliseconds.
    pub(crate) pause: f64,
}

/// What wrk found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answers {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Answers with a status of 400 or more.
    pub(crate) refused: u64,
    /// Connections that broke, and requests without an answer in time.
    pub(crate) lost: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Answers {
    pub(crate) fn per_second(&self) -> f64 {
        count(self.requests) / self.seconds
    }
}

/// Writes the scripts that wrk runs.
pub(crate) fn write_scripts(directory: &Path) -> Result<()> {
    std::fs::write(directory.join("rotate.lua"), ROTATE)?;
    std::fs::write(directory.join("login.lua"), LOGIN)?;
    Ok(())
}

/// Asks `address` for `path` with one session of the file `tokens` after another, beginning with number `first`.
pub(crate) async fn exchanges(
    scripts: &Path,
    address: &str,
    path: &str,
    tokens: &Path,
    first: u64,
    force: Force,
) -> Result<Answers> {
    let tokens = tokens.to_str().context("a path that is no text")?;
    let (first, pause) = (first.to_string(), format!("{:.3}", force.pause));
    wrk(&scripts.join("rotate.lua"), address, force, &[tokens, path, &first, &pause]).await
}

/// Signs in again and again.
pub(crate) async fn logins(scripts: &Path, address: &str, name: &str, password: &str, force: Force) -> Result<Answers> {
    wrk(&scripts.join("login.lua"), address, force, &[name, password]).await
}

async fn wrk(script: &Path, address: &str, force: Force, arguments: &[&str]) -> Result<Answers> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--timeout", "5s"]);
    command.args(["--connections", &force.connections.to_string(), "--duration", &format!("{}s", force.seconds)]);
    command.arg("--script").arg(script).arg(format!("http://{address}/")).arg("--").args(arguments);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.context("wrk cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("RESULT ")) else {
        bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let &[requests, microseconds, refused, lost, p50, p99] = numbers.as_slice() else { bail!("wrk said {line}") };
    Ok(Answers {
        requests,
        seconds: count(microseconds) / 1e6,
        refused,
        lost,
        p50_ms: count(p50) / 1e3,
        p99_ms: count(p99) / 1e3,
    })
}

/// A count for a quotient.
#[expect(clippy::cast_precision_loss, reason = "no run counts as far as an f64 is exact")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}
