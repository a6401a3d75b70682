//! A child process that dies with us, whatever ends us, `kill -9` included.
//!
//! A tiny shell forks a watcher and then becomes the program. The watcher waits on a pipe whose only writing end is ours:
//! when the kernel closes it, the watcher stops the program. A parent-death signal would need `unsafe` code, fires when
//! the spawning *thread* ends, and exists on Linux only.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{
        fs::OpenOptionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    fcntl::OFlag,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{account::Account, poll};

/// Arguments: stop signal, last resort, paths to remove afterwards, `--`, the program and its arguments.
///
/// The watcher is forked twice, so that it is no child of the program, which could take it for one of its own. A line on
/// the pipe means that the program has ended and been reaped: its process id may belong to somebody else by now. Signals
/// are repeated because a program that has only just started may still be deaf to the first.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
( (
    trap '' HUP INT QUIT TERM
    read -r ended <&3 && exit 0
    signal=$1
    tries=0
    while [ "$tries" -lt 20 ] && kill -s "$signal" "$$" 2>/dev/null; do
        sleep 1
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] || signal=$2
    done
    shift 2
    while [ "$1" != -- ]; do
        rm -rf "$1"
        shift
    done
) & ) || exit 71
while [ "$1" != -- ]; do
    shift
done
shift
exec "$@" 3<&-
"#;

const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const AFTER_LAST_RESORT: Duration = Duration::from_secs(5);
/// A log that has grown beyond this is started afresh when the program is.
const LOG_LIMIT: u64 = 8 * 1024 * 1024;
const TAIL_LIMIT: u64 = 16 * 1024;

/// What to run, as whom, and how it is told to stop.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file to execute; give the whole path, as the environment is not ours.
    pub executable: PathBuf,
    /// Its arguments, without the program name.
    pub arguments: Vec<OsString>,
    /// Environment variables beside `LC_ALL=C`, `TZ=UTC` and `PATH`; nothing else is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// The account it runs as; ours when absent.
    pub account: Option<Account>,
    /// Asks the program to end.
    pub stop_signal: Signal,
    /// Sent when the program has not ended in time.
    pub last_resort: Signal,
    /// Absolute paths that the watcher deletes, as the program's account, if we vanish without stopping the program. It
    /// may be seconds late: name nothing that a later run uses again.
    pub remove_after: Vec<PathBuf>,
}

impl Program {
    /// A program without arguments, run as ourselves, stopped by SIGTERM and at last by SIGKILL.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self {
            executable: executable.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            account: None,
            stop_signal: Signal::SIGTERM,
            last_resort: Signal::SIGKILL,
            remove_after: Vec::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds one environment variable.
    #[must_use]
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// A running program that ends when this value is dropped or this process ends.
#[derive(Debug)]
pub struct Supervised {
    child: Child,
    lifeline: Option<ChildStdin>,
    stop_signal: Signal,
    last_resort: Signal,
}

impl Supervised {
    /// Starts `program` in a process group of its own (Ctrl-C does not reach it), in `/`, with its output appended to `log`.
    ///
    /// A program that cannot be executed shows as an early exit with status 126 or 127, and a line in the log.
    ///
    /// # Errors
    /// When the log cannot be opened, or the shell not be started as that account.
    pub fn spawn(program: &Program, log: &Path) -> io::Result<Self> {
        let log = open_log(log)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "ephemint-supervisor"]);
        command.args([signal_name(program.stop_signal), signal_name(program.last_resort)]);
        command.args(&program.remove_after).arg("--");
        command.arg(&program.executable).args(&program.arguments);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").env("PATH", SEARCH_PATH);
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        if let Some(account) = program.account {
            account.apply(&mut command);
        }
        let mut child = command.spawn()?;
        let lifeline = child.stdin.take();
        Ok(Self { child, lifeline, stop_signal: program.stop_signal, last_resort: program.last_resort })
    }

    /// The process id of the program; it stays ours until the end has been seen by [`Self::try_wait`] or [`Self::stop`].
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status when the program has ended, by itself or not; nothing while it runs.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.dismiss_watcher();
        }
        Ok(status)
    }

    /// Sends the stop signal and waits for `timeout`; then the last resort for 5 s, then SIGKILL.
    ///
    /// Returns at once when the program has ended already.
    ///
    /// # Errors
    /// When the process cannot be waited for or signalled.
    pub fn stop(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        for (signal, patience) in [(self.stop_signal, timeout), (self.last_resort, AFTER_LAST_RESORT)] {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            self.signal(signal)?;
            if let Some(status) = poll(patience, || self.try_wait())? {
                return Ok(status);
            }
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        self.dismiss_watcher();
        Ok(status)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        // Not yet reaped, so the id is still this child's and no other's.
        let id = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        Ok(kill(Pid::from_raw(id), signal)?)
    }

    /// Tells the watcher that nothing is left to stop.
    fn dismiss_watcher(&mut self) {
        if let Some(mut lifeline) = self.lifeline.take() {
            // The watcher may have been killed: then there is nobody to tell.
            let _ = lifeline.write_all(b"\n");
        }
    }

    /// Leaves the program to its watcher, as the kernel does when this process is killed.
    #[cfg(test)]
    pub(super) fn cut_lifeline(&mut self) {
        self.lifeline = None;
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the watcher tries again when the pipe closes.
        let _ = self.stop(Duration::from_secs(10));
    }
}

/// How a program ended, in words for an error text.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

/// The size of a log now: where the next program's lines will begin.
pub(super) fn log_end(path: &Path) -> u64 {
    path.metadata().map(|metadata| metadata.len()).ok().filter(|size| *size <= LOG_LIMIT).unwrap_or(0)
}

/// The last twenty lines that a log has after byte `from`; empty when it cannot be read.
pub(super) fn last_lines(path: &Path, from: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(size.saturating_sub(TAIL_LIMIT))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn open_log(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW.bits();
    let log = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    if log.metadata()?.len() > LOG_LIMIT {
        log.set_len(0)?;
    }
    Ok(log)
}

/// The name as `kill -s` takes it.
fn signal_name(signal: Signal) -> &'static str {
    let name = signal.as_str();
    name.strip_prefix("SIG").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").arguments(["-c", script])
    }

    fn wait(supervised: &mut Supervised) -> ExitStatus {
        poll(Duration::from_secs(10), || supervised.try_wait()).unwrap().expect("the program ends")
    }

    fn log_says(log: &Path, line: &str) {
        let found = poll(Duration::from_secs(10), || {
            io::Result::Ok(last_lines(log, 0).lines().any(|found| found == line).then_some(()))
        });
        assert!(found.unwrap().is_some(), "no {line:?} in {:?}", last_lines(log, 0));
    }

    #[test]
    fn a_program_that_ends_by_itself_shows_its_status() {
        let directory = tempfile::tempdir().unwrap();
        let mut supervised = Supervised::spawn(&shell("exit 7"), &directory.path().join("log")).unwrap();
        assert_eq!(wait(&mut supervised).code(), Some(7));
        assert_eq!(supervised.stop(Duration::ZERO).unwrap().code(), Some(7));
    }

    #[test]
    fn a_program_that_does_not_exist_shows_as_an_early_exit() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut supervised = Supervised::spawn(&Program::new("/nonexistent/program"), &log).unwrap();
        assert_eq!(wait(&mut supervised).code(), Some(127));
        assert!(last_lines(&log, 0).contains("/nonexistent/program"));
    }

    #[test]
    fn only_the_given_environment_is_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let program = Program::new("/usr/bin/env").environment("GIVEN", "yes");
        let mut supervised = Supervised::spawn(&program, &log).unwrap();
        wait(&mut supervised);
        let text = last_lines(&log, 0);
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        assert_eq!(names, ["GIVEN", "LC_ALL", "PATH", "TZ"]);
    }

    #[test]
    fn a_program_is_asked_to_stop_and_given_time_to_tidy_up() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let program = shell("trap 'echo tidy; exit 3' TERM; echo up; while :; do sleep 0.05; done");
        let mut supervised = Supervised::spawn(&program, &log).unwrap();
        log_says(&log, "up");
        assert_eq!(supervised.stop(Duration::from_secs(10)).unwrap().code(), Some(3));
        log_says(&log, "tidy");
    }

    #[test]
    fn a_program_that_will_not_stop_meets_the_last_resort() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let program = shell("trap '' TERM; echo up; while :; do sleep 0.05; done");
        let mut supervised = Supervised::spawn(&program, &log).unwrap();
        log_says(&log, "up");
        assert_eq!(supervised.stop(Duration::from_millis(50)).unwrap().signal(), Some(9));
    }

    #[test]
    fn a_program_is_stopped_and_its_leftovers_removed_when_the_pipe_closes() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let leftover = directory.path().join("leftover");
        std::fs::create_dir(&leftover).unwrap();
        let mut program = shell("trap 'echo tidy; exit 3' TERM; echo up; while :; do sleep 0.05; done");
        program.remove_after = vec![leftover.clone()];
        let mut supervised = Supervised::spawn(&program, &log).unwrap();
        log_says(&log, "up");
        supervised.cut_lifeline();
        assert_eq!(wait(&mut supervised).code(), Some(3));
        let gone = poll(Duration::from_secs(10), || io::Result::Ok((!leftover.exists()).then_some(())));
        assert!(gone.unwrap().is_some());
    }
}
